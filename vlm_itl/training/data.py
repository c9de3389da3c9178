"""The images of an experiment, and the tables of them that the Trainer reads.

Images come from a folder (VOC, Oxford-IIIT Pet, your own), from a hub through 🤗 datasets, or are
drawn. All become a `SegmentationDataset`. A table is a 🤗 `Dataset` of ids whose transform decodes
images when they are asked for, so no tensor is ever stored in a table.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from data_utils import SegmentationItems
from vlm_itl.sections import Data
from weakseg.common import UserError, stable_seed
from weakseg.data.base import SegmentationDataset
from weakseg.data.cache import ResizedCache
from weakseg.data.contents import short_hash
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.data.hub import HubSource, export_hub
from weakseg.labels.signals import SIGNALS
from weakseg.labels.targets import View, blank
from weakseg.planning.oracle import Oracle


def open_images(data: Data) -> SegmentationDataset:
    """Return the data set that the config's section `data` describes.

    On first use the built-in set is drawn, and a hub's is downloaded.
    """
    folder = find_source(data)
    options = DataOptions(
        data_dir=str(folder),
        classes=tuple(data.classes),
        val_fraction=data.val_fraction,
        split_seed=data.split_seed,
        cache_dir=data.cache_dir,
        no_background=data.no_background,
        mask_values=data.mask_values,
        mask_ignore=data.mask_ignore,
        page=data.page,
        channels=data.channels or None,
        value_range=data.value_range or None,
    )
    try:
        return open_dataset(options)
    except UserError as error:
        words = re.sub(rf"--({'|'.join(Data.model_fields)})\b", r"data.\1", str(error))
        raise UserError(f"data.source {data.source}: {words}") from error


def find_source(data: Data) -> Path:
    """Return the folder in which the images lie."""
    if data.source == "shapes":
        from weakseg.data.synthetic import draw_shapes

        folder = Path(data.data_dir) / f"shapes_{data.shapes_train}_{data.shapes_test}"
        draw_shapes(folder, trainval=data.shapes_train, test=data.shapes_test, size=160, seed=0)
        return folder
    if Path(data.source).is_dir():
        return Path(data.source)
    if re.fullmatch(r"\w[\w.-]*/[\w.-]+", data.source):
        source = HubSource(
            data.source,
            data.hub_image,
            data.hub_mask,
            data.hub_test,
            data.hub_train,
            data.hub_classes,
        )
        return export_hub(source, data.data_dir)
    raise UserError(
        f"data.source {data.source}: no such folder; give one, 'shapes' for the drawn set, "
        "or a hub id (owner/name)"
    )


def splits_of(dataset: SegmentationDataset, data: Data) -> dict[str, list[str]]:
    """Return the sorted ids of "pool", "val" and "test", of images that have a mask.

    A simulation can label no other. Limits are nested: a smaller one is part of a larger one. A
    split without any mask is a `UserError`.
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


def fingerprint(dataset: SegmentationDataset, splits: Mapping[str, Sequence[str]]) -> str:
    """Return a short hash: runs with the same one saw the same pool, validation and test images."""
    text = repr((dataset.fingerprint(masks=True), sorted(splits.items())))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def contents(dataset: SegmentationDataset, splits: Mapping[str, Sequence[str]]) -> str:
    """Return a short hash of what the files of all images hold, and those of masks but the pool's.

    Nobody opens a mask of the pool before it is bought.
    """
    names = [name for split in splits.values() for name in split]
    masked = [*splits["val"], *splits["test"]]
    return short_hash([dataset.image_contents(names), dataset.mask_contents(masked)])


def image_table(
    dataset: SegmentationDataset, names: Sequence[str], data: Data, masks: bool = False
) -> Dataset:
    """Return a 🤗 `Dataset` over images in order.

    Row i decodes to {"index", "image", "targets"}, with `masks` also to "mask", the ground truth
    [S, S] uint8: for validation and test images only.
    """
    cache = ResizedCache(data.cache_dir, data.image_size, data.cache_limit)
    items = SegmentationItems(dataset, names, cache, masks=masks)
    return transformed(names, range(len(names)), [0] * len(names), items)


def added_rows(batch_size: int, labelled: int, pseudo: int, share: float) -> int:
    """Return how many pseudo-labelled rows join the `batch_size` bought ones of each batch.

    `share` of them, but no more than keeps each of the `pseudo` images from being seen more often
    than each of the `labelled` ones, and at least one where there is any.
    """
    return max(1, round(min(share, pseudo / labelled) * batch_size)) if pseudo else 0


def training_table(
    items: SegmentationItems,
    steps: int,
    batch_size: int,
    seed: int,
    pseudo: int = 0,
    added: int = 0,
) -> Dataset:
    """Return the 🤗 `Dataset` of a whole training: all batches in their order, each row drawn anew.

    Row r decodes to items[draw, index]. Order and augmentation follow from the table alone, so a
    run that goes on in the middle sees what an uninterrupted one sees.

    steps       the number of batches
    batch_size  rows of bought images in each; they are the same with and without pseudo-labels
    pseudo      how many images, the last of `items`, are pseudo-labelled
    added       rows of those that follow in each batch
    """
    rng = np.random.default_rng(stable_seed(seed, "order"))
    labelled, bought = len(items) - pseudo, steps * batch_size
    # One row a batch: the numbers of its images, and beside them which draw of an image it is.
    index = [draws(0, labelled, bought, rng).reshape(steps, -1)]
    draw = [np.arange(bought).reshape(steps, -1)]
    if added:
        index.append(draws(labelled, len(items), steps * added, rng).reshape(steps, -1))
        draw.append(bought + np.arange(steps * added).reshape(steps, -1))
    return transformed(items.ids, in_order(index), in_order(draw), items)


def in_order(columns: list[np.ndarray]) -> list[int]:
    """Return blocks of columns [batches, rows], set side by side, as one list of all rows."""
    return np.concatenate(columns, axis=1).ravel().tolist()


def draws(first: int, end: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return `count` numbers of [first, end): all of them shuffled, then all again, and so on."""
    rounds = -(-count // (end - first))
    return np.concatenate([rng.permutation(np.arange(first, end)) for _ in range(rounds)])[:count]


def transformed(
    names: Sequence[str], index: Iterable[int], draw: Iterable[int], items: SegmentationItems
) -> Dataset:
    """Return a 🤗 `Dataset` of (id, index, draw) whose rows are decoded when they are read."""
    index, decode = list(index), Decoder()
    table = Dataset.from_dict({"id": [names[i] for i in index], "index": index, "draw": list(draw)})
    table = table.with_transform(decode)
    # Set last: 🤗 datasets pickles and hashes all that a new transform holds, a copy of every
    # pseudo-label.
    decode.items = items
    return table


class Decoder:
    """Turns rows (id, index, draw) of a table into the columns of items[draw, index]."""

    items: SegmentationItems

    def __call__(self, rows: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        decoded = [self.items[key] for key in zip(rows["draw"], rows["index"], strict=True)]
        return {key: [item[key] for item in decoded] for key in decoded[0]}


class LabelledItems(SegmentationItems):
    """The images of one training: those with bought labels first, then those with pseudo-labels.

    An image lacks the targets of signals that nobody bought for it: they are all ignored.

    pseudo  {id: mask [S, S] uint8}, 255 where the network was not sure
    strong  whether pseudo-labelled images are augmented more than others
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        oracle: Oracle,
        pseudo: Mapping[str, np.ndarray],
        cache: ResizedCache,
        augment: bool,
        seed: int,
        strong: bool = False,
    ) -> None:
        signals = {signal for label in oracle.labels.values() for signal in label.signals}
        if pseudo:
            signals.add("full")
        labels: dict[str, Mapping[str, Any]] = {
            name: label.annotations for name, label in oracle.labels.items()
        }
        labels |= {name: {"size": [cache.size, cache.size], "full": {}} for name in pseudo}
        super().__init__(
            dataset,
            [*sorted(oracle.labels), *sorted(pseudo)],
            cache,
            labels,
            tuple(signal for signal in SIGNALS if signal in signals),
            augment,
            seed=seed,
            strong=pseudo if strong else (),
        )
        self.oracle, self.pseudo = oracle, pseudo

    def target(self, name: str, labels: Mapping[str, Any], signal: str, view: View) -> np.ndarray:
        """Return the target of a signal; where nobody bought it, one that is all ignored."""
        signals = ("full",) if name in self.pseudo else self.oracle.labels[name].signals
        if signal in signals:
            return super().target(name, labels, signal, view)
        if signal == "tags":
            return np.full(len(self.dataset.tag_names), -1, np.float32)
        return blank(view)

    def mask(self, name: str) -> np.ndarray:
        """Return the bought or the pseudo-label, [S, S] uint8."""
        return self.pseudo[name] if name in self.pseudo else self.oracle.mask(name)
