"""Whether the corners of outlines are in no order, as in a sorted list, or go around twice."""

from collections.abc import Iterable, Iterator

import numpy as np

from weakseg.common import evenly
from weakseg.labels.formats.geometry import Ring, crossings, ring_area
from weakseg.labels.formats.records import Shape

FEWEST, MOST_OF = 3, 0.2  # tangled outlines, and their share of all, that are no chance
CORNERS, MOST = 5, 64  # of an outline from which on it can be told, and that are looked at
WITHIN = 1.02  # times the area of its convex hull that a ring may have, for rounding
SHARE = 1 / 3  # crossings against corners: a hand that slips makes one or two


class Tangled:
    """How many outlines there are, and how many cross themselves all over, or go around twice."""

    def __init__(self) -> None:
        self.outlines, self.tangled, self.first = 0, 0, ""
        self.twice: list[str] = []

    def add(self, rings: Iterable[Ring], picture: str) -> None:
        """Take in outlines [[x, y], ...] of a picture."""
        for ring in rings:
            corners = [place for i, place in enumerate(ring) if place != ring[i - 1]]
            if len(corners) < CORNERS:
                continue
            self.outlines += 1
            looked = [*evenly(corners, MOST)]
            if goes_around_twice(ring):
                self.twice.append(picture)
            elif crossings(looked) >= SHARE * len(looked):
                self.tangled, self.first = self.tangled + 1, self.first or picture

    def lines(self) -> Iterator[str]:
        """Yield lines that say so, with the way out; none where crossings are rare."""
        if len(self.twice) > self.tangled:  # corners in no order go around twice by chance
            yield (
                f"{len(self.twice)} of {self.outlines} outlines go around their object more than "
                f"once, the first in {self.twice[0]}, and what they enclose twice counts as "
                "outside; draw them once"
            )
        if self.tangled >= max(FEWEST, MOST_OF * self.outlines):
            yield (
                f"the sides of {self.tangled} of {self.outlines} outlines cross all over, the "
                f"first in {self.first}; where their corners were sorted or mixed, write them in "
                "order around the object"
            )


def goes_around_twice(ring: Ring) -> bool:
    """Return whether a ring encloses more than its convex hull, counted as often as it goes around.

    No ring that goes around once does, and one that encloses less than a pixel goes around nothing.
    """
    import cv2

    hull = cv2.convexHull(np.array(ring, np.float32))
    return ring_area(ring) > max(1.0, WITHIN * cv2.contourArea(hull))


def rings_of(shape: Shape) -> list[Ring]:
    """Return the rings [[x, y], ...] that somebody drew around an area; [] of other shapes."""
    if shape.kind == "outline":
        return [shape.geometry]
    if shape.kind == "polygon":
        return [ring for part in shape.geometry for ring in part]
    return []
