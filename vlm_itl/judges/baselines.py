"""Judges that any other must beat: a simulated one, the network's own confidence, and one that
accepts all.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from vlm_itl.judges.base import ERRORS, Judge, Verdict
from weakseg.common import IGNORE, UserError, choose, stable_seed
from weakseg.metrics import image_iou


class MockJudge(Judge):
    """A simulated judge: it knows the truth and errs at a stated rate, by a dice keyed by the image
    and the mask.

    With `iou_noise` it estimates the IoU with that standard deviation and decides by its estimate;
    else it accepts a good mask with `true_positive_rate` and a bad one with `false_positive_rate`.
    With 1 and 0 it never errs.
    """

    needs_truth = True
    examiner = None  # an `oracle.Examiner`; set by the loop

    @dataclass(frozen=True)
    class Options:
        true_positive_rate: float = 0.9
        false_positive_rate: float = 0.1
        iou_noise: float | None = None

    def __init__(self, iou_bar, seed, options):
        super().__init__(iou_bar, seed, options)
        rates = (options.true_positive_rate, options.false_positive_rate)
        if not all(0 <= rate <= 1 for rate in rates) or (
            options.iou_noise is not None and options.iou_noise <= 0
        ):
            raise UserError(
                "vlm_itl.vlm_options: rates lie between 0 and 1, and iou_noise is more than 0"
            )

    def judge(self, cases):
        return [self.answer(case) for case in cases]

    def answer(self, case):
        """Return the `Verdict` on one case."""
        truth = self.examiner.truth(case.id)
        iou = image_iou(case.mask, truth)
        if math.isnan(iou):
            return Verdict("abstain")
        rng = np.random.default_rng(stable_seed(self.seed, "mock", case.id, case.mask_hash))
        dice, noise = rng.random(), rng.normal()
        errors = error_types(case.mask, truth) if iou < self.iou_bar else ()
        if self.options.iou_noise is not None:
            sigma = self.options.iou_noise
            raw = iou + sigma * noise
            probability = 0.5 * math.erfc((self.iou_bar - raw) / (sigma * math.sqrt(2)))
            estimate = min(max(raw, 0.0), 1.0)
            return Verdict(
                "accept" if raw >= self.iou_bar else "reject", probability, estimate, errors
            )
        hit, false_alarm = self.options.true_positive_rate, self.options.false_positive_rate
        accepts = dice < (hit if iou >= self.iou_bar else false_alarm)
        for_good, for_bad = (hit, false_alarm) if accepts else (1 - hit, 1 - false_alarm)
        return Verdict(
            "accept" if accepts else "reject", for_good / (for_good + for_bad), None, errors
        )


def error_types(prediction, truth, share=0.1):
    """Return which of `ERRORS` a mask [S, S] uint8 has; each counts from `share` of the object's
    pixels.

    Missed and surplus pixels within 2 % of the image's side of the true outline are a matter of the
    boundary.
    """
    seen = truth != IGNORE
    inside, found = seen & (truth != 0), seen & (prediction != 0)
    size = max(1, np.count_nonzero(inside))
    radius = max(1, round(0.02 * len(truth)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    band = cv2.morphologyEx(inside.astype(np.uint8), cv2.MORPH_GRADIENT, kernel).astype(bool)
    wrong = {
        "missing_part": inside & ~found & ~band,
        "extra_part": found & ~inside & ~band,
        "boundary": (inside ^ found) & band,
        "wrong_class": inside & found & (prediction != truth),
    }
    return tuple(name for name in ERRORS if np.count_nonzero(wrong[name]) >= share * size)


class ConfidenceJudge(Judge):
    """The network's own confidence as a judge; see `MEASURES`."""

    @dataclass(frozen=True)
    class Options:
        measure: str = "soft_dice"

    def __init__(self, iou_bar, seed, options):
        super().__init__(iou_bar, seed, options)
        choose([options.measure], list(MEASURES), "vlm_itl.vlm_options.measure")

    def judge(self, cases):
        values = [float(np.clip(MEASURES[self.options.measure](case), 0, 1)) for case in cases]
        return [
            Verdict("accept" if value >= self.iou_bar else "reject", value, value)
            for value in values
        ]


def soft_dice(case):
    """The IoU expected from the softmax p: sum of p on the mask over the sum of p on or off it, a
    mean over classes.

    A soft Dice score of the prediction with itself (Hoebel et al., MIDL 2022), turned into an IoU.
    Where no foreground is predicted, the mean probability of the background.
    """
    found = [c for c in np.unique(case.mask) if c != 0]
    if not found:
        return float(case.probabilities[0].mean())
    dice = [_dice(case.probabilities[c], case.mask == c) for c in found]
    return float(np.mean([d / (2 - d) for d in dice]))


def _dice(probability, mask):
    return 2 * float(probability[mask].sum()) / (float(probability.sum()) + np.count_nonzero(mask))


def agreement(case):
    """The mean IoU of the mask with those of the ensemble's other members."""
    if case.members is None or not len(case.members):
        raise UserError(
            "active_learning.ensemble_size 1: the measure agreement compares networks; set 2 or more"
        )
    return float(np.mean([image_iou(case.mask, member) for member in case.members]))


# What a network's own softmax says of its mask, in [0, 1].
MEASURES = {
    "soft_dice": soft_dice,
    "max_softmax": lambda case: float(case.probabilities.max(0).mean()),
    "agreement": agreement,
}


class AcceptAll(Judge):
    """Accepts every mask: plain self-training without a filter."""

    def judge(self, cases):
        return [Verdict("accept", 1.0) for _ in cases]
