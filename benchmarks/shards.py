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
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.commands import flags, run
from benchmarks.discs import SIDE, Discs, Ids
from weakseg.common import commit
from weakseg.labels import simulate
from weakseg.labels.annotators import Options
from weakseg.labels.label_folder import write_folder
from weakseg.labels.label_header import header
from weakseg.parallel import Workers

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


def peak(process):
    """Return the largest resident memory of a process so far, MiB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def measure(args):
    """Draw labels in this process and its workers, and print what it took as JSON."""
    import psutil

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
