"""Masks whose background lies within an object are told, by a folder and by an import."""

import shlex

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from weakseg.data.datasets import Folder
from weakseg.data.doubts.inverted import FEWEST, InvertedTally, pierced, surrounding
from weakseg.data.mask_values import MaskValues
from weakseg.labels.formats.masks import Meaning
from weakseg.labels.formats.records import Classes
from weakseg.labels.imported import Wishes
from weakseg.labels.importing import read_labels
from weakseg.labels.matching import Pictures

NAMES = ["background", "cat", "dog"]


def disk(x, y, radius=9):
    """A disk of the number 1 in 0, [30, 40]."""
    down, across = np.mgrid[:30, :40]
    return ((across - x) ** 2 + (down - y) ** 2 < radius**2).astype(np.uint8)


@given(st.integers(0, 39), st.integers(0, 29), st.integers(3, 12))
def test_an_object_is_never_around_its_background_unless_it_is_inverted(x, y, radius):
    mask = disk(x, y, radius)
    assert surrounding(mask) is None
    is_within = radius <= min(x, 39 - x, y, 29 - y)
    assert not is_within or surrounding(1 - mask) == 1
    assert surrounding(np.where(mask, 0, 2).astype(np.uint8)) in ((2,) if is_within else (None, 2))


def test_objects_that_fill_pictures_from_edge_to_edge_are_no_fault():
    rows = np.zeros((30, 40), np.uint8)
    for top in range(0, 30, 3):
        rows[top : top + 2] = 1  # as much of the edge as of the whole
    several = np.where(disk(20, 15), 0, np.uint8(1)) + (disk(20, 15, 4) * 2).astype(np.uint8)
    for mask in (rows, np.ones_like(rows), np.zeros_like(rows), several):
        assert surrounding(mask) is None


@given(st.integers(0, 8), st.integers(0, 6), st.integers(1, 3), st.integers(1, 4))
def test_scattered_objects_are_told_from_what_lies_behind_them(left, top, size, gap):
    mask = np.zeros((60, 80), np.uint8)
    mask[top :: size + gap, left :: size + gap] = 1
    mask = cv2.dilate(mask, np.ones((size, size), np.uint8))
    assert pierced(mask) is None
    is_thin = (1 - mask).mean() <= 0.5
    assert pierced(1 - mask) == (None if is_thin else 1)
    tally = InvertedTally(NAMES)
    for number in range(FEWEST):
        tally.add(1 - mask, f"p{number}.png")
    assert bool(tally.lines()) is not is_thin


@pytest.mark.parametrize(("x", "radius"), [(12, 14), (24, 12), (20, 18)])
def test_large_objects_that_touch_the_edge_hide_nothing(x, radius):
    masks = [disk(x + number, 20, radius) for number in range(FEWEST)]
    for is_inverted in (False, True):
        tally = InvertedTally(NAMES)
        for number, mask in enumerate(masks):
            tally.add(1 - mask if is_inverted else mask, f"p{number}.png")
        assert bool(tally.lines()) == is_inverted


@pytest.mark.parametrize("border", [1, 2])
@pytest.mark.parametrize("is_inverted", [False, True])
def test_a_border_between_is_no_reason_to_miss_it(is_inverted, border):
    tally = InvertedTally(NAMES)
    for number in range(FEWEST):
        mask = disk(14 + number, 15) + disk(14 + number, 15, 7)  # 0 behind, 1 between, 2 the object
        order = [2, 1, 0] if is_inverted else [0, 1, 2]
        numbers = np.array([[0, border, 3 - border][k] for k in order], np.uint8)
        tally.add(numbers[mask], f"p{number}.png")
    words = f"{NAMES[3 - border]} along the edge and background mostly within"
    assert [words in line for line in tally.lines()] == [True] * is_inverted


@pytest.mark.parametrize("right", [0, 1, 2])
def test_most_of_five_must_be_so(right):
    tally = InvertedTally(NAMES)
    for number in range(FEWEST + right):
        tally.add(disk(20, 15) if number < right else 1 - disk(20, 15), f"p{number}.png")
    assert len(tally.lines()) == (right < 2)


@pytest.mark.parametrize("wrong", [0, FEWEST - 1, FEWEST, 15])
def test_some_beside_others_are_told_where_all_is_clear(wrong):
    tally = InvertedTally(NAMES)
    for number in range(20):
        mask = disk(10 + number, 15)
        tally.add(1 - mask if number < wrong else mask, f"p{number}.png")
    assert [line[:2] for line in tally.lines()] == ([f"{wrong} "[:2]] if wrong >= FEWEST else [])


@given(st.lists(st.tuples(st.integers(0, 39), st.integers(0, 29), st.integers(9, 30)), max_size=30))
def test_objects_of_any_size_and_place_are_never_told(places):
    tally = InvertedTally(NAMES)
    for number, place in enumerate(places):
        tally.add(disk(*place), f"p{number}.png")
    assert tally.lines() == []


@pytest.mark.parametrize("white", [1, 255, "#ffffff"])
def test_a_folder_and_an_import_say_so_with_words_that_mend_it(white, tmp_path):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for number in range(FEWEST):
        mask = Image.fromarray((1 - disk(15 + number, 15)) * np.uint8(1 if white == 1 else 255))
        mask.convert("L" if isinstance(white, int) else "RGB").save(
            tmp_path / f"masks/p{number}.png"
        )
        Image.new("RGB", (40, 30), (number, 9, 9)).save(tmp_path / f"images/p{number}.png")
    (tmp_path / "classes.txt").write_text("background\ntabby cat\n")
    names = ["background", "tabby cat"]
    black = 0 if isinstance(white, int) else "#000000"
    words = [] if white == 1 else [f"{white}=tabby cat", f"{black}=background"]

    def told(words):
        values = MaskValues.of_flags(words, None, names)
        wishes = Wishes(meaning=Meaning(Classes(names), values))
        pictures = Pictures(tmp_path / "images")
        found = read_labels(tmp_path / "masks", pictures, wishes)
        dataset = Folder(tmp_path, cache_dir=tmp_path / ".cache", mask_values=words)
        lines = [*found.dropped.lines(), *dataset.notes()]
        return [line for line in lines if "mostly within" in line]

    first, second = told(words)
    assert first in second
    mended = shlex.split(first.split("--mask_values ")[1])
    assert mended == [f"{black}=tabby cat", f"{white}=background"] and told(mended) == []
