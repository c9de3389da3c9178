"""Weights and checkpoints of the Trainer, which fit to the last tensor or are refused."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from weakseg.common import UserError, atomic_path
from weakseg.learners.weights import read_tensors

WEIGHTS = "model.safetensors"
# Written last into a checkpoint, it lists the files: a kill leaves folders without one of them.
COMPLETE = "complete"


def packed(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a state dict as safetensors wants it: on the CPU, in plain order of memory."""
    return {name: tensor.cpu().contiguous() for name, tensor in state.items()}


def load_strictly(network: nn.Module, path: Path) -> None:
    """Load every tensor of a .safetensors file; what doesn't fit is a `UserError`."""
    state = read_tensors(path, "checkpoint")
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{path}: does not fit this network ({reason})") from error


def mark_complete(folder: Path) -> None:
    """List a checkpoint's files in it, which says that they are all there."""
    files = sorted(path.name for path in folder.iterdir())
    with atomic_path(folder / COMPLETE) as temporary:
        temporary.write_text("\n".join(files))


def is_complete(folder: Path) -> bool:
    """Whether a checkpoint was written to the end, and not partly removed since."""
    marker = folder / COMPLETE
    return marker.exists() and all(
        (folder / name).exists() for name in marker.read_text().splitlines()
    )


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint below a folder, and remove the incomplete ones."""
    complete = {}
    for path in folder.glob("checkpoint-*"):
        if is_complete(path):
            complete[int(path.name.rsplit("-", 1)[1])] = path
        else:
            shutil.rmtree(path)
    return complete[max(complete)] if complete else None
