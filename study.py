"""What do the hours buy? The same annotation hours spent on each mode, trained, tested, and compared.

    python study.py --data_dir ./data --budgets 0.5h 1h 2h 4h --seeds 3 --jobs 2 \
        --modes points boxes "tags points" "boxes points" full -- --img_size 128 --batch_size 16 --lr 3e-4 --augment
    python study.py ... --cost_schedule bearman2016
    python study.py ... --backend dask --cluster tcp://scheduler:8786

Each cell of the grid is an ordinary run: train.py on as many images as the budget buys, then evaluate.py. For one seed
all modes label the images in the same random order, so that a smaller budget's images are among a larger one's. What
follows `--` goes to train.py. Stop it whenever you like: the same command goes on, and repeats nothing that is done.

Writes to --study_dir: table.md, study.png, study.json (see planner.py), runs/, results/, logs/.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from backends import BACKENDS, add_backend_arguments, backend, check_backend
from common import UserError, atomic_path, commit, parse_with_rest, run_cli, write_json
from costs import DEFAULT, hours
from data_utils import add_data_arguments

ROOT = Path(__file__).resolve().parent
MODES = ("points", "boxes", "tags points", "boxes points", "full")


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    group = add_data_arguments(parser)
    group.add_argument(
        "--weak_label_path", default="./weak_labels/weak_labels_train.pkl", help="(default: %(default)s)"
    )
    group = parser.add_argument_group("study")
    group.add_argument("--budgets", nargs="+", default=["0.5h", "1h", "2h", "4h"], metavar="TIME",
                       help="annotation time: 0.5h, 30m, 1800s (default: 0.5h 1h 2h 4h)")  # fmt: skip
    group.add_argument("--modes", nargs="+", default=list(MODES), metavar="MODE",
                       help="kinds of labels; quote a mix: 'tags points' (default: five)")  # fmt: skip
    group.add_argument("--seeds", type=int, default=3, help="number of seeds, from 0 (default: %(default)s)")
    group.add_argument("--cost_schedule", default=DEFAULT, metavar="NAME|FILE",
                       help="prices: a name in costs.yaml, or a YAML file (default: %(default)s)")  # fmt: skip
    group.add_argument("--cost_band", metavar="NAME|FILE", help="show the hours of the same labels by this one as well")
    group.add_argument("--steps", type=int,
                       help="optimiser steps of every run, however few its images: equal epochs would train small "
                            "budgets less (default: 1000; equal epochs with -- --epochs N and no --steps)")  # fmt: skip
    group = parser.add_argument_group("execution")
    group.add_argument("--jobs", type=int, default=1, help="runs at a time (default: %(default)s)")
    add_backend_arguments(group, BACKENDS, "threading")
    group = parser.add_argument_group("output")
    group.add_argument("--study_dir", default="./results/study", help="(default: %(default)s)")
    return parse_with_rest(parser, sys.argv[1:])


def execute(commands, log, lock, threads, cwd):
    """Run command lines one after another, their output in `log` -> exit code; the first failure ends it.

    lock: file that a training holds; a training that an interrupted study left running is waited for
    Sent to other machines as it is: it needs only what is imported here.
    """
    from filelock import FileLock

    Path(log).parent.mkdir(parents=True, exist_ok=True)
    Path(lock).parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        pass
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
    with open(log, "wb") as file:
        for command in commands:
            done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, cwd=cwd, env=environment)
            if done.returncode:
                return done.returncode
    return 0


def run_grid(cells, args):
    """Train and evaluate what isn't finished, with a progress line -> {name: last line of its log} of failed runs."""
    from joblib import Parallel, delayed
    from tqdm import tqdm

    from runs import lock_path

    folder, cwd = Path(args.study_dir).resolve(), os.getcwd()
    runs = {cell.name: cell for cell in cells}
    todo = [cell for cell in runs.values() if cell.result(folder) is None]
    threads = max(1, (os.cpu_count() or 1) // args.jobs)
    tasks = {cell.name: (cell.commands(folder, sys.executable, ROOT), folder / "logs" / f"{cell.name}.log",
                         lock_path(folder / "runs" / cell.name), threads, cwd) for cell in todo}  # fmt: skip
    failed = {}
    if not todo:
        return failed
    with backend(args), tqdm(total=len(runs), initial=len(runs) - len(todo), unit="run", smoothing=0) as bar:
        jobs = (delayed(named)(name, execute, *task) for name, task in tasks.items())
        results = "list" if args.backend == "ray" else "generator_unordered"  # Ray's backend gives all at the end
        for name, code in Parallel(return_as=results)(jobs):
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
    lines = [line for line in Path(log).read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "its log is empty"


def collect(grid, band, args):
    """Return the content of study.json: one row for each finished cell, its hours by the grid's schedule and `band`."""
    from pricing import reprice

    rows, selection_hours, selected_by = [], {}, None
    for cell in grid.cells:
        result = cell.result(args.study_dir)
        if result is None:
            continue
        priced, other = (reprice(result, schedule, None) for schedule in (grid.schedule, band))
        selected_by, selection_hours[cell.mode] = priced["selection"]["by"], hours(priced["selection"])
        found = result["aggregate"]
        rows.append({
            "mode": cell.mode, "budget": cell.budget, "seed": cell.seed, "run": cell.name, "images": cell.images,
            "everything": cell.everything, "hours": hours(priced["cost"]), "other_hours": hours(other["cost"]),
            "miou": 100 * found["miou"], "low": 100 * found["miou_interval"][0],
            "high": 100 * found["miou_interval"][1],
        })  # fmt: skip
    return {
        "commit": commit(), "schedule": grid.schedule.name, "other_schedule": band.name, "budgets": grid.budgets,
        "all_hours": grid.all_hours, "image_hours": grid.image_hours, "rows": rows,
        "selection_hours": selection_hours, "selected_by": selected_by,
        "cells": len(grid.cells), "training": grid.shared,
    }  # fmt: skip


def main(args):
    if args.seeds < 1 or args.jobs < 1 or (args.steps is not None and args.steps < 1):
        raise UserError("--seeds, --jobs and --steps must be at least 1")
    check_backend(args)

    from grid import Grid
    from planner import time_words
    from pricing import schedule_in_seconds
    from study_report import draw, report

    band = schedule_in_seconds(args.cost_band or args.cost_schedule)
    grid = Grid(args, schedule_in_seconds(args.cost_schedule))
    for (mode, budget), prices in grid.nothing.items():
        print(f"{time_words(budget)} of {mode}: left out for {len(prices)} of {args.seeds} seeds, it buys no image "
              f"(the first takes {time_words(min(prices))} or more)")  # fmt: skip
    if not grid.cells:
        raise UserError("--budgets: none of them buys a single image of any mode; take larger ones")
    failed = run_grid(grid.cells, args)
    study = collect(grid, band, args)
    folder = Path(args.study_dir)
    write_json(folder / "study.json", study)
    if study["rows"]:
        text = report(study)
        with atomic_path(folder / "table.md") as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
        draw(folder / "study.png", study)
        print(text)
        print(f"{folder}: table.md, study.png, study.json")
    if failed:
        first = next(iter(failed))
        raise UserError(
            f"{len(failed)} of {len({c.name for c in grid.cells})} runs failed, the first is {first}: {failed[first]}; "
            f"logs are in {folder / 'logs'}; the same command tries them again"
        )


if __name__ == "__main__":
    run_cli(main, parse_args)
