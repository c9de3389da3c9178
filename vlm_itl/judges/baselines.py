"""Judges without a model: a simulated one, the network's own confidence, and one for all."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import cv2
import numpy as np
from pydantic import Field

from vlm_itl.judges.base import ERRORS, Case, Judge, NoOptions, Verdict
from vlm_itl.settings import Section
from weakseg.common import IGNORE, UserError, choose, stable_seed
from weakseg.metrics import image_iou


class TrueMasks(Protocol):
    """Who knows the truth of each image: in a run, its `oracle.Examiner`."""

    def truth(self, name: str, /) -> np.ndarray:
        """Return the true mask [S, S] uint8, 255 where it is not known."""


class MockOptions(Section):
    """How often the simulated judge errs."""

    true_positive_rate: float = Field(
        default=0.9, ge=0, le=1, description="share of the good masks that it accepts"
    )
    false_positive_rate: float = Field(
        default=0.1, ge=0, le=1, description="share of the bad masks that it accepts"
    )
    iou_noise: float | None = Field(
        default=None,
        gt=0,
        description="standard deviation of its estimate of the IoU; null: it gives no estimate",
    )


class MockJudge(Judge[MockOptions]):
    """A simulated judge: it looks at the true mask and errs at a stated rate.

    It shows what a judge of that quality would be worth, and is no judge for photographs without
    masks. With `iou_noise` it estimates the IoU with that standard deviation and decides by its
    estimate. Else it accepts a good mask with `true_positive_rate` and a bad one with
    `false_positive_rate`; with 1 and 0 it never errs. Its dice are keyed by the seed, the image and
    the mask.
    """

    Options = MockOptions
    true_masks: TrueMasks | None = None  # handed over by `registry.make_judge`

    def judge(self, cases: Sequence[Case]) -> list[Verdict]:
        """Return one `Verdict` for each `Case`, by its true mask."""
        if self.true_masks is None:
            raise RuntimeError("the simulated judge was given no true masks")
        return [self._verdict(case, self.true_masks.truth(case.id)) for case in cases]

    def _verdict(self, case: Case, truth: np.ndarray) -> Verdict:
        iou = image_iou(case.mask, truth)
        if math.isnan(iou):
            return Verdict("abstain")
        rng = np.random.default_rng(stable_seed(self.seed, "mock", case.id, case.mask_hash))
        dice, noise = rng.random(), rng.normal()
        good = iou >= self.iou_bar
        errors = () if good else error_types(case.mask, truth)
        if self.options.iou_noise is not None:
            sigma = self.options.iou_noise
            estimate = iou + sigma * noise
            probability = 0.5 * math.erfc((self.iou_bar - estimate) / (sigma * math.sqrt(2)))
            decision = "accept" if estimate >= self.iou_bar else "reject"
            return Verdict(decision, probability, min(max(estimate, 0.0), 1.0), errors)
        hit, false_alarm = self.options.true_positive_rate, self.options.false_positive_rate
        accepts = dice < (hit if good else false_alarm)
        # Bayes' rule, with as many good masks as bad ones.
        for_good, for_bad = (hit, false_alarm) if accepts else (1 - hit, 1 - false_alarm)
        decision = "accept" if accepts else "reject"
        return Verdict(decision, for_good / (for_good + for_bad), None, errors)


def error_types(prediction: np.ndarray, truth: np.ndarray, share: float = 0.1) -> tuple[str, ...]:
    """Return which of `base.ERRORS` a mask [S, S] uint8 has, by its truth.

    Each counts from `share` of the object's pixels. Missed and surplus pixels within 2 % of the
    image's side of the true outline are a matter of the boundary.
    """
    labelled = truth != IGNORE
    inside, predicted = labelled & (truth != 0), labelled & (prediction != 0)
    size = max(1, int(np.count_nonzero(inside)))
    radius = max(1, round(0.02 * len(truth)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    band = cv2.morphologyEx(inside.astype(np.uint8), cv2.MORPH_GRADIENT, kernel).astype(bool)
    wrong = {
        "missing_part": inside & ~predicted & ~band,
        "extra_part": predicted & ~inside & ~band,
        "boundary": (inside ^ predicted) & band,
        "wrong_class": inside & predicted & (prediction != truth),
    }
    return tuple(name for name in ERRORS if np.count_nonzero(wrong[name]) >= share * size)


class ConfidenceOptions(Section):
    """Which confidence judges."""

    measure: str = Field(default="soft_dice", description="a name of `MEASURES`")


class ConfidenceJudge(Judge[ConfidenceOptions]):
    """The network's own confidence as a judge; see `MEASURES`."""

    Options = ConfidenceOptions

    def __init__(self, iou_bar: float, seed: int, options: ConfidenceOptions) -> None:
        super().__init__(iou_bar, seed, options)
        choose([options.measure], list(MEASURES), "vlm_itl.vlm_options.measure")

    def judge(self, cases: Sequence[Case]) -> list[Verdict]:
        """Return one `Verdict` for each `Case`; its softmax must be there."""
        measure = MEASURES[self.options.measure]
        values = [float(np.clip(measure(case), 0, 1)) for case in cases]
        return [
            Verdict("accept" if value >= self.iou_bar else "reject", value, value)
            for value in values
        ]


def softmax_of(case: Case) -> np.ndarray:
    """Return the network's softmax [C, S, S]; ValueError where only the mask is known."""
    if case.probabilities is None:
        raise ValueError(f"{case.id}: confidence needs the network's softmax")
    return case.probabilities


def soft_dice(case: Case) -> float:
    """Return the IoU that the softmax lets expect, a mean over the predicted classes.

    It is the soft Dice score of the prediction with itself (Hoebel et al., MIDL 2022), turned into
    an IoU: the sum of a class's probabilities on its mask over the sum of those on or off it. Where
    no foreground is predicted, it is the mean probability of the background.
    """
    softmax = softmax_of(case)
    labels = [label for label in np.unique(case.mask) if label != 0]
    if not labels:
        return float(softmax[0].mean())
    ious = []
    for label in labels:
        probability, inside = softmax[label], case.mask == label
        total = float(probability.sum()) + np.count_nonzero(inside)
        dice = 2 * float(probability[inside].sum()) / total
        ious.append(dice / (2 - dice))
    return float(np.mean(ious))


def max_softmax(case: Case) -> float:
    """Return the mean probability of the predicted class over the image."""
    return float(softmax_of(case).max(0).mean())


def agreement(case: Case) -> float:
    """Return the mean IoU of the mask with those of the ensemble's other members."""
    if case.members is None or not len(case.members):
        raise UserError(
            "active_learning.ensemble_size 1: the measure agreement compares networks; set 2 or "
            "more"
        )
    return float(np.mean([image_iou(case.mask, member) for member in case.members]))


# Estimates of a mask's IoU from its own network, or from an ensemble, in [0, 1].
MEASURES: Mapping[str, Callable[[Case], float]] = {
    "soft_dice": soft_dice,
    "max_softmax": max_softmax,
    "agreement": agreement,
}


class AcceptAll(Judge[NoOptions]):
    """Accepts every mask: plain self-training without a filter."""

    def judge(self, cases: Sequence[Case]) -> list[Verdict]:
        """Accept each `Case`, surely."""
        return [Verdict("accept", 1.0) for _ in cases]
