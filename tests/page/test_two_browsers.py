"""Two browsers on one session: who comes second is told so, and nothing counts twice or is lost."""

import pytest
from page_session import TIMES, Visitor, session_in, started, until, write_photographs


@pytest.fixture(scope="module")
def visitors(tmp_path_factory):
    """Two browsers of one session."""
    folder = tmp_path_factory.mktemp("browsers")
    images = write_photographs(folder / "photos", {f"{n}.png": (64, 48) for n in range(10)})
    session = session_in(folder, images, "--classes", "red", "leaf")
    with started(session):
        first = Visitor(session)
        first.post("/begin", {})
        yield first, Visitor(session)


def test_a_second_answer_is_refused_and_the_same_sent_again_is_not(visitors):
    one, other = visitors
    until(one.questions, 60)  # which wait for the first
    question, *_ = one.questions()
    assert question in other.questions()
    mine = {"id": question["id"], "class": "red", "times": TIMES, "visit": "a"}
    assert one.post("/answer", mine) == one.post("/answer", mine) == {"answers": 1}
    theirs = {**mine, "class": "leaf", "visit": "b"}
    assert "another browser" in other.post("/answer", theirs, status=409)["error"]
    (told,) = [t for t in one.session.log.told if t.asked.number == question["id"]]
    assert told.label == "red" and other.get("/told")["told"][-1]["class"] == "red"
    # Both may change it, and both learn what waits.
    other.post("/answer", {**theirs, "change": True})
    assert one.get("/told")["told"][-1]["class"] == "leaf" and one.session.log.answers == 1
    state = other.get("/state")
    assert question["id"] not in state["open"] and state["asked"] >= max(state["open"])


def test_a_drawing_replaces_none_that_its_page_did_not_know(visitors):
    one, other = visitors
    before = one.get("/draw/picture/3")["last"]

    def body(visit, x, after):
        click = {"kind": "click", "class": "red", "geometry": [x, 5], "times": TIMES}
        more = {"complete": [], "times": TIMES, "after": after}
        return {"picture": 3, "visit": visit, "shapes": [click], **more}

    for _ in range(2):  # a reply may be lost
        one.post("/draw/save", body("a", 10, before))
    line = other.post("/draw/save", body("b", 20, before), status=409)["error"]
    assert "another browser saved this photograph" in line
    skip = {"picture": 3, "visit": "c", "reason": "unclear", "times": TIMES, "after": before}
    other.post("/draw/skip", skip, status=409)
    found = other.get("/draw/picture/3")
    assert [shape["geometry"] for shape in found["shapes"]] == [[10, 5]]
    other.post("/draw/save", body("d", 20, found["last"]))  # knowing of it
    (shape,) = one.get("/draw/picture/3")["shapes"]
    assert shape["geometry"] == [20, 5]
