"""The cost figure of a published table: mIoU over annotation hours, with intervals over seeds.

    python benchmarks/cost_figure.py --page oxford-pet --figure docs/cost_pets.png

Reads table 1 of docs/results/PAGE.md, whose columns are `labels`, `hours`, and `RECIPE: mIoU` with
cells `mean ± standard deviation`. So the figure shows what the table says, and nothing else.
Intervals are the 95 % t-intervals of the mean over --seeds runs.
"""

import argparse
import sys
from pathlib import Path

from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.provenance import PAGES, tables
from weakseg.common import UserError, run_cli
from weakseg.reporting.charts import CostPoint, cost_plot

FULL, BACKGROUND = "full (masks)", "everything background"


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--page", required=True, help="of docs/results, without .md")
    parser.add_argument("--figure", required=True, help="PNG file to write")
    parser.add_argument("--seeds", type=int, default=3, help="(default: %(default)s)")
    return parser.parse_args()


def points_of(table, seeds):
    """Return the `CostPoint` of each cell `mean ± std`, and the mIoU of background alone."""
    columns = {
        head.removesuffix(": mIoU"): i for i, head in enumerate(table.head) if "mIoU" in head
    }
    points, reference = [], None
    for row in table.rows:
        labels, hours = row[0], float(row[table.head.index("hours")])
        for recipe, column in columns.items():
            if labels == BACKGROUND:
                reference = float(row[column])
            elif labels != FULL or recipe == "plain":  # for masks the recipes are the same
                points.append(point(labels, recipe, hours, row[column], seeds))
    return points, reference


def point(labels, recipe, hours, cell, seeds):
    """Return the `CostPoint` of a cell such as `89.5 ± 0.2`."""
    mean, std = map(float, cell.split(" ± "))
    half = float(stats.t.ppf(0.975, seeds - 1)) * std / seeds**0.5
    words = "Masks" if labels == FULL else labels.split(",")[0].capitalize()
    name = f"{words}, strong" if recipe == "strong" else words
    return CostPoint(name=name, cost=hours, miou=mean, low=mean - half, high=mean + half)


def main(args):
    path = PAGES / f"{args.page}.md"
    if not path.exists():
        raise UserError(f"--page {args.page}: there is no {path.name} in docs/results")
    if args.seeds < 2:
        raise UserError("--seeds: an interval needs two or more")
    table = tables(path.read_text(encoding="utf-8"), path.name)[0]
    points, reference = points_of(table, args.seeds)
    cost_plot(Path(args.figure), points, "hours, training labels", reference)
    print(f"{args.figure}: {len(points)} points of {path.name}")


if __name__ == "__main__":
    run_cli(main, parse_args)
