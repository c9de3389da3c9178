"""A person answers through the page's requests: what is stored, what is learned, what is kept."""

import json
from unittest.mock import patch

import numpy as np
import pytest
from conftest import run
from page_session import (
    TIMES,
    UNWRITABLE,
    Visitor,
    session_in,
    started,
    until,
    write_photographs,
)

import train
from weakseg.labels.formats.records import Shape
from weakseg.labels.person import Faults, Person
from weakseg.labels.store import Given, opened_store
from weakseg.page.answer_log import AnswerLog, Asked
from weakseg.page.asker import CHOSEN, LEFT
from weakseg.planning.candidates import RandomQuestions

NOBODY_FAILS = Faults(0, 0, 0)


@pytest.fixture(scope="module")
def done(pets_dir, tmp_path_factory):
    """(folder, visitor) of a session of 70 answers on drawn pets."""
    folder = tmp_path_factory.mktemp("answers")
    session = session_in(folder, pets_dir)
    visitor = Visitor(session, Person(0, num_classes=2))
    with started(session):
        visitor.post("/begin", {})
        visitor.work(70)
        until(lambda: visitor.get("/state")["masks"] and session.panel.agreement)
    return folder, visitor


def events(folder, *acts):
    with opened_store(folder / "labels") as store:
        return [event for _, _, event in store.events(*acts)]


def test_nothing_that_is_sent_tells_who_chose_a_question(done):
    _, visitor = done
    (first, *_) = visitor.questions()
    assert first.keys() == {"id", "picture", "width", "height", "x", "y", "seen"}
    state = json.dumps(visitor.get("/state"))
    assert not any(word in state for word in ("drawn", 'random"', "strategy"))


def test_questions_are_chosen_by_a_fresh_fit(done):
    folder, _ = done
    told = [e.geometry for e in events(folder, "answered") if e.geometry["way"] == "first"]
    chosen = [one for one in told if one["drawn"] not in ("random", "example")]
    assert len(chosen) > 30
    assert max(one["lag"] for one in chosen) <= LEFT[0] + CHOSEN[0] == 5
    fits = [one["fit"] for one in chosen]
    assert fits[0] > 0 and len(set(fits)) > 10


def test_random_questions_are_the_sequence_of_the_seed(done):
    folder, visitor = done
    drawn = [e for e in events(folder, "asked") if e.geometry["drawn"] == "random"]
    joined, index = visitor.session.log.joined, visitor.session.photographs.index
    sizes = np.array(visitor.session.photographs.sizes)
    starts = np.concatenate([np.full(len(names), at) for names, at in joined])
    pictures, places = RandomQuestions(0, sizes, starts).drawn(0, len(drawn))
    found = [(index[e.picture], e.geometry["x"], e.geometry["y"]) for e in drawn]
    wanted = [(int(p), *map(float, at)) for p, at in zip(pictures, places, strict=True)]
    assert sorted(found) == sorted(wanted)


def test_no_mask_is_shown_of_a_picture_with_an_open_question(done):
    _, visitor = done
    open_now = visitor.session.asker.open_pictures()
    shown = {one["picture"] for one in visitor.get("/state")["masks"]}
    assert open_now and shown and not open_now & shown
    for picture in open_now:
        assert visitor.get(f"/mask/{picture}").status_code == 204


def test_some_pixels_come_twice_and_look_like_all_others(done):
    folder, visitor = done
    again = [e for e in events(folder, "answered") if e.geometry["way"] == "again"]
    assert again
    consistency = visitor.get("/state")["panel"]["consistency"]
    assert consistency is None or consistency["same"] <= consistency["pairs"]


def test_a_session_begins_again_as_it_was(done, pets_dir):
    folder, visitor = done
    before = visitor.session
    other = session_in(folder, pets_dir)
    assert other.log.open == before.log.open and other.log.told == before.log.told
    assert other.photographs.names == before.photographs.names
    with started(other):
        until(lambda: other.asker.asking is not None)
        rows, old = other.asker.asking.answers.rows, before.asker.asking.answers.rows
        assert [(r.question.place, r.label) for r in rows] == [
            (r.question.place, r.label) for r in old
        ]
        assert Visitor(other).questions()[0]["id"] == before.log.open[0]


def test_the_store_is_what_training_reads(done, pets_dir, tmp_path):
    folder, _ = done
    words = ["--supervision_mode", "any", "--learner", "probe", "--labels", folder / "labels"]
    own = ["--data_dir", pets_dir, "--cache_dir", folder / "cache", "--checkpoint_dir", tmp_path]
    tiny = ["--img_size", 64, "--encoder_weights", "none", "--device", "cpu"]
    run(train, *words, *own, *tiny, "--run_name", "answers")
    assert (tmp_path / "answers" / "best.pt").exists()


# ---- what a person may do


@pytest.fixture
def visitor(tmp_path):
    """A visitor of a session on photographs of two colours, with questions open."""
    sizes = {f"{n}.png": (40, 30) for n in range(12)}
    images = write_photographs(tmp_path / "photos", sizes)
    session = session_in(tmp_path, images, "--classes", "red")
    visitor = Visitor(session)
    with started(session):
        visitor.post("/begin", {})
        until(lambda: session.asker.joined)
        yield visitor


def test_a_changed_answer_is_learned_from_and_the_first_stays_in_the_estimate(visitor):
    first = visitor.questions()[0]
    visitor.answer(first, "red")
    visitor.answer(first, "red")  # sent twice: counts once
    visitor.answer(first, "background", change=True, next_shown=True)
    log = visitor.session.log
    assert [(one.label, one.way) for one in log.told] == [
        ("red", "first"),
        ("background", "changed"),
    ]
    rows = visitor.session.asker.asking.answers
    assert [row.question.drawn for row in rows.rows] == ["random", "changed"]
    assert [rows.rows[n].label for n in rows.last_of_each()] == [0]
    (shape,) = answers_in(visitor)
    assert shape.label == "background" and shape.geometry["drawn"] == "random"


def test_an_answer_mended_before_the_next_was_shown_stands_for_the_first(visitor):
    first = visitor.questions()[0]
    visitor.answer(first, "red")
    visitor.answer(first, None, change=True, next_shown=False)
    rows = visitor.session.asker.asking.answers.rows
    assert [(row.question.drawn, row.label) for row in rows] == [("random", 255)]
    reread = AnswerLog.read(visitor.session.log.folder)
    assert reread.told == visitor.session.log.told


def answers_in(visitor):
    with opened_store(visitor.session.log.folder) as store:
        given = store.given(["questions"])
    return [s for one in given.values() for s in one["questions"].shapes.values()]


def test_another_object_is_not_cannot_tell_and_is_asked_again_with_its_class(visitor):
    first = visitor.questions()[0]
    visitor.answer(first, None, other=True)
    (shape,) = answers_in(visitor)
    assert shape.label == "background"
    assert visitor.get("/told")["told"][0]["other"] is True
    state = visitor.post("/classes", {"add": "blue"})
    assert [one["name"] for one in state["classes"]] == ["background", "red", "blue"]
    assert visitor.session.log.renewed == [
        (visitor.session.photographs.names[first["picture"]], first["x"], first["y"])
    ]


def test_classes_change_in_mid_session_and_labels_follow(visitor):
    for label in ("red", "background", "red", None):
        question = visitor.questions()[0]
        visitor.answer(question, label)
    visitor.post("/classes", {"add": "leaf"})
    visitor.post("/classes", {"rename": "red", "to": "berry"})
    assert sorted(str(shape.label) for shape in answers_in(visitor)) == [
        "None",
        "background",
        "berry",
        "berry",
    ]
    visitor.post("/classes", {"colour": "berry", "to": "#112233"})
    before = visitor.get("/state")["classes"]
    state = visitor.post("/classes", {"merge": "berry", "to": "leaf"})
    assert [one["name"] for one in state["classes"]] == ["background", "leaf"]
    assert state["classes"] == [before[0], before[2]]  # keys and colours stay
    until(lambda: visitor.session.asker.asking is not None)
    rows = visitor.session.asker.asking.answers.rows
    assert sorted(row.label for row in rows) == [0, 1, 1, 255]
    reread = AnswerLog.read(visitor.session.log.folder)
    assert reread.told == visitor.session.log.told
    for name in ("classes", "keys", "colours"):
        assert getattr(reread, name) == getattr(visitor.session.log, name), name


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"add": "Red"}, "look like one"),
        ({"add": "background"}, "a class already"),
        ({"add": "BG"}, "another name"),
        ({"add": "  "}, "letters"),
        ({"add": "a\nb\x00"}, "letters"),
        ({"rename": "background", "to": "x"}, "keeps its name"),
        ({"merge": "red", "to": "background"}, "two classes"),
        ({"colour": "red", "to": "javascript:"}, "#rrggbb"),
        ({"what": 1}, "add, rename"),
    ],
)
def test_a_change_that_means_nothing_is_refused(visitor, change, line):
    reply = visitor.client.post("/classes", json=change, base_url="http://127.0.0.1:1")
    assert reply.status_code == 400 and line in reply.get_json()["error"]
    assert visitor.get("/state")["classes"][1]["name"] == "red"


def test_examples_begin_a_session(visitor):
    body = {"picture": 0, "x": 20.2, "y": 10.9, "class": "red", "times": TIMES}
    visitor.post("/example", body)
    visitor.post("/example", {**body, "class": "nothing"}, status=409)
    (told,) = visitor.session.log.told
    assert told.asked.place == (20.5, 10.5) and told.asked.drawn == "example"


def test_an_answer_says_that_a_mask_of_its_picture_was_seen_before(visitor):
    """In either view, whatever is on show when the question comes, and after a restart."""
    session = visitor.session
    log, names = session.log, session.photographs.names
    until(lambda: len(log.open) > LEFT[0] + 1)  # no other is chosen meanwhile
    drawn, tile, fresh, *_ = {*range(12)} - session.asker.open_pictures()
    places = {"red": [20.5, 10.5], "background": [2.5, 2.5]}
    shapes = [{"kind": "click", "class": name, "geometry": at} for name, at in places.items()]
    assert visitor.post("/draw/predict", {"picture": fresh, "shapes": []})["mask"] is None
    assert visitor.post("/draw/predict", {"picture": drawn, "shapes": shapes})["mask"]
    session.masks.drawn[tile] = (1, b"a picture")
    assert visitor.get(f"/mask/{tile}").status_code == 200
    before = len(log.asked)
    rows = enumerate((drawn, tile, fresh), before + 1)
    log.ask([Asked(number, names[index], (3.5, 3.5), "combined", 0) for number, index in rows])
    visitor.last = before
    asked = visitor.questions()[:3]
    assert [one["seen"] for one in asked] == [True, True, False]
    assert [visitor.get(f"/draw/picture/{n}")["seen"] for n in (tile, fresh)] == [True, False]
    for one in asked:
        visitor.answer(one, "red", prediction=False)
    told = [event.geometry["prediction"] for event in events(log.folder.parent, "answered")]
    assert told == [True, True, False]
    assert AnswerLog.read(log.folder).seen == log.seen == {names[drawn], names[tile]}


def test_raw_events_are_stored_as_they_are(visitor, tmp_path):
    one = {"kind": "press", "at": 1, "clock": 2, "x": 3, "prediction": False}
    visitor.post("/events", {"events": [one, {"kind": "harm"}, {"kind": "key", "x": "y" * 9999}]})
    (event,) = events(tmp_path, "input")
    assert event.geometry == one and event.kind == "press"


@pytest.mark.parametrize("fault", UNWRITABLE)
def test_where_nothing_can_be_stored_one_line_says_so_and_nothing_is_lost(visitor, fault):
    session, (first, second) = visitor.session, visitor.questions()[:2]
    visitor.answer(first, "red")
    with opened_store(session.log.folder) as store:
        before = [event for _, _, event in store.events("answered", "shape", "drawn", "coloured")]
    answer = {"id": second["id"], "class": "red", "times": TIMES}
    drawing = {"picture": 0, "visit": "v", "shapes": [], "complete": ["boxes"], "times": TIMES}
    posts = {
        "/answer": answer,
        "/draw/save": drawing,
        "/classes": {"colour": "red", "to": "#010203"},
        "/events": {"events": [{"kind": "press"}]},
    }
    with fault(session.log.folder) as words:
        for path, body in posts.items():
            line = visitor.post(path, body, 507)["error"]
            assert words in line and "\n" not in line
        assert len(session.log.told) == 1 and not session.drawings.done
        until(lambda: words in visitor.get("/state")["fault"] or session.log.open)
    with opened_store(session.log.folder) as store:
        acts = store.events("answered", "shape", "drawn", "coloured")
        assert [event for _, _, event in acts] == before
    for path, body in posts.items():  # the page sends them again
        visitor.post(path, body)
    assert [one.label for one in session.log.told] == ["red", "red"]
    assert AnswerLog.read(session.log.folder).told == session.log.told
    assert [*session.drawings.done.values()] == ["drawn"]
    until(lambda: any(number > second["id"] for number in session.log.open))


def test_without_a_background_another_object_is_no_label(tmp_path):
    images = write_photographs(tmp_path / "photos", {f"{n}.png": (40, 30) for n in range(4)})
    session = session_in(tmp_path, images, "--classes", "red", "green", "--no_background")
    visitor = Visitor(session)
    with started(session):
        visitor.post("/begin", {})
        first, second, *_ = visitor.questions()
        visitor.answer(first, None, other=True)
        visitor.answer(second, "green")
        assert [shape.label for shape in answers_in(visitor)] == ["green"]
        assert [row.label for row in session.asker.asking.answers.rows] == [1]


def test_two_people_answer_the_same_random_questions_apart(tmp_path):
    images = write_photographs(tmp_path / "photos", {f"{n}.png": (40, 30) for n in range(4)})
    asked = []
    for name in ("ann", "bob"):
        session = session_in(tmp_path, images, "--classes", "red", "--annotator", name)
        visitor = Visitor(session)
        with started(session):
            visitor.post("/begin", {})
            asked.append(visitor.questions()[:3])
            visitor.answer(asked[-1][0], "red")
            assert len(session.log.told) == 1
    assert asked[0] == asked[1]


def test_with_slow_fits_many_classes_are_asked_many_at_a_time(tmp_path):
    images = write_photographs(tmp_path / "photos", {f"{n}.png": (40, 30) for n in range(16)})
    session = session_in(tmp_path, images, "--classes", "red", "leaf")
    session.asker.seconds_of_fit = 9.0
    visitor, names, waiting = Visitor(session), ["background", "red", "leaf"], []
    with started(session), patch("weakseg.page.asker.QUICK", 0.0):
        visitor.post("/begin", {})
        for number in range(70):
            waiting = waiting or visitor.questions()
            question = waiting.pop(0)
            visitor.last = question["id"]
            visitor.answer(question, names[number % 3])
    told = [e.geometry for e in events(tmp_path, "answered") if e.geometry["fit"]]
    lags = [one["lag"] for one in told if one["way"] == "first" and one["drawn"] != "random"]
    assert 5 < max(lags) <= LEFT[1] + CHOSEN[1] == 20


def test_labels_that_are_there_begin_the_model_and_follow_changes(tmp_path):
    images = write_photographs(tmp_path / "photos", {f"{n}.png": (40, 30) for n in range(12)})
    clicks = [Shape("click", "red", [20.5, 10.5]), Shape("click", "background", [5.5, 25.5])]
    given = {f"{n}": Given(dict(enumerate(clicks)), (40, 30)) for n in range(6)}
    session = session_in(tmp_path, images, "--classes", "red", "leaf")
    with opened_store(tmp_path / "labels") as store:
        store.update("tool", given)
    visitor, names = Visitor(session), session.log.classes.names
    with started(session):
        until(lambda: session.asker.labels is not None)
        visitor.post("/begin", {})
        for question in visitor.questions():
            visitor.answer(question, "leaf")
        until(lambda: session.asker.asking and session.asker.asking.model.head is not None)
        labels = session.asker.labels
        assert {names[n] for n in labels.classes} == {"background", "red"}
        assert {*labels.images} == {session.photographs.index[name] for name in given}
        visitor.post("/classes", {"merge": "red", "to": "leaf"})
        until(lambda: session.asker.labels is not None)
        assert {*session.asker.labels.classes} == {0, 1}
        drawn = [q.drawn for q in session.log.asked.values() if q.fit]
        until(lambda: visitor.questions() and any(q.fit for q in session.log.asked.values()))
        assert not drawn or {*drawn} <= {"random", "rare_spread", "combined"}
