"""Recipes: what a run adds to the plain losses of its labels, and how much of it.

`plain` adds nothing. `strong` adds the terms of STRONG, which need no further label: pixels that
nobody labelled learn from their colour, from their object's box, from a cut along edges, and from a
slowly moving copy of the network.
"""

from dataclasses import dataclass, field

from weakseg.common import UserError
from weakseg.labels.signals import TERMS

# Weights of the strong recipe, by signal; a signal's own terms keep their usual ones unless they
# are named. The few pixels of clicks, which the grown masks hold as well, would otherwise count as
# much as all others together.
STRONG = {
    "full": {},
    "tags": {"cams": 1.0, "crf": 0.02, "teacher": 1.0},
    "points": {"points": 0.1, "walk": 1.0, "crf": 0.02, "teacher": 1.0},
    "scribbles": {"walk": 1.0, "crf": 0.02, "teacher": 1.0},
    "boxes": {"grabcut": 1.0, "walk": 1.0, "projection": 1.0, "crf": 0.1},
}
# What is different with more than two classes, the background being one: a teacher for whom all
# classes weigh the same then sees the rare ones everywhere.
STRONG_MANY = {"points": {"teacher": 0.0}, "scribbles": {"teacher": 0.0}}


def option(default, text):
    """Return a dataclass field with a help text."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Options:
    """What the added terms need besides weights."""

    ramp: float = option(
        0.3, "share of the steps over which the added losses grow that are no labels"
    )
    teacher_decay: float = option(0.99, "of the teacher's moving average")
    teacher_confidence: float = option(0.6, "the teacher's opinion counts from this softmax value")
    second_round: float = option(
        0.5, "share of the epochs after which grown pseudo-masks are made anew; 1: never"
    )

    def growth(self, term, progress):
        """Return the factor of a term's weight when a share `progress` of the training is done."""
        return 1.0 if ADDED_TERMS[term].label or progress >= self.ramp else progress / self.ramp


DEFAULT = Options()


@dataclass(frozen=True)
class AddedTerm:
    """One added loss; its function is the row of the same name in `losses.ADDED_LOSSES`.

    signals     it needs one of these; none: any will do
    extra       what the loader must add
    label       whether it is one, and counts in full from the start; others grow
    unless      better terms, which replace it in a recipe
    """

    signals: tuple = ()
    extra: str | None = None
    label: bool = False
    unless: frozenset = frozenset()

    def serves(self, signals):
        """Whether a run of these signals can have this term."""
        return not self.signals or bool({*self.signals} & {*signals})


ADDED_TERMS = {
    "grabcut": AddedTerm(("points", "scribbles", "boxes"), "grabcut", label=True),
    "walk": AddedTerm(("points", "scribbles", "boxes"), "walk", label=True),
    "cams": AddedTerm(("tags",), "cams", label=True, unless={"walk", "grabcut"}),
    "crf": AddedTerm(),
    "projection": AddedTerm(("boxes",), "objects"),
    "colour": AddedTerm(("boxes",)),
    "fill": AddedTerm(("boxes",), "objects"),
    "teacher": AddedTerm(unless={"grabcut"}),
}


def usual_weights(recipe, signals, num_classes):
    """Return {term: weight} of a recipe, 'plain' or 'strong', for the signals of a run and its
    number of classes.

    A mix has the terms of all its signals, each with its largest weight, but for those that a
    better one replaces.
    """
    found = {}
    for signal in signals if recipe == "strong" else ():
        many = STRONG_MANY.get(signal, {}) if num_classes > 2 else {}
        for term, weight in (STRONG[signal] | many).items():
            found[term] = max(weight, found.get(term, 0.0))
    return {
        term: weight
        for term, weight in found.items()
        if term not in ADDED_TERMS or not found.keys() & ADDED_TERMS[term].unless
    }


@dataclass(frozen=True)
class LossOptions:
    """What losses need besides outputs and target: the mask class each tag shows, how CAMs become
    masks, and whether the inside of a box is its class or unlabelled.
    """

    tag_class: tuple
    cam_foreground: float = 0.4
    cam_background: float = 0.2
    open_boxes: bool = False


def term_weights(args, signals, num_classes):
    """Return {term: weight} of the chosen signals and the recipe; pixel terms are also multiplied
    by --lambda_seg.

    num_classes: the background is one of them
    """
    usual = dict.fromkeys(signals, 1.0)
    if "tags" in signals:
        usual["cam"] = 1.0 if signals == ("tags",) and args.recipe == "plain" else 0.0
    usual |= {term: 0.0 for term, added in ADDED_TERMS.items() if added.serves(signals)}
    usual |= usual_weights(args.recipe, signals, num_classes)
    weights = {}
    for term, default in usual.items():
        given = getattr(args, f"lambda_{term}")
        weights[term] = (default if given is None else given) * (
            1.0 if term == "tags" else args.lambda_seg
        )
    for term in (*TERMS, *ADDED_TERMS):
        if term not in usual and getattr(args, f"lambda_{term}") is not None:
            raise UserError(
                f"--lambda_{term}: this run has no {term} loss (its supervision is {', '.join(signals)})"
            )
    if min(weights.values()) < 0 or not any(weights.values()):
        raise UserError("--lambda_...: weights must not be negative, and one must be positive")
    if weights.get("cam") and not weights["tags"]:
        raise UserError(
            "--lambda_tags 0: nothing would train the activation maps; raise it, or give --lambda_cam 0"
        )
    of_pixels = [weights[term] for term in (*signals, "cam") if term != "tags" and term in weights]
    if args.select_by == "weak_val_loss" and not any(of_pixels):
        raise UserError(
            f"--select_by weak_val_loss: no loss of the {', '.join(signals)} looks at pixels; use val_loss"
        )
    return weights
