"""What people draw on the page, as the store holds it: shapes like those of importers.

A picture is saved as a whole: shapes that are there already stay, others come and go. Beside them
stands what the page measured, in acts of its own (docs/annotating.md has their JSON). A save that
is sent twice, as after a lost reply, counts once: each visit of a picture has a name.
"""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from weakseg.data.contents import ABSENT
from weakseg.labels.formats.records import Shape, rounded
from weakseg.labels.seen_photographs import ACT as PHOTOGRAPH
from weakseg.labels.store import Event, Given, opened_store
from weakseg.page.access import Refused
from weakseg.page.answer_log import CAP, AnswerLog

SOURCE = "drawing"
ELSEWHERE = (
    "another browser saved this photograph meanwhile; what you see is yours, and saving it again "
    "replaces that"
)
DRAWN, SKIPPED = "drawn", "skipped"  # acts, and what became of a picture


@dataclass(frozen=True)
class Drawn:
    """A shape, and how it was drawn.

    facts: {"wall", "active": {cap: seconds}, "prediction": whether one was visible, "how"}
    """

    shape: Shape
    facts: Mapping[str, Any]

    @property
    def seconds(self) -> float:
        """Seconds of activity."""
        return float(self.facts["active"][CAP])


@dataclass
class DrawingLog:
    """The drawings of one annotator, in the store of a session.

    done     {id of a picture: `DRAWN` or `SKIPPED`, whichever came last}
    reasons  {id of a picture that was skipped: why}
    seconds  of activity, on all pictures
    visits   names of those that were stored
    last     {id of a picture: name of its last visit}
    held     {id of a picture: what its photograph held when it was drawn on last}
    version  changes with each save
    """

    log: AnswerLog
    done: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    visits: set[str] = field(default_factory=set)
    last: dict[str, str] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    version: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def read(cls, log: AnswerLog) -> "DrawingLog":
        """Return what the store of a session holds."""
        one = cls(log)
        with opened_store(log.folder) as store:
            for _, _, event in store.events(DRAWN, SKIPPED):
                if event.source == one.source:
                    one.take(event)
            for _, _, event in store.events(PHOTOGRAPH):
                if event.source == one.source:
                    one.held[event.picture] = str(event.geometry)
        return one

    @property
    def source(self) -> str:
        """The source of its events."""
        return f"{SOURCE} {self.log.annotator}".strip()

    def take(self, event: Event) -> None:
        """Take in an act."""
        facts = event.geometry if isinstance(event.geometry, dict) else {}
        self.done[event.picture] = event.act
        self.reasons[event.picture] = str(facts.get("reason", ""))
        self.last[event.picture] = str(facts.get("visit", ""))
        self.visits.add(self.last[event.picture])
        self.seconds += event.seconds or 0.0

    def given(self, picture: str) -> tuple[Given, dict[str, Given]]:
        """Return what this person drew on a picture, and {source: what others say of it}."""
        with opened_store(self.log.folder) as store:
            sources = store.given(picture=picture).get(picture, {})
        own = sources.pop(self.source, Given())
        return own, sources

    def event(self, act: str, picture: str, **more: Any) -> Event:
        """Return an event of this person."""
        return Event(self.source, picture, act, self.log.annotator, **more)

    def save(
        self,
        picture: str,
        size: tuple[int, int],
        drawn: Sequence[Drawn],
        complete: Sequence[str],
        facts: Mapping[str, Any],
        held: str = ABSENT,
        after: str | None = None,
    ) -> None:
        """Store all that is drawn on a picture.

        size: (width, height); complete: kinds of label whose list holds all objects; facts: of the
        visit, {"visit", "wall", "active", "prediction"}; held: what the photograph holds; after:
        the last visit that the page knew of, see `refuse_other`
        """
        with self.lock:
            if facts["visit"] in self.visits:
                return
            self.refuse_other(picture, after)
            own, _ = self.given(picture)
            had = Counter(one.key for one in own.shapes.values())
            events, told = [], []
            for one in drawn:
                if had[one.shape.key]:
                    had[one.shape.key] -= 1
                    continue
                events.append(self.shape_event(picture, one))
                told.append(dict(one.facts))
            gone = []
            for number, shape in reversed(own.shapes.items()):
                if had[shape.key]:
                    had[shape.key] -= 1
                    gone.append(self.event("removed", picture, replaced=number))
            seconds = float(facts["active"][CAP])
            state = {"size": list(size), "complete": sorted(complete)}
            look = self.event("looked", picture, geometry=state, seconds=seconds)
            content = {**facts, "complete": sorted(complete), "shapes": told}
            act = self.event(DRAWN, picture, geometry=content, seconds=seconds)
            if held not in (ABSENT, self.held.get(picture)):
                gone.append(self.event(PHOTOGRAPH, picture, geometry=held))
            self.log.append([*gone, look, *events, act])
            self.held[picture] = held
            self.take(act)
            self.version += 1

    def shape_event(self, picture: str, one: Drawn) -> Event:
        """Return the event of a shape."""
        shape, seconds = one.shape, one.seconds
        geometry = rounded(shape.geometry)
        kind, label = shape.kind, shape.label
        return self.event(
            "shape", picture, kind=kind, label=label, geometry=geometry, seconds=seconds
        )

    def card(self) -> list[str]:
        """Return lines about the drawings, for the card of a run that learns from them."""
        count = list(self.done.values()).count(DRAWN)
        minutes = self.seconds / 60
        return [f"- {count} photographs drawn on, in {minutes:.1f} minutes"] if count else []

    def refuse_other(self, picture: str, after: str | None) -> None:
        """Refuse what would replace what another browser stored of a picture meanwhile.

        after: the last visit that the page knew of, "" of none; None: it doesn't say
        """
        if after is not None and after != self.last.get(picture, ""):
            raise Refused(409, ELSEWHERE)

    def skip(
        self, picture: str, reason: str, facts: Mapping[str, Any], after: str | None = None
    ) -> None:
        """Store that a picture is left out, and why; after: see `refuse_other`"""
        with self.lock:
            if facts["visit"] in self.visits:
                return
            self.refuse_other(picture, after)
            seconds = float(facts["active"][CAP])
            content = {**facts, "reason": reason}
            act = self.event(SKIPPED, picture, geometry=content, seconds=seconds)
            self.log.append([act])
            self.take(act)
