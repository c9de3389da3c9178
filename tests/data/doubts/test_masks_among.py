"""Masks among photographs are said to be ones, by their names and what they show."""

import shutil

import numpy as np
import pytest
from made_folders import opened, write
from PIL import Image

from weakseg.data.doubts.masks_among import masks_among
from weakseg.labels.matching import Pictures


@pytest.mark.parametrize(
    "name",
    [
        "a_mask.png",
        "a-Mask_1.jpg",
        "a_segmentation.tif",
        "truths/a GT.png",
        "train/masks/b.png",
        "train/labels/b_label.png",
        "Masks/train/b.bmp",
        "ann_dir/train/b.png",
        "gtFine/val/city/d_gtFine_labelIds.png",
        "gtFine/val/city/d_gtFine_color.png",
        "d_labelTrainIds.png",
    ],
)
def test_masks_among_photographs_are_said(name, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    photographs = "a.jpg train/images/b.jpg images/train/b.jpg c_mask.jpg".split()
    for photograph in (*photographs, "leftImg8bit/val/city/d_leftImg8bit.png"):
        path = tmp_path / photograph
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise).save(path)
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.uint8(255 * (np.indices((60, 80)).sum(0) < 50))).save(path)

    def lines():
        return masks_among(Pictures(tmp_path).files, tmp_path, "move them away")

    (line,) = lines()
    assert line.startswith(f"{tmp_path}: 1 of 6 pictures look like masks of others")
    assert f"the first {name} of " in line and line.endswith("if they are masks, move them away")
    Image.fromarray(noise).save(path)  # of a photograph so called
    assert lines() == []
    path.unlink()
    assert lines() == []


def test_a_folder_of_ones_own_says_where_they_belong(tmp_path):
    write(tmp_path / "classes.txt", "background", "fox")
    Image.effect_noise((40, 30), 90).convert("RGB").save(tmp_path / "a.png")
    Image.new("L", (40, 30)).save(tmp_path / "a_mask.png")
    shutil.copy(tmp_path / "a.png", tmp_path / "b.png")
    (line,) = [line for line in opened(tmp_path).notes() if "look like masks" in line]
    assert line.endswith(f"move them to {tmp_path / 'masks'}, called as their photographs")
