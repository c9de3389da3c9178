"""Is one arm better than another? Differences paired over seeds and test images, and who wins."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from vlm_itl.results.budget_curves import common_range, statistic_weights
from vlm_itl.results.finished_runs import FinishedRun, by_arm
from weakseg.common import UserError
from weakseg.evaluation.statistics import image_weights, paired_difference

# How far the mIoU of a results file may lie from that of its confusion matrices: the rounding of
# its decimals.
TOLERANCE = 1e-3


def compare(
    runs: Sequence[FinishedRun],
    axis: str,
    budget: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Compare all pairs of arms over the seeds that both have, by area or by the mIoU at `budget`.

    Returns a list of dicts: `first`, `second`, `seeds` and, of first minus second, the keys of
    `statistics.paired_difference` and `p_holm`, corrected over all pairs of the list (Holm, 1979).
    Pairs without a common seed are left out.
    """
    span = common_range(runs, axis)
    images = len(runs[0].confusions(0)[1])
    # {arm: {seed: (the statistic, the same on resampled images [resamples])}}
    values: dict[str, dict[int, tuple[float, np.ndarray]]] = {}
    for run, mious in zip(runs, resampled_mious(runs, resamples, seed), strict=True):
        weights = statistic_weights(run, axis, span, budget)
        values.setdefault(run.arm, {})[run.seed] = weights @ run.miou, mious @ weights
    pairs: list[dict[str, Any]] = []
    for first, second in itertools.combinations(values, 2):
        one, two = values[first], values[second]
        common = [key for key in one if key in two]
        if common:
            observed = [one[key][0] - two[key][0] for key in common]
            resampled = np.stack([one[key][1] - two[key][1] for key in common], 1)
            difference = paired_difference(observed, resampled, images)
            names = {"first": first, "second": second, "seeds": len(common)}
            pairs.append({**names, **difference, "p_holm": None})
    tested = [pair for pair in pairs if pair["p"] is not None]
    for pair, p in zip(tested, holm([pair["p"] for pair in tested]), strict=True):
        pair["p_holm"] = p
    return pairs


def resampled_mious(
    runs: Sequence[FinishedRun], resamples: int = 1000, seed: int = 0
) -> list[np.ndarray]:
    """Return the mIoU of every round of each run on resampled test images, float64 [resamples, R].

    All runs get the same resamples. Raises UserError where the runs' files hold different images,
    or a mIoU that isn't the one in `results.json`.
    """
    _, ids = runs[0].confusions(0)
    # The first is the test set itself.
    weights = np.vstack([np.ones(len(ids)), image_weights(len(ids), resamples, seed)])
    result = []
    for run in runs:
        columns = []
        for index in range(len(run.miou)):
            confusions, names = run.confusions(index)
            if names != ids:
                raise UserError(
                    f"{run.test_file(index)}: holds other test images than {runs[0].folder}"
                )
            columns.append(round_mious(run, index, confusions, weights))
        result.append(np.stack(columns, 1))
    return result


def round_mious(
    run: FinishedRun, index: int, confusions: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the mIoU of one round, float64 [B], from its confusion matrices [N, C, C].

    weights: [1 + B, N], how often each image counts; the first are those of the test set itself,
    for which `results.json` says the mIoU
    """
    from weakseg.metrics import scores

    path, (images, classes, _) = run.test_file(index), confusions.shape
    summed = (weights @ confusions.reshape(images, -1)).reshape(-1, classes, classes)
    miou = scores(summed)["miou"].numpy()
    if not abs(miou[0] - run.miou[index]) <= TOLERANCE:
        raise UserError(
            f"{path}: gives a mIoU of {miou[0]:.4f}, but results.json says {run.miou[index]:.4f}"
        )
    return miou[1:]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number, in their order.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 1979.
    """
    values = np.asarray(p_values, float)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(values[order] * np.arange(len(order), 0, -1))
    return np.minimum(adjusted, 1).tolist()


def win_matrix(
    runs: Sequence[FinishedRun], axis: str, budgets: Sequence[float]
) -> tuple[list[str], list[list[float | None]]]:
    """Return the arms, and how often the row's mIoU is above the column's: [A][A] shares.

    A share is that of the cells (common seed, budget); ties count half. It is None on the diagonal
    and for arms without a common seed. Like the pairwise matrices of BADGE (Ash et al., 2020) and
    nnActive (Lüth et al., 2025), which count significant differences per budget; with few seeds
    hardly any single budget is significant, so significance is left to `compare`.
    """
    span, arms = common_range(runs, axis), by_arm(runs)
    mious = {
        arm: {
            run.seed: np.array([statistic_weights(run, axis, span, b) @ run.miou for b in budgets])
            for run in members
        }
        for arm, members in arms.items()
    }

    def share(row: str, column: str) -> float | None:
        common = [seed for seed in mious[row] if seed in mious[column]]
        if row == column or not common:
            return None
        gaps = np.stack([mious[row][seed] - mious[column][seed] for seed in common])
        return float(np.mean((np.sign(gaps) + 1) / 2))

    return list(arms), [[share(row, column) for column in arms] for row in arms]
