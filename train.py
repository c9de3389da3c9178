"""Train one segmenter from one kind of label, or from any mix.

    python train.py --supervision_mode points --run_name points_run1 --epochs 10 --batch_size 8 --lr 1e-4
    python train.py --supervision_mode hybrid_tags_points --run_name hybrid_run1 --epochs 50 --lambda_seg 1.0
    python train.py --supervision_modes points boxes --lambda_points 1.0 --lambda_boxes 1.0 --run_name mix --augment
    python train.py --supervision_mode points --run_name points_run1 --epochs 10 --resume auto
    torchrun --nproc_per_node 2 train.py --supervision_mode full --run_name full_run1      (or: accelerate launch)

Writes <checkpoint_dir>/<run_name>/: best.pt, last.pt, log.jsonl, curves.png. Everything random
follows from (--seed, epoch, image), so a run that is killed and resumed ends with the same weights
as one left alone.
"""

import warnings
from dataclasses import fields
from functools import partial

from weakseg.common import commit, run_cli, seed_everything
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.training_labels import (
    annotation_cost,
    labels_digest,
    labels_of_run,
    selection_signals,
    training_ids,
)
from weakseg.training import options, recipes
from weakseg.training.options import FREE, settle
from weakseg.training.recipes import LossOptions, term_weights


def parse_args():
    return options.parse_args(description=__doc__)


def describe_run(args, dataset, labels, train_ids, signals):
    """Return what best.pt says about a run besides its weights: plain values."""
    val_ids, classes = dataset.ids("val"), len(dataset.class_names) - 1
    return {
        "args": vars(args),
        "commit": commit(),
        "task": {
            "dataset": dataset.name,
            "classes": dataset.class_names,
            "tag_names": dataset.tag_names,
        },
        "fingerprint": dataset.fingerprint(),
        "test_fingerprint": dataset.test_fingerprint(),
        "labels": labels_digest(labels, {*train_ids, *val_ids}, signals),
        "cost": annotation_cost(labels, train_ids, signals, classes),
        "selection": {
            "by": args.select_by,
            **annotation_cost(labels, val_ids, selection_signals(args), classes),
        },
    }


def prepare(args, dataset, labels, train_ids, signals, weights, accelerator, pretrained):
    """Return the `Training` of a run: model, criterion, optimiser and loaders, spread over the
    processes.
    """
    from data_utils import make_loaders
    from losses import Criterion
    from model import build_model
    from weakseg.training.distributed import synchronise_batch_norm
    from weakseg.training.loop import Training, warm_epochs
    from weakseg.training.mean_teacher import Teacher
    from weakseg.training.optim import make_optimizer

    seed_everything(args.seed)
    sizes = len(dataset.class_names), len(dataset.tag_names)
    model = build_model(args.encoder, *sizes, pretrained, coarse=args.coarse_logits)
    options = LossOptions(
        tuple(dataset.tag_class), args.cam_foreground, args.cam_background, args.open_boxes
    )
    recipe = recipes.Options(
        **{option.name: getattr(args, option.name) for option in fields(recipes.Options)}
    )
    criterion = Criterion(signals, weights, options, args.loss_weighting, recipe).to(
        accelerator.device
    )
    loader, batches, val_loader = make_loaders(
        args, dataset, labels, train_ids, signals, weights, accelerator
    )
    optimizer, schedule = make_optimizer(
        model,
        criterion,
        args.epochs * len(batches),
        args.lr,
        args.decoder_lr_scale,
        args.weight_decay,
        args.warmup,
    )
    several = accelerator.num_processes > 1
    if several and args.batch_norm == "global":
        synchronise_batch_norm(model)
    teacher = (
        Teacher(model, args.teacher_decay, accelerator.device)
        if "teacher" in criterion.weights
        else None
    )
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "`broadcast_buffers` is deprecated"
        )  # accelerate has no newer name for it
        model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    steps = args.epochs * len(batches)
    warm = warm_epochs(args, weights)
    return Training(
        model,
        criterion,
        optimizer,
        schedule,
        loader,
        batches,
        val_loader,
        accelerator,
        steps,
        warm,
        teacher,
        own_norms=several and args.batch_norm == "local",
    )


def train_run(args, dataset, labels, train_ids, signals, weights):
    """Train what is left of a run, and report."""
    from model import build_model
    from weakseg.pseudo_masks.rounds import grow_masks
    from weakseg.training.checkpoints import Log, find_run, save_best
    from weakseg.training.distributed import make_accelerator
    from weakseg.training.loop import fit, report

    folder, checkpoint = find_run(args, FREE)
    tracker = {} if args.log_with == "none" else {"log_with": args.log_with}
    accelerator = make_accelerator(
        args.device, args.amp, project_dir=args.checkpoint_dir, **tracker
    )
    if dataset.absent and accelerator.is_main_process:
        print(
            f"{args.data_dir}: {dataset.absent} listed images are absent; the split of the others is unchanged"
        )
    if checkpoint is None or checkpoint["epoch"] < args.epochs:
        pretrained = "none" if checkpoint else args.encoder_weights
        training = prepare(
            args, dataset, labels, train_ids, signals, weights, accelerator, pretrained
        )
        sizes = len(dataset.class_names), len(dataset.tag_names)
        new_encoder = partial(build_model, args.encoder, *sizes, args.encoder_weights)
        grow = partial(grow_masks, args, dataset, labels, train_ids, signals, new_encoder)
        fit(
            args,
            folder,
            checkpoint,
            training,
            describe_run(args, dataset, labels, train_ids, signals),
            grow,
        )
    elif accelerator.is_main_process and checkpoint["selected"]:
        save_best(folder, checkpoint)
    if accelerator.is_main_process:
        report(args, folder, Log(folder / "log.jsonl").read())
    accelerator.end_training()


def main(args):
    signals = settle(args)
    dataset = open_dataset(DataOptions.of(vars(args)))
    weights = term_weights(args, signals, len(dataset.class_names))
    train_ids = training_ids(dataset, args)
    labels = labels_of_run(args, dataset, train_ids)

    from weakseg.training.checkpoints import lock_run, run_folder

    with lock_run(run_folder(args)):
        train_run(args, dataset, labels, train_ids, signals, weights)


if __name__ == "__main__":
    run_cli(main, parse_args)
