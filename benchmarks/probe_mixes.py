r"""Does a label that is added hurt? Mixes of two kinds of labels, each against its parts.

    python benchmarks/probe_mixes.py --data ../shared/data --folder results/probe-mixes

Of a mix, some training pictures have labels of one kind, others of another. A probe learns from the
first alone, from the second alone, and from both. A seed redraws the pictures and the simulated
annotators. Finished runs are kept, so it can be stopped and started again.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.commands import ROOT, publish
from benchmarks.fitted_probes import Bench, confusions
from benchmarks.probe_table import TABLE, data_flags, labels
from weakseg.common import read_json, stable_seed, write_json
from weakseg.reporting.tables import markdown, mean_std

if TYPE_CHECKING:
    from weakseg.labels.training_labels import TrainingLabels

# Name of the data in `probe_table`, and how many pictures have labels of which kind.
MIXES = [
    ("voc-pets", {"full": 20, "points": 380}),
    ("voc-pets", {"full": 20, "boxes": 380}),
    ("voc-pets", {"full": 20, "tags": 380}),
    ("voc-pets", {"boxes": 50, "points": 350}),
    ("voc-pets", {"scribbles": 50, "tags": 350}),
    ("nuclei", {"full": 10, "points": 150}),
    ("nuclei", {"full": 10, "boxes": 150}),
    ("nuclei", {"full": 10, "scribbles": 150}),
    ("nuclei", {"boxes": 20, "points": 140}),
    ("nuclei", {"full": 80, "points": 80}),
]
WORDS = {"full": "masks", "points": "clicks"}
Piece = tuple[str, int, int]  # a kind, and which pictures have it: from the first to before the end


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "probe-mixes")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--mixes", type=int, nargs="+", default=[*range(len(MIXES))])
    parser.add_argument("--split", default="test", choices=("val", "test"), help="to score on")
    return parser.parse_args()


def pieces_of(counts: dict[str, int]) -> list[Piece]:
    """Return which pictures of a mix have which kind."""
    pieces, first = [], 0
    for kind, count in counts.items():
        pieces.append((kind, first, first + count))
        first += count
    return pieces


def labels_of(every: "TrainingLabels", pieces: Sequence[Piece], seed: int) -> "TrainingLabels":
    """Return the labels in which each picture has one kind, in an order drawn by the seed."""
    names = sorted(every.train_ids, key=lambda name: stable_seed(seed, "mix", name))
    images = {
        name: {"size": every[name]["size"], kind: every[name][kind]}
        for kind, first, end in pieces
        for name in names[first:end]
    }
    kinds = tuple(kind for kind, *_ in pieces)
    return replace(every, images=images, train_ids=sorted(images), signals=kinds)


def scored(args: argparse.Namespace, data: str, pieces: Sequence[Piece], seed: int) -> float:
    """Return the mIoU in % of the probe that labels of these pieces give, kept in a file."""
    words = "+".join(f"{kind}-{first}-{end}" for kind, first, end in pieces)
    path = args.folder / args.split / f"{data}-{words}-{seed}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"miou": learned(args, data, pieces, seed)})
        print(path.stem, f"{read_json(path)['miou']:.1f}", flush=True)
    return float(read_json(path)["miou"])


def learned(args: argparse.Namespace, data: str, pieces: Sequence[Piece], seed: int) -> float:
    """Fit a probe to the labels of some pieces, and return its mIoU in %."""
    from weakseg.metrics import scores

    bench = Bench.of_flags(
        **data_flags(args.data, args.folder, data),
        supervision_modes=[kind for kind, *_ in pieces],
        weak_label_path=labels(args, data, seed),
        cache_dir=args.folder / "cache",
    )
    own = labels_of(bench.labels(bench.dataset.ids("train")), pieces, seed)
    found = confusions([(bench, bench.probe(own, seed))], args.split)
    return 100 * float(scores(found.sum(0))["miou"])


def row(args: argparse.Namespace, data: str, counts: dict[str, int]) -> list[str]:
    """Return a row of the table: the parts, the mix, and the mix minus the better part."""
    pieces, by_seed = pieces_of(counts), []
    for seed in args.seeds:
        parts = [scored(args, data, [piece], seed) for piece in pieces]
        by_seed.append([*parts, scored(args, data, pieces, seed)])
    first, second, both = zip(*by_seed, strict=True)
    better = max(first, second, key=statistics.mean)
    gains = [mix - part for mix, part in zip(both, better, strict=True)]
    said = [f"{count} {WORDS.get(kind, kind)}" for kind, count in counts.items()]
    return [
        TABLE[data][0],
        " + ".join(said),
        *(mean_std(values) for values in (first, second, both)),
        mean_std(gains),
    ]


def main(args: argparse.Namespace) -> None:
    head = ["data", "mix", "first alone", "second alone", "both", "gain over the better"]
    rows = [row(args, *MIXES[number]) for number in args.mixes]
    publish(args.folder / f"table-{args.split}.md", markdown(head, rows, (0, 1)))


if __name__ == "__main__":
    main(parse_args())
