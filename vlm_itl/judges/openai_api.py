"""A judge behind any OpenAI-compatible server: vLLM, Ollama, llama.cpp, or a hosted one.

In the configuration:

    vlm_itl:
      vlm_handler: openai
      vlm_options: {base_url: "http://localhost:8000/v1", model: name-of-the-model}

The key is read from the environment variable that `api_key_env` names, and is never logged, stored
or shown.
"""

import contextlib
import os
import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from pydantic import Field

from vlm_itl.judges.cached_judge import AskOptions, CachedJudge, Outcome
from vlm_itl.judges.openai_messages import (
    Counts,
    Structured,
    chat_request,
    message_parts,
    read_completion,
)
from vlm_itl.judges.prompts import Question
from weakseg.common import UserError

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAI

    from vlm_itl.judges.metered_client import Budget, Meter

NO_KEY = "none"  # what a server that wants no key gets, as the client must send one
REFUSED_REQUEST = (400, 422)  # HTTP statuses of a request that the server can't use
# What the user can do about an HTTP status that no repetition mends.
ADVICE = {
    401: (
        "the server doesn't take the key; set the environment variable {key_env} "
        "(vlm_itl.vlm_options.api_key_env)"
    ),
    403: "the key in the environment variable {key_env} isn't allowed to use model {model!r}",
    404: (
        "no model {model!r} there; check vlm_itl.vlm_options.model, and that base_url ends as the "
        "server wants (/v1)"
    ),
}


class OpenAIOptions(AskOptions):
    """The options of this judge, besides those of every judge that asks a model."""

    base_url: str | None = Field(
        default=None,
        description="the server, http://host:port/v1; null: the client's default, a hosted service",
    )
    api_key_env: str = Field(
        default="OPENAI_API_KEY", description="the environment variable that holds the key"
    )
    budget_name: str = Field(
        default="default",
        description="spending is counted under this name in the cache, over runs and processes",
    )
    call_budget: int | None = Field(
        default=1000, ge=0, description="at most so many requests, retries included; null: no limit"
    )
    token_budget: int | None = Field(
        default=None,
        ge=0,
        description="at most so many tokens, in prompts and answers; null: no limit",
    )
    tokens_per_call: int = Field(
        default=8192,
        ge=1,
        description=(
            "upper bound of one request's tokens; counted in full where the server doesn't tell"
        ),
    )
    answer_tokens: int | None = Field(
        default=512, ge=1, description="limit of one answer; null: the server's"
    )
    temperature: float | None = Field(
        default=0.0, ge=0, description="null: the server's, as some models take no other"
    )
    structured: Structured = Field(
        default="json_schema", description="strict; the others are for servers without it"
    )
    retries: int = Field(
        default=4,
        ge=0,
        description=(
            "more requests for a question after 408, 409, 429, 5xx, a timeout or a lost "
            "connection; OpenAI's client waits between them, as long as the server asks"
        ),
    )
    timeout: float = Field(default=60.0, gt=0, description="seconds for one request")
    concurrency: int = Field(default=4, ge=1, description="requests at a time")


class Unanswered(Exception):
    """Why a question gets no answer; `status` is the HTTP status of a refused request."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class OpenAIJudge(CachedJudge[OpenAIOptions]):
    """Asks a server, several questions at a time.

    Answers don't depend on the order in which they arrive. A question that can't be answered is a
    failed `Verdict`, and is asked again by the next run. A wrong key or an unknown model, and a
    server that refuses all requests of a list as malformed, are `UserError`s at once.
    """

    Options = OpenAIOptions

    def __init__(self, iou_bar: float, seed: int, options: OpenAIOptions) -> None:
        super().__init__(iou_bar, seed, options, variant=f"temperature {options.temperature}")
        self._api_key = os.environ.get(options.api_key_env, "").strip()
        self._server = options.base_url or "the server"
        self._stopping = threading.Event()
        if not options.replay:
            self._client, self._budget = self._connect()

    def _connect(self) -> tuple["OpenAI", "Budget"]:
        try:
            from openai import OpenAI

            from vlm_itl.judges.metered_client import Budget, MeteredClient
        except ImportError as error:
            raise UserError("the judge `openai` needs the package: pip install openai") from error
        o = self.options
        if not self._api_key and o.base_url is None and "OPENAI_BASE_URL" not in os.environ:
            raise UserError(
                f"set the environment variable {o.api_key_env}, or vlm_itl.vlm_options.base_url"
            )
        client = OpenAI(
            api_key=self._api_key or NO_KEY,
            base_url=o.base_url,
            timeout=o.timeout,
            http_client=MeteredClient(),
        )
        return client, Budget(o.budget_name, o.call_budget, o.token_budget, o.tokens_per_call)

    # ---- many questions

    def _ask_all(self, questions: Sequence[Question]) -> list[Outcome]:
        """Ask at most `concurrency` questions at a time; return their outcomes in order."""
        self._stopping.clear()
        futures: list[Future[Outcome]] = []
        running: dict[Future[Outcome], int] = {}  # and how many requests each may cost
        with python_random_kept(), ThreadPoolExecutor(self.options.concurrency) as pool:
            try:
                for question in questions:
                    allowance = self._wait_for_place(running)
                    futures.append(pool.submit(self._answer, question, allowance))
                    running[futures[-1]] = allowance
                while running:
                    self._wait_for_answer(running)
            finally:
                self._stopping.set()
        outcomes = [future.result() for future in futures]
        if len(outcomes) > 1 and all(outcome.status in REFUSED_REQUEST for outcome in outcomes):
            raise UserError(
                f"{self._server}: refused all {len(outcomes)} requests: {outcomes[0].failure}"
            )
        return outcomes

    def _wait_for_place(self, running: dict[Future[Outcome], int]) -> int:
        """Wait until the next question may be asked; return how many requests it may cost.

        Where the budget doesn't cover the worst case of this question and of all that are running,
        it waits until they have ended. So what a question may cost depends on what earlier ones
        cost, not on which of them is answered first.
        """
        worst = self.options.retries + 2  # each retry, and one more for an answer that doesn't fit
        while running:
            if len(running) < self.options.concurrency:
                promised = sum(running.values())
                if self._budget.requests_left(self.cache, promised + worst) == promised + worst:
                    return worst
            self._wait_for_answer(running)
        return self._budget.requests_left(self.cache, worst)

    def _wait_for_answer(self, running: dict[Future[Outcome], int]) -> None:
        """Wait until a question is answered; a user's mistake that it met is raised."""
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            del running[future]
            future.result()

    # ---- one question

    def _answer(self, question: Question, allowance: int) -> Outcome:
        """Ask one question with at most `allowance` requests, and store its answer at once."""
        from vlm_itl.judges.metered_client import METER, Meter

        meter = Meter(self.cache, self._budget, allowance, self._stopping)
        METER.set(meter)
        try:
            outcome = Outcome(self._ask(question, meter), meter.usage)
        except Unanswered as reason:
            outcome = Outcome(None, meter.usage, str(reason), reason.status)
        outcome = self._store(question, outcome)
        # A budget of tokens can't be kept where a request costs more than was reserved for it.
        o, usage = self.options, meter.usage
        tokens = usage["prompt_tokens"] + usage["completion_tokens"]
        if o.token_budget is not None and tokens > o.tokens_per_call * usage["calls"]:
            raise UserError(
                f"{self._server}: {usage['calls']} request(s) cost {tokens} tokens: raise "
                f"vlm_itl.vlm_options.tokens_per_call, now {o.tokens_per_call}, so that "
                "token_budget can be kept"
            )
        return outcome

    def _ask(self, question: Question, meter: "Meter") -> dict[str, Any]:
        """Return the model's answer; one that doesn't fit is asked for once more."""
        messages: list[dict[str, Any]] = [{"role": "user", "content": message_parts(question)}]
        text = ""
        try:
            text = self._reply(question, messages, meter)
            return question.read(text)
        except ValueError as problem:
            words = (
                f"That can't be used ({problem}). Answer again, with nothing but the JSON object "
                "described."
            )
        messages.append({"role": "assistant", "content": text or "-"})
        messages.append({"role": "user", "content": words})
        try:
            return question.read(self._reply(question, messages, meter))
        except ValueError as problem:
            raise Unanswered(f"not the answer that was asked for: {problem}") from problem

    def _reply(self, question: Question, messages: list[dict[str, Any]], meter: "Meter") -> str:
        """Return the text of the model's reply; ValueError where it is no chat completion."""
        import openai

        o = self.options
        request = chat_request(
            question, messages, o.model, o.structured, o.answer_tokens, o.temperature
        )
        # Asking again has the retries that are left: a question costs at most `retries` + 2.
        retries_left = o.retries - max(0, meter.attempts - 1)
        client = self._client.with_options(max_retries=retries_left)
        try:
            body = client.chat.completions.with_raw_response.create(**request).text
        except openai.APIStatusError as error:
            raise self._refusal(error, meter) from None  # the error holds the key
        except openai.OpenAIError as error:  # no connection, a timeout, or `NotSent`
            raise Unanswered(f"{error}{tries(meter)}") from None
        if self._api_key:
            body = body.replace(self._api_key, "***")
        return self._text(body, meter)

    def _text(self, body: str, meter: "Meter") -> str:
        """Return the model's words in a chat completion, and count its tokens.

        ValueError where it is none; a refusal is no answer.
        """
        completion = read_completion(body)
        counts, choice = completion.usage or Counts(), completion.choices[0]
        meter.answered(counts.prompt_tokens or 0, counts.completion_tokens or 0)
        if choice.message.refusal or choice.finish_reason == "content_filter":
            raise Unanswered(f"refused: {choice.message.refusal or 'content filter'}"[:300])
        return choice.message.content or ""

    def _refusal(self, error: "APIStatusError", meter: "Meter") -> Exception:
        """Return what to raise for an HTTP status: a `UserError` where the user can mend it.

        Such an error tells nothing in the server's words, which may hold the key.
        """
        status, o = error.status_code, self.options
        if status in ADVICE:
            advice = ADVICE[status].format(key_env=o.api_key_env, model=o.model)
            return UserError(f"{self._server}: HTTP {status}: {advice}")
        if error.code == "insufficient_quota":
            return UserError(f"{self._server}: HTTP {status}: the account has no credit left")
        words = str(error.message)
        if self._api_key:
            words = words.replace(self._api_key, "***")
        reason = f"HTTP {status}: {' '.join(words.split())[:300]}"
        if "retry-after" in error.response.headers:
            reason += f" Retry-After: {error.response.headers['retry-after'][:50]}."
        return Unanswered(reason + tries(meter), status)


@contextlib.contextmanager
def python_random_kept() -> Iterator[None]:
    """Leave Python's global random stream as it was.

    OpenAI's client draws its waits from it, in any order of the threads, and the run's own draws
    mustn't depend on that.
    """
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


def tries(meter: "Meter") -> str:
    """Return how often it was tried, for the end of a failure; nothing after a single attempt."""
    return f" (after {meter.attempts} attempts)" if meter.attempts > 1 else ""
