"""Segmentation metrics: confusion matrix, IoU, pixel accuracy and the boundary F-measure.

Everything but the boundary measure is read off confusion matrices, which add up over images,
batches and processes.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch

from weakseg.common import IGNORE

# Beyond this radius one distance transform is cheaper than a dilation whose kernel grows with its
# square.
LARGEST_DISC = 12
# Pixels whose pairs of classes are counted at once, as int64: 32 MiB however large the masks.
COUNTED_PIXELS = 2**22


def largest(logits: torch.Tensor, dim: int) -> torch.Tensor:
    """Return the class of the largest logit along `dim`, int64; the first of equal ones.

    That is ``argmax``, but on the CPU PyTorch's argmax over another dimension than the last takes
    20 times as long as its max does.
    """
    return logits.max(dim).indices


def confusion_matrix(
    prediction: torch.Tensor,
    target: torch.Tensor,
    num_classes: int,
    ignore_index: int = IGNORE,
) -> torch.Tensor:
    """Count pixels by (true class, predicted class).

    prediction: integer tensor of any shape, values in [0, num_classes)
    target: integer tensor of the same shape and device; `ignore_index` is not counted
    Returns an int64 tensor [C, C] on that device, rows = truth, columns = prediction. Raises
    ValueError on unequal shapes and on a value that is no class.

    The tests hold it equal to torchmetrics' ``multiclass_confusion_matrix``, which would cost more
    than a quarter of an evaluation: evaluate.py on 100 photographs of Oxford Pets takes 7.2 s of
    processor time, and 9.2 s with torchmetrics, of which 1.4 s are its import and 0.4 s the
    counting, 5.3 ms a photograph instead of 1.3 ms.
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape"
        )
    counts = torch.zeros(num_classes, num_classes, dtype=torch.int64, device=prediction.device)
    predicted_parts = prediction.flatten().split(COUNTED_PIXELS)
    true_parts = target.flatten().split(COUNTED_PIXELS)
    for predicted, true in zip(predicted_parts, true_parts, strict=True):
        counts += _count_pairs(predicted, true, num_classes, ignore_index)
    return counts


def _count_pairs(
    prediction: torch.Tensor, target: torch.Tensor, num_classes: int, ignore_index: int
) -> torch.Tensor:
    """Count the pairs of classes of two flat tensors, int64 [C, C]."""
    ignored = target == ignore_index
    labelled = target.masked_fill(ignored, 0)
    _check_classes("prediction", prediction, num_classes)
    _check_classes("target", labelled, num_classes)
    cells = num_classes * num_classes
    # Ignored pixels are counted in one cell behind the matrix: dropping them first would copy both
    # masks.
    index = labelled.long().mul(num_classes).add_(prediction).masked_fill_(ignored, cells)
    return torch.bincount(index, minlength=cells + 1)[:cells].view(num_classes, num_classes)


def _check_classes(name: str, values: torch.Tensor, num_classes: int) -> None:
    """Raise ValueError where a value is no class."""
    if not values.numel():
        return
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= num_classes:
        raise ValueError(
            f"{name} holds values from {low} to {high}, outside the {num_classes} classes"
        )


def scores(
    confusion: torch.Tensor | np.ndarray | Sequence[Sequence[float]],
) -> dict[str, torch.Tensor]:
    """Read IoU and accuracy, as fractions, off one confusion matrix or a stack of them.

    confusion: [..., C, C], rows = truth, columns = prediction (tensor or array, any device)
    Returns float64 tensors on the CPU: `iou` [..., C], NaN for a class absent from truth and
    prediction; `miou` [...], the mean over the other classes; `pixel_accuracy` [...]. Where nothing
    was counted, all three are NaN.
    """
    counts = torch.as_tensor(confusion).cpu().double()
    hits = counts.diagonal(dim1=-2, dim2=-1)
    union = counts.sum(-1) + counts.sum(-2) - hits
    iou = hits / union
    accuracy = hits.sum(-1) / counts.sum((-2, -1))
    return {"iou": iou, "miou": iou.nanmean(-1), "pixel_accuracy": accuracy}


def boundary_f(
    prediction: np.ndarray, target: np.ndarray, num_classes: int, tolerance: float = 0.0075
) -> np.ndarray:
    """Return the F-measure of boundary precision and recall of each class, float64 [C].

    Csurka et al., "What is a good evaluation measure for semantic segmentation?", BMVC 2013. As in
    the DAVIS benchmark (Perazzi et al., CVPR 2016), two boundary pixels match within a distance of
    `tolerance` image diagonals, rounded up to whole pixels. A boundary pixel of a class has a
    4-neighbour of another class; the frame is no boundary.

    Trimaps ignore a band in which the true boundary lies. Ignored target pixels therefore first
    take the label of the nearest labelled pixel (ties: the lowest class), which puts the boundary
    on the midline of the band.

    prediction, target: uint8 [H, W]; 255 in the target is ignored
    The background is included. NaN for a class absent from both masks, 0 for one absent from one of
    them, 1 where the class fills both; all NaN if the whole target is ignored. Raises ValueError on
    unequal shapes.
    """
    if prediction.shape != target.shape:
        raise ValueError(f"prediction {prediction.shape} and target {target.shape} differ in shape")
    result = np.full(num_classes, np.nan)
    if (target == IGNORE).all():
        return result
    target = fill_ignored(target)
    radius = max(1, int(np.ceil(tolerance * np.hypot(*target.shape))))
    for index in range(num_classes):
        predicted, true = (prediction == index).view(np.uint8), (target == index).view(np.uint8)
        if predicted.any() and true.any():
            result[index] = _edge_f(_edge(predicted), _edge(true), radius)
        elif predicted.any() or true.any():
            result[index] = 0.0
    return result


def fill_ignored(target: np.ndarray) -> np.ndarray:
    """Return a mask [H, W] with each ignored pixel given the label of the nearest labelled one."""
    ignored = (target == IGNORE).view(np.uint8)
    if not ignored.any():
        return target
    # The labelled pixel nearest to an ignored one touches the ignored region: one pixel around it
    # is enough.
    x, y, width, height = cv2.boundingRect(ignored)
    window = slice(max(0, y - 1), y + height + 1), slice(max(0, x - 1), x + width + 1)
    part, hole = target[window], ignored[window].view(bool)
    nearest = np.full(part.shape, np.inf, np.float32)
    filled = part.copy()
    for label in np.flatnonzero(np.bincount(part.ravel(), minlength=256)[:IGNORE]):
        other = (part != label).view(np.uint8)
        distance = cv2.distanceTransform(other, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        closer = hole & (distance < nearest)
        nearest[closer], filled[closer] = distance[closer], label
    result = target.copy()
    result[window] = filled
    return result


def _edge(mask: np.ndarray) -> np.ndarray:
    """Return the pixels of a 0/1 mask that have a 4-neighbour outside it."""
    return mask - cv2.erode(mask, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))


def _edge_f(predicted: np.ndarray, true: np.ndarray, radius: int) -> float:
    """Return the F-measure of two 0/1 edge maps [H, W] of a class that both masks contain."""
    totals = cv2.countNonZero(predicted), cv2.countNonZero(true)
    if 0 in totals:
        return float(totals == (0, 0))
    precision = cv2.countNonZero(predicted & _within(true, radius)) / totals[0]
    recall = cv2.countNonZero(true & _within(predicted, radius)) / totals[1]
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _within(edge: np.ndarray, radius: int) -> np.ndarray:
    """Return 1 where a pixel of `edge` lies within `radius` pixels, else 0: uint8 [H, W]."""
    if radius > LARGEST_DISC:
        distance = cv2.distanceTransform(1 - edge, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        # Squared distances are whole numbers: the slack only absorbs the rounding of their float32
        # roots.
        return (distance <= radius + 1e-4).view(np.uint8)
    rows, columns = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return cv2.dilate(edge, (rows**2 + columns**2 <= radius**2).astype(np.uint8))


def plain(value: torch.Tensor | np.ndarray | np.floating) -> Any:
    """Return a number or a list of numbers as plain floats, NaN as None."""
    values = value.tolist()
    if isinstance(values, list):
        return [None if v != v else v for v in values]
    return None if values != values else values


def image_iou(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean IoU over the foreground classes that occur in either mask [S, S].

    It is 1 where neither has any. Ignored pixels of the truth (255) count for nothing; NaN where
    the whole truth is ignored.
    """
    seen = truth != IGNORE
    if not seen.any():
        return float("nan")
    prediction, truth = prediction[seen], truth[seen]
    classes = np.union1d(np.unique(prediction), np.unique(truth))
    ious = [
        np.count_nonzero((prediction == c) & (truth == c))
        / np.count_nonzero((prediction == c) | (truth == c))
        for c in classes
        if c != 0
    ]
    return float(np.mean(ious)) if ious else 1.0
