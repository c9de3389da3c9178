"""Pixels, rows and columns that objects lack, as a warp leaves them that moves each pixel.

What is enlarged or turned so has more pixels than were moved, and those between stay empty.
"""

import cv2
import numpy as np

from weakseg.common import IGNORE

PIXELS, SINGLE = 20, 0.004  # empty ones in a mask; for each pixel of its objects
LINES, LONG = 4, 10  # empty rows and columns in a mask; pixels of an object that each lacks
WHOLE = 0.95  # share of the pixels between two of one class that a row lacks
WINDOW, INSIDE = 15, 400  # pixels of a side that are counted together; such windows within objects
FULL, EVEN = 0.9, 0.05  # mean share of a window that shows a class, at most; its deviation
FEWEST, SHARE = 3, 0.2  # masks with gaps, from which on it is no chance; of all


def empty_in(mask: np.ndarray) -> np.ndarray:
    """Return where a mask [H, W] uint8 shows no class -> bool."""
    return (mask == 0) | (mask == IGNORE)


def lone_gaps(mask: np.ndarray) -> int:
    """Return how many empty pixels of a mask [H, W] uint8 have eight neighbours of one class."""
    height, width = mask.shape
    inner = np.s_[1:-1, 1:-1]
    first = mask[:-2, :-2]
    gaps = empty_in(mask[inner]) & ~empty_in(first)
    for down in range(3):
        for across in range(3):
            if (down, across) != (1, 1):
                gaps &= mask[down : height - 2 + down, across : width - 2 + across] == first
    return int(np.count_nonzero(gaps))


def lost_lines(mask: np.ndarray) -> int:
    """Return how many rows of a mask [H, W] uint8 lack what the rows above and below show."""
    above, below = mask[:-2], mask[2:]
    within = (above == below) & ~empty_in(above)
    lost = (within & empty_in(mask[1:-1])).sum(1)
    return int(np.count_nonzero((lost >= LONG) & (lost >= WHOLE * within.sum(1))))


def is_sieve(mask: np.ndarray) -> bool:
    """Return whether the inside of objects of a mask [H, W] uint8 has as many gaps everywhere."""
    shown = (~empty_in(mask)).astype(np.uint8)
    closed = cv2.morphologyEx(shown, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    whole = cv2.erode(closed, np.ones((WINDOW, WINDOW), np.uint8), borderValue=0) > 0
    if np.count_nonzero(whole) < INSIDE:
        return False
    filled = cv2.boxFilter(shown, cv2.CV_32F, (WINDOW, WINDOW))[whole]
    return bool(filled.mean() < FULL and filled.std() < EVEN)


def has_gaps(mask: np.ndarray) -> bool:
    """Return whether objects of a mask [H, W] uint8 lack many pixels, or rows and columns."""
    if min(mask.shape) < 3:
        return False
    least = max(PIXELS, SINGLE * np.count_nonzero(~empty_in(mask)))
    is_pierced = lone_gaps(mask) >= least or is_sieve(mask)
    return bool(is_pierced or lost_lines(mask) + lost_lines(mask.T) >= LINES)


class GapTally:
    """How many masks of objects have such gaps, of those that are looked at."""

    def __init__(self) -> None:
        self.seen, self.faults = 0, list[str]()

    def add(self, mask: np.ndarray, name: str) -> None:
        """Look at a mask [H, W] uint8 of class numbers."""
        self.seen += 1
        self.faults += [name] if has_gaps(mask) else []

    def lines(self, where: object = "") -> list[str]:
        """Return a line where several are so, with the way out; where: what they belong to."""
        if len(self.faults) < max(FEWEST, SHARE * self.seen):
            return []
        return [
            f"{where}{': ' if where else ''}{len(self.faults)} of {self.seen} masks of objects, "
            f"the first {self.faults[0]}, lack single pixels, rows or columns all over objects, as "
            "what enlarges or turns masks pixel by pixel leaves; unless they are meant, resize or "
            "turn the first masks by nearest neighbour"
        ]
