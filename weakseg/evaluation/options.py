"""The flags of evaluate.py."""

import argparse

from weakseg.command_line import Parser
from weakseg.data.datasets import add_data_arguments
from weakseg.inference.tile_flags import OVERLAP
from weakseg.labels.costs import DEFAULT, UNITS
from weakseg.threads import add_threads_argument


def parse_args(description: str | None) -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = Parser(description=description)
    add_run_arguments(parser)
    add_data_arguments(parser)
    parser.set_defaults(data_dir=None, cache_dir=None)  # the run's own
    add_inference_arguments(parser)
    add_output_arguments(parser)
    return parser.parse_args()


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which runs, or which masks."""
    group = parser.add_argument_group("runs")
    group.add_argument(
        "--checkpoint_dir",
        default="./checkpoints",
        help="folder of the runs (default: %(default)s)",
    )
    group.add_argument(
        "--run_name", nargs="+", help="only these runs (default: all that are there)"
    )
    group.add_argument(
        "--predictions",
        nargs="+",
        metavar="DIR",
        help="score the masks of any model, PNGs of class numbers with the names of the images; of "
        "runs only those of --run_name, whose data set it is",
    )
    group.add_argument(
        "--prediction_values",
        nargs="+",
        default=[],
        metavar="VALUE=CLASS",
        help="what numbers or colours in the masks of --predictions mean, as --mask_values of the "
        "data set's own: 255=cat",
    )
    group.add_argument(
        "--encoder",
        nargs="+",
        default=[],
        metavar="NAME",
        help="encoders that may be downloaded; of others that runs name, only what is on this "
        "machine is used",
    )
    group.add_argument("--cache_limit", type=float, metavar="GB", help="as in train.py")


def add_inference_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how masks are predicted."""
    group = parser.add_argument_group("inference")
    group.add_argument(
        "--batch_size", type=int, default=16, help="images a step (default: %(default)s)"
    )
    group.add_argument(
        "--num_workers", type=int, default=0, help="loader processes (default: %(default)s)"
    )
    group.add_argument(
        "--device", choices=["auto", "cpu", "cuda", "mps"], default="auto", help="(default: auto)"
    )
    add_threads_argument(group)
    group.add_argument(
        "--tile",
        type=int,
        nargs="?",
        const=0,
        metavar="PIXELS",
        help="predict images longer than so many pixels in overlapping windows of that side; "
        "without a number: as long as training images usually are (default: whole images)",
    )
    group.add_argument(
        "--tile_overlap",
        type=float,
        metavar="F",
        help=f"least share of a window that the next covers too (default: {OVERLAP})",
    )


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of result files, prices and intervals."""
    group = parser.add_argument_group("output")
    group.add_argument("--results_dir", default="./results", help="(default: %(default)s)")
    group.add_argument(
        "--cost", choices=UNITS, help="cost axis of the plot: seconds, or the schedule relative"
    )
    group.add_argument(
        "--cost_schedule",
        metavar="NAME|FILE",
        help=f"prices: a name in costs.yaml, or a YAML file (default: {DEFAULT})",
    )
    group.add_argument(
        "--cost_band", metavar="NAME|FILE", help="draw costs as a range, to those by this schedule"
    )
    group.add_argument(
        "--reprice",
        action="store_true",
        help="price the files in --results_dir anew, and only that",
    )
    group.add_argument(
        "--resamples", type=int, default=1000, help="of the bootstrap (default: %(default)s)"
    )
