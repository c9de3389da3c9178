"""An earlier copy of a store that comes after a later one: what was removed since is not revived.

A copy has events of the same times. A store that labels of another one are imported to notes, in an
event of the act `ACT`, from when to when each source had events in that one.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime

from weakseg.labels.formats.files import Files
from weakseg.labels.formats.stores import folder_of
from weakseg.labels.formats.table import FORMATS
from weakseg.labels.imported import Imported
from weakseg.labels.store import Event, Given, Store, opened_store

ACT = "store"
ACTS = ("shape", "removed", "looked")
Row = tuple[float, str, str | None]  # (time, picture, class) of an event
Pictures = Mapping[str, Given]  # {picture: what a source says}


def without_stale(store: Store, found: Imported, wish: str | None) -> Iterator[str]:
    """Take sources out of an import that are earlier states of what a store has, a line for each.

    Yields also a line on a copy that went its own way and has shapes that were removed here. Notes
    the times of what is left. wish: the source that --source names, if any
    """
    if found.title != FORMATS["store"].title:
        return
    with opened_store(folder_of(Files(found.path))) as other:
        theirs, numbers = rows_of(other)
        held = other.given()
    ours, here, noted = rows_of(store)[0], store.given(), spans_of(store)
    spans: dict[str, list[float]] = {}
    for source, rows in theirs.items():
        told = wish or f"store {source}"
        of_here = {key: given[source] for key, given in here.items() if source in given}
        if rows <= ours.get(source, set()):
            if not wish and told in found.sources:
                ends = (max(time for time, *_ in some) for some in (rows, ours[source]))
                yield left_out(found, told, of_here, *ends)
            continue
        revived = revived_shapes(held, source, numbers, ours.get(source, set()), of_here)
        if revived:
            yield (
                f"{len(revived)} shapes of {source} that were removed here since the copy was "
                f"taken are still in it, the first in {revived[0]}; remove them there, and import "
                "it again"
            )
        times = [time for time, *_ in rows]
        spans[told] = [min(spans.get(told, times)), max([*spans.get(told, times), *times])]
    for told, (first, last) in spans.items():
        later = noted.get((told, first))
        if later is not None and later > last and told in found.sources:
            of_here = {key: given[told] for key, given in here.items() if told in given}
            yield left_out(found, told, of_here, last, later)
        elif later != last:
            store.append([Event(told, "", ACT, geometry=[first, last])])


def rows_of(store: Store) -> tuple[dict[str, set[Row]], dict[int, Row]]:
    """Return the events of each source that say something of pictures, and those by number."""
    rows: dict[str, set[Row]] = defaultdict(set)
    numbers: dict[int, Row] = {}
    for number, time, source, picture, label in store.moments(*ACTS):
        numbers[number] = time, picture, label
        rows[source].add(numbers[number])
    return dict(rows), numbers


def spans_of(store: Store) -> dict[tuple[str, float], float]:
    """Return {(source, time of its first event): that of its last} of the stores that came in."""
    told = ((one.source, one.geometry) for _, _, one in store.events(ACT))
    return {
        (source, span[0]): span[1]
        for source, span in told
        if isinstance(span, list) and [type(time) for time in span] == [float, float]
    }


def left_out(found: Imported, told: str, here: Pictures, last: float, later: float) -> str:
    """Take a source out of an import, and return a line that says why.

    here: what the store has of it; last, later: times of the last event of either
    """
    given = found.sources.pop(told)
    shapes = keys_of(given)
    others = {one for one in keys_of(here) if one[0] in given}
    if shapes == others:
        return f"{told}: its {len(shapes)} shapes are here already, and are not taken twice"
    return (
        f"{told} is as it was at {as_date(last)}, and is here as of {as_date(later)}: it is left "
        f"out, since {len(shapes - others)} shapes that were removed or changed would come back, "
        f"and {len(others - shapes)} be lost; to go back, import to another --output"
    )


def keys_of(given: Pictures) -> set[tuple[str, str]]:
    """Return (picture, what it is) of the shapes that a source has."""
    return {(key, shape.key) for key, one in given.items() for shape in one.shapes.values()}


def revived_shapes(
    held: Mapping[str, Mapping[str, Given]],
    source: str,
    numbers: Mapping[int, Row],
    ours: set[Row],
    here: Pictures,
) -> list[str]:
    """Return the picture of each shape that a store removed of what it shares with a copy of it.

    held: of `Store.given` of the copy; numbers: its events; ours: those of the source in the store;
    here: what it has of it
    """
    kept = keys_of(here)
    return [
        key
        for key, sources in held.items()
        if source in sources
        for number, shape in sources[source].shapes.items()
        if numbers[number] in ours and (key, shape.key) not in kept
    ]


def as_date(time: float) -> str:
    """Return a time as people read it; time: seconds since 1970."""
    return datetime.fromtimestamp(time).isoformat(" ", "seconds")
