"""Compare finished runs of active learning: a table over seeds, paired tests, budget curves and a
win matrix.

    python scripts/compare_runs.py --runs results/al/* --output_dir results/al/comparison
    python scripts/compare_runs.py --runs results/al/* --output_dir results/al/by_time --axis seconds --baseline random
    python scripts/compare_runs.py --runs results/al/* --output_dir results/al/comparison --budgets 10 20 30

Each run is a folder with a results.json; runs of one arm and several seeds are one row. Area is
that under the budget curve over the range that all runs share, divided by its width: the mean mIoU
of that range. Differences are paired over seeds and test images; their p-values are corrected over
all pairs of arms (Holm).
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vlm_itl.results import budget_curves
from weakseg.common import UserError, atomic_path, commit, run_cli, write_json
from weakseg.reporting.tables import markdown, mean_std, p_value, percent

SIGNIFICANT = 0.05


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    group = parser.add_argument_group("runs")
    group.add_argument(
        "--runs",
        nargs="+",
        required=True,
        metavar="DIR",
        help="folders of runs; the output folder is passed over where a pattern names it",
    )
    group.add_argument(
        "--full",
        nargs="+",
        default=[],
        metavar="DIR",
        help="folders of train_baseline.py: what all labels reach, the mean over them",
    )
    group = parser.add_argument_group("comparison")
    group.add_argument(
        "--axis",
        choices=budget_curves.AXES,
        default="percent",
        help="budget in percent of the pool or in seconds of human work (default: percent)",
    )
    group.add_argument(
        "--budgets",
        type=float,
        nargs="+",
        metavar="B",
        help="budgets to read mIoU at, in the unit of --axis (default: the rounds')",
    )
    group.add_argument(
        "--baseline", metavar="ARM", help="show only pairs with this arm (default: all pairs)"
    )
    group.add_argument(
        "--resamples", type=int, default=1000, help="resamples of the bootstrap (default: 1000)"
    )
    group.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (default: 0)")
    group = parser.add_argument_group("output")
    group.add_argument(
        "--output_dir",
        required=True,
        metavar="DIR",
        help="folder for table.md, comparison.json and the figures",
    )
    return parser.parse_args()


def find_runs(args):
    """Load the runs, without the output folder, and check the flags against them."""
    output = Path(args.output_dir).resolve()
    runs = budget_curves.load_runs([path for path in args.runs if Path(path).resolve() != output])
    full = budget_curves.load_runs(args.full) if args.full else []
    for run in full:
        if run.results["test_fingerprint"] != runs[0].results["test_fingerprint"]:
            raise UserError(
                f"--full {run.folder}: tested on other images or masks than {runs[0].folder}"
            )
    for run in runs if full else ():
        run.results["full_miou"] = sum(run.miou[-1] for run in full) / len(full)
    arms = list(budget_curves.by_arm(runs))
    if args.baseline is not None and args.baseline not in arms:
        raise UserError(
            f"--baseline {args.baseline}: no run is of that arm; there are {', '.join(arms)}"
        )
    low, high = budget_curves.common_range(runs, args.axis)
    for budget in args.budgets or ():
        if not low <= budget <= high:
            raise UserError(
                f"--budgets {budget:g}: lies outside {low:g} to {high:g} {args.axis}, which all runs share"
            )
    return runs


def spread(found, scale=100.0):
    """Format a mean and standard deviation."""
    if found["mean"] is None:
        return "-"
    text = f"{scale * found['mean']:.1f}"
    return text if found["std"] is None else f"{text} ± {scale * found['std']:.1f}"


def reached(row):
    """Format the budget to 95 % of full; where not all seeds reach it, how many do."""
    found, seeds = row["reach"], len(row["seeds"])
    return spread(found, 1.0) if found["mean"] is not None else f"- ({found['seeds']} of {seeds})"


def arms_table(summary, axis):
    """Return the table of arms: area, mIoU at each budget and the budget to 95 % of full."""
    unit = {"percent": " %", "seconds": " s"}[axis]
    at = [f"mIoU at {entry['budget']:g}{unit}" for entry in summary[0]["at"]]
    head = ["arm", "seeds", "area", *at, f"{axis} to {budget_curves.REACH:.0%} of full"]
    rows = [
        [
            row["arm"],
            str(len(row["seeds"])),
            spread(row["area"]),
            *map(spread, row["at"]),
            reached(row),
        ]
        for row in summary
    ]
    return markdown(head, rows)


def pairs_table(pairs, baseline):
    """Return the table of differences in area, in percentage points; with a baseline, of each arm
    minus it.
    """
    if baseline is not None:
        pairs = [
            flipped(pair) if pair["first"] == baseline else pair
            for pair in pairs
            if baseline in (pair["first"], pair["second"])
        ]
    rows = [
        [
            f"{p['first']} - {p['second']}",
            str(p["seeds"]),
            percent(p["difference"], "+"),
            f"{percent(p['low'], '+')} to {percent(p['high'], '+')}",
            p_value(p["p"]),
            p_value(p["p_holm"]),
        ]
        for p in pairs
    ]
    return markdown(
        ["difference in area", "common seeds", "points", "95 % interval", "p", "p (Holm)"], rows
    )


# Column of the judges' table -> (key of judge_metrics, factor).
JUDGED = {
    "Spearman": ("spearman", 1),
    "AUROC": ("auroc", 1),
    "AUPRC": ("auprc", 1),
    "ECE": ("ece", 1),
    "Brier": ("brier", 1),
    "agreement %": ("agreement", 100),
    "good %": ("good", 100),
    "accepted %": ("coverage", 100),
    "purity %": ("purity", 100),
    "accepted and bad %": ("accepted_bad", 100),
    "hours saved": ("seconds_saved", 1 / 3600),
}


def judges_table(runs):
    """Return the table of the judges: the mean and standard deviation over all judged rounds of all
    seeds.
    """
    rows = []
    for arm, members in budget_curves.by_arm(runs).items():
        lines = [line for run in members for line in run.results.get("judge", ())]
        if any("spearman" in line for line in lines):
            cells = [
                mean_std(
                    [line[key] * factor for line in lines if line.get(key) is not None], digits=2
                )
                for key, factor in JUDGED.values()
            ]
            rows.append([arm, str(len(lines)), *cells])
    return markdown(["judge", "rounds", *JUDGED], rows) if rows else ""


def flipped(pair):
    """Return a pair the other way round."""
    signs = {"difference": -pair["difference"], "low": -pair["high"], "high": -pair["low"]}
    return pair | signs | {"first": pair["second"], "second": pair["first"]}


def significant(pairs):
    """Return the (better, worse) arms of the pairs that differ after correction."""
    found = [pair for pair in pairs if pair["p_holm"] is not None and pair["p_holm"] < SIGNIFICANT]
    return [
        (p["first"], p["second"]) if p["difference"] > 0 else (p["second"], p["first"])
        for p in found
    ]


def draw(folder, runs, arms, shares, pairs):
    """Draw all figures; return their names."""
    from vlm_itl.results import figures

    for axis in budget_curves.AXES:
        figures.budget_curves(folder / f"curves_{axis}.png", runs, axis)
    figures.win_matrix_figure(folder / "win_matrix.png", arms, shares, significant(pairs))
    return [*(f"curves_{axis}.png" for axis in budget_curves.AXES), "win_matrix.png"]


def main(args):
    if args.resamples < 1 or args.seed < 0:
        raise UserError("--resamples must be at least 1, --seed not negative")
    runs = find_runs(args)
    budgets = args.budgets or budget_curves.common_budgets(runs, args.axis)
    summary = budget_curves.summarise(runs, args.axis, budgets)
    pairs = budget_curves.compare(runs, args.axis, resamples=args.resamples, seed=args.seed)
    arms, shares = budget_curves.win_matrix(runs, args.axis, budgets)

    folder = Path(args.output_dir)
    low, high = budget_curves.common_range(runs, args.axis)
    text = f"Test mIoU in %, mean ± std over seeds; area over {low:g} to {high:g} {args.axis}.\n\n"
    text += arms_table(summary, args.axis) + "\n"
    if pairs:
        text += "\n" + pairs_table(pairs, args.baseline) + "\n"
    if judged := judges_table(runs):
        text += (
            "\nThe judges on masks nobody bought, mean ± std over rounds and seeds.\n\n"
            + judged
            + "\n"
        )
    with atomic_path(folder / "table.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    write_json(
        folder / "comparison.json",
        {
            "commit": commit(),
            "axis": args.axis,
            "range": [low, high],
            "budgets": budgets,
            "arms": summary,
            "pairs": pairs,
            "wins": {"arms": arms, "shares": shares},
            "runs": [
                {
                    "folder": str(run.folder),
                    "arm": run.arm,
                    "seed": run.seed,
                    "commit": run.results.get("commit"),
                }
                for run in runs
            ],
        },
    )
    figures = draw(folder, runs, arms, shares, pairs)
    print(text)
    print(f"{folder}: {', '.join(['table.md', 'comparison.json', *figures])}")


if __name__ == "__main__":
    run_cli(main, parse_args)
