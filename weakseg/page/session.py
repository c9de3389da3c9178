"""One session of the page: what requests read and give, between the server and who asks."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from weakseg.labels.store import opened_store
from weakseg.page.access import Refused
from weakseg.page.answer_log import CAP, CHANGED, FIRST, MENDED, REPEAT, Asked, Place, Told
from weakseg.page.asker import Asker
from weakseg.page.class_changes import ClassChanges, check_class
from weakseg.page.classes import shown_classes
from weakseg.page.drawing_log import DrawingLog
from weakseg.page.drawing_model import DrawingModel
from weakseg.page.finish import Finish
from weakseg.page.masks import Masks
from weakseg.page.other_labels import OtherLabels
from weakseg.page.panel import Panel
from weakseg.page.pilot import Pilot
from weakseg.planning.questions import EXAMPLE

PATIENCE = 10.0  # seconds that a request waits for a question


class Session:
    """What the page shows, and what it takes from people.

    name        of the session
    finishing   what *Finish* does
    may_rename  whether classes can be changed: not where a list comes with the photographs
    pilot       what is measured; None: people label as they like
    """

    def __init__(self, name: str, asker: Asker, finish: Finish, may_rename: bool = True) -> None:
        self.name, self.asker, self.finishing, self.may_rename = name, asker, finish, may_rename
        self.log, self.photographs = asker.log, asker.photographs
        self.drawings = DrawingLog.read(self.log)
        self.masks = Masks(asker)
        self.model = DrawingModel(asker, self.drawings, self.masks.png)
        self.panel = Panel(asker, self.masks)
        self.others = OtherLabels(asker)
        self.classes = ClassChanges(asker, self.masks.forget, may_rename)
        self.pilot: Pilot | None = None
        self.mark = self.found_mark()

    def found_mark(self) -> str:
        """Return what tells this session from others that a browser has seen at its address."""
        with opened_store(self.log.folder) as store:
            began = next((moment for _, moment, _ in store.events("classes")), 0.0)
        return f"{self.name} {self.log.annotator} {began}"

    def measure(self, kinds: Sequence[str]) -> Pilot:
        """Let people go through a pilot of some kinds of label."""
        sizes = dict(zip(self.photographs.names, self.photographs.sizes, strict=True))
        self.pilot = Pilot(self.log, sizes, self.drawings.done, kinds, self.asker.seed)
        return self.pilot

    def start(self) -> None:
        """Begin to work in threads; a pilot has no model."""
        if self.pilot is not None:
            return
        self.asker.start(self.panel.work, self.model.work, self.others.work)

    def close(self) -> None:
        """End the threads."""
        self.asker.close()

    # ---- requests

    def state(self) -> dict[str, Any]:
        """Return what the page shows; see `server`."""
        with self.asker.lock:
            log, classes = self.log, self.log.classes
            return {
                "name": self.name,
                "session": self.mark,
                "annotator": log.annotator,
                "pictures": len(self.photographs),
                "ready": self.asker.pool.ready,
                "joined": self.asker.joined,
                "unreadable": len(self.photographs.unreadable) + len(self.asker.pool.unusable),
                "classes": shown_classes(classes, log.colours, log.keys),
                "has_background": classes.has_background,
                "may_rename": self.may_rename,
                "pilot": self.pilot is not None,
                "begun": log.begun,
                "answers": log.answers,
                "fit": 0 if self.asker.asking is None else self.asker.asking.model.fits,
                "drawing_fit": self.model.fits,
                "waiting": not log.open,
                "open": [*log.open],
                "asked": len(log.asked),
                "fault": self.asker.fault,
                "panel": self.panel.state(),
                "masks": self.masks.state(),
                "finish": self.finishing.state(),
            }

    def questions(self, after: int) -> list[dict[str, Any]]:
        """Return the open questions behind one; wait some seconds until there are any."""
        end = time.monotonic() + PATIENCE
        with self.asker.changed:
            while True:
                found = [self.log.asked[n] for n in self.log.open if n > after]
                left = end - time.monotonic()
                if found or left <= 0 or self.asker.closed.is_set():
                    return [self.shown(one) for one in found]
                self.asker.changed.wait(left)

    def shown(self, asked: Asked) -> dict[str, Any]:
        """Return what the page is told of a question: not who chose it, nor what a model thinks."""
        picture = self.photographs.index[asked.picture]
        (x, y), size = asked.place, self.photographs.size(picture)
        seen = asked.picture in self.log.seen
        return {"id": asked.number, "picture": picture, **size, "x": x, "y": y, "seen": seen}

    def told(self, count: int) -> list[dict[str, Any]]:
        """Return the last answers, the latest last."""
        last: dict[int, dict[str, Any]] = {}
        with self.asker.lock:
            for told in reversed(self.log.told):
                number = told.asked.number
                is_there = told.asked.picture in self.photographs.index
                if told.way == REPEAT or number in last or not is_there:
                    continue
                last[number] = {"class": told.label, "other": told.other, **self.shown(told.asked)}
                if len(last) >= count:
                    break
        return sorted(last.values(), key=lambda one: int(one["id"]))

    def begin(self, times: Mapping[str, Any]) -> None:
        """Ask for no further examples: questions come."""
        with self.asker.changed:
            self.log.begin(times)
            self.asker.changed.notify_all()

    def example(self, picture: int, place: Place, label: str, times: Mapping[str, Any]) -> None:
        """Take a click on an example of a class."""
        width, height = self.photographs.sizes[picture]
        with self.asker.changed:
            check_class(self.log.classes, label)
            if picture >= self.asker.joined:
                raise Refused(409, "this picture is not ready yet; take one before it")
            x, y = (
                min(int(at), side - 1) + 0.5
                for at, side in zip(place, (width, height), strict=True)
            )
            number = len(self.log.asked) + 1
            one = Asked(number, self.photographs.names[picture], (x, y), EXAMPLE, 0)
            self.log.ask([one])
            seconds = float(times["active"][CAP])
            self.asker.store_answer(Told(one, label, False, FIRST, seconds), times)
            self.asker.changed.notify_all()

    def answer(
        self,
        number: int,
        label: str | None,
        times: Mapping[str, Any],
        is_seen: bool,
        other: bool = False,
        change: bool = False,
        next_shown: bool = True,
        visit: str = "",
    ) -> int:
        """Take an answer, and return how many there are. The same one twice counts once.

        A question that another browser answered meanwhile is refused: the first answer holds.

        label: None: can't tell; is_seen: whether a prediction was visible; other, change,
        next_shown, visit: see `server`
        """
        with self.asker.changed:
            asked = self.log.asked.get(number)
            if asked is None:
                raise Refused(404, "no such question")
            if other:
                label = self.log.classes.names[0] if self.log.classes.has_background else None
            elif label is not None:
                check_class(self.log.classes, label)
            way = asked.way
            if number not in self.log.open:
                if not change:
                    self.refuse_second(number, visit)
                    return self.log.answers
                way = MENDED if asked.way == FIRST and not next_shown else CHANGED
            told = Told(asked, label, other, way, float(times["active"][CAP]), visit)
            lag, is_seen = self.log.answers - asked.known, is_seen or asked.picture in self.log.seen
            self.asker.store_answer(told, {**times, "prediction": is_seen, "lag": lag})
            self.asker.changed.notify_all()
            return self.log.answers

    def refuse_second(self, number: int, visit: str) -> None:
        """Refuse an answer to a question that has another one; the same sent again is none."""
        told = [one.visit for one in self.log.told if one.asked.number == number]
        if visit and visit not in told:
            raise Refused(409, "That was answered in another browser, and your answer not taken.")

    def finish(self) -> None:
        """Write the run and the masks of all pictures."""
        answers = self.panel.card() if self.log.answers else []
        self.finishing.start([*answers, *self.drawings.card()])
