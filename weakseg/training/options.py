"""The flags of train.py; `weakseg.training.run` says what they mean and which make no sense."""

import argparse
from collections.abc import Sequence

from weakseg.command_line import Parser
from weakseg.data.datasets import add_data_arguments
from weakseg.labels.signals import SIGNALS, TERMS
from weakseg.parallel import BACKENDS, add_backend_arguments
from weakseg.threads import add_threads_argument
from weakseg.training.flags import add_options
from weakseg.training.probe_options import ProbeOptions
from weakseg.training.recipes import ADDED_TERMS, STRONG, AddedOptions, LossOptions
from weakseg.training.run import ANY, LEARNERS, SELECTION


def parse_args(
    argv: Sequence[str] | None = None, description: str | None = None
) -> argparse.Namespace:
    """Return the arguments of train.py that the words of a command line give.

    argv: None for those of this process
    """
    parser = Parser(description=description)
    add_input_arguments(parser)
    add_supervision_arguments(parser)
    add_network_arguments(parser)
    add_probe_arguments(parser)
    add_optimisation_arguments(parser)
    add_output_arguments(parser)
    return parser.parse_args(argv)


def add_input_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of images and labels."""
    group = add_data_arguments(parser)
    group.add_argument(
        "--weak_label_path",
        "--labels",
        default="./weak_labels/weak_labels_train.pkl",
        help="a weak-label file or folder, or a store of python labels.py (default: %(default)s)",
    )
    group.add_argument(
        "--cache_limit",
        type=float,
        metavar="GB",
        help="most that --cache_dir may hold; images beyond it are decoded every time "
        "(default: no limit)",
    )
    group.add_argument(
        "--train_limit",
        type=int,
        help="train on this many images, chosen by the seed (default: all)",
    )
    group.add_argument(
        "--img_size",
        type=int,
        help="pixels a side of the network's square input, for the probe those of the longer side "
        f"(default: {LEARNERS['unet']}, probe {LEARNERS['probe']})",
    )
    group.add_argument(
        "--augment", action="store_true", help="random crop, flip and colour, labels included"
    )
    group.add_argument(
        "--num_workers", type=int, help="loader processes (default: 0 on CPU, 4 on a GPU)"
    )


def add_supervision_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that choose the signals and weigh their losses."""
    group = parser.add_argument_group("supervision")
    one = group.add_mutually_exclusive_group(required=True)
    one.add_argument(
        "--supervision_mode",
        metavar="MODE",
        nargs=1,
        dest="modes",
        help=f"{', '.join(SIGNALS)}, a mix such as tags+points or hybrid_tags_points, or {ANY}: "
        "whatever labels each image has",
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
        lighter = STRONG.get(term, {}).get(term)
        usual += f"; {lighter:g} in the strong recipe" if lighter else ""
        group.add_argument(
            f"--lambda_{term}", type=float, help=f"weight of the {term} loss (default: {usual})"
        )
    for term in ADDED_TERMS:
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
    add_options(group, AddedOptions)
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


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the network."""
    group = parser.add_argument_group("network")
    group.add_argument(
        "--learner",
        choices=LEARNERS,
        default="unet",
        help="unet: minutes of training; probe: a pixel classifier on frozen features, seconds "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--encoder",
        default="efficientnet-lite0",
        help="any smp encoder, for the probe also tu-NAME of timm (default: %(default)s)",
    )
    group.add_argument(
        "--encoder_weights",
        default="imagenet",
        help="imagenet, none, or a file (default: imagenet)",
    )
    group.add_argument(
        "--start",
        choices=["probe"],
        help="fit a probe to the same labels first, from whose predictions the U-Net starts; with "
        "--recipe strong its pseudo-masks replace all other added losses",
    )
    group.add_argument(
        "--frozen",
        type=float,
        default=0.0,
        help="with --start: share of the epochs before the encoder learns (default: %(default)s)",
    )
    group.add_argument(
        "--coarse_logits",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="add logits of the encoder's features (default: with more than two classes)",
    )


def add_probe_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the probe."""
    group = parser.add_argument_group(
        "probe",
        "Of --learner probe. The probe has no use for flags of losses (--lambda_*, --recipe,\n"
        "...), of epochs, batches, rates and selection (--epochs, --batch_size, --lr,\n"
        "--select_by, ...), nor for --augment, --coarse_logits, --num_workers, --amp and\n"
        "--log_with.",
    )
    add_options(group, ProbeOptions)
    group.add_argument(
        "--jobs", type=int, default=1, help="photographs at a time (default: %(default)s)"
    )
    add_backend_arguments(group, BACKENDS, "threading")


def add_optimisation_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the optimiser and the machine."""
    group = parser.add_argument_group("optimisation")
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
        help="in several processes on GPUs: over the batch of all, as in one process, or over "
        "each one's own; on CPUs it is local (default: %(default)s)",
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
    add_threads_argument(group)


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the run's folder."""
    group = parser.add_argument_group("output")
    group.add_argument("--run_name", help="name of the run's folder (default: the supervision)")
    group.add_argument("--checkpoint_dir", default="./checkpoints", help="(default: %(default)s)")
    group.add_argument(
        "--select_by",
        choices=SELECTION,
        help="chooses best.pt; weak_val_loss looks at the labels of validation images, last at "
        "nothing (default: val_loss, or last where no validation image has a mask)",
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
