"""Batch norm in several processes, on CPU as on GPU: over the batch of all of them, or over that of
each.
"""

import torch
import torch.distributed as dist
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from weakseg.common import UserError, keep_freed_memory
from weakseg.losses.base import Mean


def synchronise_batch_norm(model):
    """Make batch norm use the statistics of the whole batch over all processes; names stay the
    same.

    `torch.nn.SyncBatchNorm` runs on accelerators alone, so its forward and backward pass are
    written out for the CPU.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.forward = GlobalBatchNorm(module)
    return model


@torch.no_grad()
def average_buffers(modules):
    """Give every process the mean over processes of the modules' running moments, where each has
    its own batch norm.
    """
    buffers = [b for module in modules for b in module.buffers() if b.is_floating_point()]
    together = torch.cat([b.flatten() for b in buffers])
    dist.all_reduce(together)
    together /= dist.get_world_size()
    for buffer, mean in zip(buffers, together.split([b.numel() for b in buffers]), strict=True):
        buffer.copy_(mean.view_as(buffer))


class GlobalBatchNorm:
    """The forward pass of a `BatchNorm2d` (or timm's, with its activation) over the batch of all
    processes.
    """

    def __init__(self, module):
        self.module = [
            module
        ]  # in a list, so that the module doesn't hold itself through its own forward

    def __call__(self, x):
        norm, dtype = self.module[0], x.dtype
        x = x.to(
            torch.promote_types(dtype, torch.float32)
        )  # half precision can't count or sum so many pixels
        if norm.training:
            count, mean, variance = global_moments(x.detach())
            norm.num_batches_tracked.add_(1)
            norm.running_mean.lerp_(mean, norm.momentum)
            norm.running_var.lerp_(variance * count / (count - 1).clamp(min=1), norm.momentum)
            y = Normalise.apply(x, norm.weight, norm.bias, count, mean, variance, norm.eps)
        else:
            y = F.batch_norm(
                x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
            )
        y = y.to(dtype)
        return norm.act(norm.drop(y)) if hasattr(norm, "drop") else y


def global_moments(x):
    """Return (number of values, mean, biased variance) a channel of (B, C, H, W) over all
    processes, in one collective.

    Joined as by Chan, Golub & LeVeque (1979) from each process's moments about its own mean.
    """
    mean, variance = torch.ops.aten.batch_norm_update_stats(
        x, None, None, 0.0
    )  # many times faster than var_mean
    mine = torch.stack([torch.full_like(mean, x[:, 0].numel()), mean, variance])
    all_ = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(all_, mine)
    counts, means, variances = torch.stack(all_, 1)
    count = counts.sum(0)
    mean = (counts * means).sum(0) / count
    return count, mean, (counts * (variances + (means - mean).square())).sum(0) / count


class Normalise(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps) * weight + bias, with the gradient that x has through the
    global moments.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, count, mean, variance, eps):
        ctx.save_for_backward(x, weight, count, mean, variance)
        ctx.eps = eps
        return F.batch_norm(x, mean, variance, weight, bias, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, weight, count, mean, variance = ctx.saved_tensors
        # The gradients for fixed moments; those of weight and bias are also the sums that the
        # moments' share needs.
        of_x, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack([of_weight, of_bias])
        dist.all_reduce(sums)
        inverse = torch.rsqrt(variance + ctx.eps)
        slope, offset = sums * (weight * inverse / count)
        slope = slope * inverse
        shape = 1, -1, 1, 1
        of_x = of_x.sub_((offset - slope * mean).view(shape)).addcmul_(
            x, slope.view(shape), value=-1
        )
        return of_x, of_weight, of_bias, None, None, None, None


def make_accelerator(device="auto", amp=None, flag="--device", **options):
    """Return the 🤗 Accelerator for a device and precision; amp=None: half precision on CUDA,
    float32 elsewhere.

    flag: where the user gave the device, for the error message
    """
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.utils import DataLoaderConfiguration

    cuda = torch.cuda.is_available()
    there = {"auto": True, "cpu": True, "cuda": cuda, "mps": torch.backends.mps.is_available()}
    if not there[device]:
        raise UserError(f"{flag} {device}: not available here; use auto")
    on_cpu = device == "cpu" or not (cuda or there["mps"])
    if on_cpu:
        keep_freed_memory()
    half = (
        "fp16" if cuda and torch.cuda.get_device_capability()[0] < 8 else "bf16"
    )  # older GPUs emulate bf16, slowly
    try:
        return Accelerator(
            cpu=on_cpu,  # unless it is told so, Accelerate takes two processes without a GPU for two runs
            mixed_precision=half
            if amp or (amp is None and cuda and device in ("auto", "cuda"))
            else "no",
            dataloader_config=DataLoaderConfiguration(split_batches=True),
            # A run without tags never touches the tag head; batch norm sees to its buffers itself.
            kwargs_handlers=[
                DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)
            ],
            **options,
        )
    except (ImportError, ValueError) as error:
        raise UserError(f"{flag} {device}, {options}: {error}") from error


def global_means(terms, accelerator):
    """Return ({term: value}, {term: whether any process has labels}).

    The values' gradients, averaged over processes, are those of the mean over the global batch.
    """
    counts = torch.cat([mean.count.float().flatten() for mean in terms.values()])
    counts = accelerator.reduce(counts, "mean") if accelerator.num_processes > 1 else counts
    counts = counts.split([mean.count.numel() for mean in terms.values()])
    found = {
        n: Mean(mean.total, c.view_as(mean.count))
        for (n, mean), c in zip(terms.items(), counts, strict=True)
    }
    return {name: mean.value for name, mean in found.items()}, {
        name: mean.count > 0 for name, mean in found.items()
    }
