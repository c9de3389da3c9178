"""The HTTP client under OpenAI's: each request is taken from a budget before it is sent.

The client above repeats requests on its own. So the counting stands below it, where every request
passes.
"""

import threading
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from openai import DefaultHttpxClient, OpenAIError

from vlm_itl.judges.answer_cache import AnswerCache
from vlm_itl.judges.base import NO_USAGE, Usage


class NotSent(OpenAIError):
    """A request that the budget doesn't cover, or that came after the end of the run.

    As an error of its own kind it passes through the client above, which doesn't repeat it.
    """


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


class MeteredClient(DefaultHttpxClient):
    """Sends a request if its `METER` allows it, and counts it."""

    def send(self, request: Any, **how: Any) -> Any:
        """Send one request; a request that timed out may have cost all its tokens."""
        meter = METER.get()
        meter.take()
        with ExitStack() as sending:
            sending.push(meter.sent)
            response = super().send(request, **how)
        if response.is_error:
            meter.refused()
            if "insufficient_quota" in response.text:
                # Waiting brings no credit. The client above follows this header.
                response.headers["x-should-retry"] = "false"
        return response
