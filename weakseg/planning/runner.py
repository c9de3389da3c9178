"""The runs of a study: train and evaluate each cell of the grid, in parallel or on a cluster, and
collect results.
"""

import os
import subprocess
import sys
from pathlib import Path

from weakseg.common import commit
from weakseg.labels.costs import hours
from weakseg.parallel import Workers, backend, stream

ROOT = Path(__file__).resolve().parents[2]  # of the checkout: the commands lie there


def execute(commands, log, lock, threads, cwd):
    """Run command lines one after another, their output in `log` -> exit code; the first failure
    ends it.

    lock: file that a training holds; a training that an interrupted study left running is waited
    for Sent to other machines as it is: it needs only what is imported here.
    """
    from filelock import FileLock

    Path(log).parent.mkdir(parents=True, exist_ok=True)
    Path(lock).parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        pass
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
    with open(log, "wb") as file:
        for command in commands:
            done = subprocess.run(
                command, stdout=file, stderr=subprocess.STDOUT, cwd=cwd, env=environment
            )
            if done.returncode:
                return done.returncode
    return 0


def run_grid(cells, study_dir, workers: Workers):
    """Train and evaluate what isn't finished, with a progress line -> {name: last line of its log}
    of failed runs.
    """
    from joblib import delayed
    from tqdm import tqdm

    from weakseg.training.checkpoints import lock_path

    folder, cwd = Path(study_dir).resolve(), os.getcwd()
    runs = {cell.name: cell for cell in cells}
    todo = [cell for cell in runs.values() if cell.result(folder) is None]
    threads = max(1, (os.cpu_count() or 1) // workers.jobs)
    tasks = {
        cell.name: (
            cell.commands(folder, sys.executable, ROOT),
            folder / "logs" / f"{cell.name}.log",
            lock_path(folder / "runs" / cell.name),
            threads,
            cwd,
        )
        for cell in todo
    }
    failed = {}
    if not todo:
        return failed
    with (
        backend(workers),
        tqdm(total=len(runs), initial=len(runs) - len(todo), unit="run", smoothing=0) as bar,
    ):
        jobs = (delayed(named)(name, execute, *task) for name, task in tasks.items())
        for name, code in stream(jobs, workers, in_order=False):
            if code or runs[name].result(folder) is None:
                failed[name] = last_line(tasks[name][1])
                bar.write(f"failed: {name}: {failed[name]} (log: {tasks[name][1]})")
            bar.update(1)
    return failed


def named(name, function, *arguments):
    """Return the result of a function with a name to know it by."""
    return name, function(*arguments)


def last_line(log):
    """Return the last line of a log that says something."""
    lines = [
        line
        for line in Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip()
    ]
    return lines[-1] if lines else "its log is empty"


def collect(grid, band, args):
    """Return the content of study.json: one row for each finished cell, its hours by the grid's
    schedule and `band`.
    """
    from weakseg.evaluation.pricing import reprice

    rows, selection_hours, selected_by = [], {}, None
    for cell in grid.cells:
        result = cell.result(args.study_dir)
        if result is None:
            continue
        priced, other = (reprice(result, schedule) for schedule in (grid.schedule, band))
        selected_by, selection_hours[cell.mode] = (
            priced["selection"]["by"],
            hours(priced["selection"]),
        )
        found = result["aggregate"]
        rows.append(
            {
                "mode": cell.mode,
                "budget": cell.budget,
                "seed": cell.seed,
                "run": cell.name,
                "images": cell.images,
                "everything": cell.everything,
                "hours": hours(priced["cost"]),
                "other_hours": hours(other["cost"]),
                "miou": 100 * found["miou"],
                "low": 100 * found["miou_interval"][0],
                "high": 100 * found["miou_interval"][1],
            }
        )
    return {
        "commit": commit(),
        "schedule": grid.schedule.name,
        "other_schedule": band.name,
        "budgets": grid.budgets,
        "all_hours": grid.all_hours,
        "image_hours": grid.image_hours,
        "rows": rows,
        "selection_hours": selection_hours,
        "selected_by": selected_by,
        "cells": len(grid.cells),
        "training": grid.shared,
    }
