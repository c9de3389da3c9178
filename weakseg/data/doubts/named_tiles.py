"""Tiles of one photograph, which a split parts: their names say so, or their pixels prove it.

A name with the word `tile` says it. Numbers alone may count photographs as well: `cat_1` and
`cat_2`. Of these some neighbours are looked at: where one goes on at the edge of the other, or
within it, and at the same place in most pairs, both were cut out of one photograph.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import pairwise

import cv2
import numpy as np

from weakseg.common import UserError, evenly
from weakseg.data.doubts.named_copies import plain

WORD = re.compile(r"(.+?)[/ ._-]+(?:tile|patch|chip)s?[ ._-]*\d+(?:[ ._-]+\d+)?", re.IGNORECASE)
GRID = re.compile(  # a photograph, row and column, or x and y
    r"(.+?)[/ ._-]+(?:row|r|y|col|c|x)[ _-]?(\d+)[ ._-]*(?:row|r|y|col|c|x)[ _-]?(\d+)",
    re.IGNORECASE,
)
BOX = re.compile(r"(.+?)[ ._-]+(\d+)[ ._-]+(\d+)[ ._-]+\d+[ ._-]+\d+")
PAIR = re.compile(r"(.+?)[/ ._-]+(\d+)[ ._-]+(\d+)")
COUNT = re.compile(r"(.+?)[/ ._-]+(\d+)")

SHARE = 0.5  # of the names, those that follow the pattern; of the neighbours, those that go on
PAIRS, FEWEST = 12, 4  # neighbours that are looked at; that must go on
WIDTH = 9  # pixels of a line over which its mean is taken away, so that light tells nothing
LIKENESS, CHANCE = 0.3, 4  # least correlation of two lines of pixels; that of short ones by chance
FREE = 0.1  # share of a tile that is not searched: a frame of a film is as the one before
NARROW = 32  # pixels of a tile that tell too little

Tiles = dict[tuple[int, ...], str]  # {place in a photograph: id}
Reader = Callable[[str], np.ndarray]  # returns a picture in grey, [H, W] uint8


def parted_tiles(
    tested: Collection[str], trained: Collection[str], read: Reader
) -> list[tuple[str, str, str]]:
    """Return (an id to test on, one to train on, their photograph) of tiles that a split parts.

    Ids that end in a word and a number are told apart by it, others only where pixels prove it.
    read: returns the photograph of an id; what it refuses with a `UserError` proves nothing
    """
    parted: list[list[tuple[str, str, str]]] = []
    for pattern in (WORD, GRID, BOX, PAIR, COUNT):
        tiles = tiles_of(sorted([*tested, *trained]), pattern)
        of = {name: photograph for photograph, some in tiles.items() for name in some.values()}
        sources = {of[name]: name for name in reversed([*trained]) if name in of}
        pairs = [(n, sources[of[n]], of[n]) for n in tested if of.get(n) in sources]
        if not pairs or len(of) < SHARE * (len(tested) + len(trained)):
            continue
        axes = [len(tiles) > 1] if pattern is WORD else axes_that_go_on(tiles.values(), read)
        if axes and all(axes):
            return pairs
        if any(axes):
            parted.append(pairs)
    return parted[0] if parted else []


def tiles_of(names: Iterable[str], pattern: re.Pattern[str]) -> dict[str, Tiles]:
    """Return {photograph: its tiles} of the names that a pattern fits, of two tiles or more."""
    found: dict[str, Tiles] = {}
    for name in names:
        if match := pattern.fullmatch(plain(name)):
            photograph, *place = match.groups()
            key = tuple(map(int, place)) if place else (len(found.get(photograph, ())),)
            found.setdefault(photograph, {})[key] = name
    return {photograph: tiles for photograph, tiles in found.items() if len(tiles) > 1}


def neighbours(tiles: Tiles, axis: int) -> Iterator[tuple[str, str]]:
    """Yield the tiles whose places differ by one step along an axis alone, the lower one first."""
    lines: dict[tuple[int, ...], list[int]] = {}
    for place in tiles:
        lines.setdefault((*place[:axis], *place[axis + 1 :]), []).append(place[axis])
    for rest, steps in lines.items():
        ordered = sorted(steps)
        for one, other in pairwise(ordered):
            if rest or other == one + 1:  # a tile that lacks ends a count, but no row
                first, second = ((*rest[:axis], step, *rest[axis:]) for step in (one, other))
                yield tiles[first], tiles[second]


def axes_that_go_on(photographs: Collection[Tiles], read: Reader) -> list[bool]:
    """Return for each axis with neighbours whether most go on in one another, at one place."""
    axes = range(max(len(place) for tiles in photographs for place in tiles))
    pairs = [[pair for tiles in photographs for pair in neighbours(tiles, axis)] for axis in axes]
    return [go_on(evenly(some, PAIRS), read) for some in pairs if some]


def go_on(pairs: Iterable[tuple[str, str]], read: Reader) -> bool:
    """Return whether most pairs go on in one another at one place, to the right or downwards."""
    places: tuple[list[tuple[int, int]], ...] = ([], [])
    count = 0
    for one, other in pairs:
        try:
            first, second = read(one), read(other)
        except UserError:  # whoever needs it says why
            continue
        count += 1
        places[0].extend(place_in(first, second))
        places[1].extend(place_in(first.T, second.T))
    return any(
        most_at_one(side) >= max(FEWEST, SHARE * count)
        for found in places
        for side in zip(*found, strict=True)
    )


def most_at_one(places: Iterable[int]) -> int:
    """Return how many places lie at most one pixel from that which has most so near."""
    counts = Counter(places)
    return max((sum(counts[place + step] for step in (-1, 0, 1)) for place in counts), default=0)


def place_in(first: np.ndarray, second: np.ndarray) -> list[tuple[int, int]]:
    """Return where in a tile another one begins, as its column counted from the left and the right.

    Nothing is returned where no column of the first is like the left one of the second, [H, W]
    uint8 each.
    """
    if first.shape[0] != second.shape[0] or min(*first.shape, *second.shape) < NARROW:
        return []
    height, width = first.shape
    likeness = fine(first.T) @ fine(second.T[:1])[0]
    column = int(likeness.argmax())
    if likeness[column] < max(LIKENESS, CHANCE / height**0.5) or column < FREE * width:
        return []
    return [(column, width - column)]


def fine(lines: np.ndarray) -> np.ndarray:
    """Return lines of pixels [N, L] without what changes slowly along them, each of length 1."""
    values = np.ascontiguousarray(lines, np.float32)
    values = values - cv2.blur(values, (WIDTH, 1), borderType=cv2.BORDER_REFLECT)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-3)
