"""Boxes whose middles were written as corners, or the other way around, are told; others not."""

import json

import numpy as np
import pytest
from conftest import run
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import labels
from weakseg.common import UserError
from weakseg.labels.doubts.half_boxes import BEYOND, FEWEST, HalfBoxes

SIZE = np.array([300, 200])
CAUSES = {1: "where middles were written as their corners", -1: "where corners were written as"}


def boxes(seed, number, largest=0.6):
    """Return boxes [N, 4] anywhere in a picture."""
    random = np.random.default_rng(seed)
    sides = random.uniform(0.05, largest, (number, 2)) * SIZE
    corners = random.uniform(0, 1, (number, 2)) * (SIZE - sides)
    return np.hstack([corners, corners + sides]).round()


def told(places, given, size=SIZE):
    tally = HalfBoxes()
    for place, box in enumerate(places):
        tally.add(box.tolist(), f"{place}", given, size)
    return [*tally.lines()]


@given(st.integers(0, 999), st.sampled_from([1, -1]), st.booleans())
@settings(max_examples=40)
def test_boxes_that_are_half_a_box_off_are_told(seed, way, in_shares):
    right = boxes(seed, 150)
    half = np.tile((right[:, 2:] - right[:, :2]) / 2, 2)
    measure = np.tile(SIZE, 2) if in_shares else np.ones(4)
    given_size = (1, 1) if in_shares else tuple(SIZE)
    assert not told(right / measure, given_size)
    (line,) = told((right + way * half) / measure, given_size)
    assert CAUSES[way] in line and " and 0 come near the " in line
    wrong = right.copy()
    wrong[75:] += way * half[75:]  # some are right
    assert not told(wrong / measure, given_size)


def test_few_boxes_or_such_within_their_pictures_tell_nothing():
    low = np.array([[250, 150, 296, 196]] * 30)  # as on a belt, always in one corner
    assert not told(low, SIZE)
    assert told(low + 40, SIZE) and BEYOND > 1
    assert not told((low + 40)[: FEWEST - 1], SIZE)


@pytest.mark.parametrize("largest, is_refused", [(0.3, False), (0.95, True)])
def test_an_import_of_them_names_the_cause(largest, is_refused, tmp_path, capsys):
    (tmp_path / "images").mkdir()
    Image.new("RGB", tuple(SIZE)).save(tmp_path / "images/a.png")
    right = boxes(0, 150, largest)
    sides = right[:, 2:] - right[:, :2]
    entries = np.hstack([right[:, :2] + sides / 2, sides])
    some = [
        {"id": k, "image_id": 1, "category_id": 1, "bbox": b.tolist()}
        for k, b in enumerate(entries)
    ]
    images = [{"id": 1, "file_name": "a.png", "width": 300, "height": 200}]
    content = {"images": images, "annotations": some, "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    words = ["--images", tmp_path / "images", "--output", tmp_path / "s"]
    if is_refused:
        with pytest.raises(UserError, match=CAUSES[1]):
            run(labels, "import", tmp_path / "a.json", *words)
        return
    run(labels, "import", tmp_path / "a.json", *words)
    assert CAUSES[1] in capsys.readouterr().out
