"""Train one segmenter from one kind of label, or from any mix.

    python train.py --supervision_mode points --run_name points_run1 --epochs 10 --lr 1e-4
    python train.py --supervision_mode hybrid_tags_points --run_name hybrid_run1 --lambda_seg 1.0
    python train.py --supervision_modes points boxes --lambda_points 1.0 --run_name mix --augment
    python train.py --supervision_mode any --labels labels/mine --data_dir my_data
    python train.py --supervision_mode points --run_name points_run1 --epochs 10 --resume auto
    python train.py --learner probe --supervision_mode points --run_name points_probe
    python train.py --recipe strong --start probe --supervision_mode points --run_name points_both
    torchrun --nproc_per_node 2 train.py --supervision_mode full --run_name full_run1
    accelerate launch train.py --supervision_mode full --run_name full_run1

Writes <checkpoint_dir>/<run_name>/: best.pt, last.pt, log.jsonl, cross_validation.csv (how far the
labels of each photograph agree with those of the others), labels.png (what they say of twelve
photographs, and four masks to test on), and curves.png of a U-Net.
Everything random follows from (--seed, epoch, image), so a run that is killed and resumed ends with
the same weights as one left alone.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from weakseg.common import UserError, commit, printable, run_cli, seed_everything
from weakseg.data.base import SegmentationDataset
from weakseg.data.contents import short_hash
from weakseg.data.datasets import open_dataset, say
from weakseg.labels.class_names import with_classes
from weakseg.labels.signals import is_closed
from weakseg.labels.training_labels import (
    TrainingLabels,
    read_training_labels,
    refuse_one_class,
    training_ids,
)
from weakseg.learners.wheels import refuse_out_of_reach
from weakseg.training import options
from weakseg.training.recipes import ADDED_TERMS, LossOptions, term_weights
from weakseg.training.run import TrainingRun

if TYPE_CHECKING:  # heavy, and not needed for --help
    from accelerate import Accelerator

    from weakseg.learners.unet import SegmentationModel
    from weakseg.pseudo_masks.rounds import Rounds
    from weakseg.training.loop import Training


def parse_args() -> argparse.Namespace:
    return options.parse_args(description=__doc__)


def main(args: argparse.Namespace) -> None:
    run = TrainingRun.of_flags(vars(args))
    refuse_processes(run)
    if not (run.folder / "last.pt").exists():  # a run that goes on may need none
        refuse_out_of_reach(run.encoder, run.encoder_weights)
    try:
        run, dataset, labels, weights = read(run)
    except UserError as error:
        from weakseg.training.checkpoints import finished

        done = finished(run)
        if done is None:
            raise
        keep(run, done, str(error))
        return
    report_gaps(dataset, labels)

    from weakseg.training.checkpoints import lock_run

    with lock_run(run.folder):
        if run.learner == "probe":
            train_on_features(run, dataset, labels)
        else:
            train(run, dataset, labels, weights)


def read(
    run: TrainingRun,
) -> tuple[TrainingRun, SegmentationDataset, TrainingLabels, dict[str, float]]:
    """Return the run with what its data and labels decide, these two, and {term: weight}."""
    run = with_classes(run, run.weak_label_path)
    dataset = open_dataset(run)
    run = run.of_data(dataset)
    if run.signals:  # mistakes in flags are told before any label is read
        weights_of(run, dataset)
    ids = training_ids(dataset, run.seed, run.train_limit, run.selection)
    labels = read_training_labels(
        run.weak_label_path, dataset, ids, run.signals or None, run.selection, run.data_dir
    )
    run = run.of_labels(labels)
    weights = weights_of(run, dataset)
    refuse_empty_boxes(run, dataset, labels, weights)
    refuse_one_class(run.weak_label_path, dataset, labels)
    return run, dataset, labels, weights


def keep(run: TrainingRun, checkpoint: Mapping[str, Any], change: str = "") -> None:
    """Report on a run of which nothing is left to train; change: of its data since, in words."""
    from model import refuse_unfit
    from weakseg.training.checkpoints import Log, mend_best
    from weakseg.training.loop import report

    refuse_unfit(run.folder / "last.pt", checkpoint, [run.encoder])
    if os.environ.get("RANK", "0") != "0":
        return
    if checkpoint["selected"]:
        mend_best(run.folder, checkpoint)
    if change:
        print(printable(f"{run.folder}: is finished and stays as it is; since then: {change}"))
    report(run, Log(run.folder / "log.jsonl").read(), run.next_command())


def weights_of(run: TrainingRun, dataset: SegmentationDataset) -> dict[str, float]:
    """Return {term: weight} of the losses of a run."""
    return term_weights(
        run.recipe,
        run.signals,
        len(dataset.class_names),
        run.weights,
        run.lambda_seg,
        run.select_by,
        run.start,
        run.all_masks,
    )


def train_on_features(
    run: TrainingRun, dataset: SegmentationDataset, labels: TrainingLabels
) -> None:
    """Fit what is left of a run of the probe, and say what to do next."""
    from model import feature_store
    from weakseg.data.cache import ResizedCache
    from weakseg.pseudo_masks.from_features import SIDE, FeatureMasks
    from weakseg.training.checkpoints import find_checkpoint, mend_best, other_data
    from weakseg.training.distributed import make_accelerator
    from weakseg.training.probe import train_probe

    checkpoint = find_checkpoint(run)
    device = make_accelerator(run.device, amp=False).device
    description = describe(run, dataset, labels)
    if (
        checkpoint is None
        or checkpoint["epoch"] < run.last_epoch
        or other_data(checkpoint, description)
    ):
        store = feature_store(run.recorded(), run.cache_dir, run.cache_limit, device)
        cache = ResizedCache(run.cache_dir, SIDE, run.cache_limit)
        masks = FeatureMasks(dataset, run.signals, cache)
        description["encoder"] = store.encoder.digest
        train_probe(run, checkpoint, dataset, labels, store, masks, description)
    else:
        mend_best(run.folder, checkpoint)
    print(f"{run.folder}: best.pt is the last fit; next: {run.next_command(dataset)}")


def refuse_processes(run: TrainingRun) -> None:
    """Refuse several processes of one run of the probe, which is fitted in one."""
    if run.learner == "probe" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            "--learner probe: is fitted in one process; start it with python train.py, and let "
            "--jobs show the encoder several photographs at a time"
        )


def report_gaps(dataset: SegmentationDataset, labels: TrainingLabels) -> None:
    """Say once what of the images, the masks and the labels is missing, or looks like a mistake."""
    lines = [*dataset.notes(), *dataset.check_test_masks(), *labels.notes]
    if os.environ.get("RANK", "0") == "0":
        say(lines)


def refuse_empty_boxes(
    run: TrainingRun,
    dataset: SegmentationDataset,
    labels: TrainingLabels,
    weights: Mapping[str, float],
) -> None:
    """Refuse open boxes as the only label of pixels where nothing is known outside of boxes."""
    used = {term for term, weight in weights.items() if weight}
    if run.learner == "probe" or not run.open_boxes or used != {"boxes"}:
        return
    if not any(
        is_closed(labels[name], ("boxes",), dataset.has_background) for name in labels.train_ids
    ):
        where = (
            "no list of boxes is complete" if dataset.has_background else "there is no background"
        )
        raise UserError(
            f"--open_boxes: says nothing where {where}; leave it out, or add --recipe strong"
        )


def train(
    run: TrainingRun,
    dataset: SegmentationDataset,
    labels: TrainingLabels,
    weights: Mapping[str, float],
) -> None:
    """Train what is left of a run, and report."""
    from model import refuse_unfit
    from weakseg.data.cache import ResizedCache
    from weakseg.training.checkpoints import (
        Log,
        find_checkpoint,
        in_words,
        other_data,
        refuse_other_data,
    )
    from weakseg.training.distributed import make_accelerator
    from weakseg.training.label_look import of_a_network
    from weakseg.training.loop import fit, report

    began, description = time.perf_counter(), describe(run, dataset, labels)
    checkpoint = find_checkpoint(run)
    changed = other_data(checkpoint, description) if checkpoint else []
    words = in_words(changed)
    if checkpoint and checkpoint["epoch"] >= run.epochs and words != "labels":
        keep(run, checkpoint, words and f"other {words}")
        return
    if checkpoint:
        refuse_unfit(run.folder / "last.pt", checkpoint, [run.encoder])
        refuse_other_data(checkpoint, description, run.folder)
    tracker = {} if run.log_with == "none" else {"log_with": run.log_with}
    accelerator = make_accelerator(run.device, run.amp, project_dir=run.checkpoint_dir, **tracker)
    look = None
    if checkpoint is None and accelerator.is_main_process:
        squares = ResizedCache(run.cache_dir, run.img_size, run.cache_limit)
        look = of_a_network(replace(run, learner="probe", start=None), dataset, labels, squares)
        say(look.lines(run.folder))
    rounds = pseudo_mask_rounds(run, dataset, labels, weights)
    model = new_network(run, dataset, is_resumed=checkpoint is not None)
    if run.start:
        model, rounds = from_probe(run, dataset, labels, model, rounds, checkpoint, accelerator)
    training = prepare(run, dataset, labels, weights, rounds, accelerator, model)
    training.began = began
    fit(run, checkpoint, training, rounds, description, look)
    if accelerator.is_main_process:
        report(run, Log(run.folder / "log.jsonl").read(), run.next_command(dataset))
    accelerator.end_training()


def pseudo_mask_rounds(
    run: TrainingRun,
    dataset: SegmentationDataset,
    labels: TrainingLabels,
    weights: Mapping[str, float],
) -> Rounds:
    """Return when and how the run makes its pseudo-masks."""
    from model import build_model
    from weakseg.data.cache import ResizedCache
    from weakseg.pseudo_masks import rounds

    return rounds.Rounds(
        folder=run.folder,
        terms=tuple(term for term in rounds.TERMS if weights.get(term)),
        epochs=run.epochs,
        second=run.added.second_round,
        signals=run.signals,
        dataset=dataset,
        labels=labels,
        cache=ResizedCache(run.cache_dir, run.img_size, run.cache_limit),
        new_encoder=partial(
            build_model,
            run.encoder,
            len(dataset.class_names),
            len(dataset.tag_names),
            run.encoder_weights,
        ),
    )


def new_network(
    run: TrainingRun, dataset: SegmentationDataset, is_resumed: bool = False
) -> SegmentationModel:
    """Return the network of a run before its first step, on the CPU.

    is_resumed: its weights come from a checkpoint afterwards
    """
    from model import DECODER, NARROW, build_model

    seed_everything(run.seed)
    return build_model(
        run.encoder,
        len(dataset.class_names),
        len(dataset.tag_names),
        "none" if is_resumed else run.encoder_weights,
        coarse=run.coarse_logits,
        decoder=NARROW if run.start else DECODER,
    )


def from_probe(
    run: TrainingRun,
    dataset: SegmentationDataset,
    labels: TrainingLabels,
    model: SegmentationModel,
    rounds: Rounds,
    checkpoint: Mapping[str, Any] | None,
    accelerator: Accelerator,
) -> tuple[SegmentationModel, Rounds]:
    """Return the network that starts from a probe, and the rounds with the probe's masks.

    model: of `new_network`; checkpoint: of a run that goes on, which needs no probe any more. Each
    of several processes fits the same probe.
    """
    from weakseg.learners.probe_unet import ProbeHead, ProbeUnet
    from weakseg.training.probe_start import ProbeStart

    if checkpoint:
        head = ProbeHead.of_state(checkpoint["model"], len(dataset.class_names))
        return ProbeUnet(model, head), rounds
    start = ProbeStart(run, dataset, labels, model, rounds.cache, accelerator.device)
    line = start.fit()
    if accelerator.is_main_process:
        print(f"{line['head']} probe on {line['pixels']} pixels, from which the network starts")
    return start.network, replace(rounds, probe_says=start.chances)


def prepare(
    run: TrainingRun,
    dataset: SegmentationDataset,
    labels: TrainingLabels,
    weights: Mapping[str, float],
    rounds: Rounds,
    accelerator: Accelerator,
    model: SegmentationModel,
) -> Training:
    """Return the `Training` of a run: losses, optimiser and loaders of a network, on every process.

    model: on the CPU
    """
    from data_utils import extras_of, make_loaders
    from losses import Criterion
    from weakseg.pseudo_masks.rounds import grabcut_masks
    from weakseg.training.distributed import has_own_batch_norm, synchronised_batch_norm
    from weakseg.training.loop import Training, warm_epochs
    from weakseg.training.mean_teacher import Teacher
    from weakseg.training.optim import make_optimizer

    # Losses.
    loss_options = LossOptions(
        tuple(dataset.tag_class),
        run.cam_foreground,
        run.cam_background,
        run.open_boxes,
        dataset.has_background,
    )
    criterion = Criterion(run.signals, weights, loss_options, run.loss_weighting, run.added)
    criterion.to(accelerator.device)

    # Batches, with the pseudo-masks that the recipe asks for.
    masks: dict[str, Any] = dict(rounds.masks())
    if weights.get("grabcut"):
        masks["grabcut"] = grabcut_masks(
            run.weak_label_path, dataset, labels, rounds.cache, accelerator
        )
    extras = extras_of(weights, labels, masks)
    teaches_itself = any(weights.get(term) for term in ADDED_TERMS)
    loader, batches, val_loader = make_loaders(
        run, dataset, labels, extras, accelerator, with_unlabelled=teaches_itself
    )

    # Optimiser, and what several processes share.
    steps = run.epochs * len(batches)
    optimizer, schedule = make_optimizer(
        model, criterion, steps, run.lr, run.decoder_lr_scale, run.weight_decay, run.warmup
    )
    own_norms = has_own_batch_norm(run.batch_norm, accelerator)
    if accelerator.num_processes > 1 and not own_norms:
        model = synchronised_batch_norm(model)
    teacher = None
    if "teacher" in criterion.weights:
        teacher = Teacher(model, run.added.teacher_decay, accelerator.device)
    with warnings.catch_warnings():
        # Accelerate has no newer name for it.
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated")
        model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    return Training(
        model=model,
        criterion=criterion,
        optimizer=optimizer,
        schedule=schedule,
        loader=loader,
        batches=batches,
        val_loader=val_loader,
        accelerator=accelerator,
        steps=steps,
        warm=warm_epochs(run, weights),
        frozen=run.frozen_epochs,
        teacher=teacher,
        own_norms=own_norms,
    )


def describe(
    run: TrainingRun, dataset: SegmentationDataset, labels: TrainingLabels
) -> dict[str, Any]:
    """Return what a checkpoint says of its run besides the weights: plain values."""
    from weakseg.evaluation.encoded_anew import looks_of

    seen = sorted({*labels.train_ids, *labels.val_ids})
    used = {*seen, *dataset.ids("test")}
    return {
        "args": run.recorded(),
        "commit": commit(),
        "task": dataset.task,
        "fingerprint": dataset.fingerprint(),
        "contents": dataset.contents(),
        "test_fingerprint": dataset.test_fingerprint(),
        "test_contents": dataset.test_contents(),
        "tested": dataset.mask_contents(dataset.masked(dataset.ids("test"))),
        "mask_contents": short_hash([dataset.mask_contents(labels.masks)]),
        "seen": seen,
        "files": dataset.image_contents(used),
        "looks": looks_of(dataset, used),
        "labels": labels.digest,
        "cost": labels.cost,
        "selection": {"by": run.selection if labels.val_ids else None, **labels.selection_cost},
    }


if __name__ == "__main__":
    run_cli(main, parse_args)
