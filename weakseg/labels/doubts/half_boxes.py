"""Whether boxes lie half a box off, since middles were written as corners, or corners as middles.

A box whose middle was taken for its upper left corner leaves half of its size free to the left and
above, wherever it is. Of right boxes as many come near these edges as come near the others.
"""

from collections.abc import Iterator, Sequence

FEWEST, RARE = 7, 0.05  # boxes near one edge, and share of them near the other, that are no chance
BEYOND = 3  # boxes that reach beyond the edges
SLACK = 1  # pixels by which a rounding may move an edge
CAUSES = (  # (edges that boxes come near, edges that they leave free, the cause, the way out)
    ("right or lower", "left or upper", "middles were written as their corners", "up and left"),
    ("left or upper", "right or lower", "corners were written as their middles", "down and right"),
)


class HalfBoxes:
    """How many boxes come nearer to each edge than half of their size, or reach beyond it.

    near: numbers of these, [right, lower, left, upper]; beyond, first: number of those that reach
    beyond either of the first two, and of the last two, and the first one's picture
    """

    def __init__(self) -> None:
        self.boxes, self.near = 0, [0, 0, 0, 0]
        self.beyond, self.first = [0, 0], ["", ""]

    def add(
        self, box: Sequence[float], picture: str, given: Sequence[float], size: Sequence[float]
    ) -> None:
        """Take in a box [left, top, right, bottom] as the file has it, before it is cut.

        given: (width, height) of the picture in the file's measure; size: in pixels
        """
        slack = SLACK * max(given) / max(size)
        left, top, right, bottom = box
        gaps = given[0] - right, given[1] - bottom, left, top
        halves = (right - left) / 2 - slack, (bottom - top) / 2 - slack
        self.boxes += 1
        for edge, gap in enumerate(gaps):
            self.near[edge] += gap < halves[edge % 2]
        for way in (0, 1):
            if min(gaps[2 * way : 2 * way + 2]) < -slack:
                self.beyond[way] += 1
                self.first[way] = self.first[way] or picture

    def lines(self) -> Iterator[str]:
        """Yield a line that says so, with the way out; none where boxes come near all edges."""
        for way, (edges, others, cause, back) in enumerate(CAUSES):
            near = self.near[2 * way : 2 * way + 2]
            far = self.near[2 - 2 * way : 4 - 2 * way]
            is_one_sided = all(
                number >= FEWEST and few <= RARE * number
                for number, few in zip(near, far, strict=True)
            )
            if is_one_sided and self.beyond[way] >= BEYOND and not self.beyond[1 - way]:
                yield (
                    f"{self.beyond[way]} of {self.boxes} boxes reach beyond the {edges} edges of "
                    f"their pictures, the first in {self.first[way]}, and {sum(far)} come near the "
                    f"{others} ones; where {cause}, move them {back} by half their size"
                )
