"""Training the probe: labels become weighted pixels, a head is fitted, and labels itself more.

Every training image gives `pixels` random places, whose features standardise all others. Masks
label a stratified sample of pixels, clicks, strokes and answers label what they touch. What boxes,
tags and earlier fits say of the random places are further labels
(`weakseg.pseudo_masks.from_features`).
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from weakseg.common import IGNORE, remove
from weakseg.data.base import SegmentationDataset
from weakseg.data.datasets import say
from weakseg.inference.edges import working_size
from weakseg.inference.predict import class_mask
from weakseg.labels.spacing import (
    LEAST,
    radius_of_predicted,
    radius_of_things,
    things_in,
    usual_radius,
)
from weakseg.labels.training_labels import TrainingLabels
from weakseg.learners.feature_store import FeatureStore
from weakseg.learners.probe import Probe
from weakseg.pseudo_masks.from_features import FeatureMasks
from weakseg.training import checkpoints, label_look
from weakseg.training.agreement import NAME
from weakseg.training.checkpoints import Log
from weakseg.training.probe_evidence import (
    FEW_IMAGES,
    Evidence,
    FeaturesOf,
    FitSettings,
    feature_masks,
    gather,
    least_radius,
    seen,
    shown,
)
from weakseg.training.probe_fit import Line, fit_head, rows_of
from weakseg.training.run import TrainingRun

LOOKED_AT = 40  # images, at most, for how large the things are that a probe predicts
MAY_CHANGE = ("fingerprint", "contents", "labels", "mask_contents")  # between two fits of a run


def fit_probe(
    run: FitSettings,
    dataset: SegmentationDataset,
    labels: TrainingLabels,
    store: FeaturesOf,
    masks: FeatureMasks,
    evidence: Evidence,
    probe: Probe | None = None,
    done: int = 0,
    image_weights: np.ndarray | None = None,
    start: Probe | None = None,
) -> Iterator[tuple[Probe, Line]]:
    """Yield the probe after each fit that is left, and its line for the log.

    evidence: of the same images and labels
    probe, done: the probe of a run that is resumed, and the number of its fits
    image_weights [I]: of the training images, None: all the same
    start: a probe of other labels, from whose weights linear fits begin: they end where they always
        do, but sooner
    """
    num_classes, began = len(dataset.class_names), time.process_time() - evidence.seconds
    standard = evidence.standard
    edges = evidence.edges if run.probe.edges is None else run.probe.edges
    # Marks and tags only suggest how large things are: what the first fit predicts bounds it.
    guesses = run.probe.edges is None and not {"full", "boxes"} & {*run.signals}
    if guesses and probe is not None:
        edges = probe.edges
    first_head = start.linear_head(standard) if start else None
    for fit in range(done + 1, run.last_epoch + 1):
        pseudo = evidence.first
        if probe is not None:
            pseudo = pseudo_labels(run, dataset, labels, store, masks, evidence, probe)
            if (pseudo == IGNORE).all():  # nothing to learn from: the last labels stay
                pseudo = evidence.first
        by_boxes = "boxes" in run.signals and dataset.has_background
        rows, is_exact = rows_of(
            evidence, pseudo, num_classes, doubt_is_object=by_boxes and pseudo is evidence.first
        )
        if image_weights is not None:
            rows = replace(rows, weights=rows.weights * image_weights[rows.images])
        is_last = fit == run.last_epoch
        head, facts = fit_head(
            run, evidence, rows, is_exact, standard, num_classes, is_last, first_head
        )
        probe = Probe(standard, head, edges)
        of_answers = {*run.signals} == {"pixels"}  # which are as exact as masks
        if guesses and fit == 1:
            edges = smaller_radius(dataset, labels.train_ids, store, probe, of_answers)
            probe = replace(probe, edges=edges)
        if is_last and of_answers and num_classes > 2:
            shares = usual_shares(probe, evidence.pool)
            probe = replace(probe, shares=shares[int(dataset.has_background) :])
        seconds, began = time.process_time() - began, time.process_time()
        yield probe, {"epoch": fit, "selected": True, "seconds": seconds, "edges": edges, **facts}


def smaller_radius(
    dataset: SegmentationDataset,
    names: Sequence[str],
    store: FeaturesOf,
    probe: Probe,
    as_of_masks: bool = False,
) -> float:
    """Return the radius of edges of a probe, or a smaller one if it predicts smaller things.

    Marks far from each other say little of how large things are. An even part of the images is
    looked at.
    as_of_masks: whether predicted masks suggest what masks would
    """
    suggested, least = [], LEAST
    for name in names[:: -(-len(names) // LOOKED_AT)]:
        maps = store(dataset.photograph(name))
        frame = max(maps.frame)
        mask = class_mask(probe.logits(maps, working_size(*maps.size, frame)))
        own = least_radius(frame)
        given = mask, maps.size, dataset.has_background, own
        if as_of_masks:
            suggested.append(radius_of_things(things_in(*given)[0], own))
        else:
            suggested.append(radius_of_predicted(*given))
        least = min(least, own)
    is_known = any(radius is not None for radius in suggested)
    return min(probe.edges, usual_radius(suggested, least)) if is_known else probe.edges


def usual_shares(probe: Probe, pool: np.ndarray) -> np.ndarray:
    """Return the shares [C] float32 of the classes that a probe predicts at places [I, P, D]."""
    totals = sum(probe.at(own).sum(0, dtype=np.float64) for own in pool)
    shares: np.ndarray = (totals / totals.sum()).astype(np.float32)
    return np.maximum(shares, np.finfo(np.float32).tiny)


def pseudo_labels(
    run: FitSettings,
    dataset: SegmentationDataset,
    labels: TrainingLabels,
    store: FeaturesOf,
    masks: FeatureMasks,
    evidence: Evidence,
    probe: Probe,
) -> np.ndarray:
    """Return the classes [I, P] uint8 that a probe gives the random places, 255 where in doubt."""
    classes = np.full(evidence.first.shape, IGNORE, np.uint8)
    names = [(i, name) for i, name in enumerate(labels.train_ids) if evidence.weak[i]]
    for number, name in shown(names, "self-training"):
        maps = store(dataset.photograph(name))
        mask = masks.predicted(name, labels[name], maps, probe, run.probe.confidence)
        classes[number] = seen(mask, evidence.places[number])
    return classes


def train_probe(
    run: TrainingRun,
    checkpoint: Mapping[str, Any] | None,
    dataset: SegmentationDataset,
    labels: TrainingLabels,
    store: FeatureStore,
    masks: FeatureMasks,
    description: Mapping[str, Any],
) -> None:
    """Train a run of the probe from where its checkpoint ends; log and save after each fit.

    checkpoint: the content of last.pt to go on from; None starts anew. Of other labels or images it
    gives the weights to start from, and stays until all fits to those at hand are there.
    description: what checkpoints say of the run besides its weights
    """
    folder, log, start = run.folder, Log(run.folder / "log.jsonl"), None
    if checkpoint:
        checkpoints.refuse_other_data(checkpoint, description, folder, MAY_CHANGE)
        changed = checkpoints.other_data(checkpoint, description)
        if changed:
            words = checkpoints.in_words(changed)
            print(f"{folder}: the {words} changed since the last fit; fitting again")
            start, checkpoint = Probe.of_state(checkpoint["model"]), None

    # Features first, on as many workers as there are; then the fits.
    paths = [dataset.photograph(name) for name in labels.train_ids]
    missing = store.missing(paths)
    computed = store.compute(missing, run.workers)
    few = len(missing) < FEW_IMAGES
    for _ in tqdm(computed, "features", len(missing), unit="img", disable=few):
        pass
    masks = feature_masks(run, dataset, labels, store, masks)
    probe = Probe.of_state(checkpoint["model"]) if checkpoint else None
    done = checkpoint["epoch"] if checkpoint else 0
    evidence = gather(run, dataset, labels, store, masks)
    looked_at = run, dataset, labels, store, evidence
    look = None if done else label_look.of_a_probe(*looked_at)
    say(look.lines(folder) if look else ())
    trained = [folder / name for name in ("best.pt", "last.pt", "log.jsonl")]
    is_new = not any(path.exists() for path in trained)  # so a failure can't cost anything
    if is_new:
        take_up(folder, log, done, look)
    fits = fit_probe(run, dataset, labels, store, masks, evidence, probe, done, start=start)
    lines: list[Line] = []
    for fitted, line in fits:
        lines.append(line)
        is_last = line["epoch"] == run.last_epoch
        if start is None:
            if line["epoch"] == done + 1 and not is_new:
                take_up(folder, log, done, look)  # what failed before has left it as it was
            log.append(line)
        elif is_last:  # last.pt comes after the log: until it is there, a kill means another refit
            for path in [*checkpoints.leftovers(folder), folder / NAME]:
                remove(path)
            if look:
                look.keep(folder)
            log.replace(lines)
        if start is None or is_last:
            save_fit(folder, fitted, line["epoch"], description)
        print(fit_words(line, run.last_epoch))


def save_fit(folder: Path, probe: Probe, epoch: int, description: Mapping[str, Any]) -> None:
    """Write last.pt and best.pt of a fit, the epoch; description: as `train_probe` takes it."""
    state = {"model": probe.state(), "epoch": epoch, "best": None, "selected": True}
    content = {**state, **description}
    checkpoints.save_checkpoint(folder / "last.pt", content)
    checkpoints.save_best(folder, content)


def take_up(folder: Path, log: Log, done: int, look: label_look.LabelLook | None) -> None:
    """Make the folder of a run with `done` fits ready for the next: an old run's files go.

    look: at the labels, which the folder keeps
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in checkpoints.leftovers(folder) if done else checkpoints.run_files(folder):
        remove(path)
    log.keep_until(done)
    if look:
        look.keep(folder)


def fit_words(line: Line, fits: int) -> str:
    """Return what is printed of one fit."""
    penalty = f", penalty {line['penalty']:g}" if "penalty" in line else ""
    return (
        f"fit {line['epoch']}/{fits}  {line['head']} head on {line['pixels']} pixels{penalty}  "
        f"{line['seconds']:.1f} s of processor time"
    )
