"""Whether areas of an import show what is around objects: their masks were inverted."""

from collections.abc import Mapping

from weakseg.common import evenly
from weakseg.data.inverted import InvertedTally
from weakseg.data.mask_tally import MOST
from weakseg.labels.formats.painting import painted
from weakseg.labels.formats.records import AREAS
from weakseg.labels.store import Given

OTHER_WAY = "turn them in the tool that made them, and import again"


def inverted_lines(sources: Mapping[str, Mapping[str, Given]]) -> list[str]:
    """Return a line where most of some pictures have their background within an object.

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
    for key, given in evenly([*drawn.items()], MOST):
        if given.size and tally.room >= 0:
            tally.add(painted([*given.shapes.values()], given.size, tally.names, 0), key)
    return tally.lines()
