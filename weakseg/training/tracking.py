"""Weights & Biases and TensorBoard, by Accelerate's trackers."""

import netrc
import os


def start_tracking(args, accelerator):
    """Open the tracker's run; without a key, wandb logs to files that `wandb sync` uploads
    later.
    """
    wandb = {
        "name": args.run_name,
        "config": vars(args),
        "mode": wandb_mode(),
        "dir": os.environ.get("WANDB_DIR"),
    }
    project = (
        "weak-supervision" if args.log_with == "wandb" else args.run_name
    )  # for TensorBoard: the run's folder
    accelerator.init_trackers(project, init_kwargs={"wandb": wandb})


def wandb_mode():
    """Return the mode that the environment asks for, else 'offline' without a key, and None,
    wandb's own, with one.

    wandb reads the environment only once in a process, so what it says is always given.
    """
    return os.environ.get("WANDB_MODE") or (None if has_wandb_key() else "offline")


def has_wandb_key():
    """Whether wandb finds a key in the environment or where `wandb login` leaves it."""
    try:
        return "WANDB_API_KEY" in os.environ or bool(netrc.netrc().authenticators("api.wandb.ai"))
    except (OSError, netrc.NetrcParseError):
        return False
