"""Whether shapes all begin in the upper left corner, as masks do that lost where they belong."""

from collections.abc import Iterator, Sequence

from weakseg.labels.fitting import ends_of
from weakseg.labels.formats.geometry import box_of
from weakseg.labels.formats.records import COVERING, Shape

FEWEST, MOST_OF = 10, 0.9  # of such shapes, and their share of all, that are no chance
NEAR = 1  # pixels from an edge that are as good as on it, as pixels' numbers are


class LostOrigin:
    """How many shapes end before the lower right edges, and how many of them begin in the corner.

    What reaches these edges tells nothing: a sky and a background begin in the corner, too.
    """

    def __init__(self) -> None:
        self.shapes, self.free, self.cornered, self.first = 0, 0, 0, ""

    def add(self, shape: Shape, picture: str, size: Sequence[float]) -> None:
        """Take in a shape of a picture of (width, height); clicks, strokes and tags pass."""
        if shape.kind not in COVERING:
            return
        self.shapes += 1
        left, top, right, bottom = box_of(ends_of(shape))
        if size[0] - right <= NEAR or size[1] - bottom <= NEAR:
            return
        self.free += 1
        if max(left, top) <= NEAR:
            self.cornered, self.first = self.cornered + 1, self.first or picture

    def lines(self) -> Iterator[str]:
        """Yield a line that says so, with the way out; none where shapes begin elsewhere too."""
        least = max(FEWEST, MOST_OF * self.free, self.shapes / 2)
        if self.cornered >= least:
            yield (
                f"{self.cornered} of {self.shapes} shapes begin in the upper left corner of their "
                f"pictures, the first in {self.first}; where the file lost where they belong (a "
                "bitmap's origin), write it again with that"
            )
