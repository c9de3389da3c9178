"""Numbers in masks that only interpolation can have put there: thin rims between other numbers.

Who makes a mask smaller by averaging turns the border of 0 and 2 into 1, which is another class.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from weakseg.common import IGNORE, UserError

Reader = Callable[[Path], np.ndarray]

LEAST = 20  # pixels of a rim that count
MOST, PIXELS = 30, 20_000_000  # of masks that are looked at; of their pixels
SHARE = 0.3  # of those of several classes: where as many have rims, they are no chance
BETWEEN = 0.9  # share of them that touch a lower and a higher number


def rims(mask: np.ndarray, classes: Iterable[int]) -> set[int]:
    """Return which classes a mask [H, W] uint8 shows only as thin rims between lower and higher.

    Thin is what holds no square of 3 x 3 pixels.
    """
    import cv2

    square = np.ones((3, 3), np.uint8)
    lowest = cv2.erode(mask, square)  # 255, which is ignored, is above all
    highest = cv2.dilate(np.where(mask == IGNORE, 0, mask), square)
    found = set()
    for number in classes:
        own = mask == number
        count = np.count_nonzero(own)
        if count < LEAST or cv2.erode(own.astype(np.uint8), square).any():
            continue
        between = np.count_nonzero(own & (lowest < number) & (highest > number))
        if between >= BETWEEN * count:
            found.add(number)
    return found


def inner(numbers: Iterable[int]) -> set[int]:
    """Return those of the classes in a mask that lie between others, as interpolated ones do."""
    return {*sorted({*numbers} - {IGNORE})[1:-1]}


def rim_notes(where: object, paths: Sequence[Path], read: Reader) -> list[str]:
    """Return a line where many masks of several classes have such rims, if they do.

    An even part of them is looked at, few of large ones.
    where: what the masks belong to, for people; read: returns the class numbers in a file
    """
    seen, faults, room = 0, [], PIXELS
    for path in paths[:: math.ceil(len(paths) / MOST) or 1]:
        try:
            mask = read(path)
        except UserError:  # whoever needs it says why
            continue
        between = inner(np.flatnonzero(np.bincount(mask.ravel(), minlength=256)).tolist())
        seen += bool(between)
        if rims(mask, between):
            faults.append(path.name)
        room -= mask.size
        if room < 0:
            break
    if not faults or len(faults) < SHARE * seen:
        return []
    return [
        f"{where}: {len(faults)} of {seen} masks that were looked at, the first {faults[0]}, show "
        "a class only as a thin rim between two others, which averaging leaves where masks are "
        "resized or smoothed; resize them by nearest neighbour"
    ]
