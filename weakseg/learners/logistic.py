"""Logistic regression on features: the linear head of the pixel classifier, fitted to convergence.

The loss is `sum_i w_i * cross-entropy_i + penalty / 2 * ||W||^2`, with weights that sum to 1 and a
bias that is not penalised. L-BFGS finds its minimum. The Hessian is close to the Kronecker product
of two small matrices, the covariance of the classes and that of the features, plus the penalty: it
is that where all rows have the same probabilities, and wherever there are two classes. Two
eigendecompositions (`curvature`, `Axes`) invert it, and L-BFGS starts from the inverse: features of
very different spread cost no more steps. Inside, arrays are [C, ...]: thin products are fast so.
"""

from dataclasses import dataclass
from typing import Any

import torch

from weakseg.learners.lbfgs import Map, Objective, minimise

TOLERANCE = 2e-6  # largest entry of the gradient, where features have a deviation near 1
MOST_ITERATIONS = 1000
AXES_ROWS = 6000  # rows that the covariance of the features is measured on


@dataclass(frozen=True)
class LinearHead:
    """Logits are `x @ weights + bias`.

    weights [D, C] and bias [C]: float32. gradient: largest absolute entry of the loss's gradient at
    the end of the fit. iterations: steps of L-BFGS. loss: the minimum, penalty included.
    """

    weights: torch.Tensor
    bias: torch.Tensor
    gradient: float = 0.0
    iterations: int = 0
    loss: float = 0.0

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits [N, C] of features [N, D]."""
        return (self.weights.T.to(x.dtype) @ x.T).T + self.bias.to(x.dtype)


@dataclass(frozen=True)
class Axes:
    """The spread of features: mean [D], directions [D, R] of unit length, their variances [R].

    The result of a fit does not depend on them, only its speed: the axes of some rows serve for
    more of them, for fewer and for other weights. With fewer rows than features R < D; along the
    directions left out the features do not vary.
    """

    mean: torch.Tensor
    directions: torch.Tensor
    variances: torch.Tensor


@dataclass(frozen=True)
class Rows:
    """Weighted examples: features x [N, D], probabilities targets [C, N], weights [N] of sum 1."""

    x: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor


def as_rows(x: Any, targets: Any, weights: Any, num_classes: int) -> Rows:
    """Check features [N, D], targets (class numbers [N] or probabilities [N, C]), weights [N].

    Rows of weight 0 are left out. Everything is float32, or float64 where the features are.
    Raises ValueError where shapes, signs or class numbers do not fit.
    """
    x, targets, weights = (torch.as_tensor(value) for value in (x, targets, weights))
    x = x if x.dtype == torch.float64 else x.float()
    if x.ndim != 2 or weights.shape != x.shape[:1] or targets.shape[:1] != x.shape[:1]:
        shapes = [tuple(value.shape) for value in (x, targets, weights)]
        raise ValueError(f"features, targets, weights of shapes {shapes}: rows do not match")
    weights = weights.double()
    if not (weights >= 0).all() or not 0 < weights.sum() < float("inf"):
        raise ValueError("weights must be finite, not below 0, and one of them above 0")
    if not (weights > 0).all():
        kept = weights > 0
        x, targets, weights = x[kept], targets[kept], weights[kept]
    return Rows(x, one_hot(targets, num_classes).to(x.dtype), (weights / weights.sum()).to(x.dtype))


def one_hot(targets: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Return probabilities [C, N] of class numbers [N] or of probabilities [N, C], checked."""
    if targets.ndim == 1:
        if targets.is_floating_point() or targets.min() < 0 or targets.max() >= num_classes:
            raise ValueError(f"targets must be whole numbers from 0 to {num_classes - 1}")
        return (torch.arange(num_classes)[:, None] == targets).float()
    sums = targets.sum(1, dtype=torch.float64)
    if targets.shape[1] != num_classes or not ((sums - 1).abs() < 1e-3).all():
        raise ValueError(f"soft targets must be {num_classes} probabilities that sum to 1")
    if targets.min() < 0:
        raise ValueError("soft targets must not be below 0")
    return targets.T.contiguous()


def axes_of(x: torch.Tensor, weights: torch.Tensor) -> Axes:
    """Return the principal axes of features [N, D] by weights [N], from at most AXES_ROWS rows."""
    every = -(-len(x) // AXES_ROWS)
    x, weights = x[::every], weights[::every].double()
    weights = weights / weights.sum()
    mean = weights.to(x.dtype) @ x
    spread = (x - mean) * weights.sqrt().to(x.dtype)[:, None]
    if len(x) >= x.shape[1]:
        variances, directions = torch.linalg.eigh(spread.T @ spread)
        return Axes(mean.double(), directions, variances.clamp(min=0).double())
    spread = spread.double()
    variances, turn = torch.linalg.eigh(spread @ spread.T)
    kept = variances > 1e-9 * variances[-1]  # none where no feature varies
    directions = spread.T @ (turn[:, kept] / variances[kept].sqrt())
    return Axes(mean.double(), directions, variances[kept])


def objective(rows: Rows, penalty: float) -> Objective:
    """Return the function head [C, D + 1] (the last column is the bias) -> loss, gradient.

    Products with the features are made in the features' precision, sums of losses in float64.
    """

    def evaluate(head: torch.Tensor) -> tuple[float, torch.Tensor]:
        logits = head[:, :-1].to(rows.x.dtype) @ rows.x.T
        log_p = logits.add_(head[:, -1:]).log_softmax(0)
        losses = (rows.targets * log_p).sum(0).double()
        residuals = log_p.exp_().sub_(rows.targets).mul_(rows.weights)
        gradient = torch.empty_like(head)
        gradient[:, :-1] = residuals @ rows.x
        gradient[:, :-1] += penalty * head[:, :-1]
        gradient[:, -1] = residuals.sum(1, dtype=torch.float64)
        gradient[:, -1] -= gradient[:, -1].mean()  # 0 but for rounding
        square = penalty / 2 * float(head[:, :-1].square().sum())
        return square - float(rows.weights.double() @ losses), gradient

    return evaluate


def curvature(rows: Rows, head: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean covariance [C, C] of a drawn class, and each row's share [N] in its trace."""
    logits = head[:, :-1].to(rows.x.dtype) @ rows.x.T
    p = logits.add_(head[:, -1:]).softmax(0)
    covariance = torch.diag(p @ rows.weights) - (p * rows.weights) @ p.T
    return covariance.double(), (p - p.square()).sum(0) * rows.weights


def inverse_hessian(axes: Axes, classes: torch.Tensor, penalty: float) -> Map:
    """Return the map gradient [C, D + 1] -> step [C, D + 1]: about the Hessian's inverse.

    classes [C, C]: covariance of the classes, as `curvature` gives it.
    """
    values, vectors = torch.linalg.eigh(classes)
    values = values.clamp(min=1e-7)[:, None]
    kind = axes.directions.dtype
    inverse = 1 / (values * axes.variances + penalty)
    whole = axes.directions.shape[0] == axes.directions.shape[1]
    if not whole:
        inverse -= 1 / penalty

    def apply(gradient: torch.Tensor) -> torch.Tensor:
        turned = vectors.T @ gradient
        of_bias = turned[:, -1:]
        centred = turned[:, :-1] - of_bias * axes.mean
        along = inverse * (centred.to(kind) @ axes.directions)
        step = torch.empty_like(gradient)
        step[:, :-1] = along.to(kind) @ axes.directions.T
        if not whole:
            step[:, :-1] += centred / penalty
        step[:, -1:] = of_bias / values - step[:, :-1] @ axes.mean[:, None]
        return vectors @ step

    return apply


def patience(rows: Rows) -> int:
    """Return after how many iterations the Hessian is worth measuring again, by its cost."""
    count, width = rows.x.shape
    used = min(count, AXES_ROWS)
    small, large = sorted((used, width))
    measuring = small * small * (large + 12 * small)
    return 20 + measuring // (8 * count * width * len(rows.targets))


def fit_linear(
    x: Any,
    targets: Any,
    weights: Any,
    penalty: float,
    num_classes: int,
    start: LinearHead | None = None,
    axes: Axes | None = None,
    tolerance: float = TOLERANCE,
    most_iterations: int = MOST_ITERATIONS,
) -> LinearHead:
    """Fit a linear head to weighted rows.

    x [N, D]: standardised features; targets: class numbers [N] or probabilities [N, C]; weights
    [N], not below 0; penalty above 0. start: the head of an earlier fit, of other labels or another
    penalty: the same minimum in fewer iterations. axes: of features of the same kind, if known.
    A class without examples has probabilities near 0. Raises ValueError where the rows do not fit.
    """
    rows = as_rows(x, targets, weights, num_classes)
    return fit_rows(rows, penalty, start, axes, tolerance, most_iterations)


def fit_rows(
    rows: Rows,
    penalty: float,
    start: LinearHead | None = None,
    axes: Axes | None = None,
    tolerance: float = TOLERANCE,
    most_iterations: int = MOST_ITERATIONS,
) -> LinearHead:
    """Fit a linear head to checked rows; otherwise as `fit_linear`."""
    if not penalty > 0:
        raise ValueError(f"penalty {penalty}: must be above 0")
    axes = axes or axes_of(rows.x, rows.weights)
    head = torch.zeros(len(rows.targets), rows.x.shape[1] + 1, dtype=torch.float64)
    if start is None:
        shares = (rows.targets @ rows.weights).double()
        head[:, -1] = (shares + tolerance).log()
        classes = torch.diag(shares) - shares[:, None] * shares
    else:
        head[:, :-1], head[:, -1] = start.weights.T, start.bias
        classes, _ = curvature(rows, head)
    evaluate, done = objective(rows, penalty), 0
    while True:
        most = min(patience(rows), most_iterations - done)
        precondition = inverse_hessian(axes, classes, penalty)
        head, loss, largest, count = minimise(evaluate, precondition, head, tolerance, most)
        done += count
        if largest <= tolerance or count == 0 or done >= most_iterations:
            break
        classes, importance = curvature(rows, head)
        axes = axes_of(rows.x, importance)
    bias = head[:, -1] - head[:, -1].mean()
    return LinearHead(head[:, :-1].T.float().contiguous(), bias.float(), largest, done, loss)
