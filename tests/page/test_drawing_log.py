"""What is drawn, without a browser: saves are what they say, once, and nonsense is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from page_session import TIMES, Visitor, session_in, until, write_photographs
from PIL import Image

from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.formats.records import Shape
from weakseg.labels.label_file import labels_for
from weakseg.labels.store import opened_store
from weakseg.page.answer_log import AnswerLog
from weakseg.page.drawing_log import DrawingLog, Drawn
from weakseg.page.drawing_model import MOMENT, NOTHING

FACTS = {**TIMES, "prediction": False}
MASK = {"left": 1, "top": 2, "width": 2, "height": 2, "counts": [0, 3, 1]}
clicks = st.builds(
    lambda x, y, name: Shape("click", name, [x / 4, y / 4]),
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from(["cat", "background"]),
)


@pytest.fixture(scope="module")
def visitor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawings")
    images = write_photographs(folder / "photos", {f"{n}.png": (40, 30) for n in range(3)})
    return Visitor(session_in(folder, images, "--classes", "cat", "dog"))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(clicks, max_size=5), min_size=1, max_size=5))
def test_the_store_holds_what_was_saved_last_and_all_that_ever_was(tmp_path_factory, saves):
    log = AnswerLog.read(tmp_path_factory.mktemp("log"), "ann")
    drawings = DrawingLog.read(log)
    for visit, shapes in enumerate(saves):
        drawn = [Drawn(shape, FACTS) for shape in shapes]
        for _ in range(2):  # a post that got no reply is sent again
            drawings.save("a", (40, 30), drawn, ["points"], {**FACTS, "visit": str(visit)})
        own, others = drawings.given("a")
        assert sorted(one.key for one in own.shapes.values()) == sorted(one.key for one in shapes)
        assert not others and own.complete == ("points",) and own.annotator == "ann"
    assert own.seconds == drawings.seconds == len(saves) * TIMES["wall"]
    again = DrawingLog.read(AnswerLog.read(log.folder, "ann"))
    assert (again.done, again.seconds) == (drawings.done, drawings.seconds)
    assert not DrawingLog.read(AnswerLog.read(log.folder, "bob")).done
    with opened_store(log.folder) as store:
        acts = [event for _, _, event in store.events("shape", "drawn")]
    told = [len(one.geometry["shapes"]) for one in acts if one.act == "drawn"]
    assert sum(told) == len(acts) - len(told)  # each new shape has its times


def body(*shapes, **more):
    own = [{"how": None, "times": TIMES, **one} for one in shapes]
    return {"picture": 0, "visit": "v", "shapes": own, "complete": [], "times": TIMES, **more}


def shape(kind, geometry, name="cat"):
    return {"kind": kind, "class": name, "geometry": geometry}


@pytest.mark.parametrize(
    ("given", "status", "words"),
    [
        (body(shape("click", [50, 5])), 409, "points"),
        (body(shape("click", [1e9, 5])), 409, "points"),
        (body(shape("click", ["x", 5])), 400, "can't be read"),
        (body(shape("answer", {"x": 1, "y": 1, "drawn": "random", "fit": 0})), 400, "nobody draws"),
        (body(shape("mask", {**MASK, "left": 39})), 400, "outside"),
        (body(shape("mask", {**MASK, "counts": [9]})), 400, "can't be read"),
        (body(shape("accepted", MASK)), 400, "can't be read"),  # of which model?
        (body(shape("click", [1, 1], "<b>")), 409, "no class"),
        (body(shape("box", [1, 1, 9, 9], "background")), 409, "around an object"),
        (body(shape("tag", True, "background")), 409, "no class"),
        (body(shape("click", [1, 1]), shape("tag", False)), 409, "cat"),
        (body(shape("click", [1, 1]), shape("click", [1.5, 1], "dog")), 409, "points"),
        (body(shape("click", [1, 1]), complete=["boxes"]), 400, "no kind"),
        (body(shape("click", [1, 1]), complete=["colour"]), 400, "complete"),
        (body(complete="boxes"), 400, "complete"),
        (body(picture=3), 404, "no such"),
        (body() | {"shapes": {}}, 400, "list"),
        (body() | {"visit": ""}, 400, "visit"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(visitor, given, status, words):
    line = visitor.post("/draw/save", given, status)["error"]
    assert words in line and "\n" not in line
    assert visitor.get("/draw/picture/0")["shapes"] == []


def test_what_was_saved_comes_back_and_training_reads_it(visitor):
    shapes = [
        shape("outline", [[1, 1], [9, 1], [5, 9]]),
        shape("polygon", [[[[1, 1], [5, 1], [5, 5]]]]),
        shape("accepted", {**MASK, "model": "probe 0a"}, "dog"),
    ]
    visitor.post("/draw/save", body(*shapes, picture=1, complete=["full"]))
    found = visitor.get("/draw/picture/1")
    assert found["shapes"] == shapes and found["complete"] == ["full"] and found["done"] == "drawn"
    folder, dataset = visitor.session.log.folder, visitor.session.asker.dataset
    (label,) = labels_for(folder, dataset, [found["name"]], ["full", "outlines"], "").values()
    assert label["full"] == {"objects": 1, "classes": 2, "accepted": 1}  # nobody outlined it
    assert len(label["outlines"]) == 1


def test_photographs_that_changed_since_they_were_drawn_on_are_told_until_the_next_save(
    tmp_path, capsys
):
    images = write_photographs(tmp_path / "photos", {f"{n}.png": (40, 30) for n in range(3)})
    own = Visitor(session_in(tmp_path, images, "--classes", "cat", "dog"))
    session = own.session

    def told():
        classes = ("background", "cat", "dog")
        options = DataOptions(str(images), cache_dir=str(tmp_path / "cache"), class_names=classes)
        dataset = open_dataset(options)
        ids = dataset.ids("trainval")
        return labels_for(session.log.folder, dataset, ids, ["points"], "").notes

    for number in range(3):
        own.post("/draw/save", body(shape("click", [5, 5]), picture=number, visit=str(number)))
    assert told() == []
    path = images / session.photographs.names[1]
    Image.new("RGB", (40, 30), 99).save(path.with_suffix(".png"))
    (line,) = told()
    assert f"1 photograph changed since the labels of {session.drawings.source} were given" in line
    capsys.readouterr()
    session_in(tmp_path, images)  # as the command begins again
    assert line in capsys.readouterr().out
    own.post("/draw/save", body(shape("click", [5, 5]), picture=1, visit="again"))
    assert told() == []
    with opened_store(session.log.folder) as store:
        assert len([*store.events("photograph")]) == 4


def test_an_open_question_hides_what_the_model_thinks(visitor):
    session = visitor.session
    click = [shape("click", [20, 10]), shape("click", [3, 3], "background")]
    seen = visitor.post("/draw/predict", {"picture": 2, "shapes": click})
    assert seen["mask"].startswith("data:image/png") and seen["ms"] > 0
    session.asker.open_pictures = lambda: {2}
    try:
        hidden = visitor.post("/draw/predict", {"picture": 2, "shapes": click})
        visitor.post("/draw/accept", {"picture": 2, "mark": seen["mark"]}, 409)
    finally:
        del session.asker.open_pictures
    assert hidden["mask"] is None and "question" in hidden["line"]
    (dog,) = visitor.post("/draw/accept", {"picture": 2, "mark": seen["mark"]})["shapes"]
    assert dog["kind"] == "accepted" and dog["geometry"]["model"] == seen["mark"]
    visitor.post("/draw/accept", {"picture": 2, "mark": "probe of yesterday"}, 409)


@pytest.mark.parametrize("names", [["cat"], ["cat", "background"]])
def test_what_is_labelled_already_is_learned_from_before_more_is_asked_for(tmp_path, names):
    images = write_photographs(tmp_path / "photos", {f"{n}.png": (40, 30) for n in range(3)})
    own = Visitor(session_in(tmp_path, images, "--classes", "cat", "dog"))
    model = own.session.model
    own.session.start()
    try:
        places = dict(zip(names, ([20, 10], [3, 3]), strict=False))
        clicks = [shape("click", at, name) for name, at in places.items()]
        own.post("/draw/save", body(*clicks, picture=0, visit="one"))
        other = {"picture": 1, "shapes": []}
        own.session.asker.open_pictures = set
        first = own.post("/draw/predict", other)
        assert first["line"] == MOMENT or model.fits
        until(lambda: model.known == model.version)
        then = own.post("/draw/predict", other)
        assert own.get("/state")["drawing_fit"] == model.fits > 0
        assert bool(then["mask"]) == (len(names) == 2)
        assert then["line"] == ("" if len(names) == 2 else NOTHING)
    finally:
        own.session.close()
