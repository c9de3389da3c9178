r"""Where should a session of questions begin? From nothing, examples, or labels that are there.

    python benchmarks/ask_starts.py --data ../shared/data --folder results/ask-starts

Rows are beginnings, columns numbers of answers: the mIoU of the session's own model on the
validation images, its difference from a session that begins from nothing, paired over seeds, and
the worst of these differences. Labels that are there are those of `probe_table.py`, of all
pictures. Finished sessions are kept, so it can be stopped and started again.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.asked_sessions import compared, points_of
from benchmarks.commands import ROOT, publish
from benchmarks.probe_table import TABLE, labels
from weakseg.reporting.tables import markdown

DATA = ("voc-pets", "camvid")
POINTS = (50, 100, 200)
# What a session begins from -> what is there.
STARTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "examples": {"start": "examples"},
    "clicks": {"labels": ("points",)},
    "boxes": {"labels": ("boxes",)},
    "scribbles": {"labels": ("scribbles",)},
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "ask-starts")
    parser.add_argument("--only", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--points", type=int, nargs="+", default=list(POINTS))
    parser.add_argument(
        "--refit_every", type=int, default=10, help="answers between two fits (default: 10)"
    )
    return parser.parse_args()


def own_of(args: argparse.Namespace, data: str, start: str, seed: int) -> dict[str, Any]:
    """Return the fields of a study that begins so."""
    own = dict(STARTS[start])
    return own | ({"weak_label_path": str(labels(args, data, seed))} if "labels" in own else {})


def rows_of(args: argparse.Namespace, data: str) -> list[list[str]]:
    """Return the rows of one data set."""
    by_start = {
        start: [
            points_of(args, data, start, seed, own_of(args, data, start, seed))
            for seed in args.seeds
        ]
        for start in dict.fromkeys(["nothing", *args.starts])
    }

    def words(gains: Sequence[float]) -> str:
        return f"{statistics.mean(gains):+.1f}, worst {min(gains):+.1f}"

    return compared(TABLE[data][0], by_start, "nothing", words)


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    rows = [row for data in args.only for row in rows_of(args, data)]
    head = ["data", "begins from", *(f"{point} answers" for point in sorted(args.points))]
    publish(args.folder / "table.md", markdown(head, rows, (0, 1)))


if __name__ == "__main__":
    main(parse_args())
