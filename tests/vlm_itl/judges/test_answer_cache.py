"""Answers survive kills and other processes, budgets hold, other programs' files are left alone."""

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm_itl.judges.answer_cache import AnswerCache, AnswerKey
from weakseg.common import UserError

ROOT = Path(__file__).parents[3]
KEY = AnswerKey("model", "1.ab", "image", "mask", "single")
values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("cd"), st.dictionaries(st.text(), values))
    )
)
@settings(max_examples=10)
def test_the_first_answer_to_each_question_is_kept(puts):
    with tempfile.TemporaryDirectory() as folder:
        first, cache = {}, AnswerCache(Path(folder) / "new" / "cache.sqlite")
        for model, masks, answer in puts:
            where = KEY._replace(model=model, masks=masks)
            assert cache.put(where, answer, {"calls": 1}) == first.setdefault(where, answer)
        cache.close()
        again = AnswerCache(Path(folder) / "new" / "cache.sqlite")
        assert all(again.get(where) == answer for where, answer in first.items())
        assert again.get(KEY) is None
        again.close()


def test_each_part_of_the_key_counts():
    cache = AnswerCache()
    cache.put(KEY, {"x": 1}, {})
    assert cache.get(KEY) == {"x": 1}
    assert all(cache.get(KEY._replace(**{name: "other"})) is None for name in AnswerKey._fields)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30),
    st.integers(0, 12),
    st.integers(0, 40),
)
@settings(max_examples=50)
def test_a_budget_is_never_exceeded_and_refuses_only_what_does_not_fit(spendings, calls, tokens):
    cache, spent = AnswerCache(), (0, 0)
    for reserved, unused in spendings:
        fits = spent[0] + 1 <= calls and spent[1] + reserved <= tokens
        assert cache.spend("a", reserved, calls, tokens) == fits
        if fits:
            cache.give_back("a", 0, min(unused, reserved))
            spent = spent[0] + 1, spent[1] + reserved - min(unused, reserved)
        assert cache.spent("a") == spent and cache.spent("b") == (0, 0)


def _spend_all(path, granted):
    cache = AnswerCache(path)
    for index in range(20):
        granted.put(cache.spend("shared", 5, 30, None))
        cache.put(KEY._replace(image=f"{index}"), {"by": os.getpid()}, {})
    granted.close()


def test_processes_share_one_file_and_one_budget(tmp_path):
    context = multiprocessing.get_context("fork")
    path, granted = tmp_path / "cache.sqlite", context.Queue()
    workers = [context.Process(target=_spend_all, args=(path, granted)) for _ in range(4)]
    for worker in workers:
        worker.start()
    results = [granted.get(timeout=60) for _ in range(80)]
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert sum(results) == 30 and AnswerCache(path).spent("shared") == (30, 150)
    assert all(AnswerCache(path).get(KEY._replace(image=f"{index}")) for index in range(20))


WRITER = """
import sys
from vlm_itl.judges.answer_cache import AnswerCache, AnswerKey
cache = AnswerCache(sys.argv[1])
for index in range(10**6):
    cache.spend("run", 7)
    cache.put(AnswerKey("m", "p", str(index), "x", "single"), {"index": index}, {})
    print(index, flush=True)
"""


def test_a_kill_loses_nothing_that_was_stored(tmp_path):
    path = tmp_path / "cache.sqlite"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    for _ in range(20):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    stored = 20 + len(process.stdout.read().splitlines())
    process.wait()
    process.stdout.close()
    cache = AnswerCache(path)
    for index in range(stored):
        assert cache.get(AnswerKey("m", "p", str(index), "x", "single")) == {"index": index}
    calls, tokens = cache.spent("run")
    assert calls in (stored, stored + 1, stored + 2) and tokens == 7 * calls


def _text(path):
    path.write_bytes(b"not a database, but somebody's notes\n" * 100)


def _foreign(path):
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE answers (model TEXT)")
    database.close()


def _torn(path):
    cache = AnswerCache(path)
    for index in range(200):
        cache.put(KEY._replace(image=f"{index}"), {"x": "y" * 200}, {})
    cache.close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))


@pytest.mark.parametrize("spoil", [_text, _foreign, _torn])
def test_a_file_that_is_no_cache_is_named_and_left_as_it_is(spoil, tmp_path):
    path = tmp_path / "mine.sqlite"
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"mine\.sqlite.*vlm_options\.cache"):
        AnswerCache(path).get(KEY)
    assert path.read_bytes() == before


def test_a_stored_answer_that_is_no_json_is_named(tmp_path):
    path = tmp_path / "mine.sqlite"
    cache = AnswerCache(path)
    cache.put(KEY, {"x": 1}, {})
    with sqlite3.connect(path) as database:
        database.execute("UPDATE answers SET answer = '{'")
    database.close()
    with pytest.raises(UserError, match=r"mine\.sqlite"):
        cache.get(KEY)


def test_a_missing_file_is_an_error_only_for_replay(tmp_path):
    with pytest.raises(UserError, match=r"none\.sqlite.*nothing to replay"):
        AnswerCache(tmp_path / "none.sqlite", must_exist=True)
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path):
    with pytest.raises(UserError, match="not a usable answer cache"):
        AnswerCache(tmp_path)
