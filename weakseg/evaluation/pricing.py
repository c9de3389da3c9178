"""Finished runs priced by a schedule of costs.yaml: what their labels cost, and their result files
written anew.
"""

import math
from pathlib import Path
from types import SimpleNamespace

from weakseg.common import UserError, read_json, write_json
from weakseg.evaluation.results import (
    dataset_of,
    find_results,
    is_result,
    refuse_other_images,
    refuse_other_windows,
)
from weakseg.labels.costs import DEFAULT, RELATIVE, hours, price_labels, schedule_in_seconds
from weakseg.labels.training_labels import (
    annotation_cost,
    labels_of_run,
    selection_signals,
    training_ids,
)


def reprice(run, schedule, open_data):
    """Return {"cost", "selection"} of a checkpoint or result by a `costs.Schedule`.

    open_data() -> the run's data set, asked only for a run that kept no counts
    """
    parts = {key: run[key] for key in ("cost", "selection")}
    if all("counts" in part for part in parts.values()):
        counts = {key: part["counts"] for key, part in parts.items()}
    elif schedule.name in (DEFAULT, RELATIVE):
        return {key: part | {"schedule": DEFAULT} for key, part in parts.items()}
    else:
        counts = recount(run, open_data())
    return {
        key: part | price_labels(counts[key], part["images"], schedule)
        for key, part in parts.items()
    }


def recount(run, dataset):
    """Return the counts of {"cost", "selection"} of a run that kept none, from its weak-label
    file.
    """
    args = SimpleNamespace(**run["args"])
    train_ids, classes = training_ids(dataset, args), len(dataset.class_names) - 1
    labels = labels_of_run(args, dataset, train_ids)
    asked = {
        "cost": (train_ids, args.modes),
        "selection": (dataset.ids("val"), selection_signals(args)),
    }
    counts = {}
    for key, (ids, signals) in asked.items():
        found = annotation_cost(labels, ids, signals, classes)
        if not math.isclose(hours(found), hours(run[key])):
            raise UserError(
                f"{args.weak_label_path}: not the labels that run {args.run_name} learnt from, and it kept no counts; "
                "restore them, or train it again"
            )
        counts[key] = found["counts"]
    return counts


def repriced(result, schedule, args):
    """Return a checkpoint or result by another schedule. args: data_dir and cache_dir, where a run
    kept no counts.
    """
    return result | reprice(result, schedule, lambda: dataset_of(result, args)[0])


def reprice_files(args, schedule):
    """Price the result files in --results_dir, or those of --run_name, write them, and return the
    results.
    """
    folder = Path(args.results_dir)
    if args.run_name:
        results = {
            path: read_json(path) for path in (folder / f"{name}.json" for name in args.run_name)
        }
    else:
        results = find_results(folder)
    for path, result in results.items():
        if not is_result(result):
            raise UserError(f"{path}: not a result of evaluate.py; choose with --run_name")
    if not results:
        raise UserError(f"--results_dir {folder}: no result is there; run python evaluate.py first")
    first = next(iter(results.values()))
    for result in results.values():
        refuse_other_images(first, result)
        refuse_other_windows(first, result)
    found = {path: repriced(result, schedule, args) for path, result in results.items()}
    for path, result in found.items():
        write_json(path, result)
    return list(found.values())


def one_schedule(results, args):
    """Return (results, name of the schedule that all their hours are by): --cost_schedule, or the
    one they state.
    """
    if args.cost_schedule:
        schedule = schedule_in_seconds(args.cost_schedule)
        return [repriced(result, schedule, args) for result in results], schedule.name
    stated = sorted({result["cost"].get("schedule", DEFAULT) for result in results})
    if len(stated) > 1:
        raise UserError(
            f"the results state hours by {' and '.join(stated)}; choose one with --cost_schedule"
        )
    return results, stated[0] if stated else DEFAULT
