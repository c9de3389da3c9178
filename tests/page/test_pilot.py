"""The pilot: its order, what it asks, that it goes on where it stopped, what it says at the end."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_session import TIMES, Visitor, flags, session_in, started, until, write_photographs

import annotate
from weakseg.common import UserError
from weakseg.page.answer_log import PILOT, AnswerLog
from weakseg.page.pilot import KINDS, PICTURES, QUESTIONS, latin_square, plan

kinds = st.lists(st.sampled_from([*KINDS]), min_size=1, max_size=3, unique=True)
names = [f"p{number}" for number in range(40)]
TOOK = {**TIMES, "wall": 4.0}


@given(st.integers(1, 7), st.integers(0, 99))
def test_a_square_has_each_once_in_each_row_and_column(size, seed):
    square = latin_square(size, np.random.default_rng(seed))
    for row in (*square, *square.T):
        assert sorted(row) == [*range(size)]


@given(kinds, st.integers(0, 99), st.integers(9, 40))
def test_each_kind_has_as_many_pictures_and_each_place_of_a_round_once(some, seed, count):
    blocks = plan(some, names[:count], seed)
    shown = [name for block in blocks for name in block.pictures]
    assert len(shown) == len({*shown}) and {*shown} <= {*names[:count]}
    own = Counter(block.kind for block in blocks for _ in block.pictures)
    assert {*own.values()} == {min(PICTURES, count // len(some))} and own.keys() == {*some}
    rounds = [blocks[at : at + len(some)] for at in range(0, len(blocks), len(some))]
    assert len(rounds) == len(some)
    for place in range(len(some)):
        assert {one[place].kind for one in rounds} == {*some}
    assert plan(some, names[:count][::-1], seed) == blocks


def test_too_few_pictures_are_named():
    with pytest.raises(UserError, match="needs 9 photographs that you"):
        plan(["questions", "clicks", "boxes"], names[:8], 0)


@pytest.mark.parametrize("words", [["questions"] * 2, ["questions", "clicks", "boxes", "tags"]])
def test_kinds_that_make_no_pilot_are_refused(words):
    with pytest.raises(UserError, match="up to 3 kinds, each once"):
        annotate.check(flags("--demo", "--pilot", *words))


def test_the_command_offers_the_kinds_that_there_are():
    assert annotate.PILOT == (*KINDS,)


# ---- a session


@pytest.fixture
def images(tmp_path):
    return write_photographs(tmp_path / "photos", {f"{n}.png": (40, 30) for n in range(8)})


def measured(folder, images, *some, **more):
    session = session_in(folder, images, "--classes", "red", **more)
    session.measure(some)
    session.start()
    return Visitor(session)


def save(visitor, index, complete=("boxes",)):
    shape = {"kind": "box", "class": "red", "geometry": [1, 1, 9, 9], "times": TIMES}
    body = {"picture": index, "visit": f"v{index}", "shapes": [shape], "complete": [*complete]}
    return visitor.post("/draw/save", {**body, "times": TOOK})


def test_a_pilot_from_its_first_card_to_its_table(tmp_path, images):
    visitor = measured(tmp_path, images, "questions", "boxes")
    assert visitor.get("/state")["pilot"] is True
    while (state := visitor.get("/pilot"))["current"] is not None:
        block = state["blocks"][state["current"]]
        assert state["table"] is None and len(block["left"]) == block["pictures"] == 2
        visitor.post("/pilot", {})
        if block["tool"]:
            assert not visitor.session.log.open
            assert visitor.get("/draw/state")["first"] == block["left"][0]
            first = visitor.get(f"/draw/picture/{block['left'][0]}")
            assert first["next"] == block["left"][1]
            for index in block["left"]:
                save(visitor, index)
            assert visitor.get(f"/draw/picture/{block['left'][1]}")["next"] is None
            continue
        visitor.post("/pilot", {})  # once more asks nothing anew
        asked = visitor.questions()
        assert [one["picture"] for one in asked] == np.repeat(block["left"], QUESTIONS).tolist()
        for one in asked:
            visitor.answer(one, "red", prediction=False)
    assert visitor.session.asker.asking is None and not visitor.session.asker.threads
    assert visitor.session.pilot.finished.is_set()
    head, *rows = state["table"]
    told = {row[0]: row[head.index("n")] for row in rows}
    assert told == {"look at a picture": "8", "answer": "12", "box": "4"}


def test_a_pilot_goes_on_where_it_stopped_and_another_one_has_other_pictures(tmp_path, images):
    visitor = measured(tmp_path, images, "questions")
    (block,) = visitor.get("/pilot")["blocks"]
    visitor.post("/pilot", {})
    first, *_ = visitor.questions()
    visitor.answer(first, "red")
    again = measured(tmp_path, images, "questions")
    assert again.get("/pilot")["blocks"] == [block]
    again.post("/pilot", {})
    assert [one["id"] for one in again.questions()] == [one for one in range(2, 8 * QUESTIONS + 1)]
    other = session_in(tmp_path, images)
    with pytest.raises(UserError, match="there are 7"):
        other.measure(["clicks", "boxes", "outlines"])


def test_answers_of_a_pilot_are_labels_and_no_random_sequence(tmp_path, images):
    visitor = measured(tmp_path, images, "questions")
    visitor.post("/pilot", {})
    for one in visitor.questions()[:5]:
        visitor.answer(one, "red")
    log = AnswerLog.read(visitor.session.log.folder)
    assert (log.drawn, log.placed, log.answers, len(log.shapes)) == (0, 0, 5, 5)
    assert {one.asked.drawn for one in log.told} == {PILOT}
    later = session_in(tmp_path, images)
    with started(later):
        later.begin(TIMES)
        until(lambda: later.asker.joined == 8 and later.asker.snapshot())
        rows = later.asker.snapshot().answers.rows
        assert [row.question.drawn for row in rows] == [PILOT] * 5
        assert len(later.log.open) == 8 * QUESTIONS - 5  # they come before others


def test_without_a_pilot_there_is_none(tmp_path, images):
    visitor = Visitor(session_in(tmp_path, images, "--classes", "red"))
    assert visitor.get("/state")["pilot"] is False
    assert "no pilot" in visitor.get("/pilot")["error"]
