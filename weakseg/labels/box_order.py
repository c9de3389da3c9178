"""Whether boxes that were read as two corners are [x, y, width, height], by corner or middle."""

from collections.abc import Iterator, Sequence

from weakseg.labels.checks import EDGE

FEWEST = 5  # boxes from which on it can be told
REVERSED = 0.25  # share of boxes whose second pair of numbers is below the first
MANY = 10  # boxes that hardly all have their middle in the upper left quarter of their pictures
ENOUGH = 8  # of which the same is told, where it refuses nothing


class BoxOrder:
    """Numbers of boxes as a file has them, before corners are put in order.

    Corners from the upper left to the lower right are never taken for anything else. Corners in
    another order are, where all boxes of the file have their middle in the upper left quarter of
    the picture: of so many of them that hardly happens, and of widths and heights it must. So are
    those of which each would lie in its picture if the first two numbers were its middle. Corners
    in order that have all their middles there are told, see `lines`.
    """

    def __init__(self) -> None:
        self.boxes, self.reversed, self.fitting, self.centred = 0, 0, 0, 0
        self.telling = 0  # a box from the upper left corner on is the same either way

    def add(self, box: Sequence[float], size: Sequence[float]) -> None:
        """Take in four numbers of a box; size: (width, height) of its picture."""
        x, y, width, height = box[:4]
        self.boxes += 1
        self.telling += x > 0 or y > 0
        self.reversed += width < x or height < y
        self.fitting += (
            min(width, height) > 0 and x + width <= size[0] + EDGE and y + height <= size[1] + EDGE
        )
        sides = ((x, width, size[0]), (y, height, size[1]))
        self.centred += all(
            0 < side <= 2 * min(at, most - at) + 2 * EDGE for at, side, most in sides
        )

    @property
    def fault(self) -> str:
        """A line that says so, with the way out; "" of corners."""
        of_corner = self.boxes >= FEWEST and self.fitting == self.boxes
        of_middle = self.boxes >= MANY and self.centred == self.boxes
        if not (of_corner or of_middle) or self.reversed < REVERSED * self.boxes:
            return ""
        first = "x, y" if of_corner else "middle x, middle y"
        return (
            f"its boxes look like [{first}, width, height]: of {self.boxes}, {self.reversed} have "
            "a third or fourth number below the first or second; write [left, top, right, bottom], "
            "the smaller number first"
        )

    def lines(self) -> Iterator[str]:
        """Yield a line where all boxes have their middle in the upper left quarter, if any."""
        if self.telling >= ENOUGH and self.fitting == self.boxes:
            yield (
                f"the middle of each of {self.boxes} boxes lies in the upper left quarter of its "
                "picture; where the third and fourth number are width and height, write corners"
            )
