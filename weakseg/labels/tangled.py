"""Whether the corners of outlines are in no order, as those of a set or a sorted list are."""

from collections.abc import Iterable, Iterator

from weakseg.common import evenly
from weakseg.labels.formats.geometry import Ring, crossings
from weakseg.labels.formats.records import Shape

FEWEST, MOST_OF = 3, 0.2  # tangled outlines, and their share of all, that are no chance
CORNERS, MOST = 5, 64  # of an outline from which on it can be told, and that are looked at
SHARE = 1 / 3  # crossings against corners: a hand that slips makes one or two


class Tangled:
    """How many outlines there are, and how many cross themselves all over."""

    def __init__(self) -> None:
        self.outlines, self.tangled, self.first = 0, 0, ""

    def add(self, rings: Iterable[Ring], picture: str) -> None:
        """Take in outlines [[x, y], ...] of a picture."""
        for ring in rings:
            corners = [place for i, place in enumerate(ring) if place != ring[i - 1]]
            if len(corners) < CORNERS:
                continue
            self.outlines += 1
            looked = [*evenly(corners, MOST)]
            if crossings(looked) >= SHARE * len(looked):
                self.tangled, self.first = self.tangled + 1, self.first or picture

    def lines(self) -> Iterator[str]:
        """Yield a line that says so, with the way out; none where it is rare."""
        if self.tangled >= max(FEWEST, MOST_OF * self.outlines):
            yield (
                f"the sides of {self.tangled} of {self.outlines} outlines cross all over, the "
                f"first in {self.first}; where their corners were sorted or mixed, write them in "
                "order around the object"
            )


def rings_of(shape: Shape) -> list[Ring]:
    """Return the rings [[x, y], ...] that somebody drew around an area; [] of other shapes."""
    if shape.kind == "outline":
        return [shape.geometry]
    if shape.kind == "polygon":
        return [ring for part in shape.geometry for ring in part]
    return []
