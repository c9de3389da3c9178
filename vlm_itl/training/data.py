"""The images of an experiment: a VOC tree or another folder, a hub's data set through 🤗 datasets,
or the drawn set.

All of them become a `SegmentationDataset`; the tables that the Trainer reads are 🤗 `Dataset`s of
file names, whose `with_transform` decodes images when they are asked for, so no tensor is ever
stored in a table.
"""

import hashlib
import re
from pathlib import Path

import numpy as np

from data_utils import SegmentationItems
from weakseg.common import UserError, stable_seed
from weakseg.data.cache import ResizedCache
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.data.hub import HubSource, export_hub
from weakseg.labels.signals import SIGNALS
from weakseg.labels.targets import blank


def open_images(data):
    """Return the `SegmentationDataset` of the config's section `data`; the built-in set is drawn on
    first use.
    """
    folder = find_source(data)
    options = DataOptions(
        data_dir=str(folder),
        classes=tuple(data.classes),
        val_fraction=data.val_fraction,
        split_seed=data.split_seed,
        cache_dir=data.cache_dir,
    )
    try:
        return open_dataset(options)
    except UserError as error:
        raise UserError(f"data.source {data.source}: {error}") from error


def find_source(data):
    """Return the folder in which the images lie."""
    if data.source == "shapes":
        from weakseg.data.synthetic import draw_shapes

        folder = Path(data.data_dir) / f"shapes_{data.shapes_train}_{data.shapes_test}"
        draw_shapes(folder, trainval=data.shapes_train, test=data.shapes_test, size=160, seed=0)
        return folder
    if Path(data.source).is_dir():
        return Path(data.source)
    if re.fullmatch(r"\w[\w.-]*/[\w.-]+", data.source):
        source = HubSource(data.source, data.hub_image, data.hub_mask, data.hub_test)
        return export_hub(source, data.data_dir)
    raise UserError(
        f"data.source {data.source}: no such folder; give one, 'shapes' for the drawn set, or a hub id (owner/name)"
    )


def splits_of(dataset, data):
    """Return {"pool", "val", "test": sorted ids} of the images that have a mask: a simulation can
    label no other.

    Limits are nested: a smaller one is part of a larger one. A split without any mask is a
    `UserError`.
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
    """Return a 🤗 `Dataset` over images in order; row i decodes to {"index", "image", "targets"[,
    "mask"]}.

    masks: also the ground truth [S, S] uint8; for validation and test images only.
    """
    cache = ResizedCache(data.cache_dir, data.image_size, data.cache_limit)
    items = SegmentationItems(dataset, names, cache, masks=masks)
    return transformed(names, range(len(names)), [0] * len(names), items)


def added_rows(batch_size, labelled, pseudo, share):
    """Return how many pseudo-labelled rows join the `batch_size` bought ones of each batch.

    `share` of them, but no more than keeps each of the `pseudo` images from being seen more often
    than each of the `labelled` ones, and at least one where there is any.
    """
    return max(1, round(min(share, pseudo / labelled) * batch_size)) if pseudo else 0


def training_table(items, steps, batch_size, seed, pseudo=0, added=0):
    """Return the 🤗 `Dataset` of a whole training: `steps` batches in their final order, each row
    drawn anew.

    items: `SegmentationItems` whose last `pseudo` images are pseudo-labelled; `added` rows of them
    follow the `batch_size` bought ones of each batch. The bought rows are the same with and without
    them. Row r decodes to items[draw, index]: order and augmentation follow from the table alone,
    so that a run that goes on in the middle sees what an uninterrupted one sees.
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
    """Return `count` numbers of [first, end): all of them once, shuffled, then all of them again,
    and so on.
    """
    rounds = -(-count // (end - first))
    return np.concatenate([rng.permutation(np.arange(first, end)) for _ in range(rounds)])[:count]


def transformed(names, index, draw, items):
    """Return a 🤗 `Dataset` of (id, index, draw) whose rows are decoded by `items` when they are
    read.
    """
    from datasets import Dataset

    index, decode = list(index), Decoder()
    table = Dataset.from_dict({"id": [names[i] for i in index], "index": index, "draw": list(draw)})
    table = table.with_transform(decode)
    decode.items = items
    return table


class Decoder:
    """Rows of a table -> the same of `items`.

    They are set last: 🤗 datasets pickles and hashes all that a new transform holds, a copy of every
    pseudo-label.
    """

    items = None

    def __call__(self, rows):
        found = [self.items[key] for key in zip(rows["draw"], rows["index"], strict=True)]
        return {key: [item[key] for item in found] for key in found[0]}


class LabelledItems(SegmentationItems):
    """The images of one training: those with bought labels first, then those with pseudo-labels.

    pseudo: a mapping id -> mask [S, S] uint8, 255 where the network was not sure. An image lacks
    the targets of signals that nobody bought for it: they are all ignored. strong: augment
    pseudo-labelled images more than others.
    """

    def __init__(self, dataset, oracle, pseudo, cache, augment, seed, strong=False):
        bought = sorted(oracle.labels)
        asked = {signal for label in oracle.labels.values() for signal in label.signals} | (
            {"full"} if pseudo else set()
        )
        labels = {name: label.annotations for name, label in oracle.labels.items()}
        labels |= {name: {"size": [cache.size, cache.size]} for name in pseudo}
        super().__init__(
            dataset,
            bought + sorted(pseudo),
            cache,
            labels,
            tuple(s for s in SIGNALS if s in asked),
            augment,
            seed=seed,
            strong=pseudo if strong else (),
        )
        self.oracle, self.pseudo = oracle, pseudo

    def target(self, name, labels, signal, view):
        signals = ("full",) if name in self.pseudo else self.oracle.labels[name].signals
        if signal in signals:
            return super().target(name, labels, signal, view)
        if signal == "tags":
            return np.full(len(self.dataset.tag_names), -1, np.float32)
        return blank(view)

    def mask(self, name):
        return self.pseudo[name] if name in self.pseudo else self.oracle.mask(name)
