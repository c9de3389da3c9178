"""Does drawing labels need more memory for more images? The label folder, at two sizes.

    python benchmarks/shards.py
    python benchmarks/shards.py --images 5000 --jobs 2

What `weak_label_generator.py --shards` does to draw and write labels runs in a process of its own
for each size, the larger one 100 times the smaller. The masks have 32 x 32 pixels and are drawn
when they are asked for, and ids are made when they are asked for: what is left is the machinery,
not the data set's lists. Peaks are of resident memory (Linux). The parent's processor time is what
no further worker can take off it: it bounds the images a second of a whole cluster. Labels of real
photographs take longer to draw (labels.py) and a few times the bytes.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks.commands import flags, run
from weakseg.common import commit, stable_seed
from weakseg.labels import simulate
from weakseg.labels.annotators import Options
from weakseg.labels.label_folder import write_folder
from weakseg.labels.label_header import header
from weakseg.parallel import Workers

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
    parser.add_argument("--measure", help=argparse.SUPPRESS)  # folder of the measuring process
    return parser.parse_args()


class Ids(Sequence):
    """The ids of `count` images, made when they are asked for."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        if isinstance(i, slice):
            return [f"image_{n:09d}" for n in range(self.count)[i]]
        return f"image_{range(self.count)[i]:09d}"


class Discs:
    """Images of one disc each, that no file holds: what an annotator needs of a data set."""

    name = "discs"
    class_names, tag_names = ["background", "disc"], ["disc"]

    def part(self, names):
        return self

    def tags(self, name):
        return ("disc",)

    def mask_path(self, name):
        return Path(__file__)  # stands for the file that the labels are drawn from

    def mask(self, name):
        seed, (y, x) = stable_seed("disc", name), pixel_grid()
        left, top, radius = 8 + seed % 16, 8 + seed // 16 % 16, 3 + seed // 256 % 5
        return ((x - left) ** 2 + (y - top) ** 2 < radius**2).astype(np.uint8)

    def check_size(self, name, shape):
        """There is no photograph that could have another size."""


@cache
def pixel_grid():
    return np.mgrid[:SIDE, :SIDE]


def peak(process):
    """Return the largest resident memory of a process so far, MiB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def measure(args):
    """Draw labels in this process and its workers, and print what it took as JSON."""
    import psutil

    # By its module's name: the workers import it, instead of getting its source each time.
    from benchmarks.shards import Discs

    dataset, folder = Discs(), Path(args.measure)

    def draw(ids, count):
        workers = Workers("loky", jobs=args.jobs)
        return simulate.annotate_all(
            simulate.encode_many, dataset, {}, Options(), 0, workers, ids, count
        )

    began, used = time.perf_counter(), time.process_time()
    source = partial(simulate.drawn_from, dataset)
    write_folder(folder, header(dataset, 0, {}), Ids(args.images), args.shards, source, draw)
    result = {"seconds": time.perf_counter() - began, "parent_seconds": time.process_time() - used}
    workers = [peak(child.pid) for child in psutil.Process().children(recursive=True)]
    result |= {"parent": peak("self"), "worker": max(workers, default=0)}
    for kind, suffix in (("shards", ".parquet"), ("index", ".json")):
        result[kind] = sum(path.stat().st_size for path in folder.glob(f"*{suffix}"))
    print(json.dumps(result))


def generate(args, images):
    """Return what `measure` measures for so many images."""
    with tempfile.TemporaryDirectory(dir=args.output_dir) as folder:
        words = flags(
            images=images, shards=args.shards, jobs=args.jobs, measure=Path(folder) / "labels"
        )
        _, printed = run(__file__, *words)
    return json.loads(printed.splitlines()[-1])


def main(args):
    if args.measure:
        measure(args)
        return
    print(
        f"{args.shards} shards, --jobs {args.jobs}, masks of {SIDE} x {SIDE}, "
        f"commit `{commit()}`:\n"
    )
    print(
        "| images | seconds | images/s | parent, peak MiB | a worker, peak MiB "
        "| parent's CPU time, ms an image | bytes an image, shards | index |"
    )
    print("| ---: " * 8 + "|")
    results = []
    for images in (max(1, args.images // 100), args.images):
        result = generate(args, images)
        results.append(result)
        cells = [
            f"{images:,}",
            f"{result['seconds']:.0f}",
            f"{images / result['seconds']:.0f}",
            f"{result['parent']:.0f}",
            f"{result['worker']:.0f}",
            f"{1000 * result['parent_seconds'] / images:.3f}",
            f"{result['shards'] / images:.0f}",
            f"{result['index'] / images:.0f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
    few, many = results
    growth = [
        f"{100 * (many[key] / few[key] - 1):+.1f} %" for key in ("parent", "worker") if few[key]
    ]
    print(f"\nPeak memory of parent and worker, larger against smaller: {', '.join(growth)}.")
    scale = LARGE / args.images
    hours, size = scale * many["seconds"] / 3600, scale * (many["shards"] + many["index"])
    print(
        f"{LARGE:,} images at this rate: {hours:.1f} h, {size / 2**30:.0f} GiB; with any number "
        f"of workers the parent alone takes {scale * many['parent_seconds'] / 3600:.1f} h."
    )


if __name__ == "__main__":
    main(parse_args())
