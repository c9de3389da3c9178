"""Masks whose numbers may count the objects of a picture, whatever their class."""

from collections.abc import Sequence

import cv2
import numpy as np

from weakseg.common import IGNORE
from weakseg.data.doubts.inverted import FEWEST, SHARE
from weakseg.data.doubts.mask_tally import PIXELS

ORDERED, ALL = 8, 0.95  # masks in either order, row by row or by size; their share
MANY = 4  # different counts of objects from which on no order of classes explains them


def are_single(mask: np.ndarray) -> bool:
    """Return whether each number of a mask [H, W] uint8 is one connected region."""
    numbers = {*np.flatnonzero(np.bincount(mask.ravel()))} - {0, IGNORE}
    return all(regions_of(mask == number) == 1 for number in numbers)


def are_in_rows(mask: np.ndarray) -> bool:
    """Return whether regions got their numbers one by one as programs find them, row by row.

    None touches another one, as those of layers and of parts of one object do.
    """
    objects = np.where(mask == IGNORE, 0, mask)
    numbers = sorted({*np.flatnonzero(np.bincount(objects.ravel()))} - {0})
    firsts = [int(np.argmax(objects == number)) for number in numbers]
    return regions_of(objects > 0) == len(numbers) and firsts == sorted(firsts)


def are_by_size(mask: np.ndarray) -> bool:
    """Return whether regions got their numbers from the largest to the smallest.

    None lies side by side with another one; corners may touch.
    """
    objects = np.where(mask == IGNORE, 0, mask)
    areas = np.bincount(objects[objects > 0])
    beside = ((objects[1:], objects[:-1]), (objects[:, 1:], objects[:, :-1]))
    touches = any(((one > 0) & (other > 0) & (one != other)).any() for one, other in beside)
    return not touches and bool((np.diff(areas[areas > 0]) < 0).all())


def regions_of(pixels: np.ndarray) -> int:
    """Return the number of connected regions in [H, W] bool."""
    return cv2.connectedComponents(pixels.astype(np.uint8), connectivity=8)[0] - 1


class CountedTally:
    """How many masks of several objects are so, of those that are looked at.

    names: of the classes, the background first. counts: of numbers in a mask, as they occur
    has_gaps: whether a mask lacks a number below another one, as those of classes do
    single, rows: names of masks of several numbers that `are_single`, and also `are_in_rows`
    ordered: those of single that are in rows or `are_by_size`
    room: pixels that are still looked at
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names, self.counts, self.has_gaps = names, set[int](), False
        self.seen, self.single, self.rows, self.room = 0, list[str](), list[str](), PIXELS
        self.ordered = list[str]()

    def add(self, mask: np.ndarray, name: str) -> None:
        """Look at a mask [H, W] uint8 of class numbers, unless there were many."""
        if self.room < 0 or self.has_gaps:
            return
        self.room -= mask.size
        numbers = sorted({*np.flatnonzero(np.bincount(mask.ravel()))} - {0, IGNORE})
        self.has_gaps = numbers != [*range(1, len(numbers) + 1)]
        self.counts |= {len(numbers)} - {0}
        if len(numbers) < 2 or self.has_gaps:
            return
        self.seen += 1
        if are_single(mask):
            self.single.append(name)
            is_in_rows = are_in_rows(mask)
            self.rows += [name] if is_in_rows else []
            self.ordered += [name] if is_in_rows or are_by_size(mask) else []

    def lines(self, where: object = "") -> list[str]:
        """Return a line where nearly all are so, with the way out; where: what they belong to."""
        faults = self.single if len(self.counts) >= MANY else self.rows
        if len(self.ordered) >= max(ORDERED, ALL * self.seen):
            faults = self.ordered
        is_few = len(faults) < max(FEWEST, SHARE * self.seen)
        if is_few or self.has_gaps or len(self.counts) < 2:
            return []
        values = " ".join(f"{n}={self.names[1]}" for n in range(1, max(self.counts) + 1))
        return [
            f"{where}{': ' if where else ''}{len(faults)} of {self.seen} masks of several numbers, "
            f"the first {faults[0]}, show one region of each, and all masks hold 1 to n with "
            "another n: if numbers count objects, they are no classes; write the classes there, "
            f"or, where all are {self.names[1]}, --mask_values {values}"
        ]
