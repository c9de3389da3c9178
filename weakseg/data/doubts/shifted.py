"""Masks that may count classes from 1 beside others of a data set that count them from 0.

In some the first class then lies around all objects, as the background does in the others.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from weakseg.common import IGNORE, UserError, evenly
from weakseg.data.doubts.mask_tally import MOST, Reader

FEWEST, LEAST = 5, 0.1  # masks that are so; their share of all
AROUND, SHARE = 0.5, 0.75  # share of an edge that shows what lies around; of masks that are so


def shifted_note(
    root: Path,
    shown: Mapping[Path, Iterable[int]],
    read: Reader,
    names: tuple[str, str],
) -> list[str]:
    """Return a line where some masks lack the background and have the first class in its place.

    root: of the data set; shown: {mask: its numbers}; read: returns the class numbers in a file
    names: of the background and the first class
    """
    numbers = {path: {*shown[path]} - {IGNORE} for path in shown}
    lacking = [path for path, held in numbers.items() if {1} < held and 0 not in held]
    others = [path for path, held in numbers.items() if {0} < held]
    if len(lacking) < max(FEWEST, LEAST * len(shown)) or len(others) < FEWEST:
        return []
    if not are_around(1, lacking, read) or not are_around(0, others, read):
        return []
    return [
        f"{root}: {len(lacking)} of {len(shown)} masks, the first {min(lacking).name}, hold no 0 "
        f"and show {names[1]} all around, as others show {names[0]}; if they count classes from 1, "
        "subtract 1 in these"
    ]


def are_around(number: int, paths: list[Path], read: Reader) -> bool:
    """Return whether a class shows most of the edge of nearly all of some masks."""
    found = []
    for path in evenly(paths, MOST):
        try:
            mask = read(path)
        except UserError:  # whoever needs it says why
            continue
        edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
        edge = edge[edge != IGNORE]
        found.append(bool(edge.size and np.mean(edge == number) >= AROUND))
    return sum(found) >= max(1, SHARE * len(found))
