"""Weights & Biases and TensorBoard, by Accelerate's trackers."""

import netrc
import os

from accelerate import Accelerator

from weakseg.training.run import TrainingRun


def start_tracking(run: TrainingRun, accelerator: Accelerator) -> None:
    """Open the tracker's run.

    Without a key, wandb logs to files, which `wandb sync` uploads later.
    """
    wandb = {
        "name": run.run_name,
        "config": run.recorded(),
        "mode": wandb_mode(),
        "dir": os.environ.get("WANDB_DIR"),
    }
    # TensorBoard takes the project's name for the folder: the run's own.
    project = "weak-supervision" if run.log_with == "wandb" else run.run_name
    accelerator.init_trackers(project, init_kwargs={"wandb": wandb})


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
