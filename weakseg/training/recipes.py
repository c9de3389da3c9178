"""Recipes: which losses a run has besides those of its labels, and how much each weighs.

`plain` adds nothing. `strong` adds the terms of STRONG, which need no further label: pixels that
nobody labelled learn from random walks, from a cut along edges, from their object's box, from
their colour, and from a mean teacher. A run that starts from a probe has the probe's pseudo-masks
in place of all these.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weakseg.common import UserError
from weakseg.labels.signals import TERMS
from weakseg.training.flags import option

# Weights of the strong recipe, by signal; a signal's own terms keep their usual ones unless they
# are named. The few pixels of clicks, which the pseudo-masks hold as well, would otherwise count as
# much as all others together.
STRONG: dict[str, dict[str, float]] = {
    "full": {},
    "tags": {"cams": 1.0, "crf": 0.02, "teacher": 1.0},
    "points": {"points": 0.1, "walk": 1.0, "crf": 0.02, "teacher": 1.0},
    "scribbles": {"walk": 1.0, "crf": 0.02, "teacher": 1.0},
    "boxes": {"grabcut": 1.0, "walk": 1.0, "projection": 1.0, "crf": 0.1},
    "outlines": {"grabcut": 1.0, "crf": 0.02},
    "pixels": {"crf": 0.02, "teacher": 1.0},
}
# What is different with more than two classes, the background being one: the teacher weighs all
# classes the same, and would see the rare ones everywhere.
STRONG_MANY: dict[str, dict[str, float]] = {
    "points": {"teacher": 0.0},
    "scribbles": {"teacher": 0.0},
    "pixels": {"teacher": 0.0},
}
# What is different where a run starts from a probe and images lack masks: the probe's chances
# replace all added terms. Clicks and answers hold the network where they are, and count more; what
# boxes say is in the chances as well.
FROM_PROBE = {"probe": 1.0, "points": 0.3, "boxes": 0.1, "pixels": 0.3}


@dataclass(frozen=True)
class AddedTerm:
    """One added loss; its function is the row of the same name in `losses.ADDED_LOSSES`.

    signals     it needs one of these; none: any will do
    extra       what the loader must add
    label       whether it is one, and counts in full from the start; others grow
    unless      better terms, which replace it in a recipe
    """

    signals: tuple[str, ...] = ()
    extra: str | None = None
    label: bool = False
    unless: frozenset[str] = frozenset()

    def serves(self, signals: Sequence[str]) -> bool:
        """Return whether a run of these signals can have this term."""
        return not self.signals or bool({*self.signals} & {*signals})


ADDED_TERMS = {
    "grabcut": AddedTerm(("points", "scribbles", "boxes", "outlines"), "grabcut", label=True),
    "walk": AddedTerm(("points", "scribbles", "boxes", "outlines"), "walk", label=True),
    "cams": AddedTerm(("tags",), "cams", label=True, unless=frozenset({"walk", "grabcut"})),
    "probe": AddedTerm(
        ("tags", "points", "scribbles", "boxes", "outlines", "pixels"), "probe", label=True
    ),
    "crf": AddedTerm(),
    "projection": AddedTerm(("boxes",), "objects"),
    "teacher": AddedTerm(unless=frozenset({"grabcut"})),
}


@dataclass(frozen=True)
class AddedOptions:
    """What the added terms need besides weights."""

    ramp: float = option(
        0.3, "share of the steps over which the added losses grow that are no labels", type=float
    )
    teacher_decay: float = option(0.99, "of the teacher's moving average", type=float)
    teacher_confidence: float = option(
        0.6, "the teacher's opinion counts from this softmax value on", type=float
    )
    second_round: float = option(
        0.5, "share of the epochs after which pseudo-masks are made anew; 1: never", type=float
    )

    def growth(self, term: str, progress: float) -> float:
        """Return the factor of a term's weight after a share `progress` of the training."""
        full = ADDED_TERMS[term].label or progress >= self.ramp
        return 1.0 if full else progress / self.ramp


@dataclass(frozen=True)
class LossOptions:
    """What the signals' losses need besides outputs and targets.

    tag_class       the mask class that each tag shows
    cam_foreground  value of a CAM, of its maximum, from which it is the class
    cam_background  value below which it is background
    open_boxes      whether the inside of a box is unlabelled instead of its class
    has_background  whether class 0 is what no object covers
    """

    tag_class: tuple[int, ...]
    cam_foreground: float = 0.4
    cam_background: float = 0.2
    open_boxes: bool = False
    has_background: bool = True


def usual_weights(
    recipe: str,
    signals: Sequence[str],
    num_classes: int,
    start: str | None = None,
    all_masks: bool | None = None,
) -> dict[str, float]:
    """Return {term: weight} that a recipe, 'plain' or 'strong', gives a run of these signals.

    A mix has the terms of all its signals, each with its largest weight, but for those that a
    better one replaces. num_classes: the background is one of them; start: 'probe', whose
    pseudo-masks replace all that is added, or None; all_masks: whether every image has a mask; by
    default where masks are among the signals
    """
    all_masks = "full" in signals if all_masks is None else all_masks
    weights: dict[str, float] = {}
    for signal in signals if recipe == "strong" else ():
        many = STRONG_MANY.get(signal, {}) if num_classes > 2 else {}
        for term, weight in (STRONG[signal] | many).items():
            weights[term] = max(weight, weights.get(term, 0.0))
    replaced = {
        term
        for term in weights.keys() & ADDED_TERMS.keys()
        if weights.keys() & ADDED_TERMS[term].unless
    }
    if recipe == "strong" and start == "probe":
        replaced = {*ADDED_TERMS} - FROM_PROBE.keys()
        if not all_masks:
            used = {"probe", *signals}
            weights |= {term: weight for term, weight in FROM_PROBE.items() if term in used}
    return {term: weight for term, weight in weights.items() if term not in replaced}


def term_weights(
    recipe: str,
    signals: tuple[str, ...],
    num_classes: int,
    given: Mapping[str, float | None],
    lambda_seg: float = 1.0,
    select_by: str | None = "val_loss",
    start: str | None = None,
    all_masks: bool | None = None,
) -> dict[str, float]:
    """Return {term: weight} of a run: the signals' own terms, and those of the recipe.

    given: {term: weight or None} of --lambda_TERM, which beat the recipe
    lambda_seg: multiplies the terms of pixels, all but the classification of tags
    start, all_masks: as `usual_weights` takes them
    Raises `UserError` for weights that this run has no loss for, or that make no sense.
    """
    # What the recipe and the signals would have.
    usual = dict.fromkeys(signals, 1.0)
    if "tags" in signals:
        usual["cam"] = 1.0 if signals == ("tags",) and recipe == "plain" else 0.0
    usual |= {term: 0.0 for term, added in ADDED_TERMS.items() if added.serves(signals)}
    usual |= usual_weights(recipe, signals, num_classes, start, all_masks)

    # What the user gave instead.
    weights = {}
    for term, default in usual.items():
        weight = given.get(term)
        weights[term] = (default if weight is None else weight) * (
            1.0 if term == "tags" else lambda_seg
        )

    for term in (*TERMS, *ADDED_TERMS):
        if term not in usual and given.get(term) is not None:
            raise UserError(
                f"--lambda_{term}: this run has no {term} loss "
                f"(its supervision is {', '.join(signals)})"
            )
    if min(weights.values()) < 0 or not any(weights.values()):
        raise UserError("--lambda_...: weights must not be negative, and one must be positive")
    if weights.get("cam") and not weights["tags"]:
        raise UserError(
            "--lambda_tags 0: nothing would train the activation maps; "
            "raise it, or give --lambda_cam 0"
        )
    of_pixels = [weights[term] for term in (*signals, "cam") if term != "tags" and term in weights]
    if select_by == "weak_val_loss" and not any(of_pixels):
        raise UserError(
            f"--select_by weak_val_loss: no loss of the {', '.join(signals)} looks at pixels; "
            "use val_loss"
        )
    return weights
