"""Masks that polygons and masks of a store make, for pictures of a data set that have none."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from weakseg.common import IGNORE, UserError, atomic_path, evenly
from weakseg.data.base import SegmentationDataset
from weakseg.data.doubts.rims import rim_notes
from weakseg.data.image_io import read_mask
from weakseg.data.mask_classes import MaskClasses
from weakseg.labels.carried import Carried
from weakseg.labels.formats.painting import mask_of, refuse_twofold
from weakseg.labels.formats.records import MALFORMED, Classes, Unreadable
from weakseg.labels.mask_mark import is_export_of, is_untouched_export, labels_digest

MASKS = "masks"  # folder of a store: PNGs, each made when needed
COMPARED = 200  # pictures at most whose own masks, which no export made, are compared


def give_masks(
    folder: str | Path,
    dataset: SegmentationDataset,
    drawn: Mapping[str, Carried],
    names: Iterable[str],
) -> list[str]:
    """Give a data set the masks that a store makes, where it has none itself.

    drawn: {id: what it carries} of `store_content`; names: ids of the images that need masks

    Returns lines for people. A mask of the data set that was exported of other labels is a
    `UserError`.
    """
    shown = {name for name in names if name in drawn}
    own = {*dataset.masked(shown)}
    if own < shown and dataset.mask_values:
        raise UserError(
            f"--mask_values, --mask_ignore: masks of {folder} are class numbers; leave them out"
        )
    classes = classes_in_files(dataset)
    other = not_exported(dataset, drawn, {*own, *dataset.masked(dataset.ids("test"))})
    for name in stale(folder, dataset, drawn, other):
        raise UserError(
            f"{dataset.mask_path(name)}: was exported of other labels than {folder} has; export "
            "again, or remove it"
        )
    mended = evenly([name for name in other if name in own], COMPARED)
    differing = [n for n in mended if differs(folder, dataset, n, drawn[n], classes)]
    notes = []
    if differing:
        notes.append(
            f"{folder}: its masks of {len(differing)} pictures differ from those of "
            f"{dataset.root}, which are learnt from; the first "
            f"{dataset.mask_path(differing[0]).name}"
        )
    given = {}
    for name in sorted(shown - own):
        labels = labels_of(dataset, name, drawn[name], classes)
        path = Path(folder) / MASKS / f"{labels}.png"
        if not path.exists():
            mask = mask_from(folder, dataset, name, drawn[name], classes)
            with atomic_path(path) as temporary:
                Image.fromarray(mask).save(temporary, optimize=True)
        given[name] = path
    dataset.add_masks(given)
    return notes + rim_notes(folder, [*given.values()], read_mask)


def not_exported(
    dataset: SegmentationDataset, drawn: Mapping[str, Carried], names: Iterable[str]
) -> list[str]:
    """Return those of the drawn pictures whose own masks no export of these labels made.

    drawn: as of `give_masks`; names: ids of images that have a mask
    """
    classes = classes_in_files(dataset)
    return [
        name
        for name in sorted(names)
        if name in drawn
        and not is_export_of(
            dataset.mask_path(name), labels_of(dataset, name, drawn[name], classes)
        )
    ]


def stale(
    folder: str | Path,
    dataset: SegmentationDataset,
    drawn: Mapping[str, Carried],
    others: Iterable[str],
) -> Iterator[str]:
    """Yield those of `not_exported` whose masks are still as an export of earlier labels made them.

    They name another class of some pixel than the labels do now.
    """
    classes = classes_in_files(dataset)
    for name in others:
        is_left = is_untouched_export(dataset.mask_path(name))
        if is_left and differs(folder, dataset, name, drawn[name], classes):
            yield name


def classes_in_files(dataset: SegmentationDataset) -> Classes:
    """Return what the numbers in mask files of a data set mean, whatever classes were chosen."""
    if not isinstance(dataset, MaskClasses):
        return Classes(tuple(dataset.class_names), dataset.has_background)
    names = tuple(dataset.all_classes)
    return Classes(names, dataset.has_background and dataset.class_names[0] == names[0])


def labels_of(dataset: SegmentationDataset, name: str, carried: Carried, classes: Classes) -> str:
    """Return a hash of what the mask of a picture is made of."""
    is_complete = "full" in carried.complete
    return labels_digest(carried.shapes, dataset.image_size(name), classes, is_complete)


def mask_from(
    folder: str | Path, dataset: SegmentationDataset, name: str, carried: Carried, classes: Classes
) -> np.ndarray:
    """Return the mask [H, W] uint8 of class numbers that a picture's areas make.

    Areas of two classes on the same pixels are a `UserError`.
    """
    size = dataset.image_size(name)
    try:
        refuse_twofold(carried.shapes, size)
        return mask_of(carried.shapes, size, classes, "full" in carried.complete)
    except (Unreadable, *MALFORMED) as error:
        raise UserError(f"{folder}: {name}: a mask can't be drawn ({error})") from error


def differs(
    folder: str | Path, dataset: SegmentationDataset, name: str, carried: Carried, classes: Classes
) -> bool:
    """Return whether a picture's own mask names another class of a pixel than its areas do."""
    made = dataset.to_classes(name, mask_from(folder, dataset, name, carried, classes))
    own = dataset.mask(name)
    return bool(((own != made) & (own != IGNORE) & (made != IGNORE)).any())
