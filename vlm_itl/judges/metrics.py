"""How good a judge is: its decisions, ranking and probabilities, and what it saved and cost."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

BINS = 10

# Answers of a judge: a number each, None where it could not say; None for a judge without any.
Answers = Iterable[float | None] | None


def judge_metrics(
    probability: Answers,
    iou_estimate: Answers,
    accepted: ArrayLike,
    true_iou: ArrayLike,
    bar: float,
    seconds: Sequence[float] | np.ndarray | None = None,
    usage: Iterable[Mapping[str, int]] = (),
) -> dict[str, Any]:
    """Score the answers of a judge on N masks against their true IoU.

    probability   [N] that the mask is good, in [0, 1]; None or NaN where the judge could not say
    iou_estimate  [N] in [0, 1]; None or NaN likewise. Either may be None as a whole.
    accepted      bool [N], the decision after calibration
    true_iou      [N]; masks with NaN have no truth and count only for what was saved and spent
    bar           the IoU from which a mask is good
    seconds       [N], what a person would have needed to label each image; None: not known
    usage         one `Verdict.usage` a mask, summed by key

    Returns plain numbers, None where undefined (a rank correlation of a constant, an AUROC of one
    class ...):

    masks, good         how many there are, and the share of good ones
    agreement           share of the masks where accepted is good
    coverage            share of the masks that is accepted
    purity, realised_risk         shares of good and of bad masks among the accepted
    accepted_bad        share of all masks that is accepted and bad
    accepted_iou        mean true IoU of the accepted
    auroc, auprc        for finding the bad masks, and
    aurc                the area under the risk-coverage curve: by the probability, or by the IoU
                        estimate of a judge without any
    spearman            of the IoU estimate, or the probability of a judge without any, with the
                        true IoU
    brier               of the probability
    ece                 expected calibration error over 10 bins of equal width (Guo et al., 2017)
    ece_equal_mass      the same over bins between deciles (Nixon et al., 2019)
    seconds_saved       on the accepted
    usage               the sum
    risk_coverage       for a figure: [coverage, risk] at each threshold
    reliability         for a figure: [mean probability, share of good, masks] of each bin of equal
                        width

    Raises ValueError where lengths differ.
    """
    truth, taken = np.asarray(true_iou, float), np.asarray(accepted, bool)
    chance, estimate = _values(probability, len(truth)), _values(iou_estimate, len(truth))
    lengths = {len(values) for values in (chance, estimate, taken, truth)}
    if seconds is not None:
        lengths.add(len(seconds))
    if len(lengths) > 1:
        raise ValueError(
            f"probability, IoU, decision and seconds differ in length: {sorted(lengths)}"
        )
    saved = None if seconds is None else float(np.asarray(seconds, float)[taken].sum())
    # What follows needs the truth.
    known = ~np.isnan(truth)
    chance, estimate, taken, truth = chance[known], estimate[known], taken[known], truth[known]
    good = truth >= bar
    ranking = estimate if np.isnan(chance).all() else chance
    quality = chance if np.isnan(estimate).all() else estimate
    return {
        "masks": len(good),
        "good": _mean(good),
        **_decisions(taken, good, truth),
        **_ranks(ranking, good),
        "spearman": _spearman(quality, truth),
        **_probabilities(chance, good),
        "seconds_saved": saved,
        "usage": total_usage(usage),
    }


def total_usage(usage: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the sum of dicts, by key."""
    total: dict[str, int] = {}
    for entry in usage:
        for key, value in entry.items():
            total[key] = total.get(key, 0) + int(value)
    return total


def _values(answers: Answers, count: int) -> np.ndarray:
    """Return answers as float [N], NaN for None; all `count` NaN where there are none at all."""
    return np.full(count, np.nan) if answers is None else np.array(list(answers), float)


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _decisions(
    accepted: np.ndarray, good: np.ndarray, true_iou: np.ndarray
) -> dict[str, float | None]:
    """Return what was accepted rightly and wrongly; all arguments are [N]."""
    purity = _mean(good[accepted])
    return {
        "agreement": _mean(accepted == good),
        "coverage": _mean(accepted),
        "purity": purity,
        "realised_risk": None if purity is None else 1 - purity,
        "accepted_bad": _mean(accepted & ~good),
        "accepted_iou": _mean(true_iou[accepted]),
    }


def _ranks(score: np.ndarray, good: np.ndarray) -> dict[str, Any]:
    """Return how well scores [N] find the bad masks; good: bool [N]."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    score, good = score[~np.isnan(score)], good[~np.isnan(score)]
    both = good.any() and not good.all()
    curve, area = risk_coverage(score, good)
    return {
        "auroc": float(roc_auc_score(~good, -score)) if both else None,
        "auprc": float(average_precision_score(~good, -score)) if both else None,
        "aurc": area,
        "risk_coverage": curve,
    }


def risk_coverage(score: np.ndarray, good: np.ndarray) -> tuple[list[list[float]], float | None]:
    """Return the risk-coverage curve and its area (Geifman & El-Yaniv, 2017).

    The curve is [[coverage, risk], ...] at each threshold that accepts, by rising coverage. The
    area is the mean, over k = 1 ... N, of the share of bad ones among the k masks with the highest
    scores; equal scores count as if in random order, on average. Without scores: [], None.

    score: [N]; good: bool [N]
    """
    if not len(score):
        return [], None
    order = np.argsort(-score, kind="stable")
    _, group, sizes = np.unique(-score[order], return_inverse=True, return_counts=True)
    shares = np.bincount(group, ~good[order]) / sizes  # of bad ones among masks of one score
    ranks = np.arange(1, len(score) + 1)
    risks = np.cumsum(shares[group]) / ranks
    ends = np.cumsum(sizes) - 1
    return np.column_stack([ranks[ends] / len(score), risks[ends]]).tolist(), float(risks.mean())


def _spearman(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return the rank correlation where `first` [N] is not NaN; None where one is constant."""
    from scipy.stats import spearmanr

    first, second = first[~np.isnan(first)], second[~np.isnan(first)]
    if len(first) < 2 or not np.ptp(first) or not np.ptp(second):
        return None
    return float(spearmanr(first, second).statistic)


def _probabilities(probability: np.ndarray, good: np.ndarray) -> dict[str, Any]:
    """Return how far probabilities [N], NaN where there is none, are from labels bool [N]."""
    stated = ~np.isnan(probability)
    probability, good = probability[stated], good[stated]
    width = reliability(probability, good, np.linspace(0, 1, BINS + 1))
    deciles = np.quantile(probability, np.linspace(0, 1, BINS + 1)) if len(good) else ()
    return {
        "brier": _mean((probability - good) ** 2),
        "ece": _calibration_error(width),
        "ece_equal_mass": _calibration_error(reliability(probability, good, np.unique(deciles))),
        "reliability": width,
    }


def reliability(probability: np.ndarray, good: np.ndarray, edges: np.ndarray) -> list[list[float]]:
    """Return [mean probability, share of good, masks] of each bin that is not empty.

    probability: [N]; good: bool [N]; edges: rising [B + 1]. Bins take in their upper edge, the
    first both.
    """
    index = np.searchsorted(edges[1:-1], probability)
    bins = [index == number for number in np.unique(index)]
    return [
        [float(np.mean(probability[inside])), float(np.mean(good[inside])), int(inside.sum())]
        for inside in bins
    ]


def _calibration_error(bins: list[list[float]]) -> float | None:
    """Return the mean gap between probability and share of good, weighted by the bins' masks."""
    masks = sum(count for *_, count in bins)
    if not masks:
        return None
    return sum(count * abs(stated - share) for stated, share, count in bins) / masks
