"""Numbers of objects in several places each are told: resized with interpolation, or in 8 bits."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from weakseg.data.doubts.torn_instances import TORN, regions_a_number
from weakseg.data.folder import Folder


def squares(step=10, side=6):
    """Objects in rows, each with its number, [60, 80] uint16."""
    numbers = np.zeros((60, 80), np.uint16)
    for place in range((60 // step) * (80 // step)):
        top, left = (step * part for part in divmod(place, 80 // step))
        numbers[top : top + side, left : left + side] = place + 1
    return numbers


@given(st.integers(2, 20), st.integers(1, 20), st.integers(1, 4))
def test_objects_of_one_piece_have_one_region_and_halves_have_two(step, side, scale):
    whole = squares(step, min(side, step))
    larger = np.kron(whole, np.ones((scale, scale), np.uint16))
    assert regions_a_number(whole) == regions_a_number(larger) == 1
    assert regions_a_number(np.hstack([whole, np.zeros_like(whole)[:, :1], whole])) == 2
    assert regions_a_number(np.zeros_like(whole)) == 0


@pytest.mark.parametrize(
    ("change", "is_told"),
    [
        (lambda numbers: numbers, False),
        (lambda numbers: cv2.resize(numbers, (160, 120), interpolation=cv2.INTER_NEAREST), False),
        (lambda numbers: cv2.resize(numbers, (160, 120), interpolation=cv2.INTER_LINEAR), True),
        (lambda numbers: (numbers % 16).astype(np.uint8), True),  # as of 8 bits and many more
    ],
)
def test_a_folder_says_so(change, is_told, tmp_path):
    for part in ("images", "masks", "instances"):
        (tmp_path / part).mkdir()
    numbers = change(squares())
    assert (regions_a_number(numbers) > TORN) == is_told
    for name in "abcd":
        size = numbers.shape[::-1]
        Image.new("RGB", size, (ord(name), 9, 9)).save(tmp_path / f"images/{name}.png")
        Image.fromarray((numbers > 0).astype(np.uint8)).save(tmp_path / f"masks/{name}.png")
        Image.fromarray(numbers).save(tmp_path / f"instances/{name}.png")
    (tmp_path / "classes.txt").write_text("background\nblob\n")
    notes = Folder(tmp_path, cache_dir=tmp_path / ".cache").notes()
    assert any("objects lie in several places" in line for line in notes) == is_told
