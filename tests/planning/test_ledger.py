"""The ledger keeps what it was given through kills and restarts, and lets one process write."""

import hashlib
import json
import random
import signal
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.common import UserError
from weakseg.planning.ledger import Ledger, digest, find_line, read_ledger, settings_hash

LAWS = settings(max_examples=10)
NAMES = st.text(max_size=4).filter(lambda name: name not in ("round", "stage", "seal"))
ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | NAMES
)
PLAIN = ATOMS | st.lists(ATOMS, max_size=2) | st.dictionaries(NAMES, ATOMS, max_size=2)
STAGES = [
    (-1, "start", {"seed": 0}),
    (0, "buy", {"bought": {"Köter 1": [1.5, None]}}),
    (0, "train", {"weights": []}),
]


def write(path, stages=STAGES):
    """Write a ledger -> its bytes."""
    ledger = Ledger(path)
    for number, stage, content in stages:
        ledger.once(number, stage, lambda content=content: content)
    ledger.close()
    return path.read_bytes()


@LAWS
@given(contents=st.lists(st.dictionaries(NAMES, PLAIN, max_size=2), max_size=3))
def test_a_reopened_ledger_has_the_same_lines_and_the_same_bytes(tmp_path_factory, contents):
    path = tmp_path_factory.mktemp("run") / "ledger.jsonl"
    whole = write(path, [(number, "buy", content) for number, content in enumerate(contents)])
    ledger = Ledger(path)
    assert ledger.lines == [
        {"round": n, "stage": "buy", **content} for n, content in enumerate(contents)
    ]
    assert [ledger.find(n, "buy") for n in range(len(contents))] == ledger.lines
    assert ledger.find(len(contents), "buy") is None and find_line(ledger.lines, 0, "train") is None
    ledger.close()
    assert path.read_bytes() == whole


def test_a_stage_is_computed_once_and_returned_as_it_will_be_read(tmp_path):
    ledger = Ledger(tmp_path / "new" / "ledger.jsonl")
    calls = []
    for _ in range(3):
        line = ledger.once(
            0, "buy", lambda: calls.append(1) or {"signals": ("full", "tags"), "by": {1: 2.5}}
        )
    ledger.close()
    assert len(calls) == 1
    assert (
        line
        == read_ledger(ledger.path)[0][0]
        == {"round": 0, "stage": "buy", "signals": ["full", "tags"], "by": {"1": 2.5}}
    )


def test_a_last_line_torn_anywhere_is_dropped_and_written_again(tmp_path):
    path = tmp_path / "ledger.jsonl"
    whole = write(path)
    first, second, last = whole.splitlines(keepends=True)
    for kept in range(len(last)):
        path.write_bytes(first + second + last[:kept])
        lines, length = read_ledger(path)
        assert len(lines) == 2 and length == len(first + second)
        assert write(path) == whole


def test_a_compute_that_fails_leaves_no_line(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with pytest.raises(ZeroDivisionError):
        ledger.once(0, "train", lambda: 1 / 0)
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError):
            ledger.once(0, "evaluate", lambda value=value: {"val_miou": value})
    ledger.close()
    assert ledger.path.read_bytes() == b"" and ledger.lines == []


DAMAGE = [
    b"\0" * 40,
    b"5",
    b"null",
    b"[]",
    b"{}",
    b'{"round": 0}',
    b'{"stage": "buy"}',
    b"\xff\xfe",
    b"",
]


def test_damage_before_the_last_line_names_the_line_and_leaves_the_file_alone(tmp_path):
    path = tmp_path / "ledger.jsonl"
    whole = write(path)
    first, second, last = whole.splitlines()
    for damaged in [*DAMAGE, *(second[:kept] for kept in range(1, len(second), 6))]:
        content = b"\n".join([first, damaged, last]) + b"\n"
        path.write_bytes(content)
        with pytest.raises(UserError, match="line 2 is damaged") as caught:
            Ledger(path)
        assert str(path) in str(caught.value) and path.read_bytes() == content
    path.write_bytes(whole)
    assert write(path) == whole  # the failures above let go of the lock


HOLDER = """
import sys, time
from weakseg.planning.ledger import Ledger
l = Ledger(sys.argv[1])
print('open', flush=True)
"""


def test_two_processes_cannot_write_one_run_and_a_killed_one_lets_go(tmp_path):
    path = tmp_path / "ledger.jsonl"
    command = [
        sys.executable,
        "-c",
        HOLDER + "l.once(0, 'buy', dict); print('written', flush=True); time.sleep(60)",
    ]
    holder = subprocess.Popen([*command, path], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "open\n" and holder.stdout.readline() == "written\n"
        with pytest.raises(UserError, match=r"another process.*wait.*or stop it"):
            Ledger(path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        ledger = Ledger(path)
        assert ledger.lines == [{"round": 0, "stage": "buy"}]
        with pytest.raises(UserError, match="another process"):
            Ledger(path)
        ledger.close()
        Ledger(path).close()
    finally:
        holder.kill()
        holder.communicate()


@LAWS
@given(content=st.binary(max_size=5000))
def test_digest_is_sha256(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("digest") / "model.safetensors"
    path.write_bytes(content)
    assert digest(path) == digest(str(path)) == hashlib.sha256(content).hexdigest()


@LAWS
@given(content=st.dictionaries(NAMES, PLAIN, min_size=1, max_size=3), order=st.randoms())
def test_the_hash_of_settings_knows_values_but_no_order(content, order):
    def shuffled(value):
        if isinstance(value, list):
            return [shuffled(item) for item in value]
        if not isinstance(value, dict):
            return value
        names = list(value)
        order.shuffle(names)
        return {name: shuffled(value[name]) for name in names}

    assert settings_hash(shuffled(content)) == settings_hash(content)
    name = random.Random(0).choice(sorted(content))
    changed = content | {name: [content[name]]}
    assert settings_hash(changed) != settings_hash(content)
    assert len(settings_hash(content)) == 16 and json.loads(json.dumps(content)) == content


@pytest.mark.parametrize("part", ["bought", "verdicts"])
def test_an_image_that_leads_out_of_its_folder_is_refused_by_line(tmp_path, part):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.once(0, "first", dict)
    ledger.once(0, "second", lambda: {part: {"../../a": {}}})
    ledger.close()
    with pytest.raises(UserError, match=r"ledger\.jsonl, line 2: '\.\./\.\./a' can't be a name"):
        Ledger(tmp_path / "ledger.jsonl")


def changed(value):
    """Return a plain value with something else in it."""
    if isinstance(value, dict) and value:
        return {**value, next(iter(value)): changed(next(iter(value.values())))}
    return 7.5 if isinstance(value, str) else str(value)


@pytest.mark.parametrize("number", range(len(STAGES)))
def test_a_line_that_somebody_changed_is_refused(tmp_path, number):
    path = tmp_path / "ledger.jsonl"
    whole = write(path).splitlines(keepends=True)
    line = json.loads(whole[number])
    for key in line.keys() - {"round", "stage", "seal"}:
        spoilt = json.dumps({**line, key: changed(line[key])}).encode() + b"\n"
        path.write_bytes(b"".join([*whole[:number], spoilt, *whole[number + 1 :]]))
        with pytest.raises(UserError, match=f"line {number + 1} is not as the run wrote it"):
            Ledger(path)
    if number + 1 < len(whole):  # it is not there at all
        path.write_bytes(b"".join(whole[:number] + whole[number + 1 :]))
        with pytest.raises(UserError, match=f"line {number + 1} is not as the run wrote it"):
            read_ledger(path)


def test_a_ledger_of_an_earlier_version_goes_on_and_is_sealed_from_there(tmp_path):
    path = tmp_path / "ledger.jsonl"
    lines = [{"round": number, "stage": stage, **more} for number, stage, more in STAGES]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines[:2]))
    write(path)
    assert read_ledger(path)[0] == lines
    first, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first.replace(b'"seed": 0', b'"seed": 1'), *others]))
    with pytest.raises(UserError, match="line 3 is not as the run wrote it, or lines before"):
        read_ledger(path)
