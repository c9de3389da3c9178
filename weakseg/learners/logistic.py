"""Logistic regression on features: the linear head of the pixel classifier, fitted to convergence.

The loss is `sum_i w_i * cross-entropy_i + penalty / 2 * ||W||^2`, with weights that sum to 1 and a
bias that is not penalised. L-BFGS finds its minimum. At W = 0 every row has the same probabilities,
so the Hessian is the Kronecker product of two small matrices: the covariance of the features and
the covariance of the classes. Its inverse is known from two eigendecompositions (`Axes` and
`curvature`), and L-BFGS starts from it: features of very different spread cost no more steps.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

TOLERANCE = 1e-6  # largest entry of the gradient, where features have a deviation near 1
MOST_ITERATIONS = 500
MEMORY = 12  # pairs of steps and changes of the gradient that L-BFGS remembers
AXES_ROWS = 6000  # rows that the covariance of the features is measured on

Objective = Callable[[torch.Tensor], tuple[float, torch.Tensor]]
Map = Callable[[torch.Tensor], torch.Tensor]


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
        return x @ self.weights.to(x.dtype) + self.bias.to(x.dtype)


@dataclass(frozen=True)
class Axes:
    """The spread of features: mean [D], directions [D, R] of unit length, their variances [R].

    The fit's result does not depend on them, only its speed: the axes of some rows serve for more
    of them, for fewer and for other weights. With fewer rows than features R < D; along the
    directions left out the features do not vary.
    """

    mean: torch.Tensor
    directions: torch.Tensor
    variances: torch.Tensor


def as_rows(
    x: Any, targets: Any, weights: Any, num_classes: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Check rows -> features [N, D], target probabilities [N, C], weights [N] that sum to 1.

    Rows of weight 0 are left out. Targets are class numbers [N] or probabilities [N, C]. Features
    keep their precision if they are float64, and are float32 otherwise; so are the rest.
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
    if not bool((weights > 0).all()):
        kept = weights > 0
        x, targets, weights = x[kept], targets[kept], weights[kept]
    if targets.ndim == 1:
        if targets.is_floating_point() or targets.min() < 0 or targets.max() >= num_classes:
            raise ValueError(f"targets must be whole numbers from 0 to {num_classes - 1}")
        probabilities = torch.zeros(len(x), num_classes, dtype=x.dtype)
        probabilities.scatter_(1, targets.long()[:, None], 1.0)
    else:
        probabilities = targets.to(x.dtype)
        sums = probabilities.sum(1)
        if targets.shape[1] != num_classes or not torch.allclose(
            sums, sums.new_ones(()), atol=1e-3
        ):
            raise ValueError(f"soft targets must be {num_classes} probabilities that sum to 1")
    return x, probabilities, (weights / weights.sum()).to(x.dtype)


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
    variances, rows = torch.linalg.eigh(spread @ spread.T)
    kept = variances > 1e-9 * variances[-1]  # none where no feature varies
    directions = spread.T @ (rows[:, kept] / variances[kept].sqrt())
    return Axes(mean.double(), directions, variances[kept])


def objective(
    x: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, penalty: float
) -> Objective:
    """Return the function head [D + 1, C] (the last row is the bias) -> loss, gradient [D + 1, C].

    Products with the features are made in the features' precision, sums of losses in float64.
    """

    def evaluate(head: torch.Tensor) -> tuple[float, torch.Tensor]:
        logits = torch.addmm(head[-1].to(x.dtype), x, head[:-1].to(x.dtype))
        log_p = logits.log_softmax(1)
        losses = -(targets * log_p).sum(1).double()
        residuals = log_p.exp_().sub_(targets).mul_(weights[:, None])
        gradient = torch.empty_like(head)
        gradient[:-1] = x.T @ residuals
        gradient[:-1] += penalty * head[:-1]
        gradient[-1] = residuals.sum(0, dtype=torch.float64)
        gradient[-1] -= gradient[-1].mean()  # 0 but for rounding
        square = penalty / 2 * float(head[:-1].square().sum())
        return float(weights.double() @ losses) + square, gradient

    return evaluate


def curvature(probabilities: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the mean covariance [C, C] of a class drawn by probabilities [N, C]."""
    mean = weights @ probabilities
    return torch.diag(mean) - (probabilities * weights[:, None]).T @ probabilities


def inverse_hessian(axes: Axes, classes: torch.Tensor, penalty: float) -> Map:
    """Return the map gradient [D + 1, C] -> step [D + 1, C]: about the Hessian's inverse.

    It is exact where all rows have the same probabilities; classes [C, C]: their `curvature`.
    """
    values, vectors = torch.linalg.eigh(classes.double())
    values = values.clamp(min=1e-7)
    mean, kind = axes.mean[:, None], axes.directions.dtype
    inverse = 1 / (axes.variances[:, None] * values + penalty)
    whole = axes.directions.shape[0] == axes.directions.shape[1]
    if not whole:
        inverse -= 1 / penalty

    def apply(gradient: torch.Tensor) -> torch.Tensor:
        turned = gradient @ vectors
        of_bias = turned[-1]
        turned = turned[:-1] - mean * of_bias
        along = axes.directions.T @ turned.to(kind)
        moved = (axes.directions @ (inverse * along).to(kind)).double()
        if not whole:
            moved += turned / penalty
        step = torch.empty_like(gradient)
        step[:-1] = moved @ vectors.T
        step[-1] = (of_bias / values - axes.mean @ moved) @ vectors.T
        return step

    return apply


def minimise(
    evaluate: Objective, precondition: Map, start: torch.Tensor, tolerance: float, most: int
) -> tuple[torch.Tensor, float, float, int]:
    """Minimise a smooth convex function by L-BFGS -> point, value, largest gradient, iterations.

    precondition: about the inverse of the Hessian. The line search looks at the slope: where two
    values differ by rounding only, the slopes still tell which side the minimum is on. It ends at
    the tolerance, after `most` iterations, or where rounding hides every descent.
    """
    point = start
    value, gradient = evaluate(point)
    pairs: list[tuple[torch.Tensor, torch.Tensor, float]] = []
    for iteration in range(most):
        largest = float(gradient.abs().max())
        if largest <= tolerance:
            return point, value, largest, iteration
        direction = -two_loops(gradient, pairs, precondition)
        moved = search(evaluate, point, value, gradient, direction)
        if moved is None and pairs:  # the remembered pairs may be what misleads
            pairs.clear()
            direction = -precondition(gradient)
            moved = search(evaluate, point, value, gradient, direction)
        if moved is None:
            return point, value, largest, iteration
        step, value, changed = moved
        point = point + step * direction
        change = changed - gradient
        product = step * float((direction * change).sum())
        if product > 0:
            pairs.append((step * direction, change, product))
            del pairs[:-MEMORY]
        gradient = changed
    return point, value, float(gradient.abs().max()), most


def two_loops(
    gradient: torch.Tensor,
    pairs: list[tuple[torch.Tensor, torch.Tensor, float]],
    precondition: Map,
) -> torch.Tensor:
    """Return L-BFGS's inverse Hessian times the gradient; pairs: (step, change, their product)."""
    result = gradient.clone()
    shares = []
    for step, change, product in reversed(pairs):
        share = float((step * result).sum()) / product
        shares.append(share)
        result.sub_(change, alpha=share)
    result = precondition(result)
    for (step, change, product), share in zip(pairs, reversed(shares), strict=True):
        result.add_(step, alpha=share - float((change * result).sum()) / product)
    return result


def search(
    evaluate: Objective,
    point: torch.Tensor,
    value: float,
    gradient: torch.Tensor,
    direction: torch.Tensor,
) -> tuple[float, float, torch.Tensor] | None:
    """Return (step, value, gradient) along a direction, or None where it does not descend.

    The slope's size falls to 0.9 of the start's if the step ends before the minimum, to 0.5 behind
    it. The value may not rise by more than rounding.
    """
    slope = float((gradient * direction).sum())
    if slope >= 0:
        return None
    low, high, step = 0.0, float("inf"), 1.0
    for _ in range(20):
        reached, changed = evaluate(point + step * direction)
        behind = float((changed * direction).sum())
        if behind > -0.5 * slope or not reached <= value + 1e-6 * abs(value):
            high = step
        elif behind < 0.9 * slope:
            low = step
        else:
            return step, reached, changed
        step = (low + high) / 2 if high < float("inf") else 2 * step
    return None


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
    if not penalty > 0:
        raise ValueError(f"penalty {penalty}: must be above 0")
    x, targets, weights = as_rows(x, targets, weights, num_classes)
    axes = axes or axes_of(x, weights)
    head = torch.zeros(x.shape[1] + 1, num_classes, dtype=torch.float64)
    if start is None:
        shares = (weights @ targets).double()
        head[-1] = (shares + tolerance).log()
        classes = torch.diag(shares) - shares[:, None] * shares
    else:
        head[:-1], head[-1] = start.weights, start.bias
        probabilities = start.logits(x).softmax(1)
        classes = curvature(probabilities, weights)
    head, loss, largest, iterations = minimise(
        objective(x, targets, weights, penalty),
        inverse_hessian(axes, classes, penalty),
        head,
        tolerance,
        most_iterations,
    )
    bias = head[-1] - head[-1].mean()
    return LinearHead(head[:-1].float(), bias.float(), largest, iterations, loss)
