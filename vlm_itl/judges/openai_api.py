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

from vlm_itl.judges.cached_judge import CachedJudge, Outcome
from vlm_itl.judges.openai_messages import Counts, chat_request, message_parts, read_completion
from vlm_itl.judges.openai_options import HOSTED, OpenAIOptions
from vlm_itl.judges.prompts import Question
from vlm_itl.judges.server_words import (
    ADVICE,
    CUT_OFF,
    MOST_LETTERS,
    plain_words,
    server_of,
    with_hint,
)
from weakseg.common import UserError

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAI

    from vlm_itl.judges.metered_client import Budget, Meter, MeteredClient

NO_KEY = "none"  # what a server that wants no key gets, as the client must send one
REFUSED_REQUEST = (400, 413, 422)  # HTTP statuses of a request that the server can't use


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
        url = options.base_url or os.environ.get("OPENAI_BASE_URL") or HOSTED
        self._server = server_of(url, "vlm_itl.vlm_options.base_url")
        self._limit_name = options.name_of_limit(self._server)
        variant = f"temperature {options.temperature} at {self._server}"
        super().__init__(iou_bar, seed, options, variant=variant)
        self._api_key = os.environ.get(options.api_key_env, "").strip()
        self._stopping = threading.Event()
        if not options.replay:
            self._http, self._client, self._budget = self._connect(url)

    def _connect(self, url: str) -> tuple["MeteredClient", "OpenAI", "Budget"]:
        try:
            from openai import OpenAI

            from vlm_itl.judges.metered_client import Budget, MeteredClient
        except ImportError as error:
            raise UserError("the judge `openai` needs the package: pip install openai") from error
        o = self.options
        if not self._api_key and self._server == HOSTED:
            raise UserError(
                f"set the environment variable {o.api_key_env}, or vlm_itl.vlm_options.base_url"
            )
        if not (self._api_key.isascii() and self._api_key.isprintable()):
            raise UserError(
                f"the environment variable {o.api_key_env} holds no key: it has letters that none "
                "has; set it again"
            )
        http = MeteredClient(o.timeout)
        key = self._api_key or NO_KEY
        client = OpenAI(api_key=key, base_url=url, timeout=o.timeout, http_client=http)
        budget = Budget(o.budget_name, o.call_budget, o.token_budget, o.tokens_per_call)
        return http, client, budget

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
                self._http.stop()
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
            return self._read(question, text)
        except ValueError as problem:
            words = (
                f"That can't be used ({problem}). Answer again, with nothing but the JSON object "
                "described."
            )
        messages.append({"role": "assistant", "content": text or "-"})
        messages.append({"role": "user", "content": words})
        try:
            return self._read(question, self._reply(question, messages, meter))
        except ValueError as problem:
            words = f"not the answer that was asked for: {problem}"
            raise Unanswered(self._plain(words)) from problem

    def _read(self, question: Question, text: str) -> dict[str, Any]:
        """Return the answer in a model's words, whose reason is fit to be kept and shown."""
        answer = question.read(text)
        if "reason" in answer:
            answer["reason"] = self._plain(answer["reason"], None)
        return answer

    def _reply(self, question: Question, messages: list[dict[str, Any]], meter: "Meter") -> str:
        """Return the text of the model's reply; ValueError where it is no chat completion."""
        import openai

        o = self.options
        request = chat_request(
            question,
            messages,
            o.model,
            o.structured,
            self._limit_name,
            o.answer_tokens,
            o.temperature,
        )
        # Asking again has the retries that are left: a question costs at most `retries` + 2.
        retries_left = o.retries - max(0, meter.attempts - 1)
        client = self._client.with_options(max_retries=retries_left)
        try:
            body = client.chat.completions.with_raw_response.create(**request).text
        except openai.APIStatusError as error:
            raise self._refusal(error, meter) from None  # the error holds the key
        except openai.OpenAIError as error:  # no connection, a timeout, or `NotSent`
            raise Unanswered(with_hint(self._plain(error)) + tries(meter)) from None
        return self._text(question, body, meter)

    def _text(self, question: Question, body: str, meter: "Meter") -> str:
        """Return the model's words in a chat completion, and count its tokens.

        ValueError where it is none. A refusal is no answer, nor is one that was cut off before its
        end: asked again, it would be cut off again.
        """
        completion = read_completion(body)
        counts, choice = completion.usage or Counts(), completion.choices[0]
        meter.answered(counts.prompt_tokens or 0, counts.completion_tokens or 0)
        if choice.message.refusal or choice.finish_reason == "content_filter":
            words = self._plain(choice.message.refusal or "content filter")
            raise Unanswered(f"refused: {words}")
        text = choice.message.content or ""
        if choice.finish_reason == "length" and not question.is_answered_by(text):
            raise Unanswered(
                f"{CUT_OFF} [vlm_itl.vlm_options: raise answer_tokens, "
                f"{self.options.answer_tokens}]"
            )
        return text

    def _refusal(self, error: "APIStatusError", meter: "Meter") -> Exception:
        """Return what to raise for an HTTP status: a `UserError` where the user can mend it.

        Such an error tells nothing in the server's words, which may hold the key.
        """
        status, o = error.status_code, self.options
        headers = error.response.headers
        if status in ADVICE:
            advice = ADVICE[status].format(
                key_env=o.api_key_env,
                model=o.model,
                location=self._plain(headers.get("location", "another place")),
            )
            return UserError(f"{self._server}: HTTP {status}: {advice}")
        if error.code == "insufficient_quota":
            return UserError(f"{self._server}: HTTP {status}: the account has no credit left")
        words = f"HTTP {status}: {self._plain(error.message)}"
        if "retry-after" in headers:
            words += f" Retry-After: {self._plain(headers['retry-after'], 50)}."
        return Unanswered(with_hint(words) + tries(meter), status)

    def _plain(self, words: object, most: int | None = MOST_LETTERS) -> str:
        """Return a server's words as `plain_words` does, without this judge's key."""
        return plain_words(words, self._api_key, most)


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
