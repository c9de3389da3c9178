"""Whether photographs are those that a run knew, saved anew: other bytes that show the same.

A checkpoint and a result hold the size and the look of a few of their photographs.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from weakseg.common import stable_seed
from weakseg.data.base import SegmentationDataset
from weakseg.data.contents import short_hash
from weakseg.data.looks import SIDE, look_of, look_of_image

FEW = 8  # photographs whose looks are kept
APART = 1.5  # greys by which the looks of one photograph may differ on the mean, encoded anew
LEAST = 0.5  # share of the photographs whose looks are kept that must be there


def looks_of(dataset: SegmentationDataset, names: Iterable[str]) -> dict[str, str]:
    """Return {id: "WIDTH HEIGHT GREYS"} of a few photographs, the greys in hexadecimal digits."""
    chosen = sorted(names, key=lambda name: stable_seed("look", name))[:FEW]
    looks = {name: look_in(dataset, name) for name in sorted(chosen)}
    sizes = {name: " ".join(map(str, dataset.image_size(name))) for name in looks}
    return {
        name: f"{sizes[name]} {look.round().astype(np.uint8).tobytes().hex()}"
        for name, look in looks.items()
    }


def look_in(dataset: SegmentationDataset, name: str) -> np.ndarray:
    """Return the look of a photograph: of its file, or of what the data set shows of a TIFF."""
    look = look_of(dataset.image_path(name))
    return look_of_image(dataset.image(name)) if look is None else look


def masks_of_test(dataset: SegmentationDataset) -> str:
    """Return a short hash of what the masks of the test split hold."""
    return short_hash([dataset.mask_contents(dataset.ids("test"))])


def are_encoded_anew(dataset: SegmentationDataset, looks: object) -> bool:
    """Return whether the photographs of a data set look as they did, at their sizes.

    looks: of `looks_of` as a checkpoint or result holds it; nothing of earlier versions
    """
    if not isinstance(looks, Mapping) or not looks:
        return False
    there = {*dataset.ids("trainval"), *dataset.ids("test")} & looks.keys()
    now = looks_of(dataset, there)
    return len(there) >= LEAST * len(looks) and all(
        is_same_look(looks[name], now.get(name, "")) for name in there
    )


def is_same_look(one: Any, other: str) -> bool:
    """Return whether two texts of `looks_of` are of one photograph; damaged ones are of none."""
    (size, greys), (now, seen) = (str(text).rpartition(" ")[::2] for text in (one, other))
    try:
        mine, theirs = (np.frombuffer(bytes.fromhex(text), np.uint8) for text in (greys, seen))
    except ValueError:
        return False
    if size != now or mine.size != SIDE**2 or theirs.size != SIDE**2:
        return False
    return bool(np.abs(mine.astype(float) - theirs).mean() <= APART)
