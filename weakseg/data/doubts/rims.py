"""Numbers in masks that only interpolation can have put there: thin rims between other numbers.

Who makes a mask smaller by averaging turns the border of 0 and 2 into 1, which is another class.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from weakseg.common import IGNORE
from weakseg.data.doubts.mask_tally import PIXELS, Reader, tally_notes
from weakseg.data.doubts.specks import is_speckled

LEAST = 20  # pixels of a rim that count
SHARE = 0.3  # of those of several classes: where as many have rims, they are no chance
FEWEST, SPECKLED = 3, 0.5  # masks with specks, where these are no chance; their share
BETWEEN = 0.9  # share of them that lie beside a lower and a higher number
THIN, WIDEST = 3, 16  # pixels: a rim is thin, and may be one
MANY = 4  # numbers without a meaning in one mask, which nobody forgot to name
UNEVEN = 1.5  # times as wide as elsewhere a rim may be


def rims(mask: np.ndarray, classes: Iterable[int]) -> set[int]:
    """Return which classes a mask [H, W] uint8 shows only as thin rims between lower and higher."""
    return {number for number in classes if is_rim(mask, number)}


def is_rim(mask: np.ndarray, number: int) -> bool:
    """Return whether a class of a mask [H, W] uint8 is a thin rim between lower and higher ones.

    Of a rim that is wider than two pixels, as enlarging makes it, the width is the same everywhere,
    and no lower number touches a higher one.
    """
    import cv2

    own = mask == number
    if np.count_nonzero(own) < LEAST:
        return False
    framed = np.pad(own.astype(np.uint8), 1, "edge")
    depth = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
    ridge = own & (depth >= cv2.dilate(depth, np.ones((3, 3), np.uint8)))
    narrow, wide = np.percentile(depth[ridge], (10, 90))
    if wide > WIDEST / 2 or wide > UNEVEN * narrow:
        return False
    reach = 2 * math.ceil(2 * wide) + 1
    square = np.ones((reach, reach), np.uint8)
    lowest = cv2.erode(mask, square)  # 255, which is ignored, is above all
    highest = cv2.dilate(np.where(mask == IGNORE, 0, mask), square)
    if np.mean((lowest < number)[own] & (highest > number)[own]) < BETWEEN:
        return False
    return wide <= THIN / 2 or not touching(mask < number, (mask > number) & (mask != IGNORE))


def touching(lower: np.ndarray, higher: np.ndarray) -> bool:
    """Return whether more than a few pixels of the edge of one area are those of another's."""
    import cv2

    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    around = cv2.dilate(higher.astype(np.uint8), cross).astype(bool) & ~higher
    return bool(np.count_nonzero(around & lower) > (1 - BETWEEN) * np.count_nonzero(around))


def inner(numbers: Iterable[int]) -> set[int]:
    """Return those of the classes in a mask that lie between others, as interpolated ones do."""
    return {*sorted({*numbers} - {IGNORE})[1:-1]}


def averaged(strays: Sequence[int], word: str = "number") -> str:
    """Return what to say of a mask that holds these numbers which mean nothing; "" of few."""
    if len(strays) < MANY:
        return ""
    return (
        f"; unless they are classes, {len(strays)} such {word}s are what averaging or JPEG leaves: "
        "write masks as PNG, resized by nearest neighbour"
    )


class RimTally:
    """How many masks of several classes have such rims, or specks, of those that are looked at.

    seen, mixed: number of masks of three classes or more, and of two or more
    tells_specks: a model's own masks may well have some; room: pixels that are still looked at
    """

    def __init__(self, tells_specks: bool = True) -> None:
        self.seen, self.mixed, self.faults, self.room = 0, 0, list[str](), PIXELS
        self.tells_specks, self.speckled = tells_specks, list[str]()

    def add(self, mask: np.ndarray, name: str) -> None:
        """Look at a mask [H, W] uint8 of class numbers, unless there were many."""
        if self.room < 0:
            return
        numbers = np.flatnonzero(np.bincount(mask.ravel(), minlength=256)).tolist()
        between, is_mixed = inner(numbers), len({*numbers} - {IGNORE}) > 1
        self.seen += bool(between)
        self.mixed += is_mixed
        if rims(mask, between):
            self.faults.append(name)
        if self.tells_specks and is_mixed and is_speckled(mask):
            self.speckled.append(name)
        self.room -= mask.size

    def lines(self, where: object = "") -> list[str]:
        """Return a line where many have rims or specks, if they do; where: what they belong to."""
        head = f"{where}: " if where else ""
        if not self.faults or len(self.faults) < SHARE * self.seen:
            if len(self.speckled) < max(FEWEST, SPECKLED * self.mixed):
                return []
            return [
                f"{head}{len(self.speckled)} of {self.mixed} masks that were looked at, the first "
                f"{self.speckled[0]}, have many single pixels of other classes along borders, as "
                "averaging and JPEG leave them; unless they are meant, write the first masks as "
                "PNG, resized by nearest neighbour"
            ]
        return [
            f"{head}{len(self.faults)} of {self.seen} masks that were "
            f"looked at, the first {self.faults[0]}, show a class only as a thin rim between two "
            "others, which averaging leaves where masks are resized or smoothed; unless it is a "
            "class that looks so, resize the first masks by nearest neighbour"
        ]


def rim_notes(
    where: object, paths: Sequence[Path], read: Reader, tells_specks: bool = True
) -> list[str]:
    """Return a line where many masks of several classes have such rims, or specks, if they do.

    where: what the masks belong to, for people; read: returns the class numbers in a file
    """
    return tally_notes(where, paths, read, RimTally(tells_specks))
