"""Train one segmenter from one kind of label, or from any mix.

    python train.py --supervision_mode points --run_name points_run1 --epochs 10 --batch_size 8 --lr 1e-4
    python train.py --supervision_mode hybrid_tags_points --run_name hybrid_run1 --epochs 50 --lambda_seg 1.0
    python train.py --supervision_modes points boxes --lambda_points 1.0 --lambda_boxes 1.0 --run_name mix --augment
    python train.py --supervision_mode points --run_name points_run1 --epochs 10 --resume auto
    torchrun --nproc_per_node 2 train.py --supervision_mode full --run_name full_run1      (or: accelerate launch)

Writes <checkpoint_dir>/<run_name>/: best.pt, last.pt, log.jsonl, curves.png. Everything random follows from (--seed,
epoch, image), so a run that is killed and resumed ends with the same weights as one left alone.
"""

import argparse
import warnings
from dataclasses import fields
from functools import partial

import recipes
from common import UserError, commit, run_cli, seed_everything
from data_utils import add_data_arguments, open_dataset
from run_labels import annotation_cost, labels_digest, labels_of_run, selection_signals, training_ids
from supervision import TERMS, LossOptions, parse_modes
from train_flags import FREE, add_optimisation_arguments, add_supervision_arguments, check

SELECTION = {"val_loss": min, "val_miou": max, "weak_val_loss": min}


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    group = add_data_arguments(parser)
    group.add_argument(
        "--weak_label_path", default="./weak_labels/weak_labels_train.pkl", help="(default: %(default)s)"
    )
    group.add_argument(
        "--cache_limit", type=float, metavar="GB",
        help="most that --cache_dir may hold; images beyond it are decoded every time (default: no limit)",
    )  # fmt: skip
    group.add_argument("--train_limit", type=int, help="train on this many images, chosen by the seed (default: all)")
    group.add_argument("--img_size", type=int, default=256, help="network input, pixels a side (default: %(default)s)")
    group.add_argument("--augment", action="store_true", help="random crop, flip and colour, labels included")
    group.add_argument("--num_workers", type=int, default=None, help="loader processes (default: 0 on CPU, 4 on a GPU)")
    add_supervision_arguments(parser)
    add_optimisation_arguments(parser)
    group = parser.add_argument_group("output")
    group.add_argument("--run_name", help="name of the run's folder (default: the supervision)")
    group.add_argument("--checkpoint_dir", default="./checkpoints", help="(default: %(default)s)")
    group.add_argument("--select_by", choices=SELECTION, default="val_loss",
                       help="chooses best.pt; weak_val_loss needs no masks (default: %(default)s)")  # fmt: skip
    group.add_argument("--resume", nargs="?", const="must", choices=["must", "auto"],
                       help="go on from last.pt; 'auto' starts anew where there is none")  # fmt: skip
    group.add_argument("--overwrite", action="store_true", help="delete an existing run of this name first")
    group.add_argument("--log_with", choices=["none", "tensorboard", "wandb"], default="none", help="(default: none)")
    return parser.parse_args(argv)


def settle(args):
    """Complete the arguments, in place, to what a run records of itself, and check them -> its signals."""
    signals = parse_modes(args.modes)
    args.modes = list(signals)
    args.run_name = args.run_name or "_".join(signals)
    check(args)
    if args.open_boxes is None:
        args.open_boxes = args.recipe == "strong"
    return signals


def term_weights(args, signals, num_classes):
    """Return {term: weight} of the chosen signals and the recipe; pixel terms are also multiplied by --lambda_seg.

    num_classes: the background is one of them
    """
    usual = dict.fromkeys(signals, 1.0)
    if "tags" in signals:
        usual["cam"] = 1.0 if signals == ("tags",) and args.recipe == "plain" else 0.0
    usual |= {term: 0.0 for term, added in recipes.TERMS.items() if added.serves(signals)}
    usual |= recipes.usual_weights(args.recipe, signals, num_classes)
    weights = {}
    for term, default in usual.items():
        given = getattr(args, f"lambda_{term}")
        weights[term] = (default if given is None else given) * (1.0 if term == "tags" else args.lambda_seg)
    for term in (*TERMS, *recipes.TERMS):
        if term not in usual and getattr(args, f"lambda_{term}") is not None:
            raise UserError(f"--lambda_{term}: this run has no {term} loss (its supervision is {', '.join(signals)})")
    if min(weights.values()) < 0 or not any(weights.values()):
        raise UserError("--lambda_...: weights must not be negative, and one must be positive")
    if weights.get("cam") and not weights["tags"]:
        raise UserError("--lambda_tags 0: nothing would train the activation maps; raise it, or give --lambda_cam 0")
    of_pixels = [weights[term] for term in (*signals, "cam") if term != "tags" and term in weights]
    if args.select_by == "weak_val_loss" and not any(of_pixels):
        raise UserError(f"--select_by weak_val_loss: no loss of the {', '.join(signals)} looks at pixels; use val_loss")
    return weights


def make_loaders(args, dataset, labels, train_ids, signals, weights, accelerator):
    """Return (training loader, its batch sampler, validation loader)."""
    from image_io import ResizedCache
    from loading import EpochBatches, InOrder, SegmentationItems, make_loader
    from run_masks import masks_of_run

    cache = ResizedCache(args.cache_dir, args.img_size, args.cache_limit)
    masks = masks_of_run(args, dataset, labels, train_ids, signals, weights, accelerator)
    extras = recipes.extras(weights, labels, masks)
    train = SegmentationItems(dataset, train_ids, cache, labels, signals, args.augment, seed=args.seed, extras=extras)
    masks = args.select_by != "weak_val_loss"
    val = SegmentationItems(dataset, dataset.ids("val"), cache, labels, signals, masks=masks)
    world = accelerator.num_processes
    if args.batch_size % world or len(train) < world:
        raise UserError(f"--batch_size {args.batch_size}: must be a multiple of the {world} processes")
    size = min(args.batch_size, len(train) // world * world)
    workers = args.num_workers if args.num_workers is not None else 4 * (accelerator.device.type == "cuda")
    on_gpu = accelerator.device.type == "cuda"
    batches = EpochBatches(len(train), size, args.seed, args.steps_per_epoch)
    in_order = InOrder(len(val), max(1, size // world), accelerator.process_index, world)
    return make_loader(train, batches, workers, on_gpu), batches, make_loader(val, in_order, workers, on_gpu)


def warm_epochs(args, weights):
    """Return the number of epochs before the pseudo-masks of the network's own activation maps are used."""
    return min(round(args.cam_warmup * args.epochs), args.epochs - 1) if weights.get("cam") else 0


def fit(args, folder, checkpoint, training, describe, grow):
    """Train from the checkpoint's epoch to the last; log and save after each.

    grow: a function (training, term, number) that makes the pseudo-masks of a round
    """
    from tqdm import tqdm

    from run_masks import plan_rounds, settle_rounds
    from runs import Log, leftovers, refuse_other_data, remove, run_files, save_best, save_checkpoint, start_tracking

    if checkpoint:
        refuse_other_data(checkpoint, describe, folder)
    folder.mkdir(parents=True, exist_ok=True)
    replaced = leftovers(folder) if checkpoint else run_files(folder)
    training.accelerator.wait_for_everyone()
    start_tracking(args, training.accelerator)
    log, best, first = Log(folder / "log.jsonl"), None, 0
    if checkpoint:
        training.load(checkpoint)
        best, first = checkpoint["best"], checkpoint["epoch"]
    main_process = training.accelerator.is_main_process
    plan = plan_rounds(args, training.criterion.weights)
    if main_process:
        if checkpoint:
            settle_rounds(args, plan, first)
        for path in replaced:
            remove(path)
        if checkpoint and checkpoint["selected"]:
            save_best(folder, checkpoint)
        log.keep_until(first)
    training.accelerator.wait_for_everyone()
    steps = len(training.batches)
    bar = tqdm(total=args.epochs * steps, initial=first * steps, desc=args.run_name, disable=not main_process)
    for round_ in plan.get(0, ()) if first == 0 else ():
        grow(training, *round_)
    for epoch in range(first + 1, args.epochs + 1):
        cam = epoch > training.warm
        line = training.run_epoch(epoch, args.seed, cam, len(describe["task"]["classes"]), bar)
        score = line[args.select_by]
        # Before CAM masks exist the decoder is untrained, whatever its validation loss.
        line["selected"] = cam and (best is None or SELECTION[args.select_by](score, best) == score != best)
        best = score if line["selected"] else best
        for round_ in plan.get(epoch, ()):
            grow(training, *round_)  # before last.pt: a run that is killed meanwhile makes them anew
        if main_process:
            log.append(line)
            content = {**training.state(), "epoch": epoch, "best": best, "selected": line["selected"], **describe}
            save_checkpoint(folder / "last.pt", content)
            if line["selected"]:
                save_best(folder, content)
            bar.write(summary(line, args.epochs))
        numbers = {k: v for k, v in line.items() if isinstance(v, float)}
        training.accelerator.log(numbers | {f"terms/{k}": v for k, v in line["terms"].items()}, step=epoch)
    bar.close()


def report(args, folder, lines):
    """Draw the curves of a finished run and say what to do next."""
    from charts import loss_curves

    if not lines:
        print(f"{folder}: all epochs are done, but its log.jsonl is gone")
        return
    loss_curves(folder / "curves.png", lines)
    best = [line["epoch"] for line in lines if line["selected"]]
    print(f"{folder}: best.pt is epoch {best[-1] if best else None} of {args.epochs}; next: python evaluate.py "
          f"--checkpoint_dir {args.checkpoint_dir} --run_name {args.run_name}")  # fmt: skip


def summary(line, epochs):
    """Return one line about an epoch."""
    terms = " ".join(f"{name} {value:.3f}" for name, value in line["terms"].items())
    val = " ".join(f"{k} {line[k]:.4f}" for k in SELECTION if line[k] is not None)
    return (
        f"epoch {line['epoch']}/{epochs}  loss {line['loss']:.4f} ({terms})  {val}  "
        f"{line['images_per_second']:.1f} img/s{'  *' * line['selected']}"
    )


def describe_run(args, dataset, labels, train_ids, signals):
    """Return what best.pt says about a run besides its weights: plain values."""
    val_ids, classes = dataset.ids("val"), len(dataset.class_names) - 1
    return {
        "args": vars(args),
        "commit": commit(),
        "task": {"dataset": dataset.name, "classes": dataset.class_names, "tag_names": dataset.tag_names},
        "fingerprint": dataset.fingerprint(),
        "test_fingerprint": dataset.test_fingerprint(),
        "labels": labels_digest(labels, {*train_ids, *val_ids}, signals),
        "cost": annotation_cost(labels, train_ids, signals, classes),
        "selection": {"by": args.select_by, **annotation_cost(labels, val_ids, selection_signals(args), classes)},
    }


def prepare(args, dataset, labels, train_ids, signals, weights, accelerator, pretrained):
    """Return the `Training` of a run: model, criterion, optimiser and loaders, spread over the processes."""
    from batch_norm import synchronise_batch_norm
    from engine import Criterion, Training, make_optimizer
    from model import build_model
    from teacher import Teacher

    seed_everything(args.seed)
    sizes = len(dataset.class_names), len(dataset.tag_names)
    model = build_model(args.encoder, *sizes, pretrained, coarse=args.coarse_logits)
    options = LossOptions(tuple(dataset.tag_class), args.cam_foreground, args.cam_background, args.open_boxes)
    recipe = recipes.Options(**{option.name: getattr(args, option.name) for option in fields(recipes.Options)})
    criterion = Criterion(signals, weights, options, args.loss_weighting, recipe).to(accelerator.device)
    loader, batches, val_loader = make_loaders(args, dataset, labels, train_ids, signals, weights, accelerator)
    optimizer, schedule = make_optimizer(
        model, criterion, args.epochs * len(batches), args.lr, args.decoder_lr_scale, args.weight_decay, args.warmup
    )
    several = accelerator.num_processes > 1
    if several and args.batch_norm == "global":
        synchronise_batch_norm(model)
    teacher = Teacher(model, args.teacher_decay, accelerator.device) if "teacher" in criterion.weights else None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated")  # accelerate has no newer name for it
        model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    steps = args.epochs * len(batches)
    warm = warm_epochs(args, weights)
    return Training(
        model, criterion, optimizer, schedule, loader, batches, val_loader, accelerator, steps, warm, teacher,
        own_norms=several and args.batch_norm == "local",
    )  # fmt: skip


def train_run(args, dataset, labels, train_ids, signals, weights):
    """Train what is left of a run, and report."""
    from engine import make_accelerator
    from run_masks import grow_masks
    from runs import Log, find_run, save_best

    folder, checkpoint = find_run(args, FREE)
    tracker = {} if args.log_with == "none" else {"log_with": args.log_with}
    accelerator = make_accelerator(args.device, args.amp, project_dir=args.checkpoint_dir, **tracker)
    if dataset.absent and accelerator.is_main_process:
        print(f"{args.data_dir}: {dataset.absent} listed images are absent; the split of the others is unchanged")
    if checkpoint is None or checkpoint["epoch"] < args.epochs:
        pretrained = "none" if checkpoint else args.encoder_weights
        training = prepare(args, dataset, labels, train_ids, signals, weights, accelerator, pretrained)
        grow = partial(grow_masks, args, dataset, labels, train_ids, signals)
        fit(args, folder, checkpoint, training, describe_run(args, dataset, labels, train_ids, signals), grow)
    elif accelerator.is_main_process and checkpoint["selected"]:
        save_best(folder, checkpoint)
    if accelerator.is_main_process:
        report(args, folder, Log(folder / "log.jsonl").read())
    accelerator.end_training()


def main(args):
    signals = settle(args)
    dataset = open_dataset(args)
    weights = term_weights(args, signals, len(dataset.class_names))
    train_ids = training_ids(dataset, args)
    labels = labels_of_run(args, dataset, train_ids)

    from runs import lock_run, run_folder

    with lock_run(run_folder(args)):
        train_run(args, dataset, labels, train_ids, signals, weights)


if __name__ == "__main__":
    run_cli(main, parse_args)
