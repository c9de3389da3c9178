"""A look at some masks of a folder, by whatever counts what may be wrong with them."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import numpy as np

from weakseg.common import UserError, evenly

Reader = Callable[[Path], np.ndarray]

MOST, PIXELS = 30, 20_000_000  # of masks that are looked at; of their pixels


class Tally(Protocol):
    """What is counted of masks; room: pixels that are still looked at."""

    room: int

    def add(self, mask: np.ndarray, name: str) -> None:
        """Look at a mask [H, W] uint8 of class numbers."""

    def lines(self, where: object = "") -> list[str]:
        """Return what is to be told; where: what the masks belong to."""


def tally_notes(where: object, paths: Iterable[Path], read: Reader, tally: Tally) -> list[str]:
    """Return what a tally says of some masks of a folder.

    where: what they belong to, for people; read: returns the class numbers in a file
    """
    for path in evenly([*paths], MOST):
        try:
            tally.add(read(path), path.name)
        except UserError:  # whoever needs it says why
            continue
        if tally.room < 0:
            break
    return tally.lines(where)
