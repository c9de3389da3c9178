"""Which classes there are in a folder of pictures that doesn't say it: those of its labels."""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from weakseg.common import UserError
from weakseg.data.datasets import DataOptions, detect
from weakseg.labels.label_file import load_labels
from weakseg.labels.store import opened_store
from weakseg.labels.store_file import is_store

Options = TypeVar("Options", bound=DataOptions)


def with_classes(options: Options, labels: str | Path) -> Options:
    """Return the options with the classes that labels name, if the folder of pictures names none.

    labels: a store, or a weak-label file or folder
    """
    root = Path(options.data_dir)
    if options.class_names or options.dataset not in ("auto", "folder") or not root.is_dir():
        return options
    if not Path(labels).exists() or names_classes(root):
        return options
    if is_store(labels):
        with opened_store(labels) as store:
            classes = store.classes()
        lacks_background = options.no_background or not classes.has_background
        return replace(options, class_names=tuple(classes.names), no_background=lacks_background)
    return replace(options, class_names=tuple(load_labels(labels)["classes"]))


def names_classes(root: Path) -> bool:
    """Return whether the layout of a folder says which classes there are."""
    try:
        detect(root)
    except UserError:
        return False
    return True
