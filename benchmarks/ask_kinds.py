r"""Other kinds of labels over hours, beside asked pixels: which is worth more, and at what price?

    python benchmarks/ask_kinds.py --data ../shared/data --folder results/ask-kinds \
      --answers results/ask-table

The probe learns from more and more pictures of each kind of label, at the size of `ask_table.py`;
its test mIoU stands beside the hours that the labels take. `--answers` is the folder of a finished
`ask_table.py`: for each number of answers the second table says in how many hours each other kind
reaches the same, and up to how many seconds an answer would still be the faster way; a figure of
each data set has them all over minutes. Finished runs are kept, so it can be stopped and started
again.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from joblib import Parallel, delayed

from benchmarks.ask_table import SIZES
from benchmarks.commands import ROOT, flags, publish, run
from benchmarks.probe_table import SHARE, TABLE, data_flags, labels
from weakseg.common import read_json
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.costs import hours
from weakseg.reporting.charts import budget_plot
from weakseg.reporting.tables import markdown, mean_std

KINDS = ("points", "scribbles", "boxes", "outlines", "full")
PICTURES = (10, 20, 40, 80, 160, 320, 800)
# Other prices of masks: their words, of what, and its seconds.
PRICES = {
    "nuclei": (("10 s an object", "object", 10.0), ("20 s an object", "object", 20.0)),
    "camvid": (("90 min a picture", "image", 5400.0),),  # Cordts et al., CVPR 2016
}
TITLES = {"points": "clicks", "full": "masks", "outlines": "coarse outlines"}  # in figures
LOOK = 1.5  # seconds of a look at a new picture

Curve = Sequence[tuple[float, float]]  # (hours, mIoU in %), the fewest hours first


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "ask-kinds")
    parser.add_argument("--answers", type=Path, help="folder of a finished ask_table.py")
    parser.add_argument("--only", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--pictures", type=int, nargs="+", default=list(PICTURES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, a thread each")
    return parser.parse_args()


def kinds_of(args: argparse.Namespace, name: str) -> list[str]:
    """Return the kinds of labels that a data set is measured with; streets have no boxes."""
    return [kind for kind in args.kinds if not (name == "camvid" and kind == "boxes")]


def numbers_of(args: argparse.Namespace, name: str) -> list[int]:
    """Return the numbers of pictures, the last one as many as a seed draws."""
    *_, most = TABLE[name]
    if most is None:
        options = data_flags(args.data, args.folder, name) | {"cache_dir": args.folder / "cache"}
        most = round(SHARE * len(open_dataset(DataOptions.of(options)).ids("train")))
    return [*(number for number in sorted(args.pictures) if number < most), most]


def train_and_score(
    args: argparse.Namespace, name: str, kind: str, number: int, seed: int
) -> dict[str, Any]:
    """Return the result of one run, which is made unless it is there."""
    run_name = f"{name}-{kind}-{number}-{seed}"
    path = args.folder / "results" / f"{run_name}.json"
    if not path.exists():
        words = flags(
            **data_flags(args.data, args.folder, name),
            learner="probe",
            supervision_mode=kind,
            run_name=run_name,
            seed=seed,
            img_size=SIZES[name],
            train_limit=number,
            weak_label_path=labels(args, name, seed),
            cache_dir=args.folder / "cache",
            checkpoint_dir=args.folder / "runs",
            resume="auto",
            device="cpu",
        )
        run("train.py", *words, threads=1)
        where = flags(checkpoint_dir=args.folder / "runs", results_dir=args.folder / "results")
        run("evaluate.py", "--run_name", run_name, *where, "--device", "cpu", threads=1)
        print(run_name, flush=True)
    result: dict[str, Any] = read_json(path)
    return result


def hours_at(cost: Mapping[str, Any], of: str = "", seconds: float = 0.0) -> float:
    """Return the hours of a run's labels, from its `cost`.

    of, seconds: what of masks is priced anew, "object" or "image", and at how much; "": nothing
    """
    usual = hours(cost)
    if not of:
        return usual
    number: int = cost["counts"]["full"][of]
    return usual - (cost["seconds"]["full"] - number * seconds) / 3600


def reached(curve: Curve, miou: float) -> float | None:
    """Return the hours in which a curve first reaches a mIoU; None where it never does.

    Between its points a curve is linear over the logarithm of hours; before the first it is flat.
    """
    if curve[0][1] >= miou:
        return curve[0][0]
    for (before, low), (after, high) in pairwise(curve):
        if high >= miou:
            share = (miou - low) / (high - low)
            return float(np.exp(np.log(before) + share * (np.log(after) - np.log(before))))
    return None


def break_even(hours_of_kind: float, answers: int, pictures: int) -> float:
    """Return the seconds of an answer at which answers take as long as a kind's hours.

    pictures: that the answers are about, each of which costs a look
    """
    return (3600 * hours_of_kind - LOOK * pictures) / answers


def verdict(curve: Curve, row: Mapping[str, Any]) -> str:
    """Return when a kind reaches what answers do, and the price of an answer that breaks even.

    row: of a session in ask.json: "answers", "pictures", "miou"
    """
    time = reached(curve, row["miou"])
    if time is None:
        return "never"
    seconds = break_even(time, row["answers"], row["pictures"])
    less = "at most " if time == curve[0][0] else ""
    return f"{less}{time:.2g} h, {max(0, seconds):.1f} s"


def curves(
    args: argparse.Namespace, name: str
) -> dict[str, list[tuple[int, list[tuple[float, float]]]]]:
    """Return {kind and price: [(pictures, [(hours, mIoU in %) of each seed])]} of a data set."""
    found: dict[str, list[tuple[int, list[tuple[float, float]]]]] = {}
    for kind in kinds_of(args, name):
        others = PRICES.get(name, ()) if kind == "full" else ()
        for number in numbers_of(args, name):
            results = [train_and_score(args, name, kind, number, seed) for seed in args.seeds]
            miou = [100 * result["aggregate"]["miou"] for result in results]
            for words, *price in (("", "", 0.0), *others):
                spent = [hours_at(result["cost"], *price) for result in results]
                title = f"{kind}, {words}" if words else kind
                found.setdefault(title, []).append((number, [*zip(spent, miou, strict=True)]))
    return found


def mean_point(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the mean hours and mean mIoU of seeds."""
    return statistics.mean(p[0] for p in points), statistics.mean(p[1] for p in points)


def rows_of_answers(args: argparse.Namespace, name: str) -> list[dict[str, Any]]:
    """Return the mean of the sessions of a data set at each of their points."""
    by_point: dict[int, list[dict[str, Any]]] = {}
    for path in sorted((args.answers / "sessions").glob(f"{name}-[0-9]*/ask.json")):
        for row in read_json(path)["rows"]:
            by_point.setdefault(row["point"], []).append(row)
    keys = "answers", "pictures", "miou"
    return [
        {key: statistics.mean(row[key] for row in rows) for key in keys}
        for _, rows in sorted(by_point.items())
    ]


def line_of(name: str, points: Sequence[Sequence[tuple[float, ...]]]) -> dict[str, Any]:
    """Return a line of `budget_plot`, over minutes.

    points: of each number of pictures or answers, (minutes, mIoU, low, high) of each seed
    """
    means = [[statistics.mean(values) for values in zip(*seeds, strict=True)] for seeds in points]
    keys = "hours", "miou", "low", "high"
    return {"name": name, **dict(zip(keys, map(list, zip(*means, strict=True)), strict=True))}


def draw(args: argparse.Namespace, name: str) -> None:
    """Draw the mIoU of answers and of the other kinds over the minutes of a person."""
    by_point: dict[int, list[tuple[float, ...]]] = {}
    for path in sorted((args.answers / "sessions").glob(f"{name}-[0-9]*/ask.json")):
        for row in read_json(path)["rows"]:
            values = tuple(row[key] for key in ("minutes", "miou", "low", "high"))
            by_point.setdefault(row["point"], []).append(values)
    lines = [line_of("answers", [by_point[point] for point in sorted(by_point)])]
    for kind in kinds_of(args, name):
        points = []
        for number in numbers_of(args, name):
            results = [train_and_score(args, name, kind, number, seed) for seed in args.seeds]
            seeds = []
            for result in results:
                low, high = result["aggregate"]["miou_interval"]
                scores = (100 * value for value in (result["aggregate"]["miou"], low, high))
                seeds.append((60 * hours(result["cost"]), *scores))
            points.append(seeds)
        lines.append(line_of(TITLES.get(kind, kind), points))
    budget_plot(args.folder / f"{name}.png", lines, "minutes of a person")


def main(args: argparse.Namespace) -> None:
    for name in args.only:  # labels first: runs share them
        for seed in args.seeds:
            labels(args, name, seed)
    runs = [
        (name, kind, number, seed)
        for name in args.only
        for seed in args.seeds
        for kind in kinds_of(args, name)
        for number in numbers_of(args, name)
    ]
    Parallel(n_jobs=args.jobs, backend="threading")(
        delayed(train_and_score)(args, *one) for one in runs
    )
    first, second = [], []
    for name in args.only:
        for kind, points in curves(args, name).items():
            cells = [
                f"{number}: {mean_std([p[1] for p in seeds])} ({mean_point(seeds)[0]:.1f} h)"
                for number, seeds in points
            ]
            first.append([TABLE[name][0], kind, str(len(args.seeds)), ", ".join(cells)])
            if args.answers:
                curve = [mean_point(seeds) for _, seeds in points]
                verdicts = [verdict(curve, row) for row in rows_of_answers(args, name)]
                second.append([TABLE[name][0], kind, *verdicts])
        if args.answers:
            draw(args, name)
    tables = [markdown(["data", "labels", "seeds", "pictures: mIoU (hours)"], first, (0, 1, 3))]
    if second:
        counts = [round(row["answers"]) for row in rows_of_answers(args, args.only[0])]
        head = ["data", "labels", *(f"as {count:,} answers" for count in counts)]
        tables.append(markdown(head, second, (0, 1)))
    publish(args.folder / "table.md", "\n\n".join(tables))


if __name__ == "__main__":
    main(parse_args())
