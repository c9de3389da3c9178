"""The loss of a mean teacher: soft labels for pixels that nobody labelled."""

import torch
import torch.nn.functional as F

from weakseg.losses.base import Mean, at_least_single


def self_label_loss(
    logits: torch.Tensor, teacher: torch.Tensor, where: torch.Tensor, confidence: float
) -> Mean:
    """Cross-entropy to soft labels (Tarvainen & Valpola, NeurIPS 2017), averaged class by class.

    logits [B, C, H, W]; teacher [B, C, H, W] probabilities, no gradient; where [B, H, W] bool. A
    pixel counts with its confidence where that is at least `confidence`. The classes that the
    teacher sees are the groups of the mean.
    """
    sure, label = teacher.max(1)
    weight = sure * (where & (sure >= confidence))
    each = -(teacher * at_least_single(logits).log_softmax(1)).sum(1) * weight
    classes = F.one_hot(label, teacher.shape[1]).to(each.dtype).flatten(0, 2)
    return Mean(each.flatten() @ classes, weight.to(each.dtype).flatten() @ classes)


def allowed_classes(tags: torch.Tensor, tag_class: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Return which classes the tags leave possible, [B, C] bool.

    Impossible is a class whose every tag is known to be absent.
    tags [B, T]: 1 present, 0 absent, -1 unknown; tag_class [T] long: the class a tag shows
    """
    shown = F.one_hot(tag_class, num_classes).to(tags.dtype)
    return ((tags != 0).to(tags.dtype) @ shown > 0) | (shown.sum(0) == 0)
