"""Objects of a predicted mask, told apart where they touch, and measures of each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from weakseg.common import UserError
from weakseg.data.image_io import read_shown
from weakseg.data.reading import Photograph

WAIST = 0.9  # of the thickness of the thinner of two parts: a waist below it parts two objects
EDGE = 1.1  # pixels that are added to each distance from the edge
MOST = 65535  # objects that a picture of 16 bits can number

Clicks = Sequence[Sequence[float]]  # of [x, y, class], in original pixels


@dataclass(frozen=True)
class Separation:
    """How the objects of a mask are told apart.

    by_shape   whether objects of one class that touch are parted; else what is connected is one
    min_area   of an object, in pixels; smaller ones are none
    """

    by_shape: bool
    min_area: int = 1

    @property
    def key(self) -> str:
        """A text that tells this separation from any other."""
        return f"{'shapes' if self.by_shape else 'connected'}, {self.min_area} pixels"


def separate(
    mask: np.ndarray,
    separation: Separation,
    has_background: bool = True,
    clicks: Clicks | None = None,
) -> tuple[np.ndarray, list[int]]:
    """Return (numbers [H, W] int32 of the object at each pixel, 0 = none, class of each object).

    mask: [H, W] uint8 of classes; has_background: whether class 0 is no object; clicks: where a
    connected part of the mask has any of its own class, each is one object, whatever its shape.
    """
    import cv2

    numbers = np.zeros(mask.shape, np.int32)
    classes: list[int] = []
    for label in np.unique(mask).tolist():
        if label == 0 and has_background:
            continue
        count, parts, boxes, _ = cv2.connectedComponentsWithStats((mask == label).astype(np.uint8))
        of_part = clicks_by_part(parts, clicks or (), label)
        for number in range(1, count):
            x, y, width, height = boxes[number, :4].tolist()
            window = slice(y, y + height), slice(x, x + width)
            part = parts[window] == number
            own = [(column - x, row - y) for column, row in of_part.get(number, ())]
            cut = cut_part(part, own) if own or separation.by_shape else part.astype(np.int32)
            is_kept = np.bincount(cut.ravel()) >= separation.min_area
            is_kept[0] = False  # what surrounds the part
            own_numbers = np.where(is_kept, len(classes) + is_kept.cumsum(), 0)[cut]
            np.copyto(numbers[window], own_numbers, where=own_numbers > 0, casting="unsafe")
            classes += [label] * int(is_kept.sum())
    return numbers, classes


def clicks_by_part(
    parts: np.ndarray, clicks: Clicks, label: int
) -> dict[int, list[tuple[int, int]]]:
    """Return {part: pixels (x, y) of the clicks of a class on it}; parts: [H, W], 0 = none."""
    height, width = parts.shape
    found: dict[int, list[tuple[int, int]]] = {}
    for x, y, of_class in clicks:
        column, row = int(x), int(y)
        if of_class == label and 0 <= row < height and 0 <= column < width and parts[row, column]:
            found.setdefault(int(parts[row, column]), []).append((column, row))
    return found


def cut_part(part: np.ndarray, clicks: Sequence[tuple[int, int]] = ()) -> np.ndarray:
    """Return the numbers [H, W] int32, from 1, of the objects in one connected part of a mask.

    It is a watershed of the distance from the part's edge (Beucher & Lantuéjoul 1979), from its
    seeds: the clicks, pixels (x, y); without any, the places that are thicker than all around. A
    place counts if the waist that parts it from a thicker one is thinner than `WAIST` of it. This
    is a rule of shares, so it holds for objects of any size.
    """
    import cv2

    if len(clicks) == 1:
        return part.astype(np.int32)
    padded = np.pad(part, 1).astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    seeds = np.zeros(part.shape, np.int32)
    if clicks:
        for number, (x, y) in enumerate(clicks, 1):
            seeds[y, x] = number
    else:
        seeds = thick_places(distance, part)
    if seeds.max() <= 1:
        return part.astype(np.int32)

    from skimage.segmentation import watershed

    cut: np.ndarray = watershed(-distance, seeds, connectivity=2, mask=part)
    return cut.astype(np.int32)


def thick_places(distance: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Return numbers [H, W] int32, from 1, of the places where a part is thick; 0 elsewhere.

    They are the maxima of the logarithm of the distance from its edge that rise above the saddles
    around them (h-maxima).
    """
    import cv2
    from skimage.morphology import local_maxima, reconstruction

    # So much more: steps of whole pixels are no waists of thin objects.
    height = np.where(part, np.log(distance + EDGE), 0)
    levelled = reconstruction(np.maximum(height + math.log(WAIST), 0), height, "dilation")
    peaks = local_maxima(np.pad(levelled, 1))[1:-1, 1:-1] & part
    numbers: np.ndarray = cv2.connectedComponents(peaks.astype(np.uint8))[1]
    return numbers


# ---- measures


MEASURES = ["class", "area", "x0", "y0", "x1", "y1", "x", "y", "intensity"]


def describe(
    numbers: np.ndarray, classes: Sequence[int], photograph: Photograph, image: np.ndarray
) -> list[list[Any]]:
    """Return what `MEASURES` names of each object: a list of numbers each.

    The area is in pixels, the box [x0, x1) x [y0, y1) and the centre (x, y) are in pixels of the
    picture, where pixel i covers [i, i + 1). The intensity is the mean grey value, in the values of
    the file where these are deeper than 8 bits, else from 0 to 255.

    numbers, classes: of `separate`; image: [H, W, 3] uint8, what the photograph shows
    """
    from scipy import ndimage

    if len(classes) > MOST:
        raise UserError(f"{photograph}: {len(classes)} objects; raise --min_area")
    shown = read_shown(photograph)
    if isinstance(shown, np.ndarray) and shown.dtype != np.uint8:
        grey = np.nan_to_num(shown.mean(2, dtype=float), nan=0, posinf=0, neginf=0)
    else:
        grey = np.asarray(Image.fromarray(image).convert("L"))
    everyone = np.arange(1, len(classes) + 1)
    means = ndimage.mean(grey, numbers, everyone) if classes else []
    rows: list[list[Any]] = []
    for label, place, mean in zip(classes, ndimage.find_objects(numbers), means, strict=True):
        down, across = place
        own = numbers[place] == len(rows) + 1
        area = int(own.sum())
        y, x = (
            float((own.sum(1 - axis) * (np.arange(own.shape[axis]) + 0.5)).sum() / area)
            for axis in (0, 1)
        )
        box = [across.start, down.start, across.stop, down.stop]
        centre = [round(across.start + x, 2), round(down.start + y, 2)]
        rows.append([label, area, *box, *centre, round(float(mean), 2)])
    return rows


def object_scores(
    numbers: np.ndarray, classes: Sequence[int], probabilities: np.ndarray
) -> list[float]:
    """Return the mean probability of its own class over the pixels of each object.

    numbers [H, W]: of the object at each pixel, from 1; classes: of each; probabilities [C, H, W]
    """
    areas = np.bincount(numbers.ravel(), minlength=len(classes) + 1)
    scores = np.zeros(len(classes))
    for label in {*classes}:
        totals = np.bincount(numbers.ravel(), probabilities[label].ravel(), len(classes) + 1)
        own = np.array(classes) == label
        scores[own] = (totals / np.maximum(areas, 1))[1:][own]
    return scores.tolist()
