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
import shutil
import time
from pathlib import Path

from common import UserError, commit, run_cli, seed_everything, stable_seed
from data_utils import add_data_arguments, open_dataset
from supervision import SIGNALS, TERMS, LossOptions, parse_modes
from weak_labels import labels_for

SELECTION = {"val_loss": min, "val_miou": max, "weak_val_loss": min}
# Flags that say where and how fast a run goes, not what it computes: they may differ when it is resumed.
FREE = {"resume", "overwrite", "num_workers", "device", "data_dir", "weak_label_path", "checkpoint_dir", "cache_dir",
        "log_with", "amp"}  # fmt: skip


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    group = add_data_arguments(parser)
    group.add_argument("--weak_label_path", default="./weak_labels/weak_labels_train.pkl", help="(default: %(default)s)")
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
                       help="what chooses best.pt; weak_val_loss needs no masks at all (default: %(default)s)")  # fmt: skip
    group.add_argument("--resume", nargs="?", const="must", choices=["must", "auto"],
                       help="go on from last.pt; 'auto' starts anew where there is none")  # fmt: skip
    group.add_argument("--overwrite", action="store_true", help="delete an existing run of this name first")
    group.add_argument("--log_with", choices=["none", "tensorboard", "wandb"], default="none", help="(default: none)")
    return parser.parse_args()


def add_supervision_arguments(parser):
    """Add the flags that choose and weigh the signals."""
    group = parser.add_argument_group("supervision")
    one = group.add_mutually_exclusive_group(required=True)
    one.add_argument("--supervision_mode", metavar="MODE", nargs=1, dest="modes",
                     help=f"{', '.join(SIGNALS)}, or a mix such as hybrid_tags_points")  # fmt: skip
    one.add_argument("--supervision_modes", metavar="MODE", nargs="+", dest="modes", help="several of them")
    group.add_argument("--lambda_seg", type=float, default=1.0, help="weight of all pixel losses together (default: 1)")
    for term in TERMS:
        usual = "1 when tags are the only signal, else 0" if term == "cam" else "1"
        group.add_argument(f"--lambda_{term}", type=float, help=f"weight of the {term} loss (default: {usual})")
    group.add_argument("--loss_weighting", choices=["fixed", "uncertainty"], default="fixed",
                       help="'uncertainty' learns a weight for each term (Kendall et al. 2018)")  # fmt: skip
    group.add_argument("--cam_warmup", type=float, default=0.3,
                       help="share of the epochs that trains the tag head alone, before CAM masks (default: 0.3)")  # fmt: skip
    group.add_argument("--cam_foreground", type=float, default=LossOptions.cam_foreground,
                       help="activation, of its maximum, from which a CAM pixel is the class (default: %(default)s)")  # fmt: skip
    group.add_argument("--cam_background", type=float, default=LossOptions.cam_background,
                       help="activation below which it is background; between the two ignored (default: %(default)s)")  # fmt: skip


def add_optimisation_arguments(parser):
    """Add the flags of network, optimiser and device."""
    group = parser.add_argument_group("optimisation")
    group.add_argument("--encoder", default="efficientnet-lite0", help="any smp encoder (default: %(default)s)")
    group.add_argument("--encoder_weights", default="imagenet", help="imagenet, none, or a file (default: imagenet)")
    group.add_argument("--epochs", type=int, default=50, help="(default: %(default)s)")
    group.add_argument("--batch_size", type=int, default=8, help="images a step over all processes (default: 8)")
    group.add_argument("--lr", type=float, default=1e-4, help="peak learning rate of the encoder (default: 1e-4)")
    group.add_argument("--decoder_lr_scale", type=float, default=3.0, help="decoder and heads: lr times this (default: 3)")
    group.add_argument("--weight_decay", type=float, default=0.01, help="AdamW's (default: %(default)s)")
    group.add_argument("--warmup", type=float, default=0.05, help="share of the steps with rising rate (default: 0.05)")
    group.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    group.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"], default="auto", help="(default: auto)")
    group.add_argument("--amp", action=argparse.BooleanOptionalAction, default=None,
                       help="mixed precision (default: on CUDA only)")  # fmt: skip


def check(args):
    """Refuse flag values that mean nothing, before anything is read or written."""
    rules = {
        "img_size": (args.img_size > 0 and args.img_size % 32 == 0, "must be a multiple of 32"),
        "epochs": (args.epochs > 0, "must be at least 1"),
        "batch_size": (args.batch_size > 0, "must be at least 1"),
        "lr": (args.lr > 0, "must be positive"),
        "val_fraction": (0 < args.val_fraction < 1, "must lie between 0 and 1"),
        "cam_foreground": (0 <= args.cam_background <= args.cam_foreground <= 1, "needs 0 <= background <= it <= 1"),
        "warmup": (0 <= args.warmup < 1, "must lie in [0, 1)"),
        "cam_warmup": (0 <= args.cam_warmup < 1, "must lie in [0, 1)"),
        "run_name": (Path(args.run_name).name == args.run_name, "is a folder name, without '/'"),
        "train_limit": (args.train_limit is None or args.train_limit > 0, "must be at least 1"),
    }
    for flag, (fine, why) in rules.items():
        if not fine:
            raise UserError(f"--{flag} {getattr(args, flag)}: {why}")


def term_weights(args, signals):
    """Return {term: weight} of the chosen signals; pixel terms are also multiplied by --lambda_seg."""
    usual = dict.fromkeys(signals, 1.0)
    if "tags" in signals:
        usual["cam"] = 1.0 if signals == ("tags",) else 0.0
    weights = {}
    for term, default in usual.items():
        given = getattr(args, f"lambda_{term}")
        weights[term] = (default if given is None else given) * (1.0 if term == "tags" else args.lambda_seg)
    for term in TERMS:
        if term not in usual and getattr(args, f"lambda_{term}") is not None:
            raise UserError(f"--lambda_{term}: this run has no {term} loss (its supervision is {', '.join(signals)})")
    if min(weights.values()) < 0 or not any(weights.values()):
        raise UserError("--lambda_...: weights must not be negative, and one must be positive")
    return weights


def make_accelerator(args):
    """Return the 🤗 Accelerator for the chosen device, precision, tracker and number of processes."""
    import torch
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.utils import DataLoaderConfiguration

    there = {"auto": True, "cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[args.device]:
        raise UserError(f"--device {args.device}: not available here; use --device auto")
    amp = args.amp if args.amp is not None else torch.cuda.is_available() and args.device in ("auto", "cuda")
    half = "bf16" if not torch.cuda.is_available() or torch.cuda.is_bf16_supported() else "fp16"
    try:
        return Accelerator(
            cpu=args.device == "cpu",
            mixed_precision=half if amp else "no",
            log_with=None if args.log_with == "none" else args.log_with,
            project_dir=Path(args.checkpoint_dir) / args.run_name,
            dataloader_config=DataLoaderConfiguration(split_batches=True),
            # A run without tags never touches the tag head.
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
    except (ImportError, ValueError) as error:
        raise UserError(f"--log_with {args.log_with}, --device {args.device}: {error}") from error


def open_run(args, accelerator):
    """Return (folder, checkpoint to go on from or None), refusing to touch a run that nobody asked to change."""
    from checkpoints import load_checkpoint

    folder = Path(args.checkpoint_dir) / args.run_name
    last = folder / "last.pt"
    if args.resume == "must" or (args.resume == "auto" and last.exists()):
        checkpoint = load_checkpoint(last)
        refuse_other_arguments(args, checkpoint["args"], last)
        return folder, checkpoint
    if last.exists() and not args.overwrite:
        raise UserError(f"{folder}: this run exists; go on with --resume, replace it with --overwrite, or choose --run_name")
    accelerator.wait_for_everyone()
    if accelerator.is_main_process and folder.exists():
        shutil.rmtree(folder)
    accelerator.wait_for_everyone()
    folder.mkdir(parents=True, exist_ok=True)
    return folder, None


def refuse_other_arguments(args, before, path):
    """A resumed run must compute the same thing."""
    changed = [k for k, v in vars(args).items() if k not in FREE and before.get(k) != v]
    if changed:
        k = changed[0]
        raise UserError(f"{path}: was trained with --{k} {before.get(k)}, not {getattr(args, k)}; keep it, or use another --run_name")


def training_ids(dataset, args):
    """Return the ids to train on: all of them, or --train_limit, nested: a smaller limit is part of a larger one."""
    ids = dataset.ids("train")
    if args.train_limit and args.train_limit > len(ids):
        raise UserError(f"--train_limit {args.train_limit}: the training split has {len(ids)} images")
    return sorted(sorted(ids, key=lambda name: stable_seed(args.seed, "limit", name))[: args.train_limit])


def annotation_cost(labels, signals):
    """Return what a person needs for these labels: {"images", "seconds": {signal: s}, "relative": units or None}."""
    efforts = [SIGNALS[signal].effort for signal in signals]
    return {
        "images": len(labels),
        "seconds": {s: sum(SIGNALS[s].seconds(labels[n][s]) for n in labels) for s in signals},
        "relative": None if None in efforts else sum(efforts),
    }


def make_loaders(args, dataset, labels, train_ids, signals, accelerator):
    """Return (training loader, its batch sampler, validation loader)."""
    from image_io import ResizedCache
    from loading import EpochBatches, InOrder, SegmentationItems, make_loader

    cache = ResizedCache(args.cache_dir, args.img_size)
    train = SegmentationItems(dataset, train_ids, cache, labels, signals, args.augment, seed=args.seed)
    masks = args.select_by != "weak_val_loss"
    val = SegmentationItems(dataset, dataset.ids("val"), cache, labels, signals, masks=masks)
    world = accelerator.num_processes
    size = min(args.batch_size, len(train))
    if size % world:
        raise UserError(f"--batch_size {size}: must be a multiple of the {world} processes")
    workers = args.num_workers if args.num_workers is not None else 4 * (accelerator.device.type == "cuda")
    on_gpu = accelerator.device.type == "cuda"
    batches = EpochBatches(len(train), size, args.seed)
    in_order = InOrder(len(val), max(1, size // world), accelerator.process_index, world)
    return make_loader(train, batches, workers, on_gpu), batches, make_loader(val, in_order, workers, on_gpu)


def make_optimizer(args, model, criterion, steps):
    """Return AdamW (encoder at --lr, the rest faster, no decay on vectors) and its warm-up + cosine schedule."""
    import math

    import torch

    groups = {}
    for name, p in [*model.named_parameters(), *criterion.named_parameters()]:
        scale = 1.0 if name.startswith("unet.encoder") else args.decoder_lr_scale
        groups.setdefault((scale, args.weight_decay if p.ndim > 1 else 0.0), []).append(p)
    optimizer = torch.optim.AdamW(
        [{"params": ps, "lr": args.lr * scale, "weight_decay": decay} for (scale, decay), ps in groups.items()]
    )
    rise = max(1, round(args.warmup * steps))
    fall = max(1, steps - rise)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: (k + 1) / rise if k < rise else 0.5 * (1 + math.cos(math.pi * min(1, (k - rise) / fall)))
    )
    return optimizer, schedule


def fit(args, folder, checkpoint, parts, accelerator, describe):
    """Train from the checkpoint's epoch to the last, saving after each epoch -> list of log lines."""
    from tqdm import tqdm

    from checkpoints import Log, save_checkpoint
    from engine import train_one_epoch, validate

    model, criterion, optimizer, schedule, loader, batches, val_loader = parts
    bare, log, best, first = accelerator.unwrap_model(model), Log(folder / "log.jsonl"), None, 0
    if checkpoint:
        bare.load_state_dict(checkpoint["model"])
        for part, key in ((criterion, "criterion"), (optimizer, "optimizer"), (schedule, "schedule")):
            part.load_state_dict(checkpoint[key])
        best, first = checkpoint["best"], checkpoint["epoch"]
    if accelerator.is_main_process:
        log.keep_until(first)
    warm = round(args.cam_warmup * args.epochs) if "cam" in criterion.weights else 0
    total = args.epochs * len(batches)
    with tqdm(total=total, initial=first * len(batches), desc=args.run_name, unit="step",
              disable=not accelerator.is_main_process) as bar:  # fmt: skip
        for epoch in range(first + 1, args.epochs + 1):
            began, batches.epoch = time.perf_counter(), epoch
            seed_everything(stable_seed(args.seed, "epoch", epoch))
            cam, step = epoch > warm, (epoch - 1) * len(batches)
            line = {"epoch": epoch, "lr": schedule.get_last_lr()[0]}
            line |= train_one_epoch(model, loader, criterion, optimizer, schedule, accelerator, cam, step, bar)
            line["images_per_second"] = len(batches) * batches.batch_size / (time.perf_counter() - began)
            line |= validate(bare, val_loader, criterion, len(describe["task"]["classes"]), accelerator, cam)
            score = line[args.select_by]
            # Before CAM masks exist the decoder is untrained, whatever its validation loss.
            line["selected"] = cam and (best is None or SELECTION[args.select_by](score, best) == score != best)
            best = score if line["selected"] else best
            line["seconds"] = time.perf_counter() - began
            if accelerator.is_main_process:
                log.append(line)
                content = {"model": bare.state_dict(), "epoch": epoch, "best": best, **describe}
                if line["selected"]:
                    save_checkpoint(folder / "best.pt", content)
                states = {"criterion": criterion, "optimizer": optimizer, "schedule": schedule}
                save_checkpoint(folder / "last.pt", content | {k: part.state_dict() for k, part in states.items()})
            accelerator.log({k: v for k, v in line.items() if isinstance(v, float)} | line["terms"], step=epoch)
            bar.write(summary(line, args.epochs))
    return log.read()


def summary(line, epochs):
    """Return one line about an epoch."""
    terms = " ".join(f"{name} {value:.3f}" for name, value in line["terms"].items())
    val = " ".join(f"{k} {line[k]:.4f}" for k in SELECTION if line[k] is not None)
    return (
        f"epoch {line['epoch']}/{epochs}  loss {line['loss']:.4f} ({terms})  {val}  "
        f"{line['images_per_second']:.1f} img/s{'  *' * line['selected']}"
    )


def main(args):
    signals = parse_modes(args.modes)
    args.modes = list(signals)
    args.run_name = args.run_name or "_".join(signals)
    check(args)
    weights = term_weights(args, signals)

    from engine import Criterion
    from model import build_model, synchronise_batch_norm
    from plots import loss_curves

    accelerator = make_accelerator(args)
    dataset = open_dataset(args)
    train_ids, val_ids = training_ids(dataset, args), dataset.ids("val")
    labels = labels_for(args.weak_label_path, dataset, train_ids + val_ids, signals, args.data_dir)
    folder, checkpoint = open_run(args, accelerator)
    if dataset.absent and accelerator.is_main_process:
        print(f"{args.data_dir}: {dataset.absent} listed images are absent; the split of the others is unchanged")

    seed_everything(args.seed)
    weights_from = args.encoder_weights if checkpoint is None else "none"
    model = build_model(args.encoder, len(dataset.class_names), len(dataset.tag_names), weights_from)
    criterion = Criterion(signals, weights, loss_options(args, dataset), args.loss_weighting).to(accelerator.device)
    loader, batches, val_loader = make_loaders(args, dataset, labels, train_ids, signals, accelerator)
    optimizer, schedule = make_optimizer(args, model, criterion, args.epochs * len(batches))
    if accelerator.num_processes > 1:
        synchronise_batch_norm(model)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    accelerator.init_trackers("weak-supervision", init_kwargs={"wandb": {"name": args.run_name}})

    describe = {
        "args": vars(args),
        "commit": commit(),
        "task": {"dataset": dataset.name, "classes": dataset.class_names, "tag_names": dataset.tag_names},
        "fingerprint": dataset.fingerprint(),
        "cost": annotation_cost({name: labels[name] for name in train_ids}, signals),
        "selection": {"by": args.select_by, **annotation_cost({n: labels[n] for n in val_ids}, selection_signals(args))},
    }
    parts = model, criterion, optimizer, schedule, loader, batches, val_loader
    lines = fit(args, folder, checkpoint, parts, accelerator, describe)
    if accelerator.is_main_process:
        loss_curves(folder / "curves.png", lines)
        print(f"{folder}: best.pt is epoch {[x['epoch'] for x in lines if x['selected']][-1]} of {args.epochs}; "
              f"next: python evaluate.py --checkpoint_dir {args.checkpoint_dir} --run_name {args.run_name}")  # fmt: skip
    accelerator.end_training()


def selection_signals(args):
    """Return the signals whose labels of the validation images chose the checkpoint."""
    return tuple(args.modes) if args.select_by == "weak_val_loss" else ("full",)


def loss_options(args, dataset):
    """Return the options of the losses for this data set."""
    return LossOptions(tuple(dataset.tag_class), args.cam_foreground, args.cam_background)


if __name__ == "__main__":
    run_cli(main, parse_args)
