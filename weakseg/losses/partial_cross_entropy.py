"""The loss of masks, sparse or dense: cross-entropy on the labelled pixels."""

import torch
import torch.nn.functional as F

from weakseg.common import IGNORE
from weakseg.losses.base import Mean, at_least_single


def partial_cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> Mean:
    """Cross-entropy over labelled pixels only (Tang et al., CVPR 2018).

    logits [B, C, H, W] float; target [B, H, W] integer class or 255 = unlabelled. With every pixel
    labelled it is the usual cross-entropy.
    """
    target = target.long()
    total = F.cross_entropy(at_least_single(logits), target, ignore_index=IGNORE, reduction="sum")
    return Mean(total, (target != IGNORE).sum())
