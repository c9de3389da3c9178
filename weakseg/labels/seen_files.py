"""Which files simulated labels were drawn from, so that files that came later are told from them.

A label file says of each image, under `KEY`, what the files of its mask and its photograph held.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weakseg.data.base import SegmentationDataset
from weakseg.data.contents import ABSENT, content_of
from weakseg.data.reading import counted

KEY = "files"


def seen_files(dataset: SegmentationDataset, name: str) -> list[str]:
    """Return what the files of an image's mask and photograph hold."""
    mask, photograph = dataset.mask_path(name), dataset.image_path(name)
    return [content_of(mask, is_whole=True), content_of(photograph, is_whole=False)]


def other_photographs(
    path: object, records: Mapping[str, Any], pictures: Mapping[str, Path]
) -> list[str]:
    """Return a line where photographs are others than those that labels were drawn from.

    path: of the labels; records: by image, as a file holds them; pictures: {id: photograph}
    """
    told = {name: own.get(KEY) for name, own in records.items() if isinstance(own, Mapping)}
    changed = sorted(
        name
        for name, files in told.items()
        if name in pictures
        and files is not None
        and checked_files(files)[1] != content_of(pictures[name], is_whole=False)
    )
    if not changed:
        return []
    return [
        f"{path}: {counted(len(changed), 'photograph')} changed since the labels were drawn from "
        f"them, the first {changed[0]}; draw them again if they show something else"
    ]


def checked_files(value: object) -> list[str]:
    """Return what a record says of its files; what `seen_files` can't say is a `ValueError`."""
    if isinstance(value, list | tuple) and len(value) == 2 and all(type(t) is str for t in value):
        return [*value]
    raise ValueError(f"'{KEY}' are not what a mask and a photograph hold")


def changed_since(
    path: object, dataset: SegmentationDataset, told: Mapping[str, list[str]], remedy: str
) -> list[str]:
    """Return a line where files are others than those that labels were drawn from.

    A mask that is not there, which learning from other labels needs not, is no other one.

    path: of the labels; told: {id: of `seen_files` then}; remedy: how the labels are drawn again
    """
    masks, photographs = dataset.mask_contents(told), dataset.image_contents(told)
    others = {
        "mask": [n for n in masks if masks[n] not in (told[n][0], ABSENT)],
        "photograph": [n for n in photographs if photographs[n] != told[n][1]],
    }
    counts = [counted(len(names), kind) for kind, names in others.items() if names]
    if not counts:
        return []
    first = min(name for names in others.values() for name in names)
    return [
        f"{path}: of {len(told)} images {' and '.join(counts)} changed since the labels were "
        f"drawn from them, the first of {first}; if they show something else, {remedy}"
    ]
