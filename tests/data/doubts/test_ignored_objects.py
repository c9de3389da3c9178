"""Masks of 0 and 255 where 255 borders objects: objects of 255 are told, borders are not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from weakseg.data.datasets import Folder
from weakseg.data.doubts.ignored_objects import is_object
from weakseg.data.doubts.inverted import FEWEST


def disk(radius, x=40, y=30):
    down, across = np.mgrid[:60, :80]
    return (across - x) ** 2 + (down - y) ** 2 < radius**2


@given(st.integers(5, 25), st.integers(0, 79), st.integers(0, 59))
def test_a_disk_is_an_object_and_neither_its_border_nor_what_surrounds_it_is(radius, x, y):
    filled = np.where(disk(radius, x, y), np.uint8(255), 0)
    ring = np.where(disk(radius - 2, x, y), 0, filled)
    assert not is_object(ring) and not is_object(255 - filled)
    is_within = radius <= min(x, 79 - x, y, 59 - y)
    assert is_object(filled) or not is_within


@pytest.mark.parametrize("white", [FEWEST - 1, FEWEST])
def test_a_folder_says_which_masks_ignore_all_that_they_show(white, tmp_path):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for number in range(12):
        inner, outer = disk(12, 30 + number), disk(14, 30 + number)
        mask = np.where(outer, 255, 0) if number < white else np.where(inner, 1, 255 * outer)
        Image.fromarray(mask.astype(np.uint8)).save(tmp_path / f"masks/p{number:02}.png")
        Image.new("RGB", (80, 60), (number, 9, 9)).save(tmp_path / f"images/p{number:02}.png")
    (tmp_path / "classes.txt").write_text("background\ncat\n")
    notes = Folder(tmp_path, cache_dir=tmp_path / ".cache").notes()
    lines = [line for line in notes if "write the number of cat in place of it" in line]
    assert len(lines) == (white == FEWEST)
    assert all(f"{FEWEST} masks, the first p00.png, hold only 0 and 255" in one for one in lines)
