"""Masks that were resized by averaging are told from masks of thin things."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from weakseg.data.datasets import Folder
from weakseg.data.rims import inner, rims

BILINEAR, NEAREST = Image.Resampling.BILINEAR, Image.Resampling.NEAREST


def drawn(number, low=0, high=2):
    """A disk of one number in another, and a stripe of the number 1 where `number` is odd."""
    y, x = np.mgrid[:80, :100]
    mask = np.where((x - 40 - number) ** 2 + (y - 35) ** 2 < 400, high, low).astype(np.uint8)
    if number % 2:
        mask[70:, :] = 1
    return mask


@given(st.integers(0, 9), st.sampled_from([(0, 2), (1, 4), (0, 20)]), st.integers(45, 70))
def test_averaging_leaves_rims_and_nearest_neighbour_none(number, ends, size):
    mask = Image.fromarray(drawn(number, *ends))
    for how in (BILINEAR, NEAREST):
        smaller = np.asarray(mask.resize((size, size), how))
        found = rims(smaller, inner(np.unique(smaller).tolist()))
        assert how == BILINEAR or not found
        if ends == (0, 2) and number % 2 == 0:
            assert found == ({1} if how == BILINEAR else set())


@given(st.integers(1, 3), st.permutations([0, 1, 2]))
def test_thin_things_between_lower_and_higher_numbers_alone_are_rims(width, numbers):
    """A wire before one thing is none, whatever its number is."""
    wire, ground, other = numbers
    mask = np.full((40, 60), ground, np.uint8)
    mask[:, :10] = other
    mask[20 : 20 + width, 12:] = wire
    assert rims(mask, {0, 1, 2}) == set()


@pytest.mark.parametrize("how", [BILINEAR, NEAREST])
def test_a_folder_of_averaged_masks_says_so(how, tmp_path):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for number in range(8):
        mask = Image.fromarray(drawn(number)).resize((50, 40), how)
        mask.save(tmp_path / f"masks/p{number}.png")
        Image.new("RGB", (50, 40), (number, 9, 9)).save(tmp_path / f"images/p{number}.png")
    (tmp_path / "classes.txt").write_text("background\ncat\ndog\n")
    notes = Folder(tmp_path, cache_dir=tmp_path / ".cache").notes()
    told = [line for line in notes if "thin rim" in line]
    assert len(told) == (how == BILINEAR)
    assert not told or told[0].startswith(f"{tmp_path}: 4 of 8 masks that were looked at")
