"""Masks that may show objects as 255, which doesn't count, beside others that border theirs so."""

from collections.abc import Sequence

import cv2
import numpy as np

from weakseg.common import IGNORE
from weakseg.data.doubts.inverted import EDGE, FEWEST, SHARE
from weakseg.data.doubts.mask_tally import PIXELS

THICK = 0.04  # of a picture's shorter side, that an object is thicker than, and a border isn't


def is_object(mask: np.ndarray) -> bool:
    """Return whether what a mask [H, W] uint8 ignores is thick, and lies within the background."""
    ignored = (mask == IGNORE).astype(np.uint8)
    edge = np.concatenate([ignored[0], ignored[-1], ignored[:, 0], ignored[:, -1]])
    side = max(3, round(THICK * min(mask.shape)))
    thick = cv2.erode(ignored, np.ones((side, side), np.uint8), borderValue=0)
    return bool(thick.any() and edge.mean() < EDGE)


class IgnoredTally:
    """How many masks of 0 and 255 alone show an object as 255, of those that are looked at.

    count: of all masks of 0 and 255 alone; names: of the classes, the background first
    room: pixels that are still looked at
    """

    def __init__(self, names: Sequence[str], count: int) -> None:
        self.names, self.count, self.room = names, count, PIXELS
        self.seen, self.faults = 0, list[str]()

    def add(self, mask: np.ndarray, name: str) -> None:
        """Look at a mask [H, W] uint8 of class numbers, unless there were many."""
        if self.room < 0:
            return
        self.room -= mask.size
        self.seen += 1
        self.faults += [name] if is_object(mask) else []

    def lines(self, where: object = "") -> list[str]:
        """Return a line where most are so, with the way out; where: what they belong to."""
        if len(self.faults) < max(FEWEST, SHARE * self.seen):
            return []
        name = self.names[1] if len(self.names) == 2 else "its class"
        return [
            f"{where}: {self.count} masks, the first {self.faults[0]}, hold only 0 and {IGNORE}, "
            f"which is ignored, and show it as others show objects; if it is one there, write the "
            f"number of {name} in place of it"
        ]
