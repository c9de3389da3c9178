"""Masks among photographs, which then count as photographs: they are called as their own."""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from weakseg.common import UserError, evenly
from weakseg.data.image_io import opened

# Folders that masks lie in, beside that of their photographs.
FOLDERS = set(
    "mask masks label labels gt gts groundtruth ground_truth annotation annotations segmentation "
    "segmentations seg segs manual 1st_manual ann anns ann_dir label_dir mask_dir gt_dir gtfine "
    "gtcoarse".split()
)
ENDING = re.compile(  # of `benign (3)_mask.png` beside `benign (3).jpg`
    r"(.+?)[ _.-]+(masks?|seg|segmentations?|labels?|gt|ground[ _-]?truth|annotations?|"
    r"(gt(fine|coarse)_)?(label|label_?train|instance)ids|gt(fine|coarse)_color)([ _.-]?\d+)?",
    re.IGNORECASE,
)
CAMERA = re.compile(r"_leftImg8bit$", re.IGNORECASE)  # what Cityscapes calls photographs by
LOOKED, SIDE = 5, 128  # pictures at most whose colours are counted, and pixels of a side of them
COLOURS = 64  # that a mask may show; photographs show thousands, of their noise
NEAR, SHARE = 24, 0.95  # greys from black or white, for that share of what a JPEG blurs


def masks_among(files: Mapping[str, Path], folder: Path, remedy: str) -> list[str]:
    """Return a line where some of the pictures of a folder seem to be masks of others, if any.

    files: {id: path} of all; remedy: what to do with them
    """
    photographs = photographs_by_mask([*files])
    looked = evenly([*photographs], LOOKED)
    if sum(is_like_mask(files[name]) for name in looked) * 2 <= len(looked):
        return []
    first = next(iter(photographs))
    mask, photograph = (files[name].relative_to(folder) for name in (first, photographs[first]))
    return [
        f"{folder}: {len(photographs)} of {len(files)} pictures look like masks of others and "
        f"count as photographs, the first {mask} of {photograph}; if they are masks, {remedy}"
    ]


def photographs_by_mask(names: Collection[str]) -> dict[str, str]:
    """Return {id of what is called as the mask of a photograph: the photograph's}."""
    known = {CAMERA.sub("", name): name for name in names} | {name: name for name in names}
    by_stem = {key.rpartition("/")[2]: name for key, name in known.items()}
    sides = {
        key: name
        for plain, name in known.items()
        for place, key in sides_of(name, plain.rpartition("/")[2])
        if place.casefold() not in FOLDERS
    }
    found = {}
    for name in names:
        folder, slash, stem = name.rpartition("/")
        ended = ENDING.fullmatch(stem)
        plain = ended[1] if ended else stem
        if ended and f"{folder}{slash}{plain}" in known:
            found[name] = known[f"{folder}{slash}{plain}"]
        elif ended and plain in by_stem:
            found[name] = by_stem[plain]
        else:
            for place, key in sides_of(name, plain):
                if place.casefold() in FOLDERS and key in sides:
                    found[name] = sides[key]
    return found


def sides_of(name: str, stem: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield each folder of an id, and what stands before and behind it, with another stem."""
    *folders, _ = name.split("/")
    for place, folder in enumerate(folders):
        yield folder, ("/".join(folders[:place]), "/".join([*folders[place + 1 :], stem]))


def is_like_mask(path: Path) -> bool:
    """Return whether a picture shows few colours, or of a JPEG little but black and white."""
    try:
        with opened(path) as image:
            blurs = image.format in ("JPEG", "MPO", "WEBP")
            small = image.resize((SIDE, SIDE), Image.Resampling.NEAREST)
    except UserError:
        return False
    values = np.asarray(small.convert("L") if blurs else small)
    if blurs:
        return bool(((values <= NEAR) | (values >= 255 - NEAR)).mean() >= SHARE)
    colours = values.reshape(SIDE * SIDE, -1)
    return len(np.unique(colours, axis=0)) <= COLOURS


def doubtful_folders(names: Collection[str], folder: Path, masks: Path) -> list[str]:
    """Return a line where the pictures of a folder are called as those beside it, as masks may be.

    names: ids of all pictures; folder: that they lie in; masks: where masks belong
    """
    inner: dict[str, list[bool]] = {}
    for name in names:
        *above, place, stem = ("", *name.split("/"))
        if place:
            twin = "/".join(part for part in (*above, stem) if part)
            inner.setdefault("/".join([*above[1:], place]), []).append(twin in names)
    doubted = sorted(place for place, twins in inner.items() if all(twins))
    if not doubted:
        return []
    count = len(inner[doubted[0]])
    return [
        f"{folder / doubted[0]}: its {count} pictures are called as those beside it and count as "
        f"photographs; if they are masks, move them to {masks}"
    ]
