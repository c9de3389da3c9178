"""Photographs that are trained on too, saved anew: in other bytes, size or position."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from weakseg.common import UserError, evenly
from weakseg.data.image_io import image_size
from weakseg.data.looks import smooth_look_of

TESTED, SIZED, TRAINED = 100, 2000, 200  # photographs: to test on; to train on, measured, looked at
PIXELS = 30_000_000, 60_000_000  # of those to test on and to train on that are looked at
SIDE = 32  # pixels of a look; of different photographs, some are 20 greys apart and more
APART = 6  # greys by which a pixel may change where a photograph is saved anew
RANGE = 4 * APART  # greys that a look needs, so that a plain picture is like no other

Size = tuple[int, int]
Look = tuple[Size, np.ndarray]
Pair = tuple[Path, Path]


def saved_anew(
    tested: Sequence[Path], trained: Sequence[Path], held: Collection[Path] = ()
) -> tuple[list[Pair], list[Pair]]:
    """Return pairs (one to test on, one to train on) that look alike, turned or mirrored perhaps.

    A few are read alone, spread over all. What can't be read, has another shape, another range of
    values or shows next to nothing is like no other.

    held: those of `trained` that are held out for validation; the second list has such pairs of
    them and the others
    """
    mine, theirs = [*sized(evenly(tested, TESTED))], [*sized(evenly(trained, SIZED))]
    kept = [(path, size) for path, size in theirs if path in held]
    first = looks(mine, theirs, TESTED, PIXELS[0])
    second = looks(theirs, [*mine, *kept], TRAINED, PIXELS[1])
    validated = {path: look for path, look in second.items() if path in held}
    others = {path: look for path, look in second.items() if path not in held}
    return pairs_alike(first, second), pairs_alike(validated, others)


def pairs_alike(some: Mapping[Path, Look], others: Mapping[Path, Look]) -> list[Pair]:
    """Return pairs (one of some, the first of the others that looks like it in any position)."""
    if not others:
        return []
    paths, sizes = [*others], np.array([size for size, _ in others.values()])
    greys = np.stack([look for _, look in others.values()])
    means, pairs = greys.mean((1, 2)), []
    for path, (size, look) in some.items():
        near = are_of_one_shape(size, sizes) & (np.abs(means - look.mean()) <= APART)
        turned = np.stack([np.rot90(side, turn) for side in (look, look.T) for turn in range(4)])
        for place in np.flatnonzero(near):
            if np.abs(turned - greys[place]).max((1, 2)).min() <= APART:
                pairs.append((path, paths[place]))
                break
    return pairs


def are_of_one_shape(size: Size, others: np.ndarray) -> np.ndarray:
    """Return which sizes [N, 2] have the shape of one but for rounding, upright or not."""
    longest, shortest = others.max(1), others.min(1)
    return np.abs(max(size) * shortest - min(size) * longest) <= max(size) + longest


def sized(paths: Iterable[Path]) -> Iterator[tuple[Path, Size]]:
    """Yield each photograph that can be read, with its width and height."""
    for path in paths:
        try:
            yield path, image_size(path)
        except UserError:  # whoever needs it says why
            continue


def looks(
    paths: Iterable[tuple[Path, Size]],
    others: Collection[tuple[Path, Size]],
    most: int,
    room: int,
) -> dict[Path, Look]:
    """Return {photograph: (its size, its look)} of some that have the shape of one of the others.

    most: photographs, spread over all; room: pixels that they may about have
    """
    paths = [*paths]
    shapes = np.array(sorted({size for _, size in others}), int).reshape(-1, 2)
    fits = {size: are_of_one_shape(size, shapes).any() for size in {size for _, size in paths}}
    fitting = [(path, size) for path, size in paths if fits[size]]
    pixels = sum(size[0] * size[1] for _, size in fitting)
    most = min(most, room * len(fitting) // max(1, pixels))
    found = {}
    for path, size in evenly(fitting, max(1, most)):
        look = smooth_look_of(path, side=SIDE)
        if look is not None and np.ptp(look) >= RANGE:
            found[path] = size, look
    return found
