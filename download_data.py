"""Fetch Oxford-IIIT Pet or PASCAL VOC 2012, take over a copy from elsewhere, or draw the built-in
`shapes` set.

    python download_data.py                                            # Oxford-IIIT Pet into ./data
    python download_data.py --dataset voc --data_dir ./data
    python download_data.py --from_dir /mnt/oxford-iiit-pet --max_side 256
    python download_data.py --dataset shapes --count_trainval 240 --count_test 60 --size 160

Running it again is safe: what is there and whole is kept, what is missing is added.
"""

import argparse
import shlex

from weakseg.common import run_cli
from weakseg.data.download import LAYOUTS, names_in, obtain, obtain_shapes

DATASETS = {"pets": obtain, "voc": obtain, "shapes": obtain_shapes}


def summary(dataset, target, data_dir):
    """Return one line: what is there and what to run next."""
    layout = LAYOUTS.get(dataset, LAYOUTS["pets"])  # the shapes lie like Pet
    lists = [
        target / relative
        for relative in layout.lists + layout.more_lists
        if (target / relative).is_file()
    ]
    counts = ", ".join(
        f"{len(names_in(path))} {path.stem}" for path in lists if path.stem != "list"
    )
    return f"{dataset} in {target}: {counts} images. Next: {layout.following.format(shlex.quote(data_dir))}"


def _at_least(least):
    def whole_number(text):
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value

    return whole_number


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = parser.add_argument_group("data")
    data.add_argument("--dataset", choices=DATASETS, default="pets", help="default: %(default)s")
    data.add_argument(
        "--data_dir", default="./data", help="folder to write to; default: %(default)s"
    )
    copying = parser.add_argument_group("pets and voc")
    copying.add_argument(
        "--from_dir", help="take this copy of the data set instead of the network's; default: none"
    )
    copying.add_argument(
        "--max_side",
        type=_at_least(16),
        help="shrink images and masks until no side is longer than this many pixels; default: as they are",
    )
    shapes = parser.add_argument_group("shapes")
    shapes.add_argument(
        "--count_trainval", type=_at_least(1), default=240, help="images; default: %(default)s"
    )
    shapes.add_argument(
        "--count_test", type=_at_least(1), default=60, help="images; default: %(default)s"
    )
    shapes.add_argument(
        "--size",
        type=_at_least(32),
        default=160,
        help="longer side in pixels; default: %(default)s",
    )
    shapes.add_argument("--seed", type=int, default=0, help="of the drawing; default: %(default)s")
    return parser.parse_args(argv)


def main(args):
    target = DATASETS[args.dataset](args)
    print(summary(args.dataset, target, args.data_dir))


if __name__ == "__main__":
    run_cli(main, parse_args)
