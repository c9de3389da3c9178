"""Weights & Biases and TensorBoard, by Accelerate's trackers.

A run that goes on after a kill is one run there too: its files are written anew from `log.jsonl`,
and a server's run is taken up by its id.
"""

import netrc
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from weakseg.common import UserError, atomic_path, reason
from weakseg.training.run import TrainingRun

TOKEN = "tracker_id"  # the file in a run's folder that makes the run's id in wandb


def start_tracking(
    run: TrainingRun, accelerator: Accelerator, lines: Iterable[Mapping[str, Any]]
) -> None:
    """Open the tracker's run; lines: of its log so far, none where it begins.

    Without a key, wandb logs to files, which `wandb sync` uploads later.
    """
    if run.log_with == "none" or not accelerator.is_main_process:
        return
    lines = list(lines)
    if not lines:
        (run.folder / TOKEN).unlink(missing_ok=True)
    for earlier in run.folder.glob("events.out.tfevents.*"):
        earlier.unlink()
    wandb: dict[str, Any] = {}
    project = run.run_name  # TensorBoard takes the project's name for the folder: the run's own
    if run.log_with == "wandb":
        where, project = os.environ.get("WANDB_DIR"), "weak-supervision"
        wandb = {"name": run.run_name, "config": run.recorded(), "dir": where}
        wandb |= wandb_identity(run.folder, "", Path(where or "."))
    open_tracker(accelerator, project, wandb, "--log_with")
    known = steps_known(accelerator)
    for line in lines:
        if line["epoch"] >= known:
            track_epoch(accelerator, line)


def open_tracker(
    accelerator: Accelerator, project: str, wandb: Mapping[str, Any], option: str
) -> None:
    """Open a tracker's run; one that can't be opened is a `UserError`.

    wandb: arguments of `wandb.init`; option: where the user asked for it
    """
    failures: tuple[type[Exception], ...] = (OSError,)
    if "wandb" in map(str, accelerator.log_with):
        from wandb.errors import Error

        failures += (Error,)
    try:
        accelerator.init_trackers(project, init_kwargs={"wandb": dict(wandb)})
    except failures as error:
        raise UserError(
            f"{option}: the tracker can't be opened ({reason(error)}); set it to none, or for "
            "wandb the environment variable WANDB_MODE to offline"
        ) from error


def track_epoch(accelerator: Accelerator, line: Mapping[str, Any]) -> None:
    """Hand the numbers of an epoch's line in the log to the tracker."""
    numbers = {name: value for name, value in line.items() if isinstance(value, float)}
    terms = {f"terms/{name}": value for name, value in line["terms"].items()}
    accelerator.log(numbers | terms, step=line["epoch"])


def wandb_identity(folder: Path, suffix: str, where: Path) -> dict[str, Any]:
    """Return what `wandb.init` needs, so that a run which is opened again stays one run.

    Files of it that were written without a server go, as all is written again.

    folder: of the run, which keeps a token; suffix: of its id behind that; where: wandb's own
    folder is below it
    """
    path, mode = folder / TOKEN, wandb_mode()
    if not path.exists():
        with atomic_path(path) as temporary:
            temporary.write_text(secrets.token_hex(4))
    run_id = path.read_text().strip() + suffix
    for earlier in (where / "wandb").glob(f"offline-run-*-{run_id}"):
        shutil.rmtree(earlier, ignore_errors=True)
    return {"id": run_id, "mode": mode, "resume": None if mode == "offline" else "allow"}


def steps_known(accelerator: Accelerator) -> int:
    """Return how many steps of the open run a server has: they come no more."""
    for tracker in accelerator.trackers:
        if tracker.name == "wandb":
            return getattr(tracker.tracker, "starting_step", 0)
    return 0


def wandb_mode() -> str | None:
    """Return wandb's mode: the environment's, else 'offline' without a key, None with one.

    None leaves the mode to wandb. It reads the environment only once in a process, so the mode is
    always given.
    """
    return os.environ.get("WANDB_MODE") or (None if has_wandb_key() else "offline")


def has_wandb_key() -> bool:
    """Return whether wandb finds a key in the environment or where `wandb login` leaves it."""
    try:
        return "WANDB_API_KEY" in os.environ or bool(netrc.netrc().authenticators("api.wandb.ai"))
    except (OSError, netrc.NetrcParseError):
        return False
