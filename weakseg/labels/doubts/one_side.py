"""Whether places along both axes were divided by one side of their pictures, as by the width alone.

In wide pictures nothing lies low down then, and in tall ones places lie below the lower edge.
"""

from collections.abc import Iterator, Sequence

from weakseg.labels.formats.geometry import box_of
from weakseg.labels.formats.records import SHARES

FEWEST = 3  # shapes beyond an edge, and of pictures that leave some free, that are no chance
SLACK = 0.01  # share of a side by which a rounding may move an edge
# axis -> (what both axes were divided by, edge that shapes reach beyond, side to divide it by)
CAUSES = {1: ("width", "lower", "height"), 0: ("height", "right", "width")}


class OneSide:
    """How far shapes reach to the right and down, where the other side's length tells how far.

    beyond, free: numbers of shapes beyond the right and lower edge of pictures, and of those in
    pictures that leave some free at it; denied: whether one lies further; first: picture beyond it
    """

    def __init__(self) -> None:
        self.beyond, self.free, self.denied = [0, 0], [0, 0], [False, False]
        self.first = ["", ""]

    def add(
        self,
        places: Sequence[Sequence[float]],
        picture: str,
        given: Sequence[float],
        size: Sequence[float],
    ) -> None:
        """Take in the places of a shape as the file has them.

        given: (width, height) of the picture in the file's measure; size: in pixels
        """
        if not places:
            return
        far, sides = box_of(places)[2:], size if given == SHARES else given
        for axis in (0, 1):
            share, most = far[axis] / given[axis], sides[axis] / sides[1 - axis]
            self.denied[axis] |= share > most + SLACK
            self.free[axis] += most < 1 - SLACK
            if share > 1 + SLACK:
                self.beyond[axis] += 1
                self.first[axis] = self.first[axis] or picture

    def lines(self) -> Iterator[str]:
        """Yield a line that says so, with the way out."""
        for axis, (side, edge, other) in CAUSES.items():
            is_sure = min(self.beyond[axis], self.free[axis]) >= FEWEST
            if is_sure and not self.denied[axis] and not self.beyond[1 - axis]:
                where = "low down" if axis else "far to the right"
                yield (
                    f"{self.beyond[axis]} shapes reach beyond the {edge} edges of their pictures, "
                    f"the first in {self.first[axis]}, and none lies {where} where the {side} is "
                    f"the longer side; where both x and y were divided by the {side}, divide "
                    f"{'xy'[axis]} by the {other}"
                )
