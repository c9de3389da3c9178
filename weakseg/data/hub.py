"""A data set of the Hugging Face hub, written once as a folder of images and masks."""

from pathlib import Path

import numpy as np
from PIL import Image

from weakseg.common import UserError, atomic_path
from weakseg.data.datasets import Voc

DONE = "complete.txt"


def export_hub(data):
    """Write a hub's segmentation data set as a folder of images and masks, once -> that folder."""
    folder = Path(data.data_dir) / data.source.replace("/", "--")
    described = f"{data.source} {data.hub_image} {data.hub_mask} {data.hub_test}\n"
    if (folder / DONE).exists() and (folder / DONE).read_text() == described:
        return folder
    splits = load_hub(data.source)
    if data.hub_test not in splits or len(splits) < 2:
        raise UserError(
            f"data.hub_test {data.hub_test}: {data.source} has the splits {', '.join(splits)}; name one, of two or more"
        )
    (folder / DONE).unlink(missing_ok=True)  # what is there is now overwritten
    write_folder(folder, splits, data)
    with atomic_path(folder / DONE) as temporary:
        temporary.write_text(described)
    return folder


def load_hub(name):
    """Return the `DatasetDict` of a hub id, downloaded once by 🤗 datasets."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return load_dataset(name)
    except (
        OSError,
        ValueError,
        RuntimeError,
        HfHubHTTPError,
        DatasetsError,
    ) as error:  # RuntimeError: a script
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(
            f"data.source {name}: the hub's data set could not be loaded ({reason}); give a folder instead, or "
            "'shapes' for the drawn set, which needs no network"
        ) from error


def write_folder(folder, splits, data):
    """Write images, masks, classes.txt and the lists of the layout `data_utils.Folder`."""
    from datasets import Image as ImageColumn
    from tqdm import tqdm

    lists = {"trainval": [], "test": []}
    for split, table in splits.items():
        columns = [name for name, kind in table.features.items() if isinstance(kind, ImageColumn)]
        for column in (data.hub_image, data.hub_mask):
            if column not in columns:
                raise UserError(
                    f"data.hub_image, data.hub_mask: {data.source} has no column {column!r} of images but "
                    f"{', '.join(columns) or 'none at all'}"
                )
        for index, row in enumerate(tqdm(table, desc=f"{data.source} {split}", unit="img")):
            name = f"{split}_{index:06d}"
            save_image(folder / "images" / f"{name}.png", row[data.hub_image].convert("RGB"))
            save_image(
                folder / "masks" / f"{name}.png",
                Image.fromarray(class_numbers(row[data.hub_mask], name)),
            )
            lists["test" if split == data.hub_test else "trainval"].append(name)
    classes = Voc.all_classes
    for name, lines in {"classes": classes, **lists}.items():
        with atomic_path(folder / f"{name}.txt") as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines))


def save_image(path, image):
    """Write a PNG atomically."""
    with atomic_path(path) as temporary:
        image.save(temporary)


def voc_colours():
    """Return the VOC colour map [256, 3] uint8: bit k of a channel's top bits comes from the class
    number.
    """
    numbers = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((numbers >> (3 * bit + channel)) & 1) << (7 - bit)).astype(
                np.uint8
            )
    return colours


def class_numbers(mask, name):
    """Return [H, W] uint8 classes (255 = void) of a mask that holds class numbers or VOC's
    colours.
    """
    if mask.mode in ("P", "L"):
        return np.asarray(mask)
    values = np.asarray(mask.convert("RGB")).astype(np.int64) @ (1 << 16, 1 << 8, 1)
    keys = voc_colours().astype(np.int64) @ (1 << 16, 1 << 8, 1)
    known = np.concatenate([np.arange(len(Voc.all_classes)), [255]])
    table = {int(keys[number]): number for number in known}
    numbers, inverse = np.unique(values, return_inverse=True)
    strange = [int(value) for value in numbers if int(value) not in table]
    if strange:
        raise UserError(
            f"{name}: its mask holds the colour #{strange[0]:06x}, which is none of VOC's classes"
        )
    return np.array([table[int(value)] for value in numbers], np.uint8)[inverse].reshape(
        values.shape
    )
