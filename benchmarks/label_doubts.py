r"""How many wrong clicks does `labels.py check --wrong` find? Some of people's are flipped.

    python benchmarks/label_doubts.py --data ../shared/data --folder results/label-doubts

A share of the clicks is given the other class, at random by the seed; labels are ranked by how far
a model of the other pictures' clicks gainsays them. What is told is how many of the flipped clicks
are among as many first ones, ± over seeds, and the seconds that it took, without the features.
"""

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks.commands import ROOT, publish
from benchmarks.fitted_probes import Bench
from benchmarks.probe_table import TABLE, data_flags, labels
from weakseg.labels.carried import Carried
from weakseg.labels.formats.records import Classes, Shape
from weakseg.labels.label_file import load_labels
from weakseg.labels.training_labels import training_ids
from weakseg.reporting.tables import markdown, mean_std
from weakseg.training.label_doubts import label_doubts

DATA = ("voc-pets", "nuclei")
SIZES = (256, 384)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "label-doubts")
    parser.add_argument("--only", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--pictures", type=int, nargs="+", default=[100, 800])
    parser.add_argument("--flipped", type=float, default=0.05, help="share (default: 0.05)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    return parser.parse_args()


def flipped(
    clicks: Mapping[str, Any], names: list[str], classes: Classes, share: float, seed: int
) -> tuple[dict[str, Carried], set[tuple[str, int]]]:
    """Return what pictures carry with a share of the clicks flipped, and which these are.

    clicks: {id: label}; of two classes
    """
    all_of_them = [(name, k) for name in names for k in range(len(clicks[name]["points"]))]
    rng = np.random.default_rng(seed)
    drawn = rng.choice(len(all_of_them), round(share * len(all_of_them)), replace=False)
    wrong = {all_of_them[number] for number in drawn}
    carried = {}
    for name in names:
        shapes = tuple(
            Shape("click", classes.names[int(label) ^ ((name, k) in wrong)], [x, y])
            for k, (x, y, label) in enumerate(clicks[name]["points"])
        )
        width, height = clicks[name]["size"]
        carried[name] = Carried((width, height), shapes, (), None, 1, 0, False)
    return carried, wrong


def rows_of(args: argparse.Namespace, data: str) -> list[list[str]]:
    """Return the rows of one data set."""
    rows = []
    clicks = load_labels(labels(args, data, 0))["images"]
    for size in SIZES:
        bench = Bench.of_flags(
            **data_flags(args.data, args.folder, data),
            supervision_mode="points",
            cache_dir=args.folder / "cache",
            img_size=size,
        )
        classes = Classes(tuple(bench.dataset.class_names), True)
        dataset, store = bench.dataset, bench.store
        most = len(dataset.ids("train"))
        for number in dict.fromkeys(min(wanted, most) for wanted in args.pictures):
            shares, seconds, count = [], [], 0
            for seed in args.seeds:
                names = training_ids(dataset, seed, number)
                carried, wrong = flipped(clicks, names, classes, args.flipped, seed)
                maps = {name: store(dataset.photograph(name)) for name in names}
                began = time.process_time()
                first = label_doubts(carried, classes, maps.__getitem__)[: len(wrong)]
                seconds.append(time.process_time() - began)
                found = sum((one.picture, one.number) in wrong for one in first)
                shares.append(100 * found / len(wrong))
                count = len(wrong)
            row = [TABLE[data][0], str(size), str(len(names)), str(count)]
            rows.append([*row, mean_std(shares), f"{np.median(seconds):.1f}"])
    return rows


def main(args: argparse.Namespace) -> None:
    rows = [row for data in args.only for row in rows_of(args, data)]
    head = ["data", "size", "pictures", "flipped", "found among as many, %", "seconds"]
    publish(args.folder / "table.md", markdown(head, rows, (0,)))


if __name__ == "__main__":
    main(parse_args())
