"""Numbers that describe a predicted mask without the truth: how a second opinion sees it, its
shape, and the image under its contour.
"""

import cv2
import numpy as np

from weakseg.metrics import image_iou

TINY = 1e-6


def describe(image, mask, opinion):
    """Return [D] float32 for a mask [S, S] uint8 of an image [S, S, 3] uint8, whatever drew the
    mask.

    opinion: [C, S, S] float, an independent soft mask of the same image.
    """
    values = (
        agreement(mask, opinion)
        + opinion_levels(mask, opinion)
        + shape(mask > 0)
        + contrast(image, mask > 0)
    )
    return np.array(values, np.float32)


def expected_iou(mask, soft):
    """Return the soft IoU of a mask [S, S] with class probabilities [C, S, S], a mean over the
    classes in either.
    """
    return agreement(mask, soft)[0]


def agreement(mask, soft):
    """Return mean soft IoU, precision and recall over the classes in either, the hard IoU, and the
    foreground's IoU.
    """
    hard = soft.argmax(0).astype(np.uint8)
    classes = np.union1d(np.unique(mask), np.unique(hard))
    rows = [overlap(mask == c, soft[c]) for c in classes if c]
    mean = np.mean(rows, axis=0) if rows else (1.0, 1.0, 1.0)
    return [*mean, image_iou(hard, mask), overlap(mask > 0, 1 - soft[0])[0]]


def overlap(inside, soft):
    """Return soft IoU, precision and recall of a region [S, S] bool against probabilities [S,
    S].
    """
    both, area, mass = soft[inside].sum(), np.count_nonzero(inside), soft.sum()
    return [
        (both + TINY) / (area + mass - both + TINY),
        (both + TINY) / (area + TINY),
        (both + TINY) / (mass + TINY),
    ]


def opinion_levels(mask, opinion):
    """Return how much the opinion sees in all, and how sure it is where."""
    seen = 1 - opinion[0]
    area, mass = (mask > 0).mean(), seen.mean()
    inside = seen[mask > 0]
    low, middle = np.quantile(inside, (0.1, 0.5)) if inside.size else (0.0, 0.0)
    return [
        area,
        mass,
        np.log((area + 0.01) / (mass + 0.01)),
        seen.max(),
        low,
        middle,
        *levels(mask, opinion),
    ]


def levels(mask, soft):
    """Return the mean certainty inside, just inside, just outside and far outside the mask, and the
    doubtful share.
    """
    top = np.partition(soft, -2, axis=0)[-2:]
    margin = top[1] - top[0]
    zones = rings(mask > 0)
    doubt = np.count_nonzero(margin < 0.5) / (np.count_nonzero(mask) + 0.01 * mask.size)
    return [*(margin[zone].mean() if zone.any() else 1.0 for zone in zones), doubt]


def rings(inside):
    """Return the deep inside, a band just inside, a band just outside and the far outside of a
    region [S, S] bool.
    """
    radius = max(1, inside.shape[0] // 32)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    core = cv2.erode(inside.astype(np.uint8), kernel) > 0
    reach = cv2.dilate(inside.astype(np.uint8), kernel) > 0
    return core, inside & ~core, reach & ~inside, ~reach


def shape(inside):
    """Return size, pieces, compactness, solidity, fill of the box, holes, and contact with the
    image's edge.
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


def contrast(image, inside):
    """Return how much stronger edges are on the contour than elsewhere, and how the colours differ
    across it.
    """
    lab = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB).astype(np.float32)
    light = cv2.GaussianBlur(lab[..., 0], (0, 0), 1.0)
    slope = np.hypot(cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1))
    core, inner, outer, far = rings(inside)
    band = inner | outer
    sharper = np.log((slope[band].mean() + 1) / (slope.mean() + 1)) if band.any() else 0.0
    near = histogram_distance(lab, inner | core, outer)
    return [sharper, near, histogram_distance(lab, inside, far | outer)]


def histogram_distance(lab, first, second):
    """Return the chi-squared distance, in [0, 1], of the colour histograms [6 x 6 x 6] of two
    regions.
    """
    if not (first.any() and second.any()):
        return 0.0
    bins = (lab // 43).astype(np.int64) @ (36, 6, 1)
    one, two = (np.bincount(bins[r], minlength=216) / np.count_nonzero(r) for r in (first, second))
    return float(((one - two) ** 2 / (one + two + TINY)).sum() / 2)


def errors(mask, soft, share=0.2):
    """Return which of `verdict.ERRORS` a mask [S, S] shows against class probabilities [C, S, S].

    A part is missing where more than `share` of the expected foreground lies outside the mask, and
    extra where as much of the mask is expected to be background; a class is wrong where as much of
    the mask is expected to be another one. When nothing of that is seen, it is the boundary.
    """
    inside, seen = mask > 0, 1 - soft[0]
    area = np.count_nonzero(inside) + TINY
    own = np.take_along_axis(soft, mask[None].astype(np.int64), 0)[0]
    found = {
        "missing_part": seen[~inside].sum() > share * seen.sum(),
        "extra_part": soft[0][inside].sum() > share * area,
        "wrong_class": (seen - own)[inside].sum() > share * area,
    }
    return tuple(name for name, yes in found.items() if yes) or ("boundary",)
