"""The images of an experiment: a VOC tree or another folder, a hub's data set through 🤗 datasets, or the drawn set.

All of them become a `SegmentationDataset`; the tables that the Trainer reads are 🤗 `Dataset`s of file names, whose
`with_transform` decodes images when they are asked for, so no tensor is ever stored in a table.
"""

import argparse
import hashlib
import re
from pathlib import Path

import numpy as np
from PIL import Image

from common import UserError, atomic_path, stable_seed
from data_utils import Voc, add_data_arguments, open_dataset
from image_io import ResizedCache
from loading import SegmentationItems

DONE = "complete.txt"


def open_images(data):
    """Return the `SegmentationDataset` of the config's section `data`; the built-in set is drawn on first use."""
    folder = find_source(data)
    parser = argparse.ArgumentParser()
    add_data_arguments(parser)
    args = parser.parse_args([])
    args.data_dir, args.classes, args.cache_dir = str(folder), list(data.classes), data.cache_dir
    args.val_fraction, args.split_seed = data.val_fraction, data.split_seed
    try:
        return open_dataset(args)
    except UserError as error:
        raise UserError(f"data.source {data.source}: {error}") from error


def find_source(data):
    """Return the folder in which the images lie."""
    if data.source == "shapes":
        from shapes import draw_shapes

        folder = Path(data.data_dir) / f"shapes_{data.shapes_train}_{data.shapes_test}"
        draw_shapes(folder, trainval=data.shapes_train, test=data.shapes_test, size=160, seed=0)
        return folder
    if Path(data.source).is_dir():
        return Path(data.source)
    if re.fullmatch(r"\w[\w.-]*/[\w.-]+", data.source):
        return export_hub(data)
    raise UserError(
        f"data.source {data.source}: no such folder; give one, 'shapes' for the drawn set, or a hub id (owner/name)"
    )


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
    except (OSError, ValueError, RuntimeError, HfHubHTTPError, DatasetsError) as error:  # RuntimeError: a script
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
            save_image(folder / "masks" / f"{name}.png", Image.fromarray(class_numbers(row[data.hub_mask], name)))
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
    """Return the VOC colour map [256, 3] uint8: bit k of a channel's top bits comes from the class number."""
    numbers = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((numbers >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colours


def class_numbers(mask, name):
    """Return [H, W] uint8 classes (255 = void) of a mask that holds class numbers or VOC's colours."""
    if mask.mode in ("P", "L"):
        return np.asarray(mask)
    values = np.asarray(mask.convert("RGB")).astype(np.int64) @ (1 << 16, 1 << 8, 1)
    keys = voc_colours().astype(np.int64) @ (1 << 16, 1 << 8, 1)
    known = np.concatenate([np.arange(len(Voc.all_classes)), [255]])
    table = {int(keys[number]): number for number in known}
    numbers, inverse = np.unique(values, return_inverse=True)
    strange = [int(value) for value in numbers if int(value) not in table]
    if strange:
        raise UserError(f"{name}: its mask holds the colour #{strange[0]:06x}, which is none of VOC's classes")
    return np.array([table[int(value)] for value in numbers], np.uint8)[inverse].reshape(values.shape)


def splits_of(dataset, data):
    """Return {"pool", "val", "test": sorted ids} of the images that have a mask: a simulation can label no other.

    Limits are nested: a smaller one is part of a larger one. A split without any mask is a `UserError`.
    """
    limits = {"train": data.pool_limit, "val": data.val_limit, "test": None}
    chosen = {}
    for split, limit in limits.items():
        masked = [name for name in dataset.ids(split) if dataset.mask_path(name).exists()]
        if not masked:
            raise UserError(f"data.source {data.source}: no image of the {split} split has a mask")
        ids = sorted(masked, key=lambda name: stable_seed(data.split_seed, "limit", name))
        chosen[split] = sorted(ids[:limit])
    return {"pool": chosen["train"], "val": chosen["val"], "test": chosen["test"]}


def fingerprint(dataset, splits):
    """Return a short hash: runs with the same one saw the same pool, validation and test images."""
    text = repr((dataset.fingerprint(), sorted(splits.items())))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def image_table(dataset, names, data, masks=False):
    """Return a 🤗 `Dataset` over images in order; row i decodes to {"index", "image", "targets"[, "mask"]}.

    masks: also the ground truth [S, S] uint8; for validation and test images only.
    """
    cache = ResizedCache(data.cache_dir, data.image_size, data.cache_limit)
    items = SegmentationItems(dataset, names, cache, masks=masks)
    return transformed(names, range(len(names)), [0] * len(names), items)


def added_rows(batch_size, labelled, pseudo, share):
    """Return how many pseudo-labelled rows join the `batch_size` bought ones of each batch.

    `share` of them, but no more than keeps each of the `pseudo` images from being seen more often than each of the
    `labelled` ones, and at least one where there is any.
    """
    return max(1, round(min(share, pseudo / labelled) * batch_size)) if pseudo else 0


def training_table(items, steps, batch_size, seed, pseudo=0, added=0):
    """Return the 🤗 `Dataset` of a whole training: `steps` batches in their final order, each row drawn anew.

    items: `SegmentationItems` whose last `pseudo` images are pseudo-labelled; `added` rows of them follow the
    `batch_size` bought ones of each batch. The bought rows are the same with and without them.
    Row r decodes to items[draw, index]: order and augmentation follow from the table alone, so that a run that goes
    on in the middle sees what an uninterrupted one sees.
    """
    rng = np.random.default_rng(stable_seed(seed, "order"))
    labelled, bought = len(items) - pseudo, steps * batch_size
    index = [draws(0, labelled, bought, rng).reshape(steps, -1)]
    draw = [np.arange(bought).reshape(steps, -1)]
    if added:
        index.append(draws(labelled, len(items), steps * added, rng).reshape(steps, -1))
        draw.append(bought + np.arange(steps * added).reshape(steps, -1))
    index, draw = (np.concatenate(columns, axis=1).ravel().tolist() for columns in (index, draw))
    return transformed(items.ids, index, draw, items)


def draws(first, end, count, rng):
    """Return `count` numbers of [first, end): all of them once, shuffled, then all of them again, and so on."""
    rounds = -(-count // (end - first))
    return np.concatenate([rng.permutation(np.arange(first, end)) for _ in range(rounds)])[:count]


def transformed(names, index, draw, items):
    """Return a 🤗 `Dataset` of (id, index, draw) whose rows are decoded by `items` when they are read."""
    from datasets import Dataset

    index, decode = list(index), Decoder()
    table = Dataset.from_dict({"id": [names[i] for i in index], "index": index, "draw": list(draw)})
    table = table.with_transform(decode)
    decode.items = items
    return table


class Decoder:
    """Rows of a table -> the same of `items`.

    They are set last: 🤗 datasets pickles and hashes all that a new transform holds, a copy of every pseudo-label.
    """

    items = None

    def __call__(self, rows):
        found = [self.items[key] for key in zip(rows["draw"], rows["index"], strict=True)]
        return {key: [item[key] for item in found] for key in found[0]}
