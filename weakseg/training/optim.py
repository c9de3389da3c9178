"""The optimiser, its groups of parameters, and the schedule of its learning rate."""

import math

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from weakseg.learners.probe_unet import PREFIX


def make_optimizer(
    model: nn.Module,
    criterion: nn.Module,
    steps: int,
    lr: float,
    decoder_lr_scale: float,
    weight_decay: float,
    warmup: float,
    trained: str | tuple[str, ...] = ("unet.encoder", PREFIX),
) -> tuple[torch.optim.AdamW, LambdaLR]:
    """Return AdamW and its schedule: a linear warm-up, then half a cosine.

    What comes trained, the encoder and a probe, learns at `lr`, the rest `decoder_lr_scale` times
    faster; vectors have no weight decay. warmup: share of the steps; trained: what the names of
    the parameters start with that come trained
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in [*model.named_parameters(), *criterion.named_parameters()]:
        scale = 1.0 if name.startswith(trained) else decoder_lr_scale
        decay = weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((scale, decay), []).append(parameter)
    optimizer = torch.optim.AdamW(
        [
            {"params": parameters, "lr": lr * scale, "weight_decay": decay}
            for (scale, decay), parameters in groups.items()
        ],
        fused=not torch.backends.mps.is_available(),
    )
    rise = max(1, round(warmup * steps))
    fall = max(1, steps - rise)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * min(1, (step - rise) / fall)))

    return optimizer, LambdaLR(optimizer, factor)
