"""Does drawing labels need more memory for more images? weak_label_generator.py --shards at two
sizes 100 times apart.

    python benchmarks/shards.py
    python benchmarks/shards.py --images 5000 --jobs 2

The generator's own main runs in a process of its own for each size, on masks of 32 x 32 pixels that
are drawn when they are asked for, under ids that are made when they are asked for: what is left is
the machinery, not the data set's lists. Peaks are of resident memory (Linux). The parent's
processor time is what no further worker can take off it: it bounds the images/s of a whole cluster.
Labels of real photographs take longer to draw (labels.py) and a few times the bytes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from weakseg.common import commit, stable_seed
from weakseg.data.base import SegmentationDataset

SIDE = 32
LARGE = 10**8  # images to extrapolate to


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--images", type=int, default=1_000_000, help="of the larger size (default: %(default)s)"
    )
    parser.add_argument("--shards", type=int, default=16, help="(default: %(default)s)")
    parser.add_argument(
        "--jobs", type=int, default=-1, help="processes, -1 = one a core (default: %(default)s)"
    )
    parser.add_argument(
        "--output_dir",
        help="put the labels there, to be removed again (default: a temporary folder)",
    )
    parser.add_argument(
        "--measure", help=argparse.SUPPRESS
    )  # the folder of the process that measures
    return parser.parse_args()


class Ids(Sequence):
    """The ids of `count` images."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        numbers = range(self.count)[i]
        return (
            [f"image_{n:09d}" for n in numbers] if isinstance(i, slice) else f"image_{numbers:09d}"
        )


class Discs(SegmentationDataset):
    """`count` images of one disc each, that no file holds."""

    name, count = "discs", 0
    class_names, tag_names, tag_class = ["background", "disc"], ["disc"], [1]

    def __init__(self, *flags, **others):
        self.flags = []

    def ids(self, split):
        return Ids(self.count)

    def mask_path(self, name):
        return Path(__file__)

    def tags(self, name):
        return ("disc",)

    def image_size(self, name):
        return SIDE, SIDE

    def mask(self, name):
        seed, (y, x) = stable_seed("disc", name), grid()
        left, top, radius = 8 + seed % 16, 8 + seed // 16 % 16, 3 + seed // 256 % 5
        return ((x - left) ** 2 + (y - top) ** 2 < radius**2).astype(np.uint8)


@cache
def grid():
    return np.mgrid[:SIDE, :SIDE]


def peak(process):
    """Return the largest resident memory of a process so far, MiB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def measure(args):
    """Generate labels in this process and its workers, and print what it took as JSON."""
    import psutil
    from shards import (
        Discs,
    )  # by its module's name: the workers import it, instead of getting its source each time

    import weak_label_generator
    from weakseg.data import datasets

    Discs.count = args.images
    datasets.DATASETS["discs"] = Discs
    sys.argv = [
        sys.argv[0],
        "--dataset",
        "discs",
        "--output_file",
        args.measure,
        "--shards",
        str(args.shards),
        "--jobs",
        str(args.jobs),
    ]
    began, used = time.perf_counter(), time.process_time()
    weak_label_generator.main(weak_label_generator.parse_args())
    found = {"seconds": time.perf_counter() - began, "parent_seconds": time.process_time() - used}
    workers = [peak(child.pid) for child in psutil.Process().children(recursive=True)]
    sizes = {path.suffix: 0 for path in Path(args.measure).iterdir()}
    for path in Path(args.measure).iterdir():
        sizes[path.suffix] += path.stat().st_size
    found |= {
        "parent": peak("self"),
        "worker": max(workers, default=0),
        "shards": sizes[".parquet"],
    }
    print(json.dumps(found | {"index": sizes[".json"]}))


def generate(args, images):
    """Return what `measure` finds for so many images."""
    with tempfile.TemporaryDirectory(dir=args.output_dir) as folder:
        flags = [
            "--images",
            images,
            "--shards",
            args.shards,
            "--jobs",
            args.jobs,
            "--measure",
            Path(folder) / "labels",
        ]
        done = subprocess.run(
            [sys.executable, __file__, *map(str, flags)], stdout=subprocess.PIPE, text=True
        )
    if done.returncode:
        sys.exit(f"error: the generator failed on {images} images; its messages are above")
    return json.loads(done.stdout.splitlines()[-1])


def main(args):
    if args.measure:
        measure(args)
        return
    print(
        f"{args.shards} shards, --jobs {args.jobs}, masks of {SIDE} x {SIDE}, commit `{commit()}`:\n"
    )
    print(
        "| images | seconds | images/s | parent, peak MiB | a worker, peak MiB | parent's CPU time, ms an image "
        "| bytes an image, shards | index |\n" + "| ---: " * 8 + "|"
    )
    rows = []
    for images in (max(1, args.images // 100), args.images):
        found = generate(args, images)
        rows.append(found)
        print(
            f"| {images:,} | {found['seconds']:.0f} | {images / found['seconds']:.0f} | {found['parent']:.0f} "
            f"| {found['worker']:.0f} | {1000 * found['parent_seconds'] / images:.3f} "
            f"| {found['shards'] / images:.0f} | {found['index'] / images:.0f} |",
            flush=True,
        )
    few, many = rows
    growth = [
        f"{100 * (many[key] / few[key] - 1):+.1f} %" for key in ("parent", "worker") if few[key]
    ]
    scale = LARGE / args.images
    print(f"\nPeak memory of parent and worker, larger against smaller: {', '.join(growth)}.")
    print(
        f"{LARGE:,} images at this rate: {scale * many['seconds'] / 3600:.1f} h, "
        f"{scale * (many['shards'] + many['index']) / 2**30:.0f} GiB; with any number of workers the parent alone "
        f"takes {scale * many['parent_seconds'] / 3600:.1f} h."
    )


if __name__ == "__main__":
    main(parse_args())
