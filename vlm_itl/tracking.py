"""Where a run's numbers go: always `log.jsonl`, and Weights & Biases or TensorBoard if asked.

The trackers are Accelerate's. Each network of a round is a run of its own there, named after the
run's folder and the round, and a last one is the summary: mean IoU against the share of labelled
images, and what the test gave.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from vlm_itl.config import Config
from vlm_itl.settings import as_plain
from weakseg.training.checkpoints import Log
from weakseg.training.tracking import wandb_mode


def tracker_options(settings: Config, folder: Path) -> dict[str, Any]:
    """Return what an `Accelerator` must be made with, so that it can track a run."""
    if settings.log_with == "none":
        return {}
    return {"log_with": settings.log_with, "project_dir": str(folder / "tensorboard")}


class Tracker:
    """Writes numbers to `log.jsonl` and to the tracker's run that is open.

    A run that was killed computes some steps once more, whose numbers stand in `log.jsonl` already.

    accelerator: one made with `tracker_options`
    """

    def __init__(self, settings: Config, folder: Path, accelerator: Accelerator) -> None:
        self.settings, self.folder, self.accelerator = settings, folder, accelerator
        self.lines = Log(folder / "log.jsonl", keys=("step",))
        before = self.lines.read()
        self.written = {written_of(line) for line in before}
        if before:
            self.lines.replace(before)  # without a line that a kill cut short

    def begin(self) -> None:
        """Empty the log of a run that begins: what stands there is another's."""
        self.written.clear()
        self.lines.path.unlink(missing_ok=True)

    def start(self, number: int, member: int = 0) -> Callable[[Mapping[str, float], int], None]:
        """Open the run of one network of a round -> a function `log(numbers, step)`."""
        self.open_run(f"round{number}" + (f"-member{member}" if member else ""))
        return lambda numbers, step: self.log(numbers, step, round=number, member=member)

    def open_run(self, name: str) -> None:
        """Open a tracker's run, behind the last one.

        wandb knows it under the project, in the group of the whole run; without a key it logs to
        files that `wandb sync` uploads later. TensorBoard has it as a folder.
        """
        self.stop()
        whole = self.folder.name
        wandb = {
            "name": f"{whole}-{name}",
            "group": whole,
            "dir": str(self.folder),
            "mode": wandb_mode(),
            "config": as_plain(self.settings),
            "reinit": "create_new",
        }
        project = self.settings.project if self.settings.log_with == "wandb" else wandb["name"]
        self.accelerator.init_trackers(project, init_kwargs={"wandb": wandb})

    def log(self, numbers: Mapping[str, float], step: int, **where: int | bool) -> None:
        """Write one line, and hand the numbers to the open run; where: what the line is about."""
        line = {**where, "step": step, **numbers, "time": round(time.time(), 3)}
        if written_of(line) not in self.written:
            self.written.add(written_of(line))
            self.lines.append(line)
        self.accelerator.log(dict(numbers), step)

    def summarise(self, results: Mapping[str, Any]) -> None:
        """Write the curve of results.json, and the judge's metrics, as a run of its own.

        In wandb the labelled share of the pool is the horizontal axis, and the last point, which is
        the final result, stands in the run's summary.
        """
        self.open_run("summary")
        if self.settings.log_with == "wandb":
            run = self.accelerator.get_tracker("wandb", unwrap=True)
            run.define_metric("*", step_metric="percent")
        judged = {line["round"]: line for line in results["judge"]}
        for point in results["curve"]:
            judge = judged.get(point["round"], {})
            numbers = {f"judge/{key}": value for key, value in only_numbers(judge).items()}
            self.log(only_numbers(point) | numbers, point["round"], summary=True)
        self.stop()

    def stop(self) -> None:
        """Close the tracker's run that is open, if there is one."""
        for tracker in self.accelerator.trackers:
            tracker.finish()
        self.accelerator.trackers = []


def written_of(line: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what tells a line of the log from all others: of what, which step, which numbers."""
    places = (line.get(key) for key in ("round", "member", "summary", "step"))
    return (*places, frozenset(line))


def only_numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the entries that are numbers."""
    return {key: value for key, value in values.items() if isinstance(value, (int, float))}
