"""The score from which a judge's masks are accepted, so that a stated risk is kept.

Two rules choose it, and they promise different things:

    ltt  Learn-then-Test: with probability 1 - delta over the calibration set, at most a share
         `risk` of the accepted masks is bad. A promise about the purity of the pseudo-labels.
    crc  Conformal Risk Control: on average over calibration sets, at most a share `risk` of all
         masks is accepted and bad. Weaker: where few are accepted, most of those may be bad.

Both assume that the calibration masks are drawn like those to be judged.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from vlm_itl.judges.calibration import check_samples

# The thresholds to choose from: fixed before any score is seen, as both rules need it.
GRID = np.linspace(0, 1, 2001)


def choose_threshold(
    scores: ArrayLike,
    good: ArrayLike,
    risk: float,
    delta: float = 0.1,
    method: str = "ltt",
    pool: ArrayLike | None = None,
) -> float | None:
    """Return the smallest threshold t that keeps the risk when masks with score >= t are accepted.

    None means that nothing can be promised: accept nothing. The promises of the methods are in the
    module's docstring.

    ltt  Angelopoulos et al., "Learn then Test", 2021. The thresholds of a grid are tested from the
         strictest downwards, each with the exact binomial test of the bad ones among the accepted;
         the first that fails ends the sequence. The first thresholds accept too few masks to pass
         at all, so a sequence begins where enough are accepted. How many are enough for some bad
         ones among them isn't known beforehand: there are several `beginnings`, and they share
         delta. A beginning is found by counting scores, without labels. That is exact where the
         share of bad ones among the accepted doesn't fall as the threshold is lowered, and without
         that assumption where `pool` is given, which then decides the grid and the beginnings
         alone.
    crc  Angelopoulos et al., "Conformal Risk Control", 2022 (loss: accepted and bad). `delta` isn't
         used.

    scores: [N] in [0, 1] and good: bool [N], the calibration set. Give raw scores, or calibrated
            ones whose calibrator was fitted on other labels.
    risk, delta: in (0, 1)
    pool: scores [M] of masks without labels, drawn like the calibration set but no part of it
    Raises ValueError for another method, unequal lengths, or values out of range.
    """
    if method not in THRESHOLDS:
        raise ValueError(f"threshold method {method!r} is none of {', '.join(THRESHOLDS)}")
    if not (0 < risk < 1 and 0 < delta < 1):
        raise ValueError(f"risk {risk} and delta {delta} must lie inside (0, 1)")
    scores, good = check_samples(scores, good)
    unlabelled = None if pool is None else np.sort(np.asarray(pool, float))
    if unlabelled is None or not len(unlabelled):
        return THRESHOLDS[method](scores, good, GRID[::-1], None, risk, delta)
    return THRESHOLDS[method](scores, good, np.unique(unlabelled)[::-1], unlabelled, risk, delta)


def learn_then_test(
    scores: np.ndarray,
    good: np.ndarray,
    grid: np.ndarray,
    pool: np.ndarray | None,
    risk: float,
    delta: float,
) -> float | None:
    """Return the threshold by the rule `ltt`.

    grid: the thresholds to choose from, falling; the rest as in `choose_threshold`
    """
    from scipy.stats import binom

    # 1. Test every threshold, at the share of delta that each sequence has.
    depths = beginnings(len(scores), risk, delta)
    accepted, bad = count_reaching(scores, grid), count_reaching(scores[~good], grid)
    passed = binom.cdf(bad, accepted, risk) <= delta / max(1, len(depths))
    # 2. Find where each sequence begins: by the accepted, or by how many the pool lets expect.
    expected = accepted
    if pool is not None:
        expected = count_reaching(pool, grid) * len(scores) / len(pool)
    # 3. Go down each sequence to its first failure; take the lowest threshold of all.
    lowest = None
    for depth in depths:
        start = int(np.argmax(expected >= depth))
        if expected[start] < depth:
            continue
        failures = np.flatnonzero(~passed[start:])
        end = start + int(failures[0]) if len(failures) else len(grid)
        if end > start:
            lowest = end - 1 if lowest is None else max(lowest, end - 1)
    return None if lowest is None else float(grid[lowest])


def beginnings(count: int, risk: float, delta: float) -> list[int]:
    """Return how many of `count` masks are accepted where the sequences of Learn-then-Test begin.

    The first is the fewest that can pass, which is when none of them is bad; each further one is
    twice as deep, down to half of all. Empty where `count` is too small for any.
    """
    depths: list[int] = []
    for number in range(1, 9):
        fewest = np.log(delta / number) / np.log1p(-risk)
        deeper = [int(np.ceil(fewest * 2**power)) for power in range(number)]
        if deeper[-1] > (count / 2 if depths else count):
            break
        depths = deeper
    return depths


def conformal_risk(
    scores: np.ndarray,
    good: np.ndarray,
    grid: np.ndarray,
    pool: np.ndarray | None,
    risk: float,
    delta: float,
) -> float | None:
    """Return the threshold by the rule `crc`.

    grid: the thresholds to choose from, falling; the rest as in `choose_threshold`
    """
    # The grid is finite and the loss only grows towards lower thresholds, so the smallest that
    # holds is the last.
    bound = (count_reaching(scores[~good], grid) + 1) / (len(scores) + 1)
    holds = np.flatnonzero(bound <= risk)
    return float(grid[holds[-1]]) if len(holds) else None


THRESHOLDS: Mapping[str, Callable[..., float | None]] = {
    "ltt": learn_then_test,
    "crc": conformal_risk,
}


def count_reaching(scores: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Return how many of `scores` [N] reach each threshold of `grid` [T], as int [T]."""
    return len(scores) - np.searchsorted(np.sort(scores), grid)
