"""Compare finished runs of active learning: tables over seeds, paired tests, budget curves.

    python scripts/compare_runs.py --runs results/al/* --output_dir results/al/comparison
    python scripts/compare_runs.py --runs results/al/* --output_dir results/al/by_time \\
        --axis seconds --baseline random
    python scripts/compare_runs.py --runs results/al/* --output_dir results/al/comparison \\
        --budgets 10 20 30

Each run is a folder with a results.json; runs of one arm and several seeds are one row. Area is
that under the budget curve over the range that all runs share, divided by its width: the mean mIoU
of that range. Differences are paired over seeds and test images; their p-values are corrected over
all pairs of arms (Holm). A matrix shows how often each arm is above each other.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vlm_itl.results.budget_curves import common_budgets, common_range, summarise
from vlm_itl.results.comparison import compare, win_matrix
from vlm_itl.results.finished_runs import AXES, FinishedRun, by_arm, load_runs
from vlm_itl.results.tables import arms_table, judges_table, pairs_table
from weakseg.command_line import Parser
from weakseg.common import UserError, atomic_path, commit, run_cli, write_json
from weakseg.own_files import is_record, take

SIGNIFICANT = 0.05
FILES = ("table.md", "comparison.json", "win_matrix.png", *(f"curves_{one}.png" for one in AXES))


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__)
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
        choices=AXES,
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


def main(args: argparse.Namespace) -> None:
    if args.resamples < 1 or args.seed < 0:
        raise UserError("--resamples must be at least 1, --seed not negative")
    folder = Path(args.output_dir)
    runs = read_runs(args.runs, args.full, folder)
    check_flags(runs, args.axis, args.baseline, args.budgets or ())

    budgets = args.budgets or common_budgets(runs, args.axis)
    span = common_range(runs, args.axis)
    summary = summarise(runs, args.axis, budgets)
    pairs = compare(runs, args.axis, resamples=args.resamples, seed=args.seed)
    arms, shares = win_matrix(runs, args.axis, budgets)

    is_ours = is_record(folder / "comparison.json", "pairs")
    take(folder, FILES, "compare_runs.py", "take another --output_dir", is_ours)
    text = tables(runs, summary, pairs, args.axis, args.baseline)
    with atomic_path(folder / "table.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    content = {
        "commit": commit(),
        "axis": args.axis,
        "range": list(span),
        "budgets": budgets,
        "arms": summary,
        "pairs": pairs,
        "wins": {"arms": arms, "shares": shares},
        "runs": [origin(run) for run in runs],
    }
    write_json(folder / "comparison.json", content)
    figures = draw(folder, runs, arms, shares, pairs)
    print(text)
    print(f"{folder}: {', '.join(['table.md', 'comparison.json', *figures])}")


def read_runs(
    folders: Sequence[str], full_folders: Sequence[str], output: Path
) -> list[FinishedRun]:
    """Load the runs, without the output folder, and what all labels reach in the full ones."""
    runs = load_runs([path for path in folders if Path(path).resolve() != output.resolve()])
    full = load_runs(full_folders) if full_folders else []
    for run in full:
        if not run.is_tested_as(runs[0]):
            raise UserError(
                f"--full {run.folder}: tested on other images or masks than {runs[0].folder}"
            )
    if full:
        reached = sum(run.miou[-1] for run in full) / len(full)
        for run in runs:
            run.results["full_miou"] = reached
    return runs


def check_flags(
    runs: Sequence[FinishedRun], axis: str, baseline: str | None, budgets: Sequence[float]
) -> None:
    """Refuse an arm that no run is of, and budgets outside the range that all runs share."""
    arms = list(by_arm(runs))
    if baseline is not None and baseline not in arms:
        raise UserError(
            f"--baseline {baseline}: no run is of that arm; there are {', '.join(arms)}"
        )
    low, high = common_range(runs, axis)
    for budget in budgets:
        if not low <= budget <= high:
            raise UserError(
                f"--budgets {budget:g}: lies outside {low:g} to {high:g} {axis}, "
                "which all runs share"
            )


def tables(
    runs: Sequence[FinishedRun],
    summary: Sequence[dict[str, Any]],
    pairs: Sequence[dict[str, Any]],
    axis: str,
    baseline: str | None,
) -> str:
    """Return all tables with their headings, in Markdown."""
    low, high = common_range(runs, axis)
    text = (
        f"Test mIoU in %, mean ± std over seeds; area over {low:g} to {high:g} {axis}.\n\n"
        f"{arms_table(summary, axis)}\n"
    )
    if pairs:
        text += f"\n{pairs_table(pairs, baseline)}\n"
    if judges := judges_table(runs):
        heading = "The judges on masks nobody bought, mean ± std over rounds and seeds."
        text += f"\n{heading}\n\n{judges}\n"
    return text


def origin(run: FinishedRun) -> dict[str, Any]:
    """Return where a run's numbers come from."""
    return {
        "folder": str(run.folder),
        "arm": run.arm,
        "seed": run.seed,
        "commit": run.results.get("commit"),
    }


def draw(
    folder: Path,
    runs: Sequence[FinishedRun],
    arms: Sequence[str],
    shares: Sequence[Sequence[float | None]],
    pairs: Sequence[dict[str, Any]],
) -> list[str]:
    """Draw all figures; return their names."""
    from vlm_itl.results import figures

    for axis in AXES:
        figures.budget_curves(folder / f"curves_{axis}.png", runs, axis)
    figures.win_matrix_figure(folder / "win_matrix.png", arms, shares, better_arms(pairs))
    return [*(f"curves_{axis}.png" for axis in AXES), "win_matrix.png"]


def better_arms(pairs: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the (better, worse) arms of the pairs that differ after correction."""
    return [
        (pair["first"], pair["second"])
        if pair["difference"] > 0
        else (pair["second"], pair["first"])
        for pair in pairs
        if pair["p_holm"] is not None and pair["p_holm"] < SIGNIFICANT
    ]


if __name__ == "__main__":
    run_cli(main, parse_args)
