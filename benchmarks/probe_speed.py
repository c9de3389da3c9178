"""Does the probe answer in time? Processor seconds of each of its steps, and the bound they keep.

    python benchmarks/probe_speed.py
    python benchmarks/probe_speed.py --data_dir ../shared/data/oxford-iiit-pet --images 50

One thread computes, whose processor time other programs on the machine change little: it is what
the step takes on one free core. Medians over photographs, after one that is not counted. A new
photograph is read, resized and shown to the encoder, and its features are written to an empty
cache. Without --data_dir, shapes are drawn in a temporary folder, 500 pixels long.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from weakseg.common import commit
from weakseg.threads import settle_threads

# What is measured -> seconds that it may take at the default settings.
BOUNDS = {"features of a new photograph": 0.15}


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", help="folder of a data set (default: shapes are drawn)")
    parser.add_argument("--images", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument(
        "--img_size", type=int, default=384, help="pixels, longer side (default: %(default)s)"
    )
    parser.add_argument(
        "--encoder", default="efficientnet-lite0", help="as in train.py (default: %(default)s)"
    )
    parser.add_argument("--encoder_weights", default="imagenet", help="as in train.py")
    parser.add_argument(
        "--finest_stride", type=int, default=4, help="as in train.py (default: %(default)s)"
    )
    return parser.parse_args(argv)


def photographs(args, folder):
    """Return the paths of photographs, one more than --images: of the data set, or drawn."""
    from weakseg.data.datasets import DataOptions, open_dataset
    from weakseg.data.synthetic import draw_shapes

    if args.data_dir is None:
        draw_shapes(folder / "shapes", trainval=args.images * 5 // 4 + 4, test=1, size=500, seed=0)
    data_dir = args.data_dir or folder / "shapes"
    dataset = open_dataset(DataOptions(data_dir=str(data_dir), cache_dir=str(folder / "cache")))
    return [dataset.image_path(name) for name in dataset.ids("train")[: args.images + 1]]


def measured(step, cases):
    """Return the processor seconds of `step(case)` for each case but the first."""
    times = []
    for case in cases:
        began = time.process_time()
        step(case)
        times.append(time.process_time() - began)
    return times[1:]


def feature_seconds(args, folder):
    """Return the seconds that the features of each photograph take, with an empty cache."""
    from model import NewEncoder
    from weakseg.learners.feature_store import FeatureStore
    from weakseg.learners.features import FrameSize

    encoder = NewEncoder(
        args.encoder, args.encoder_weights, FrameSize(args.img_size), args.finest_stride
    )
    return measured(FeatureStore(encoder, folder / "features"), photographs(args, folder))


def main(args):
    settle_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        times = {"features of a new photograph": feature_seconds(args, Path(folder))}
    print(
        f"{args.encoder} at {args.img_size} px, stages from stride {args.finest_stride} on, "
        f"one thread, medians of {args.images}, commit `{commit()}`:\n"
    )
    print("| step | processor seconds | bound | share of the bound |\n| --- | ---: | ---: | ---: |")
    for name, seconds in times.items():
        median, bound = statistics.median(seconds), BOUNDS[name]
        print(f"| {name} | {median:.3f} | {bound} | {median / bound:.2f} |")


if __name__ == "__main__":
    main(parse_args())
