"""Finished runs of active learning, read from their folders and checked against each other.

A run is a folder with `results.json` (its curve of test mIoU against the budget) and, for each
round, a file with the confusion matrix of every test image.
"""

import itertools
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from vlm_itl.results.run_file import RunResults
from weakseg.common import UserError, read_json
from weakseg.data.ids import check_id
from weakseg.validation import first_fault

# What a budget is measured in -> how an axis is labelled.
AXES = {"percent": "labelled images (% of the pool)", "seconds": "human labelling time (s)"}
KEYS = ("arm", "seed", "test_fingerprint", "curve")
POINT_KEYS = ("round", "percent", "seconds", "test_miou", "test_file")


@dataclass(frozen=True)
class FinishedRun:
    """One finished run: its folder and the content of its `results.json`."""

    folder: Path
    results: dict[str, Any]

    @property
    def arm(self) -> str:
        """The name that its seeds share."""
        return str(self.results["arm"])

    @property
    def seed(self) -> int:
        """The seed of everything random in it."""
        return self.results["seed"]

    def is_tested_as(self, other: "FinishedRun") -> bool:
        """Whether another run was tested on the same images and masks.

        An earlier version says only how large their files are.
        """
        keys = ["test_fingerprint"]
        keys += ["test_contents"] * all(run.results.get("test_contents") for run in (self, other))
        return all(self.results[key] == other.results[key] for key in keys)

    @property
    def full(self) -> float | None:
        """The mIoU with all labels, where a baseline told it."""
        return self.results.get("full_miou")

    @cached_property
    def miou(self) -> np.ndarray:
        """The test mIoU of each round, float [R]."""
        return np.array([point["test_miou"] for point in self.results["curve"]], float)

    def budgets(self, axis: str) -> np.ndarray:
        """Return the budget of each round, float [R]; axis: one of `AXES`."""
        return np.array([point[axis] for point in self.results["curve"]], float)

    def test_file(self, index: int) -> Path:
        """Return the file of a round's confusion matrices."""
        return self.folder / self.results["curve"][index]["test_file"]

    def confusions(self, index: int) -> tuple[np.ndarray, list[str]]:
        """Return a round's confusion matrices, int64 [N, C, C], and the image ids, both sorted."""
        path = self.test_file(index)
        try:
            with np.load(path, allow_pickle=False) as file:
                ids, confusions = file["ids"], file["confusions"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{path}: not a readable file of ids and confusions ({error}); run it again"
            ) from error
        square = confusions.ndim == 3 and confusions.shape[1] == confusions.shape[2]
        if confusions.dtype.kind not in "iu" or ids.dtype.kind != "U" or (confusions < 0).any():
            raise UserError(f"{path}: must hold names and counts of pixels; run it again")
        if not square or ids.shape != confusions.shape[:1]:
            raise UserError(
                f"{path}: ids {ids.shape} and confusions {confusions.shape} must be [N] and "
                "[N, C, C]"
            )
        order = np.argsort(ids, kind="stable")
        return confusions[order], ids[order].tolist()


def load_runs(paths: Iterable[Path | str]) -> list[FinishedRun]:
    """Return a `FinishedRun` for each folder, sorted by arm and seed.

    Raises UserError, naming the file, for one that can't be read or lacks a key, for budgets that
    fall, for two runs of one arm and seed, for seeds of one arm with other settings, and for runs
    tested on different images or masks.
    """
    runs = [load_run(Path(path)) for path in paths]
    if not runs:
        raise UserError("there are no runs to compare: name folders that hold a results.json")
    for run in runs:
        if not run.is_tested_as(runs[0]):
            raise UserError(
                f"{run.folder / 'results.json'}: tested on other images or masks than "
                f"{runs[0].folder}; compare runs with one test_fingerprint"
            )
    runs.sort(key=lambda run: (run.arm, run.seed))
    for first, second in itertools.pairwise(runs):
        if first.arm == second.arm:
            refuse_unlike_seeds(first, second)
    return runs


def load_run(folder: Path) -> FinishedRun:
    """Return one run; what can't be compared is a `UserError` that names the file."""
    path = folder / "results.json"
    results = read_json(path)
    if not isinstance(results, dict):
        raise UserError(f"{path}: holds a {type(results).__name__}, not the results of a run")
    if missing := [key for key in KEYS if key not in results]:
        raise UserError(f"{path}: lacks {', '.join(missing)}")
    if not results["curve"]:
        raise UserError(f"{path}: the curve has no round; finish the run first")
    for point in results["curve"] if isinstance(results["curve"], list) else ():
        if not isinstance(point, dict):
            continue
        if missing := [key for key in POINT_KEYS if point.get(key) is None]:
            raise UserError(f"{path}: round {point.get('round')} lacks {', '.join(missing)}")
    try:
        RunResults.model_validate(results)
    except ValidationError as error:
        fault = first_fault(error, RunResults)
        raise UserError(f"{path}: {fault}; restore it, or give its command again") from error
    for point in results["curve"]:
        check_id(point["test_file"], f"{path}, test_file")
    run = FinishedRun(folder, results)
    for axis in AXES:
        if (np.diff(run.budgets(axis)) < 0).any():
            raise UserError(f"{path}: {axis} falls from one round to the next")
    return run


def refuse_unlike_seeds(first: FinishedRun, second: FinishedRun) -> None:
    """Refuse two runs of one arm that have one seed, or that differ in more than the seed."""
    if first.seed == second.seed:
        raise UserError(
            f"{first.folder} and {second.folder} are both arm {first.arm!r}, seed {first.seed}"
        )
    one, two = (dict(run.results.get("config") or {}) | {"seed": None} for run in (first, second))
    if one != two:
        key = next(key for key in one | two if one.get(key) != two.get(key))
        raise UserError(
            f"{first.folder} and {second.folder} are both arm {first.arm!r} but differ in {key}; "
            "rename one"
        )


def by_arm(runs: Sequence[FinishedRun]) -> dict[str, list[FinishedRun]]:
    """Return {arm: its runs}, both in the order of `runs`."""
    arms: dict[str, list[FinishedRun]] = {}
    for run in runs:
        arms.setdefault(run.arm, []).append(run)
    return arms
