"""Classes that masks show from some picture on, by name, and in none before: added half way.

What was drawn before shows such a class as background, or as another one. Of a film, or of pictures
that are sorted, it is no chance: so a line asks only where a class comes and goes later on, and
where the other classes are shown as often before.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from weakseg.common import IGNORE
from weakseg.validation import shorten

FEWEST = 10  # masks that show the class, and masks before these
COMES = 8  # times it comes after a mask without it: seldom where pictures are sorted
CHANCE = 1e-4  # that so many in front lack it, by how seldom it comes after one that does
USUAL, MANY = 0.8, 2  # share of the masks on either side that show some other class; such classes
APART = 0.3  # by how much the share of masks that show any other class may differ


def in_order(name: str) -> list[tuple[int, str]]:
    """Return what sorts names as people count them: p2 before p10."""
    parts = re.findall(r"\d+|\D+", name.casefold())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def late_class_notes(
    root: Path, shown: Mapping[str, Collection[int]], names: Sequence[str], first: int
) -> list[str]:
    """Return a line on classes that all masks before a picture lack, or all after one, if any.

    root: of the data set; shown: {id: numbers in its mask}; names: of the numbers; first: number of
    the first class that is an object
    """
    if len(shown) < 2 * FEWEST:
        return []
    order = sorted(shown, key=in_order)
    shows = np.zeros((len(order), IGNORE + 1), bool)
    for row, name in zip(shows, order, strict=True):
        row[[*shown[name]]] = True
    for where, step in (("before", 1), ("after", -1)):
        objects = shows[::step, first : len(names)]
        late = late_classes(objects)
        if not late:
            continue
        front = min(late.values())
        later = np.asarray(objects[front:, [*late]].any(1))
        told = shorten(" or ".join(names[first + number] for number in late), 120)
        return [
            f"{root}: none of {front} masks {where} {order[::step][front]}, in the order of names, "
            f"shows {told}, which {later.sum()} of the other {later.size} do; if it was no class "
            "when these were drawn, draw it there too"
        ]
    return []


def late_classes(shows: np.ndarray) -> dict[int, int]:
    """Return {class: masks in front that lack it} of the classes that come late.

    shows: which masks show which class [N, C] bool, in order
    """
    found = {}
    fronts = shows.argmax(0)
    for number in np.flatnonzero((shows.sum(0) >= FEWEST) & (fronts >= FEWEST)):
        front = int(fronts[number])
        later = shows[front:, number]
        if is_no_chance(later, front) and is_alike(shows, front, int(number)):
            found[int(number)] = front
    return found


def is_no_chance(later: np.ndarray, front: int) -> bool:
    """Return whether a class that comes and goes in later masks [N] bool lacks too long in front.

    front: masks there
    """
    lacked = ~later[:-1]
    comes = np.sum(lacked & later[1:])
    return bool(comes >= COMES and (1 - comes / lacked.sum()) ** front < CHANCE)


def is_alike(shows: np.ndarray, front: int, number: int) -> bool:
    """Return whether masks in front and later show all classes but one about as often.

    Others that none in front shows may have been added too.
    """
    others = np.delete(shows, number, 1)
    before, later = others[:front].mean(0), others[front:].mean(0)
    same = before > 0
    usual = np.minimum(before, later) >= USUAL
    return bool(usual.sum() >= MANY and (np.abs(before - later)[same] <= APART).all())
