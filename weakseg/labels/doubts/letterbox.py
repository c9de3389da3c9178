"""Whether labels are those of copies that were padded to squares, beside the originals."""

from collections.abc import Iterator, Sequence

PICTURES = 10  # from which on it is no chance that nothing lies in the bands
BAND = 0.05  # share of the longer side from which on a band beside a picture tells anything
SLACK = 0.01  # shares of a side by which a label may miss the rim of a band
ON_RIM = 0.25  # share of the pictures with a label that ends on a rim: where the photograph ended


class Letterbox:
    """How labels lie to the bands that a padding to squares leaves, in pictures that are none.

    pictures: {picture: whether a label ends on the rim of a band}; hidden: whether a label lies in
    a band, which none of a padded copy does
    """

    def __init__(self) -> None:
        self.pictures: dict[str, bool] = {}
        self.hidden = False

    def add(self, picture: str, places: Iterator[Sequence[float]], size: Sequence[float]) -> None:
        """Take in places [x, y] of a picture of (width, height); once one is in a band, none."""
        axis = int(size[0] > size[1])  # along which the bands lie
        band = (1 - min(size) / max(size)) / 2
        if self.hidden or band < BAND:
            return
        for place in places:
            share = place[axis] / size[axis]
            from_rim = min(share, 1 - share) - band
            self.hidden |= from_rim < -SLACK
            self.pictures[picture] = self.pictures.get(picture, False) or abs(from_rim) <= SLACK

    def lines(self) -> Iterator[str]:
        """Yield a line that says so, with the way out; none where labels lie in the bands too."""
        on_rim, total = sum(self.pictures.values()), len(self.pictures)
        if not self.hidden and total >= PICTURES and on_rim >= ON_RIM * total:
            yield (
                f"no label of {total} pictures lies where a copy padded to a square has its bands, "
                f"and in {on_rim} one ends on their rim; where labels are of such copies, take "
                "these as the pictures"
            )
