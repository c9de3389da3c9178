"""The optimiser, its groups of parameters, and the schedule of its learning rate."""

import math

import torch


def make_optimizer(
    model, criterion, steps, lr, decoder_lr_scale, weight_decay, warmup, encoder="unet.encoder"
):
    """Return AdamW (encoder at `lr`, the rest faster, no decay on vectors) and its warm-up + cosine
    schedule.

    encoder: what the names of the encoder's parameters start with
    """
    groups = {}
    for name, p in [*model.named_parameters(), *criterion.named_parameters()]:
        scale = 1.0 if name.startswith(encoder) else decoder_lr_scale
        groups.setdefault((scale, weight_decay if p.ndim > 1 else 0.0), []).append(p)
    optimizer = torch.optim.AdamW(
        [
            {"params": ps, "lr": lr * scale, "weight_decay": decay}
            for (scale, decay), ps in groups.items()
        ],
        fused=not torch.backends.mps.is_available(),
    )
    rise = max(1, round(warmup * steps))
    fall = max(1, steps - rise)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda k: (
            (k + 1) / rise
            if k < rise
            else 0.5 * (1 + math.cos(math.pi * min(1, (k - rise) / fall)))
        ),
    )
    return optimizer, schedule
