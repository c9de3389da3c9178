"""What the labels of finished runs cost by a schedule, and result files priced anew."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from weakseg.common import UserError, write_json
from weakseg.data.base import SegmentationDataset
from weakseg.evaluation.results import (
    Result,
    find_results,
    read_result,
    refuse_copies,
    refuse_other_images,
    refuse_other_windows,
)
from weakseg.labels.annotators import Scene
from weakseg.labels.costs import (
    DEFAULT,
    FILE,
    Counts,
    Schedule,
    load_schedule,
    price_labels,
    read_yaml,
    schedule_in_seconds,
)
from weakseg.labels.signals import count_actions, count_objects

PRICED = "cost", "selection"  # labels that a run learnt from, and those that chose its checkpoint
TESTING = "testing"  # masks that a result was scored by


def has_counts(run: dict[str, Any]) -> bool:
    """Return whether a checkpoint or result says what its annotators did."""
    parts = [*(run[part] for part in PRICED), *filter(None, [run.get(TESTING)])]
    return all("counts" in part for part in parts)


def reprice(run: dict[str, Any], schedule: Schedule) -> dict[str, Any]:
    """Return a copy of a checkpoint or result whose labels are priced by a schedule.

    Raises `UserError` for a run that kept no counts of its labels, and for a label without a price.
    """
    if not has_counts(run):
        raise UserError(
            f"run {run['args']['run_name']}: an older version wrote it, without the counts that "
            "prices need; run python train.py and python evaluate.py anew"
        )
    priced = {
        part: run[part] | price_labels(run[part]["counts"], run[part]["images"], schedule)
        for part in PRICED
    }
    if run.get(TESTING):
        priced[TESTING] = testing_cost(run[TESTING]["counts"], run[TESTING]["images"], schedule)
    return run | priced


def testing_cost(counts: Counts, images: int, schedule: Schedule) -> dict[str, Any]:
    """Return what the masks cost that a result was scored by; no result lacks it for a price.

    A schedule that prices no masks leaves them to the default one.
    """
    return price_labels(counts, images, schedule if "full" in schedule.prices else None)


def mask_actions(
    dataset: SegmentationDataset, name: str, mask: np.ndarray
) -> dict[str, dict[str, int]]:
    """Count what the person did who drew the mask [H, W] uint8 of an image: its outlines."""
    scene = Scene(mask, instances=dataset.instances(name), has_background=dataset.has_background)
    label = {"full": count_objects(scene, np.random.default_rng(0))}
    return count_actions(label, ("full",), len(dataset.object_names), dataset.has_background)


def reprice_files(folder: Path, names: Sequence[str] | None, schedule: Schedule) -> list[Result]:
    """Price the results in a folder by a schedule, write them, and return them.

    names: of the runs; None for all that are there. Nothing is written unless all can be priced.
    """
    results = {} if names else find_results(folder)
    for path in (folder / f"{name}.json" for name in names or ()):
        result = read_result(path)
        if result is None:
            raise UserError(f"{path}: not a result of evaluate.py; choose with --run_name")
        results[path] = result
    refuse_copies(results)
    if not results:
        raise UserError(f"--results_dir {folder}: no result is there; run python evaluate.py first")
    first = next(iter(results.values()))
    for result in results.values():
        refuse_other_images(first, result)
        refuse_other_windows(first, result)
    priced = {path: reprice(result, schedule) for path, result in results.items()}
    for path, result in priced.items():
        write_json(path, result)
    return list(priced.values())


def by_one_schedule(results: list[Result], name: str | None) -> tuple[list[Result], str]:
    """Return the results with hours by one schedule, and that schedule's name.

    name: of the schedule, or its file; None for the one that the results state, if all state it. By
    a schedule that comes with the code hours are counted again: its prices may have changed.
    """
    if name:
        schedule = schedule_in_seconds(name)
        return [reprice(result, schedule) for result in results], schedule.name
    stated = sorted({result["cost"].get("schedule", DEFAULT) for result in results})
    if len(stated) > 1:
        raise UserError(
            f"the results state hours by {' and '.join(stated)}; choose one with --cost_schedule"
        )
    chosen = stated[0] if stated else DEFAULT
    if chosen in read_yaml(FILE):
        schedule = load_schedule(chosen)
        results = [reprice(one, schedule) if has_counts(one) else one for one in results]
    return results, chosen
