"""Whether boxes that were read as two corners are [x, y, width, height]."""

from collections.abc import Sequence

from weakseg.labels.checks import EDGE

FEWEST = 5  # boxes from which on it can be told
REVERSED = 0.25  # share of boxes whose second pair of numbers is below the first


class BoxOrder:
    """Numbers of boxes as a file has them, before corners are put in order.

    Corners from the upper left to the lower right are never taken for anything else. Corners in
    another order are, where all boxes of the file have their middle in the upper left quarter of
    the picture: of so many of them that hardly happens, and of widths and heights it must.
    """

    def __init__(self) -> None:
        self.boxes, self.reversed, self.fitting = 0, 0, 0

    def add(self, box: Sequence[float], size: Sequence[float]) -> None:
        """Take in four numbers of a box; size: (width, height) of its picture."""
        x, y, width, height = box[:4]
        self.boxes += 1
        self.reversed += width < x or height < y
        self.fitting += (
            min(width, height) > 0 and x + width <= size[0] + EDGE and y + height <= size[1] + EDGE
        )

    @property
    def fault(self) -> str:
        """A line that says so, with the way out; "" of corners."""
        is_sure = self.boxes >= FEWEST and self.fitting == self.boxes
        if not is_sure or self.reversed < REVERSED * self.boxes:
            return ""
        return (
            f"its boxes look like [x, y, width, height]: of {self.boxes}, {self.reversed} have a "
            "third or fourth number below the first or second; write [left, top, right, bottom], "
            "the smaller number first"
        )
