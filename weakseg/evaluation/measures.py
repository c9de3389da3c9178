"""What a comparison compares: IoU, completeness, consistency and errors, read off tallies."""

from collections.abc import Mapping

import numpy as np

from weakseg.evaluation.error_modes import MODES
from weakseg.metrics import scores

Tallies = dict[str, np.ndarray]  # what `tally` counts of all runs of a group, [seeds, images, ...]

OF_A_PART = "miou", "covered", "right", "errors"  # measures of a part of the test set


def summed(tallies: Tallies, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return {name: sums over images [B, S, ...]} for weights of the images [B, N]."""
    return {name: np.tensordot(weights, values, (1, 1)) for name, values in tallies.items()}


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, NaN where the whole is nothing."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=np.asarray(whole) > 0)


def measures(sums: Mapping[str, np.ndarray], has_background: bool = True) -> dict[str, np.ndarray]:
    """Read every measure off sums of tallies, as fractions; NaN where there is nothing to measure.

    Each is [...], or [..., K] where there is one for each bin, class or mode.
    has_background: whether class 0 is one
    """
    confusion, complete, modes = sums["confusion"], sums["complete"], sums["modes"]
    metrics = scores(confusion)
    pixels, errors = confusion.sum((-2, -1)), modes.sum((-2, -1))

    # The pixels of true objects: all, and those given to no, to any and to the right object class.
    first = int(has_background)
    objects = confusion[..., first:, :]
    of_objects, to_background = objects.sum((-2, -1)), objects[..., :first].sum((-2, -1))
    to_objects = objects[..., first:].sum((-2, -1))
    right = np.trace(objects[..., first:], axis1=-2, axis2=-1)

    return {
        "miou": metrics["miou"].numpy(),
        "iou": metrics["iou"].numpy(),
        "covered": share(complete[..., 1].sum(-1), complete[..., 0].sum(-1)),
        "covered_by_distance": share(complete[..., 1], complete[..., 0]),
        "right": share(right, of_objects),
        "other": share(to_objects - right, of_objects),
        "background": share(to_background, of_objects * has_background),
        "confused": share(to_objects - right, to_objects),
        "mixed": share(sums["mixed"][..., 1], sums["mixed"][..., 0]),
        "errors": share(errors, pixels),
        "modes": share(modes.sum(-1), _repeated(pixels)),
        "shares": share(modes.sum(-1), _repeated(errors)),
    }


def _repeated(values: np.ndarray) -> np.ndarray:
    """Return values [...] once for each error mode, [..., 6]."""
    return np.repeat(values[..., None], len(MODES), -1)


def measures_of_part(
    sums: Mapping[str, np.ndarray], has_background: bool = True
) -> dict[str, np.ndarray]:
    """Read the measures of a part of the test set off its sums.

    The mIoU is over the classes that the truth shows: a part may lack some.
    """
    every = measures(sums, has_background)
    there = sums["confusion"].sum(-1) > 0
    miou = share(np.where(there, every["iou"], 0).sum(-1), there.sum(-1))
    return {name: miou if name == "miou" else every[name] for name in OF_A_PART}
