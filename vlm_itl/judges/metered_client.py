"""The HTTP client under OpenAI's: each request is taken from a budget before it is sent.

The client above repeats requests on its own. So the counting stands below it, where every request
passes. Here too a request ends in time, whatever the server does, and goes nowhere but to the
server that the user named.
"""

import contextlib
import importlib
import socket
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from openai import DefaultHttpxClient, OpenAIError

from vlm_itl.judges.answer_cache import AnswerCache
from vlm_itl.judges.base import NO_USAGE, Usage

# The library that OpenAI's client stands on; it has changed that once.
HTTP = importlib.import_module(DefaultHttpxClient.__mro__[1].__module__.partition(".")[0])
LONGEST_REPLY = 2**22  # bytes; a chat completion has thousands


class NotSent(OpenAIError):
    """A request that the budget doesn't cover, or that came after the end of the run.

    As an error of its own kind it passes through the client above, which doesn't repeat it.
    """


class TooLong(OpenAIError):
    """A reply of more than `LONGEST_REPLY` bytes; as `NotSent`, it is not repeated."""


@dataclass(frozen=True)
class Budget:
    """How much may be spent under a name, over all runs and processes that use one cache.

    calls, tokens    the limits; None: no limit
    tokens_per_call  upper bound of one request, and what it counts where the server doesn't tell
    """

    name: str
    calls: int | None
    tokens: int | None
    tokens_per_call: int

    def requests_left(self, cache: AnswerCache, most: int) -> int:
        """Return how many requests the budget still covers, at most `most`."""
        calls, tokens = cache.spent(self.name)
        left = most
        if self.calls is not None:
            left = min(left, self.calls - calls)
        if self.tokens is not None:
            left = min(left, (self.tokens - tokens) // self.tokens_per_call)
        return max(0, left)


@dataclass
class Meter:
    """What one question may cost, and what it has cost so far.

    allowance  the most requests that it may cost
    attempts   requests that were tried, those included that reached no server
    """

    cache: AnswerCache
    budget: Budget
    allowance: int
    stopping: threading.Event
    attempts: int = 0
    usage: Usage = field(default_factory=NO_USAGE.copy)

    def take(self) -> None:
        """Take one request from the budget, or raise `NotSent`."""
        budget = self.budget
        if self.stopping.is_set():
            raise NotSent("stopped")
        covered = self.usage["calls"] < self.allowance
        if not covered or not self.cache.spend(
            budget.name, budget.tokens_per_call, budget.calls, budget.tokens
        ):
            raise NotSent(
                f"budget: {budget.name!r} is spent (vlm_itl.vlm_options: "
                f"call_budget {budget.calls}, token_budget {budget.tokens})"
            )
        self.attempts += 1
        self.usage["calls"] += 1

    def sent(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give back a request that reached no server; called as the end of a `with` statement."""
        # By name, as OpenAI's client has changed the library that it stands on.
        if kind and kind.__name__ in ("ConnectError", "ConnectTimeout"):
            self.usage["calls"] -= 1
            self.cache.give_back(self.budget.name, 1, self.budget.tokens_per_call)

    def refused(self) -> None:
        """Give back the tokens of a request that was answered by an error."""
        self.cache.give_back(self.budget.name, 0, self.budget.tokens_per_call)

    def answered(self, prompt_tokens: int, completion_tokens: int) -> None:
        """Count what an answered request has cost, in full where the server counted nothing."""
        self.usage["prompt_tokens"] += prompt_tokens
        self.usage["completion_tokens"] += completion_tokens
        tokens = prompt_tokens + completion_tokens or self.budget.tokens_per_call
        self.cache.give_back(self.budget.name, 0, self.budget.tokens_per_call - tokens)


# The meter of the question that the thread is asking.
METER: ContextVar[Meter] = ContextVar("METER")


class Deadline:
    """Cuts the connection of a request after some seconds, and raises a timeout then.

    The library's own timeouts begin anew with each byte that arrives.
    """

    def __init__(self, request: Any, seconds: float) -> None:
        self.request, self.passed = request, False
        self.socket: socket.socket | None = None
        request.extensions = {**request.extensions, "trace": self.watch}
        self.timer = threading.Timer(seconds, self.end)
        self.timer.daemon = True

    def watch(self, event: str, info: Mapping[str, Any]) -> None:
        """Keep the socket of a connection that is there: the library tells what it does."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self.socket = info["return_value"].get_extra_info("socket")

    def end(self) -> None:
        """Cut the connection; whoever reads from it goes on at once."""
        self.passed = True
        if self.socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                socket.socket.shutdown(self.socket, socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self.timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.timer.cancel()
        if self.passed and (kind is None or issubclass(kind, Exception)):
            raise HTTP.ReadTimeout("the reply took too long", request=self.request) from error


class MeteredClient(DefaultHttpxClient):
    """Sends a request if its `METER` allows it, and counts it.

    seconds: the most that a request may take, from the first byte sent to the last one received
    """

    def __init__(self, seconds: float) -> None:
        # A connection for each request: so its `Deadline` knows the socket.
        super().__init__(follow_redirects=False, limits=HTTP.Limits(max_keepalive_connections=0))
        self.seconds = seconds
        self.running: set[Deadline] = set()

    def send(self, request: Any, **how: Any) -> Any:
        """Send one request; a request that timed out may have cost all its tokens.

        A redirect is not followed: photographs and the key go to no other server.
        """
        meter = METER.get()
        meter.take()
        deadline = Deadline(request, self.seconds)
        self.running.add(deadline)
        try:
            with deadline, ExitStack() as sending:
                sending.push(meter.sent)
                how |= {"stream": True, "follow_redirects": False}
                response = whole(super().send(request, **how))
        finally:
            self.running.discard(deadline)
        if not response.is_success:
            meter.refused()
            if "insufficient_quota" in response.text:
                # Waiting brings no credit. The client above follows this header.
                response.headers["x-should-retry"] = "false"
        return response

    def stop(self) -> None:
        """Cut all connections."""
        for deadline in list(self.running):
            deadline.end()


def whole(response: Any) -> Any:
    """Return a streamed response with its body, which may have `LONGEST_REPLY` bytes."""
    body = bytearray()
    with contextlib.closing(response):
        for piece in response.iter_bytes():
            body += piece
            if len(body) > LONGEST_REPLY:
                raise TooLong(f"the reply is longer than {LONGEST_REPLY >> 20} MiB")
    headers = response.headers.copy()
    for name in ("content-encoding", "transfer-encoding", "content-length"):
        headers.pop(name, None)  # of the body as it was sent
    return HTTP.Response(
        response.status_code, headers=headers, content=bytes(body), request=response.request
    )
