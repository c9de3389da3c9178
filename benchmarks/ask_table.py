r"""Asked pixels on real photographs: what 200, 800 and 3,200 answers reach, seeds and data sets.

    python benchmarks/ask_table.py --data ../shared/data --folder results/ask-table --jobs 2

A seed draws the pictures that are asked about (VOC's cats and dogs: 800 of them, elsewhere four
fifths), the person and the questions. The person begins with a click on an example of each class,
as in front of a page. Sessions are those of `study.py ask`, whose test images are read once by
evaluate.py. The second table says how often the estimates held the truth, and how many answers the
classes got. Finished points are kept, so it can be stopped and started again.
"""

import argparse
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from joblib import Parallel, delayed

from benchmarks.commands import ROOT, flags, publish, run
from benchmarks.probe_table import SHARE, TABLE, data_flags
from weakseg.common import IGNORE, read_json
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.label_file import load_labels
from weakseg.reporting.tables import markdown, mean_std

# Name of the data in `probe_table.TABLE` -> longer side of photographs.
SIZES = {"voc-pets": 384, "nuclei": 384, "camvid": 384, "voc-21": 256, "pets": 384}
POINTS = (200, 800, 3200)
LEAST_SHARE = 0.003  # of the pixels: smaller classes need not be found


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "ask-table")
    parser.add_argument("--only", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--points", type=int, nargs="+", default=list(POINTS))
    parser.add_argument("--jobs", type=int, default=1, help="sessions at a time, a thread each")
    return parser.parse_args()


def where(args: argparse.Namespace, name: str, seed: int) -> Path:
    """Return the folder of a session."""
    return Path(args.folder) / "sessions" / f"{name}-{seed}"


def answer(args: argparse.Namespace, name: str, seed: int) -> None:
    """Run a session by `study.py ask`, or what is left of it."""
    own = data_flags(args.data, args.folder, name)
    cache = args.folder / "cache"
    dataset = open_dataset(DataOptions.of({**own, "cache_dir": cache}))
    *_, pictures = TABLE[name]
    words = flags(
        **own,
        cache_dir=cache,
        answers=max(args.points),
        at=args.points,
        start="examples",
        train_limit=pictures or round(SHARE * len(dataset.ids("train"))),
        seed=seed,
        study_dir=where(args, name, seed),
    )
    last = ["--", "--img_size", SIZES[name], "--device", "cpu"]
    run("study.py", "ask", "--simulate", *words, *last, threads=1)
    print(f"{name}-{seed}", flush=True)


def rows_of(args: argparse.Namespace, name: str, seeds: Sequence[int]) -> dict[int, list[Any]]:
    """Return {answers: the rows of all seeds} of the sessions of a data set."""
    rows: dict[int, list[Any]] = {point: [] for point in args.points}
    for seed in seeds:
        path = where(args, name, seed) / "ask.json"
        for row in read_json(path)["rows"] if path.exists() else []:
            rows.setdefault(row["point"], []).append(row)
    return rows


def reached(args: argparse.Namespace, name: str) -> list[str]:
    """Return the row of a data set in the first table."""
    rows = rows_of(args, name, args.seeds)
    cells = []
    for point in args.points:
        own = rows[point]
        minutes = statistics.mean(row["minutes"] for row in own) if own else 0
        cells += [mean_std([row["miou"] for row in own]), f"{minutes:.0f}" if own else "-"]
    return [TABLE[name][0], str(SIZES[name]), str(len(rows[args.points[0]])), *cells]


def estimated(args: argparse.Namespace, name: str) -> list[list[str]]:
    """Return the rows of a data set in the second table, one for each number of answers."""
    lines = []
    for point, rows in rows_of(args, name, args.seeds).items():
        known = [row for row in rows if row.get("estimate", {}).get("miou")]
        if not known:
            continue
        inside = [
            row["estimate"]["miou"][1] <= row["truth"] <= row["estimate"]["miou"][2]
            for row in known
        ]
        halves = [(row["estimate"]["miou"][2] - row["estimate"]["miou"][1]) / 2 for row in known]
        lines.append(
            [
                TABLE[name][0],
                f"{point}",
                mean_std([row["estimate"]["miou"][0] for row in known]),
                mean_std([row["truth"] for row in known]),
                f"{sum(inside)} of {len(inside)}",
                f"{statistics.mean(halves):.1f}",
                f"{statistics.mean(row['estimate']['cannot_tell'][0] for row in known):.1f}",
                fewest(args, name, point),
            ]
        )
    return lines


def fewest(args: argparse.Namespace, name: str, point: int) -> str:
    """Return the fewest answers of any class of some area, over seeds, and it: "3 (pole)"."""
    least: list[tuple[int, str]] = []
    for seed in args.seeds:
        folder = where(args, name, seed)
        path = folder / "labels" / f"answers_{point}.pkl"
        if path.exists():
            content = load_labels(path)
            labels = [p["class"] for image in content["images"].values() for p in image["pixels"]]
            counts = Counter(label for label in labels if label != IGNORE)
            with np.load(folder / "out_of_fold.npz") as file:
                areas = np.bincount(file["answers"], file["areas"], IGNORE + 1)[:IGNORE]
            shares = areas / areas.sum()
            classes = [c for c in enumerate(content["classes"]) if shares[c[0]] >= LEAST_SHARE]
            least.append(min((counts[label], word) for label, word in classes))
    number, word = min(least)
    return f"{number} ({word})"


def main(args: argparse.Namespace) -> None:
    sessions = [(name, seed) for seed in args.seeds for name in args.only]
    Parallel(n_jobs=args.jobs)(delayed(answer)(args, *session) for session in sessions)
    head = ["data", "size", "seeds"]
    for point in args.points:
        head += [f"{point:,} answers", "minutes"]
    second = ["data", "answers", "estimate", "truth", "held", "half-width", "cannot tell, %"]
    tables = [
        markdown(head, [reached(args, name) for name in args.only], (0,)),
        markdown(
            [*second, "fewest answers of a class"],
            [line for name in args.only for line in estimated(args, name)],
            (0,),
        ),
    ]
    publish(args.folder / "table.md", "\n\n".join(tables))


if __name__ == "__main__":
    main(parse_args())
