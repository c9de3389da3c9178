"""Whether areas of an import show what is around objects too: inverted masks, pieces of all."""

from collections.abc import Mapping

import numpy as np

from weakseg.common import evenly
from weakseg.data.doubts.inverted import FEWEST, InvertedTally
from weakseg.data.doubts.mask_tally import MOST
from weakseg.labels.formats.painting import painted
from weakseg.labels.formats.records import AREAS
from weakseg.labels.store import Given

WHOLE = 0.99  # share of a picture that areas cover where nothing is left
OTHER_WAY = "turn them in the tool that made them, and import again"


def inverted_lines(sources: Mapping[str, Mapping[str, Given]]) -> list[str]:
    """Return a line where most of some pictures have their background within an object, or none.

    sources: {source: {id: what it says}}; what areas leave is taken as background
    """
    drawn = {
        key: given
        for pictures in sources.values()
        for key, given in pictures.items()
        if len({shape.label for shape in given.shapes.values() if shape.kind in AREAS}) == 1
    }
    names = {shape.label for given in drawn.values() for shape in given.shapes.values()}
    tally = InvertedTally(["background", *sorted(filter(None, names))], way_out=OTHER_WAY)
    looked, full = 0, list[str]()
    for key, given in evenly([*drawn.items()], MOST):
        if given.size and tally.room >= 0:
            mask = painted([*given.shapes.values()], given.size, tally.names, 0)
            tally.add(mask, key)
            looked += 1
            full += [key] if np.mean(mask != 0) >= WHOLE else []
    if len(full) >= max(FEWEST, looked):
        return [
            f"areas of one class cover {looked} of {looked} pictures that were looked at wholly, "
            f"the first {full[0]}, so that nothing is background; where a tool cut pictures into "
            "pieces, take only those of objects"
        ]
    return tally.lines()
