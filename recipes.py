"""Recipes: what a run adds to the plain losses of its labels, and how much of it.

`plain` adds nothing. `strong` adds the terms of STRONG, which need no further label: pixels that nobody labelled learn
from their colour, from their object's box, from a cut along edges, and from a slowly moving copy of the network.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np

from supervision import IGNORE, LossOptions, crop_mask

MAX_BOXES = 32  # of one image in a batch; of more, the largest

# Weights of the strong recipe, by signal; a signal's own terms keep their usual ones unless they are named. The few
# pixels of clicks, which the grown masks hold as well, would otherwise count as much as all others together.
STRONG = {
    "full": {},
    "tags": {"cams": 1.0, "crf": 0.02, "teacher": 1.0},
    "points": {"points": 0.1, "walk": 1.0, "crf": 0.02, "teacher": 1.0},
    "scribbles": {"walk": 1.0, "crf": 0.02, "teacher": 1.0},
    "boxes": {"grabcut": 1.0, "walk": 1.0, "projection": 1.0, "crf": 0.1},
}
# What is different with more than two classes, the background being one: a teacher for whom all classes weigh the same
# then sees the rare ones everywhere.
STRONG_MANY = {"points": {"teacher": 0.0}, "scribbles": {"teacher": 0.0}}


def option(default, text):
    """Return a dataclass field with a help text."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Options:
    """What the added terms need besides weights."""

    ramp: float = option(0.3, "share of the steps over which the added losses grow that are no labels")
    teacher_decay: float = option(0.99, "of the teacher's moving average")
    teacher_confidence: float = option(0.6, "the teacher's opinion counts from this softmax value")
    second_round: float = option(0.5, "share of the epochs after which grown pseudo-masks are made anew; 1: never")

    def growth(self, term, progress):
        """Return the factor of a term's weight when a share `progress` of the training is done."""
        return 1.0 if TERMS[term].label or progress >= self.ramp else progress / self.ramp


DEFAULT = Options()


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
        from losses import at_least_single

        return at_least_single(self.outputs["seg"]).softmax(1)

    @cached_property
    def unlabelled(self):
        """Pixels [B, H, W] without an annotation; open boxes annotate what is outside of them."""
        import torch

        free = torch.ones_like(self.outputs["seg"][:, 0], dtype=torch.bool)
        for signal, target in self.batch["targets"].items():
            if signal == "boxes" and self.labels.open_boxes:
                free &= target > 0
            elif signal != "tags":
                free &= target == IGNORE
        return free

    def without_absent_classes(self, probabilities):
        """Give the share of classes that the image's tags exclude to the others, [B, C, H, W]; without tags, as is."""
        from losses import allowed_classes

        if "tags" not in self.batch["targets"]:
            return probabilities
        tags = self.batch["targets"]["tags"]
        allowed = allowed_classes(tags, tags.new_tensor(self.labels.tag_class).long(), probabilities.shape[1])
        kept = probabilities * allowed[:, :, None, None]
        return kept / kept.sum(1, keepdim=True).clamp(min=1e-6)


def pseudo_mask_loss(name):
    """Return the loss of a pseudo-mask among the extras: cross-entropy on the pixels of which it is sure."""

    def loss(step):
        from losses import partial_cross_entropy

        return partial_cross_entropy(step.outputs["seg"], step.batch["extras"][name])

    return loss


def crf_loss(step):
    """Gated CRF at half the size: a quarter of the work, on twice the distance."""
    import torch.nn.functional as F

    from regularisers import gated_crf_loss

    image = F.avg_pool2d(step.batch["image"].float(), 2)
    return gated_crf_loss(F.avg_pool2d(step.probabilities, 2), image)


def projection_loss(step):
    """Each row and column of an object's box shows the object somewhere."""
    from regularisers import projection_loss as loss

    return loss(step.probabilities, step.batch["extras"]["objects"])


def colour_loss(step):
    """Neighbours of one colour have one class, inside boxes."""
    from regularisers import colour_pairwise_loss

    inside = step.batch["targets"]["boxes"] > 0
    return colour_pairwise_loss(step.probabilities, step.batch["image"], inside)


def fill_loss(step):
    """An object fills neither all of its box nor next to nothing of it."""
    from regularisers import fill_loss as loss

    return loss(step.probabilities, step.batch["extras"]["objects"])


def teacher_loss(step):
    """Soft cross-entropy to the teacher where nobody labelled and it is sure; classes weigh the same."""
    from losses import self_label_loss

    labels = step.without_absent_classes(step.teacher)
    return self_label_loss(step.outputs["seg"], labels, step.unlabelled, step.options.teacher_confidence)


@dataclass(frozen=True)
class Term:
    """One added loss.

    loss(step) -> `losses.Mean`
    signals     it needs one of these; none: any will do
    extra       what the loader must add
    label       whether it is one, and counts in full from the start; others grow
    unless      better terms, which replace it in a recipe
    """

    loss: Callable
    signals: tuple = ()
    extra: str | None = None
    label: bool = False
    unless: frozenset = frozenset()

    def serves(self, signals):
        """Whether a run of these signals can have this term."""
        return not self.signals or bool({*self.signals} & {*signals})


TERMS = {
    "grabcut": Term(pseudo_mask_loss("grabcut"), ("points", "scribbles", "boxes"), "grabcut", label=True),
    "walk": Term(pseudo_mask_loss("walk"), ("points", "scribbles", "boxes"), "walk", label=True),
    "cams": Term(pseudo_mask_loss("cams"), ("tags",), "cams", label=True, unless={"walk", "grabcut"}),
    "crf": Term(crf_loss),
    "projection": Term(projection_loss, ("boxes",), "objects"),
    "colour": Term(colour_loss, ("boxes",)),
    "fill": Term(fill_loss, ("boxes",), "objects"),
    "teacher": Term(teacher_loss, unless={"grabcut"}),
}


def usual_weights(recipe, signals, num_classes):
    """Return {term: weight} of a recipe, 'plain' or 'strong', for the signals of a run and its number of classes.

    A mix has the terms of all its signals, each with its largest weight, but for those that a better one replaces.
    """
    found = {}
    for signal in signals if recipe == "strong" else ():
        many = STRONG_MANY.get(signal, {}) if num_classes > 2 else {}
        for term, weight in (STRONG[signal] | many).items():
            found[term] = max(weight, found.get(term, 0.0))
    return {
        term: weight for term, weight in found.items() if term not in TERMS or not found.keys() & TERMS[term].unless
    }


def object_boxes(annotation, view):
    """Return the boxes [[x0, y0, x1, y1, class], ...] in network pixels -> [MAX_BOXES, 5] float32, class -1 = none.

    Boxes that the view does not show are left out; coordinates reach beyond the image where the view cuts a box.
    """
    found = np.full((MAX_BOXES, 5), -1, np.float32)
    boxes = []
    for x0, y0, x1, y1, label in annotation:
        (left, top), (right, bottom) = view.map([[x0, y0], [x1, y1]])
        if view.flip:
            left, right = view.size - right, view.size - left
        if left < view.size and top < view.size and right > 0 and bottom > 0:
            boxes.append((left, top, right, bottom, label))
    boxes.sort(key=lambda box: (box[0] - box[2]) * (box[3] - box[1]))
    if boxes:
        found[: len(boxes)] = boxes[:MAX_BOXES]
    return found


def objects_of(labels, name, view):
    """Return the padded boxes of one image."""
    return object_boxes(labels[name]["boxes"], view)


def cut_of(masks, name, view):
    """Return the pseudo-mask of one image as the view shows it."""
    return crop_mask(masks[name], view)


def extras(weights, labels, masks):
    """Return what the loader adds for these terms: {key: function (id, view) -> array}.

    masks: {"grabcut", "walk", "cams": pseudo-masks [S, S] uint8 by image id}, those that are needed
    """
    makers = {"objects": partial(objects_of, labels)} | {key: partial(cut_of, found) for key, found in masks.items()}
    wanted = {TERMS[term].extra for term, weight in weights.items() if term in TERMS and weight} - {None}
    return {key: makers[key] for key in sorted(wanted)}
