"""Photographs that EXIF turns: of masks that fit either way people are asked."""

import shutil

import numpy as np
import pytest
from made_folders import mask, opened, write
from PIL import Image

from weakseg.data.doubts.turned import is_plain_jpeg, turn_of


def turned(path, size, turn, kind="JPEG"):
    """Write a photograph whose EXIF says how to turn its stored pixels of a size."""
    block = Image.Exif()
    block[0x0112] = turn
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(turn).integers(0, 255, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(path, kind, exif=block)


def lines(root):
    return [line for line in opened(root).notes() if "EXIF" in line]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_masks_that_fit_turned_and_not_are_told_with_their_photographs(tmp_path, turn, kind):
    root, square = tmp_path / "data", turn >= 5
    size = (8, 8) if square else (8, 6)
    write(root / "classes.txt", "background", "fox")
    for number in range(4):
        turned(root / f"images/p{number}.jpg", size, turn if number else 1, kind)
        mask(root / f"masks/p{number}.png", [0, 1], size)
    assert turn_of(root / "images/p1.jpg") == turn
    assert not is_plain_jpeg(root / "images/p1.jpg")
    told = lines(root)
    assert bool(told) == (turn != 1)
    assert not told or "turns 3 photographs, the first images/p1.jpg" in told[0]

    # A mask that fits the upright photograph alone says what all are drawn on.
    turned(root / "images/z.jpg", (9, 6), 6)
    mask(root / "masks/z.png", [0, 1], (6, 9))
    assert not lines(root)


def test_masks_that_are_turned_as_their_photographs_are_no_question(tmp_path):
    root = tmp_path / "data"
    write(root / "classes.txt", "background", "fox")
    for number in range(3):
        turned(root / f"images/p{number}.jpg", (8, 6), 3)
        mask(root / f"masks/p{number}.png", [0, 1])
        path = root / f"masks/p{number}.png"
        Image.open(path).save(path, exif=Image.open(root / "images/p0.jpg").getexif())
    assert not lines(root)
    shutil.rmtree(root / "masks")
    assert not lines(root)


def test_only_a_jpeg_without_metadata_is_plain(tmp_path):
    pixels = Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 8, 3), np.uint8))
    for kind, more in (("JPEG", {}), ("JPEG", {"icc_profile": b"a" * 70000}), ("PNG", {})):
        pixels.save(tmp_path / "p", kind, **more)
        assert is_plain_jpeg(tmp_path / "p") == (kind == "JPEG")
        content = (tmp_path / "p").read_bytes()
        for place in range(0, 600, 59):  # wherever it ends
            (tmp_path / "cut").write_bytes(content[:place])
            is_plain_jpeg(tmp_path / "cut")
    pixels.save(tmp_path / "p", "JPEG", xmp=b"tiff:Orientation")
    assert not is_plain_jpeg(tmp_path / "p") and not is_plain_jpeg(tmp_path)
