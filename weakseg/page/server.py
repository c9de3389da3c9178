"""The server of the page: one WSGI application of a few routes, JSON in and out.

Everything but `/?token=...` needs the cookie (see `access`). Pictures are named by their index in
`/state`'s `pictures`: no path of the network is ever joined to a folder. Coordinates are (x, y) in
pixels of the upright original. What can't be done is `{"error": "one line"}` with a status from
400 on: 507 where nothing could be stored, which the page sends again later.

    GET  /                          the page
    GET  /page.css, /js/NAME.js     its files, by a list made at the start
    GET  /state                     what the page shows, see `Session.state`:
         {"name", "session": its mark, "annotator", "pictures": number of all, "ready": with
          features, "unreadable", "classes": [{"name", "colour", "key", "is_background"}],
          "has_background", "may_rename": whether classes can be changed, "pilot": whether there is
          one, "begun": whether an example was clicked or skipped, "answers", "fit": number of the
          last one,
          "drawing_fit": the same of what is drawn, "waiting": whether a question comes,
          "open": numbers of the questions that wait for an answer, "asked": the last number,
         "panel": {...} of `panel`, "masks": [{"picture", "fit", "version", "slot": place}],
          "finish": {"state": "no" | "running" | "done" | "failed", "line", "commands"}}
    GET  /questions?after=ID        waits up to 10 s for questions behind ID (0: all open ones)
         {"questions": [{"id", "picture", "width", "height", "x", "y", "seen": whether a mask of
          the picture was on show before}]}: no word of who chose them
    GET  /told?count=10             the last answers, the latest last:
         {"told": [{"id", "picture", "width", "height", "x", "y", "seen", "class": name or null,
          "other"}]}
    GET  /picture/INDEX?side=1600   the photograph as JPEG, or as PNG where it is small; upright,
         at most so many pixels long, one of `photographs.SIDES`
    GET  /cutout/INDEX?x=&y=&side=  a square PNG of the original's pixels around a place, at most
         `photographs.LARGEST_CUTOUT` long; transparent beyond the picture's edge
    GET  /mask/INDEX?version=       a predicted mask as a PNG with transparent background, only of
         pictures in `/state`'s masks and never of one with an open question: else nothing, 204
    GET  /list?first=0&count=100    {"pictures": [{"index", "name", "width", "height"}]}

    POST /begin    {"times": of the search for others}         no (further) example clicks
    POST /example  {"picture", "x", "y", "class", "times"}     a click on an example of a class
    POST /answer   {"id", "class": name or null, "other": bool, "change": bool, "next_shown": bool,
                    "prediction": bool, "times": {"wall", "active": {"20", "60", "100"}},
                    "visit": a name}
         null is *can't tell*; other: *another object*, none of the classes; change: an answer that
         was given is another one; the same answer twice, by its visit, counts once; a second one
         to a question that another browser answered is refused. -> {"answers"}
    POST /events   {"events": [{"kind", "at", "clock", ...}]}  raw events, stored as they are:
         at: ms since 1970 by the browser's clock; clock: ms since the page was opened; kind: one of
         `answer_log.INPUTS`
    POST /classes  {"add": name} | {"rename": old, "to": new} | {"merge": old, "to": other} |
                   {"colour": name, "to": "#rrggbb"}           -> state
    POST /finish   {}                                          -> state

The drawing view and a pilot have routes of their own, see `draw_routes` and `pilot_routes`.
"""

import secrets
import socket
import threading
from collections.abc import Callable
from importlib import resources
from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from weakseg.common import UserError
from weakseg.page.access import HEADERS, LARGEST, Access, Refused
from weakseg.page.draw_routes import DrawRoutes
from weakseg.page.messages import answer, body, failure, number, picture, text, times, whole
from weakseg.page.photographs import LARGEST_CUTOUT, SIDES
from weakseg.page.pilot_routes import PilotRoutes
from weakseg.page.session import Session

KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
EVERYWHERE = "0.0.0.0"  # the address that listens at all of a machine
MOST_LISTED = 1000  # pictures that one request lists


def static_files() -> dict[str, tuple[str, bytes]]:
    """Return {path: (content type, content)} of the page's own files."""
    folder = resources.files("weakseg.page")
    files = [(f"/{one.name}", one) for one in folder.iterdir()]
    files += [(f"/js/{one.name}", one) for one in folder.joinpath("js").iterdir()]
    found = {}
    for path, file in files:
        kind = KINDS.get(path[path.rfind(".") :])
        if kind:
            found[path] = f"{kind}; charset=utf-8", file.read_bytes()
    found["/"] = found.pop("/page.html")
    return found


class Routes:
    """The application: a request comes in, `table` says who answers it."""

    def __init__(self, session: Session, access: Access) -> None:
        self.session, self.access, self.files = session, access, static_files()
        # An address names a picture by its index, which is another one's at the next start.
        self.start = secrets.token_urlsafe(16)
        self.table: dict[str, Callable[..., Response]] = {
            "GET /state": self.state,
            "GET /questions": self.questions,
            "GET /told": self.told,
            "GET /list": self.listed,
            "GET /picture/<int:index>": self.picture,
            "GET /cutout/<int:index>": self.cutout,
            "GET /mask/<int:index>": self.mask,
            "POST /begin": self.begin,
            "POST /example": self.example,
            "POST /answer": self.answer,
            "POST /events": self.events,
            "POST /classes": self.classes,
            "POST /finish": self.finish,
            **DrawRoutes(session).table,
            **PilotRoutes(session).table,
        }
        rules = [
            Rule(path, methods=[method], endpoint=key)
            for key in self.table
            for method, path in [key.split(" ")]
        ]
        self.map = Map(rules)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        """Answer a request, as WSGI has it."""
        request = Request(environ)
        request.max_content_length = LARGEST
        try:
            response = self.access.check(request) or self.respond(request)
        except Refused as error:
            response = failure(error.status, error.line)
        except HTTPException as error:
            response = failure(error.code or 500, error.name)
        except UserError as error:
            response = failure(507, str(error))
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Cache-Control", "no-store")
        return response(environ, start)

    def respond(self, request: Request) -> Response:
        """Return the answer to a request that was let in."""
        if request.method in ("GET", "HEAD") and request.path in self.files:
            kind, content = self.files[request.path]
            return Response(content, content_type=kind)
        key, values = self.map.bind_to_environ(request.environ).match()
        response = self.table[key](request, **values)
        if (response.mimetype or "").startswith("image/"):
            response.set_etag(self.start)
            response.make_conditional(request)
        return response

    # ---- what is read

    def state(self, request: Request) -> Response:
        """Return what the page shows."""
        return answer(self.session.state())

    def questions(self, request: Request) -> Response:
        """Return the open questions behind one, when there are any."""
        return answer({"questions": self.session.questions(whole(request, "after", 0))})

    def told(self, request: Request) -> Response:
        """Return the last answers."""
        return answer({"told": self.session.told(min(100, whole(request, "count", 10)))})

    def listed(self, request: Request) -> Response:
        """Return names and sizes of pictures."""
        first, count = whole(request, "first", 0), min(MOST_LISTED, whole(request, "count", 100))
        return answer({"pictures": self.session.photographs.listed(first, count)})

    def picture(self, request: Request, index: int) -> Response:
        """Return a photograph at screen size."""
        side = whole(request, "side", SIDES[-1])
        if side not in SIDES:
            raise Refused(400, f"side is one of {', '.join(map(str, SIDES))}")
        kind, content = self.session.photographs.at_screen_size(self.known(index), side)
        return picture(content, kind)

    def cutout(self, request: Request, index: int) -> Response:
        """Return a square of the original around a place."""
        side = whole(request, "side", 64)
        if not 1 <= side <= LARGEST_CUTOUT:
            raise Refused(400, f"side lies between 1 and {LARGEST_CUTOUT}")
        place = whole(request, "x", 0), whole(request, "y", 0)
        return picture(self.session.photographs.cutout(self.known(index), place, side), "image/png")

    def mask(self, request: Request, index: int) -> Response:
        """Return a predicted mask."""
        content = self.session.masks.content(self.known(index))
        if content is None:  # a question has just been opened: no fault, and nothing to show
            return Response(status=204)
        self.session.log.see(self.session.photographs.names[index])
        return picture(content, "image/png")

    def known(self, index: int) -> int:
        """Return the index of a picture that is there."""
        if index >= len(self.session.photographs):
            raise Refused(404, "no such picture")
        return index

    # ---- what is given

    def begin(self, request: Request) -> Response:
        """Ask for no further examples."""
        self.session.begin(times(body(request)))
        return answer(self.session.state())

    def example(self, request: Request) -> Response:
        """Take a click on an example of a class."""
        given = body(request)
        place = number(given, "x"), number(given, "y")
        index, label = self.known(int(number(given, "picture"))), text(given, "class")
        self.session.example(index, place, label, times(given))
        return answer(self.session.state())

    def answer(self, request: Request) -> Response:
        """Take an answer, or a change of one."""
        given = body(request)
        label = None if given.get("class") is None else text(given, "class")
        flags = {key: given.get(key) is True for key in ("other", "change", "next_shown")}
        is_seen = given.get("prediction") is True
        visit = text(given, "visit") if given.get("visit") else ""
        asked, took = int(number(given, "id")), times(given)
        count = self.session.answer(asked, label, took, is_seen, **flags, visit=visit)
        return answer({"answers": count})

    def events(self, request: Request) -> Response:
        """Store raw events."""
        given = body(request).get("events")
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            raise Refused(400, "events are a list of tables")
        self.session.log.inputs(given, self.session.photographs.names)
        return answer({"events": len(given)})

    def classes(self, request: Request) -> Response:
        """Change the classes."""
        given = body(request)
        if "add" in given:
            self.session.classes.add(text(given, "add"))
        elif "rename" in given:
            self.session.classes.rename(text(given, "rename"), text(given, "to"), is_merge=False)
        elif "merge" in given:
            self.session.classes.rename(text(given, "merge"), text(given, "to"), is_merge=True)
        elif "colour" in given:
            self.session.classes.recolour(text(given, "colour"), text(given, "to"))
        else:
            raise Refused(400, "add, rename, merge or colour")
        return answer(self.session.state())

    def finish(self, request: Request) -> Response:
        """Begin to write masks of all pictures, and the run."""
        self.session.finish()
        return answer(self.session.state())


class Handler(WSGIRequestHandler):
    """Keeps connections open, and prints nothing of each request."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Print nothing."""


def names_of(host: str) -> list[str]:
    """Return the names by which a browser may call the server, the one for the link first."""
    own = ["127.0.0.1", "localhost"]
    if host in own:
        return [host, *own]
    machine = socket.gethostname()
    try:
        addresses = socket.gethostbyname_ex(machine)[2]
    except OSError:
        addresses = []
    return [machine if host == EVERYWHERE else host, machine, *addresses, *own]


class Server:
    """The server while it runs in threads of its own.

    host, port: to listen at; port 0: any that is free
    """

    def __init__(
        self, session: Session, host: str, port: int, announce: Callable[[str], None]
    ) -> None:
        # The port is known once the socket is there, and the routes need it.
        self.http: BaseWSGIServer = make_server(
            host, port, self.routed, threaded=True, request_handler=Handler
        )
        self.port = self.http.server_port
        names = names_of(host)
        access = Access(
            {f"{one}:{self.port}" for one in names},
            self.port,
            lambda token: announce(f"http://{names[0]}:{self.port}/?token={token}"),
        )
        self.routes = Routes(session, access)
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)

    def routed(self, environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        """Answer a request."""
        return self.routes(environ, start)

    def start(self) -> None:
        """Serve, and announce the link."""
        self.thread.start()
        self.routes.access.new_link()

    def close(self) -> None:
        """Stop serving."""
        self.http.shutdown()
        self.http.server_close()
