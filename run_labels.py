"""Which images and labels a run learns from, and what they cost."""

import hashlib

from common import UserError, stable_seed
from costs import add_counts, price_labels
from supervision import count_actions
from weak_labels import labels_for


def training_ids(dataset, args):
    """Return the ids to train on: all of them, or --train_limit, nested: a smaller limit is part of a larger one."""
    ids = training_order(dataset, args.seed)
    if args.train_limit and args.train_limit > len(ids):
        raise UserError(f"--train_limit {args.train_limit}: the training split has {len(ids)} images")
    return sorted(ids[: args.train_limit])


def training_order(dataset, seed):
    """Return the ids of the training split in the order in which --train_limit takes them."""
    return sorted(dataset.ids("train"), key=lambda name: stable_seed(seed, "limit", name))


def annotation_cost(labels, signals, classes):
    """Return what a person did and needed for labels {id: annotations}, looking for `classes` classes in each image."""
    counts = add_counts([count_actions(annotations, signals, classes) for annotations in labels.values()])
    return price_labels(counts, len(labels))


def labels_of_run(args, dataset, train_ids):
    """Return {id: annotations} of the images to train on, and of the validation images with what selects on them."""
    labels = labels_for(args.weak_label_path, dataset, train_ids, args.modes, args.data_dir)
    chosen_with = {*args.modes, *selection_signals(args)}
    return labels | labels_for(args.weak_label_path, dataset, dataset.ids("val"), chosen_with, args.data_dir)


def selection_signals(args):
    """Return the signals whose labels of the validation images choose the checkpoint."""
    return tuple(args.modes) if args.select_by == "weak_val_loss" else ("full",)


def labels_digest(labels, signals):
    """Return a short hash of the annotations {id: {signal: annotation}} that a run learns from and is chosen by."""
    used = repr([(name, [labels[name][s] for s in signals]) for name in sorted(labels)])
    return hashlib.sha256(used.encode()).hexdigest()[:16]
