"""The runs of a study: each cell is trained and evaluated, in parallel or on a cluster."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from weakseg.common import UserError, commit, read_json
from weakseg.labels.costs import Schedule, hours
from weakseg.own_files import is_record
from weakseg.parallel import Workers, backend, stream
from weakseg.parent import PARENT
from weakseg.planning.cell import Cell
from weakseg.planning.grid import Grid

ROOT = Path(__file__).resolve().parents[2]  # of the checkout: the commands lie there


def execute(
    commands: Sequence[Sequence[str]],
    log: Path,
    lock: Path,
    folder: str,
    chosen_threads: str | None,
    usual_threads: int,
) -> int:
    """Run command lines one after another -> exit code; the first failure ends it.

    They end with this process.
    log             file for their output
    lock            file that a training holds; one that an interrupted study left running is
                    waited for
    folder          to run them in
    chosen_threads  of each command, as the user said
    usual_threads   where the user and the worker's own environment say nothing
    """
    from filelock import FileLock

    log.parent.mkdir(parents=True, exist_ok=True)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        pass
    environment = {"OMP_NUM_THREADS": str(usual_threads), **os.environ, PARENT: str(os.getpid())}
    if chosen_threads is not None:
        environment["OMP_NUM_THREADS"] = chosen_threads
    with log.open("wb") as file:
        for command in commands:
            if code := run_command(command, file, folder, environment):
                return code
    return 0


def run_command(
    command: Sequence[str], log: BinaryIO, folder: str, environment: Mapping[str, str]
) -> int:
    """Run one command line in a folder -> exit code; an interruption stops it as well."""
    with subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, cwd=folder, env=environment
    ) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()  # so that it deletes what is half written
            raise


def run_grid(cells: Iterable[Cell], study_folder: Path, workers: Workers) -> dict[str, str]:
    """Train and evaluate what isn't finished, with a progress line.

    Returns {name: last line of its log} of the runs that failed.
    """
    from joblib import delayed
    from tqdm import tqdm

    from weakseg.training.checkpoints import lock_path

    folder = study_folder.resolve()
    runs = {cell.name: cell for cell in cells}  # two budgets that buy everything share one
    todo = [cell for cell in runs.values() if cell.result(folder) is None]
    logs = {cell.name: folder / "logs" / f"{cell.name}.log" for cell in todo}
    failed: dict[str, str] = {}
    if not todo:
        return failed
    tasks = (
        delayed(named)(
            cell.name,
            execute,
            cell.commands(folder, sys.executable, ROOT),
            logs[cell.name],
            lock_path(folder / "runs" / cell.name),
            os.getcwd(),
            os.environ.get("OMP_NUM_THREADS"),
            max(1, (os.cpu_count() or 1) // workers.jobs),
        )
        for cell in todo
    )
    bar = tqdm(total=len(runs), initial=len(runs) - len(todo), unit="run", smoothing=0)
    with backend(workers), bar:
        for name, code in stream(tasks, workers, in_order=False):
            if code or runs[name].result(folder) is None:
                failed[name] = last_line(logs[name])
                bar.write(f"failed: {name}: {failed[name]} (log: {logs[name]})")
            bar.update(1)
    return failed


def named(name: str, function: Callable[..., Any], *arguments: Any) -> tuple[str, Any]:
    """Return the result of a function with a name to know it by."""
    return name, function(*arguments)


def last_line(log: Path) -> str:
    """Return the last line of a log that is not empty."""
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "its log is empty"


def data_of(grid: Grid) -> dict[str, str]:
    """Return what study.json says of the images of a study."""
    return {"data_dir": str(grid.study.data.data_dir), **grid.data}


def refuse_other_data(grid: Grid) -> None:
    """Refuse the folder of a study of other images, which lie elsewhere too.

    Images of a study may move, and there may come others.
    """
    path, data = grid.study.folder / "study.json", data_of(grid)
    before = read_json(path).get("data") if is_record(path, "data") else None
    if isinstance(before, dict) and all(
        before.get(key) != data[key] for key in ("data_dir", "fingerprint")
    ):
        raise UserError(
            f"{path}: is of the images of {before.get('data_dir')}; take another --study_dir"
        )


def collect(grid: Grid, other: Schedule) -> dict[str, Any]:
    """Return the content of study.json: the study, and a row for each finished cell.

    Hours are those of the study's prices, "other_hours" those of the schedule `other`; mIoU is in
    percent.
    """
    from weakseg.evaluation.pricing import reprice

    study, selected_by = grid.study, None
    rows: list[dict[str, Any]] = []
    selection_hours: dict[str, float] = {}
    for cell in grid.cells:
        result = cell.result(study.folder)
        if result is None:
            continue
        priced, otherwise = (reprice(result, schedule) for schedule in (study.schedule, other))
        selected_by = priced["selection"]["by"]
        selection_hours[cell.mode] = hours(priced["selection"])
        scores = result["aggregate"]
        rows.append(
            {
                "mode": cell.mode,
                "budget": cell.budget,
                "seed": cell.seed,
                "run": cell.name,
                "images": cell.images,
                "everything": cell.everything,
                "hours": hours(priced["cost"]),
                "other_hours": hours(otherwise["cost"]),
                "miou": 100 * scores["miou"],
                "low": 100 * scores["miou_interval"][0],
                "high": 100 * scores["miou_interval"][1],
            }
        )
    return {
        "commit": commit(),
        "data": data_of(grid),
        "schedule": study.schedule.name,
        "other_schedule": other.name,
        "budgets": list(study.budgets),
        "all_hours": grid.all_hours,
        "image_hours": grid.image_hours,
        "rows": rows,
        "selection_hours": selection_hours,
        "selected_by": selected_by,
        "cells": len(grid.cells),
        "training": list(study.training),
    }
