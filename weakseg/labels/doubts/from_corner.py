"""Whether strokes begin at (0, 0), and outlines go there, as what is filled up with zeros does."""

from collections import Counter
from collections.abc import Iterator, Sequence

from weakseg.labels.doubts.tangled import rings_of
from weakseg.labels.formats.geometry import Ring
from weakseg.labels.formats.records import Shape

FEWEST, MOST_OF = 3, 0.1  # of such shapes, and their share of all, that are no chance
NEAR = 1  # pixels from the corner, or an edge, that are as good as on it


class FromCorner:
    """How many strokes and outlines there are, and how many of them leap to the upper left corner.

    total, leaping: {"strokes" or "outlines": number}; first: {the same: the first one's picture}
    """

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        self.leaping: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def add(self, shape: Shape, picture: str) -> None:
        """Take in a shape of a picture; only strokes and outlines count."""
        if shape.kind == "stroke":
            path = shape.geometry["path"]
            self._count("strokes", is_corner(path[0]) or is_corner(path[-1]), picture)
        for ring in rings_of(shape):
            self._count("outlines", leaps(ring), picture)

    def _count(self, kind: str, is_leaping: bool, picture: str) -> None:
        self.total[kind] += 1
        if is_leaping:
            self.leaping[kind] += 1
            self.first.setdefault(kind, picture)

    def lines(self) -> Iterator[str]:
        """Yield a line for each kind that does so, with the way out; none where it is rare."""
        for kind, number in self.leaping.items():
            if number >= max(FEWEST, MOST_OF * self.total[kind]):
                verb = "begin or end at" if kind == "strokes" else "leap to"
                yield (
                    f"{number} of {self.total[kind]} {kind} {verb} the upper left corner (0, 0), "
                    f"the first in {self.first[kind]}; where zeros fill them up, or stand for a "
                    "start, take these out"
                )


def is_corner(place: Sequence[float]) -> bool:
    """Return whether a place [x, y] is the upper left corner of its picture, to a pixel."""
    return max(place) <= NEAR


def leaps(ring: Ring) -> bool:
    """Return whether a ring goes to the upper left corner and back, but not along the edges."""
    marks = [is_corner(place) for place in ring]
    if not any(marks) or all(marks):
        return False
    around = [
        place
        for i, place in enumerate(ring)
        if not marks[i] and (marks[i - 1] or marks[(i + 1) % len(ring)])
    ]
    return all(min(place) > NEAR for place in around)
