"""Complete lists that lack an object which another label shows."""

from collections.abc import Iterator, Mapping
from typing import Any

from weakseg.common import evenly
from weakseg.labels.agreement import FRAMES, lacking
from weakseg.labels.carried import Carried
from weakseg.labels.formats.painting import painted, unexplained
from weakseg.labels.formats.records import AREAS, Classes

LOOKED_AT = 200  # pictures at most whose areas are painted
Lacking = dict[str, dict[str, str]]  # {kind of label: {id: what shows the object, in words}}


def lists_that_lack(
    carried: Mapping[str, Carried], records: Mapping[str, Mapping[str, Any]], classes: Classes
) -> Lacking:
    """Return which complete lists lack an object, so that they are none in the records.

    records: {id: of `carried.label_record`}
    """
    found: Lacking = {kind: {} for kind in FRAMES}
    for key, record in records.items():
        for kind in {*FRAMES} & {*carried[key].complete} - {*record["complete"]}:
            told = {**record, "complete": [kind]}
            case = lacking(told, kind, classes.names, classes.has_background)
            found[kind] |= {key: case} if case else {}
    return {**found, "full": areas_that_lack(carried, classes)}


def areas_that_lack(carried: Mapping[str, Carried], classes: Classes) -> dict[str, str]:
    """Return {id: what shows an object that its polygons and masks, called complete, lack}.

    What they leave is not taken as background, see `mask_of`. Of many pictures some are looked at.
    """
    found = {}
    several = [
        key
        for key, one in carried.items()
        if one.size
        and "full" in one.complete
        and {shape.kind for shape in one.shapes} - {*AREAS, "tag"}
        and all(shape.label in classes.names for shape in one.shapes if shape.kind in AREAS)
    ]
    for key in evenly(several, LOOKED_AT) if classes.has_background else []:
        one = carried[key]
        assert one.size
        shape = unexplained(one.shapes, painted(one.shapes, one.size, classes.names, 0), classes)
        if shape:
            found[key] = f"a {shape.kind} of {shape.label}"
    return found


def lacking_lines(lists: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Yield a line for each kind of list that lacks objects, with the way out."""
    for kind, pictures in lists.items():
        if pictures:
            key, case = next(iter(pictures.items()))
            named = "polygons and masks" if kind == "full" else kind
            yield (
                f"{len(pictures)} complete lists of {named} lack an object, the first that of "
                f"{key} ({case}): they don't count as complete; mend one of the two"
            )
