"""Laws of objects that are told apart, of what is measured of them, and of the journal."""

import json

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from weakseg.common import UserError
from weakseg.data.predictions import LINES
from weakseg.data.reading import Photograph
from weakseg.inference.journal import Journal, open_folder
from weakseg.inference.objects import MEASURES, Separation, describe, separate
from weakseg.inference.trained import Confidence

BY_SHAPE, CONNECTED = Separation(True), Separation(False)
MASKS = st.integers(0, 10**6).map(
    lambda seed: cv2.resize(
        np.random.default_rng(seed).integers(0, 3, (6, 7), dtype=np.uint8),
        (28, 24),
        interpolation=cv2.INTER_NEAREST,
    )
)


def discs(*circles, shape=(200, 300)):
    """Return a mask of discs (x, y, radius) of class 1."""
    mask = np.zeros(shape, np.uint8)
    for x, y, radius in circles:
        cv2.circle(mask, (round(x), round(y)), round(radius), 1, -1)
    return mask


@given(MASKS, st.booleans(), st.booleans(), st.integers(1, 40))
@settings(max_examples=40)
def test_objects_are_disjoint_parts_of_one_class_each(mask, by_shape, has_background, min_area):
    numbers, classes = separate(mask, Separation(by_shape, min_area), has_background)
    assert set(np.unique(numbers)) - {0} == set(range(1, len(classes) + 1))
    areas = np.bincount(numbers.ravel(), minlength=len(classes) + 1)[1:]
    assert (areas >= min_area).all()
    for number, label in enumerate(classes, 1):
        assert (mask[numbers == number] == label).all()
        assert label or not has_background
        own = (numbers == number).astype(np.uint8)
        assert cv2.connectedComponents(own)[0] == 2  # in one piece
    if min_area == 1:
        assert np.array_equal(numbers > 0, (mask > 0) | (not has_background))


@given(st.floats(5, 40), st.floats(0.4, 1), st.floats(0, 180))
@settings(max_examples=40)
def test_an_ellipse_is_one_object_however_large_and_turned(length, ratio, angle):
    mask = np.zeros((120, 120), np.uint8)
    cv2.ellipse(
        mask, (60, 60), (round(length), max(3, round(length * ratio))), angle, 0, 360, 1, -1
    )
    assert len(separate(mask, BY_SHAPE)[1]) == 1


@given(st.integers(10, 40), st.floats(0.7, 1), st.floats(1.65, 1.9))
@settings(max_examples=40)
def test_two_discs_that_touch_are_two_objects(radius, ratio, gap):
    """Of any size: the waist is a share of the smaller one."""
    other = round(radius * ratio)
    mask = discs((60, 100, radius), (60 + gap * (radius + other) / 2, 100, other))
    assert len(separate(mask, CONNECTED)[1]) == 1
    numbers, classes = separate(mask, BY_SHAPE)
    assert classes == [1, 1] and numbers[100, 60] != numbers[100, round(60 + gap * radius)]


def test_classes_that_touch_are_never_joined_and_one_click_a_part_leaves_it_whole():
    mask = discs((60, 100, 40), (120, 100, 40))
    assert separate(mask, BY_SHAPE, clicks=[[60, 100, 1]])[1] == [1]
    assert separate(mask, BY_SHAPE, clicks=[[60, 100, 2], [0, 0, 1], [900, -5, 1]])[1] == [1, 1]
    numbers, classes = separate(mask, CONNECTED, clicks=[[x, 100, 1] for x in (30, 60, 130)])
    assert classes == [1] * 3 and len({numbers[100, x] for x in (30, 60, 130)}) == 3
    mask[:, 90:] *= 2
    assert separate(mask, CONNECTED)[1] == [1, 2]


def test_measures_are_those_of_the_pixels_and_of_deep_values(tmp_path):
    mask = discs((20, 30, 9), (70, 40, 14), shape=(80, 100))
    values = np.random.default_rng(0).integers(0, 60000, mask.shape).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    image = np.zeros((*mask.shape, 3), np.uint8)
    numbers, classes = separate(mask, CONNECTED)
    rows = describe(numbers, classes, Photograph(tmp_path / "deep.png"), image)
    for number, row in enumerate(rows, 1):
        one, where = dict(zip(MEASURES, row, strict=True)), numbers == number
        y, x = np.nonzero(where)
        assert one["area"] == where.sum() and one["class"] == 1
        assert (one["x0"], one["y1"]) == (x.min(), y.max() + 1)
        assert one["y"] == pytest.approx(y.mean() + 0.5, abs=0.01)
        assert one["intensity"] == pytest.approx(values[where].mean(), abs=0.01)
    assert describe(np.zeros_like(numbers), [], Photograph(tmp_path / "deep.png"), image) == []


# ---- how sure


@given(st.integers(0, 10**6), st.integers(1, 23))
@settings(max_examples=30)
def test_confidence_adds_up_over_parts_and_is_that_of_plain_sums(seed, cut):
    logits = torch.randn(3, 24, 10, generator=torch.Generator().manual_seed(seed))
    chances = (3 * logits).softmax(0)
    whole, parts = Confidence(3), Confidence(3)
    whole.add(chances)
    parts.add(chances[:, :cut])
    parts.add(chances[:, cut:].numpy())
    mask, values = chances.argmax(0), []
    for label in mask.unique().tolist():
        shown, own = mask == label, chances[label].double()
        common = own[shown].sum()
        values.append(common / (shown.sum() + own.sum() - common))
    assert 0 < whole.value <= 1 and parts.value == pytest.approx(whole.value)
    assert whole.value == pytest.approx(float(sum(values)) / len(values))


def test_who_has_no_doubt_is_sure():
    own = Confidence(3)
    own.add(torch.nn.functional.one_hot(torch.arange(2).repeat(4, 4), 3).permute(2, 0, 1).float())
    assert own.value == 1


# ---- the journal


@given(st.data())
@settings(max_examples=30)
def test_a_journal_that_was_cut_anywhere_keeps_its_whole_lines(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("journal")
    lines = [{"id": name, "value": number} for number, name in enumerate("abcab")]
    journal = Journal(folder)
    for line in lines:
        journal.add(line)
    content = (folder / LINES).read_bytes()
    ends = [k + 1 for k, byte in enumerate(content) if byte == ord("\n")]
    cut = data.draw(st.integers(0, len(content)))
    (folder / LINES).write_bytes(content[:cut])
    whole = {line["id"]: line for line in lines[: sum(end <= cut for end in ends)]}
    again = Journal(folder)
    assert {line["id"]: line for line in again.lines("abc")} == whole
    again.add({"id": "d"})
    assert [*Journal(folder).places] == [*whole, "d"]


def test_a_record_of_another_kind_is_refused(tmp_path):
    open_folder(tmp_path, {"model": "a"}, False, {}).add({"id": "x"})
    assert [*open_folder(tmp_path, {"model": "a"}, False, {}).places] == ["x"]
    with pytest.raises(UserError, match="another model"):
        open_folder(tmp_path, {"model": "b"}, False, {})
    (tmp_path / "predictions.json").write_text("[")
    with pytest.raises(UserError, match=r"predictions\.json"):
        open_folder(tmp_path, {"model": "a"}, False, {})
    (tmp_path / "predictions.json").write_text(json.dumps([1]))
    with pytest.raises(UserError, match=r"predictions\.json"):
        open_folder(tmp_path, {"model": "a"}, False, {})
