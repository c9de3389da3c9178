"""Losses for sparse and coarse labels. Each returns a `Mean`: the sum over what is labelled, and
how much that is.

Keeping sum and count apart lets one place divide: over the batch, over all processes, or over a
whole validation set. A batch without labels has count 0 and a sum of zero that still carries a
gradient.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from weakseg.common import IGNORE
from weakseg.losses import projection
from weakseg.losses.base import Mean, at_least_single
from weakseg.losses.gated_crf import gated_crf_loss
from weakseg.training import recipes
from weakseg.training.recipes import LossOptions, Options


def partial_cross_entropy(logits, target):
    """Cross-entropy over labelled pixels only (Tang et al., CVPR 2018; with every pixel labelled,
    the usual one).

    logits [B, C, H, W] float; target [B, H, W] integer class or 255 = unlabelled.
    """
    target = target.long()
    total = F.cross_entropy(at_least_single(logits), target, ignore_index=IGNORE, reduction="sum")
    return Mean(total, (target != IGNORE).sum())


def self_label_loss(logits, teacher, where, confidence):
    """Cross-entropy to soft labels (Tarvainen & Valpola, NeurIPS 2017), each class normalised by
    itself.

    logits [B, C, H, W]; teacher [B, C, H, W] probabilities, no gradient; where [B, H, W] bool. A
    pixel counts with its confidence where that is at least `confidence`. The classes that the
    teacher sees are the groups of the mean.
    """
    sure, label = teacher.max(1)
    weight = sure * (where & (sure >= confidence))
    each = -(teacher * at_least_single(logits).log_softmax(1)).sum(1) * weight
    classes = F.one_hot(label, teacher.shape[1]).to(each.dtype).flatten(0, 2)
    return Mean(each.flatten() @ classes, weight.to(each.dtype).flatten() @ classes)


def allowed_classes(tags, tag_class, num_classes):
    """Return which classes the tags leave possible, [B, C] bool: all but those whose every tag is
    known to be absent.

    tags [B, T]: 1 present, 0 absent, -1 unknown; tag_class [T] long: the class a tag shows.
    """
    shown = F.one_hot(tag_class, num_classes).to(tags.dtype)
    return ((tags != 0).to(tags.dtype) @ shown > 0) | (shown.sum(0) == 0)


def tag_loss(logits, target):
    """Binary cross-entropy of each image tag; with all tags known it equals
    `MultiLabelSoftMarginLoss`.

    logits [B, T] float; target [B, T] float: 1 present, 0 absent, -1 unknown.
    """
    known, logits = target >= 0, at_least_single(logits)
    each = F.binary_cross_entropy_with_logits(
        logits, target.clamp(min=0).to(logits.dtype), reduction="none"
    )
    return Mean((each * known).sum(), known.sum())


@torch.no_grad()
def cam_pseudo_mask(cam, tags, tag_class, size, foreground=0.4, background=0.2):
    """Turn class activation maps (Zhou et al., CVPR 2016) into a mask with an ignored band of
    doubt.

    cam [B, T, h, w] logits; tags [B, T]: 1 present, 0 absent, -1 unknown; only present ones may
    appear; tag_class [T] long: the mask class a tag shows; size: (H, W). Each map is cut at zero,
    divided by its maximum, and resized. A pixel takes the class of the strongest map where it is at
    least `foreground`, class 0 where it is below `background`, else 255. An image has no background
    while a present tag shows nowhere or a tag is unknown: that object may be anywhere. Returns [B,
    H, W] long.
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
    """Learned weights of classification terms (Kendall et al., CVPR 2018): exp(-s) * loss + s / 2,
    s = log variance.

    Left alone, s settles at log(2 * loss). A term without labels in the batch (value exactly 0)
    doesn't move its s.
    """

    def __init__(self, names):
        super().__init__()
        self.log_variance = torch.nn.ParameterDict(
            {name: torch.nn.Parameter(torch.zeros(())) for name in names}
        )

    def forward(self, name, value, labelled=None):
        s = self.log_variance[name]
        return torch.exp(-s) * value + s / 2 * (
            value.detach() != 0 if labelled is None else labelled
        )


class Criterion(nn.Module):
    """The terms of all chosen signals and of the recipe, and the one line that weighs and sums
    them.

    weights: {term: float}; a term of weight 0 is left out. weighting: 'fixed', or 'uncertainty':
    the weights of the signals' terms are learned, then.
    """

    cam_scale = 1.5  # pseudo-masks come from images enlarged this much: at 128 px the maps have 12 x 12 cells, not 8 x 8

    def __init__(self, signals, weights, options, weighting="fixed", recipe=recipes.DEFAULT):
        super().__init__()
        self.signals, self.options, self.recipe = signals, options, recipe
        self.weights = {term: weight for term, weight in weights.items() if weight > 0}
        self.added = [term for term in self.weights if term in recipes.ADDED_TERMS]
        self.blind = tuple(signals) == (
            "tags",
        )  # nothing says where objects are until there are activation maps
        own = [term for term in self.weights if term not in recipes.ADDED_TERMS]
        self.learned = UncertaintyWeighting(own) if weighting == "uncertainty" else None

    def forward(self, outputs, targets, image, cam=True):
        """Return {term: Mean} of the signals; the term `cam` only while `cam` is true.

        In evaluation mode boxes are never open: outside of them alone, a network that sees no
        object is the best.
        """
        options = self.options if self.training else replace(self.options, open_boxes=False)
        terms = {}
        for signal in self.signals:
            terms |= SIGNAL_LOSSES[signal](outputs, targets[signal], image, options)
        return {
            name: mean
            for name, mean in terms.items()
            if name in self.weights and (cam or name != "cam")
        }

    def extras(self, outputs, batch, teacher, progress):
        """Return {term: Mean} of the recipe; teacher: softmax [B, C, H, W]; progress: share of the
        training, in [0, 1].

        All of them grow with the progress but those that are labels.
        """
        step, found = (
            Step(outputs, batch, teacher, self.options, self.recipe),
            {},
        )
        for name in self.added:
            mean = ADDED_LOSSES[name](step)
            found[name] = Mean(mean.total * self.recipe.growth(name, progress), mean.count)
        return found

    def of_masks(self, outputs, mask):
        """Return the cross-entropy `Mean` on ground truth [B, H, W], which validation looks at."""
        return partial_cross_entropy(outputs["seg"], mask)

    def combine(self, values, outputs, labelled=None):
        """Return the loss to minimise, a scalar with a gradient even where nothing is labelled.

        labelled: {term: whether the batch has labels for it}; by default a term whose value is 0
        has none.
        """
        if self.learned:
            own = [name for name in values if name in self.learned.log_variance]
            known = dict.fromkeys(own) if labelled is None else labelled
            values = values | {name: self.learned(name, values[name], known[name]) for name in own}
        return sum(
            (w * values[n] for n, w in self.weights.items() if n in values),
            0 * outputs["seg"].sum(),
        )

    def weighted(self, values):
        """Return the weighted sum of plain numbers, without learned weights: comparable between
        epochs.
        """
        return sum(self.weights[name] * value for name, value in values.items())


@dataclass(frozen=True)
class Step:
    """What the added terms of one training step see."""

    outputs: dict
    batch: dict
    teacher: Any  # softmax [B, C, H, W] of the teacher, None where no term needs it
    labels: LossOptions
    options: Options

    @cached_property
    def probabilities(self):
        """Softmax [B, C, H, W] in at least single precision."""
        return at_least_single(self.outputs["seg"]).softmax(1)

    @cached_property
    def unlabelled(self):
        """Pixels [B, H, W] without an annotation; open boxes annotate what is outside of them."""
        free = torch.ones_like(self.outputs["seg"][:, 0], dtype=torch.bool)
        for signal, target in self.batch["targets"].items():
            if signal == "boxes" and self.labels.open_boxes:
                free &= target > 0
            elif signal != "tags":
                free &= target == IGNORE
        return free

    def without_absent_classes(self, probabilities):
        """Give the share of classes that the image's tags exclude to the others, [B, C, H, W];
        without tags, as is.
        """

        if "tags" not in self.batch["targets"]:
            return probabilities
        tags = self.batch["targets"]["tags"]
        allowed = allowed_classes(
            tags, tags.new_tensor(self.labels.tag_class).long(), probabilities.shape[1]
        )
        kept = probabilities * allowed[:, :, None, None]
        return kept / kept.sum(1, keepdim=True).clamp(min=1e-6)


def pseudo_mask_loss(name):
    """Return the loss of a pseudo-mask among the extras: cross-entropy on the pixels of which it is
    sure.
    """

    def loss(step):
        return partial_cross_entropy(step.outputs["seg"], step.batch["extras"][name])

    return loss


def crf_loss(step):
    """Gated CRF at half the size: a quarter of the work, on twice the distance."""
    image = F.avg_pool2d(step.batch["image"].float(), 2)
    return gated_crf_loss(F.avg_pool2d(step.probabilities, 2), image)


def projection_loss(step):
    """Each row and column of an object's box shows the object somewhere."""
    return projection.projection_loss(step.probabilities, step.batch["extras"]["objects"])


def colour_loss(step):
    """Neighbours of one colour have one class, inside boxes."""
    inside = step.batch["targets"]["boxes"] > 0
    return projection.colour_pairwise_loss(step.probabilities, step.batch["image"], inside)


def fill_loss(step):
    """An object fills neither all of its box nor next to nothing of it."""
    return projection.fill_loss(step.probabilities, step.batch["extras"]["objects"])


def teacher_loss(step):
    """Soft cross-entropy to the teacher where nobody labelled and it is sure; classes weigh the
    same.
    """

    labels = step.without_absent_classes(step.teacher)
    return self_label_loss(
        step.outputs["seg"], labels, step.unlabelled, step.options.teacher_confidence
    )


def segmentation_loss(name):
    """Return the loss of a signal whose target is a mask, sparse or dense: cross-entropy on its
    labelled pixels.
    """

    def loss(outputs, target, image, options):
        return {name: partial_cross_entropy(outputs["seg"], target)}

    return loss


def boxes_loss(outputs, target, image, options):
    """Cross-entropy on the pseudo-mask that boxes give; with open boxes only the background
    outside.
    """
    if options.open_boxes:
        target = target.masked_fill(target > 0, IGNORE)
    return segmentation_loss("boxes")(outputs, target, image, options)


def tags_loss(outputs, target, image, options):
    """Classification of the tags, and cross-entropy on the pseudo-mask that their activation maps
    give.
    """

    tag_class = target.new_tensor(options.tag_class).long()
    size = outputs["seg"].shape[-2:]
    mask = cam_pseudo_mask(
        outputs["cam"], target, tag_class, size, options.cam_foreground, options.cam_background
    )
    return {
        "tags": tag_loss(outputs["tags"], target),
        "cam": partial_cross_entropy(outputs["seg"], mask),
    }


# The loss of each signal, and of each term that a recipe adds, by the names of `SIGNALS` and
# `ADDED_TERMS`.
SIGNAL_LOSSES = {
    "full": segmentation_loss("full"),
    "tags": tags_loss,
    "points": segmentation_loss("points"),
    "scribbles": segmentation_loss("scribbles"),
    "boxes": boxes_loss,
}
ADDED_LOSSES = {
    "grabcut": pseudo_mask_loss("grabcut"),
    "walk": pseudo_mask_loss("walk"),
    "cams": pseudo_mask_loss("cams"),
    "crf": crf_loss,
    "projection": projection_loss,
    "colour": colour_loss,
    "fill": fill_loss,
    "teacher": teacher_loss,
}
