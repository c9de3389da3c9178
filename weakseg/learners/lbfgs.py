"""L-BFGS for smooth convex functions whose Hessian is about known.

It starts from that Hessian's inverse, and its line search goes by the slope: near the minimum the
values of a function computed in float32 differ by rounding only.
"""

from collections.abc import Callable

import torch

MEMORY = 20  # pairs of steps and changes of the gradient that L-BFGS remembers

Objective = Callable[[torch.Tensor], tuple[float, torch.Tensor]]
Map = Callable[[torch.Tensor], torch.Tensor]


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
        share = float(step.flatten() @ result.flatten()) / product
        shares.append(share)
        result.sub_(change, alpha=share)
    result = precondition(result)
    if pairs:
        _, change, product = pairs[-1]
        result *= product / float((change * precondition(change)).sum())
    for (step, change, product), share in zip(pairs, reversed(shares), strict=True):
        result.add_(step, alpha=share - float(change.flatten() @ result.flatten()) / product)
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
        if behind > -0.5 * slope or not reached <= value + 1e-6 * abs(value) + 1e-7:
            high = step
        elif behind < 0.9 * slope:
            low = step
        else:
            return step, reached, changed
        step = (low + high) / 2 if high < float("inf") else 2 * step
    return None
