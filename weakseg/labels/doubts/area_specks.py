"""Specks among areas: what a slip of the mouse, or a cut at the edge of a tile, leaves."""

from collections.abc import Iterator

import numpy as np

from weakseg.labels.formats.geometry import ring_area
from weakseg.labels.formats.records import AREAS, Shape

SPECK, MUCH = 10, 100  # pixels of a speck; how much larger others are
FEWEST, SHARE = 3, 0.05  # specks, and their share of areas, that are no chance
OTHERS = 90  # percentile of areas that are to be so large


class AreaSpecks:
    """How many pixels polygons and masks have."""

    def __init__(self) -> None:
        self.sizes: list[float] = []
        self.specks: list[str] = []

    def add(self, shape: Shape, picture: str) -> None:
        """Take in a shape of a picture; only areas count."""
        if shape.kind not in AREAS:
            return
        if shape.kind == "polygon":
            size = sum(ring_area(outline) for outline, *_ in shape.geometry)
        else:
            size = float(sum(shape.geometry["counts"][1::2]))
        self.sizes.append(size)
        self.specks += [picture] if size < SPECK else []

    def lines(self) -> Iterator[str]:
        """Yield a line on specks, with the way out; none where all areas are small, or few are."""
        if len(self.specks) < max(FEWEST, SHARE * len(self.sizes)):
            return
        if np.percentile(self.sizes, OTHERS) >= MUCH * SPECK:
            yield (
                f"{len(self.specks)} of {len(self.sizes)} polygons and masks have less than "
                f"{SPECK} pixels, the first in {self.specks[0]}, and others are far larger; where "
                "they are slips, remove them"
            )
