"""Labels as weighted pixels: what a classifier of single pixels learns from clicks, strokes, masks.

Places are (x, y) in original pixels, pixel i covers [i, i + 1), its centre is i + 0.5.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from weakseg.common import IGNORE

STROKE_PIXELS = 20  # of one stroke, evenly spread along it
BORDER = 3  # pixels: how near to another class a pixel is on the border


class Pixels(NamedTuple):
    """Pixels of one image: places [N, 2] float64, classes [N] int64, weights [N] float64."""

    places: np.ndarray
    classes: np.ndarray
    weights: np.ndarray


NOTHING = Pixels(np.empty((0, 2)), np.empty(0, np.int64), np.empty(0))


def joined(parts: Sequence[Pixels]) -> Pixels:
    """Return the pixels of all parts, one after the other."""
    places, classes, weights = zip(NOTHING, *parts, strict=True)
    return Pixels(np.concatenate(places), np.concatenate(classes), np.concatenate(weights))


def pixels_of_points(annotation: Sequence[Sequence[float]]) -> Pixels:
    """Return clicks [[x, y, class], ...] as they are, each of weight 1, but none of class 255."""
    clicks = np.array([click for click in annotation if click[2] != IGNORE], float).reshape(-1, 3)
    return Pixels(clicks[:, :2], clicks[:, 2].astype(np.int64), np.ones(len(clicks)))


def pixels_of_scribbles(annotation: Sequence[Mapping[str, Any]]) -> Pixels:
    """Return `STROKE_PIXELS` places of each stroke {"class", "path"}; a stroke weighs 1.

    Strokes of class 255 and those without a path have none.
    """
    weight, parts = np.full(STROKE_PIXELS, 1 / STROKE_PIXELS), []
    for stroke in annotation:
        if stroke["class"] == IGNORE or not len(stroke["path"]):
            continue
        places = along(np.asarray(stroke["path"], float))
        parts.append(Pixels(places, np.full(STROKE_PIXELS, stroke["class"], np.int64), weight))
    return joined(parts)


def along(path: np.ndarray) -> np.ndarray:
    """Return `STROKE_PIXELS` places [N, 2] at equal distances along a polyline [M, 2], M > 0."""
    lengths = np.hypot(*np.diff(path, axis=0).T)
    travelled = np.concatenate([[0], np.cumsum(lengths)])
    stops = (np.arange(STROKE_PIXELS) + 0.5) / STROKE_PIXELS * travelled[-1]
    return np.stack([np.interp(stops, travelled, axis) for axis in path.T], axis=1)


def random_places(size: tuple[int, int], count: int, rng: np.random.Generator) -> np.ndarray:
    """Return the centres [count, 2] of pixels drawn uniformly, with replacement.

    size: (width, height) of the image
    """
    return rng.integers(0, size, (count, 2)) + 0.5


def pixels_of_mask(mask: np.ndarray, count: int, rng: np.random.Generator) -> Pixels:
    """Return about `count` pixels of a mask [H, W] uint8 classes, stratified.

    Together they weigh 1. The strata are the classes, each on its border and inside. All strata
    have equally many pixels, and the weights undo that: the expectation of a weighted sum over them
    is the mean over all labelled pixels of the mask (Horvitz & Thompson, 1952). 255 is not
    labelled.
    """
    strata = strata_of(mask)
    order = np.argsort(strata, axis=None, kind="stable")
    areas = np.bincount(strata.ravel())
    ends = np.cumsum(areas)
    labelled = [number for number in np.flatnonzero(areas) if number // 2 != IGNORE]
    if not labelled:
        return NOTHING
    each = max(1, round(count / len(labelled)))
    total = areas[labelled].sum()
    parts = []
    for number in labelled:
        chosen = order[rng.integers(ends[number] - areas[number], ends[number], each)]
        rows, columns = np.divmod(chosen, mask.shape[1])
        weight = np.full(each, areas[number] / total / each)
        places = np.stack([columns, rows], axis=1) + 0.5
        parts.append(Pixels(places, np.full(each, number // 2, np.int64), weight))
    return joined(parts)


def strata_of(mask: np.ndarray) -> np.ndarray:
    """Return [H, W] int16: twice the class of a pixel, plus 1 on the border of another class."""
    side = 2 * BORDER + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    # 255 is a border to nothing: on either side it takes the class that is already there.
    least = cv2.erode(mask, disc)
    most = cv2.dilate(np.where(mask == IGNORE, 0, mask).astype(np.uint8), disc)
    on_border = (least != mask) | (most != mask)
    return 2 * mask.astype(np.int16) + on_border
