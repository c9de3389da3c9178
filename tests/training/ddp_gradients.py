"""Run by test_model.py under torchrun: gradients of one global batch, in float64, saved by the
first process.
"""

import sys

import torch
import torch.distributed as dist

from model import build_model
from weakseg.losses.partial_cross_entropy import partial_cross_entropy


def main(path):
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(0)
    model = build_model("efficientnet-lite0", 3, 2, "none").double().train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()  # its batch is that of each process
    model.mean, model.std = model.mean.double(), model.std.double()
    parallel = torch.nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(4, 3, 64, 64, generator=generator, dtype=torch.float64) * 255
    target = torch.randint(0, 3, (4, 64, 64), generator=generator)
    target[torch.rand(4, 64, 64, generator=generator) < 0.9] = 255
    target[2:] = torch.where(
        torch.rand(2, 64, 64, generator=generator) < 0.9, 255, target[2:]
    )  # uneven counts
    share = slice(rank * 4 // world, (rank + 1) * 4 // world)
    mean = partial_cross_entropy(parallel(image[share])["seg"], target[share])
    counts = mean.count.double()
    dist.all_reduce(counts)
    (mean.total * world / counts).backward()
    if rank == 0:
        buffers = {k: v for k, v in model.named_buffers() if v.is_floating_point()}
        torch.save(
            {k: p.grad for k, p in model.named_parameters() if p.grad is not None} | buffers, path
        )
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
