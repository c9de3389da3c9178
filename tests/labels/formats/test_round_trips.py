"""Law of formats: what a format can say comes back within half a pixel; the rest is counted."""

import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_tool

from weakseg.labels.fitting import Fit, Seen
from weakseg.labels.formats import runs
from weakseg.labels.formats.files import Files
from weakseg.labels.formats.geometry import area_pixels
from weakseg.labels.formats.masks import Meaning
from weakseg.labels.formats.painting import painted
from weakseg.labels.formats.records import AREAS, KINDS, Classes, Dropped, PictureRecord, Shape
from weakseg.labels.formats.table import FORMATS, WRITABLE, reader, recognise

CLASSES = Classes(("background", "cat", "dog & <co>"))
LABELS = st.sampled_from(CLASSES.objects)
SIZES = st.tuples(st.integers(20, 90), st.integers(20, 90))


@st.composite
def shapes(draw, size):
    """Draw a shape that lies in a picture of a size."""
    across, down = (st.floats(0, side) for side in size)
    kinds = [kind for kind in KINDS if kind != "brush"]  # which no format of ours writes
    kind = draw(st.sampled_from(kinds))
    label = draw(LABELS)
    if kind == "tag":
        return Shape(kind, label, draw(st.booleans()))
    if kind == "click":
        return Shape(kind, label, [draw(across), draw(down)])
    if kind == "answer":
        place = {"x": draw(across), "y": draw(down)}
        return Shape(kind, label, {**place, "drawn": "random", "fit": 2})
    if kind == "stroke":
        path = draw(st.lists(st.tuples(across, down).map(list), min_size=1, max_size=4))
        return Shape(kind, label, {"width": draw(st.sampled_from([1.0, 3.0])), "path": path})
    left, top = (draw(st.floats(0, side - 6)) for side in size)
    right, bottom = (
        draw(st.floats(at + 4, side)) for at, side in zip((left, top), size, strict=True)
    )
    if kind == "box":
        return Shape(kind, label, [left, top, right, bottom])
    if kind == "outline":
        return Shape(kind, label, [[left, top], [right, top], [right, bottom]])
    if kind == "polygon":
        ring = [[left, top], [right, top], [right, bottom], [left, bottom]]
        x, y = (left + right) / 2, (top + bottom) / 2
        hole = [[x, y], [x + 1.5, y], [x + 1.5, y + 1.5]]
        parts = [[ring], [[[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]]]]
        form = draw(st.integers(0, 2))
        return Shape(kind, label, [[[ring]], [[ring, hole]], parts][form])
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    bits = draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    pixels = np.array(bits).reshape(height, width)
    pixels[0, 0] = True
    places = (draw(st.integers(0, side - 12)) for side in size)
    mark = {"model": "probe 0a1b"} if kind == "accepted" or draw(st.booleans()) else {}
    mark |= {"corrections": draw(st.integers(0, 9))} if mark and kind == "mask" else {}
    mark = {} if kind == "brush" else mark
    return Shape(kind, label, runs.mask_geometry(pixels, *places) | mark)


@st.composite
def records(draw):
    """Draw what some pictures carry, in folders too."""
    found = []
    for name in draw(st.sampled_from([["a.jpg"], ["a.jpg", "sub/a.jpg"]])):
        size = draw(SIZES)
        drawn = draw(st.lists(shapes(size), max_size=4, unique_by=lambda one: one.key))
        found.append(PictureRecord(name, size, tuple(drawn), ("full",)))
    return found


def round_trip(name, given_records, folder):
    """Write records and read them again -> ({name: record}, what was dropped in writing)."""
    row, dropped = FORMATS[name], Dropped()
    path = folder / f"labels{row.suffix}" if row.suffix else folder / "labels"
    path.parent.mkdir(exist_ok=True)
    row.write(given_records, path, CLASSES, dropped)
    files, lost = Files(path), Dropped()
    assert recognise(files) == name
    read = list(reader(name, Meaning(CLASSES))(files, lost))
    assert not lost.lost, lost.lines()
    return {stem(record.name): record for record in read}, dropped


def stem(name):
    return name.removeprefix("labels/").removeprefix("images/").rsplit(".", 1)[0]


def near(one, other, size):
    """Whether two shapes say the same within half a pixel."""
    if one.label != other.label:
        return False
    if one.kind in AREAS and other.kind in AREAS:
        differ = area_pixels(one, size) ^ area_pixels(other, size)
        return rim_only(differ, one, size)
    if one.kind != other.kind:
        return False
    if one.kind == "answer":
        return one.key == other.key
    if one.kind == "stroke":
        pairs = zip(one.geometry["path"], other.geometry["path"], strict=True)
        return all(np.allclose(a, b, atol=0.5) for a, b in pairs)
    return np.allclose(one.geometry, other.geometry, atol=0.5)


def rim_only(differ, shape, size):
    """Whether pixels that differ have an edge of the shape within half a pixel of their centre."""
    if not differ.any():
        return True
    pixels = area_pixels(shape, size).astype(np.uint8)
    kernel = np.ones((3, 3), np.uint8)
    return not (differ & (cv2.dilate(pixels, kernel) == cv2.erode(pixels, kernel))).any()


@pytest.mark.parametrize("name", [name for name in WRITABLE if name != "masks"])
@settings(max_examples=25)
@given(given_records=records())
def test_what_a_format_can_say_comes_back(name, given_records):
    with tempfile.TemporaryDirectory() as folder:
        read, dropped = round_trip(name, given_records, Path(folder))
    lost = 0
    for record in given_records:
        back = read.get(stem(record.name), PictureRecord(record.name, None, ()))
        size = tuple(map(int, record.size))
        if back.size is not None and name != "yolo":
            assert tuple(back.size) == record.size
        shown = [scaled(shape, record, back) for shape in back.shapes]
        for shape in record.shapes:
            twin = next((other for other in shown if near(shape, other, size)), None)
            if twin is not None:
                shown.remove(twin)
            else:
                lost += 1
    told = sum(dropped.counts.values())
    assert lost <= told, dropped.lines()


def scaled(shape, record, back):
    """Return a shape in pixels, where the file has shares."""
    if back.size != (1.0, 1.0):
        return shape
    size = tuple(map(int, record.size))
    return Fit.of(back, Seen(size, size)).shape(shape)


@settings(max_examples=25)
@given(record=records())
def test_our_own_format_says_everything(record):
    with tempfile.TemporaryDirectory() as folder:
        read, dropped = round_trip("weakseg", record, Path(folder))
    assert not dropped.counts
    for one in record:
        assert [shape.key for shape in read[stem(one.name)].shapes] == [
            shape.key for shape in one.shapes
        ]


@settings(max_examples=25)
@given(size=SIZES, data=st.data())
def test_masks_that_are_written_are_read(size, data):
    drawn = data.draw(st.lists(shapes(size).filter(lambda one: one.kind == "mask"), max_size=3))
    record = PictureRecord("a.jpg", size, tuple(drawn), ("full",))
    before = painted(record.shapes, size, CLASSES.names, 0)
    with tempfile.TemporaryDirectory() as folder:
        read, _ = round_trip("masks", [record], Path(folder))
    after = painted(read["a"].shapes, size, CLASSES.names, 0)
    assert (before == after).all() and read["a"].complete == ("full",)


# ---- runs


@given(st.integers(1, 30), st.integers(1, 30), st.data())
@settings(max_examples=50)
def test_runs_come_back_in_every_code(height, width, data):
    bits = data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    pixels = np.array(bits).reshape(height, width)
    assert (runs.pixels_of(runs.runs_of(pixels), pixels.size) == pixels.ravel()).all()
    assert (runs.coco_pixels(runs.coco_segmentation(pixels)) == pixels).all()
    assert (runs.brush_pixels(runs.brush_code(pixels), width, height) == pixels).all()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_compressed_runs_are_those_of_the_tools_own_package(height, width, seed):
    pixels = np.random.default_rng(seed).random((height, width)) < 0.4
    coded = coco_tool.encode(np.asfortranarray(pixels.astype(np.uint8)))
    segmentation = {"size": coded["size"], "counts": coded["counts"].decode()}
    assert (runs.coco_pixels(segmentation) == pixels).all()
    plain = coco_tool.frPyObjects(runs.coco_segmentation(pixels), height, width)
    assert (coco_tool.decode(plain).astype(bool) == pixels).all()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_codes_of_brushes_are_those_of_the_tools_own_package(height, width, seed):
    tool = pytest.importorskip("label_studio_sdk.converter.brush")
    pixels = np.random.default_rng(seed).random((height, width)) < 0.4
    code = [int(byte) for byte in tool.mask2rle(pixels.astype(np.uint8) * 255)]
    assert (runs.brush_pixels(code, width, height) == pixels).all()
    back = tool.decode_rle(runs.brush_code(pixels)).reshape(height, width, 4)
    assert (back[..., 3] > 0).tolist() == pixels.tolist()


def test_a_known_code_is_read():
    # By pycocotools 2.0.10, of a square of 2 x 2 pixels at (1, 1) in a picture of 4 x 5.
    square = np.zeros((5, 4), bool)
    square[1:3, 1:3] = True
    assert (runs.coco_pixels({"size": [5, 4], "counts": "62304"}) == square).all()


@pytest.mark.parametrize("letters", ["\x01", "P", "z" * 50])
def test_codes_that_are_none_are_refused(letters):
    with pytest.raises(ValueError):
        runs.pixels_of(runs.coco_counts(letters), 20)
