"""What the drawing view asks of the server, and gives it.

    GET  /draw/state            {"pictures", "saved", "skipped": numbers, "seconds": of activity,
         "tags": names, "first": index of the picture to begin with}
    GET  /draw/picture/INDEX    {"index", "name", "width", "height", "shapes", "complete": kinds of
         label whose list holds all objects, "others": shapes of imports, which are not changed
         here, "done": "", "drawn" or "skipped", "seen": whether a mask of it was on show before,
         "last": name of the last visit that was stored, "reason", "next": index of the next one
         that nobody has dealt with, or null}; a shape is {"kind", "class", "geometry"}, as
         docs/label-files.md has them
    GET  /draw/photo/INDEX      the photograph in detail, at most `DETAIL` pixels long
    POST /draw/save    {"picture", "visit": a name, "shapes": [{"kind", "class", "geometry",
                        "times", "prediction", "how"}], "complete", "prediction", "times", "after":
                        the last visit that the page knew of, so that none is replaced unseen}
                                                                                       -> state
    POST /draw/skip    {"picture", "visit", "reason", "prediction", "times", "after"}      -> state
    POST /draw/predict {"picture", "shapes"}   {"mask": a PNG as a data address, or null, "line":
         why there is none, "mark": of its model, "ms"}: what the model thinks when these shapes are
         drawn; never of a picture with an open question
    POST /draw/accept  {"picture", "mark"}     {"shapes"}: that mask as shapes, one a class

A visit that was stored is not stored again, so a post that got no reply may be sent again.
"""

import base64
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request, Response

from weakseg.labels.formats.records import Shape
from weakseg.labels.store import Given
from weakseg.page.access import Refused
from weakseg.page.drawing_checks import COMPLETE, refuse_nonsense, shape_of, tag_names
from weakseg.page.drawing_log import DRAWN, SKIPPED, Drawn
from weakseg.page.messages import answer, body, number, picture, text, times

if TYPE_CHECKING:
    from weakseg.page.session import Session

DETAIL = 4096  # pixels of a photograph's longer side, at most
MOST = 5000  # shapes of one picture
LONGEST_NAME = 200  # characters of a visit's


class DrawRoutes:
    """The routes of the drawing view; see the top of this file."""

    def __init__(self, session: "Session") -> None:
        self.session, self.drawings = session, session.drawings
        self.photographs = session.photographs
        self.table: dict[str, Callable[..., Response]] = {
            "GET /draw/state": self.state,
            "GET /draw/picture/<int:index>": self.picture,
            "GET /draw/photo/<int:index>": self.photo,
            "POST /draw/save": self.save,
            "POST /draw/skip": self.skip,
            "POST /draw/predict": self.predict,
            "POST /draw/accept": self.accept,
        }

    # ---- what is read

    def state(self, request: Request) -> Response:
        """Return how far the drawing is."""
        return answer(self.progress())

    def progress(self) -> dict[str, Any]:
        """Return what the view shows of all pictures."""
        done = [what for name, what in self.drawings.done.items() if name in self.photographs.index]
        return {
            "pictures": len(self.photographs),
            "saved": done.count(DRAWN),
            "skipped": done.count(SKIPPED),
            "seconds": self.drawings.seconds,
            "tags": tag_names(self.session.asker.dataset, self.session.log.classes),
            "first": self.next_of(-1) or 0,
        }

    def picture(self, request: Request, index: int) -> Response:
        """Return what is drawn on a picture."""
        name = self.known(index)
        own, others = self.drawings.given(name)
        state = self.drawings.done.get(name, "")
        return answer(
            {
                "index": index,
                "name": name,
                **self.photographs.size(index),
                "shapes": [told_of(shape) for shape in own.shapes.values()],
                "complete": [*own.complete],
                "others": [told_of(shape) for shape in visible(others.values())],
                "done": state,
                "seen": name in self.session.log.seen,
                "last": self.drawings.last.get(name, ""),
                "reason": self.drawings.reasons.get(name, ""),
                "next": self.next_of(index),
            }
        )

    def photo(self, request: Request, index: int) -> Response:
        """Return a photograph in detail."""
        self.known(index)
        kind, content = self.photographs.in_detail(index, DETAIL)
        return picture(content, kind)

    def known(self, index: int) -> str:
        """Return the name of a picture that is there."""
        if index >= len(self.photographs):
            raise Refused(404, "no such picture")
        return self.photographs.names[index]

    def next_of(self, index: int) -> int | None:
        """Return the next picture that nobody has drawn on or skipped; None where none is left."""
        count, names = len(self.photographs), self.photographs.names
        if self.session.pilot:
            after = self.session.pilot.next_after(names[index] if index >= 0 else "")
            return None if after is None else self.photographs.index[after]
        around = (number % count for number in range(index + 1, index + 1 + count))
        return next((n for n in around if n != index and names[n] not in self.drawings.done), None)

    # ---- what is given

    def save(self, request: Request) -> Response:
        """Store what is drawn on a picture."""
        given = body(request)
        index = int(number(given, "picture"))
        name, size = self.known(index), self.photographs.sizes[index]
        drawn, complete = self.drawn_in(given, size), kinds_in(given)
        classes = self.session.log.classes
        tags = tag_names(self.session.asker.dataset, classes)
        refuse_nonsense([one.shape for one in drawn], complete, size, classes, tags)
        held = self.photographs.held(name)
        self.drawings.save(name, size, drawn, complete, facts_of(given), held, after(given))
        return answer(self.progress())

    def drawn_in(self, given: dict[str, Any], size: tuple[int, int]) -> list[Drawn]:
        """Return the shapes of a picture of a size that a request holds."""
        shapes = given.get("shapes")
        if not isinstance(shapes, list) or len(shapes) > MOST:
            raise Refused(400, f"shapes are a list of at most {MOST}")
        classes = self.session.log.classes
        tags = tag_names(self.session.asker.dataset, classes)
        drawn = []
        for one in shapes:
            shape = shape_of(one, classes, tags, size)
            facts: dict[str, Any] = {**times(one), "prediction": one.get("prediction") is True}
            facts |= {"how": text(one, "how")} if one.get("how") else {}
            drawn.append(Drawn(shape, facts))
        return drawn

    def skip(self, request: Request) -> Response:
        """Leave a picture out."""
        given = body(request)
        name, why = self.known(int(number(given, "picture"))), text(given, "reason")
        self.drawings.skip(name, why, facts_of(given), after(given))
        return answer(self.progress())

    # ---- what the model thinks

    def predict(self, request: Request) -> Response:
        """Return what the model thinks of a picture on which shapes are drawn."""
        given, began = body(request), time.perf_counter()
        index = int(number(given, "picture"))
        name = self.known(index)
        shapes = [one.shape for one in self.drawn_in(given, self.photographs.sizes[index])]
        found = self.session.model.think(index, shapes, kinds_in(given))
        if found.png:
            self.session.log.see(name)
        png = found.png and f"data:image/png;base64,{base64.b64encode(found.png).decode()}"
        ms = round(1000 * (time.perf_counter() - began))
        return answer({"mask": png, "line": found.line, "mark": found.mark, "ms": ms})

    def accept(self, request: Request) -> Response:
        """Return the mask of a model as shapes."""
        given = body(request)
        index = int(number(given, "picture"))
        self.known(index)
        shapes = self.session.model.accepted(index, text(given, "mark"))
        return answer({"shapes": [told_of(shape) for shape in shapes]})


def kinds_in(given: dict[str, Any]) -> list[str]:
    """Return the kinds of label that a request calls complete."""
    kinds = given.get("complete", [])
    if not isinstance(kinds, list) or not {*map(str, kinds)} <= {*COMPLETE}:
        raise Refused(400, "complete is a list of kinds of label")
    return kinds


def facts_of(given: dict[str, Any]) -> dict[str, Any]:
    """Return what a request says of a visit."""
    seen = given.get("prediction") is True
    return {"visit": text(given, "visit"), **times(given), "prediction": seen}


def after(given: dict[str, Any]) -> str | None:
    """Return the last visit of a picture that a page knew of, "" of none; None: it doesn't say."""
    last = given.get("after")
    return None if last is None else str(last)[:LONGEST_NAME]


def told_of(shape: Shape) -> dict[str, Any]:
    """Return a shape as the page takes it."""
    return {"kind": shape.kind, "class": shape.label, "geometry": shape.geometry}


def visible(sources: Iterable[Given]) -> list[Shape]:
    """Return what others drew; answers to questions are not shown, since some come again."""
    return [one for given in sources for one in given.shapes.values() if one.kind != "answer"]
