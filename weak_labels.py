"""The weak-label file: a pickle of plain types with a header, written atomically and read without running its code."""

import pickle
from pathlib import Path

from common import UserError, atomic_path

FORMAT, VERSION = "weak-labels", 1
FIT = ("dataset", "classes", "tag_names")
PLAIN = (str, int, float, bool, type(None))


class PlainUnpickler(pickle.Unpickler):
    """An unpickler that builds dict, list, tuple, str, int, float, bool and None, and nothing else."""

    def find_class(self, module, name):
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, but weak labels are plain values")

    def persistent_load(self, pid):
        raise pickle.UnpicklingError("it refers to objects outside the file")


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


def save_labels(path, head, images):
    """Write {**head, "count", "images": {id: {"size": [w, h], signal: annotation, ...}}}."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        pickle.dump({**head, "count": len(images), "images": images}, file, protocol=4)


def load_labels(path):
    """Return the content of a weak-label file; anything but plain values in the known layout is a `UserError`."""
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such weak-label file; run python weak_label_generator.py --output_file {path}")
    try:
        with path.open("rb") as file:
            content = PlainUnpickler(file).load()
    # Bytes that are no pickle derail the unpickler in any of these ways.
    except (pickle.UnpicklingError, EOFError, OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise UserError(f"{path}: not a weak-label file ({error})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(content.get("images"), dict):
        raise UserError(f"{path}: not a weak-label file; run python weak_label_generator.py --output_file {path}")
    if content.get("version") != VERSION:
        raise UserError(
            f"{path}: has format version {content.get('version')}, this code reads {VERSION}; generate it anew"
        )
    if content.get("count") != len(content["images"]):
        raise UserError(
            f"{path}: says {content.get('count')} images but holds {len(content['images'])}; generate it anew"
        )
    return content


def labels_for(path, dataset, ids, signals, data_dir):
    """Return {id: annotations} for `ids`, having checked that the file was made for this data set and these images."""
    content = load_labels(path)
    remedy = f"; run python weak_label_generator.py --data_dir {data_dir} --output_file {path}"
    if content["options"].get("flags"):
        remedy += f" {content['options']['flags']}"
    ours = header(dataset, 0, {})
    for key in FIT:
        if content[key] != ours[key]:
            raise UserError(
                f"{path}: made for {key} {shorten(content[key])}, the data has {shorten(ours[key])}{remedy}"
            )
    images = content["images"]
    missing = [name for name in ids if name not in images]
    if missing:
        raise UserError(
            f"{path}: {len(missing)} of {len(ids)} images have no labels, the first is {missing[0]}{remedy}"
        )
    for name in ids:
        lacking = [signal for signal in signals if signal not in images[name]]
        if lacking:
            raise UserError(f"{path}: {name} has no {lacking[0]}{remedy}")
        if list(images[name]["size"]) != list(dataset.image_size(name)):
            raise UserError(
                f"{path}: {name} was labelled at {'x'.join(map(str, images[name]['size']))} but "
                f"{dataset.image_path(name)} is {'x'.join(map(str, dataset.image_size(name)))}{remedy}"
            )
    return {name: images[name] for name in ids}


def shorten(value):
    """Return a value's text, at most 60 characters."""
    text = ", ".join(value) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
