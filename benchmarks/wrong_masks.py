r"""Does the cross-validation of train.py find wrong masks? Some are made wrong on purpose.

    python benchmarks/wrong_masks.py --data ../shared/data --folder results/wrong-masks

A tenth of the photographs gets wrong masks, drawn by the seed: their classes change places
(swapped), they get one another's masks (exchanged), their masks are mirrored, or lose half of their
objects (lacking). What is told is with how many labels a model of the other photographs agrees, and
how many of the wrong photographs are among as many first, ± over seeds; and both where the masks of
all photographs are another's. By chance it would be a tenth.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cv2
import numpy as np

from benchmarks.commands import ROOT, publish
from benchmarks.fitted_probes import Bench, Settings
from benchmarks.probe_table import TABLE, data_flags, labels
from weakseg.common import IGNORE
from weakseg.data.base import SegmentationDataset
from weakseg.data.cache import ResizedCache
from weakseg.labels.training_labels import training_ids
from weakseg.pseudo_masks.from_features import SIDE, FeatureMasks
from weakseg.reporting.tables import markdown, mean_std
from weakseg.training.agreement import Agreement
from weakseg.training.cross_validation import cross_validated
from weakseg.training.probe_evidence import gather

DATA = ("voc-pets", "nuclei", "camvid")
MISTAKES = ("none", "swapped", "exchanged", "mirrored", "lacking", "all exchanged")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "wrong-masks")
    parser.add_argument("--only", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--share", type=float, default=0.1, help="made wrong (default: 0.1)")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    return parser.parse_args()


def swapped(mask: np.ndarray, classes: int) -> np.ndarray:
    """Return a mask whose classes stand for the next one each."""
    return np.where(mask == IGNORE, mask, (mask + 1) % classes).astype(np.uint8)


def lacking(mask: np.ndarray) -> np.ndarray:
    """Return a mask without every other connected thing; where there is one, without it."""
    things = cv2.connectedComponents(((mask > 0) & (mask != IGNORE)).astype(np.uint8))[1]
    return np.where(things % 2 == 1, 0, mask).astype(np.uint8)


def made_wrong(
    mistake: str, dataset: SegmentationDataset, names: list[str], wrong: list[str]
) -> Callable[[str], np.ndarray]:
    """Return what gives the mask of an image, which a mistake makes wrong for some."""
    others = dict(zip(wrong, [*wrong[1:], *wrong[:1]], strict=True))

    def mask_of(name: str) -> np.ndarray:
        if name not in others:
            return dataset.mask(name)
        if mistake.endswith("exchanged"):
            return dataset.mask(others[name])
        mask = dataset.mask(name)
        if mistake == "swapped":
            return swapped(mask, len(dataset.class_names))
        return lacking(mask) if mistake == "lacking" else np.ascontiguousarray(mask[:, ::-1])

    return mask_of


def looked_at(
    bench: Bench, args: argparse.Namespace, mistake: str, seed: int
) -> tuple[Agreement, list[str], float]:
    """Return how far masks agree, which photographs have wrong ones, and the seconds it took."""
    dataset = bench.dataset
    names = training_ids(dataset, seed, args.pictures)
    share = {"none": 0.0, "all exchanged": 1.0}.get(mistake, args.share)
    drawn = np.random.default_rng(seed).permutation(names)[: round(share * len(names))]
    wrong = [str(name) for name in drawn]
    settings = Settings(seed, ("full",), bench.run.probe, bench.run.weak_label_path, 1)
    masks = FeatureMasks(dataset, ("full",), ResizedCache(args.folder / "cache", SIDE, None))
    given = settings, dataset, bench.labels(names), bench.store, masks
    evidence = gather(*given, made_wrong(mistake, dataset, names, wrong))
    began = time.process_time()
    found = cross_validated(evidence, names, dataset.class_names, seed)
    assert found is not None
    return found, wrong, time.process_time() - began


def rows_of(args: argparse.Namespace, data: str) -> list[list[str]]:
    """Return the rows of one data set."""
    bench = Bench.of_flags(
        **data_flags(args.data, args.folder, data),
        supervision_mode="full",
        weak_label_path=labels(args, data, 0),
        cache_dir=args.folder / "cache",
        img_size=args.size,
    )
    rows = []
    for mistake in MISTAKES:
        agreed, shares, seconds = [], [], []
        for seed in args.seeds:
            found, wrong, took = looked_at(bench, args, mistake, seed)
            first = [*found.of_images()][: len(wrong)]
            agreed.append(100 * float(np.mean([*found.of_classes().values()])))
            shares.append(100 * len({*first} & {*wrong}) / max(len(wrong), 1))
            seconds.append(took)
        is_some = mistake not in ("none", "all exchanged")
        told = mean_std(shares) if is_some else ""
        rows.append([TABLE[data][0], mistake, mean_std(agreed), told, f"{np.median(seconds):.1f}"])
    return rows


def main(args: argparse.Namespace) -> None:
    rows = [row for data in args.only for row in rows_of(args, data)]
    head = ["data", "masks made wrong", "agreed, %", "found among as many, %", "seconds"]
    publish(args.folder / "table.md", markdown(head, rows, (0, 1)))


if __name__ == "__main__":
    main(parse_args())
