r"""Does train.py tell labels in another position? Photographs are altered under their labels.

    python benchmarks/wrong_positions.py --data ../shared/data --folder results/wrong-positions

Of forty photographs, drawn by the seed, none, a third, half or all are mirrored, put upside down or
turned by half, or become the next one by name that is altered too, while their labels stay. What is
counted is in how many of the cases, seeds times ways, a line tells that labels don't fit where they
are, and in how many it names what was done.
"""

import argparse
import sys
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks.commands import ROOT, publish
from benchmarks.fitted_probes import Bench, Settings
from benchmarks.probe_table import TABLE, data_flags, labels
from weakseg.data.base import SegmentationDataset
from weakseg.data.reading import Source
from weakseg.labels.training_labels import TrainingLabels, training_ids
from weakseg.learners.features import FeatureMaps
from weakseg.reporting.tables import markdown
from weakseg.training.other_positions import position_lines

DATA = ("voc-pets", "nuclei", "camvid")
KINDS = ("full", "boxes", "scribbles", "points")
NAMES = {"full": "masks", "points": "clicks"}
# What is done to photographs -> what a line on all, or on some, may then say.
WAYS = {
    "mirrored": ("be mirrored",),
    "upside down": ("be upside down",),
    "turned by half": ("be turned by half",),
    "another": ("by name", "fit other places"),
}
SHARES = (0.0, 1 / 3, 0.5, 1.0)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "wrong-positions")
    parser.add_argument("--only", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    return parser.parse_args()


def altered(dataset: SegmentationDataset, name: str, other: str, way: str) -> np.ndarray:
    """Return what stands where a photograph stood, [H, W, 3] uint8; other: the next one by name."""
    pixels = np.asarray(dataset.image(other if way == "another" else name))
    rows = slice(None, None, -1 if way in ("upside down", "turned by half") else 1)
    columns = slice(None, None, -1 if way in ("mirrored", "turned by half") else 1)
    return np.ascontiguousarray(pixels[rows, columns])


def what_is_said(bench: Bench, kind: str, told: TrainingLabels, wrong: list[str], way: str) -> str:
    """Return the line on labels of this kind where the photographs of wrong ones are altered."""
    dataset, others = bench.dataset, dict(zip(wrong, [*wrong[1:], *wrong[:1]], strict=True))
    whose = {dataset.photograph(name): name for name in wrong}

    @cache
    def features(source: Source) -> FeatureMaps:
        if source not in whose:
            return bench.store(source)
        name = whose[source]
        return bench.store.of_pixels(altered(dataset, name, others[name], way))

    settings = Settings(0, (kind,), bench.run.probe, bench.run.weak_label_path, 1)
    return " ".join(position_lines(settings, dataset, told, features))


def row_of(args: argparse.Namespace, data: str, kind: str) -> list[str]:
    """Return the row of a data set and a kind of labels: told, and of it named, for each share."""
    bench = Bench.of_flags(
        **data_flags(args.data, args.folder, data),
        supervision_mode=kind,
        weak_label_path=labels(args, data, 0),
        cache_dir=args.folder / "cache",
        img_size=args.size,
    )
    row = [TABLE[data][0], NAMES.get(kind, kind)]
    drawn_labels = {
        seed: bench.labels(sorted(training_ids(bench.dataset, seed, args.pictures)))
        for seed in args.seeds
    }
    for share in SHARES:
        told = named = cases = 0
        for seed, own in drawn_labels.items():
            names = own.train_ids
            drawn = np.random.default_rng(seed).permutation(names)[: round(share * len(names))]
            for way, words in WAYS.items() if share else [("mirrored", ("",))]:
                line = what_is_said(bench, kind, own, sorted(map(str, drawn)), way)
                cases, told = cases + 1, told + bool(line)
                named += any(word in line for word in words)
        row.append(f"{told} of {cases}" if not share else f"{told} ({named}) of {cases}")
    return row


def main(args: argparse.Namespace) -> None:
    rows = [row_of(args, data, kind) for data in args.only for kind in args.kinds]
    head = ["data", "labels", "none wrong", "a third", "half", "all"]
    publish(args.folder / "table.md", markdown(head, rows, (0, 1)))


if __name__ == "__main__":
    main(parse_args())
