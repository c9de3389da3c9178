"""Seconds of people, recomputed from the raw events of a store; the page's clock.js does the same.

A *visit* begins when something is shown and ends when it is given: an answer, or a picture's
labels. *Wall* seconds are all of it. *Active* seconds are the gaps between its events, of a longer
one so much as the cap says, without those in which the page was hidden or the picture covered.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from weakseg.labels.store import Event

CAPS = ("20", "60", "100")  # seconds
WALL = "wall"
CLOCKS = (WALL, *CAPS)
STANDS, GOES = ("hidden", "pause"), ("visible", "back")  # what stops the clock, and starts it

Seconds = Mapping[str, float]  # by clock


@dataclass(frozen=True)
class Visit:
    """What was on show once, from then until it was given.

    question  number of the question, None where a picture was drawn on
    picture   its id; "" of a question
    is_seen   whether a prediction was visible
    """

    annotator: str
    question: int | None
    picture: str
    seconds: Seconds
    is_seen: bool


def visits(events: Iterable[Event]) -> list[Visit]:
    """Return all visits that ended; events: of the act `input`, in any order."""
    loads: dict[tuple[str, float], dict[tuple[float, str], Event]] = {}
    for event in events:
        facts = event.geometry if isinstance(event.geometry, dict) else {}
        if "load" in facts and "clock" in facts and event.kind:
            clock = moment(facts["clock"])
            # A parcel that was sent twice counts once.
            parcel = loads.setdefault((event.source, moment(facts["load"])), {})
            parcel.setdefault((clock, event.kind), event)
    found = []
    for parcel in loads.values():
        rows = sorted(parcel.items(), key=lambda row: row[0][0])
        found += [*ended([(clock / 1000, event) for (clock, _), event in rows])]
    return found


def ended(rows: Sequence[tuple[float, Event]]) -> Iterator[Visit]:
    """Yield the visits of one load of the page; rows: (seconds, event), in their order."""
    begun: int | None = None
    for place, (_, event) in enumerate(rows):
        if event.kind == "shown":
            begun = place
        elif event.kind == "save" and begun is not None:
            part = rows[begun : place + 1]
            facts = [one.geometry for _, one in part]
            question = facts[-1].get("question")
            yield Visit(
                event.annotator,
                None if question is None else int(moment(question)),
                event.picture,
                seconds_of([(at, str(one.kind)) for at, one in part]),
                any(one.get("prediction") is True for one in facts),
            )
            begun = None


def moment(value: object) -> float:
    """Return a number of a raw event; what is none is a `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def seconds_of(rows: Sequence[tuple[float, str]]) -> dict[str, float]:
    """Return {clock: seconds} of (seconds, kind of event), in their order."""
    gaps, is_there = [], True
    for (before, kind), (after, _) in pairwise(rows):
        is_there = kind in GOES or (is_there and kind not in STANDS)
        gaps += [after - before] if is_there else []
    total = {WALL: rows[-1][0] - rows[0][0]}
    return total | {cap: sum(min(gap, float(cap)) for gap in gaps) for cap in CAPS}
