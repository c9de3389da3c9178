"""The stages `train` and `evaluate`: a round's networks are fitted, and the first one is scored."""

import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from torch import nn

from losses import Criterion
from vlm_itl.judging import accepted
from vlm_itl.predictions import image_confusions
from vlm_itl.pseudo_labels import PseudoLabels
from vlm_itl.run import Run
from vlm_itl.training import trainer
from vlm_itl.training.data import LabelledItems, added_rows, image_table, training_table
from vlm_itl.training.probe import (
    Lesson,
    ProbeNetwork,
    train_probe,
    training_labels,
    weigh_images,
)
from weakseg.common import UserError, atomic_path, seed_everything
from weakseg.data.datasets import say
from weakseg.metrics import scores
from weakseg.planning.ledger import digest
from weakseg.training.label_look import of_a_network
from weakseg.training.probe_options import ProbeOptions
from weakseg.training.recipes import LossOptions


def train(run: Run, number: int) -> dict[str, Any]:
    """Train the round's network, or the ensemble's -> the ledger's line.

    They learn from all bought labels and from the masks that the judge accepted the round before.
    """
    pseudo = pseudo_labels(run, number - 1)
    if number == 0:
        look_at_labels(run, pseudo)
    members = range(run.settings.active_learning.ensemble_size)
    return {
        "seed": run.seed(number, "train"),
        "weights": [train_member(run, number, member, pseudo) for member in members],
        "pseudo_labels": len(pseudo),
    }


def look_at_labels(run: Run, pseudo: PseudoLabels) -> None:
    """Say how far the first bought labels agree, and keep that and a picture of them."""
    items = LabelledItems(run.dataset, run.oracle, pseudo, run.cache, augment=False, seed=0)
    lesson = lesson_of(run, items, run.settings.seed)
    labels = training_labels(items)
    # Masks that nobody paid for stay unseen.
    look = of_a_network(lesson, run.dataset, labels, run.cache, with_other_masks=False)
    folder = run.round_folder(0)
    say(look.lines(folder))
    look.keep(folder)


def train_member(run: Run, number: int, member: int, pseudo: PseudoLabels) -> str:
    """Train one network and write its weights -> their digest. A killed training goes on."""
    if run.settings.model.network == "probe":
        return run.store.save(fitted_probe(run, number, member, pseudo), number, member)
    training, section = run.settings.training, run.settings.vlm_itl
    seed = run.seed(number, "train", member)

    # What it sees, batch by batch: bought labels, and some pseudo-labels beside them.
    strong = section.pseudo_augment == "strong"
    items = LabelledItems(
        run.dataset, run.oracle, pseudo, run.cache, training.augment, seed, strong
    )
    size, labelled = training.batch_size, len(run.oracle.labels)
    added = added_rows(size, labelled, len(pseudo), section.pseudo_share)
    table = training_table(items, training.steps, size, seed, len(pseudo), added)

    # Where it begins, and how it learns.
    seed_everything(seed)
    network = starting_network(run, number, member)
    scratch = run.round_folder(number) / f"trainer_{member}"
    trainer.train_network(
        network,
        criterion(run, items.signals),
        training.model_copy(update={"batch_size": size + added}),
        scratch,
        seed,
        len(run.dataset.class_names),
        table,
        validation_table(run),
        trainer.Progress(f"round {number}", run.tracker.start(number, member)),
    )

    # Checkpoints are needed until the weights are there.
    written = run.store.save(network, number, member)
    shutil.rmtree(scratch, ignore_errors=True)
    return written


def fitted_probe(run: Run, number: int, member: int, pseudo: PseudoLabels) -> ProbeNetwork:
    """Return a probe that is fitted to the bought labels and the pseudo-labels."""
    section, seed = run.settings, run.seed(number, "train", member)
    items = LabelledItems(run.dataset, run.oracle, pseudo, run.cache, augment=False, seed=seed)
    network = run.store.build()
    assert isinstance(network, ProbeNetwork)
    labelled, share = len(run.oracle.labels), section.vlm_itl.pseudo_share
    weights = weigh_images(labelled, len(pseudo), share, seed, member)
    lesson = lesson_of(run, items, seed)
    train_probe(network, items, lesson, weights, run.tracker.start(number, member))
    return network


def lesson_of(run: Run, items: LabelledItems, seed: int) -> Lesson:
    """Return what the fits of a probe to bought labels need to know."""
    section = run.settings
    labels = f"active_learning.label {section.active_learning.label}"
    all_masks = all("full" in label.signals for label in run.oracle.labels.values())
    return Lesson(seed, items.signals, ProbeOptions(head=section.model.head), labels, all_masks)


def starting_network(run: Run, number: int, member: int) -> nn.Module:
    """Return a pretrained network or, with `restart: warm`, the round before's."""
    if number and run.settings.active_learning.restart == "warm":
        return run.networks(number - 1)[member]
    return run.store.build()


def pseudo_labels(run: Run, number: int) -> PseudoLabels:
    """Return the masks that a round accepted, without those that were bought since.

    Others than the judge saw are a `UserError`; earlier versions don't tell.
    """
    folder, verdicts = run.round_folder(number) / "pseudo", run.verdicts(number)
    told = (run.ledger.find(number, "judge") or {}).get("pseudo")
    if told not in (None, PseudoLabels(folder, accepted(verdicts)).digest):
        raise UserError(
            f"{folder}: the masks are missing or not what this run wrote; restore them, or delete "
            f"{run.folder}"
        )
    return PseudoLabels(folder, accepted(verdicts, bought=run.oracle.labels))


def evaluate(run: Run, number: int) -> dict[str, Any]:
    """Score the round's first network -> the ledger's line.

    On the validation images the Trainer scores it, at the size that the network sees; on the test
    images it is scored at the masks' own size.
    """
    network = run.networks(number)[0]
    scratch = run.round_folder(number) / "evaluation"
    fitted = trainer.make_trainer(
        network,
        criterion(run, ("full",)),
        run.settings.training,
        scratch,
        run.settings.seed,
        len(run.dataset.class_names),
        validation=validation_table(run),
    )
    val_miou = fitted.evaluate()["eval_miou"]
    shutil.rmtree(scratch, ignore_errors=True)

    confusions = image_confusions(network, run.inputs, run.test, run.settings.data)
    path = run.round_folder(number) / "test.npz"
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, ids=np.array(run.test), confusions=confusions)
    return {
        "val_miou": val_miou,
        "test_miou": float(scores(confusions.sum(0))["miou"]),
        "test": digest(path),
    }


def criterion(run: Run, signals: Sequence[str]) -> Criterion:
    """Return the loss on the targets of `signals`."""
    dataset = run.dataset
    options = LossOptions(tuple(dataset.tag_class), has_background=dataset.has_background)
    return trainer.make_criterion(signals, options)


def validation_table(run: Run) -> Dataset:
    """Return the validation images with their masks."""
    return image_table(run.dataset, run.val, run.settings.data, masks=True)
