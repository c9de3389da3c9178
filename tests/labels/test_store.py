"""The store: read twice is read once, a later export updates, sources merge, events stay."""

import contextlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.common import UserError
from weakseg.labels import store_file
from weakseg.labels.carried import label_record, merged
from weakseg.labels.formats.records import Classes, Shape
from weakseg.labels.label_file import load_labels
from weakseg.labels.store import Event, Given, opened_store
from weakseg.labels.store_labels import who_labelled

CAT = Shape("box", "cat", [1.0, 2.0, 30.0, 40.0])
DOG = Shape("click", "dog", [5.5, 6.5])
NAMES = ("background", "cat", "dog")


def says(*shapes, **also):
    return Given(dict(enumerate(shapes)), size=(50, 60), **also)


def update(folder, source, **pictures):
    with opened_store(folder, create=True) as store:
        return store.update(source, pictures)


def carried(folder):
    with opened_store(folder) as store:
        return {key: merged(one) for key, one in store.given().items()}


SHAPES = st.lists(
    st.builds(
        Shape,
        st.just("click"),
        st.sampled_from(["cat", "dog"]),
        st.lists(st.floats(0, 50), min_size=2, max_size=2),
    ),
    max_size=4,
)


@settings(max_examples=30)
@given(exports=st.lists(st.dictionaries(st.sampled_from("ab"), SHAPES), max_size=4))
def test_a_store_carries_what_the_last_export_of_each_picture_says(exports, tmp_path_factory):
    folder, last = tmp_path_factory.mktemp("store"), {}
    for export in exports:
        change = update(folder, "tool", **{key: says(*shapes) for key, shapes in export.items()})
        last |= export
        again = update(folder, "tool", **{key: says(*shapes) for key, shapes in export.items()})
        assert (again.added, again.removed, again.pictures) == (0, 0, 0)
        assert change.added + change.kept == sum(map(len, export.values()))
    with opened_store(folder, create=True) as store:
        now = {key: merged(one) for key, one in store.given().items()}
    assert {key: sorted(shape.key for shape in one.shapes) for key, one in now.items()} == {
        key: sorted(shape.key for shape in shapes) for key, shapes in last.items()
    }


def test_two_sources_hold_together_and_the_same_thing_counts_once(tmp_path):
    nearly = Shape("box", "cat", [1.5, 2.0, 30.0, 40.5])
    update(tmp_path, "cvat task 1", a=says(CAT, seconds=4.0))
    update(tmp_path, "coco mine", a=says(nearly, DOG, complete=("boxes",), seconds=6.0))
    one = carried(tmp_path)["a"]
    assert one.shapes == (nearly, DOG) and (one.same, one.sources) == (1, 2)
    assert one.complete == ("boxes",) and one.seconds == 10 and not one.disputed


@given(
    st.dictionaries(
        st.sampled_from("abc"),
        st.dictionaries(st.sampled_from(["one", "two"]), st.sampled_from(["", "Ann", "Bob"])),
    )
)
def test_who_labelled_are_annotators_where_several_are_told_apart_or_else_sources(told):
    given_ = {
        key: {name: says(CAT, annotator=person) for name, person in own.items()}
        | {"silent": says(annotator="Cid")}
        for key, own in told.items()
    }
    several = len({person for own in told.values() for person in own.values()} - {""}) > 1
    assert who_labelled(given_) == {
        key: tuple(sorted({(person if several else "") or name for name, person in own.items()}))
        for key, own in told.items()
    }


@pytest.mark.parametrize("reader", [opened_store, load_labels])
def test_who_names_the_file_in_a_store_is_told_its_folder(reader, tmp_path):
    update(tmp_path / "mine", "a", x=says(CAT))
    for name, told in (("mine/store.sqlite", r"folder, .*mine$"), ("none", r"labels\.py import")):
        with pytest.raises(UserError, match=told), contextlib.ExitStack() as stack:
            opening = reader(tmp_path / name)
            stack.enter_context(opening)


def test_equal_boxes_of_one_source_are_two_objects(tmp_path):
    update(tmp_path, "tool", a=says(CAT, CAT))
    assert len(carried(tmp_path)["a"].shapes) == 2


def test_a_picture_that_one_source_calls_empty_is_disputed(tmp_path):
    update(tmp_path, "one", a=says(complete=("boxes",)))
    update(tmp_path, "other", a=says(CAT))
    assert carried(tmp_path)["a"].disputed


@pytest.mark.parametrize(
    "shape, is_empty",
    [
        (CAT, False),
        (Shape("tag", "cat", True), False),
        (Shape("tag", "cat", False), True),
        (Shape("click", "background", [1.0, 1.0]), True),
        (
            Shape("mask", None, {"left": 0, "top": 0, "width": 1, "height": 1, "counts": [0, 1]}),
            True,
        ),
    ],
)
def test_a_picture_with_an_object_is_not_empty_whatever_another_source_says(shape, is_empty):
    empty = says(complete=("boxes", "full", "points"))
    one = merged({"empty": empty, "other": says(shape, complete=("scribbles",))})
    assert one.complete == (
        ("boxes", "full", "points", "scribbles") if is_empty else ("scribbles",)
    )


@pytest.mark.parametrize("more", [[], [Shape("click", "cat", [20.0, 9.0])]])
def test_places_on_a_photograph_of_another_size_are_not_repeated(more, tmp_path):
    tag = Shape("tag", "cat", True)
    old, new = [DOG, CAT, tag], [DOG, CAT, tag, *more]
    small, large = {"size": (50, 60)}, {"size": (100, 120)}
    double = [replace(one, geometry=[2 * at for at in one.geometry]) for one in (DOG, CAT)]
    update(tmp_path, "mine", a=Given(dict(enumerate(old)), **small, is_sized=False))
    before = carried(tmp_path)
    with pytest.raises(UserError) as told:
        update(tmp_path, "mine", a=Given(dict(enumerate(new)), **large, is_sized=False))
    assert "a: mine repeats the places of the photograph at 50x60, which has 100x120" in str(
        told.value
    )
    assert carried(tmp_path) == before
    update(tmp_path, "tags", a=Given({0: tag}, **large, is_sized=False))
    assert carried(tmp_path)["a"].size == (50, 60)  # a tag says nothing of where clicks lie
    update(tmp_path, "mine", a=Given(dict(enumerate([*double, tag])), **large, is_sized=False))
    assert carried(tmp_path)["a"].size == (100, 120)
    update(tmp_path, "mine", a=Given(dict(enumerate([*double, tag])), **small))  # it says so


def test_looking_and_seeing_nothing_is_not_the_same_as_not_looking(tmp_path):
    update(tmp_path, "tool", a=says(), b=says(complete=("boxes", "full")))
    a, b = (label_record(carried(tmp_path)[key], NAMES, (), True) for key in "ab")
    assert "boxes" not in a and "full" not in a and a["complete"] == []
    assert b["boxes"] == [] and b["full"] == {"objects": 0, "classes": 0}
    assert b["complete"] == ["boxes"]


def test_seconds_of_a_later_export_are_not_counted_twice(tmp_path):
    update(tmp_path, "tool", a=says(CAT, seconds=4.0))
    update(tmp_path, "tool", a=says(CAT, DOG, seconds=9.0))
    assert carried(tmp_path)["a"].seconds == 9


def test_a_correction_replaces_and_events_stay(tmp_path):
    update(tmp_path, "page", a=says(CAT))
    with opened_store(tmp_path) as store:
        store.append(
            [Event("page", "a", "shape", "ann", "box", "dog", [1, 2, 30, 40], 3.0, replaced=1)]
        )
        store.append([Event("page", "a", "raw", geometry={"key": "d"})])
    (shape,) = carried(tmp_path)["a"].shapes
    assert shape.label == "dog"
    with sqlite3.connect(tmp_path / "store.sqlite") as base:
        assert base.execute("SELECT count(*) FROM events").fetchone() == (4,)
        assert base.execute("SELECT class FROM shapes").fetchall() == [("dog",)]
        for change in ("UPDATE events SET class = 'x'", "DELETE FROM events"):
            with pytest.raises(sqlite3.IntegrityError, match="never"):
                base.execute(change)


def test_what_fails_leaves_the_store_as_it_was(tmp_path):
    update(tmp_path, "tool", a=says(CAT))
    bad = Event("tool", "c", "shape", geometry=float("nan"))
    with pytest.raises(ValueError), opened_store(tmp_path) as store:
        store.append([Event("tool", "b", "shape", geometry=[1.0]), bad])
    assert [*carried(tmp_path)] == ["a"]


def test_the_classes_are_the_last_ones_said(tmp_path):
    with opened_store(tmp_path, create=True) as store:
        assert store.classes() == Classes()
        store.say_classes(Classes(("background", "cat")))
        store.say_classes(Classes(NAMES, False))
        assert store.classes() == Classes(NAMES, False)


@pytest.mark.parametrize("content", [b"", b"no base of data" * 100])
def test_what_is_no_store_is_one_line(content, tmp_path):
    (tmp_path / "store.sqlite").write_bytes(content)
    if not content:
        assert carried(tmp_path) == {}
        return
    with pytest.raises(UserError, match="no store"):
        carried(tmp_path)


@pytest.mark.parametrize(
    "picture, geometry", [("../a", "[1, 2]"), ("a", "[1,"), ("a", "[" * 100_000), ("a", "1")]
)
def test_a_damaged_event_is_one_line(picture, geometry, tmp_path):
    update(tmp_path, "tool", a=says(CAT))
    with sqlite3.connect(tmp_path / "store.sqlite") as base:
        base.execute(
            "INSERT INTO events (time, annotator, source, picture, act, kind, class, geometry) "
            "VALUES (0, '', 't', ?, 'shape', 'click', 'cat', ?)",
            (picture, geometry),
        )
    with pytest.raises(UserError, match="event 3 is not"):
        carried(tmp_path)


def test_a_folder_without_a_store_is_told_how_to_make_one(tmp_path):
    with pytest.raises(UserError, match=r"python labels\.py import"):
        carried(tmp_path)


def test_a_store_in_a_folder_that_cant_be_written_is_read(tmp_path, monkeypatch):
    update(tmp_path, "tool", a=says(CAT))
    monkeypatch.setattr("os.access", lambda *_: False)
    assert carried(tmp_path)["a"].shapes == (CAT,)
    with pytest.raises(UserError, match="can't be written"), opened_store(tmp_path) as store:
        store.say_classes(Classes(NAMES))


def test_a_full_disk_or_another_writer_is_no_damage(tmp_path, monkeypatch):
    """The line says what is in the way; the store is as it was, and is written afterwards."""
    update(tmp_path, "tool", a=says(CAT))
    large = Event("tool", "a", "note", geometry="x" * 10**6)
    with monkeypatch.context() as patch, pytest.raises(UserError, match=r"full.*make room"):
        prepare = store_file.prepare

        def full(connection, path):
            prepare(connection, path)
            connection.execute("PRAGMA max_page_count = 1")  # no page more than there are

        patch.setattr(store_file, "prepare", full)
        with opened_store(tmp_path) as store:
            store.append([Event("tool", "a", "note"), large])
    with opened_store(tmp_path) as other, monkeypatch.context() as patch:
        other.connection.execute("BEGIN IMMEDIATE")
        patch.setattr(store_file, "PATIENCE", 0)
        line = "locked.*end what else writes there"
        with pytest.raises(UserError, match=line), opened_store(tmp_path) as store:
            store.append([large])
    assert carried(tmp_path)["a"].shapes == (CAT,)
    with opened_store(tmp_path) as store:
        assert not [*store.events("note")] and store.append([large])


def test_many_write_at_once(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: update(tmp_path, f"tool {n}", **{f"p{n}": says(CAT)}), range(12)))
    assert len(carried(tmp_path)) == 12


def test_a_base_of_something_else_is_one_line(tmp_path):
    with sqlite3.connect(tmp_path / "store.sqlite") as base:
        base.execute("CREATE TABLE events (number)")
    with pytest.raises(UserError, match="no store of labels"):
        carried(tmp_path)


# ---- the record that training reads


def test_the_record_has_each_kind_that_the_picture_has():
    shapes = (
        CAT,
        DOG,
        Shape("stroke", "dog", {"width": 2.0, "path": [[1.0, 1.0], [4.0, 4.0]]}),
        Shape("polygon", "cat", [[[[0.0, 0.0], [9.0, 0.0], [9.0, 9.0]]]]),
        Shape("mask", None, {"left": 0, "top": 0, "width": 1, "height": 1, "counts": [0, 1]}),
        Shape("tag", "cat", True),
        Shape("tag", "dog", False),
        Shape("answer", None, {"x": 1.5, "y": 2.5, "drawn": "random", "fit": 0}),
    )
    given_ = {"tool": says(*shapes, complete=("full",))}
    record = label_record(merged(given_), NAMES, ("cat", "dog"), True)
    assert record == {
        "complete": [],
        "size": [50, 60],
        "boxes": [[1.0, 2.0, 30.0, 40.0, 1]],
        "points": [[5.5, 6.5, 2]],
        "scribbles": [{"class": 2, "width": 2.0, "path": [[1.0, 1.0], [4.0, 4.0]]}],
        "full": {"objects": 1, "classes": 1},
        "tags": {"present": ["cat"], "absent": ["dog"]},
        "pixels": [{"x": 1.5, "y": 2.5, "class": 255, "drawn": "random", "fit": 0}],
    }


def test_a_class_that_the_data_lacks_is_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"'cats' is none of .* did you mean cat\? import with"):
        label_record(merged({"t": says(Shape("click", "cats", [1, 1]))}), NAMES, (), True)


def test_a_box_around_no_object_makes_no_background():
    """Neither one of the background, nor one of which nobody can tell what is in it."""
    with pytest.raises(ValueError, match=r"a box is of background, .*; import with --map"):
        label_record(merged({"t": says(Shape("box", "background", [1, 1, 9, 9]))}), NAMES, (), True)
    crowd = Shape("box", None, [1.0, 1.0, 9.0, 9.0])
    complete = ("boxes", "points")
    record = label_record(merged({"t": says(CAT, crowd, complete=complete)}), NAMES, (), True)
    assert record["complete"] == ["points"] and len(record["boxes"]) == 1
    without = label_record(merged({"t": says(Shape("box", "x", [1, 1, 9, 9]))}), ("x",), (), False)
    assert without["boxes"] == [[1, 1, 9, 9, 0]]
