"""Slices of one patient, or shots of one thing, which a split parts: `p01_s1`, `p01_s2`, `p02_s1`.

Two numbers in a name may count anything. So some are looked at: those of one thing are far more
alike than those of two.
"""

import math
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from weakseg.common import UserError, evenly
from weakseg.data.doubts.films import FEWEST_PARTED, FRAMES, PIXELS, SHARE, Film, likeness_of
from weakseg.data.doubts.named_copies import plain
from weakseg.data.groups import FILE as GROUPS
from weakseg.data.image_io import image_size
from weakseg.data.looks import look_of_image

SLICE = re.compile(r"(.*\d\D*?)[/ ._-]+[^\W\d]*[ ._-]*(\d+)")  # a numbered thing, its slice
SERIES, PAIRS, FEWEST = 12, 3, 8  # that are looked at; neighbours of each; of all, that tell
ALIKE = 0.3  # correlation that half of the neighbours have at least
CLOSER = 0.9  # share of comparisons in which neighbours are more alike than slices of two things


def series_of(names: Iterable[str]) -> dict[str, Film]:
    """Return {a thing: its slices in order} of ids that are called so, of two slices or more.

    Longer ones are passed over, which `weakseg.data.doubts.films` looks at.
    """
    series: dict[str, Film] = {}
    for name in names:
        if match := SLICE.fullmatch(plain(name)):
            series.setdefault(match[1], {})[int(match[2])] = name
    return {
        thing: dict(sorted(slices.items()))
        for thing, slices in series.items()
        if 1 < len(slices) < FRAMES
    }


def are_series(
    series: Collection[Film],
    path_of: Callable[[str], Path],
    image_of: Callable[[str], Image.Image],
) -> bool:
    """Return whether neighbours are nearly alike, and far more so than slices of two things."""
    room, looks, of, near = PIXELS, list[np.ndarray](), list[int](), list[tuple[int, int]]()
    for number, slices in enumerate(evenly([*series], SERIES)):
        names, places = [*slices.values()], dict[int, int]()
        pairs = [(place, place + 1) for place in evenly(range(len(names) - 1), PAIRS)]
        for place in sorted({place for pair in pairs for place in pair}):
            try:
                room -= math.prod(image_size(path_of(names[place])))
                if room < 0:
                    break
                looks.append(look_of_image(image_of(names[place])))
            except UserError:  # whoever needs it says why
                continue
            places[place] = len(of)
            of.append(number)
        near += [(places[one], places[other]) for one, other in pairs if {one, other} <= {*places}]
    if len(near) < FEWEST:
        return False
    likeness = likeness_of(looks)
    alike, apart = likeness[tuple(np.transpose(near))], likeness[np.not_equal.outer(of, of)]
    if not apart.size or np.median(alike) < ALIKE:
        return False
    return bool(np.mean(alike[:, None] > apart[None]) >= CLOSER)


def slice_notes(
    root: Path,
    ids_of: Callable[[str], list[str]],
    grouped: Collection[str],
    path_of: Callable[[str], Path],
    image_of: Callable[[str], Image.Image],
) -> list[str]:
    """Return a line where a split tests on slices of what it trains on, if it does.

    root: of the data set; ids_of: returns the ids of a split; grouped: those that have a group
    image_of: returns a photograph of 8 bits, upright
    """
    tested, trained = ({*ids_of(split)} - {*grouped} for split in ("test", "trainval"))
    series = series_of(sorted(tested | trained))
    named = {name: thing for thing, slices in series.items() for name in slices.values()}
    sources = {named[name]: name for name in sorted(trained, reverse=True) if name in named}
    of_tested = {named[name] for name in tested if name in named}
    parted = {name: named[name] for name in sorted(tested) if named.get(name) in sources}
    are_most = len(named) >= SHARE * len(tested | trained)
    if len(parted) < FEWEST_PARTED or len({*parted.values()}) < SHARE * len(of_tested):
        return []
    if not are_most or not are_series([*series.values()], path_of, image_of):
        return []
    name, thing = next(iter(parted.items()))
    return [
        f"{root}: {len(parted)} of {len(tested)} test images are, by names and looks, slices or "
        f"shots of one thing beside others that are trained on, the first {name} beside "
        f"{sources[thing]}, so scores are too good; give those of one thing one group in "
        f"{GROUPS}, a line '{name}, {thing.replace(',', ' ')}' for each"
    ]
