"""Statistics over runs of active learning: budget curves, their areas, and paired comparisons of
arms.

A run is a folder with `results.json` (its curve of test mIoU against the budget) and, for each
round, a file with the confusion matrix of every test image, from which mIoU is resampled. Budgets
are `percent` of the pool or human `seconds`. Values between two rounds are interpolated linearly;
there is no extrapolation.
"""

import itertools
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from weakseg.common import UserError, read_json
from weakseg.evaluation.statistics import image_weights, paired_difference

AXES = {"percent": "labelled images (% of the pool)", "seconds": "human labelling time (s)"}
KEYS = ("arm", "seed", "test_fingerprint", "curve")
POINT_KEYS = ("round", "percent", "seconds", "test_miou", "test_file")
# How far the mIoU of a results file may lie from that of its confusion matrices: the rounding of
# its decimals.
TOLERANCE = 1e-3
REACH = 0.95


@dataclass(frozen=True)
class Run:
    """One finished run: its folder and the content of its `results.json`."""

    folder: Path
    results: dict

    arm = property(lambda self: str(self.results["arm"]))
    seed = property(lambda self: self.results["seed"])
    full = property(lambda self: self.results.get("full_miou"))
    miou = cached_property(
        lambda self: np.array([point["test_miou"] for point in self.results["curve"]], float)
    )

    def budgets(self, axis):
        """Return the budget of each round, float [R]."""
        return np.array([point[axis] for point in self.results["curve"]], float)

    def confusions(self, index):
        """Return the confusion matrices of round `index`, int64 [N, C, C], ordered by image id, and
        the sorted ids.
        """
        path = self.folder / self.results["curve"][index]["test_file"]
        try:
            with np.load(path, allow_pickle=False) as file:
                ids, confusions = file["ids"], file["confusions"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{path}: not a readable file of ids and confusions ({error}); run it again"
            ) from error
        if (
            confusions.ndim != 3
            or confusions.shape[1] != confusions.shape[2]
            or ids.shape != confusions.shape[:1]
        ):
            raise UserError(
                f"{path}: ids {ids.shape} and confusions {confusions.shape} must be [N] and [N, C, C]"
            )
        order = np.argsort(ids, kind="stable")
        return confusions[order], ids[order].tolist()


def load_runs(paths):
    """Return a `Run` for each folder, sorted by arm and seed.

    Raises UserError, naming the file, for one that can't be read or lacks a key, for budgets that
    fall, for two runs of one arm and seed, for seeds of one arm with other settings, and for runs
    tested on different images or masks.
    """
    runs = [_load(Path(path)) for path in paths]
    if not runs:
        raise UserError("there are no runs to compare: name folders that hold a results.json")
    for run in runs:
        if run.results["test_fingerprint"] != runs[0].results["test_fingerprint"]:
            raise UserError(
                f"{run.folder / 'results.json'}: tested on other images or masks than {runs[0].folder}; "
                "compare runs with one test_fingerprint"
            )
    runs.sort(key=lambda run: (run.arm, run.seed))
    for first, second in itertools.pairwise(runs):
        if (first.arm, first.seed) == (second.arm, second.seed):
            raise UserError(
                f"{first.folder} and {second.folder} are both arm {first.arm!r}, seed {first.seed}"
            )
        configs = [
            dict(run.results.get("config") or {}) | {"seed": None} for run in (first, second)
        ]
        if first.arm == second.arm and configs[0] != configs[1]:
            key = next(k for k in configs[0] | configs[1] if configs[0].get(k) != configs[1].get(k))
            raise UserError(
                f"{first.folder} and {second.folder} are both arm {first.arm!r} but differ in {key}; rename one"
            )
    return runs


def _load(folder):
    path = folder / "results.json"
    results = read_json(path)
    if not isinstance(results, dict):
        raise UserError(f"{path}: holds a {type(results).__name__}, not the results of a run")
    if missing := [key for key in KEYS if key not in results]:
        raise UserError(f"{path}: lacks {', '.join(missing)}")
    if not results["curve"]:
        raise UserError(f"{path}: the curve has no round; finish the run first")
    for point in results["curve"]:
        if missing := [key for key in POINT_KEYS if point.get(key) is None]:
            raise UserError(f"{path}: round {point.get('round')} lacks {', '.join(missing)}")
    run = Run(folder, results)
    for axis in AXES:
        if (np.diff(run.budgets(axis)) < 0).any():
            raise UserError(f"{path}: {axis} falls from one round to the next")
    return run


def by_arm(runs):
    """Return {arm: its runs}, both in the order of `runs`."""
    arms = {}
    for run in runs:
        arms.setdefault(run.arm, []).append(run)
    return arms


def common_range(runs, axis):
    """Return the budgets (low, high) between which every run has a curve. Raises UserError where
    there are none.
    """
    low, high = (
        max(run.budgets(axis)[0] for run in runs),
        min(run.budgets(axis)[-1] for run in runs),
    )
    if not low < high:
        late, early = (
            max(runs, key=lambda r: r.budgets(axis)[0]),
            min(runs, key=lambda r: r.budgets(axis)[-1]),
        )
        raise UserError(
            f"the runs share no range of {axis}: {late.folder} begins at {low:g}, {early.folder} ends at {high:g}; "
            "compare runs of overlapping budgets, each of two rounds or more"
        )
    return float(low), float(high)


def common_budgets(runs, axis, most=8):
    """Return the budgets at which to read all runs: in their common range, after its start, where
    runs are often equal.

    They are those of the rounds, where all runs have the same, at most `most`; else five in equal
    steps.
    """
    low, high = common_range(runs, axis)
    knots = {float(b) for b in runs[0].budgets(axis) if low < b <= high}
    shared = all(knots == {float(b) for b in run.budgets(axis) if low < b <= high} for run in runs)
    return (
        sorted(knots) if shared and len(knots) <= most else np.linspace(low, high, 6)[1:].tolist()
    )


def weights_at(budgets, budget):
    """Return the weights [R] of the rounds whose sum with their mIoU is the value at `budget`; None
    outside the curve.

    Of rounds with equal budgets only the last one counts.
    """
    if not budgets[0] <= budget <= budgets[-1]:
        return None
    last = np.flatnonzero(np.append(np.diff(budgets) > 0, True))
    weights = np.zeros(len(budgets))
    weights[last] = [np.interp(budget, budgets[last], unit) for unit in np.eye(len(last))]
    return weights


def area_weights(budgets, low, high):
    """Return the weights [R] of the rounds whose sum with their mIoU is the area under the curve
    from `low` to `high`.

    Trapezoids, divided by the width: the mean mIoU over the range. Raises ValueError where the
    curve doesn't cover it.
    """
    if not budgets[0] <= low < high <= budgets[-1]:
        raise ValueError(
            f"a curve from {budgets[0]:g} to {budgets[-1]:g} has no area from {low:g} to {high:g}"
        )
    knots = np.unique([low, high, *(b for b in budgets if low < b < high)])
    values = np.stack([weights_at(budgets, knot) for knot in knots])
    return ((values[1:] + values[:-1]) / 2 * np.diff(knots)[:, None]).sum(0) / (high - low)


def statistic_weights(run, axis, span, budget=None):
    """Return the weights [R] of a run's rounds for its area over `span`, or for its mIoU at
    `budget`.
    """
    budgets = run.budgets(axis)
    weights = area_weights(budgets, *span) if budget is None else weights_at(budgets, budget)
    if weights is None:
        raise UserError(
            f"{run.folder}: budget {budget:g} lies outside its {budgets[0]:g} to {budgets[-1]:g} {axis}"
        )
    return weights


def budget_to_reach(run, target, axis):
    """Return the first budget at which the interpolated curve reaches `target`; None if it never
    does.
    """
    budgets, miou = run.budgets(axis), run.miou
    reached = np.flatnonzero(miou >= target)
    if not len(reached):
        return None
    index = reached[0]
    if index == 0:
        return float(budgets[0])
    share = (target - miou[index - 1]) / (miou[index] - miou[index - 1])
    return float(budgets[index - 1] + share * (budgets[index] - budgets[index - 1]))


def summarise(runs, axis, budgets):
    """Return a dict for each arm: its area, its mIoU at `budgets` and the budget to 95 % of full,
    over its seeds.

    `area`, each of `at` and `reach` are {"mean", "std", "seeds"}; std has N - 1 in its denominator,
    None for one seed. `reach` counts the seeds that reach it and is a mean over them only where all
    do, else None.
    """
    span = common_range(runs, axis)
    rows = []
    for arm, members in by_arm(runs).items():

        def values(budget=None, members=members):
            return [float(statistic_weights(run, axis, span, budget) @ run.miou) for run in members]

        reach = [
            budget_to_reach(run, REACH * run.full, axis) for run in members if run.full is not None
        ]
        found = [budget for budget in reach if budget is not None]
        mean = (
            mean_std(found)
            if len(found) == len(members)
            else {"mean": None, "std": None, "seeds": len(found)}
        )
        rows.append(
            {
                "arm": arm,
                "seeds": [run.seed for run in members],
                "area": mean_std(values()),
                "at": [{"budget": budget, **mean_std(values(budget))} for budget in budgets],
                "reach": mean,
            }
        )
    return rows


def mean_std(values):
    """Return the mean and standard deviation of a list and its length."""
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {
        "mean": float(np.mean(values)) if len(values) else None,
        "std": std,
        "seeds": len(values),
    }


def resampled_mious(runs, resamples=1000, seed=0):
    """Return the mIoU of every round of every run on resampled test images: a list of float64
    [resamples, R].

    All runs get the same resamples. Raises UserError where the runs' files hold different images,
    or a mIoU that isn't the one in `results.json`.
    """
    from weakseg.metrics import scores

    _, ids = runs[0].confusions(0)
    weights = image_weights(len(ids), resamples, seed)
    weights = np.vstack([np.ones(len(ids)), weights])  # the first is the test set itself
    result = []
    for run in runs:
        columns = []
        for index, stated in enumerate(run.miou):
            confusions, names = run.confusions(index)
            path = run.folder / run.results["curve"][index]["test_file"]
            if names != ids:
                raise UserError(f"{path}: holds other test images than {runs[0].folder}")
            classes = confusions.shape[1]
            miou = scores(
                (weights @ confusions.reshape(len(ids), -1)).reshape(-1, classes, classes)
            )["miou"].numpy()
            if not abs(miou[0] - stated) <= TOLERANCE:
                raise UserError(
                    f"{path}: gives a mIoU of {miou[0]:.4f}, but results.json says {stated:.4f}"
                )
            columns.append(miou[1:])
        result.append(np.stack(columns, 1))
    return result


def compare(runs, axis, budget=None, resamples=1000, seed=0):
    """Compare all pairs of arms over the seeds that both have, by area or by the mIoU at `budget`.

    Returns a list of dicts: `first`, `second`, `seeds` and, of first minus second, the keys of
    `differences.paired_difference` and `p_holm`, corrected over all pairs of the list (Holm, 1979).
    Pairs without a common seed are left out.
    """
    span = common_range(runs, axis)
    images = len(runs[0].confusions(0)[1])
    values = {}
    for run, mious in zip(runs, resampled_mious(runs, resamples, seed), strict=True):
        weights = statistic_weights(run, axis, span, budget)
        values.setdefault(run.arm, {})[run.seed] = weights @ run.miou, mious @ weights
    pairs = []
    for first, second in itertools.combinations(values, 2):
        one, two = values[first], values[second]
        common = [key for key in one if key in two]
        if common:
            observed = [one[key][0] - two[key][0] for key in common]
            resampled = np.stack([one[key][1] - two[key][1] for key in common], 1)
            found = paired_difference(observed, resampled, images)
            pairs.append(
                {"first": first, "second": second, "seeds": len(common), **found, "p_holm": None}
            )
    tested = [pair for pair in pairs if pair["p"] is not None]
    for pair, p in zip(tested, holm([pair["p"] for pair in tested]), strict=True):
        pair["p_holm"] = p
    return pairs


def holm(p_values):
    """Return p-values adjusted for their number, in their order (Holm, "A simple sequentially
    rejective ...", 1979).
    """
    p_values = np.asarray(p_values, float)
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    return np.minimum(adjusted, 1).tolist()


def win_matrix(runs, axis, budgets):
    """Return the arms and the share of (common seed, budget) cells in which the row's mIoU is above
    the column's.

    Ties count half. [A][A], None on the diagonal and for arms without a common seed. Like the
    pairwise matrices of BADGE (Ash et al., 2020) and nnActive (Lüth et al., 2025), which count
    significant differences per budget; with few seeds hardly any single budget is significant, so
    significance is left to `compare`.
    """
    span, arms = common_range(runs, axis), by_arm(runs)
    read = {
        arm: {
            r.seed: np.array([statistic_weights(r, axis, span, b) @ r.miou for b in budgets])
            for r in members
        }
        for arm, members in arms.items()
    }

    def share(row, column):
        common = [seed for seed in read[row] if seed in read[column]]
        if row == column or not common:
            return None
        gaps = np.stack([read[row][seed] - read[column][seed] for seed in common])
        return float(np.mean((np.sign(gaps) + 1) / 2))

    return list(arms), [[share(row, column) for column in arms] for row in arms]
