"""Losses for sparse and coarse labels. Each returns a `Mean`: the sum over what is labelled, and how much that is.

Keeping sum and count apart lets one place divide: over the batch, over all processes, or over a whole validation set.
A batch without labels has count 0 and a sum of zero that still carries a gradient.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F

IGNORE = 255


class Mean(NamedTuple):
    """A sum (scalar tensor, differentiable) over `count` (scalar tensor, no gradient) labelled items.

    Or one of each of several groups [G], whose means weigh the same.
    """

    total: torch.Tensor
    count: torch.Tensor

    @property
    def value(self):
        """The mean, that of the groups' means where there are several; 0 where nothing is labelled."""
        known = self.count > 0
        means = torch.where(known, self.total / torch.where(known, self.count, 1), 0)
        return means.sum() / known.sum().clamp(min=1)


def at_least_single(logits):
    """Lift half precision to float32, for sums over many pixels; double precision stays."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def partial_cross_entropy(logits, target):
    """Cross-entropy over labelled pixels only (Tang et al., CVPR 2018; with every pixel labelled, the usual one).

    logits [B, C, H, W] float; target [B, H, W] integer class or 255 = unlabelled.
    """
    target = target.long()
    total = F.cross_entropy(at_least_single(logits), target, ignore_index=IGNORE, reduction="sum")
    return Mean(total, (target != IGNORE).sum())


def self_label_loss(logits, teacher, where, confidence):
    """Cross-entropy to soft labels (Tarvainen & Valpola, NeurIPS 2017), each class normalised by itself.

    logits [B, C, H, W]; teacher [B, C, H, W] probabilities, no gradient; where [B, H, W] bool. A pixel counts with its
    confidence where that is at least `confidence`. The classes that the teacher sees are the groups of the mean.
    """
    sure, label = teacher.max(1)
    weight = sure * (where & (sure >= confidence))
    each = -(teacher * at_least_single(logits).log_softmax(1)).sum(1) * weight
    classes = F.one_hot(label, teacher.shape[1]).to(each.dtype).flatten(0, 2)
    return Mean(each.flatten() @ classes, weight.to(each.dtype).flatten() @ classes)


def allowed_classes(tags, tag_class, num_classes):
    """Return which classes the tags leave possible, [B, C] bool: all but those whose every tag is known to be absent.

    tags [B, T]: 1 present, 0 absent, -1 unknown; tag_class [T] long: the class a tag shows.
    """
    shown = F.one_hot(tag_class, num_classes).to(tags.dtype)
    return ((tags != 0).to(tags.dtype) @ shown > 0) | (shown.sum(0) == 0)


def tag_loss(logits, target):
    """Binary cross-entropy of each image tag; with all tags known it equals `MultiLabelSoftMarginLoss`.

    logits [B, T] float; target [B, T] float: 1 present, 0 absent, -1 unknown.
    """
    known, logits = target >= 0, at_least_single(logits)
    each = F.binary_cross_entropy_with_logits(logits, target.clamp(min=0).to(logits.dtype), reduction="none")
    return Mean((each * known).sum(), known.sum())


@torch.no_grad()
def cam_pseudo_mask(cam, tags, tag_class, size, foreground=0.4, background=0.2):
    """Turn class activation maps (Zhou et al., CVPR 2016) into a mask with an ignored band of doubt.

    cam [B, T, h, w] logits; tags [B, T]: 1 present, 0 absent, -1 unknown; only present ones may appear;
    tag_class [T] long: the mask class a tag shows; size: (H, W).
    Each map is cut at zero, divided by its maximum, and resized. A pixel takes the class of the strongest map where
    it is at least `foreground`, class 0 where it is below `background`, else 255. An image has no background while a
    present tag shows nowhere or a tag is unknown: that object may be anywhere. Returns [B, H, W] long.
    """
    present = tags == 1
    maps = cam.float().clamp(min=0) * present[:, :, None, None]
    peaks = maps.amax(dim=(2, 3))
    maps = maps / peaks.clamp(min=torch.finfo(torch.float32).tiny)[:, :, None, None]
    maps = F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
    strength, tag = maps.max(dim=1)
    complete = ((tags == 0) | (present & (peaks > 0))).all(1)[:, None, None]
    mask = torch.full_like(tag, IGNORE)
    mask[(strength < background) & complete] = 0
    return torch.where((strength >= foreground) & (strength > 0), tag_class[tag], mask)


class UncertaintyWeighting(torch.nn.Module):
    """Learned weights of classification terms (Kendall et al., CVPR 2018): exp(-s) * loss + s / 2, s = log variance.

    Left alone, s settles at log(2 * loss). A term without labels in the batch (value exactly 0) doesn't move its s.
    """

    def __init__(self, names):
        super().__init__()
        self.log_variance = torch.nn.ParameterDict({name: torch.nn.Parameter(torch.zeros(())) for name in names})

    def forward(self, name, value, labelled=None):
        s = self.log_variance[name]
        return torch.exp(-s) * value + s / 2 * (value.detach() != 0 if labelled is None else labelled)
