"""Calibrate a judge's scores on bought labels, and choose a threshold whose accepted masks keep a
stated risk.

A score in [0, 1] says how sure a judge is that a mask is good, that is, that its IoU reaches the
bar. Two rules choose the threshold from which masks are accepted, and they promise different
things:

    ltt  Learn-then-Test: with probability 1 - delta over the calibration set, at most a share `risk` of the accepted
         masks is bad. A promise about the purity of the pseudo-labels.
    crc  Conformal Risk Control: on average over calibration sets, at most a share `risk` of all masks is accepted and
         bad. Weaker: where few are accepted, most of those may be bad.

Both assume that the calibration masks are drawn like those to be judged.
"""

import numpy as np

# A score of exactly 0 or 1 has no logit, and one close to them would outweigh all others in the
# logistic fit.
LOGIT_CLIP = 1e-3
# Standard deviations of slope and offset, for `shrunken`.
SHRINKAGE = np.array([1.0, 0.5])
# Fixed before any score is seen, as both rules need it.
GRID = np.linspace(0, 1, 2001)


def fit_calibrator(scores, good, method="platt"):
    """Fit a map from scores to the probability that a mask is good.

    platt     logistic regression on the logit of the score, on smoothed targets (Platt, 1999)
    isotonic  the best non-decreasing step function (Zadrozny & Elkan, 2002), kept as far from 0 and 1 as Laplace's rule
              of succession; it wants hundreds of samples
    shrunken  logistic regression as in platt, but drawn to the score itself instead of to 1/2: slope and offset have
              normal priors around 1 and 0. For scores that are probabilities already, on audits of
              tens

    The map never falls, so it changes no ranking. A score that ranks backwards or is constant, and
    labels of one class, give platt and isotonic the (smoothed) base rate; without any sample it is
    0.5, for shrunken the score.

    scores: [N] in [0, 1]; good: bool [N]
    Returns a function from scores of any shape to float64 probabilities of that shape.
    Raises ValueError for another method, unequal lengths, or scores outside [0, 1].
    """
    if method not in CALIBRATORS:
        raise ValueError(f"calibration method {method!r} is none of {', '.join(CALIBRATORS)}")
    scores, good = _checked(scores, good)
    if not len(scores) and method != "shrunken":
        return lambda values: np.full(np.shape(values), 0.5)
    return CALIBRATORS[method](scores, good)


def _platt(scores, good):
    from scipy.special import expit
    from sklearn.linear_model import LogisticRegression

    positives, negatives = np.count_nonzero(good), np.count_nonzero(~good)
    targets = np.where(good, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    logits = _logit(scores)
    centre = logits.mean()
    # A target between 0 and 1 is the sample twice, once with each label, weighted by it.
    inputs = np.tile(logits - centre, 2)[:, None]
    labels, weights = np.repeat([1, 0], len(scores)), np.concatenate([targets, 1 - targets])
    # The weak penalty on the slope matters only where scores hardly differ, or are few and their
    # labels separable.
    model = LogisticRegression(C=100, tol=1e-8, max_iter=1000).fit(inputs, labels, weights)
    slope, intercept = model.coef_[0, 0], model.intercept_[0]
    if slope < 0:
        slope, intercept = 0.0, _logit(targets.mean())
    return lambda values: expit(slope * (_logit(values) - centre) + intercept)


def _shrunken(scores, good):
    from scipy.optimize import minimize
    from scipy.special import expit

    logits = _logit(scores)

    def loss(weights):
        z = weights[0] * logits + weights[1]
        prior = (weights - (1, 0)) / SHRINKAGE
        error = expit(z) - good
        value = np.sum(np.logaddexp(0, z) - good * z) + np.sum(prior**2) / 2
        return value, np.array([error @ logits, error.sum()]) + prior / SHRINKAGE

    slope, intercept = minimize(loss, [1.0, 0.0], jac=True).x
    slope = max(slope, 0.0)
    return lambda values: expit(slope * _logit(values) + intercept)


def _logit(values):
    from scipy.special import logit

    return logit(np.clip(np.asarray(values, float), LOGIT_CLIP, 1 - LOGIT_CLIP))


def _isotonic(scores, good):
    from sklearn.isotonic import IsotonicRegression

    least = 1 / (len(scores) + 2)
    model = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip").fit(
        scores, good.astype(float)
    )
    return lambda values: model.predict(np.ravel(np.asarray(values, float))).reshape(
        np.shape(values)
    )


CALIBRATORS = {"platt": _platt, "isotonic": _isotonic, "shrunken": _shrunken}


def choose_threshold(scores, good, risk, delta=0.1, method="ltt", pool=None):
    """Return the smallest threshold t that keeps the risk when masks with score >= t are accepted,
    or None.

    None means that nothing can be promised: accept nothing. The promises of the methods are in the
    module's docstring.

    ltt  Angelopoulos et al., "Learn then Test", 2021. The thresholds of a grid are tested from the strictest
         downwards, each with the exact binomial test of the bad ones among the accepted; the first
         that fails ends the sequence. The first thresholds accept too few masks to pass at all, so
         a sequence begins where enough are accepted. How many are enough for some bad ones among
         them isn't known beforehand: there are several beginnings, each twice as deep as the one
         before, and they share delta. A beginning is found by counting scores, without labels. That
         is exact where the share of bad ones among the accepted doesn't fall as the threshold is
         lowered, and without that assumption where `pool` is given, which then decides the grid and
         the beginnings alone.
    crc  Angelopoulos et al., "Conformal Risk Control", 2022 (loss: accepted and bad). `delta` isn't used.

    scores: [N] in [0, 1] and good: bool [N], the calibration set. Give raw scores, or calibrated
    ones whose calibrator
        was fitted on other labels.
    risk, delta: in (0, 1)
    pool: scores [M] of masks without labels, drawn like the calibration set but no part of it
    Raises ValueError for another method, unequal lengths, or values out of range.
    """
    if method not in THRESHOLDS:
        raise ValueError(f"threshold method {method!r} is none of {', '.join(THRESHOLDS)}")
    if not (0 < risk < 1 and 0 < delta < 1):
        raise ValueError(f"risk {risk} and delta {delta} must lie inside (0, 1)")
    scores, good = _checked(scores, good)
    pool = None if pool is None or not len(pool) else np.sort(np.asarray(pool, float))
    grid = GRID if pool is None else np.unique(pool)
    return THRESHOLDS[method](scores, good, grid[::-1], pool, risk, delta)


def _learn_then_test(scores, good, grid, pool, risk, delta):
    from scipy.stats import binom

    accepted, bad = _counts(scores, grid), _counts(scores[~good], grid)
    # What decides the beginnings: the accepted themselves, or how many the pool lets expect.
    expected = accepted if pool is None else _counts(pool, grid) * len(scores) / len(pool)
    depths = beginnings(len(scores), risk, delta)
    passed = binom.cdf(bad, accepted, risk) <= delta / max(1, len(depths))
    best = None
    for depth in depths:
        start = int(np.argmax(expected >= depth))
        if expected[start] < depth:
            continue
        failures = np.flatnonzero(~passed[start:])
        end = start + failures[0] if len(failures) else len(grid)
        if end > start:
            best = end - 1 if best is None else max(best, end - 1)
    return None if best is None else float(grid[best])


def beginnings(count, risk, delta):
    """Return how many of `count` masks are accepted where the sequences of Learn-then-Test begin.

    The first is the fewest that can pass, which is when none of them is bad; each further one is
    twice as deep, down to half of all. Empty where `count` is too small for any.
    """
    depths = []
    for number in range(1, 9):
        fewest = np.log(delta / number) / np.log1p(-risk)
        deeper = [int(np.ceil(fewest * 2**power)) for power in range(number)]
        if deeper[-1] > (count / 2 if depths else count):
            break
        depths = deeper
    return depths


def _conformal_risk(scores, good, grid, pool, risk, delta):
    # The grid is finite and the loss only grows towards lower thresholds, so the smallest that
    # holds is the last.
    bound = (_counts(scores[~good], grid) + 1) / (len(scores) + 1)
    holds = np.flatnonzero(bound <= risk)
    return float(grid[holds[-1]]) if len(holds) else None


THRESHOLDS = {"ltt": _learn_then_test, "crc": _conformal_risk}


def _counts(scores, grid):
    """Return how many `scores` reach each threshold of `grid`."""
    return len(scores) - np.searchsorted(np.sort(scores), grid)


def _checked(scores, good):
    scores, good = np.asarray(scores, float), np.asarray(good, bool)
    if scores.ndim != 1 or scores.shape != good.shape:
        raise ValueError(
            f"scores {scores.shape} and labels {good.shape} must be lists of one length"
        )
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("scores must lie in [0, 1]")
    return scores, good


def simulate_risk(law, choose, count, risk, draws=1000, seed=0):
    """Draw calibration sets from a known law, choose a threshold on each, and compare its true risk
    with the promise.

    law: (scores [K], probability of each [K], probability that a mask with that score is good [K])
    choose: called with (scores [count], good [count], pool [count]); returns a threshold or None
    Returns a dict of `violation` (share of the draws whose threshold has a true selective risk
    above `risk`), `certified` (share with a threshold), `coverage` (mean share of masks accepted)
    and `loss` (mean share of masks accepted and bad).
    """
    scores, mass, quality = (np.asarray(part, float) for part in law)
    generator = np.random.default_rng(seed)
    results = []
    for _ in range(draws):
        index, unlabelled = generator.choice(len(scores), size=(2, count), p=mass)
        threshold = choose(
            scores[index], generator.random(count) < quality[index], scores[unlabelled]
        )
        taken = mass * (scores >= (np.inf if threshold is None else threshold))
        coverage, loss = taken.sum(), (taken * (1 - quality)).sum()
        results.append((loss > risk * coverage + 1e-12, threshold is not None, coverage, loss))
    return dict(
        zip(
            ("violation", "certified", "coverage", "loss"),
            np.mean(results, 0).tolist(),
            strict=True,
        )
    )
