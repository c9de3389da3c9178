"""Whether shapes are all of one size, as those are that a tool stamps around clicks."""

from collections import Counter
from collections.abc import Iterator, Sequence

from weakseg.labels.fitting import ends_of
from weakseg.labels.formats.geometry import box_of
from weakseg.labels.formats.records import AREAS, Shape

FEWEST, MOST_OF = 10, 0.9  # shapes of one size in as many places, and their share, no chance
LEAST = 10  # of a side, in its unit, from which on one more or less is the same
NEAR = 1  # pixels from an edge that may have cut a shape
WHOLE = 1000  # parts of a side, where the size is a share of it
KINDS = {"box": "boxes", "outline": "coarse outlines"} | dict.fromkeys(AREAS, "polygons and masks")
WAYS = {"polygons and masks": "import with --as points"}  # else:
WAY = "give the clicks in their place"


class OneSize:
    """How many shapes have which width and height, but for those that end at an edge.

    sizes: {(kind, unit): {(width, height): number}}, in whole pixels, and in thousandths of sides
    places: {kind: where they begin}; first: {size in a unit: name of the first picture}
    """

    def __init__(self) -> None:
        self.sizes: dict[tuple[str, str], Counter[tuple[int, int]]] = {}
        self.places: dict[str, set[tuple[int, int]]] = {}
        self.first: dict[tuple[str, str, tuple[int, int]], str] = {}

    def add(self, shape: Shape, picture: str, size: Sequence[float]) -> None:
        """Take in a shape of a picture of (width, height)."""
        if shape.kind not in KINDS:
            return
        left, top, right, bottom = box_of(ends_of(shape))
        if min(left, top, size[0] - right, size[1] - bottom) <= NEAR:
            return
        kind, sides = KINDS[shape.kind], (right - left, bottom - top)
        self.places.setdefault(kind, set()).add((round(left), round(top)))
        for unit, whole in (("pixels", None), ("thousandths of the sides", WHOLE)):
            parts = [s * (whole or of) / of for s, of in zip(sides, size, strict=True)]
            key = round(parts[0]), round(parts[1])
            self.sizes.setdefault((kind, unit), Counter())[key] += 1
            self.first.setdefault((kind, unit, key), picture)

    def lines(self) -> Iterator[str]:
        """Yield a line for a kind that is so, with the way out; none where sizes differ."""
        told = set()
        for (kind, unit), sizes in self.sizes.items():
            most = max(sizes, key=sizes.__getitem__)
            alike, total = sum(sizes[one] for one in near(most)), sum(sizes.values())
            fewest = min(alike, len(self.places[kind]))
            if kind not in told and fewest >= FEWEST and alike >= MOST_OF * total:
                told.add(kind)
                yield (
                    f"{alike} of {total} {kind} are {most[0]} x {most[1]} {unit}, the first in "
                    f"{self.first[kind, unit, most]}; where they were set around clicks, whatever "
                    f"the size of the object, {WAYS.get(kind, WAY)}"
                )


def near(size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Yield a size, and those that a rounding may make of it."""
    slack = int(min(size) >= LEAST)
    for across in range(-slack, slack + 1):
        for down in range(-slack, slack + 1):
            yield size[0] + across, size[1] + down
