"""Labels of one image that deny one another, of people and of several sources."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_label_record import BY_PEOPLE, BY_PROGRAM
from test_store import says

from weakseg.labels.agreement import SLACK, gainsaid, struck
from weakseg.labels.carried import label_record, merged
from weakseg.labels.formats.records import Shape
from weakseg.labels.label_record import read_record

NAMES = ("background", "cat", "dog")
BOX = [10, 10, 30, 30, 1]
OUTLINE = {"class": 1, "polygon": [[10, 10], [30, 10], [30, 30]]}
WEAK = ("points", "scribbles", "boxes", "outlines", "tags")


def read(complete=("boxes",), picture=BY_PEOPLE, **labels):
    record = {"size": [60, 40], "boxes": [BOX], "complete": [*complete], **labels}
    return read_record(record, picture, WEAK)


@given(x=st.floats(2, 59), y=st.floats(2, 39), label=st.sampled_from([0, 1, 2, 255]))
def test_a_click_on_an_object_lies_in_a_box_of_a_complete_list(x, y, label):
    slack = SLACK * 60
    inside = all(10 - slack <= value <= 30 + slack for value in (x, y))
    read((), points=[[x, y, label]])
    read(
        picture=BY_PROGRAM,
        points=[[x, y, label]],
        scribbles=[],
        outlines=[],
        tags={"present": ["cat"]},
    )
    if label in (0, 255) or (label == 1 and inside):
        read(points=[[x, y, label]])
        return
    with pytest.raises(
        ValueError, match=r"click 1 of (cat|dog) lies outside of all its boxes, who"
    ):
        read(points=[[x, y, label]])


def test_a_stroke_may_leave_its_box_but_not_miss_it():
    def stroke(*path):
        return [{"class": 1, "width": 1, "path": [*path]}]

    read(scribbles=stroke([20, 20], [50, 20]))
    with pytest.raises(ValueError, match="stroke 1 of cat lies outside of all its boxes"):
        read(scribbles=stroke([40, 20], [50, 20]))


def test_two_strokes_of_one_path_are_of_one_class():
    def strokes(*labels, path=((20, 20), (25, 20))):
        return [{"class": n, "width": 1 + i, "path": [*path]} for i, n in enumerate(labels)]

    read((), scribbles=strokes(1, 1) + strokes(2, path=((22, 18), (22, 25))))
    with pytest.raises(ValueError, match="stroke 1 of cat and stroke 3 of dog have one path; keep"):
        read((), scribbles=strokes(1, 1, 2))


paths = st.lists(st.tuples(st.integers(5, 54), st.integers(5, 34)), min_size=2, max_size=5)


@given(paths, st.booleans(), st.integers(2, 9), st.floats(0, 0.4), st.sampled_from([1, 2, 255]))
def test_strokes_over_the_same_pixels_are_of_one_class_however_they_were_drawn(
    path, is_reversed, times, shift, label
):
    """The same line drawn the other way round, with more places, and not quite on it."""
    finer = [
        [a[0] + (b[0] - a[0]) * k / times + 0.5, a[1] + (b[1] - a[1]) * k / times + shift]
        for a, b in pairwise(path)
        for k in range(times)
    ]
    finer.append([path[-1][0] + 0.5, path[-1][1] + shift])
    again = finer[::-1] if is_reversed else finer
    strokes = [
        {"class": 1, "width": 1, "path": [[x + 0.5, y] for x, y in path]},
        {"class": label, "width": 3, "path": again},
    ]
    if label in (1, 255):
        read((), scribbles=strokes)
        return
    with pytest.raises(ValueError, match="stroke 1 of cat and stroke 2 of dog have one path"):
        read((), scribbles=strokes)


@given(st.integers(2, 25), st.integers(6, 54))
def test_strokes_that_cross_are_a_slip(height, column):
    down = {"class": 1, "width": 1, "path": [[column, 5], [column, 5 + height]]}
    across = {"class": 2, "width": 1, "path": [[5, 6], [55, 6]]}
    if height > 2:
        read((), scribbles=[down, across])


def test_what_is_near_an_outline_is_in_it():
    """It is coarse: only what lies beside all that it reaches over is no part of its object."""
    read(["outlines"], outlines=[OUTLINE], points=[[12, 28, 1]])
    with pytest.raises(
        ValueError, match=r"lies outside of all its outlines, whose list is complet"
    ):
        read(["outlines"], outlines=[OUTLINE], points=[[40, 28, 1]])
    read((), outlines=[OUTLINE], points=[[40, 28, 1]])


def test_what_a_tag_denies_is_nowhere():
    read(tags={"present": ["cat"], "absent": ["dog"]})
    with pytest.raises(ValueError, match="tags: cat is absent, but box 1 shows it; mend one"):
        read(tags={"present": [], "absent": ["cat"]})
    with pytest.raises(ValueError, match="tags: cat is absent, but outline 1 shows it"):
        read(boxes=[], outlines=[OUTLINE], tags={"absent": ["cat"]})
    with pytest.raises(ValueError, match="tags: dog is absent, but click 2 shows it"):
        read((), points=[[20, 20, 1], [5, 5, 2]], tags={"absent": ["dog"]})
    nothing = {"points": [], "scribbles": [], "outlines": []}
    read(picture=BY_PROGRAM, **nothing, tags={"absent": ["cat"]})  # its own noise


@given(shift=st.tuples(*[st.floats(-4, 4)] * 4), label=st.sampled_from([1, 2]))
def test_two_boxes_in_one_place_are_of_one_class(shift, label):
    box = [a + b for a, b in zip(BOX[:4], shift, strict=True)]
    if label == 1 or max(map(abs, shift)) > 1:
        read(boxes=[BOX, [*box, label]])
    elif max(map(abs, shift)) < 0.9:
        with pytest.raises(ValueError, match=r"box 1.* and box 2.* lie in one place.*; keep one"):
            read(boxes=[BOX, [*box, label]])


def test_two_boxes_of_all_of_a_picture_may_be_of_two_classes():
    read(boxes=[[0, 0, 60, 40, 1], [0.5, 0, 60, 40, 2]])


def test_two_outlines_of_one_thing_are_of_one_class():
    other = {"class": 2, "polygon": [[10, 10], [10, 30], [30, 30]]}  # the other half of its box
    read(outlines=[OUTLINE, other])
    with pytest.raises(ValueError, match="outline 1 of cat and outline 2 of dog lie in one place"):
        read(outlines=[OUTLINE, {**OUTLINE, "class": 2}])


@pytest.mark.parametrize("label, is_same", [(1, True), (2, False), (255, True)])
def test_a_click_and_an_answer_in_one_pixel_are_of_one_class(label, is_same):
    answer = {"x": 20.5, "y": 20.5, "class": label, "drawn": "random", "fit": 0}
    record = {"size": [60, 40], "points": [[20.1, 20.9, 1]], "pixels": [answer]}
    if is_same:
        read_record(record, BY_PEOPLE, ("points", "pixels"))
        return
    with pytest.raises(ValueError, match="click 1 of cat and answer 1 of dog lie in one pixel"):
        read_record(record, BY_PEOPLE, ("points", "pixels"))


def test_a_complete_list_has_a_box_of_each_tag_that_is_present():
    read(tags={"present": ["cat"]})
    read((), tags={"present": ["dog"]})
    with pytest.raises(ValueError, match="tags: dog is present, but the list of boxes, which is"):
        read(tags={"present": ["dog"]})
    tag, box = Shape("tag", "dog", True), Shape("box", "cat", BOX[:4])
    sources = {"a": says(box, complete=("boxes",)), "b": says(tag)}
    assert label_record(merged(sources), NAMES, NAMES, True)["complete"] == []


def test_clicks_and_answers_that_a_mask_gainsays_are_named():
    mask = np.zeros((40, 60), np.uint8)
    mask[:, 30:], mask[:, 50:] = 1, 255
    points = [[10, 10, 1], [27, 10, 1], [31, 10, 0], [40, 10, 1], [55, 10, 2], [10, 10, 255]]
    answers = [{"x": 40.5, "y": 10.5, "class": 2}]
    labels = {"size": [60, 40], "points": points, "pixels": answers}
    assert gainsaid(labels, mask) == ["click 1", "click 2", "answer 1"]


@given(left=st.integers(0, 39), width=st.integers(4, 20), label=st.sampled_from([0, 1, 2, 255]))
def test_strokes_and_frames_that_a_mask_gainsays_are_named(left, width, label):
    """Class 1 begins at column 30, what is not labelled at 50."""
    mask = np.zeros((40, 60), np.uint8)
    mask[:, 30:], mask[:, 50:] = 1, 255
    under = mask[20, left : left + width + 1]
    stroke = {"class": label, "width": 3, "path": [[left + 0.5, 20.5], [left + width + 0.5, 20.5]]}
    labels = {"size": [60, 40], "scribbles": [stroke]}
    denied = label != 255 and bool(sum((under != label) & (under != 255)) > under.size / 2)
    assert gainsaid(labels, mask) == ["stroke 1"] * denied
    if label in (1, 2):
        corners = [left, 10, left + width, 30]
        polygon = [[left, 10], [left + width, 10], [left + width, 30]]
        frames = {"boxes": [[*corners, label]], "outlines": [{"class": label, "polygon": polygon}]}
        shown = mask[20, left : left + width]
        is_void = (shown == 255).mean() >= 0.5
        names = [] if label in shown or is_void else ["box 1", "outline 1"]
        assert gainsaid({"size": [60, 40], **frames}, mask) == names


@given(x=st.integers(0, 59), label=st.sampled_from([0, 1, 255]), other=st.sampled_from([1, 255]))
def test_clicks_and_answers_on_a_stroke_of_another_class_are_named(x, label, other):
    strokes = [{"class": other, "width": 9, "path": [[10.5, 20.5], [30.5, 20.5]]}]
    marks = {"points": [[x, 20.2, label]], "pixels": [{"x": x + 0.5, "y": 23.5, "class": 0}]}
    named = struck({"size": [60, 40], "scribbles": strokes, **marks})
    denied = 10 <= x <= 30 and (label, other) == (0, 1)
    assert named == ["click 1 on stroke 1"] * denied


@pytest.mark.parametrize("place, is_complete", [([20.0, 20.0], True), ([50.0, 20.0], False)])
def test_an_object_that_another_source_missed_leaves_boxes_incomplete(place, is_complete):
    boxes = says(Shape("box", "cat", BOX[:4]), complete=("boxes",))
    clicks = says(Shape("click", "cat", place), Shape("click", "background", [50.0, 5.0]))
    record = label_record(merged({"a": boxes, "b": clicks}), NAMES, (), True)
    assert ("boxes" in record["complete"]) == is_complete
    assert len(record["points"]) == 2 and len(record["boxes"]) == 1
    outline = Shape("outline", "cat", [[10.0, 10.0], [30.0, 10.0], [30.0, 30.0]])
    outlines = says(outline, complete=("outlines",))
    record = label_record(merged({"a": outlines, "b": clicks}), NAMES, (), True)
    assert ("outlines" in record["complete"]) == is_complete and len(record["outlines"]) == 1


@pytest.mark.parametrize(
    "key, meant", [("clicks", "points"), ("bbox", "boxes"), ("strokes", "scribbles")]
)
def test_what_people_may_call_a_kind_is_told_its_name(key, meant):
    with pytest.raises(ValueError, match=rf"unknown key '{key}'; did you mean {meant}\?"):
        read(**{key: []})
