"""Who may use the page: whoever opens the link that the terminal shows, in one browser.

As a notebook server does it: the link holds a token that is good once; for it the browser gets a
cookie, which other sites can't send. A page of another site that resolves to this machine (DNS
rebinding) has another `Host`, and is refused.
"""

import hmac
import secrets
import threading
from collections.abc import Callable, Collection

from werkzeug.wrappers import Request, Response

DAYS = 30  # that a browser keeps the cookie; the server's next start makes another one
SAME = (None, "same-origin", "none")  # values of Sec-Fetch-Site that this page itself has
LARGEST = 8 * 2**20  # bytes of a request's body
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Refused(Exception):
    """A request that is not answered: the status, and one line for a person."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status, self.line = status, line


class Access:
    """The door of one server.

    hosts     values of the `Host` header that are let in, with their port
    announce  is told each new token, to print the link
    """

    def __init__(self, hosts: Collection[str], port: int, announce: Callable[[str], None]) -> None:
        self.hosts, self.announce = frozenset(hosts), announce
        self.cookie = f"weakseg_{port}"  # browsers send cookies to every port
        self.secret = secrets.token_urlsafe(32)
        self.token: str | None = None
        self.lock = threading.Lock()

    def new_link(self) -> None:
        """Announce a token, unless one that nobody has used is there."""
        with self.lock:
            if self.token is not None:
                return
            self.token = secrets.token_urlsafe(24)
            self.announce(self.token)

    def check(self, request: Request) -> Response | None:
        """Let a request in; the first one with a token gets the cookie and is led on.

        Others raise `Refused`.
        """
        if request.headers.get("Host", "") not in self.hosts:
            raise Refused(421, "this address is not the page's own; take the link of the terminal")
        if request.headers.get("Sec-Fetch-Site") not in SAME and request.method != "GET":
            raise Refused(403, "another site sent this")
        token = request.args.get("token")
        if token is not None and request.method == "GET":
            return self.enter(token)
        if not hmac.compare_digest(request.cookies.get(self.cookie, "").encode(), self.encoded):
            if request.path == "/":
                self.new_link()
            raise Refused(403, "open the link that the terminal shows; each is good for one time")
        if request.method == "POST":
            self.check_post(request)
        return None

    @property
    def encoded(self) -> bytes:
        """What the cookie must hold."""
        return self.secret.encode()

    def enter(self, token: str) -> Response:
        """Return the answer to a link: the cookie for the right token, which is then used up."""
        with self.lock:
            is_right = self.token is not None and hmac.compare_digest(
                token.encode(), self.token.encode()
            )
            if is_right:
                self.token = None
        if not is_right:
            self.new_link()
            raise Refused(403, "this link was used; take the newest that the terminal shows")
        response = Response(status=303, headers={"Location": "/"})
        response.set_cookie(
            self.cookie, self.secret, max_age=DAYS * 86400, httponly=True, samesite="Strict"
        )
        return response

    def check_post(self, request: Request) -> None:
        """Refuse what another site's form could send, and what is too large."""
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] not in self.hosts:
            raise Refused(403, "another site sent this")
        if request.mimetype != "application/json":
            raise Refused(415, "only application/json is taken")
        if request.content_length is None or request.content_length > LARGEST:
            raise Refused(413, "too large")
