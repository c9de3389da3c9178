"""The judge against a real HTTP server on loopback that misbehaves: costs, answers, secrets."""

import base64
import contextlib
import json
import logging
import random
import re
import socket
import sqlite3
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from vlm_itl.judges.base import Case
from vlm_itl.judges.openai_api import OpenAIJudge
from vlm_itl.judges.openai_options import OpenAIOptions
from vlm_itl.judges.views import data_url
from vlm_itl.settings import build
from weakseg.common import UserError

KEY = "sk-a-very-secret-key-0123456789"
GOOD = {
    "reason": "fine",
    "errors": ["boundary", "boundary"],
    "iou": 0.8,
    "probability": 0.9,
    "decision": "accept",
}
TOKENS = {"prompt_tokens": 100, "completion_tokens": 20}


class Server(ThreadingHTTPServer):
    """Answers the n-th request with `script[n]`, then always with `usual`.

    Each maps a request to a reply: (status, headers, body), where the body is a str, or a value to
    be sent as JSON. Exceptions drop the connection.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests, self.headers, self.script, self.usual = [], [], [], says(GOOD)
        self.times, self.lock, self.now, self.most = [], threading.Lock(), 0, 0
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request, client_address):
        """A client that has hung up is no news."""


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            reply = server.script.pop(0) if server.script else server.usual
            server.requests.append(body)
            server.headers.append(self.headers)
            server.times.append(time.monotonic())
            server.now += 1
            server.most = max(server.most, server.now)
        try:
            status, headers, content = reply(body)
        finally:
            with server.lock:
                server.now -= 1
        data = (content if isinstance(content, str) else json.dumps(content)).encode()
        if "X-Drip" in headers:
            return self.drip(headers["X-Drip"], data)
        self.send_response(status)
        for name, value in (
            {"Content-Type": "application/json", "Content-Length": len(data)} | headers
        ).items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(data)

    def drip(self, part, data):
        """Send a byte now and then, of the head or of the body, until the client has gone."""
        head = b"HTTP/1.1 200 OK\r\nX-Slow: "
        if part == "body":
            head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
            self.wfile.write(head)
        for byte in (head if part == "head" else data) * 1000:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(0.05)

    def log_message(self, *args):
        """Not on the test's output."""


def completion(text, usage=TOKENS, **message):
    content = text if isinstance(text, str) or text is None else json.dumps(text)
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": content} | message,
    }
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }


def says(text, usage=TOKENS, **message):
    return lambda body: (200, {}, completion(text, usage, **message))


def fails(status, words="no", code=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda body: (status, headers, {"error": {"message": words, "code": code}})


def slow(seconds, then=None):
    def reply(body):
        time.sleep(seconds)
        return (then or says(GOOD))(body)

    return reply


def hangs_up(body):
    raise ConnectionError


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


WAIT = 0.05  # seconds before a first retry, where the server names none


@pytest.fixture
def make(server, tmp_path, monkeypatch):
    """Make a judge of the server, with quick retries and a cache in `tmp_path`."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", WAIT, raising=False)

    def judge(**options):
        defaults = {
            "model": "m",
            "base_url": server.url,
            "cache": str(tmp_path / "cache.sqlite"),
            "timeout": 5.0,
            "retries": 2,
            "image_side": 32,
            "views": ["overlay"],
        }
        return OpenAIJudge(0.7, 0, build(OpenAIOptions, defaults | options, "vlm_itl.vlm_options."))

    return judge


def cases(number, start=0):
    rng = np.random.default_rng(start)
    images = rng.integers(0, 256, (number, 32, 32, 3), np.uint8)
    return [
        Case(f"{i}", image, np.uint8(image[..., 0] > 128), ("background", "cat"))
        for i, image in enumerate(images)
    ]


def urls(body):
    return [
        part["image_url"]["url"]
        for part in body["messages"][0]["content"]
        if part["type"] == "image_url"
    ]


def test_a_verdict_comes_from_pictures_words_and_a_strict_schema(server, make):
    (verdict,) = make(views=["overlay", "contour", "crop"], image_format="jpeg").judge(cases(1))
    assert (verdict.decision, verdict.probability, verdict.iou) == ("accept", 0.9, 0.8)
    assert verdict.errors == ("boundary",) and verdict.failure is None
    assert verdict.usage == {"calls": 1, "cached": 0} | TOKENS
    (body,) = server.requests
    assert body["model"] == "m" and body["temperature"] == 0
    assert body["response_format"]["json_schema"]["strict"] and len(urls(body)) == 3
    for url in urls(body):
        assert url.startswith("data:image/jpeg;base64,")
        picture = cv2.imdecode(
            np.frombuffer(base64.b64decode(url.split(",")[1]), np.uint8), cv2.IMREAD_COLOR
        )
        assert max(picture.shape) == 32


def test_pictures_are_those_of_the_case(server, make):
    (case,) = cases(1)
    make(views=["photo"]).judge([case])
    data = base64.b64decode(urls(server.requests[0])[0].split(",")[1])
    assert np.array_equal(
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1], case.image
    )


@pytest.mark.parametrize("structured, kind", [("json_object", "json_object"), ("none", None)])
def test_servers_without_schemas_answer_in_words(server, make, structured, kind):
    server.usual = says(f"Well:\n```json\n{json.dumps(GOOD)}\n```")
    (verdict,) = make(structured=structured, temperature=None, answer_tokens=None).judge(cases(1))
    (body,) = server.requests
    assert verdict.decision == "accept" and body.get("response_format", {}).get("type") == kind
    assert not {"temperature", "max_tokens"} & set(body)


def sends(content):
    return lambda body: (200, {}, content)


BROKEN = [sends("<html>"), sends("[]"), sends({"error": "x"}), sends({"choices": []})]


@pytest.mark.parametrize(
    "trouble", [fails(503), fails(500), fails(408), fails(429), hangs_up, slow(1.5), *BROKEN]
)
def test_what_may_pass_is_retried_and_each_attempt_is_counted(server, make, trouble):
    server.script = [trouble]
    (verdict,) = make(timeout=1.0).judge(cases(1))
    assert verdict.decision == "accept" and verdict.usage["calls"] == len(server.requests) == 2


@pytest.mark.parametrize("trouble", [fails(503), fails(429), hangs_up, slow(0.5)])
def test_what_does_not_pass_is_a_failed_verdict_and_is_asked_again_by_the_next_run(
    server, make, trouble
):
    server.script = [trouble] * 3
    (verdict,) = make(timeout=0.2).judge(cases(1))
    assert (
        verdict.decision == "abstain"
        and "3 attempts" in verdict.failure
        and verdict.usage["calls"] == 3
    )
    (verdict,) = make().judge(cases(1))
    assert verdict.decision == "accept" and len(server.requests) == 4


@pytest.mark.parametrize("after", [lambda: "0.4", lambda: formatdate(time.time() + 2, usegmt=True)])
def test_a_server_says_when_to_come_again(server, make, after):
    server.script = [lambda body: fails(429, Retry_After=after())(body)]
    assert make().judge(cases(1))[0].decision == "accept"
    assert server.times[1] - server.times[0] >= 0.4


def test_a_server_that_wants_a_long_wait_is_given_up(server, make):
    server.script = [fails(429, Retry_After="3600")]
    (verdict,) = make().judge(cases(1))
    assert "Retry-After: 3600" in verdict.failure and len(server.requests) == 1


def test_waits_grow(server, make):
    server.script = [fails(503)] * 2
    make().judge(cases(1))
    waits = np.diff(server.times)
    assert all(waits >= np.multiply([0.75, 1.5], WAIT))  # a quarter of a wait is left to chance


def test_asking_again_has_the_retries_that_are_left(server, make):
    server.script = [fails(503), fails(503), says("{"), fails(503)]
    (verdict,) = make(retries=2).judge(cases(1))
    assert "4 attempts" in verdict.failure and verdict.usage["calls"] == len(server.requests) == 4


@pytest.mark.parametrize("wrong", ['{"iou": ', "", None, {"iou": 0.5}, GOOD | {"probability": 7}])
def test_an_answer_that_does_not_fit_is_asked_for_once_more(server, make, wrong):
    server.script = [says(wrong)]
    (verdict,) = make().judge(cases(1))
    assert (
        verdict.decision == "accept"
        and verdict.usage["prompt_tokens"] == 200
        and len(server.requests) == 2
    )
    assert server.requests[1]["messages"][2]["content"].startswith("That can't be used")
    server.script = [says(wrong)] * 2
    (verdict,) = make().judge(cases(1, start=1))
    assert verdict.failure.startswith("not the answer") and len(server.requests) == 4


def test_a_refusal_is_no_answer_and_not_repeated(server, make):
    server.script = [says(None, refusal="I can't look at this.")]
    (verdict,) = make().judge(cases(1))
    assert verdict.failure == "refused: I can't look at this." and len(server.requests) == 1


@pytest.mark.parametrize(
    "status, word", [(401, "OPENAI_API_KEY"), (403, "OPENAI_API_KEY"), (404, "model 'm'")]
)
def test_the_users_mistakes_stop_the_run_at_once(server, make, status, word):
    server.usual = fails(status, f"wrong key {KEY}")
    with pytest.raises(UserError, match=word) as caught:
        make(concurrency=2).judge(cases(30))
    assert len(server.requests) <= 4 and KEY not in repr(caught.value)


def test_an_account_without_credit_stops_the_run(server, make):
    server.usual = fails(429, code="insufficient_quota")
    with pytest.raises(UserError, match="credit"):
        make(concurrency=1).judge(cases(3))
    assert len(server.requests) == 1


def test_a_bad_request_is_one_failure_unless_all_are_bad(server, make):
    server.script = [fails(400, "image too odd")]
    verdicts = make(concurrency=1).judge(cases(3))
    assert [bool(v.failure) for v in verdicts] == [
        True,
        False,
        False,
    ] and "image too odd" in verdicts[0].failure
    server.usual = fails(400, "unsupported parameter")
    with pytest.raises(UserError, match=r"all 3 requests.*unsupported parameter"):
        make().judge(cases(3, start=1))


def test_a_refused_connection_is_a_failure_that_costs_nothing(make):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as closed:
        port = closed.getsockname()[1]
    judge = make(base_url=f"http://127.0.0.1:{port}/v1", call_budget=2, token_budget=10**6)
    verdicts = judge.judge(cases(3))
    assert all("attempts" in v.failure and v.usage["calls"] == 0 for v in verdicts)
    assert judge.cache.spent("default") == (0, 0)


def by_picture(body):
    """An answer and a delay that depend on the picture alone."""
    rng = random.Random(urls(body)[0])
    time.sleep(rng.random() * 0.02)
    return says(GOOD | {"iou": round(rng.random(), 3)})(body)


def test_order_and_concurrency_change_no_answer(server, make):
    server.usual = by_picture
    some = cases(12)
    one = make(cache=None, concurrency=1).judge(some)
    many = make(cache=None, concurrency=6).judge(some[::-1])[::-1]
    assert one == many and len({v.iou for v in one}) > 6


def test_no_more_requests_at_a_time_than_told(server, make):
    together = threading.Barrier(3)

    def reply(body):
        together.wait(30)  # breaks unless three requests are there at once
        return slow(0.02)(body)

    server.usual = reply
    verdicts = make(concurrency=3, timeout=40.0, retries=0).judge(cases(12))
    assert server.most == 3 and all(verdict.failure is None for verdict in verdicts)


def test_the_call_budget_holds_over_retries_runs_and_threads(server, make):
    server.usual = lambda body: (fails(503) if random.random() < 0.5 else says(GOOD))(body)
    make(call_budget=15, concurrency=4, retries=3).judge(cases(10))
    verdicts = make(call_budget=15, concurrency=4, retries=3).judge(cases(20, start=1))
    assert len(server.requests) == 15
    assert "budget" in verdicts[-1].failure and verdicts[-1].usage["calls"] == 0
    server.usual = says(GOOD)
    assert make(call_budget=15, budget_name="next").judge(cases(1, start=2))[0].failure is None


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_budget_is_spent_in_the_order_of_the_cases(server, make, concurrency):
    server.usual = slow(0.01)
    verdicts = make(call_budget=5, concurrency=concurrency).judge(cases(8))
    assert [v.failure is None for v in verdicts] == [True] * 5 + [False] * 3 and len(
        server.requests
    ) == 5


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_quick_case_never_takes_what_a_slow_earlier_one_may_need(server, make, concurrency):
    slow_one, quick_one, _ = some = cases(3)
    troubles = {
        data_url(case.image): [fails(503), fails(503), says("{"), says(GOOD)]
        for case in (slow_one, quick_one)
    }

    def reply(body):
        (url,) = urls(body)
        time.sleep(0.1 if url == data_url(slow_one.image) else 0)
        return troubles[url].pop(0)(body)

    server.usual = reply
    judge = make(cache=None, call_budget=7, concurrency=concurrency, views=["photo"])
    verdicts = judge.judge(some)
    assert verdicts[0].failure is None and [v.usage["calls"] for v in verdicts] == [4, 3, 0]
    assert "budget" in verdicts[1].failure and "budget" in verdicts[2].failure
    # A request that was refused has no tokens: two replies to the first case and one to the second
    # have.
    assert judge.cache.spent("default") == (7, 360)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_the_token_budget_stops_before_it_is_exceeded(server, make, concurrency):
    judge = make(token_budget=1000, tokens_per_call=150, concurrency=concurrency)
    verdicts = judge.judge(cases(12))
    # A request may cost 150 and costs 120: the last one starts with at least 150 left.
    assert [v.failure is None for v in verdicts] == [True] * 8 + [False] * 4
    assert judge.cache.spent("default") == (8, 960)


def test_tokens_that_nobody_counted_are_counted_in_full(server, make):
    server.script = [slow(1.5), says(GOOD, usage=None)]
    judge = make(timeout=1.0, tokens_per_call=300, token_budget=10**4)
    assert judge.judge(cases(1))[0].decision == "accept" and judge.cache.spent("default") == (
        2,
        600,
    )


def test_a_token_budget_that_cannot_be_kept_is_the_users_mistake(server, make):
    judge = make(token_budget=10**4, tokens_per_call=50)
    with pytest.raises(UserError, match="tokens_per_call"):
        judge.judge(cases(1))
    assert judge.judge(cases(1))[0].usage["cached"] == 1  # what was paid for is kept


def test_answers_are_asked_for_once_and_replayed_without_a_network(server, make, monkeypatch):
    some = cases(5)
    first = make().judge([*some, some[0]])
    assert len(server.requests) == 5 and first[5].usage == dict.fromkeys(first[0].usage, 0) | {
        "cached": 1
    }
    again = make().judge(some)
    assert len(server.requests) == 5 and all(
        v.usage["calls"] == 0 and v.usage["cached"] == 1 for v in again
    )

    def no_network(*args, **kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", no_network)
    monkeypatch.delenv("OPENAI_API_KEY")
    replayed = make(replay=True).judge([*some, *cases(1, start=9)])
    assert replayed[:5] == again and replayed[5].failure == "not in the cache"


@pytest.mark.parametrize(
    "answer", [[], {}, "yes", 3, GOOD | {"probability": 2}, GOOD | {"iou": "x"}]
)
def test_an_answer_that_somebody_else_wrote_is_one_line(make, tmp_path, answer):
    make().judge(cases(1))
    with sqlite3.connect(tmp_path / "cache.sqlite") as database:
        database.execute("UPDATE answers SET answer = ?", (json.dumps(answer),))
    with pytest.raises(UserError, match=r"cache\.sqlite: holds an answer that is none") as caught:
        make().judge(cases(1))
    assert "\n" not in str(caught.value)


def test_replay_needs_a_cache(make, tmp_path):
    with pytest.raises(UserError, match="nothing to replay"):
        make(replay=True, cache=str(tmp_path / "other.sqlite"))
    with pytest.raises(UserError, match="replay"):
        make(replay=True, cache=None)


def prefers_left(body):
    return says({"better": "A", "probability": 0.9})(body)


def test_a_taste_for_a_position_averages_out(server, make):
    server.usual = prefers_left
    some = cases(30)
    pairs = [(c, Case(c.id, c.image, 1 - c.mask, c.class_names)) for c in some]
    preferences = make().compare(pairs)
    assert 5 < sum(p.better for p in preferences) < 25
    assert all(p.probability == pytest.approx(0.9 if p.better == 0 else 0.1) for p in preferences)
    mirrored = make().compare([pair[::-1] for pair in pairs])
    assert [p.better for p in mirrored] == [1 - p.better for p in preferences] and len(
        server.requests
    ) == 30


def test_ties_equal_masks_and_failures_of_pairs(server, make):
    (case,) = cases(1)
    other = Case("x", case.image, 1 - case.mask, case.class_names)
    server.script = [says({"better": "tie", "probability": 0.6}), *[fails(500)] * 3]
    judge = make(cache=None, concurrency=1)
    tie, same = judge.compare([(case, other), (case, case)])
    assert (tie.better, tie.probability, tie.failure) == (None, 0.5, None)
    assert (same.better, same.failure, same.usage["calls"]) == (None, None, 0)
    (failed,) = make(cache=None).compare([(case, other)])
    assert failed.better is None and "attempts" in failed.failure


def test_the_key_reaches_the_server_and_nothing_else(server, make, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    server.script = [
        fails(400, f"bad {KEY}"),
        fails(503, KEY),
        says(GOOD | {"reason": KEY}),
        says(None, refusal=KEY),
    ]
    verdicts = make(concurrency=1).judge(cases(4))
    assert all(headers["Authorization"] == f"Bearer {KEY}" for headers in server.headers)
    assert [bool(v.failure) for v in verdicts] == [True, False, True, False]
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"***" in files and caplog.records
    for place in (files.decode("latin-1"), caplog.text, repr(verdicts), repr(capfd.readouterr())):
        assert KEY not in place


def test_a_key_that_is_any_number_ruins_no_answer(server, make, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "1")
    server.script = [says(GOOD | {"probability": 1.0, "iou": 0.91})]
    (verdict,) = make().judge(cases(1))
    assert (verdict.probability, verdict.iou, verdict.usage["calls"]) == (1.0, 0.91, 1)


def test_a_key_is_masked_as_a_word_alone(server, make, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "image")
    server.usual = fails(400, "your image: images, image_url")
    (verdict,) = make().judge(cases(1))
    assert "your ***: images, image_url" in verdict.failure


@pytest.mark.parametrize("key", ["sch\u00fcssel", "a\nb"])
def test_a_key_that_no_header_takes_is_refused_without_being_shown(make, monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UserError, match="OPENAI_API_KEY") as caught:
        make()
    assert key not in str(caught.value)


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_server_that_drips_is_left_when_the_time_is_over(server, make, part):
    server.usual = lambda body: (200, {"X-Drip": part}, " " * 100)
    started = time.monotonic()
    (verdict,) = make(timeout=0.4, retries=1).judge(cases(1))
    assert time.monotonic() - started < 4
    assert "timed out" in verdict.failure and "timeout" in verdict.failure.partition("[")[2]
    assert "2 attempts" in verdict.failure and verdict.usage["calls"] == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_photographs_go_to_no_other_server(server, make, status):
    other = Server()
    thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        server.usual = lambda body: (status, {"Location": other.url + "/chat/completions"}, "")
        with pytest.raises(UserError, match=f"HTTP {status}.*base_url") as caught:
            make().judge(cases(2))
        assert other.url in str(caught.value)
        assert not other.requests and len(server.requests) <= 2
    finally:
        other.shutdown()
        thread.join()
        other.server_close()


@pytest.mark.parametrize(
    "usage",
    [
        [],
        "many",
        {"prompt_tokens": "many", "completion_tokens": None},
        {"prompt_tokens": -5, "completion_tokens": 1.5},
        {"prompt_tokens": 10**30, "completion_tokens": True},
        {"prompt_tokens": {"deep": [1]}},
    ],
)
def test_an_odd_usage_is_none_and_the_answer_stays(server, make, usage):
    server.usual = says(GOOD, usage=usage)
    judge = make(tokens_per_call=300)
    (verdict,) = judge.judge(cases(1))
    assert verdict.decision == "accept" and verdict.usage["prompt_tokens"] == 0
    assert judge.cache.spent("default") == (1, 300)


NESTED = ["[" * 10**5, '{"a":' * 10**5, '{"choices":' + "[" * 10**5 + "]" * 10**5 + "}"]


@pytest.mark.parametrize("body", [*NESTED, "x" * 2**23])
@pytest.mark.parametrize("status", [200, 400])
def test_bodies_without_end_are_a_failed_verdict(server, make, body, status):
    server.usual = lambda _: (status, {}, body)
    (verdict,) = make().judge(cases(1))
    assert verdict.decision == "abstain" and 0 < len(verdict.failure) < 600


@pytest.mark.parametrize("text", NESTED)
def test_words_without_end_are_a_failed_verdict(server, make, text):
    server.usual = says(text)
    (verdict,) = make().judge(cases(1))
    assert verdict.failure.startswith("not the answer") and len(server.requests) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Encoding": "gzip"},
        {"Content-Type": "application/json; charset=nonsense"},
        {"Content-Type": "text/html"},
        {"Content-Length": 10**7},
    ],
)
def test_odd_heads_end_in_a_verdict(server, make, headers):
    server.usual = lambda body: (200, headers, completion(GOOD))
    (verdict,) = make(timeout=1.0, retries=0).judge(cases(1))
    assert verdict.decision == "accept" or verdict.failure


RED = "\x1b[31mred\x1b[0m \x1b]0;title\x07\x9b2J\u202e\x00end\nline"


@pytest.mark.parametrize(
    "reply", [fails(400, RED), says(GOOD | {"reason": RED}), says(None, refusal=RED)]
)
def test_nothing_that_a_server_says_steers_a_terminal(server, make, tmp_path, reply):
    server.usual = reply
    (verdict,) = make().judge(cases(1))
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"\\u001b" not in stored and b"\\u009b" not in stored
    assert (verdict.failure or "").isprintable() and "[31m" not in (verdict.failure or "")
    assert b"red" in stored or "red" in verdict.failure


def cut(text):
    reply = completion(text)
    reply["choices"][0]["finish_reason"] = "length"
    return lambda body: (200, {}, reply)


@pytest.mark.parametrize("text", ['{"reason": "a long', "", None])
def test_an_answer_cut_by_its_limit_says_so_and_is_not_asked_for_again(server, make, text):
    server.usual = cut(text)
    (verdict,) = make(answer_tokens=20).judge(cases(1))
    assert "cut off" in verdict.failure and "answer_tokens, 20" in verdict.failure
    assert len(server.requests) == 1


def test_an_answer_that_was_whole_before_the_limit_counts(server, make):
    server.usual = cut(json.dumps(GOOD) + " And further words with")
    assert make().judge(cases(1))[0].decision == "accept"


def test_words_may_come_as_a_list_of_parts(server, make):
    text = json.dumps(GOOD)
    parts = [{"type": "text", "text": text[:9]}, text[9:20], {"type": "text", "text": text[20:]}]
    reply = completion("")
    reply["choices"][0]["message"]["content"] = [{"type": "thinking", "thinking": []}, *parts]
    server.usual = lambda body: (200, {}, reply)
    assert make().judge(cases(1))[0].decision == "accept"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_limit_has_the_name_that_the_server_wants(server, make, name):
    other = ({"max_tokens", "max_completion_tokens"} - {name}).pop()

    def reply(body):
        if other in body:
            words = f"Unsupported parameter: '{other}'. Use '{name}' instead."
            return fails(400, words)(body)
        return says(GOOD)(body)

    server.usual = reply
    assert make(limit_name=name, answer_tokens=7).judge(cases(1))[0].decision == "accept"
    assert server.requests[0][name] == 7
    (failed,) = make(limit_name=other).judge(cases(1, start=1))
    assert "limit_name" in failed.failure


def test_the_hosted_service_gets_the_newer_name(make):
    assert make()._limit_name == "max_tokens"
    assert make(base_url=None)._limit_name == "max_completion_tokens"


@pytest.mark.parametrize(
    "reply, option",
    [
        (fails(400, "response_format json_schema is not supported"), "structured"),
        (fails(400, "temperature does not support 0"), "temperature"),
        (fails(400, "maximum context length is 4096 tokens"), "image_side"),
        (fails(413, "request entity too large"), "image_side"),
        (fails(400, "this model takes no image input"), "image_format"),
        (fails(429, "slow down"), "concurrency"),
        (hangs_up, "base_url"),
        (slow(0.6), "timeout"),
    ],
)
def test_a_failure_says_which_option_helps(server, make, reply, option):
    server.usual = reply
    (verdict,) = make(retries=0, timeout=0.3).judge(cases(1))
    assert option in verdict.failure.partition("[vlm_itl.vlm_options: ")[2]


def test_another_server_is_asked_anew(server, make):
    some = cases(2)
    first = make().judge(some)
    assert make(base_url=server.url + "/").judge(some)[0].usage["cached"] == 1
    other = make(base_url=server.url.replace("127.0.0.1", "localhost")).judge(some)
    assert [v.usage["calls"] for v in (*first, *other)] == [1] * 4


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x/v1", "http://", "http://x:y/v1", "/v1"])
def test_what_is_no_address_is_refused(make, url):
    with pytest.raises(UserError, match=r"vlm_options\.base_url"):
        make(base_url=url)


def test_a_password_in_the_address_is_shown_nowhere(server, make):
    server.usual = fails(404)
    with pytest.raises(UserError) as caught:
        make(base_url=server.url.replace("//", "//me:secret@")).judge(cases(1))
    assert "secret" not in str(caught.value)


def test_a_server_that_wants_no_key_gets_none(server, make, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    assert make().judge(cases(1))[0].decision == "accept"
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        make(base_url=None)


def test_asking_draws_no_global_randomness(server, make):
    server.script = [fails(503)] * 2
    before = random.getstate(), np.random.get_state()[1].tolist()
    make().judge(cases(2))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


@pytest.mark.parametrize(
    "options, word",
    [
        ({"model": ""}, "model"),
        ({"structured": "xml"}, "structured"),
        ({"concurrency": 0}, "concurrency"),
        ({"views": ["x"]}, "views"),
        ({"timeout": 0.0}, "timeout"),
        ({"modle": "m"}, "model"),
        ({"max_wait": 60.0}, "max_wait"),
    ],
)
def test_wrong_options_are_named(make, options, word):
    with pytest.raises(UserError, match=re.escape(f"vlm_itl.vlm_options.{word}")):
        make(**options)
