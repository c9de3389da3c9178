"""What does the strong recipe cost a training step? Its step against the plain one's, for every
mode.

    python benchmarks/recipes.py
    python benchmarks/recipes.py --img_size 256 --modes points boxes
    python benchmarks/recipes.py --each --modes points boxes              # and each of its terms alone

All train with the real `Training` of train.py, on drawn shapes, over the same batches in turn;
loading is left out, and so is what a run does once (GrabCut, random walks). Times are processor
time of one thread, medians over steps.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from ablation import variants
from tqdm import tqdm

import train
from weakseg.common import commit
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.data.synthetic import draw_shapes
from weakseg.labels import annotators
from weakseg.labels.simulate import annotate_many
from weakseg.pseudo_masks import rounds
from weakseg.training import options, recipes
from weakseg.training.distributed import make_accelerator

MODES = ("tags", "points", "scribbles", "boxes", "hybrid_boxes_points", "hybrid_tags_points")


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--modes", nargs="+", default=MODES, help="(default: all but full)")
    parser.add_argument(
        "--img_size", type=int, default=128, help="pixels a side (default: %(default)s)"
    )
    parser.add_argument(
        "--steps", type=int, default=12, help="steps of each recipe (default: %(default)s)"
    )
    parser.add_argument(
        "--each", action="store_true", help="also measure each term alone, as in ablation.py"
    )
    return parser.parse_args()


def prepared(args, mode, more, folder):
    """Return train.py's `Training` of a mode, with more flags, on the shapes in `folder`, and its
    batches.
    """
    flags = {
        "supervision_mode": mode,
        "run_name": mode,
        "data_dir": folder / "data",
        "cache_dir": folder / "cache",
        "checkpoint_dir": folder,
        "weak_label_path": folder / "labels.pkl",
        "img_size": args.img_size,
        "epochs": 100,
        "encoder_weights": "none",
        "device": "cpu",
    }
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    args = options.parse_args([*words, "--augment", *map(str, more)])
    signals = options.settle(args)
    dataset = open_dataset(DataOptions.of(vars(args)))
    names = dataset.ids("train")
    labels = dict(
        annotate_many(
            dataset, dict.fromkeys([*names, *dataset.ids("val")]), annotators.Options(), 0
        )
    )
    accelerator = make_accelerator("cpu")
    weights = recipes.term_weights(args, signals, len(dataset.class_names))
    training = train.prepare(args, dataset, labels, names, signals, weights, accelerator, "none")
    for term in rounds.GROWN:
        if weights.get(term):
            rounds.grow_masks(args, dataset, labels, names, signals, training, term, 1)
    training.batches.epoch = 1
    return training, list(training.loader)


def step_seconds(training, batch):
    """Return the processor seconds of one step in the middle of the training, activation maps
    included.
    """
    training.loader = [batch]
    began = time.process_time()
    training.train(cam=True, step=training.steps // 2, bar=tqdm(disable=True))
    return time.process_time() - began


def losses(mode, each):
    """Return {losses: flags} of a mode, the plain ones first: by either recipe, and with each
    strong term alone.
    """
    alone = ("plain, with",) if each else ()
    return {
        name: flags
        for name, flags in variants(mode).items()
        if name in ("plain", "strong") or name.startswith(alone)
    }


def measure(args, mode, flags, folder):
    """Return {losses: median milliseconds of a step} of {losses: flags}."""
    runs = {name: prepared(args, mode, more, folder) for name, more in flags.items()}
    times = {name: [] for name in runs}
    for number in range(args.steps + 1):
        for name, (training, batches) in runs.items():
            times[name].append(1000 * step_seconds(training, batches[number % len(batches)]))
    return {
        name: statistics.median(found[1:]) for name, found in times.items()
    }  # the first step is warming up


def main(args):
    torch.set_num_threads(1)
    print(f"{args.img_size} px, batch 8, {args.steps} steps, one thread, commit `{commit()}`:\n")
    print("| labels | losses | ms | times plain |\n| --- | --- | ---: | ---: |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_shapes(folder / "data", trainval=30, test=2, size=2 * args.img_size, seed=0)
        for mode in args.modes:
            times = measure(args, mode, losses(mode, args.each), folder)
            for which, value in times.items():
                print(
                    f"| {mode} | {which} | {value:.0f} | {value / times['plain']:.2f} |", flush=True
                )


if __name__ == "__main__":
    main(parse_args())
