"""The losses of image tags: their classification, and the pseudo-mask of their activation maps."""

import torch
import torch.nn.functional as F

from weakseg.common import IGNORE
from weakseg.losses.base import Mean, at_least_single


def tag_loss(logits: torch.Tensor, target: torch.Tensor) -> Mean:
    """Binary cross-entropy of each image tag; with all known it is `MultiLabelSoftMarginLoss`.

    logits [B, T] float; target [B, T] float: 1 present, 0 absent, -1 unknown.
    """
    known, logits = target >= 0, at_least_single(logits)
    each = F.binary_cross_entropy_with_logits(
        logits, target.clamp(min=0).to(logits.dtype), reduction="none"
    )
    return Mean((each * known).sum(), known.sum())


@torch.no_grad()
def cam_pseudo_mask(
    cam: torch.Tensor,
    tags: torch.Tensor,
    tag_class: torch.Tensor,
    size: tuple[int, int],
    foreground: float = 0.4,
    background: float = 0.2,
    has_background: bool = True,
) -> torch.Tensor:
    """Turn class activation maps (Zhou et al., CVPR 2016) into a pseudo-mask [B, H, W] long.

    cam [B, T, h, w] logits; tags [B, T]: 1 present, 0 absent, -1 unknown; tag_class [T] long: the
    mask class a tag shows; size: (H, W). Only present tags may appear. Each map is cut at zero,
    divided by its maximum, and resized. A pixel takes the class of the strongest map where it is at
    least `foreground`, class 0 where it is below `background`, else 255. An image has no background
    while a present tag shows nowhere or a tag is unknown: that object may be anywhere. Nor has any
    image of a data set without a background.
    """
    present = tags == 1
    maps = cam.float().clamp(min=0) * present[:, :, None, None]
    peaks = maps.amax(dim=(2, 3))
    maps = maps / peaks.clamp(min=torch.finfo(torch.float32).tiny)[:, :, None, None]
    maps = F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
    strength, tag = maps.max(dim=1)
    complete = ((tags == 0) | (present & (peaks > 0))).all(1)[:, None, None]
    mask = torch.full_like(tag, IGNORE)
    if has_background:
        mask[(strength < background) & complete] = 0
    return torch.where((strength >= foreground) & (strength > 0), tag_class[tag], mask)
