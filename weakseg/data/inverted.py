"""Masks in which the object may be what they call the background, and the other way round."""

import shlex
from collections.abc import Sequence

import numpy as np

from weakseg.common import IGNORE
from weakseg.data.mask_tally import PIXELS
from weakseg.data.mask_values import MaskValues

FEWEST = 5  # masks from which on it is no chance
SHARE = 0.8  # of those of one class and the background
EDGE = 0.5  # share of a picture's edge that shows the class
WITHIN = 0.5  # of the background's share of these pictures, that of their edges is below


def surrounding(mask: np.ndarray) -> int | None:
    """Return the class that lies around the background of a mask [H, W] uint8; None if none does.

    It is the only one, shows most of the edge, and the background lies more within than there.
    """
    numbers = np.flatnonzero(np.bincount(mask[mask != IGNORE], minlength=256)).tolist()
    if len(numbers) != 2 or numbers[0] != 0:
        return None
    at_edge, in_all = shares_behind(mask)
    return numbers[1] if at_edge <= 1 - EDGE and at_edge < in_all else None


def shares_behind(mask: np.ndarray) -> np.ndarray:
    """Return the background's shares of the edge and of all of a mask that labels some of it, [2].

    An edge without labels counts as showing it.
    """
    edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    edge, all_of = edge[edge != IGNORE], mask[mask != IGNORE]
    return np.array([np.mean(edge == 0) if edge.size else 1, np.mean(all_of == 0)])


class InvertedTally:
    """How many masks have their background within an object, of those that are looked at.

    names: of the classes, the background first; values: what those in the files mean, if not the
    numbers of the classes. room: pixels that are still looked at
    """

    def __init__(self, names: Sequence[str], values: MaskValues | None = None) -> None:
        self.names, self.values = names, values
        self.seen, self.faults, self.room = 0, dict[str, int](), PIXELS
        self.behind = np.zeros(2)  # sums of `shares_behind` over the faults

    def add(self, mask: np.ndarray, name: str) -> None:
        """Look at a mask [H, W] uint8 of class numbers, unless there were many."""
        if self.room < 0:
            return
        self.seen += bool((mask == 0).any() and ((mask != 0) & (mask != IGNORE)).any())
        number = surrounding(mask)
        if number is not None:
            self.faults[name] = number
            self.behind += shares_behind(mask)
        self.room -= mask.size

    def lines(self, where: object = "") -> list[str]:
        """Return a line where most are so, with the way out; where: what they belong to."""
        at_edge, in_all = self.behind
        if len(self.faults) < max(FEWEST, SHARE * self.seen) or at_edge >= WITHIN * in_all:
            return []
        first, number = next(iter(self.faults.items()))
        behind, around = self.names[0], self.names[number]
        words = shlex.join([f"{self.value(0)}={around}", f"{self.value(number)}={behind}"])
        return [
            f"{where}{': ' if where else ''}{len(self.faults)} of {self.seen} masks that were "
            f"looked at, the first {first}, show {around} along the edge and {behind} mostly within"
            f"; if they are the wrong way round, --mask_values {words}"
        ]

    def value(self, number: int) -> str:
        """Return what stands in the files for a class."""
        told = self.values.meaning.items() if self.values else ()
        value = next((value for value, label in told if label == number), number)
        return f"#{value:06x}" if self.values and self.values.are_colours else str(value)
