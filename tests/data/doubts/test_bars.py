"""Masks that mark something within the bars of padded photographs are told, and others are not."""

import cv2
import numpy as np
import pytest
from PIL import Image

from weakseg.data.folder import Folder

SIDE, WIDE, HIGH = 96, 96, 48  # of a padded photograph, and of what it shows


def photograph(number, grey):
    """A padded photograph [SIDE, SIDE, 3] of noise, with an object from edge to edge, its mask."""
    rng = np.random.default_rng(number)
    shown = rng.integers(40, 90, (HIGH, WIDE, 3), np.uint8)
    mask = np.zeros((HIGH, WIDE), np.uint8)
    left = int(rng.integers(10, 40))
    mask[:, left : left + 30] = 1
    padded = np.full((SIDE, SIDE, 3), grey, np.uint8)
    padded[24:72] = np.where(mask[..., None] > 0, shown + 90, shown)
    return padded, mask


def drawn_over(mask):
    """Return {how: the mask [SIDE, SIDE] of the padded photograph}."""
    alike = np.pad(mask, ((24, 24), (0, 0)))
    return {
        "stretched": cv2.resize(mask, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST),
        "alike": alike,
        "with a wide pen": cv2.dilate(alike, np.ones((7, 7), np.uint8)),
        "ignored": np.pad(mask, ((24, 24), (0, 0)), constant_values=255),
    }


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("kind", ["png", "jpg"])
@pytest.mark.parametrize("drawn", ["stretched", "alike", "with a wide pen", "ignored"])
def test_masks_that_go_on_within_bars_are_told(drawn, kind, turned, tmp_path):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for number in range(6):
        padded, mask = photograph(number, 9 * number)
        mask = drawn_over(mask)[drawn]
        padded, mask = (one.swapaxes(0, 1) if turned else one for one in (padded, mask))
        Image.fromarray(padded).save(tmp_path / f"images/{number}.{kind}")
        Image.fromarray(mask).save(tmp_path / f"masks/{number}.png")
    (tmp_path / "classes.txt").write_text("background\nblob\n")
    lines = [line for line in Folder(tmp_path, cache_dir=tmp_path / ".c").notes() if "bars" in line]
    assert len(lines) == (drawn == "stretched")
    assert all("6 of 6 photographs with bars" in line and f"0.{kind}" in line for line in lines)


@pytest.mark.parametrize("kind", ["png", "jpg"])
@pytest.mark.parametrize("flat", [0.15, 0.4, 1])
@pytest.mark.parametrize("is_drawn", [True, False])
def test_masks_that_go_on_within_a_flat_part_are_told(is_drawn, flat, kind, tmp_path):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    begin = round((1 - flat) * SIDE)
    for number in range(4):
        shown = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[10:90, 20:60] = 1
        if number < 2:
            shown[begin:] = 128
            mask[begin:] *= is_drawn
        Image.fromarray(shown).save(tmp_path / f"images/{number}.{kind}")
        Image.fromarray(mask).save(tmp_path / f"masks/{number}.png")
    (tmp_path / "classes.txt").write_text("background\nblob\n")
    lines = Folder(tmp_path, cache_dir=tmp_path / ".c").notes()
    told = "2 of 4 photographs that were looked at, the first images/0"
    assert any(told in line for line in lines) == (is_drawn and flat > 0.25)
