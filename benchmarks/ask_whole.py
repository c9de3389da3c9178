r"""Whole sessions: how often the estimate holds the truth, and what "less than a point" was worth.

    python benchmarks/ask_whole.py --data ../shared/data --folder results/ask-whole

Each seed draws pictures, person and questions anew. After each number of answers the out-of-fold
estimate of the session's model, at 256 pixels and without edges, stands beside its truth: the
person's answers to all candidates. Where a session said that twice as many answers gain less than
a point, the true gain of twice as many is averaged. Finished sessions are kept, so it can be
stopped and started again.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.asked_sessions import SIZE, simulated
from benchmarks.commands import ROOT, publish
from benchmarks.fitted_probes import Bench
from benchmarks.probe_table import SHARE, TABLE, data_flags
from weakseg.common import read_json, write_json
from weakseg.planning.ask_estimate import Truth
from weakseg.planning.asking import AskingOptions
from weakseg.planning.gain import SMALL
from weakseg.planning.out_of_fold import gain, out_of_fold, quality
from weakseg.planning.simulated_asking import Simulation
from weakseg.reporting.tables import markdown

DATA = ("nuclei", "voc-pets")
POINTS = (100, 200, 400, 800)

Row = dict[str, Any]  # of one session after so many answers


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "ask-whole")
    parser.add_argument("--only", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument(
        "--sessions", type=int, default=50, help="of each data set (default: %(default)s)"
    )
    parser.add_argument("--points", type=int, nargs="+", default=list(POINTS))
    parser.add_argument(
        "--refit_every", type=int, default=20, help="answers between two fits (default: 20)"
    )
    return parser.parse_args()


def measured(bench: Bench, session: Simulation, truth: Truth) -> Row:
    """Return what a session says of its model, and what is true of it, in %."""
    asking = session.asking
    found = out_of_fold(asking)
    if found is None:
        return {}
    best = quality(found, bench.dataset.has_background, asking.options.seed)
    doubling = gain(asking)
    return {
        "random": best.answers,
        "interval": [100 * best.miou.low, 100 * best.miou.high],
        "truth": truth.miou(found, range(asking.num_classes)),
        "said_small": doubling is not None and doubling.sentence == SMALL,
    }


def session_of(args: argparse.Namespace, bench: Bench, data: str, seed: int) -> list[Row]:
    """Return the rows of one session, kept in a file."""
    folder = args.folder / "sessions" / f"{data}-{seed}"
    path = folder / "rows.json"
    if path.exists():
        kept: list[Row] = read_json(path)
        return kept
    pictures = TABLE[data][-1] or round(SHARE * len(bench.dataset.ids("train")))
    options = AskingOptions(seed=seed)
    session = simulated(bench, options, args.refit_every, pictures, folder, start="examples")
    truth, rows = Truth(session), []
    for point in sorted(args.points):
        for _ in session.until(point):
            pass
        rows.append(measured(bench, session, truth))
    write_json(path, rows)
    print(folder.name, flush=True)
    return rows


def rows_of(args: argparse.Namespace, data: str) -> list[list[str]]:
    """Return the rows of one data set."""
    flags = data_flags(args.data, args.folder, data)
    bench = Bench.of_flags(
        **flags, supervision_mode="pixels", cache_dir=args.folder / "cache", img_size=SIZE, views=1
    )
    sessions = [session_of(args, bench, data, seed) for seed in range(args.sessions)]
    return [
        [TABLE[data][0], f"{point:,}", *cells(sessions, number)]
        for number, point in enumerate(sorted(args.points))
    ]


def cells(sessions: Sequence[Sequence[Row]], number: int) -> list[str]:
    """Return what stands in the table of the point of that number."""
    rows = [session[number] for session in sessions if session[number]]
    held = [row["interval"][0] <= row["truth"] <= row["interval"][1] for row in rows]
    halves = [(row["interval"][1] - row["interval"][0]) / 2 for row in rows]
    gains = [
        session[number + 1]["truth"] - session[number]["truth"]
        for session in sessions
        if number + 1 < len(session) and session[number] and session[number]["said_small"]
    ]
    return [
        f"{statistics.mean(row['random'] for row in rows):.0f}",
        f"{sum(held)} of {len(held)}",
        f"{statistics.mean(halves):.1f}",
        f"{statistics.mean(row['truth'] for row in rows):.1f}",
        f"{sum(row['said_small'] for row in rows)} of {len(rows)}",
        f"{statistics.mean(gains):+.2f}" if gains else "-",
    ]


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    head = ["data", "answers", "random, told", "truth held", "half-width", "truth"]
    head += ['said "less than a point"', "true gain of twice as many"]
    rows = [row for data in args.only for row in rows_of(args, data)]
    publish(args.folder / "table.md", markdown(head, rows, (0,)))


if __name__ == "__main__":
    main(parse_args())
