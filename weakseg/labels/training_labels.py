"""Which images and labels a run learns from, and what they cost."""

import hashlib

from weakseg.common import UserError, stable_seed
from weakseg.labels.costs import add_counts, price_labels
from weakseg.labels.label_file import labels_for
from weakseg.labels.signals import count_actions


def training_ids(dataset, args):
    """Return the ids to train on: all of them, or --train_limit, nested: a smaller limit is part of
    a larger one.
    """
    ids = training_order(dataset, args.seed)
    if args.train_limit and args.train_limit > len(ids):
        raise UserError(
            f"--train_limit {args.train_limit}: the training split has {len(ids)} images"
        )
    return sorted(ids[: args.train_limit])


def training_order(dataset, seed):
    """Return the ids of the training split in the order in which --train_limit takes them."""
    return sorted(dataset.ids("train"), key=lambda name: stable_seed(seed, "limit", name))


def annotation_cost(labels, names, signals, classes):
    """Return what a person did and needed for the labels of `names`, looking for `classes` classes
    in each image.
    """
    counts = add_counts(count_actions(labels[name], signals, classes) for name in names)
    return price_labels(counts, len(names))


def labels_of_run(args, dataset, train_ids):
    """Return {id: annotations} of the images to train on, and of the validation images with what
    selects on them.
    """
    labels = labels_for(args.weak_label_path, dataset, train_ids, args.modes, args.data_dir)
    chosen_with = {*args.modes, *selection_signals(args)}
    return labels | labels_for(
        args.weak_label_path, dataset, dataset.ids("val"), chosen_with, args.data_dir
    )


def selection_signals(args):
    """Return the signals whose labels of the validation images choose the checkpoint."""
    return tuple(args.modes) if args.select_by == "weak_val_loss" else ("full",)


def labels_digest(labels, names, signals):
    """Return a short hash of the annotations of `names` that a run learns from and is chosen by."""
    digest, before = hashlib.sha256(b"["), ""
    for name in sorted(names):
        annotations = labels[name]
        digest.update(f"{before}{(name, [annotations[s] for s in signals])!r}".encode())
        before = ", "
    digest.update(b"]")
    return digest.hexdigest()[:16]
