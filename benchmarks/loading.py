"""Does loading keep up? Milliseconds to load a batch, augmented, against those of a whole step.

    python benchmarks/loading.py
    python benchmarks/loading.py --data_dir ../shared/data/oxford-iiit-pet --supervision_mode full

Loading is measured by itself: the loader of data_utils.py gives its batches to nobody. Its first
epoch decodes every image and fills an empty cache folder, its second finds the cache full. A step
is measured in train.py, from the images a second in its log: the last of three epochs, loading
included. Both take turns, so that whatever else the machine does slows both. Loading by itself has
the processor's caches to itself: in the middle of a training it takes somewhat longer. The data
folder is only read. Without --data_dir, shapes are drawn in a temporary folder.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.commands import prepare, train
from weakseg.common import commit
from weakseg.data.cache import ResizedCache
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.label_file import load_labels
from weakseg.labels.signals import parse_modes
from weakseg.labels.training_labels import training_ids
from weakseg.threads import settle_threads


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data_dir", help="folder of a data set (default: shapes, 500 pixels long, are drawn)"
    )
    parser.add_argument(
        "--supervision_mode",
        default="hybrid_tags_points",
        help="as in train.py (default: %(default)s)",
    )
    parser.add_argument(
        "--images", type=int, default=96, help="training images of an epoch (default: %(default)s)"
    )
    parser.add_argument(
        "--batch_sizes", type=int, nargs="+", default=[8, 16], help="images (default: 8 16)"
    )
    parser.add_argument(
        "--img_size", type=int, default=128, help="pixels a side (default: %(default)s)"
    )
    parser.add_argument(
        "--num_workers",
        type=int,
        default=0,
        help="loader processes (default: 0, train.py's on a CPU)",
    )
    parser.add_argument(
        "--threads", type=int, default=2, help="PyTorch's, one a core (default: %(default)s)"
    )
    parser.add_argument(
        "--repeats", type=int, default=3, help="from an empty cache, medians (default: %(default)s)"
    )
    return parser.parse_args()


def loading_seconds(args, folder, data_dir, batch_size):
    """Return the seconds a batch takes to load: (into an empty cache, from a full one)."""
    from data_utils import EpochBatches, SegmentationItems, make_loader

    dataset = open_dataset(DataOptions(data_dir=str(data_dir), cache_dir=str(folder / "cache")))
    items = SegmentationItems(
        dataset,
        training_ids(dataset, 0, args.images),
        ResizedCache(tempfile.mkdtemp(dir=folder), args.img_size),
        load_labels(folder / "labels.pkl")["images"],
        parse_modes([args.supervision_mode]),
        augment=True,
    )
    batches = EpochBatches(len(items), batch_size, seed=0)
    loader, times = make_loader(items, batches, args.num_workers), []
    for batches.epoch in (1, 2):
        began = time.perf_counter()
        for _ in loader:
            pass
        times.append((time.perf_counter() - began) / len(batches))
    return times


def step_seconds(args, folder, data_dir, batch_size):
    """Return the seconds of a step of train.py, loading included, with a full cache."""
    log = train(
        folder,
        data_dir,
        f"batch_{batch_size}",
        threads=args.threads,
        supervision_mode=args.supervision_mode,
        augment=True,
        img_size=args.img_size,
        batch_size=batch_size,
        train_limit=args.images,
        num_workers=args.num_workers,
        epochs=3,
        overwrite=True,
    )
    return batch_size / log[-1]["images_per_second"]


def measure(args, folder, data_dir, batch_size):
    """Return the cells of one row: medians over the repeats, in milliseconds, and the share."""
    rounds = []
    for _ in range(args.repeats):
        cold, warm = loading_seconds(args, folder, data_dir, batch_size)
        rounds.append((cold, warm, step_seconds(args, folder, data_dir, batch_size)))
    cold, warm, step = (1000 * statistics.median(times) for times in zip(*rounds, strict=True))
    shares = [100 * warm / (step - warm) for _, warm, step in rounds]
    share = f"{statistics.median(shares):.1f} ({min(shares):.1f} to {max(shares):.1f})"
    return [f"{batch_size}", f"{cold:.1f}", f"{warm:.1f}", f"{step:.1f}", share]


def main(args):
    settle_threads(args.threads)  # as the commands do, before anything imports PyTorch
    print(
        f"{args.supervision_mode}, {args.images} images at {args.img_size} px, "
        f"{args.threads} threads, {args.num_workers} workers, medians of {args.repeats}; "
        f"ms a batch; commit `{commit()}`:\n"
    )
    print(
        "| batch | loading, empty cache | loading, full cache | step of train.py "
        "| loading / rest of the step, % (range) |"
    )
    print("| ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data_dir = prepare(folder, args.data_dir, trainval=args.images * 5 // 4)
        for batch_size in args.batch_sizes:
            row = measure(args, folder, data_dir, batch_size)
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main(parse_args())
