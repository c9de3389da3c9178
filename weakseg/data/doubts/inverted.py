"""Masks in which the object may be what they call the background, and the other way round."""

import shlex
from collections.abc import Sequence

import cv2
import numpy as np

from weakseg.common import IGNORE
from weakseg.data.doubts.mask_tally import PIXELS
from weakseg.data.doubts.rims import touching
from weakseg.data.mask_values import MaskValues

FEWEST = 5  # masks from which on it is no chance
SHARE = 0.8  # of those of one class and the background
EDGE = 0.5  # share of a picture's edge that shows the class
WITHIN = 0.5  # of the background's share of these pictures, that of their edges is below
AROUND, INNER = 0.2, 0.05  # share of the background: of the edge at most, of the rest at least
MIXED, PLAIN = 0.15, 0.75  # share of masks that are so beside others; of these, those that aren't
PIECES, SPECK = 6, 1e-4  # of background that pierce a class; share of a picture of the least
WHOLE, LARGE = 0.9, 0.2  # of the class, its largest region; share of a piece that is no object


def surrounding(mask: np.ndarray) -> int | None:
    """Return the class that lies around the background of a mask [H, W] uint8; None if none does.

    It is the only one, shows most of the edge, and the background lies more within than there.
    """
    number = only_class(mask)
    if number is None:
        return None
    at_edge, in_all = shares_behind(mask)
    return number if at_edge <= 1 - EDGE and at_edge < in_all else None


def pierced(mask: np.ndarray) -> int | None:
    """Return the class in which the background of a mask [H, W] uint8 is many small pieces.

    It is the only one, covers most of the picture, and nearly all of it is one region: as what lies
    behind scattered objects is. None if none is so.
    """
    number = only_class(mask)
    if number is None or shares_behind(mask)[1] >= 1 - EDGE:
        return None
    whole, pieces = areas(mask == number), areas(mask == 0) / np.sum(mask != IGNORE)
    is_many = np.sum(pieces >= SPECK) >= PIECES and pieces.max() < LARGE
    return number if is_many and whole.max() >= WHOLE * whole.sum() else None


def only_class(mask: np.ndarray) -> int | None:
    """Return the number beside the background's that a mask [H, W] uint8 shows, if it is one."""
    numbers = np.flatnonzero(np.bincount(mask[mask != IGNORE], minlength=256)).tolist()
    return numbers[1] if len(numbers) == 2 and numbers[0] == 0 else None


def without_border(mask: np.ndarray) -> np.ndarray:
    """Return a mask [H, W] uint8 whose one class lies between the background and another, ignored.

    As of trimaps, which have a border as a class. Any other mask is returned as it is.
    """
    numbers = np.flatnonzero(np.bincount(mask[mask != IGNORE], minlength=256)).tolist()
    if len(numbers) == 3 and numbers[0] == 0:
        for border, other in (numbers[1:], numbers[:0:-1]):
            if not touching(mask == 0, mask == other):
                return np.where(mask == border, np.uint8(IGNORE), mask)
    return mask


def areas(pixels: np.ndarray) -> np.ndarray:
    """Return the pixels of each connected region in [H, W] bool."""
    regions = cv2.connectedComponentsWithStats(pixels.astype(np.uint8), connectivity=8)[2]
    return regions[1:, cv2.CC_STAT_AREA]


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
    numbers of the classes. room: pixels that are still looked at. way_out: what turns them; None:
        --mask_values
    around, pierced: {name of a mask: its class}, see `surrounding` and `pierced`
    sure: those that leave no doubt; others: of the rest, whether the background is around
    """

    def __init__(
        self,
        names: Sequence[str],
        values: MaskValues | None = None,
        way_out: str | None = None,
    ) -> None:
        self.names, self.values, self.way_out = names, values, way_out
        self.seen, self.room = 0, PIXELS
        self.around, self.pierced = dict[str, int](), dict[str, int]()
        self.sure, self.others = dict[str, int](), list[bool]()
        self.behind = np.zeros(2)  # sums of `shares_behind` over those with a class around

    def add(self, mask: np.ndarray, name: str) -> None:
        """Look at a mask [H, W] uint8 of class numbers, unless there were many."""
        if self.room < 0:
            return
        mask = without_border(mask)
        self.seen += bool((mask == 0).any() and ((mask != 0) & (mask != IGNORE)).any())
        if (number := surrounding(mask)) is not None:
            self.around[name] = number
            self.behind += shares_behind(mask)
        if (number := pierced(mask)) is not None:
            self.pierced[name] = number
        if (number := only_class(mask)) is not None:
            at_edge, in_all = shares_behind(mask)
            is_around = at_edge <= AROUND and in_all >= max(INNER, at_edge)
            if is_around or name in self.pierced:
                self.sure[name] = number
            else:
                self.others.append(bool(at_edge >= EDGE))
        self.room -= mask.size

    def lines(self, where: object = "") -> list[str]:
        """Return a line where most are so, or some surely, and the way out; where: of which."""
        at_edge, in_all = self.behind
        within = self.around if at_edge < WITHIN * in_all else {}
        for faults, how in ((within, "mostly"), (self.pierced, "in many pieces")):
            if len(faults) >= max(FEWEST, SHARE * self.seen):
                return [f"{where}{': ' if where else ''}{self.line(faults, how)}"]
        is_few = len(self.sure) < max(FEWEST, MIXED * self.seen)
        if is_few or sum(self.others) < max(FEWEST, PLAIN * len(self.others)):
            return []
        return [f"{where}{': ' if where else ''}{self.line_on_some()}"]

    def line_on_some(self) -> str:
        """Return what is to be told of some masks, beside others that are the other way round."""
        first, number = next(iter(self.sure.items()))
        behind, around = self.names[0], self.names[number]
        way_out = self.way_out or "swap the two values in these, or take them out"
        return (
            f"{len(self.sure)} of {self.seen} masks that were looked at, the first {first}, show "
            f"{around} along the edge and {behind} within, others the other way round; if the "
            f"former are inverted, {way_out}"
        )

    def line(self, faults: dict[str, int], how: str) -> str:
        """Return what is to be told of some masks; how: the background lies within their class."""
        first, number = next(iter(faults.items()))
        behind, around = self.names[0], self.names[number]
        words = shlex.join([f"{self.value(0)}={around}", f"{self.value(number)}={behind}"])
        way_out = self.way_out or f"--mask_values {words}"
        return (
            f"{len(faults)} of {self.seen} masks that were looked at, the first {first}, show "
            f"{around} along the edge and {behind} {how} within; if they are the wrong way round, "
            f"{way_out}"
        )

    def value(self, number: int) -> str:
        """Return what stands in the files for a class."""
        told = self.values.meaning.items() if self.values else ()
        value = next((value for value, label in told if label == number), number)
        return f"#{value:06x}" if self.values and self.values.are_colours else str(value)
