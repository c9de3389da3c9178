"""Simulate annotators: turn masks into tags, points, scribbles, boxes, outlines and answers.

    python weak_label_generator.py --data_dir ./data --output_file weak_labels/weak_labels_train.pkl
    python weak_label_generator.py --data_dir ./data --points_per_object 3 --noise 0.05 --preview 8
    python weak_label_generator.py --data_dir nuclei --background_points match
    python weak_label_generator.py --data_dir ./data --pixels_per_image 10 --faults 0.5
    python weak_label_generator.py --data_dir VOCdevkit --clicks human_points.json
    python weak_label_generator.py --data_dir huge --shards 100 --output_file ./weak_labels/huge

Labels are made for every image of the official training list (train.py holds its validation images
from that list); the test split is never read. Each image has its own random stream from (seed, id,
signal): the labels don't depend on the order, the number of jobs, or the other images.

With --shards the output is a folder of that many Parquet files, written in flat memory and read
image by image, which stands for the file in every script; --backend dask draws it on a cluster.
Stop it whenever you like: the same command goes on, and keeps the files that are done.
"""

import argparse
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import asdict, fields
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import Any

from weakseg.command_line import Parser
from weakseg.common import UserError, run_cli
from weakseg.data.base import SegmentationDataset
from weakseg.data.datasets import DataOptions, add_data_arguments, open_dataset, say
from weakseg.labels import simulate
from weakseg.labels.annotators import MATCH, Options
from weakseg.labels.human_clicks import HumanClicks
from weakseg.labels.label_file import load_labels, save_labels
from weakseg.labels.label_folder import holds_pickles, only_shards, shards_in, write_folder
from weakseg.labels.label_header import header
from weakseg.labels.label_summary import LabelSummary
from weakseg.labels.parquet_shard import Row
from weakseg.labels.person import add_faults_argument, faults_of
from weakseg.parallel import Workers, add_backend_arguments
from weakseg.threads import add_threads_argument

Draw = Callable[..., Generator[Any, None, None]]  # `simulate.annotate_all`, of this data set

LIMITS = {  # of what the flags may say
    "points_per_object": (0, 1000),
    "background_points": (MATCH, 1000),
    "scribble_length": (0.01, 1),
    "scribble_width": (1, 100),
    "min_area": (0, 0.5),
    "outline_iou": (0.5, 1),
    "noise": (0, 1),
    "pixels_per_image": (0, 10_000),
    "preview": (0, 100),
    "shards": (0, 99999),
    "seed": (0, 2**63 - 1),
}


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    add_data_arguments(parser)
    add_annotator_arguments(parser)
    add_output_arguments(parser)
    group = parser.add_argument_group("execution")
    group.add_argument(
        "--jobs", type=int, default=-1, help="processes, -1 = one a core (default: %(default)s)"
    )
    add_threads_argument(group)
    add_backend_arguments(group, ("loky", "dask", "ray"), "loky")
    return parser.parse_args()


def add_annotator_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how the simulated annotator works."""
    default = Options()
    group = parser.add_argument_group("annotator")
    group.add_argument(
        "--points_per_object",
        type=int,
        default=default.points_per_object,
        help="clicks (default: %(default)s)",
    )
    group.add_argument(
        "--background_points",
        type=clicks_behind,
        default=default.background_points,
        metavar="N|match",
        help="clicks an image; match: as many as on its objects (default: %(default)s)",
    )
    group.add_argument(
        "--random_points",
        action="store_true",
        help="click anywhere on the object, not near its centroid first",
    )
    group.add_argument("--clicks", metavar="FILE", help="points are people's, from this file")
    group.add_argument(
        "--simulated_clicks", action="store_true", help="simulate as many points as --clicks has"
    )
    group.add_argument(
        "--scribble_length",
        type=float,
        default=default.scribble_length,
        help="share of the skeleton's path (default: %(default)s)",
    )
    group.add_argument(
        "--scribble_width",
        type=int,
        default=default.scribble_width,
        help="pen width, original pixels (default: %(default)s)",
    )
    group.add_argument(
        "--min_area",
        type=float,
        default=default.min_area,
        help="smallest object, share of the image (default: %(default)s)",
    )
    group.add_argument(
        "--outline_iou",
        type=float,
        default=default.outline_iou,
        help="IoU of coarse outlines with their objects (default: %(default)s)",
    )
    group.add_argument(
        "--noise",
        type=float,
        default=default.noise,
        help="error rate of the annotator: share of clicks off the object and of wrong tags; box "
        "sides and strokes are off by this share of their length (default: %(default)s)",
    )
    group.add_argument(
        "--pixels_per_image",
        type=int,
        default=default.pixels_per_image,
        help="random pixels of an image that a person is asked to name (default: %(default)s)",
    )
    add_faults_argument(group)
    group.add_argument(
        "--seed", type=int, default=0, help="seed of all annotators (default: %(default)s)"
    )


def clicks_behind(text: str) -> int:
    """Return a number of background clicks; `match` stands for as many as on objects."""
    try:
        return MATCH if text == "match" else int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: write a number, or match") from error


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what is written."""
    group = parser.add_argument_group("output")
    group.add_argument(
        "--output_file",
        default="./weak_labels/weak_labels_train.pkl",
        help="with --shards a folder (default: %(default)s)",
    )
    group.add_argument(
        "--shards",
        type=int,
        default=0,
        metavar="N",
        help="write N files and an index, in flat memory (default: one file)",
    )
    group.add_argument(
        "--preview",
        type=int,
        default=0,
        metavar="N",
        help="draw N images with their labels beside the output",
    )


def check(args: argparse.Namespace) -> None:
    """Refuse flag values that mean nothing."""
    for flag, (low, high) in LIMITS.items():
        if not low <= getattr(args, flag) <= high:
            raise UserError(f"--{flag} {getattr(args, flag)}: must lie between {low} and {high}")
    if not args.jobs:
        raise UserError("--jobs 0: must be a number of processes, or -1 for one a core")
    if args.simulated_clicks and not args.clicks:
        raise UserError(
            "--simulated_clicks: needs --clicks, the file whose number of clicks is simulated"
        )
    check_output(Path(args.output_file), args.shards)


def check_output(path: Path, shards: int) -> None:
    """Refuse an --output_file of the other form, or one that this script didn't write."""
    flag = f"--output_file {path}"
    if shards and path.is_file():
        raise UserError(f"{flag}: is a file; name a folder, or leave --shards out")
    if path.is_dir() and holds_pickles(path):
        raise UserError(
            f"{flag}: holds pickles of an earlier version, which are no longer read; delete the "
            "folder, or name another"
        )
    if not shards and path.is_dir():
        there = shards_in(path)
        form = f"holds labels in shards; add --shards {there}, or" if there else "is a folder;"
        raise UserError(f"{flag}: {form} name a file in it")
    if path.exists() and not is_ours(path):
        raise UserError(f"{flag}: was not written by this script; move it, or name another")


def is_ours(path: Path) -> bool:
    """Whether a file or folder holds labels that this script drew, and so can draw again."""
    try:
        return bool(load_labels(path)["options"])  # people's labels have none
    except UserError:
        return path.is_dir() and only_shards(path)  # unfinished or damaged ones


def refuse_unmasked(dataset: SegmentationDataset, names: list[str]) -> None:
    """Raise `UserError` for training images without a mask, from which labels are simulated."""
    unmasked = [name for name in names if not dataset.mask_path(name).exists()]
    if unmasked:
        raise UserError(
            f"{dataset.mask_path(unmasked[0])}: no such mask, nor those of {len(unmasked) - 1} "
            "other training images; labels are simulated from masks: add them, take the images "
            "off the training list, or run python download_data.py"
        )


def main(args: argparse.Namespace) -> None:
    check(args)
    workers = Workers.of(vars(args))
    dataset = open_dataset(DataOptions.of(vars(args)))
    given = {field.name: getattr(args, field.name) for field in fields(Options)}
    options = Options(**given | {"faults": faults_of(args.faults, "--faults")})
    names = dataset.ids("trainval")
    say(dataset.notes())
    refuse_unmasked(dataset, names)
    say(dataset.check_masks(names, "training"))

    points, drawn_with = clicks_of_people(args, dataset, names)
    head = header(dataset, args.seed, asdict(options) | drawn_with)
    draw = partial(
        simulate.annotate_all,
        dataset=dataset,
        points=points,
        options=options,
        seed=args.seed,
        workers=workers,
    )
    summary = LabelSummary(dataset, names, args.preview)
    if args.shards:
        draw_folder(args.output_file, args.shards, head, draw, dataset, names, summary)
    else:
        draw_file(args.output_file, head, draw, names, summary)

    print("\n".join(summary.lines()))
    if args.preview:
        draw_preview(args.output_file, dataset, summary.previews)
    classes = ", ".join(dataset.class_names)
    print(f"{args.output_file}: {len(names)} images of {dataset.name} ({classes})")


def clicks_of_people(
    args: argparse.Namespace, dataset: SegmentationDataset, names: list[str]
) -> tuple[dict[str, simulate.PointSource], dict[str, Any]]:
    """Return {id: what draws its points} as --clicks says, and what the header says of it."""
    if not args.clicks:
        return {}, {}
    clicks = HumanClicks(args.clicks)
    people = {name: clicks.points(dataset, name) for name in names}
    say([*clicks.lines(dataset, people)])
    points = simulate.point_sources(people, args.simulated_clicks)
    return points, {"clicks": clicks.digest, "simulated_clicks": args.simulated_clicks}


def draw_file(
    path: str, head: dict[str, Any], draw: Draw, names: list[str], summary: LabelSummary
) -> None:
    """Draw the labels of all images into one file, and show each to the summary."""
    with closing(draw(simulate.annotate_many, names=names, count=len(names))) as drawn:
        save_labels(path, head, len(names), starmap(summary.add, drawn))


def draw_folder(
    path: str,
    shards: int,
    head: dict[str, Any],
    draw: Draw,
    dataset: SegmentationDataset,
    names: list[str],
    summary: LabelSummary,
) -> None:
    """Draw the labels of all images into a folder, and show the summary those that it wants."""

    def draw_rows(missing: Iterable[str], count: int) -> Generator[Row, None, None]:
        return draw(simulate.encode_many, names=missing, count=count)

    source = partial(simulate.drawn_from, dataset)
    kept = write_folder(path, head, names, shards, source, draw_rows)
    if kept:
        print(
            f"{path}: {kept} of {len(names)} images are in shards that were finished before, "
            "and kept"
        )
    images = load_labels(path)["images"]
    for name in summary.wanted():
        summary.add(name, images[name])


def draw_preview(
    output: str, dataset: SegmentationDataset, labels: dict[str, dict[str, Any]]
) -> None:
    """Draw labels over their photographs, into a PNG beside the output."""
    import numpy as np

    from weakseg.reporting.pictures import label_preview

    path = output.rstrip("/").removesuffix(".pkl") + "_preview.png"
    tiles = [
        {"title": name, "image": np.asarray(dataset.image(name)), "annotation": annotation}
        for name, annotation in labels.items()
    ]
    label_preview(path, tiles, dataset.class_names)
    print(f"preview: {path}")


if __name__ == "__main__":
    run_cli(main, parse_args)
