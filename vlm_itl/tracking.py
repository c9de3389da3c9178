"""Where a run's numbers go: always `log.jsonl`, and Weights & Biases or TensorBoard if asked.

The trackers are Accelerate's. Each network of a round is a run of its own there, named after the
run's folder and the round, with the numbers of its training and, for the first network, what the
stages of the round gave and pictures of it. A last one is the summary: mean IoU against the share
of labelled images, and the figures. A run of one round, such as a baseline, is one run.

`log.jsonl` holds all that a tracker is told. A run that is opened again, after a kill or for a
later stage, gets from it what stands there, so that it stays one run with each step once.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from vlm_itl.config import Config
from vlm_itl.settings import as_plain
from weakseg.data.image_io import read_image
from weakseg.training.checkpoints import Log
from weakseg.training.tracking import TOKEN, open_tracker, steps_known, wandb_identity

# Keys of a line of the log that say what it is about; all others are numbers and pictures.
PLACES = ("round", "member", "summary", "stage", "step")
SUMMARY = "summary"


def tracker_options(settings: Config, folder: Path) -> dict[str, Any]:
    """Return what an `Accelerator` must be made with, so that it can track a run."""
    if settings.log_with == "none":
        return {}
    return {"log_with": settings.log_with, "project_dir": str(folder / "tensorboard")}


class Tracker:
    """Writes numbers to `log.jsonl` and to the tracker's run that is open.

    A run that was killed computes some steps once more, whose numbers stand in `log.jsonl` already.

    accelerator: one made with `tracker_options`
    rounds: how many the run has
    """

    def __init__(
        self, settings: Config, folder: Path, accelerator: Accelerator, rounds: int = 2
    ) -> None:
        self.settings, self.folder, self.accelerator = settings, folder, accelerator
        self.is_single, self.is_on = rounds == 1, settings.log_with != "none"
        self.open = ""
        self.lines = Log(folder / "log.jsonl", keys=("step",))
        before = self.lines.read()
        self.written = {written_of(line) for line in before}
        if before:
            self.lines.replace(before)  # without a line that a kill cut short

    def begin(self) -> None:
        """Empty the log of a run that begins: what stands there is another's."""
        self.written.clear()
        self.lines.path.unlink(missing_ok=True)
        (self.folder / TOKEN).unlink(missing_ok=True)

    # ---- what is told

    def start(self, number: int, member: int = 0) -> Callable[[Mapping[str, float], int], None]:
        """Open the run of one network of a round -> a function `log(numbers, step)`."""
        where = {"round": number, "member": member}
        self.open_run(self.name_of(where))
        return lambda numbers, step: self.log(numbers, step, where)

    def stage(
        self,
        number: int,
        stage: str,
        numbers: Mapping[str, Any],
        step: int,
        draw: Callable[[], Mapping[str, Path]],
    ) -> None:
        """Add what a stage of a round gave to the run of its first network, once.

        numbers: entries that are no numbers are left out
        draw: makes the stage's pictures -> {name: file below the run's folder}; called only where
        there is a tracker
        """
        where = {"round": number, "member": 0, "stage": stage}
        if any(line.items() >= where.items() for line in self.lines.read()):
            return
        self.open_run(self.name_of(where))
        pictures = draw() if self.is_on else {}
        self.log(only_numbers(numbers), step, where, pictures)

    def summarise(self, results: Mapping[str, Any], pictures: Mapping[str, Path]) -> None:
        """Write the curve of results.json, the judge's metrics and figures, as a run of its own.

        In wandb the labelled share of the pool is the horizontal axis, and the last point, which is
        the final result, stands in the run's summary.
        """
        if self.is_single:  # all is in the run of its round
            return self.stop()
        self.open_run(self.name_of({SUMMARY: True}))
        judged = {line["round"]: line for line in results["judge"]}
        last = results["curve"][-1]
        for point in results["curve"]:
            judge = judged.get(point["round"], {})
            metrics = only_numbers(judge).items()
            numbers = {f"judge/{key}": value for key, value in metrics if key != "round"}
            shown = pictures if point is last else {}
            self.log(only_numbers(point) | numbers, point["round"], {SUMMARY: True}, shown)
        self.stop()

    def log(
        self,
        numbers: Mapping[str, float],
        step: int,
        where: Mapping[str, Any],
        pictures: Mapping[str, Path] | None = None,
    ) -> None:
        """Write one line, and hand it to the open run.

        where: what the line is about, by `PLACES`
        pictures: {name: file below the run's folder}
        What stands in the log already was handed over as the run was opened.
        """
        line: dict[str, Any] = {**where, "step": step, **numbers, "time": round(time.time(), 3)}
        if pictures and self.is_on:
            files = {name: path.relative_to(self.folder) for name, path in pictures.items()}
            line["pictures"] = {name: path.as_posix() for name, path in files.items()}
        if written_of(line) not in self.written:
            self.written.add(written_of(line))
            self.lines.append(line)
            self.hand_over(line)

    # ---- the tracker's runs

    def name_of(self, where: Mapping[str, Any]) -> str:
        """Return the name of the run that a line of the log belongs to."""
        if self.is_single and not where.get("member"):
            return self.folder.name
        if where.get(SUMMARY):
            return f"{self.folder.name}-{SUMMARY}"
        member = f"-member{where['member']}" if where.get("member") else ""
        return f"{self.folder.name}-round{where['round']}{member}"

    def open_run(self, name: str) -> None:
        """Open a tracker's run, behind the last one, with all that the log has of it.

        wandb knows it under the project, in the group of the whole run; without a key it logs to
        files that `wandb sync` uploads later. TensorBoard has it as a folder.
        """
        if not self.is_on or self.open == name:
            return
        self.stop()
        self.open = name
        shutil.rmtree(self.folder / "tensorboard" / name, ignore_errors=True)
        is_wandb = self.settings.log_with == "wandb"
        suffix = name.removeprefix(self.folder.name)
        wandb = {
            "name": name,
            "group": self.folder.name,
            "dir": str(self.folder),
            **(wandb_identity(self.folder, suffix, self.folder) if is_wandb else {}),
            "config": as_plain(self.settings),
            "reinit": "create_new",
        }
        project = self.settings.project if is_wandb else name
        open_tracker(self.accelerator, project, wandb, "log_with")
        if is_wandb and name.endswith(f"-{SUMMARY}"):
            run = self.accelerator.get_tracker("wandb", unwrap=True)
            run.define_metric("*", step_metric="percent")
        known = steps_known(self.accelerator)
        for line in self.lines.read():
            if self.name_of(line) == name and line["step"] >= known:
                self.hand_over(line)

    def hand_over(self, line: Mapping[str, Any]) -> None:
        """Hand the numbers and the pictures of a line of the log to the open run."""
        if not self.is_on:
            return
        named = line.get("pictures", {})
        paths = {name: self.folder / file for name, file in named.items()}
        arrays = {
            name: np.asarray(read_image(path))[None]
            for name, path in paths.items()
            if path.exists()
        }
        shape = {"dataformats": "NHWC"} if self.settings.log_with == "tensorboard" else {}
        for tracker in self.accelerator.trackers if arrays else ():
            tracker.log_images(arrays, step=line["step"], **shape)
        numbers = {key: value for key, value in line.items() if key not in (*PLACES, "time")}
        self.accelerator.log(only_numbers(numbers), line["step"])

    def stop(self) -> None:
        """Close the tracker's run that is open, if there is one."""
        for tracker in self.accelerator.trackers:
            tracker.finish()
        self.accelerator.trackers = []
        self.open = ""


def written_of(line: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what tells a line of the log from all others: of what, which step, which numbers."""
    return (*(line.get(key) for key in PLACES), frozenset(line) - {"pictures"})


def only_numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the entries that are numbers."""
    return {
        key: value
        for key, value in values.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
