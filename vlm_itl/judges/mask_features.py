"""Numbers that describe a predicted mask without the truth.

They tell how a second opinion sees it, what its shape is, and what the image shows along its
contour.
"""

import cv2
import numpy as np

from vlm_itl.judges.base import ERRORS
from weakseg.metrics import image_iou

TINY = 1e-6
# A part is missing, or extra, from this share of the object on.
ERROR_SHARE = 0.2


def describe(image: np.ndarray, mask: np.ndarray, opinion: np.ndarray) -> np.ndarray:
    """Return the features [D] float32 of a mask, whatever drew it.

    image: [S, S, 3] uint8; mask: [S, S] uint8
    opinion: [C, S, S] float, class probabilities of an independent model for the same image
    """
    values = (
        agreement(mask, opinion)
        + opinion_levels(mask, opinion)
        + shape(mask > 0)
        + contrast(image, mask > 0)
    )
    return np.array(values, np.float32)


def soft_iou(mask: np.ndarray, soft: np.ndarray) -> float:
    """Return the soft IoU of a mask [S, S] with class probabilities [C, S, S] (`agreement`)."""
    return agreement(mask, soft)[0]


def agreement(mask: np.ndarray, soft: np.ndarray) -> list[float]:
    """Return how far a mask [S, S] agrees with class probabilities [C, S, S]: five numbers.

    Soft IoU, precision and recall, each a mean over the foreground classes in either; the IoU with
    the most probable classes; and the soft IoU of all foreground.
    """
    hard = soft.argmax(0).astype(np.uint8)
    classes = np.union1d(np.unique(mask), np.unique(hard))
    rows = [overlap(mask == label, soft[label]) for label in classes if label]
    mean = np.mean(rows, axis=0) if rows else (1.0, 1.0, 1.0)
    return [*mean, image_iou(hard, mask), overlap(mask > 0, 1 - soft[0])[0]]


def overlap(inside: np.ndarray, soft: np.ndarray) -> list[float]:
    """Return soft IoU, precision and recall of a region [S, S] bool against a soft one [S, S]."""
    both, area, mass = soft[inside].sum(), np.count_nonzero(inside), soft.sum()
    return [
        (both + TINY) / (area + mass - both + TINY),
        (both + TINY) / (area + TINY),
        (both + TINY) / (mass + TINY),
    ]


def opinion_levels(mask: np.ndarray, opinion: np.ndarray) -> list[float]:
    """Return how much foreground there is by mask [S, S] and opinion [C, S, S]; the `margins`."""
    foreground = 1 - opinion[0]
    area, mass = (mask > 0).mean(), foreground.mean()
    inside = foreground[mask > 0]
    low, middle = np.quantile(inside, (0.1, 0.5)) if inside.size else (0.0, 0.0)
    return [
        area,
        mass,
        np.log((area + 0.01) / (mass + 0.01)),
        foreground.max(),
        low,
        middle,
        *margins(mask, opinion),
    ]


def margins(mask: np.ndarray, soft: np.ndarray) -> list[float]:
    """Return how sure class probabilities [C, S, S] are, by the margin between the first two.

    Its mean in each of the `zones` of the mask [S, S], and the area where it is below a half, in
    units of the mask's area.
    """
    top = np.partition(soft, -2, axis=0)[-2:]
    margin = top[1] - top[0]
    doubtful = np.count_nonzero(margin < 0.5) / (np.count_nonzero(mask) + 0.01 * mask.size)
    means = [margin[zone].mean() if zone.any() else 1.0 for zone in zones(mask > 0)]
    return [*means, doubtful]


def zones(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return four parts of the image around a region [S, S] bool, each [S, S] bool.

    The region's core, the band inside its contour, the band outside, and the rest.
    """
    radius = max(1, inside.shape[0] // 32)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    core = cv2.erode(inside.astype(np.uint8), kernel) > 0
    reach = cv2.dilate(inside.astype(np.uint8), kernel) > 0
    return core, inside & ~core, reach & ~inside, ~reach


def shape(inside: np.ndarray) -> list[float]:
    """Return seven numbers about the shape of a region [S, S] bool; all 0 where it is empty.

    Further pieces than the first, the share of the largest, compactness, solidity, the share of
    the bounding box, area with holes filled over area, and the share of the image's edge.
    """
    area = np.count_nonzero(inside)
    if not area:
        return [0.0] * 7
    count, _, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8))
    contours, _ = cv2.findContours(
        inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    hull = cv2.contourArea(cv2.convexHull(np.concatenate(contours))) + TINY
    length = sum(cv2.arcLength(contour, True) for contour in contours) + TINY
    filled = sum(cv2.contourArea(contour) for contour in contours)
    ys, xs = np.nonzero(inside)
    box = (np.ptp(ys) + 1) * (np.ptp(xs) + 1)
    edge = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]]).mean()
    largest = stats[1:, cv2.CC_STAT_AREA].max() / area
    return [
        count - 1,
        largest,
        4 * np.pi * area / length**2,
        min(1.5, area / hull),
        area / box,
        filled / area,
        edge,
    ]


def contrast(image: np.ndarray, inside: np.ndarray) -> list[float]:
    """Return what an image [S, S, 3] shows along the contour of a region [S, S] bool.

    How much stronger edges are there than elsewhere, and how far the colours on both sides differ,
    near the contour and in all.
    """
    lab = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB).astype(np.float32)
    light = cv2.GaussianBlur(lab[..., 0], (0, 0), 1.0)
    slope = np.hypot(cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1))
    core, inner, outer, far = zones(inside)
    band = inner | outer
    sharper = np.log((slope[band].mean() + 1) / (slope.mean() + 1)) if band.any() else 0.0
    near = histogram_distance(lab, inner | core, outer)
    return [sharper, near, histogram_distance(lab, inside, far | outer)]


def histogram_distance(lab: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Return the chi-squared distance, in [0, 1], of the colours of two regions [S, S] bool.

    The histograms have 6 x 6 x 6 bins of `lab` [S, S, 3] in [0, 255]; without pixels it is 0.
    """
    if not (first.any() and second.any()):
        return 0.0
    bins = (lab // 43).astype(np.int64) @ (36, 6, 1)
    one, two = (np.bincount(bins[r], minlength=216) / np.count_nonzero(r) for r in (first, second))
    return float(((one - two) ** 2 / (one + two + TINY)).sum() / 2)


def likely_errors(mask: np.ndarray, soft: np.ndarray) -> tuple[str, ...]:
    """Return which of `base.ERRORS` a mask [S, S] shows against class probabilities [C, S, S].

    A part is missing where more than `ERROR_SHARE` of the expected foreground lies outside the
    mask, and extra where as much of the mask is expected to be background. A class is wrong where
    as much of the mask is expected to be another one. Where none of these is seen, it is the
    boundary.
    """
    inside, foreground = mask > 0, 1 - soft[0]
    area = np.count_nonzero(inside) + TINY
    own = np.take_along_axis(soft, mask[None].astype(np.int64), 0)[0]
    shown = {
        "missing_part": foreground[~inside].sum() > ERROR_SHARE * foreground.sum(),
        "extra_part": soft[0][inside].sum() > ERROR_SHARE * area,
        "wrong_class": (foreground - own)[inside].sum() > ERROR_SHARE * area,
    }
    return tuple(name for name in ERRORS if shown.get(name)) or ("boundary",)
