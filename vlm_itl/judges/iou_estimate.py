"""From numbers about a mask to an estimate of its IoU: two regressions, one on top of the other."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# Where no prediction tells how far the estimate strays: what photographs of pets gave, with the
# weight of so many predictions.
USUAL_SPREAD, USUAL_SPREAD_WEIGHT = 0.35, 5


def fit_regression(features: np.ndarray, ious: np.ndarray, weights: np.ndarray) -> "Pipeline":
    """Return a support vector regression from features [N, D] to IoUs [N], weighted by [N].

    Its kernels are wide, so that it extends beyond the features that it saw.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVR

    machine = SVR(C=0.3, epsilon=0.05, gamma=0.13 / features.shape[1])
    # SVR takes no seed, and would draw one from NumPy's global stream, which belongs to the run.
    machine.random_state = 0
    return make_pipeline(StandardScaler(), machine).fit(features, ious, svr__sample_weight=weights)


def held_out_estimates(
    features: np.ndarray, ious: np.ndarray, weights: np.ndarray, folds: np.ndarray
) -> np.ndarray:
    """Return estimates [N] of regressions that have not learned from the fold [N] of a mask."""
    estimates = np.empty(len(ious))
    for fold in np.unique(folds):
        inside = folds == fold
        regression = fit_regression(features[~inside], ious[~inside], weights[~inside])
        estimates[inside] = regression.predict(features[inside])
    return estimates


class Blend:
    """The mean of K IoU estimates, plus a correction that is fitted by penalised regression.

    The correction is a ridge regression of what the mean missed: without evidence it is nothing.
    """

    CENTRE = 0.6  # a typical IoU, so that slopes and offset are told apart
    OFFSET_PENALTY = 5.0  # against 1 for the slopes

    def __init__(self, estimates: np.ndarray, ious: np.ndarray) -> None:
        """estimates: [N, K] of N masks; ious: [N], their true IoUs. N may be 0."""
        from sklearn.linear_model import Ridge

        self.correction = None
        if len(ious):
            missed = ious - estimates.mean(1)
            self.correction = Ridge(alpha=1.0, fit_intercept=False)
            self.correction.fit(self._inputs(estimates), missed)

    def _inputs(self, estimates: np.ndarray) -> np.ndarray:
        """Return [N, K + 1]; the last column is the offset, as small as its penalty is large."""
        offset = np.full((len(estimates), 1), self.OFFSET_PENALTY**-0.5)
        return np.hstack([estimates - self.CENTRE, offset])

    def __call__(self, estimates: np.ndarray) -> np.ndarray:
        """Return the blend [N], in [0, 1], of estimates [N, K]."""
        blended = estimates.mean(1)
        if self.correction is not None and len(estimates):
            blended = blended + self.correction.predict(self._inputs(estimates))
        return np.clip(blended, 0, 1)


def headroom(iou: np.ndarray | float) -> np.ndarray:
    """Return how far an IoU is from 1: estimates of IoUs err in proportion to it."""
    return np.maximum(1 - iou, 0.05)


def relative_spread(estimates: np.ndarray, ious: np.ndarray) -> float:
    """Return the standard deviation of estimates [N] from true IoUs [N], in units of `headroom`."""
    errors = (estimates - ious) / headroom(estimates)
    usual = USUAL_SPREAD_WEIGHT * USUAL_SPREAD**2
    return float(np.sqrt((np.sum(errors**2) + usual) / (len(ious) + USUAL_SPREAD_WEIGHT)))
