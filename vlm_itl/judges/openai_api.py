"""A judge behind any OpenAI-compatible server: vLLM, Ollama, llama.cpp, or a hosted one.

In the configuration:

    vlm_itl:
      vlm_handler: openai
      vlm_options: {base_url: "http://localhost:8000/v1", model: name-of-the-model}

The key is read from the environment variable that `api_key_env` names, and is never logged, stored
or shown.
"""

import json
import math
import os
import random
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from vlm_itl.judges.answer_cache import USAGE
from vlm_itl.judges.cached_judge import AskOptions, CachedJudge, Outcome
from vlm_itl.judges.prompts import data_url, schema
from vlm_itl.settings import key
from weakseg.common import UserError

NO_KEY = "none"  # what a server that wants no key gets, as the client must send one
REFUSED_REQUEST = (400, 422)
ADVICE = {
    401: "the server doesn't take the key; set the environment variable {key_env} (vlm_itl.vlm_options.api_key_env)",
    403: "the key in the environment variable {key_env} isn't allowed to use model {model!r}",
    404: "no model {model!r} there; check vlm_itl.vlm_options.model, and that base_url ends as the server wants (/v1)",
}
STRUCTURED = {
    "json_schema": lambda model: {
        "type": "json_schema",
        "json_schema": {"name": model.__name__, "strict": True, "schema": schema(model)},
    },
    "json_object": lambda model: {"type": "json_object"},
    "none": lambda model: None,
}


@dataclass(frozen=True)
class Options(AskOptions):
    """The options of this judge, besides those of every judge that asks a model."""

    base_url: str | None = key(
        None, "the server, http://host:port/v1; null: the client's default, a hosted service"
    )
    api_key_env: str = key("OPENAI_API_KEY", "the environment variable that holds the key")
    budget_name: str = key(
        "default", "spending is counted under this name in the cache, over runs and processes"
    )
    call_budget: int | None = key(
        1000, "at most so many requests, retries included; null: no limit", low=0
    )
    token_budget: int | None = key(
        None, "at most so many tokens, in prompts and answers; null: no limit", low=0
    )
    tokens_per_call: int = key(
        8192,
        "upper bound of one request's tokens; counted in full where the server doesn't tell",
        low=1,
    )
    answer_tokens: int | None = key(512, "limit of one answer; null: the server's", low=1)
    temperature: float | None = key(0.0, "null: the server's, as some models take no other", low=0)
    structured: str = key(
        "json_schema", "strict; the others are for servers without it", choices=list(STRUCTURED)
    )
    retries: int = key(
        4, "more requests after 408, 409, 429, 5xx, a timeout or a lost connection", low=0
    )
    backoff: float = key(
        0.5, "seconds before the first retry, doubled each time; Retry-After comes first", low=0
    )
    max_wait: float = key(
        60.0, "seconds of the longest wait; a server that asks for more is given up", low=0
    )
    timeout: float = key(60.0, "seconds for one request", above=0)
    concurrency: int = key(4, "requests at a time", low=1)


class _Unanswered(Exception):
    """Why a question gets no answer; `status` is that of a refused request."""

    def __init__(self, reason, status=None):
        super().__init__(reason)
        self.status = status


class _Garbage(Exception):
    """A reply that isn't a chat completion."""


class OpenAIJudge(CachedJudge):
    """Asks a server, several questions at a time; answers don't depend on the order in which they
    arrive.

    A question that can't be answered is a failed `Verdict`, and is asked again by the next run. A
    wrong key or an unknown model, and a server that refuses all requests of a list as malformed,
    are `UserError`s at once.
    """

    Options = Options

    def __init__(self, iou_bar, seed, options):
        super().__init__(iou_bar, seed, options, variant=f"temperature {options.temperature}")
        self._key_value = os.environ.get(options.api_key_env, "").strip()
        # Not the global generator: threads would draw from it in any order and change the rest of
        # the run.
        self._jitter = random.Random()
        self._stopping = threading.Event()
        self._client = None if options.replay else self._connect()

    def _connect(self):
        """Return the client. Retries are ours: the client's own ones pass by the budget and draw
        global randomness.
        """
        try:
            from openai import OpenAI
        except ImportError as error:
            raise UserError("the judge `openai` needs the package: pip install openai") from error
        o = self.options
        if not self._key_value and o.base_url is None and "OPENAI_BASE_URL" not in os.environ:
            raise UserError(
                f"set the environment variable {o.api_key_env}, or vlm_itl.vlm_options.base_url"
            )
        return OpenAI(
            api_key=self._key_value or NO_KEY, base_url=o.base_url, timeout=o.timeout, max_retries=0
        )

    # Many questions
    # -------------------------------------------------------------------------------------------------

    def _ask_all(self, questions):
        """Ask at most `concurrency` questions at a time; return their outcomes in order."""
        self._stopping.clear()
        futures, running = [], {}
        with ThreadPoolExecutor(self.options.concurrency) as pool:
            try:
                for question in questions:
                    allowance = self._allowance_when_free(running)
                    futures.append(pool.submit(self._answer, question, allowance))
                    running[futures[-1]] = allowance
                while running:
                    self._await_one(running)
            finally:
                self._stopping.set()
        outcomes = [future.result() for future in futures]
        if len(outcomes) > 1 and all(outcome.status in REFUSED_REQUEST for outcome in outcomes):
            raise UserError(
                f"{self._server}: refused all {len(outcomes)} requests: {outcomes[0].failure}"
            )
        return outcomes

    def _allowance_when_free(self, running):
        """Wait for a free place; return how many requests the next question may cost.

        Where the budget doesn't cover the worst case of this question and of all that are running,
        wait until they have ended: so it depends on what earlier questions cost, not on which of
        them is ready first.
        """
        worst = self.options.retries + 2
        while running:
            if len(running) < self.options.concurrency:
                allowance = self._affordable(sum(running.values()), worst)
                if allowance == worst:
                    return worst
            self._await_one(running)
        return self._affordable(0, worst)

    def _affordable(self, promised, worst):
        o = self.options
        calls, tokens = self.cache.spent(o.budget_name)
        left = [worst]
        if o.call_budget is not None:
            left.append(o.call_budget - calls - promised)
        if o.token_budget is not None:
            left.append((o.token_budget - tokens) // o.tokens_per_call - promised)
        return max(0, min(left))

    def _await_one(self, running):
        """Wait until a question is answered; a user's mistake that it met is raised."""
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            del running[future]
            future.result()

    # One question
    # ---------------------------------------------------------------------------------------------------

    def _ask(self, question, allowance):
        """Ask one question with at most `allowance` requests; an answer that doesn't fit is asked
        for once more.
        """
        usage = dict.fromkeys(USAGE, 0)
        content = [{"type": "text", "text": question.text}]
        for title, image in question.images():
            url = data_url(image, self.look.format)
            content += [
                {"type": "text", "text": title},
                {"type": "image_url", "image_url": {"url": url}},
            ]
        messages = [{"role": "user", "content": content}]
        try:
            text = self._reply(question, messages, allowance, usage)
            try:
                return Outcome(question.read(text), usage)
            except ValueError as problem:
                again = f"That can't be used ({problem}). Answer again, with nothing but the JSON object described."
                messages += [
                    {"role": "assistant", "content": text or "-"},
                    {"role": "user", "content": again},
                ]
            return Outcome(question.read(self._reply(question, messages, allowance, usage)), usage)
        except _Unanswered as reason:
            return Outcome(None, usage, str(reason), reason.status)
        except ValueError as problem:
            return Outcome(None, usage, f"not the answer that was asked for: {problem}")

    def _reply(self, question, messages, allowance, usage):
        """Return the text of the model's reply; retry what may pass."""
        import openai

        o = self.options
        request = {
            "model": o.model,
            "messages": messages,
            "max_tokens": o.answer_tokens,
            "temperature": o.temperature,
            "response_format": STRUCTURED[o.structured](question.answer_model),
        }
        request = {key: value for key, value in request.items() if value is not None}
        for attempt in range(o.retries + 1):
            wanted = None
            try:
                return self._text(self._request(request, allowance, usage))
            except openai.APIStatusError as error:
                problem, wanted = self._status(error), _retry_after(error.response.headers)
            except (openai.APIConnectionError, _Garbage) as error:
                problem = str(error)
            delay = (
                wanted
                if wanted is not None
                else o.backoff * 2**attempt * self._jitter.uniform(0.75, 1)
            )
            if wanted is not None and wanted > o.max_wait:
                raise _Unanswered(f"{problem} The server asks to wait for {wanted:.0f} s.")
            if attempt < o.retries and self._stopping.wait(min(delay, o.max_wait)):
                raise _Unanswered("stopped")
        raise _Unanswered(f"{problem} (after {o.retries + 1} attempts)")

    def _request(self, request, allowance, usage):
        """Send one request, if the budget covers it; return the body of the reply."""
        import openai

        o = self.options
        covered = usage["calls"] < allowance
        if not covered or not self.cache.spend(
            o.budget_name, o.tokens_per_call, o.call_budget, o.token_budget
        ):
            limits = f"call_budget {o.call_budget}, token_budget {o.token_budget}"
            raise _Unanswered(f"budget: {o.budget_name!r} is spent (vlm_itl.vlm_options: {limits})")
        calls, tokens = 1, o.tokens_per_call
        try:
            body = self._client.chat.completions.with_raw_response.create(**request).text
            body = _parse(body.replace(self._key_value, "***") if self._key_value else body)
            counts = body.get("usage") or {}
            prompt, answer = (
                int(counts.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")
            )
            usage["prompt_tokens"] += prompt
            usage["completion_tokens"] += answer
            tokens = prompt + answer or tokens
        except openai.APIStatusError:
            tokens = 0
            raise
        except openai.APIConnectionError as error:
            # By name, as the client's HTTP library has changed. A request that was never sent costs
            # nothing.
            if type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout"):
                calls = tokens = 0
            raise
        finally:
            usage["calls"] += calls
            self.cache.give_back(o.budget_name, 1 - calls, o.tokens_per_call - tokens)
        return body

    def _answer(self, question, *how):
        """Ask and store; a token budget that can't be kept, as its unit is wrong, is a
        `UserError`.
        """
        outcome = super()._answer(question, *how)
        o, used = self.options, outcome.usage
        tokens = used["prompt_tokens"] + used["completion_tokens"]
        if o.token_budget is not None and tokens > o.tokens_per_call * used["calls"]:
            raise UserError(
                f"{self._server}: {used['calls']} request(s) cost {tokens} tokens: raise "
                f"vlm_itl.vlm_options.tokens_per_call, now {o.tokens_per_call}, so that token_budget can be kept"
            )
        return outcome

    def _text(self, body):
        """Return the text of a chat completion; a refusal is no answer."""
        try:
            (choice, *_) = body["choices"]
            message = choice["message"]
            if message.get("refusal") or choice.get("finish_reason") == "content_filter":
                raise _Unanswered(f"refused: {message.get('refusal') or 'content filter'}"[:300])
            return str(message.get("content") or "")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _Garbage("the reply isn't a chat completion") from error

    def _status(self, error):
        """Return a line on a status that is worth a retry; raise `UserError` or `_Unanswered` for
        all others.
        """
        status, o = error.status_code, self.options
        if status in ADVICE:
            advice = ADVICE[status].format(key_env=o.api_key_env, model=o.model)
            # Neither the server's words, which may hold the key, nor the error, which holds the
            # request.
            raise UserError(f"{self._server}: HTTP {status}: {advice}") from None
        if error.code == "insufficient_quota":
            raise UserError(
                f"{self._server}: HTTP {status}: the account has no credit left"
            ) from None
        words = str(error.message).replace(self._key_value or "\0", "***")
        problem = f"HTTP {status}: {' '.join(words.split())[:300]}"
        if status in (408, 409, 429) or status >= 500:
            return problem
        raise _Unanswered(problem, status) from None

    @property
    def _server(self):
        return self.options.base_url or "the server"


def _parse(text):
    try:
        body = json.loads(text)
    except ValueError as error:
        raise _Garbage("the reply isn't JSON") from error
    if not isinstance(body, dict):
        raise _Garbage("the reply isn't a JSON object")
    return body


def _retry_after(headers):
    """Return the seconds that a server asks to wait, by a number or a date (RFC 9110, 10.2.3); None
    if it doesn't.
    """
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
