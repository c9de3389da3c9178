"""Masks that count classes from 1 beside others from 0 are told, and full pictures are not."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from weakseg.data.doubts.shifted import shifted_note
from weakseg.data.folder import Folder

OBJECT = np.zeros((30, 40), np.uint8)
OBJECT[8:20, 10:30] = 1
FULL = np.where(OBJECT, np.uint8(2), np.uint8(1))  # an object before one that fills the picture
HALVES = np.where(np.arange(40) < 18, np.uint8(1), np.uint8(2))[None].repeat(30, 0)
SKY = np.where(np.arange(30) < 9, np.uint8(0), np.uint8(1))[:, None].repeat(40, 1)


@pytest.mark.parametrize(
    ("masks", "is_told"),
    [
        ([OBJECT] * 10 + [OBJECT + 1] * 5, True),
        ([OBJECT] * 5 + [OBJECT * 2 + 1, OBJECT + 1] * 5, True),
        ([OBJECT] * 10 + [FULL] * 4, False),  # which may be a chance
        ([OBJECT] * 99 + [FULL] * 5, False),
        ([OBJECT] * 10 + [np.ones_like(OBJECT)] * 9, False),  # objects that fill the picture
        ([OBJECT] * 10 + [HALVES] * 9, False),
        ([SKY] * 10 + [FULL] * 10, False),  # streets, of which some show no sky
        ([OBJECT + 1] * 9, False),  # where nothing is background
    ],
)
def test_what_lies_around_is_compared(masks, is_told, tmp_path):
    masks = {tmp_path / f"{number:03d}.png": mask for number, mask in enumerate(masks)}
    shown = {path: np.unique(mask).tolist() for path, mask in masks.items()}
    assert len(shifted_note(tmp_path, shown, masks.__getitem__, ("none", "cat"))) == is_told


def test_a_folder_says_so_unless_somebody_says_what_numbers_are(tmp_path: Path):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for number in range(12):
        mask = np.roll(OBJECT, number, 1) + (number % 2)
        Image.fromarray(mask).save(tmp_path / f"masks/{number}.png")
        Image.new("RGB", (40, 30), (number, 9, 9)).save(tmp_path / f"images/{number}.png")
    (tmp_path / "classes.txt").write_text("background\ncat\ndog\n")

    def told(words):
        lines = Folder(tmp_path, cache_dir=tmp_path / ".cache", mask_values=words).notes()
        return [line for line in lines if "count classes from 1" in line]

    (line,) = told([])
    assert "6 of 12 masks, the first 1.png," in line and "show cat all around" in line
    assert told(["1=cat"]) == []
