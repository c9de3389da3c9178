"""Does loading keep up? Time to load a batch, with augmentation, and what of a step is not spent in
the network.

    python benchmarks/loading.py
    python benchmarks/loading.py --data_dir ../shared/data/oxford-iiit-pet --supervision_mode hybrid_tags_points

Trains with the real `Training` of train.py and stops the clock around every batch that it asks its
loader for: loading is what passes until the batch is there, the step is all the rest (forward,
loss, backward, optimiser). The network is forward, backward (that of the loss included) and
optimiser; outside of it are loading, losses and bookkeeping. All come from the same epochs, so
whatever else the machine does slows all. Each repeat starts from an empty cache folder; the second
epoch finds it full. The data folder is only read. Without --data_dir, shapes are drawn in a
temporary folder.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from tqdm import tqdm

import train
from weakseg.common import commit, seed_everything
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.data.synthetic import draw_shapes
from weakseg.labels import annotators
from weakseg.labels.signals import parse_modes
from weakseg.labels.simulate import annotate_many
from weakseg.training import options, recipes
from weakseg.training.distributed import make_accelerator


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


class TimedLoader:
    """A loader that adds up the seconds until each batch is there."""

    def __init__(self, loader):
        self.loader, self.seconds = loader, 0.0

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        began = time.perf_counter()
        for batch in self.loader:
            self.seconds += time.perf_counter() - began
            yield batch
            began = time.perf_counter()
        self.seconds += time.perf_counter() - began


class Stopwatch:
    """Adds up the seconds of calls."""

    def __init__(self):
        self.seconds = 0.0

    def timed(self, function):
        """Return the function, with its time taken."""

        def call(*args, **options):
            began = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                self.seconds += time.perf_counter() - began

        return call


def watch_network(training):
    """Take the time of a `Training`'s forward and backward passes and its optimiser ->
    `Stopwatch`.
    """
    watch = Stopwatch()
    training.model.forward = watch.timed(training.model.forward)
    training.accelerator.backward = watch.timed(training.accelerator.backward)
    training.optimizer.step = watch.timed(training.optimizer.step)
    return watch


def training_args(args, data_dir, batch_size, cache_dir):
    """Return train.py's own arguments: its defaults, but for the size of the job."""
    flags = {
        "supervision_mode": args.supervision_mode,
        "data_dir": data_dir,
        "cache_dir": cache_dir,
        "epochs": 2,
        "batch_size": batch_size,
        "img_size": args.img_size,
        "num_workers": args.num_workers,
        "device": "cpu",
    }
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    return options.parse_args([*words, "--augment"])


def two_epochs(options, dataset, labels):
    """Train two epochs -> [(loading, rest of the step, network)] of each epoch, seconds a batch."""
    signals = parse_modes(options.modes)
    weights = recipes.term_weights(options, signals, len(dataset.class_names))
    accelerator = make_accelerator("cpu")
    training = train.prepare(
        options, dataset, labels, list(labels), signals, weights, accelerator, "imagenet"
    )
    loader, watch, times = training.loader, watch_network(training), []
    for epoch in (1, 2):
        training.loader, training.batches.epoch = TimedLoader(loader), epoch
        seed_everything(epoch)
        watch.seconds = 0.0
        began = time.perf_counter()
        training.train(False, 0, tqdm(disable=True))
        whole, loading = time.perf_counter() - began, training.loader.seconds
        times.append(
            [seconds / len(loader) for seconds in (loading, whole - loading, watch.seconds)]
        )
    return times


def measure(args, data_dir, batch_size, folder):
    """Return the medians over the repeats: {"cold", "warm", "step"} in seconds a batch, and the two
    shares in %.
    """
    dataset = open_dataset(DataOptions.of(vars(training_args(args, data_dir, batch_size, folder))))
    labels = dict(
        annotate_many(
            dataset, dict.fromkeys(dataset.ids("train")[: args.images]), annotators.Options(), 0
        )
    )
    runs = [
        two_epochs(
            training_args(args, data_dir, batch_size, tempfile.mkdtemp(dir=folder)), dataset, labels
        )
        for _ in tqdm(range(args.repeats), desc=f"batch {batch_size}")
    ]
    shares = {
        "share": [100 * warm / step for _, (warm, step, _) in runs],
        "outside": [100 * (1 - network / (warm + step)) for _, (warm, step, network) in runs],
    }
    return {
        "cold": statistics.median(loading for (loading, *_), _ in runs),
        "warm": statistics.median(loading for _, (loading, *_) in runs),
        "step": statistics.median(step for _, (_, step, _) in runs),
    } | {
        name: f"{statistics.median(v):.1f} ({min(v):.1f} to {max(v):.1f})"
        for name, v in shares.items()
    }


def main(args):
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        if not args.data_dir:
            draw_shapes(
                Path(folder) / "shapes", trainval=args.images * 5 // 4, test=1, size=500, seed=0
            )
        data_dir = args.data_dir or f"{folder}/shapes"
        rows = {size: measure(args, data_dir, size, folder) for size in args.batch_sizes}
    print(
        f"{args.supervision_mode}, {args.images} images at {args.img_size} px, {args.threads} threads, "
        f"{args.num_workers} workers, medians of {args.repeats}; ms a batch; commit {commit()}"
    )
    print(
        "| batch | loading, first epoch (cold cache) | loading, second epoch | rest of the step "
        "| loading / rest, % (range) | outside the network, % of the step (range) |"
    )
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for size, row in rows.items():
        print(
            f"| {size} | {1000 * row['cold']:.1f} | {1000 * row['warm']:.1f} | {1000 * row['step']:.1f} "
            f"| {row['share']} | {row['outside']} |"
        )


if __name__ == "__main__":
    main(parse_args())
