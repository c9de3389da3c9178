"""How good a judge is: its decisions, its ranking, its probabilities, and what it saved and
cost.
"""

import numpy as np

BINS = 10


def judge_metrics(probability, iou_estimate, accepted, true_iou, bar, seconds=None, usage=()):
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

    `masks`, `good` (share); `accepted_bad`, the share of all masks that is accepted and bad;
    `agreement` of accepted with good; `coverage`, `purity` and `realised_risk` (shares of good and
    bad among the accepted), `accepted_iou` (mean); `auroc` and `auprc` for finding the bad masks
    and `aurc`, the area under the risk-coverage curve, by the probability, or by the IoU estimate
    of a judge without any; `spearman` of the IoU estimate, or the probability of a judge without
    any, with the true IoU; `brier`; `ece` over 10 bins of equal width (Guo et al., 2017) and
    `ece_equal_mass` over bins between deciles (Nixon et al., 2019); `seconds_saved` on the
    accepted; `usage`. Two lists are for the figures: `risk_coverage`, [coverage, risk] at each
    threshold, and `reliability`, [mean probability, share of good, masks] of each bin of equal
    width.

    Raises ValueError where lengths differ.
    """
    true_iou, accepted = np.asarray(true_iou, float), np.asarray(accepted, bool)
    probability, estimate = (
        _values(probability, len(true_iou)),
        _values(iou_estimate, len(true_iou)),
    )
    lengths = {len(values) for values in (probability, estimate, accepted, true_iou)}
    if seconds is not None:
        lengths.add(len(seconds))
    if len(lengths) > 1:
        raise ValueError(
            f"probability, IoU, decision and seconds differ in length: {sorted(lengths)}"
        )
    result = {
        "seconds_saved": None
        if seconds is None
        else float(np.asarray(seconds, float)[accepted].sum()),
        "usage": total_usage(usage),
    }
    known = ~np.isnan(true_iou)
    probability, estimate, accepted, true_iou = (
        v[known] for v in (probability, estimate, accepted, true_iou)
    )
    good = true_iou >= bar
    ranking = estimate if np.isnan(probability).all() else probability
    quality = probability if np.isnan(estimate).all() else estimate
    return {
        "masks": len(good),
        "good": _mean(good),
        **_decisions(accepted, good, true_iou),
        **_ranks(ranking, good),
        "spearman": _spearman(quality, true_iou),
        **_probabilities(probability, good),
    } | result


def total_usage(usage):
    """Sum the dicts of an iterable by key."""
    total = {}
    for entry in usage:
        for key, value in entry.items():
            total[key] = total.get(key, 0) + int(value)
    return total


def _values(values, count):
    """Return `values` [N] as float with NaN for None; all NaN where there are none at all."""
    return np.full(count, np.nan) if values is None else np.array(list(values), float)


def _mean(values):
    return float(np.mean(values)) if len(values) else None


def _decisions(accepted, good, true_iou):
    purity = _mean(good[accepted])
    return {
        "agreement": _mean(accepted == good),
        "coverage": _mean(accepted),
        "purity": purity,
        "realised_risk": None if purity is None else 1 - purity,
        "accepted_bad": _mean(accepted & ~good),
        "accepted_iou": _mean(true_iou[accepted]),
    }


def _ranks(score, good):
    """AUROC and AUPRC with the bad masks as positives, and the risk-coverage curve with its
    area.
    """
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


def risk_coverage(score, good):
    """Return the risk-coverage curve and its area (Geifman & El-Yaniv, 2017).

    The area is the mean, over k = 1 ... N, of the share of bad ones among the k masks with the
    highest scores; equal scores count as if in random order, on average.

    score: [N]; good: bool [N] Returns [[coverage, risk], ...] at each threshold that accepts, by
    rising coverage, and the area; without scores [], None.
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


def _spearman(first, second):
    from scipy.stats import spearmanr

    first, second = first[~np.isnan(first)], second[~np.isnan(first)]
    if len(first) < 2 or not np.ptp(first) or not np.ptp(second):
        return None
    return float(spearmanr(first, second).statistic)


def _probabilities(probability, good):
    said = ~np.isnan(probability)
    probability, good = probability[said], good[said]
    width = reliability(probability, good, np.linspace(0, 1, BINS + 1))
    deciles = np.quantile(probability, np.linspace(0, 1, BINS + 1)) if len(good) else ()
    return {
        "brier": _mean((probability - good) ** 2),
        "ece": _calibration_error(width),
        "ece_equal_mass": _calibration_error(reliability(probability, good, np.unique(deciles))),
        "reliability": width,
    }


def reliability(probability, good, edges):
    """Return [mean probability, share of good, masks] of each bin that is not empty.

    probability: [N]; good: bool [N]; edges: rising [B + 1]. Bins take in their upper edge, the
    first both.
    """
    index = np.searchsorted(edges[1:-1], probability)
    bins = [index == number for number in np.unique(index)]
    return [[_mean(probability[inside]), _mean(good[inside]), int(inside.sum())] for inside in bins]


def _calibration_error(bins):
    """Return the expected calibration error: the mean gap of the bins, weighted by their masks;
    None without any.
    """
    masks = sum(count for *_, count in bins)
    return sum(count * abs(said - share) for said, share, count in bins) / masks if masks else None
