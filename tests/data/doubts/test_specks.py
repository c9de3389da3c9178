"""Masks that JPEG or averaging filled with single pixels are told, and no others."""

import io
from collections import Counter

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from weakseg.common import IGNORE
from weakseg.data.doubts import specks
from weakseg.data.doubts.rims import RimTally


def scene(seed):
    """A street of nine classes, with thin and small ones, [120, 160] uint8."""
    rng = np.random.default_rng(seed)
    mask = np.full((120, 160), 3, np.uint8)
    for _ in range(40):
        x, y, wide, high = rng.integers((0, 0, 2, 2), (160, 120, 40, 40)).tolist()
        cv2.ellipse(mask, (x, y), (wide // 2, high // 2), 0, 0, 360, rng.integers(9).item(), -1)
    mask[60:62], mask[:, 40] = IGNORE, 7
    return mask


def jpeg(mask):
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "JPEG", quality=90)
    return np.asarray(Image.open(file))


def resized(times, how):
    return lambda mask: cv2.resize(mask, None, fx=times, fy=times, interpolation=how)


WAYS = {
    "as drawn": (lambda mask: mask, False),
    "nearest": (resized(0.5, cv2.INTER_NEAREST), False),
    "nearest, larger": (resized(1.7, cv2.INTER_NEAREST), False),
    "smooth": (lambda mask: cv2.medianBlur(mask, 3), False),
    "jpeg": (jpeg, True),
    "linear": (resized(0.6, cv2.INTER_LINEAR), True),
    "area": (resized(0.5, cv2.INTER_AREA), True),
    "cubic": (resized(2, cv2.INTER_CUBIC), True),
}


def above_none(change):
    """A mask of one object class, saved as white, changed, and taken for whatever is not black."""
    return lambda mask: (change((mask % 3 == 1) * np.uint8(255)) > 0).astype(np.uint8)


WAYS |= {f"{way}, of two": (above_none(WAYS[way][0]), WAYS[way][1]) for way in [*WAYS][:5]}


@pytest.mark.parametrize("way", WAYS)
def test_what_averages_is_told_and_no_other_way(way):
    change, is_told = WAYS[way]
    for tells_specks in (True, False):
        tally = RimTally(tells_specks)
        for number in range(5):
            changed = change(scene(number))
            tally.add(np.where(changed > 8, np.uint8(IGNORE), changed), f"{number}.png")
        lines = tally.lines("here")
        assert any("single pixels" in line for line in lines) == (is_told and tells_specks)


def test_thin_lines_across_are_no_specks():
    assert not specks.is_speckled(np.eye(99, dtype=np.uint8))


@settings(max_examples=50)
@given(
    arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=7), elements=st.integers(0, 2))
)
def test_single_pixels_are_those_like_no_neighbour(mask):
    mask = np.where(mask == 2, IGNORE, mask).astype(np.uint8)
    framed = np.pad(mask.astype(int), 1, constant_values=-1)
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)
    lone, apart = (
        Counter(
            mask[y, x].item()
            for y, x in np.argwhere(mask != IGNORE)
            if np.count_nonzero((framed[y : y + 3, x : x + 3] == mask[y, x])[near]) == 1
        )
        for near in (np.ones((3, 3), bool), cross)
    )
    second = sorted(apart.values())[-2] if len(apart) > 1 else 0
    borders = np.count_nonzero(np.diff(mask, axis=0)) + np.count_nonzero(np.diff(mask, axis=1))
    least = specks.FEWEST
    try:
        specks.FEWEST = 1
        expected = lone.total() >= max(1, specks.SHARE * borders)
        expected = expected or second >= max(1, specks.BESIDE * borders)
        assert specks.is_speckled(mask) == expected
    finally:
        specks.FEWEST = least
