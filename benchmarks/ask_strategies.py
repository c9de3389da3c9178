r"""Which pixel should the machine ask about? Strategies at equal minutes, on validation images.

    python benchmarks/ask_strategies.py --data ../shared/data --folder results/ask-strategies

A row is a way of choosing questions; its columns are the minutes of a simulated person, whose
faults, looks and *cannot tell* are paid. What is scored is the session's own model, the linear head
of each pixel's features, so that nothing but the questions differs. A seed draws pictures, person
and questions; means and standard deviations over seeds, and beside them the paired difference from
the first row. Finished sessions are kept, so it can be stopped and started again.
"""

import argparse
import statistics
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.asked_sessions import SIZE, compared, miou, simulated
from benchmarks.commands import ROOT, publish
from benchmarks.fitted_probes import Bench
from benchmarks.probe_table import SHARE, TABLE, data_flags
from weakseg.common import read_json, write_json
from weakseg.planning.asking import AskingOptions
from weakseg.reporting.tables import markdown

DATA = ("voc-pets", "camvid", "nuclei")
MINUTES = (5, 10, 20, 40)
USUAL = AskingOptions(strategy="rare_spread")
MARGIN = replace(USUAL, strategy="margin")
# What is changed -> the options.
WAYS: dict[str, AskingOptions] = {
    "margin": MARGIN,
    "entropy": replace(USUAL, strategy="entropy"),
    "spread": replace(USUAL, strategy="spread"),
    "rare": replace(USUAL, strategy="rare"),
    "rare and spread": USUAL,
    "combined": replace(USUAL, strategy="combined"),
    "answered": replace(USUAL, strategy="answered"),
    "per second": replace(USUAL, strategy="per_second"),
    "margin, two on a picture": replace(MARGIN, per_picture=2),
    "margin, three on a picture": replace(MARGIN, per_picture=3),
    "margin, all pictures looked at": replace(MARGIN, looked_at=10_000),
    "rare and spread, random share 0": replace(USUAL, random_share=0.0),
    "rare and spread, random share 1/8": replace(USUAL, random_share=0.125),
    "rare and spread, random share 1/2": replace(USUAL, random_share=0.5),
    "random alone": replace(USUAL, random_share=1.0),
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "ask-strategies")
    parser.add_argument("--only", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, nargs="+", default=MINUTES)
    parser.add_argument(
        "--refit_every", type=int, default=20, help="answers between two fits (default: 20)"
    )
    return parser.parse_args()


def minutes_of(args: argparse.Namespace, data: str, way: str, seed: int) -> list[float]:
    """Return the mIoU in % after each number of minutes of one session, kept in a file."""
    path = args.folder / "sessions" / f"{data}-{way.replace(' ', '-').replace('/', '_')}-{seed}"
    result = path / "miou.json"
    if result.exists() and len(read_json(result)) >= len(args.minutes):
        kept: list[float] = read_json(result)
        return kept[: len(args.minutes)]
    *_, pictures = TABLE[data]
    flags = data_flags(args.data, args.folder, data)
    bench = Bench.of_flags(
        **flags, supervision_mode="pixels", cache_dir=args.folder / "cache", img_size=SIZE, views=1
    )
    pictures = pictures or round(SHARE * len(bench.dataset.ids("train")))
    options = replace(WAYS[way], seed=seed)
    session = simulated(bench, options, args.refit_every, pictures, path)
    asking, found = session.asking, []
    for minutes in sorted(args.minutes):
        while asking.seconds_spent < 60 * minutes:
            questions = asking.next(args.refit_every)
            asking.take(questions, session.annotator.answers(questions))
        found.append(miou(bench, asking))
    write_json(result, found)
    print(path.name, [round(value, 1) for value in found], flush=True)
    return found


def rows_of(args: argparse.Namespace, data: str) -> list[list[str]]:
    """Return the rows of one data set."""
    by_way = {way: [minutes_of(args, data, way, seed) for seed in args.seeds] for way in args.ways}
    return compared(
        TABLE[data][0], by_way, args.ways[0], lambda gains: f"{statistics.mean(gains):+.1f}"
    )


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    rows = [row for data in args.only for row in rows_of(args, data)]
    head = ["data", "questions", *(f"{minutes:g} min" for minutes in sorted(args.minutes))]
    publish(args.folder / "table.md", markdown(head, rows, (0, 1)))


if __name__ == "__main__":
    main(parse_args())
