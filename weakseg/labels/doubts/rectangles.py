"""Whether polygons and masks are rectangles, as boxes are that somebody gave as such."""

from collections.abc import Iterator, Sequence

from weakseg.labels.checks import EDGE
from weakseg.labels.formats.geometry import (
    box_of,
    has_right_angles,
    reach,
    ring_area,
    single_outline,
)
from weakseg.labels.formats.records import AREAS, Shape

OF_AREAS = 0.8  # share of them from which on rectangles are no chance
MOST = 0.5  # share of them, with those that were cut
CORNERS, CUT = 4, 6  # of a rectangle, and the most of one that the picture's edge cut
SQUARE = 0.02  # share of a diagonal by which corners may miss those of a rectangle
WHOLE = 0.97  # share of a picture from which on a rectangle covers it
LEAST = 4  # pixels of a rectangle's sides: a smaller mask may well fill its box


class Rectangles:
    """How many polygons and masks, which nobody painted, are rectangles.

    areas, rectangles  their number, but for those of whole pictures, and of them the rectangles
    cut  number of polygons that may have been some before they were cut at the picture's edge
    """

    def __init__(self) -> None:
        self.areas, self.rectangles, self.cut = 0, 0, 0

    def add(self, shape: Shape, size: Sequence[float]) -> None:
        """Take in a shape of a picture of (width, height)."""
        if shape.kind not in AREAS or shape.kind in ("brush", "accepted") or fills(shape, size):
            return  # a whole picture may well be of one class
        self.areas += 1
        if is_rectangle(shape):
            self.rectangles += 1
        else:
            self.cut += may_be_cut(shape, size)

    def lines(self) -> Iterator[str]:
        """Yield a line where nearly all are so, with the way out."""
        whole = OF_AREAS * (self.areas - self.cut)
        if self.rectangles >= whole and self.rectangles > MOST * self.areas:
            yield (
                f"{self.rectangles} of {self.areas} polygons and masks are rectangles, taken as "
                "exact masks; where they are boxes around objects, import with --as boxes"
            )


def is_rectangle(shape: Shape) -> bool:
    """Return whether a polygon or mask is a rectangle, of a polygon also a turned one."""
    if shape.kind == "polygon":
        return all(len(part) == 1 and has_right_angles(part[0], SQUARE) for part in shape.geometry)
    is_large = min(shape.geometry["width"], shape.geometry["height"]) >= LEAST
    return is_large and not any(shape.geometry["counts"][::2])  # runs of what is not covered


def fills(shape: Shape, size: Sequence[float]) -> bool:
    """Return whether a polygon or mask is a rectangle as large as its picture of that size."""
    left, top, right, bottom = reach(shape)
    if max(left, top, size[0] - right, size[1] - bottom) > EDGE or not is_rectangle(shape):
        return False
    ring = single_outline(shape)  # turned, it may reach every edge and cover half
    return ring is None or ring_area(ring) >= WHOLE * (right - left) * (bottom - top)


def may_be_cut(shape: Shape, size: Sequence[float]) -> bool:
    """Return whether a polygon of few corners reaches the edge of its picture of (width, height).

    A turned rectangle of which corners were cut off, or moved to the edge, is one.
    """
    outline = single_outline(shape)
    if not outline or not CORNERS <= len(outline) <= CUT:
        return False
    left, top, right, bottom = box_of(outline)
    return min(left, top, size[0] - right, size[1] - bottom) <= EDGE
