"""Curves of test mIoU against the budget: their areas, their values, and what reaches a level.

Budgets are `percent` of the pool or human `seconds`. Values between two rounds are interpolated
linearly; there is no extrapolation.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vlm_itl.results.finished_runs import FinishedRun, by_arm
from weakseg.common import UserError

REACH = 0.95  # the share of the mIoU with all labels that a curve is asked to reach
MOST_BUDGETS = 8  # columns of a table, at most

Span = tuple[float, float]  # the budgets (low, high) between which curves are compared


def common_range(runs: Sequence[FinishedRun], axis: str) -> Span:
    """Return the budgets (low, high) between which every run has a curve.

    Raises UserError where there are none.
    """
    late = max(runs, key=lambda run: run.budgets(axis)[0])
    early = min(runs, key=lambda run: run.budgets(axis)[-1])
    low, high = float(late.budgets(axis)[0]), float(early.budgets(axis)[-1])
    if not low < high:
        raise UserError(
            f"the runs share no range of {axis}: {late.folder} begins at {low:g}, {early.folder} "
            f"ends at {high:g}; compare runs of overlapping budgets, each of two rounds or more"
        )
    return low, high


def common_budgets(runs: Sequence[FinishedRun], axis: str) -> list[float]:
    """Return the budgets at which to read all runs.

    They lie in the common range, after its start, where runs are often equal. They are those of the
    rounds, where all runs have the same and not too many; else five in equal steps.
    """
    low, high = common_range(runs, axis)
    rounds = [{float(b) for b in run.budgets(axis) if low < b <= high} for run in runs]
    if all(budgets == rounds[0] for budgets in rounds) and len(rounds[0]) <= MOST_BUDGETS:
        return sorted(rounds[0])
    return np.linspace(low, high, 6)[1:].tolist()


def weights_at(budgets: np.ndarray, budget: float) -> np.ndarray | None:
    """Return the weights [R] of the rounds whose sum with their mIoU is the value at `budget`.

    None outside the curve.
    """
    return interpolation(budgets, budget) if budgets[0] <= budget <= budgets[-1] else None


def interpolation(budgets: np.ndarray, budget: float) -> np.ndarray:
    """Return the weights [R] of the rounds at a budget inside the curve, linear between two.

    Of rounds with equal budgets only the last one counts.
    """
    last = np.flatnonzero(np.append(np.diff(budgets) > 0, True))
    weights = np.zeros(len(budgets))
    weights[last] = [np.interp(budget, budgets[last], unit) for unit in np.eye(len(last))]
    return weights


def area_weights(budgets: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return the weights [R] of the rounds whose sum with their mIoU is the area under the curve.

    Trapezoids from `low` to `high`, divided by the width: the mean mIoU over the range. Raises
    ValueError where the curve doesn't cover it.
    """
    if not budgets[0] <= low < high <= budgets[-1]:
        raise ValueError(
            f"a curve from {budgets[0]:g} to {budgets[-1]:g} has no area from {low:g} to {high:g}"
        )
    knots = np.unique([low, high, *(b for b in budgets if low < b < high)])
    values = np.stack([interpolation(budgets, knot) for knot in knots])
    return ((values[1:] + values[:-1]) / 2 * np.diff(knots)[:, None]).sum(0) / (high - low)


def statistic_weights(
    run: FinishedRun, axis: str, span: Span, budget: float | None = None
) -> np.ndarray:
    """Return the weights [R] of a run's rounds: for its area over `span`, or mIoU at `budget`."""
    budgets = run.budgets(axis)
    weights = area_weights(budgets, *span) if budget is None else weights_at(budgets, budget)
    if weights is None:
        raise UserError(
            f"{run.folder}: budget {budget:g} lies outside its {budgets[0]:g} to "
            f"{budgets[-1]:g} {axis}"
        )
    return weights


def budget_to_reach(run: FinishedRun, target: float, axis: str) -> float | None:
    """Return the first budget at which the interpolated curve reaches `target`; None if never."""
    budgets, miou = run.budgets(axis), run.miou
    reached = np.flatnonzero(miou >= target)
    if not len(reached):
        return None
    index = reached[0]
    if index == 0:
        return float(budgets[0])
    share = (target - miou[index - 1]) / (miou[index] - miou[index - 1])
    return float(budgets[index - 1] + share * (budgets[index] - budgets[index - 1]))


def summarise(
    runs: Sequence[FinishedRun], axis: str, budgets: Sequence[float]
) -> list[dict[str, Any]]:
    """Return a dict for each arm, over its seeds: area, mIoU at `budgets`, budget to reach 95 %.

    `area`, each of `at` and `reach` are {"mean", "std", "seeds"}; std has N - 1 in its denominator,
    None for one seed. `reach` counts the seeds that reach 95 % of the mIoU with all labels, and is
    a mean over them only where all do, else None.
    """
    span = common_range(runs, axis)
    return [
        {
            "arm": arm,
            "seeds": [run.seed for run in members],
            "area": mean_std(statistic_values(members, axis, span)),
            "at": [
                {"budget": budget, **mean_std(statistic_values(members, axis, span, budget))}
                for budget in budgets
            ],
            "reach": reach_summary(members, axis),
        }
        for arm, members in by_arm(runs).items()
    ]


def statistic_values(
    runs: Sequence[FinishedRun], axis: str, span: Span, budget: float | None = None
) -> list[float]:
    """Return each run's area over `span`, or its mIoU at `budget`."""
    return [float(statistic_weights(run, axis, span, budget) @ run.miou) for run in runs]


def reach_summary(runs: Sequence[FinishedRun], axis: str) -> dict[str, Any]:
    """Return the mean budget at which the runs reach 95 % of the mIoU with all labels."""
    reached = [budget_to_reach(run, REACH * run.full, axis) for run in runs if run.full is not None]
    budgets = [budget for budget in reached if budget is not None]
    if len(budgets) < len(runs):
        return {"mean": None, "std": None, "seeds": len(budgets)}
    return mean_std(budgets)


def mean_std(values: Sequence[float]) -> dict[str, Any]:
    """Return the mean and standard deviation of a list and its length."""
    return {
        "mean": float(np.mean(values)) if len(values) else None,
        "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "seeds": len(values),
    }
