"""Whether some pictures are labelled in percents of their sides, among others in pixels."""

from collections.abc import Iterator, Sequence

WHOLE = 100  # what the sides count
WIDE = 180  # pixels of both sides from which on percents lie elsewhere
FAR = (
    50  # percent that the labels of a picture reach to the right, or down, where they are no corner
)
FEWEST, SHARE = 3, 0.1  # pictures, and their share of wide ones, that are no chance


class Percents:
    """How far labels reach in each wide picture."""

    def __init__(self) -> None:
        self.reach: dict[str, tuple[float, float]] = {}

    def add(self, picture: str, places: Iterator[Sequence[float]], size: Sequence[float]) -> None:
        """Take in places [x, y] of a picture of (width, height)."""
        if min(size) >= WIDE:
            for x, y in places:
                right, down = self.reach.get(picture, (0.0, 0.0))
                self.reach[picture] = max(right, x), max(down, y)

    def lines(self) -> Iterator[str]:
        """Yield a line that says so, with the way out; none where few or all are so.

        That all are is told elsewhere: they lie in the upper left.
        """
        found = [
            picture
            for picture, reach in self.reach.items()
            if max(reach) <= WHOLE and min(reach) >= FAR
        ]
        if max(FEWEST, SHARE * len(self.reach)) <= len(found) < len(self.reach):
            yield (
                f"the labels of {len(found)} of {len(self.reach)} pictures, the first {found[0]}, "
                f"all lie within {WHOLE} pixels of the upper left; where they are percents, scale "
                "them to pixels as the others"
            )
