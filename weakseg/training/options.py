"""The flags of train.py on losses and optimisation, and what values make no sense."""

import argparse
import math
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

from weakseg.common import UserError
from weakseg.data.datasets import add_data_arguments
from weakseg.labels.signals import SIGNALS, TERMS, parse_modes
from weakseg.training import recipes
from weakseg.training.recipes import LossOptions

SELECTION = {"val_loss": min, "val_miou": max, "weak_val_loss": min}

# Flags that say where and how fast a run goes, not what it computes: they may differ when it is
# resumed.
FREE = {
    "resume",
    "overwrite",
    "num_workers",
    "device",
    "data_dir",
    "weak_label_path",
    "checkpoint_dir",
    "cache_dir",
    "cache_limit",
    "log_with",
}


def add_supervision_arguments(parser):
    """Add the flags that choose and weigh the signals."""
    group = parser.add_argument_group("supervision")
    one = group.add_mutually_exclusive_group(required=True)
    one.add_argument(
        "--supervision_mode",
        metavar="MODE",
        nargs=1,
        dest="modes",
        help=f"{', '.join(SIGNALS)}, or a mix such as hybrid_tags_points",
    )
    one.add_argument(
        "--supervision_modes", metavar="MODE", nargs="+", dest="modes", help="several of them"
    )
    group.add_argument(
        "--recipe",
        choices=["plain", "strong"],
        default="plain",
        help="'strong' adds losses for pixels that nobody labelled (default: plain)",
    )
    group.add_argument(
        "--lambda_seg",
        type=float,
        default=1.0,
        help="weight of all pixel losses together (default: 1)",
    )
    for term in TERMS:
        usual = "1 when tags are the only signal of a plain run, else 0" if term == "cam" else "1"
        lighter = recipes.STRONG.get(term, {}).get(term)
        usual += f"; {lighter:g} in the strong recipe" if lighter else ""
        group.add_argument(
            f"--lambda_{term}", type=float, help=f"weight of the {term} loss (default: {usual})"
        )
    for term in recipes.ADDED_TERMS:
        group.add_argument(
            f"--lambda_{term}",
            type=float,
            help=f"weight of the added {term} loss (default: the recipe's)",
        )
    group.add_argument(
        "--open_boxes",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="boxes say only what is background (default: in the strong recipe)",
    )
    for option in fields(recipes.Options):
        group.add_argument(
            f"--{option.name}",
            type=float,
            default=option.default,
            help=f"{option.metadata['help']} (default: %(default)s)",
        )
    group.add_argument(
        "--loss_weighting",
        choices=["fixed", "uncertainty"],
        default="fixed",
        help="'uncertainty' learns a weight for each term (Kendall et al. 2018)",
    )
    group.add_argument(
        "--cam_warmup",
        type=float,
        default=0.3,
        help="share of the epochs before CAM masks are used (default: %(default)s)",
    )
    group.add_argument(
        "--cam_foreground",
        type=float,
        default=LossOptions.cam_foreground,
        help="CAM value, of its maximum, from which it is the class (default: %(default)s)",
    )
    group.add_argument(
        "--cam_background",
        type=float,
        default=LossOptions.cam_background,
        help="CAM value below which it is background (default: %(default)s)",
    )


def add_optimisation_arguments(parser):
    """Add the flags of network, optimiser and device."""
    group = parser.add_argument_group("optimisation")
    group.add_argument(
        "--encoder", default="efficientnet-lite0", help="any smp encoder (default: %(default)s)"
    )
    group.add_argument(
        "--encoder_weights",
        default="imagenet",
        help="imagenet, none, or a file (default: imagenet)",
    )
    group.add_argument(
        "--coarse_logits",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="add logits of the encoder's features (default: with more than two classes)",
    )
    group.add_argument("--epochs", type=int, default=50, help="(default: %(default)s)")
    group.add_argument(
        "--steps_per_epoch",
        type=int,
        help="length of an epoch (default: as many as there are whole batches of images)",
    )
    group.add_argument(
        "--batch_size", type=int, default=8, help="images a step over all processes (default: 8)"
    )
    group.add_argument(
        "--batch_norm",
        choices=["global", "local"],
        default="global",
        help="in several processes: over the batch of all, as in one process, or over each one's own, "
        "which is faster (default: %(default)s)",
    )
    group.add_argument(
        "--lr", type=float, default=1e-4, help="peak learning rate of the encoder (default: 1e-4)"
    )
    group.add_argument(
        "--decoder_lr_scale",
        type=float,
        default=3.0,
        help="decoder and heads: lr times this (default: 3)",
    )
    group.add_argument(
        "--weight_decay", type=float, default=0.01, help="AdamW's (default: %(default)s)"
    )
    group.add_argument(
        "--warmup",
        type=float,
        default=0.05,
        help="share of the steps with rising rate (default: 0.05)",
    )
    group.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    group.add_argument(
        "--device", choices=["auto", "cpu", "cuda", "mps"], default="auto", help="(default: auto)"
    )
    group.add_argument(
        "--amp",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="mixed precision (default: on CUDA only)",
    )


def check(args):
    """Refuse flag values that mean nothing, before anything is read or written."""
    rules = {
        "img_size": (
            args.img_size >= 64 and args.img_size % 32 == 0,
            "must be a multiple of 32, at least 64",
        ),
        "epochs": (args.epochs > 0, "must be at least 1"),
        "batch_size": (args.batch_size > 0, "must be at least 1"),
        "lr": (args.lr > 0, "must be positive"),
        "val_fraction": (0 < args.val_fraction < 1, "must lie between 0 and 1"),
        "cam_foreground": (
            0 <= args.cam_background <= args.cam_foreground <= 1,
            "needs 0 <= background <= it <= 1",
        ),
        "warmup": (0 <= args.warmup < 1, "must lie in [0, 1)"),
        "cam_warmup": (0 <= args.cam_warmup < 1, "must lie in [0, 1)"),
        "ramp": (0 <= args.ramp <= 1, "must lie between 0 and 1"),
        "teacher_decay": (0 <= args.teacher_decay < 1, "must lie in [0, 1)"),
        "second_round": (0 <= args.second_round <= 1, "must lie between 0 and 1"),
        "teacher_confidence": (0 <= args.teacher_confidence < 1, "must lie in [0, 1)"),
        "run_name": (
            Path(args.run_name).name == args.run_name != "..",
            "is the name of one folder, without '/'",
        ),
        "num_workers": (args.num_workers is None or args.num_workers >= 0, "must not be negative"),
        "decoder_lr_scale": (args.decoder_lr_scale > 0, "must be positive"),
        "weight_decay": (args.weight_decay >= 0, "must not be negative"),
        "overwrite": (not (args.overwrite and args.resume), "and --resume exclude each other"),
        "cache_limit": (args.cache_limit is None or args.cache_limit >= 0, "must not be negative"),
        "log_with": (
            args.log_with == "none" or find_spec(args.log_with),
            f"not installed; pip install {args.log_with}",
        ),
        "steps_per_epoch": (
            args.steps_per_epoch is None or args.steps_per_epoch > 0,
            "must be at least 1",
        ),
        "train_limit": (args.train_limit is None or args.train_limit > 0, "must be at least 1"),
    }
    for flag, value in vars(args).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"--{flag} {value}: must be a finite number")
    for flag, (fine, why) in rules.items():
        if not fine:
            raise UserError(f"--{flag} {getattr(args, flag)}: {why}")


def parse_args(argv=None, description=None):
    """Return the arguments of train.py that the words of a command line give; None: those of this
    process.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    group = add_data_arguments(parser)
    group.add_argument(
        "--weak_label_path",
        default="./weak_labels/weak_labels_train.pkl",
        help="(default: %(default)s)",
    )
    group.add_argument(
        "--cache_limit",
        type=float,
        metavar="GB",
        help="most that --cache_dir may hold; images beyond it are decoded every time (default: no limit)",
    )
    group.add_argument(
        "--train_limit",
        type=int,
        help="train on this many images, chosen by the seed (default: all)",
    )
    group.add_argument(
        "--img_size",
        type=int,
        default=256,
        help="network input, pixels a side (default: %(default)s)",
    )
    group.add_argument(
        "--augment", action="store_true", help="random crop, flip and colour, labels included"
    )
    group.add_argument(
        "--num_workers",
        type=int,
        default=None,
        help="loader processes (default: 0 on CPU, 4 on a GPU)",
    )
    add_supervision_arguments(parser)
    add_optimisation_arguments(parser)
    group = parser.add_argument_group("output")
    group.add_argument("--run_name", help="name of the run's folder (default: the supervision)")
    group.add_argument("--checkpoint_dir", default="./checkpoints", help="(default: %(default)s)")
    group.add_argument(
        "--select_by",
        choices=SELECTION,
        default="val_loss",
        help="chooses best.pt; weak_val_loss needs no masks (default: %(default)s)",
    )
    group.add_argument(
        "--resume",
        nargs="?",
        const="must",
        choices=["must", "auto"],
        help="go on from last.pt; 'auto' starts anew where there is none",
    )
    group.add_argument(
        "--overwrite", action="store_true", help="delete an existing run of this name first"
    )
    group.add_argument(
        "--log_with",
        choices=["none", "tensorboard", "wandb"],
        default="none",
        help="(default: none)",
    )
    return parser.parse_args(argv)


def settle(args):
    """Complete the arguments, in place, to what a run records of itself, and check them -> its
    signals.
    """
    signals = parse_modes(args.modes)
    args.modes = list(signals)
    args.run_name = args.run_name or "_".join(signals)
    check(args)
    if args.open_boxes is None:
        args.open_boxes = args.recipe == "strong"
    return signals
