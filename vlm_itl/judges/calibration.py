"""From a judge's scores to probabilities that a mask is good, fitted on masks that were bought.

A score in [0, 1] says how sure a judge is that a mask is good, that is, that its IoU reaches the
bar. Calibration assumes that the bought masks are drawn like those to be judged.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike

# From scores of any shape to float64 probabilities of that shape.
Calibrator = Callable[[ArrayLike], np.ndarray]

# A score of exactly 0 or 1 has no logit, and one close to them would outweigh all others in the
# logistic fit.
LOGIT_CLIP = 1e-3
# Standard deviations of slope and offset, for `shrunken`.
SHRINKAGE = np.array([1.0, 0.5])


def fit_calibrator(scores: ArrayLike, good: ArrayLike, method: str = "platt") -> Calibrator:
    """Fit a map from scores to the probability that a mask is good.

    platt     logistic regression on the logit of the score, on smoothed targets (Platt, 1999)
    isotonic  the best non-decreasing step function (Zadrozny & Elkan, 2002), kept as far from 0 and
              1 as Laplace's rule of succession; it wants hundreds of samples
    shrunken  logistic regression as in platt, but drawn to the score itself instead of to 1/2:
              slope and offset have normal priors around 1 and 0. For scores that are probabilities
              already, on audits of tens

    The map never falls, so it changes no ranking. A score that ranks backwards or is constant, and
    labels of one class, give platt and isotonic the (smoothed) base rate; without any sample it is
    0.5, for shrunken the score.

    scores: [N] in [0, 1]; good: bool [N]
    Raises ValueError for another method, unequal lengths, or scores outside [0, 1].
    """
    if method not in CALIBRATORS:
        raise ValueError(f"calibration method {method!r} is none of {', '.join(CALIBRATORS)}")
    scores, good = check_samples(scores, good)
    if not len(scores) and method != "shrunken":
        return lambda values: np.full(np.shape(values), 0.5)
    return CALIBRATORS[method](scores, good)


def check_samples(scores: ArrayLike, good: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return scores float64 [N] and labels bool [N]; ValueError where they are no such thing."""
    scores, good = np.asarray(scores, float), np.asarray(good, bool)
    if scores.ndim != 1 or scores.shape != good.shape:
        raise ValueError(
            f"scores {scores.shape} and labels {good.shape} must be lists of one length"
        )
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("scores must lie in [0, 1]")
    return scores, good


def clipped_logit(values: ArrayLike) -> np.ndarray:
    """Return log(p / (1 - p)) of scores of any shape, kept away from 0 and 1 by `LOGIT_CLIP`."""
    from scipy.special import logit

    return logit(np.clip(np.asarray(values, float), LOGIT_CLIP, 1 - LOGIT_CLIP))


def fit_platt(scores: np.ndarray, good: np.ndarray) -> Calibrator:
    """Fit a logistic curve to scores [N] and labels bool [N], N > 0."""
    from scipy.special import expit
    from sklearn.linear_model import LogisticRegression

    positives, negatives = np.count_nonzero(good), np.count_nonzero(~good)
    targets = np.where(good, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    logits = clipped_logit(scores)
    centre = logits.mean()
    # A target between 0 and 1 is the sample twice, once with each label, weighted by it.
    inputs = np.tile(logits - centre, 2)[:, None]
    labels, weights = np.repeat([1, 0], len(scores)), np.concatenate([targets, 1 - targets])
    # The weak penalty on the slope matters only where scores hardly differ, or are few and their
    # labels separable.
    model = LogisticRegression(C=100, tol=1e-8, max_iter=1000).fit(inputs, labels, weights)
    slope, intercept = model.coef_[0, 0], model.intercept_[0]
    if slope < 0:
        slope, intercept = 0.0, clipped_logit(targets.mean())
    return lambda values: expit(slope * (clipped_logit(values) - centre) + intercept)


def fit_shrunken(scores: np.ndarray, good: np.ndarray) -> Calibrator:
    """Fit a logistic curve to scores [N] and labels bool [N] under priors around the score."""
    from scipy.optimize import minimize
    from scipy.special import expit

    logits = clipped_logit(scores)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        z = weights[0] * logits + weights[1]
        prior = (weights - (1, 0)) / SHRINKAGE
        error = expit(z) - good
        value = np.sum(np.logaddexp(0, z) - good * z) + np.sum(prior**2) / 2
        return value, np.array([error @ logits, error.sum()]) + prior / SHRINKAGE

    slope, intercept = minimize(loss, [1.0, 0.0], jac=True).x
    slope = max(slope, 0.0)
    return lambda values: expit(slope * clipped_logit(values) + intercept)


def fit_isotonic(scores: np.ndarray, good: np.ndarray) -> Calibrator:
    """Fit a step function to scores [N] and labels bool [N], N > 0."""
    from sklearn.isotonic import IsotonicRegression

    least = 1 / (len(scores) + 2)
    model = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
    model.fit(scores, good.astype(float))
    return lambda values: model.predict(np.ravel(np.asarray(values, float))).reshape(
        np.shape(values)
    )


CALIBRATORS: Mapping[str, Callable[[np.ndarray, np.ndarray], Calibrator]] = {
    "platt": fit_platt,
    "isotonic": fit_isotonic,
    "shrunken": fit_shrunken,
}
