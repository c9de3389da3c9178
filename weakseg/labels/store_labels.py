"""Labels of a store as a label file holds them: what training, studies and prices read."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from weakseg.common import UserError, atomic_path
from weakseg.data.base import SegmentationDataset
from weakseg.labels.carried import Carried, label_record, merged
from weakseg.labels.formats.painting import mask_of
from weakseg.labels.formats.records import MALFORMED, Classes, Unreadable
from weakseg.labels.label_header import header
from weakseg.labels.store import opened_store

MASKS = "masks"  # folder of a store: PNGs that its polygons and masks make, each made when needed


def store_content(folder: str | Path, dataset: SegmentationDataset) -> dict[str, Any]:
    """Return what a label file of the same labels would hold, see `label_file.load_labels`.

    Its pictures are those of the data set that carry anything.
    """
    known = {*dataset.ids("trainval"), *dataset.ids("test")}
    with opened_store(folder) as store:
        carried = {key: merged(one) for key, one in store.given().items() if key in known}
    images = {}
    for key, one in carried.items():
        try:
            images[key] = label_record(
                one, dataset.class_names, dataset.tag_names, dataset.has_background
            )
        except ValueError as error:
            raise UserError(f"{folder}: {key}: {error}") from error
    if not images:
        raise UserError(
            f"{folder}: has labels of no picture of {dataset.root}; import with --images "
            f"{dataset.root / 'images'}"
        )
    masks = {key: one for key, one in carried.items() if "full" in images[key]}
    head = header(dataset, 0, {}) | {"complete": False, "count": len(images)}
    return {**head, "images": images, "drawn": masks}


def give_masks(
    folder: str | Path,
    dataset: SegmentationDataset,
    drawn: Mapping[str, Carried],
    names: Iterable[str],
) -> None:
    """Give a data set the masks that polygons and masks of a store make, where it has none itself.

    drawn: {id: what it carries} of `store_content`; names: ids of the images that need masks
    """
    bare = [name for name in names if name in drawn and not dataset.mask_path(name).exists()]
    if bare and dataset.mask_values:
        raise UserError(
            f"--mask_values, --mask_ignore: masks of {folder} are class numbers; leave them out"
        )
    given = {}
    for name in bare:
        try:
            given[name] = mask_file(Path(folder) / MASKS, dataset, name, drawn[name])
        except (Unreadable, *MALFORMED) as error:
            raise UserError(f"{folder}: {name}: a mask can't be drawn ({error})") from error
    dataset.add_masks(given)


def mask_file(folder: Path, dataset: SegmentationDataset, name: str, carried: Carried) -> Path:
    """Return the PNG of class numbers that a picture's areas make, drawn unless it is there."""
    classes = Classes(tuple(dataset.class_names), dataset.has_background)
    size, is_complete = dataset.image_size(name), "full" in carried.complete
    content = repr((size, is_complete, classes, [shape.key for shape in carried.shapes]))
    digest = hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
    path = folder / f"{digest}.png"
    if not path.exists():
        mask = mask_of(carried.shapes, size, classes, is_complete)
        with atomic_path(path) as temporary:
            Image.fromarray(mask).save(temporary, optimize=True)
    return path
