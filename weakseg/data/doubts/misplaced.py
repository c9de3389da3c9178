"""Masks that fit the edges in photographs better mirrored, turned, moved, or exchanged.

The border of a class lies where a photograph changes. Of right masks no other place fits better.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from weakseg.common import IGNORE, UserError, spread
from weakseg.data.doubts.exchanged import ExchangeTally
from weakseg.data.doubts.mask_tally import PIXELS, Reader
from weakseg.data.image_io import image_size
from weakseg.data.looks import borders_of, edges_of, look_of

SIDE = 192  # pixels of the copies that are compared
MARGIN = 2  # pixels at their border, where the photograph ends and nothing changes
INNER = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
MOST, FEWEST = 24, 12  # photographs that are looked at, and from which on it can be told
CERTAIN = 4.5  # Student's t: of right masks it is far below 0, or below 3 beside void rims
STEPS = 5, 12, 16, 23, 38  # pixels of a copy by which masks are moved
FAR, CERTAIN_FAR = 12, 4.0  # pixels that no rim of what is void is wide; t, of right ones below 1.5
ONE_SIDED = 0.3  # of its t, that of the opposite move is below
Change = Callable[[np.ndarray], np.ndarray]


def moved(right: int, down: int) -> Change:
    """Return what moves a mask by so many pixels, its edge being as it was."""

    def change(mask: np.ndarray) -> np.ndarray:
        step = max(abs(right), abs(down))
        wide = np.pad(mask, step, "edge")
        top, left = step - down, step - right
        return wide[top : top + mask.shape[0], left : left + mask.shape[1]]

    return change


TURNS: Mapping[str, Change] = {
    "mirrored left to right": lambda mask: mask[:, ::-1],
    "upside down": lambda mask: mask[::-1],
    "turned by half": lambda mask: mask[::-1, ::-1],
}
WHERE = {"to the right": (1, 0), "to the left": (-1, 0), "down": (0, 1), "up": (0, -1)}
OPPOSITE = dict(zip(WHERE, ["to the left", "to the right", "up", "down"], strict=True))


def move(where: str, step: int) -> str:
    """Return a move in words."""
    return f"moved {where} by {step / SIDE:.0%} of a side"


MOVES: Mapping[str, Change] = {
    move(where, step): moved(step * right, step * down)
    for step in STEPS
    for where, (right, down) in WHERE.items()
}
FAR_MOVES = {move(where, step) for where in WHERE for step in STEPS if step >= FAR}
BACK = {move(where, step): move(back, step) for where, back in OPPOSITE.items() for step in STEPS}
WAYS: Mapping[str, Change] = {**TURNS, **MOVES}
NEIGHBOURS = {  # whose masks are compared too -> how far they stand, by name
    "those of the previous pictures by name do": -1,
    "those of the next pictures by name do": 1,
}
MEND, RENAME = "mend them", "mend their names"


class FitTally:
    """How much better masks fit in other ways than as they are, over some photographs.

    gains: {way, in words: by how much, for each photograph}
    """

    def __init__(self) -> None:
        self.gains: dict[str, list[float]] = {}

    def add(
        self, look: np.ndarray, mask: np.ndarray, others: Mapping[str, np.ndarray] | None = None
    ) -> None:
        """Take in the greys [SIDE, SIDE] of a photograph, and its mask [H, W] uint8.

        others: {whose, in words: masks of other photographs of its size}
        """
        edges, own = edges_of(look), reduced(mask)
        fit = fit_of(edges, own)
        # Where what is void lies around objects, their class ends elsewhere than they do.
        near = MOVES.keys() - FAR_MOVES if (own == IGNORE).any() else set()
        ways = {way: change(own) for way, change in WAYS.items() if way not in near}
        ways |= {whose: reduced(other) for whose, other in (others or {}).items()}
        for way, changed in ways.items():
            gain = fit_of(edges, changed) - fit
            self.gains.setdefault(way, []).extend([] if math.isnan(gain) else [gain])

    def line(self, what: str = "masks that were looked at") -> str:
        """Return what fits better, in words; "" where nothing does. what: the masks are."""
        found = {way: student(gains, FEWEST) for way, gains in self.gains.items()}
        # What is drawn too wide fits better on one side, wherever it is moved.
        found = {
            way: t
            for way, t in found.items()
            if way not in BACK or found[BACK[way]] < (ONE_SIDED * t if way in FAR_MOVES else 0)
        }
        found = {
            way: t - (CERTAIN_FAR if way in FAR_MOVES else CERTAIN) for way, t in found.items()
        }
        way = max(found, key=lambda one: found[one], default="")
        if not way or found[way] < 0:
            return ""
        remedy = MEND if way in WAYS else RENAME
        return (
            f"{len(self.gains[way])} {what} fit the edges in their photographs worse than "
            f"{'they do ' if way in WAYS else ''}{way}; unless that is as it should be, {remedy}"
        )


def reduced(mask: np.ndarray) -> np.ndarray:
    """Return a mask [H, W] uint8 as [SIDE, SIDE]."""
    return cv2.resize(mask, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)


def fit_of(edges: np.ndarray, mask: np.ndarray) -> float:
    """Return the mean of edges [S, S] where a mask [S, S] changes its class; NaN without any."""
    changes = borders_of(mask)[INNER]
    return float(edges[INNER][changes].mean()) if changes.any() else math.nan


def student(gains: Sequence[float], fewest: int) -> float:
    """Return Student's t of their mean; of fewer than that, or equal ones, 0."""
    if len(gains) < fewest or not np.std(gains):
        return 0.0
    return float(np.mean(gains) / (np.std(gains, ddof=1) / np.sqrt(len(gains))))


def misplaced_notes(
    root: Path, split: str, pairs: Sequence[tuple[Path, Path]], read: Reader
) -> list[str]:
    """Return a line where masks of a folder fit better in another way, if they do.

    root: of the data set; split: that they are of, in words; pairs: (photograph, its mask) in the
    order of the names; read: returns the class numbers in a file
    """
    tally, exchange, room = FitTally(), ExchangeTally(), PIXELS
    for place in spread(range(len(pairs)), MOST):
        photograph, mask = pairs[place]
        try:
            size = image_size(mask)
            room -= math.prod(size)
            look = look_of(photograph, side=SIDE) if room > 0 else None
            if look is not None:
                shown = read(mask)
                tally.add(look, shown, neighbours(pairs, place, read))
                borders = borders_of(reduced(shown))[INNER]
                exchange.add(mask, size, edges_of(look)[INNER], borders)
        except UserError:  # whoever needs it says why
            continue
    line = tally.line(f"masks {split}") or exchange.line(f"masks {split}")
    return [f"{root}: {line}"] if line else []


def neighbours(
    pairs: Sequence[tuple[Path, Path]], place: int, read: Reader
) -> dict[str, np.ndarray]:
    """Return {whose, in words: mask} of the pictures before and after one, if of its size."""
    size = image_size(pairs[place][1])
    masks = {whose: pairs[other][1] for whose, other in beside(place, len(pairs)).items()}
    return {whose: read(mask) for whose, mask in masks.items() if image_size(mask) == size}


def beside(place: int, number: int) -> dict[str, int]:
    """Return {whose, in words: the place before and after one} of so many places."""
    places = {whose: place + step for whose, step in NEIGHBOURS.items()}
    return {whose: other for whose, other in places.items() if 0 <= other < number}
