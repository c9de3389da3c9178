"""What the page asks of the server in a pilot.

    GET  /pilot      {"blocks": [{"kind", "signal", "tool": of the drawing view, "" of questions,
         "task": a sentence, "pictures": number, "left": indices of those that are not done}],
         "current": number of the block that is not done, null where all are, "minutes": roughly,
         "table": null, or at the end the rows of one's prices, the head first}
    POST /pilot {}   begins the current block: its questions come   -> the same

Without a pilot both are 404.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request, Response

from weakseg.labels.costs import load_schedule
from weakseg.labels.own_prices import measured_prices
from weakseg.labels.store import opened_store
from weakseg.labels.timings import stretches
from weakseg.page.access import Refused
from weakseg.page.answer_log import CAP
from weakseg.page.messages import answer
from weakseg.page.pilot import Pilot
from weakseg.reporting.price_table import price_rows

if TYPE_CHECKING:
    from weakseg.page.session import Session


class PilotRoutes:
    """The routes of a pilot; see the top of this file."""

    def __init__(self, session: "Session") -> None:
        self.session = session
        self.table: dict[str, Callable[..., Response]] = {
            "GET /pilot": self.state,
            "POST /pilot": self.begin,
        }

    @property
    def pilot(self) -> Pilot:
        """The pilot, if there is one."""
        if self.session.pilot is None:
            raise Refused(404, "there is no pilot; annotate.py --pilot begins one")
        return self.session.pilot

    def state(self, request: Request) -> Response:
        """Return how far it is."""
        return answer(self.told())

    def begin(self, request: Request) -> Response:
        """Begin a block."""
        with self.session.asker.changed:
            self.pilot.begin()
            self.session.asker.changed.notify_all()
        return answer(self.told())

    def told(self) -> dict[str, Any]:
        """Return how far it is."""
        return self.pilot.state(self.session.photographs.index, lambda: own_rows(self.session))


def own_rows(session: "Session") -> list[list[str]]:
    """Return the table of what a session's person needs, by what they did without predictions."""
    with opened_store(session.log.folder) as store:
        timed = stretches(store, session.log.annotator)
    found = measured_prices(timed, load_schedule(), CAP)
    return price_rows(found.own.values())
