"""Several processes: the accelerator, means over the global batch, and batch norm."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import DataLoaderConfiguration
from torch import nn

from weakseg.common import UserError, keep_freed_memory
from weakseg.losses.base import Mean

Module = TypeVar("Module", bound=nn.Module)


def make_accelerator(
    device: str = "auto", amp: bool | None = None, flag: str = "--device", **options: Any
) -> Accelerator:
    """Return the 🤗 Accelerator for a device and precision.

    amp: None for half precision on CUDA and float32 elsewhere
    flag: where the user gave the device, for the error message
    Raises `UserError` where the device is not available.
    """
    cuda = torch.cuda.is_available()
    there = {"auto": True, "cpu": True, "cuda": cuda, "mps": torch.backends.mps.is_available()}
    if not there[device]:
        raise UserError(f"{flag} {device}: not available here; use auto")
    on_cpu = device == "cpu" or not (cuda or there["mps"])
    if on_cpu:
        keep_freed_memory()
    # Older GPUs emulate bf16, slowly.
    half = "fp16" if cuda and torch.cuda.get_device_capability()[0] < 8 else "bf16"
    is_half = amp or (amp is None and cuda and device in ("auto", "cuda"))
    # A run without tags never touches the tag head; buffers are seen to by `average_buffers`.
    parallel = DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)
    try:
        return Accelerator(
            cpu=on_cpu,  # else two processes without a GPU would be taken for two runs
            mixed_precision=half if is_half else "no",
            dataloader_config=DataLoaderConfiguration(split_batches=True),
            kwargs_handlers=[parallel],
            **options,
        )
    except (ImportError, ValueError) as error:
        raise UserError(f"{flag} {device}, {options}: {error}") from error


def global_means(
    terms: Mapping[str, Mean], accelerator: Accelerator
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return ({term: value}, {term: whether any process has labels}).

    The values' gradients, averaged over processes, are those of the mean over the global batch.
    """
    counts = torch.cat([mean.count.float().flatten() for mean in terms.values()])
    if accelerator.num_processes > 1:
        counts = accelerator.reduce(counts, "mean")
    parts = counts.split([mean.count.numel() for mean in terms.values()])
    means = {
        name: Mean(mean.total, count.view_as(mean.count))
        for (name, mean), count in zip(terms.items(), parts, strict=True)
    }
    values = {name: mean.value for name, mean in means.items()}
    return values, {name: mean.count > 0 for name, mean in means.items()}


def has_own_batch_norm(choice: str, accelerator: Accelerator) -> bool:
    """Return whether each of several processes has a batch norm of its own.

    choice: of --batch_norm. PyTorch's batch norm over all processes runs on GPUs alone.
    """
    several = accelerator.num_processes > 1
    return several and (choice == "local" or accelerator.device.type != "cuda")


def synchronised_batch_norm(model: Module) -> Module:
    """Return the model with batch norm over the batch of all processes; names stay the same."""
    from timm.layers import convert_sync_batchnorm

    return convert_sync_batchnorm(model)


@torch.no_grad()
def average_buffers(modules: Sequence[nn.Module]) -> None:
    """Give every process the mean over processes of the modules' running moments."""
    buffers = [b for module in modules for b in module.buffers() if b.is_floating_point()]
    together = torch.cat([b.flatten() for b in buffers])
    dist.all_reduce(together)
    together /= dist.get_world_size()
    for buffer, mean in zip(buffers, together.split([b.numel() for b in buffers]), strict=True):
        buffer.copy_(mean.view_as(buffer))
