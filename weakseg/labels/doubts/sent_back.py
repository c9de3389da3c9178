"""Labels of a store that were mended somewhere and come back as those of another source."""

import shlex
from collections.abc import Iterator, Mapping

from weakseg.labels.fitting import ends_of
from weakseg.labels.formats.records import SIGNAL, Shape
from weakseg.labels.store import Given

NEAR = 1.5  # pixels that an end of a shape moves on its way through another tool
FEWEST = 3  # shapes that two sources share, from which on it is no chance

# (class, kind of label), (left, top, right, bottom)
Place = tuple[tuple[str | None, str], tuple[float, ...]]


def sent_back_lines(
    told: Mapping[str, Mapping[str, Given]], given: Mapping[str, Mapping[str, Given]]
) -> Iterator[str]:
    """Yield a line a source of which a file has most shapes, and lacks some, which still hold.

    No two people draw the same: one is the other, mended. told: {source: {id: what it says}} of a
    file; given: of `Store.given`, before the file is read into it
    """
    back: dict[str, list[Place]] = {key: [] for one in told.values() for key in sorted(one)}
    for one in told.values():
        for key, here in one.items():
            back[key] += map(place_of, here.placed)
    kinds = {kind for places in back.values() for (_, kind), _ in places}
    for source in dict.fromkeys(name for key in back for name in given.get(key, ())):
        if source in told:
            continue
        lacking, kept = dict[str, int](), 0
        for key, places in back.items():
            before = given.get(key, {}).get(source, Given())
            theirs = [place_of(shape) for shape in before.placed if SIGNAL[shape.kind] in kinds]
            gone = sum(not any(are_near(place, other) for other in places) for place in theirs)
            kept += len(theirs) - gone
            lacking |= {key: gone} if gone else {}
        if lacking and kept >= max(FEWEST, sum(lacking.values())):
            yield (
                f"{sum(lacking.values())} shapes of {source} in {len(lacking)} pictures are not in "
                f"it, the first in {next(iter(lacking))}, and hold as before; where it is a later "
                f"version of the same, import with --source {shlex.quote(source)}"
            )


def place_of(shape: Shape) -> Place:
    """Return what a shape is, and how far it reaches."""
    x, y = zip(*ends_of(shape), strict=True)
    return (shape.label, SIGNAL[shape.kind]), (min(x), min(y), max(x), max(y))


def are_near(one: Place, other: Place) -> bool:
    """Return whether two shapes are the same to what formats round."""
    (what, reach), (other_what, other_reach) = one, other
    pairs = zip(reach, other_reach, strict=True)
    return what == other_what and all(abs(a - b) <= NEAR for a, b in pairs)
