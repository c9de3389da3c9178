"""Whether labels are in thousandths of the sides of pictures, as language models write boxes."""

from collections.abc import Iterator, Sequence

from weakseg.labels.checks import EDGE

WHOLE = 1000  # what the sides count
WIDE = 1200  # pixels of a longer side from which on thousandths lie elsewhere
NEAR = 0.95 * WHOLE  # that the largest of both axes reach
PICTURES = 10  # from which on it is no chance that nothing lies beyond


class Thousandths:
    """The largest place along each axis, of all labels of wide pictures."""

    def __init__(self) -> None:
        self.pictures: set[str] = set()
        self.reach = [0.0, 0.0]

    def add(self, picture: str, places: Iterator[Sequence[float]], size: Sequence[float]) -> None:
        """Take in places [x, y] of a picture of (width, height); once one lies beyond, none."""
        if max(size) < WIDE or max(self.reach) > WHOLE + EDGE:
            return
        for place in places:
            self.pictures.add(picture)
            self.reach = [max(pair) for pair in zip(self.reach, place, strict=True)]

    def lines(self) -> Iterator[str]:
        """Yield a line that says so, with the way out; none where something lies beyond."""
        lowest, highest = sorted(self.reach)
        if len(self.pictures) >= PICTURES and NEAR <= lowest and highest <= WHOLE + EDGE:
            yield (
                f"the labels of {len(self.pictures)} pictures wider than {WIDE - 1} pixels reach "
                f"{lowest:.0f} and {highest:.0f}, and none goes beyond; where they are thousandths "
                "of the sides, scale them"
            )
