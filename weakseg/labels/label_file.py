"""The weak-label file: a pickle of plain types with a header, written atomically and read without
running its code.

A folder of shards (label_shards.py) stands for a file wherever one is read.
"""

import pickle
import shlex
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np

from weakseg.common import IGNORE, UserError, atomic_path
from weakseg.labels.annotators import Options
from weakseg.labels.label_shards import open_shards, shards_in
from weakseg.labels.plain_pickle import NotPlain, read_plain, write_plain_dict
from weakseg.labels.signals import SIGNALS
from weakseg.labels.targets import View
from weakseg.labels.validation import shorten

FORMAT, VERSION = "weak-labels", 1
FIT = ("dataset", "classes", "tag_names")


def header(dataset, seed, options):
    """Return what makes labels fit a data set, and how they were drawn."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "dataset": dataset.name,
        "classes": list(dataset.class_names),
        "tag_names": list(dataset.tag_names),
        "seed": seed,
        "options": options,
    }


def save_labels(path, head, count, images):
    """Write {**head, "count", "images": {id: {"size": [w, h], signal: annotation, ...}}}.

    images: (id, labels) of `count` images, taken from an iterator as they are written
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        write_plain_dict(file, {**head, "count": count}, "images", images)


def load_labels(path, remedy="generate it anew with python weak_label_generator.py"):
    """Return the content of a weak-label file; anything but plain values in the known layout is a
    `UserError`.

    Of a folder of shards, `images` is a mapping that reads an image's labels when they are asked
    for.
    """
    try:
        if Path(path).is_dir():
            content = open_shards(path, remedy)
        else:
            with Path(path).open("rb") as file:
                content = read_plain(file)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such weak-label file; {remedy}") from error
    except NotPlain as error:
        raise UserError(f"{path}: not a weak-label file ({error}); {remedy}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: not a weak-label file; {remedy}")
    if content.get("version") != VERSION:
        raise UserError(
            f"{path}: format version {shorten(content.get('version'))}, not {VERSION}; {remedy}"
        )
    images = content.get("images") if isinstance(content.get("images"), Mapping) else {}
    if content.get("count") != len(images) or not images:
        raise UserError(
            f"{path}: says {shorten(content.get('count'))} images but holds {len(images)}; {remedy}"
        )
    return content


def labels_for(path, dataset, ids, signals, data_dir):
    """Return the `PackedLabels` of `ids`, having checked that they were made for this data set and
    these images.

    path: of a weak-label file, or of a folder of shards, of which nothing else is read
    """
    content = load_labels(path, f"run {command(path, dataset, data_dir)}")
    remedy = f"run {command(path, dataset, data_dir, content)}"
    ours = header(dataset, 0, {})
    for key in FIT:
        if content.get(key) != ours[key]:
            raise UserError(
                f"{path}: made for {key} {shorten(content.get(key))}, the data has {shorten(ours[key])}; {remedy}"
            )
    images = content["images"]
    missing = [name for name in ids if name not in images]
    if missing:
        raise UserError(
            f"{path}: {len(missing)} of {len(ids)} images have no labels, the first is {missing[0]}; {remedy}"
        )
    found = PackedLabels()
    for name in ids:
        labels = images[name]
        fault = find_fault(labels, dataset, name, signals)
        if fault:
            raise UserError(f"{path}: {fault}; {remedy}")
        found.add(name, labels)
    return found


class PackedLabels(Mapping):
    """{id: labels} that keeps each image's labels pickled, an eighth of their size as Python's
    numbers.
    """

    def __init__(self):
        self.packed = {}

    def add(self, name, labels):
        self.packed[name] = pickle.dumps(labels, protocol=4)

    def __getitem__(self, name):
        return pickle.loads(self.packed[name])  # bytes that this process wrote

    def __iter__(self):
        return iter(self.packed)

    def __len__(self):
        return len(self.packed)

    def __or__(self, other):
        both = PackedLabels()
        both.packed = dict(self.packed)
        for name, labels in other.items():
            both.add(name, labels)
        return both


def command(path, dataset, data_dir, content=None):
    """Return the generator's command line that makes labels for `dataset`, drawn as those in
    `content` were.
    """
    words = [
        "python",
        "weak_label_generator.py",
        "--data_dir",
        data_dir,
        *dataset.flags,
        "--output_file",
        path,
    ]
    words += ["--shards", shards_in(path)] if shards_in(path) else []
    drawn = (content or {}).get("options")
    drawn = drawn | {"seed": content.get("seed")} if isinstance(drawn, dict) else {}
    usual = {field.name: field.default for field in fields(Options)} | {"seed": 0}
    for name, default in usual.items():
        value = drawn.get(name, default)
        # The file is not to be trusted with more than numbers on somebody's command line.
        if value != default and isinstance(value, (int, float)):
            words += [f"--{name}"] if isinstance(default, bool) else [f"--{name}", value]
    return shlex.join(map(str, words))


def find_fault(labels, dataset, name, signals):
    """Return what is wrong with one image's labels, None where nothing is."""
    if not isinstance(labels, dict):
        return f"{name} holds {shorten(labels)}"
    for signal in signals:
        if signal not in labels:
            unless = ", the price of its masks (not needed with --select_by weak_val_loss)" * (
                signal == "full"
            )
            return f"{name} has no {signal}{unless}"
    size = list(dataset.image_size(name))
    if labels.get("size") != size:
        return f"{name} was labelled at size {shorten(labels.get('size'))}, but {dataset.image_path(name)} has {size}"
    for signal in signals:
        if not is_sound(labels[signal], signal, View(*size, 32), dataset):
            return f"{name} has {signal} that can't be drawn, or of a class that the data set doesn't have"
    return None


def is_sound(annotation, signal, view, dataset):
    """Whether an annotation can be priced and drawn, with classes that `dataset` has."""
    try:
        SIGNALS[signal].seconds(annotation)
        if signal == "full":  # drawn from the mask
            return True
        target = SIGNALS[signal].target(annotation, view, dataset.tag_names)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError):
        return False
    return bool(
        target.ndim == 1 or np.isin(target, [*range(len(dataset.class_names)), IGNORE]).all()
    )
