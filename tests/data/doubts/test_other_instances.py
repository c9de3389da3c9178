"""Numbers of objects that lie beside the objects of the masks are told, those of some are not."""

import numpy as np
import pytest
from made_folders import write
from PIL import Image

from weakseg.data.folder import Folder


def picture_of(number, objects=2):
    """Objects of a picture, each with a number of its own, [40, 40] uint16."""
    rng, numbers = np.random.default_rng(number), np.zeros((40, 40), np.uint16)
    for place, (left, top) in enumerate(rng.integers(0, 24, (objects, 2)), 1):
        numbers[top : top + 14, left : left + 14][np.add.outer(range(14), range(14)) > 4] = place
    return numbers


def reach(numbers):
    """Numbers that go beyond their objects."""
    return np.where(numbers > 0, numbers, np.roll(numbers, 6, 1))


@pytest.mark.parametrize(
    ("numbers_of", "is_told"),
    [
        (lambda k: picture_of((k + 1) % 8), True),
        (picture_of, False),
        (lambda k: picture_of(k, 1), False),  # of some objects
        (lambda k: reach(picture_of(k)), False),
        (lambda k: np.roll(picture_of(k), 1, (0, 1)), False),  # drawn by somebody else
    ],
)
def test_numbers_that_belong_to_other_pictures_are_told(numbers_of, is_told, tmp_path):
    for part in ("images", "masks", "instances"):
        (tmp_path / part).mkdir()
    for number in range(8):
        mask = (picture_of(number) > 0).astype(np.uint8)
        Image.new("RGB", (40, 40), number).save(tmp_path / f"images/{number}.png")
        Image.fromarray(mask).save(tmp_path / f"masks/{number}.png")
        Image.fromarray(numbers_of(number)).save(tmp_path / f"instances/{number}.png")
    write(tmp_path / "classes.txt", "background", "blob")
    lines = [one for one in Folder(tmp_path, cache_dir=tmp_path).notes() if "numbers of obj" in one]
    assert len(lines) == is_told
