"""Whether outlines are only the four extreme points of objects: left, top, right and bottom.

They fix the box around an object (Papadopoulos et al., "Extreme clicking", ICCV 2017), of which
the polygon through them covers about half.
"""

from collections.abc import Iterator
from itertools import permutations

from weakseg.labels.doubts.tangled import rings_of
from weakseg.labels.formats.geometry import Ring, box_of, has_right_angles, ring_area
from weakseg.labels.formats.records import Shape

FEWEST, MOST_OF = 10, 0.9  # outlines of extreme points, and their share of all, that are no chance
FOUR = 4  # of them, unless one is two of them
SQUARE = 0.1  # share of a diagonal by which corners may miss those of a rectangle
ALONG = 0.2  # slope of a diagonal that runs along an axis, as both do of what is round
LARGEST = 0.7  # mean share of their boxes: signs and pages that are turned a little cover more


class ExtremePoints:
    """How many outlines there are, and how many have one corner on each side of their box.

    three: how many have three corners, as where an object ends in a corner of its box
    square: how many of those with four are about turned boxes
    """

    def __init__(self) -> None:
        self.outlines, self.four, self.three, self.square = 0, 0, 0, 0
        self.covered, self.first = 0.0, ""

    def add(self, shape: Shape, picture: str) -> None:
        """Take in a shape of a picture; what has no outline passes."""
        for ring in rings_of(shape):
            self.outlines += 1
            corners = [place for i, place in enumerate(ring) if place != ring[i - 1]]
            self.three += len(corners) < FOUR
            if on_each_side(corners):
                left, top, right, bottom = box_of(corners)
                self.covered += ring_area(corners) / ((right - left) * (bottom - top))
                self.square += is_turned_box(corners)
                self.four, self.first = self.four + 1, self.first or picture

    def lines(self) -> Iterator[str]:
        """Yield a line that says so, with the way out; none where outlines follow objects."""
        is_most = self.four + self.three >= MOST_OF * self.outlines and self.four >= self.three
        is_other = self.square > self.four / 2 or self.covered > LARGEST * self.four
        if self.four >= FEWEST and is_most and not is_other:
            yield (
                f"{self.four} of {self.outlines} outlines have four corners, one on each side of "
                f"their box, the first in {self.first}; where they are the extreme points of "
                "objects, which are larger, import with --as boxes"
            )


def on_each_side(corners: Ring) -> bool:
    """Return whether a ring has four corners, each on a side of its box that is its own."""
    if len(corners) != FOUR:
        return False
    left, top, right, bottom = box_of(corners)
    if sum((x in (left, right)) and (y in (top, bottom)) for x, y in corners) > 1:
        return False  # a rectangle, or a part of one
    ends = (0, left), (1, top), (0, right), (1, bottom)
    return any(
        all(place[axis] == end for place, (axis, end) in zip(order, ends, strict=True))
        for order in permutations(corners)
    )


def is_turned_box(corners: Ring) -> bool:
    """Return whether four corners are about a rectangle's, and not those of what is round."""
    a, b, c, d = corners
    spans = [sorted((abs(e[0] - f[0]), abs(e[1] - f[1]))) for e, f in ((a, c), (b, d))]
    is_round = all(short <= ALONG * long for short, long in spans)
    return not is_round and has_right_angles(corners, SQUARE)
