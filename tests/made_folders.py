"""Folders of pictures and masks for tests, and how they are opened."""

from pathlib import Path

import numpy as np
from PIL import Image

from weakseg.data.datasets import DataOptions, open_dataset


def opened(data_dir, **changes):
    values = {
        "dataset": "auto",
        "classes": [],
        "tag_set": "default",
        "val_fraction": 0.1,
        "split_seed": 0,
    }
    values |= {"data_dir": data_dir, "cache_dir": Path(data_dir) / ".cache"} | changes
    return open_dataset(DataOptions(**values))


def picture(path, size=(8, 6), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 9).save(path)


def mask(path, numbers, size=(8, 6)):
    """Write a mask of vertical stripes of these numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stripes = np.array(numbers, np.uint8)[np.arange(size[0]) * len(numbers) // size[0]]
    Image.fromarray(np.tile(stripes, (size[1], 1))).save(path)


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
