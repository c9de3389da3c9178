"""The workshop: data, labels, losses, learners, training, evaluation and planning.

from weakseg import load
mask = load("checkpoints/points").predict("photo.jpg")
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from weakseg.inference.trained import TrainedModel

__all__ = ["load"]


def load(path: "str | Path", device: str = "auto") -> "TrainedModel":
    """Return the trained model of a run, by either learner, ready to predict.

    path: the folder of the run, or a checkpoint in it; device: auto, cpu, cuda or mps. A file that
    is missing or unfit is a `weakseg.common.UserError`. Nothing is fetched from the network.
    """
    from weakseg.inference import trained  # PyTorch takes seconds to import

    return trained.load(path, device)
