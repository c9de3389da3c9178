"""Whether all labels lie in the upper left of their pictures, as those of smaller copies do."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

PICTURES = 10  # from which on it is no chance that everything lies in the same quarter
SHARE = 0.6  # of the sides


class UpperLeft:
    """The share of the sides of pictures, from the upper left, within which all labels lie."""

    def __init__(self) -> None:
        self.pictures: set[str] = set()
        self.share = 0.0

    def add(self, picture: str, places: Iterator[Sequence[float]], size: Sequence[float]) -> None:
        """Take in places [x, y] of a picture of (width, height); once one lies beyond, none."""
        if self.share > SHARE:
            return
        for x, y in places:
            self.pictures.add(picture)
            self.share = max(self.share, x / size[0], y / size[1])

    def lines(self) -> Iterator[str]:
        """Yield a line that says so, with the way out; none where labels lie elsewhere too."""
        if len(self.pictures) >= PICTURES and self.share <= SHARE:
            yield (
                f"all labels of {len(self.pictures)} pictures lie within the upper left "
                f"{self.share:.0%} of their sides; where they are percents, or were drawn on "
                "smaller copies, scale them"
            )


def places_in(record: Mapping[str, Any]) -> Iterator[Sequence[float]]:
    """Yield places [x, y] of all that the labels of an image show, see `label_record`."""
    for point in record.get("points", ()):
        yield point[:2]
    for box in record.get("boxes", ()):
        yield from (box[:2], box[2:4])
    for answer in record.get("pixels", ()):
        yield answer["x"], answer["y"]
    for signal, key in (("scribbles", "path"), ("outlines", "polygon")):
        for one in record.get(signal, ()):
            yield from one[key]
