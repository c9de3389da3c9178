"""Law of exports: a list of some objects comes back as one of some, or a line says how."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from weakseg.labels.exporting import write_labels
from weakseg.labels.formats.records import SIGNAL, Classes, PictureRecord, Shape
from weakseg.labels.formats.table import WRITABLE
from weakseg.labels.imported import Wishes
from weakseg.labels.importing import read_labels
from weakseg.labels.matching import Pictures

SIZE = (60, 40)
CLASSES = Classes(("background", "cat"))
SHAPES = {
    "box": Shape("box", "cat", [3, 3, 30, 20]),
    "polygon": Shape("polygon", "cat", [[[[5, 5], [25, 6], [9, 18]]]]),
    "click": Shape("click", "cat", [8, 9]),
    "nothing known": Shape("polygon", None, [[[[40, 5], [55, 6], [49, 18]]]]),
}


def record(name, shapes, complete):
    """Return what an export of a store says of a picture."""
    return PictureRecord(f"{name}.png", SIZE, tuple(shapes), complete, noted=complete)


SOME = st.tuples(
    st.lists(st.sampled_from([*SHAPES]), unique=True),
    st.lists(st.sampled_from(["boxes", "full"]), unique=True),
)
INNER = [name for name in WRITABLE if name not in ("masks", "yolo")]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for name in "ab":
        Image.new("RGB", SIZE).save(folder / f"{name}.png")
    return Pictures(folder)


def back(form, records, pictures, path, complete=None):
    """Return ({id: kinds whose list is complete}, lines of the export) of a way out and in."""
    dropped = write_labels(form, records, path, CLASSES, overwrite=True)
    found = read_labels(path, pictures, Wishes(complete=complete))
    (told,) = found.sources.values()
    return {key: set(one.complete) for key, one in told.items()}, dropped.lines()


@pytest.mark.parametrize("form", INNER)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
@given(drawn=SOME)
def test_lists_are_as_complete_as_before_unless_a_shape_is_lost(form, drawn, pictures, tmp_path):
    kinds, complete = drawn
    shapes = tuple(SHAPES[kind] for kind in kinds)
    known = record("b", [SHAPES["box"]], ("boxes",))
    records = [record("a", shapes, tuple(complete)), known]
    path = tmp_path / (f"{form}.json" if form != "cvat" else "a.xml")
    told, lines = back(form, records, pictures, path / "f" if form == "labelme" else path)
    assert told["b"] == {"boxes"} and told["a"] <= {*complete}
    if form == "weakseg" or (not shapes and complete):
        assert told["a"] == {*complete}
    elif not any("dropped" in line for line in lines):
        assert told["a"] == {SIGNAL[shape.kind] for shape in shapes} & {*complete}


@pytest.mark.parametrize("form", ["coco", "cvat", "labelme", "labelstudio"])
def test_who_imports_has_the_last_word(form, pictures, tmp_path):
    records = [record("a", [SHAPES["polygon"]], ())]
    path = tmp_path / {"cvat": "a.xml", "labelme": "a"}.get(form, "a.json")
    assert back(form, records, pictures, path)[0] == {"a": set()}
    assert back(form, records, pictures, path, ("full",))[0] == {"a": {"full"}}
    empty = [record("a", [], ("full",)), record("b", [SHAPES["polygon"]], ("full",))]
    assert back(form, empty, pictures, path)[0] == {"a": {"full"}, "b": {"full"}}
    assert back(form, empty, pictures, path, ())[0] == {"a": set(), "b": set()}


def test_masks_that_come_back_as_strokes_make_no_background(pictures, tmp_path):
    holes = [[SHAPES["polygon"].geometry[0][0], [[10, 8], [12, 8], [11, 9]]]]
    records = [record("a", [Shape("polygon", "cat", holes)], ("full",))]
    assert back("labelstudio", records, pictures, tmp_path / "a.json")[0] == {"a": set()}


@pytest.mark.parametrize("kind", ["box", "polygon"])
@pytest.mark.parametrize("complete", [[()], [("boxes", "full")], [(), ("boxes", "full")]])
def test_yolo_names_the_flag_where_a_guess_would_be_wrong(kind, complete, pictures, tmp_path):
    records = [
        record(name, [SHAPES[kind]], lists) for name, lists in zip("ab", complete, strict=False)
    ]
    told, lines = back("yolo", records, pictures, tmp_path / "y")
    before = {one.name[0]: {SIGNAL[kind]} & {*one.complete} for one in records}
    assert bool(lines) == (told != before)
    if lines:
        kinds = lines[0].split("--complete ")[1].split()
        after, _ = back("yolo", records, pictures, tmp_path / "y", [*{*kinds} - {"none"}])
        assert all(after[key] <= before[key] for key in before)
        assert after == before or len(complete) > 1


@pytest.mark.parametrize("form", ["coco", "labelstudio", "yolo"])
def test_what_a_model_sees_comes_back_as_a_tools_own_file(form, pictures, tmp_path):
    shown = PictureRecord("a.png", SIZE, (SHAPES["polygon"],), ("full",))  # as predict.py writes it
    empty = PictureRecord("b.png", SIZE, (), ("full",))
    path = tmp_path / ("y" if form == "yolo" else "a.json")
    told, lines = back(form, [shown, empty], pictures, path)
    assert told == {"a": {"full"}, "b": set()} and not lines  # nobody looked at b


@pytest.mark.parametrize("form", ["coco", "labelstudio"])
def test_a_picture_that_lost_all_its_shapes_is_told_as_one_without_any(form, pictures, tmp_path):
    stroke = Shape("stroke", "cat", {"width": 1, "path": [[3, 3], [9, 9]]})
    known = record("b", [SHAPES["box"]], ())
    records = [record("a", [stroke], ("scribbles",)), known]
    write_labels(form, records, tmp_path / "a.json", CLASSES)
    assert read_labels(tmp_path / "a.json", pictures, Wishes()).empty == 1
