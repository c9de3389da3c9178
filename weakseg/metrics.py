"""Segmentation metrics: confusion matrix, IoU scores, boundary F-score and a bootstrap interval.

Everything but the boundary score is read off confusion matrices, which add up over images, batches
and processes.
"""

import cv2
import numpy as np
import torch

from weakseg.common import IGNORE

# Beyond this radius one distance transform is cheaper than a dilation whose kernel grows with its
# square.
LARGEST_DISC = 12
# Pixels whose pairs of classes are counted at once, as int64: 32 MiB however large the masks.
COUNTED_PIXELS = 2**22


def largest(logits, dim):
    """Return the class of the largest logit along `dim`, the first of equal ones, int64:
    ``argmax``, but faster.

    On the CPU, PyTorch's argmax over another dimension than the last takes 20 times as long as its
    max does.
    """
    return logits.max(dim).indices


def confusion_matrix(prediction, target, num_classes, ignore_index=IGNORE):
    """Count pixels by (true class, predicted class).

    Equal to torchmetrics' ``multiclass_confusion_matrix``, which is slower and takes seconds to
    import.

    prediction: integer tensor of any shape, values in [0, num_classes) target: integer tensor of
    the same shape and device; pixels equal to `ignore_index` are not counted Returns an int64
    tensor [C, C] on that device, rows = truth, columns = prediction. Raises ValueError on unequal
    shapes and on a value that is no class.
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape"
        )
    parts = zip(
        prediction.flatten().split(COUNTED_PIXELS),
        target.flatten().split(COUNTED_PIXELS),
        strict=True,
    )
    return sum(_count_pairs(found, wanted, num_classes, ignore_index) for found, wanted in parts)


def _count_pairs(prediction, target, num_classes, ignore_index):
    ignored = target == ignore_index
    labelled = target.masked_fill(ignored, 0)
    _check_classes("prediction", prediction, num_classes)
    _check_classes("target", labelled, num_classes)
    cells = num_classes * num_classes
    # Ignored pixels are counted in one cell behind the matrix: dropping them first would copy both
    # masks.
    index = labelled.long().mul(num_classes).add_(prediction).masked_fill_(ignored, cells)
    return torch.bincount(index, minlength=cells + 1)[:cells].view(num_classes, num_classes)


def _check_classes(name, values, num_classes):
    if not values.numel():
        return
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= num_classes:
        raise ValueError(
            f"{name} holds values from {low} to {high}, outside the {num_classes} classes"
        )


def scores(confusion):
    """Read IoU and accuracy, as fractions, off one confusion matrix or a stack of them.

    confusion: [..., C, C], rows = truth, columns = prediction (tensor or array, any device) Returns
    float64 tensors on the CPU: `iou` [..., C], NaN for a class absent from truth and prediction;
    `miou` [...], the mean over the other classes; `pixel_accuracy` [...]. Where nothing was
    counted, all three are NaN.
    """
    confusion = torch.as_tensor(confusion).cpu().double()
    hits = confusion.diagonal(dim1=-2, dim2=-1)
    union = confusion.sum(-1) + confusion.sum(-2) - hits
    iou = hits / union
    accuracy = hits.sum(-1) / confusion.sum((-2, -1))
    return {"iou": iou, "miou": iou.nanmean(-1), "pixel_accuracy": accuracy}


def boundary_f(prediction, target, num_classes, tolerance=0.0075):
    """Score how well the boundary of each class is met: the F-measure of boundary precision and
    recall.

    Csurka et al., "What is a good evaluation measure for semantic segmentation?", BMVC 2013. As in
    the DAVIS benchmark (Perazzi et al., CVPR 2016), two boundary pixels match within a distance of
    `tolerance` image diagonals, rounded up to whole pixels. A boundary pixel of a class has a
    4-neighbour of another class; the frame is no boundary.

    Trimaps ignore a band in which the true boundary lies. Ignored target pixels therefore first
    take the label of the nearest labelled pixel (ties: the lowest class), which puts the boundary
    on the midline of the band.

    prediction, target: uint8 [H, W]; 255 in the target is ignored Returns float64 [C], background
    included: NaN for a class absent from both masks, 0 for one absent from one of them, 1 where the
    class fills both; all NaN if the whole target is ignored. Raises ValueError on unequal shapes.
    """
    if prediction.shape != target.shape:
        raise ValueError(f"prediction {prediction.shape} and target {target.shape} differ in shape")
    result = np.full(num_classes, np.nan)
    if (target == IGNORE).all():
        return result
    target = fill_ignored(target)
    radius = max(1, int(np.ceil(tolerance * np.hypot(*target.shape))))
    for index in range(num_classes):
        found, wanted = (prediction == index).view(np.uint8), (target == index).view(np.uint8)
        if found.any() and wanted.any():
            result[index] = _edge_f(_edge(found), _edge(wanted), radius)
        elif found.any() or wanted.any():
            result[index] = 0.0
    return result


def fill_ignored(target):
    """Return `target` [H, W] with each ignored pixel given the label of the nearest labelled
    one.
    """
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
        distance = cv2.distanceTransform(
            (part != label).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
        )
        closer = hole & (distance < nearest)
        nearest[closer], filled[closer] = distance[closer], label
    result = target.copy()
    result[window] = filled
    return result


def _edge(mask):
    """Return the pixels of a 0/1 `mask` that have a 4-neighbour outside it."""
    return mask - cv2.erode(mask, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))


def _edge_f(found, wanted, radius):
    """F-measure of two 0/1 edge maps [H, W] of a class that both masks contain."""
    totals = cv2.countNonZero(found), cv2.countNonZero(wanted)
    if 0 in totals:
        return float(totals == (0, 0))
    precision = cv2.countNonZero(found & _within(wanted, radius)) / totals[0]
    recall = cv2.countNonZero(wanted & _within(found, radius)) / totals[1]
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _within(edge, radius):
    """Return 1 where a pixel of `edge` lies within `radius` pixels, else 0: [H, W] uint8."""
    if radius > LARGEST_DISC:
        distance = cv2.distanceTransform(1 - edge, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        # Squared distances are whole numbers: the slack only absorbs the rounding of their float32
        # roots.
        return (distance <= radius + 1e-4).view(np.uint8)
    rows, columns = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return cv2.dilate(edge, (rows**2 + columns**2 <= radius**2).astype(np.uint8))


def plain(value):
    """Turn a float tensor or array into plain floats, NaN into None."""
    value = value.tolist()
    if isinstance(value, list):
        return [None if v != v else v for v in value]
    return None if value != value else value


def image_iou(prediction, truth):
    """Return the mean IoU over the foreground classes that occur in either mask [S, S]; 1 where
    neither has any.

    Ignored pixels of the truth (255) count for nothing. NaN where the whole truth is ignored.
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
