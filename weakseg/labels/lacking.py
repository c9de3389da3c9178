"""Complete lists of boxes or outlines that lack an object which another label shows."""

from collections.abc import Iterator, Mapping
from typing import Any

from weakseg.labels.agreement import FRAMES, lacking
from weakseg.labels.carried import Carried
from weakseg.labels.formats.records import Classes

Lacking = dict[str, dict[str, str]]  # {kind of frame: {id: what shows the object, in words}}


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
    return found


def lacking_lines(lists: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Yield a line for each kind of list that lacks objects, with the way out."""
    for kind, pictures in lists.items():
        if pictures:
            key, case = next(iter(pictures.items()))
            yield (
                f"{len(pictures)} complete lists of {kind} lack an object, the first that of {key} "
                f"({case}): they don't count as complete; mend one of the two"
            )
