r"""How much do a person's faults cost? Half and twice of each, on validation images.

    python benchmarks/ask_faults.py --data ../shared/data --folder results/ask-faults

Rows are persons, columns numbers of answers: the mIoU of the session's own model, and beside it the
paired difference from the person of all other tables. Finished sessions are kept, so it can be
stopped and started again.
"""

import argparse
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.asked_sessions import compared, points_of
from benchmarks.commands import ROOT, publish
from benchmarks.probe_table import TABLE
from weakseg.labels.person import faults_of
from weakseg.reporting.tables import markdown

DATA = ("voc-pets", "nuclei")
POINTS = (200, 800)
# Who answers -> the factors of can't tell, of errors at borders and of slips.
PERSONS = {
    "as people do": (1, 1, 1),
    "without faults": (0, 0, 0),
    "can't tell half as often": (0.5, 1, 1),
    "can't tell twice as often": (2, 1, 1),
    "half the errors at borders": (1, 0.5, 1),
    "twice the errors at borders": (1, 2, 1),
    "half the slips": (1, 1, 0.5),
    "twice the slips": (1, 1, 2),
    "half of all": (0.5, 0.5, 0.5),
    "twice of all": (2, 2, 2),
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "ask-faults")
    parser.add_argument("--only", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--persons", nargs="+", choices=PERSONS, default=list(PERSONS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--points", type=int, nargs="+", default=list(POINTS))
    parser.add_argument(
        "--refit_every", type=int, default=20, help="answers between two fits (default: 20)"
    )
    return parser.parse_args()


def rows_of(args: argparse.Namespace, data: str) -> list[list[str]]:
    """Return the rows of one data set."""
    by_person = {
        person: [
            points_of(args, data, person, seed, {"faults": faults_of(PERSONS[person], "--faults")})
            for seed in args.seeds
        ]
        for person in args.persons
    }
    return compared(
        TABLE[data][0], by_person, args.persons[0], lambda gains: f"{statistics.mean(gains):+.1f}"
    )


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    rows = [row for data in args.only for row in rows_of(args, data)]
    head = ["data", "the person", *(f"{point} answers" for point in sorted(args.points))]
    publish(args.folder / "table.md", markdown(head, rows, (0, 1)))


if __name__ == "__main__":
    main(parse_args())
