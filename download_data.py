"""Fetch Oxford-IIIT Pet or PASCAL VOC 2012, copy pictures smaller, or draw the `shapes` set.

    python download_data.py                                            # Oxford-IIIT Pet into ./data
    python download_data.py --dataset voc --data_dir ./data
    python download_data.py --from_dir /mnt/oxford-iiit-pet --max_side 256
    python download_data.py --dataset folder --from_dir ./mine --data_dir ./small --max_side 4096
    python download_data.py --dataset shapes --count_trainval 240 --count_test 60 --size 160

Running it again is safe: what is there and whole is kept, what is missing is added. Nothing that it
did not write is replaced.
"""

import argparse
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from weakseg.command_line import Parser
from weakseg.common import UserError, run_cli
from weakseg.data.download import obtain, refuse_own_folder, writing
from weakseg.data.layouts import LAYOUTS, PETS, Layout, names_in
from weakseg.data.synthetic import draw_shapes

SHAPES, FOLDER = "shapes", "folder"


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = Parser(description=__doc__)
    group = parser.add_argument_group("data")
    group.add_argument(
        "--dataset",
        choices=[*LAYOUTS, FOLDER, SHAPES],
        default="pets",
        help="(default: %(default)s)",
    )
    group.add_argument(
        "--data_dir", default="./data", help="folder to write to (default: %(default)s)"
    )
    group = parser.add_argument_group("pets, voc, and a folder of one's own")
    group.add_argument("--from_dir", help="take this copy of the data set instead of the network's")
    group.add_argument(
        "--max_side",
        type=at_least(16),
        help="shrink images and masks until no side is longer than this many pixels "
        "(default: as they are)",
    )
    group = parser.add_argument_group(SHAPES)
    group.add_argument(
        "--count_trainval", type=at_least(1), default=240, help="images (default: %(default)s)"
    )
    group.add_argument(
        "--count_test", type=at_least(1), default=60, help="images (default: %(default)s)"
    )
    group.add_argument(
        "--size",
        type=at_least(32),
        default=160,
        help="longer side in pixels (default: %(default)s)",
    )
    group.add_argument("--seed", type=int, default=0, help="of the drawing (default: %(default)s)")
    return parser.parse_args(argv)


def at_least(least: int) -> Callable[[str], int]:
    """Return an argparse type: a whole number that is not below `least`."""

    def whole_number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value

    return whole_number


def main(args: argparse.Namespace) -> None:
    data_dir = Path(args.data_dir)
    if args.dataset == FOLDER:
        copy_smaller(args.from_dir, data_dir, args.max_side)
        return
    if args.dataset != SHAPES:
        from_dir = Path(args.from_dir) if args.from_dir else None
        target = obtain(args.dataset, data_dir, from_dir, args.max_side)
    elif args.from_dir or args.max_side:
        raise UserError(
            "--from_dir and --max_side do not go with --dataset shapes: "
            "it is drawn at --size pixels"
        )
    else:
        target = data_dir
        refuse_own_folder(data_dir)
        with writing(data_dir):
            draw_shapes(data_dir, args.count_trainval, args.count_test, args.size, args.seed)
    layout = LAYOUTS.get(args.dataset, PETS)  # the shapes lie like Pet
    print(f"{args.dataset} in {target}: {closing_line(layout, target, args.data_dir)}")


def copy_smaller(from_dir: str | None, data_dir: Path, max_side: int | None) -> None:
    """Write a smaller copy of a folder of one's own, and say what is there."""
    from weakseg.data.smaller_copy import copy_folder

    if not from_dir or not max_side:
        raise UserError(
            "--dataset folder: writes a smaller copy of your own pictures; give --from_dir and "
            "--max_side"
        )
    count = copy_folder(Path(from_dir), data_dir, max_side)
    print(
        f"{data_dir}: {count} images with no side above {max_side} pixels. Next: label and train "
        f"with --data_dir {shlex.quote(str(data_dir))}"
    )


def closing_line(layout: Layout, target: Path, data_dir: str) -> str:
    """Return how many images each list names, and what to run next."""
    counts = ", ".join(
        f"{len(names_in(path))} {path.stem}"
        for path in layout.present_lists(target)
        if path.stem != "list"
    )
    return f"{counts} images. Next: {layout.next_command.format(shlex.quote(data_dir))}"


if __name__ == "__main__":
    run_cli(main, parse_args)
