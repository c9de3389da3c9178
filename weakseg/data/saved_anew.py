"""Photographs to test on that are among those to train on too, saved anew: in other bytes."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from weakseg.common import UserError, evenly
from weakseg.data.image_io import image_size
from weakseg.data.looks import look_of

TESTED, SIZED, TRAINED = 100, 2000, 200  # photographs: to test on; to train on, measured, looked at
PIXELS = 30_000_000, 60_000_000  # of those to test on and to train on that are looked at
SIDE = 32  # pixels of a look; of different photographs, some are 20 greys apart and more
APART = 6  # greys by which a pixel may change where a photograph is saved anew
RANGE = 4 * APART  # greys that a look needs, so that a plain picture is like no other

Size = tuple[int, int]


def saved_anew(tested: Sequence[Path], trained: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Return pairs (one to test on, one to train on) of one size that look alike.

    A few are read alone, spread over all. What can't be read, has another range of values or shows
    next to nothing is like no other.
    """
    mine, theirs = [*sized(evenly(tested, TESTED))], [*sized(evenly(trained, SIZED))]
    first = looks(mine, {size for _, size in theirs}, TESTED, PIXELS[0])
    second = looks(theirs, {size for _, size in mine}, TRAINED, PIXELS[1])
    pairs = []
    for path, (size, look) in first.items():
        others = (
            other
            for other, (its_size, its_look) in second.items()
            if its_size == size and np.abs(look - its_look).max() <= APART
        )
        pairs += [(path, other) for other in [next(others, None)] if other]
    return pairs


def sized(paths: Iterable[Path]) -> Iterator[tuple[Path, Size]]:
    """Yield each photograph that can be read, with its width and height."""
    for path in paths:
        try:
            yield path, image_size(path)
        except UserError:  # whoever needs it says why
            continue


def looks(
    paths: Iterable[tuple[Path, Size]], sizes: Collection[Size], most: int, room: int
) -> dict[Path, tuple[Size, np.ndarray]]:
    """Return {photograph: (its size, its look)} of some that have one of these sizes.

    most: photographs, spread over all; room: pixels that they may about have
    """
    fitting = [(path, size) for path, size in paths if size in sizes]
    pixels = sum(size[0] * size[1] for _, size in fitting)
    most = min(most, room * len(fitting) // max(1, pixels))
    found = {}
    for path, size in evenly(fitting, max(1, most)):
        look = look_of(path, side=SIDE)
        if look is not None and np.ptp(look) >= RANGE:
            found[path] = size, look
    return found
