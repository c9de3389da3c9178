"""Strokes that end where they began: whoever draws around an object means what is inside."""

from collections.abc import Iterator, Sequence

import numpy as np

from weakseg.data.class_list import is_background
from weakseg.labels.formats.geometry import is_round
from weakseg.labels.formats.records import Shape

FEWEST, MOST_OF = 3, 0.5  # closed strokes, and their share of those on objects, that are no chance
CORNERS = 4  # of a stroke that closes, the last being the first
GAP = 0.1  # share of a stroke's length that its ends may lie apart
ROUND = 0.1  # area against that of a circle as long: one to and fro has hardly any


class ClosedStrokes:
    """How many strokes on objects there are, and how many of them go once around something."""

    def __init__(self) -> None:
        self.strokes, self.closed, self.first = 0, 0, ""

    def add(self, shape: Shape, picture: str) -> None:
        """Take in a shape of a picture; only strokes on objects count."""
        if shape.kind != "stroke" or is_background(shape.label or ""):
            return
        self.strokes += 1
        if is_closed(shape.geometry["path"]):
            self.closed, self.first = self.closed + 1, self.first or picture

    def lines(self) -> Iterator[str]:
        """Yield a line that says so, with the way out; none where most strokes are open."""
        if self.closed >= max(FEWEST, MOST_OF * self.strokes):
            yield (
                f"{self.closed} of {self.strokes} strokes on objects end where they began, the "
                f"first in {self.first}, and teach the border alone; where they go around objects, "
                "call them polygons in the file"
            )


def is_closed(path: Sequence[Sequence[float]]) -> bool:
    """Return whether a path ends about where it began, around some area."""
    if len(path) < CORNERS:
        return False
    places = np.array(path, float)
    length = float(np.hypot(*np.diff(places, axis=0).T).sum())
    apart = float(np.hypot(*(places[-1] - places[0])))
    return apart <= GAP * length and is_round([[x, y] for x, y in path], ROUND)
