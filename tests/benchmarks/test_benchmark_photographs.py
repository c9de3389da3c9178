"""benchmarks/real_photographs.py lists a part of VOC in which no class is left rare for others'
sake.
"""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from benchmarks.real_photographs import balanced
from weakseg.data.datasets import Voc

SHOWN = {
    "cat": [8],
    "dog": [12],
    "both": [8, 12],
    "bird": [3],
    "rider": [15, 13],
}  # kind of image: classes in its mask


@pytest.fixture
def voc(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("ImageSets/Segmentation", "JPEGImages", "SegmentationClass"):
        (root / folder).mkdir(parents=True)
    names = [f"{kind}{i}" for kind in SHOWN for i in range(3 if kind == "bird" else 12)]
    for name in names:
        mask = np.zeros((8, 8), np.uint8)
        mask[:, : len(SHOWN[name.rstrip("0123456789")])] = SHOWN[name.rstrip("0123456789")]
        Image.fromarray(mask).save(root / "SegmentationClass" / f"{name}.png")
        Image.new("RGB", (8, 8)).save(root / "JPEGImages" / f"{name}.jpg")
    for split, part in ("train_aug", names[:-4]), ("val", names[-4:]):
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(part) + "\n")
    return Voc(tmp_path, cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("most", [1, 5, 100])
def test_every_class_has_what_was_asked_for_or_all_there_is(voc, tmp_path, most):
    for _ in range(2):  # a second time is the same
        part = Voc(balanced(voc.root, most, tmp_path / "part"), cache_dir=tmp_path / "cache")
        total, left = (
            Counter(t for n in each.lists["trainval"] for t in each.tags(n)) for each in (voc, part)
        )
        assert (
            set(part.lists["trainval"]) <= set(voc.lists["trainval"])
            and part.lists["test"] == voc.lists["test"]
        )
        assert all(left[tag] >= min(most, total[tag]) for tag in total)
        assert left["bird"] == min(most, total["bird"])  # nothing else shows one
        assert all(
            np.array_equal(part.mask(name), voc.mask(name)) for name in part.lists["trainval"]
        )
    if most == 100:
        assert part.lists["trainval"] == sorted(voc.lists["trainval"])
