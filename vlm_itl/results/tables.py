"""The comparison's tables in Markdown: arms, pairs of arms, judges."""

from collections.abc import Mapping, Sequence
from typing import Any

from vlm_itl.results.budget_curves import REACH
from vlm_itl.results.finished_runs import FinishedRun, by_arm
from vlm_itl.results.run_file import JUDGE_COLUMNS
from weakseg.reporting.tables import markdown, mean_std, p_value, percent

UNITS = {"percent": " %", "seconds": " s"}


def arms_table(summary: Sequence[Mapping[str, Any]], axis: str) -> str:
    """Return the table of arms: area, mIoU at each budget and the budget to 95 % of full.

    summary: what `budget_curves.summarise` returns
    """
    at = [f"mIoU at {entry['budget']:g}{UNITS[axis]}" for entry in summary[0]["at"]]
    head = ["arm", "seeds", "area", *at, f"{axis} to {REACH:.0%} of full"]
    rows = [
        [
            row["arm"],
            str(len(row["seeds"])),
            mean_and_std(row["area"]),
            *map(mean_and_std, row["at"]),
            budget_to_full(row),
        ]
        for row in summary
    ]
    return markdown(head, rows)


def mean_and_std(values: Mapping[str, Any], scale: float = 100.0) -> str:
    """Format {"mean", "std"} as "mean ± std"; a dash where there is no mean."""
    if values["mean"] is None:
        return "-"
    text = f"{scale * values['mean']:.1f}"
    return text if values["std"] is None else f"{text} ± {scale * values['std']:.1f}"


def budget_to_full(row: Mapping[str, Any]) -> str:
    """Format the budget to 95 % of full; where not all seeds reach it, how many do."""
    reach, seeds = row["reach"], len(row["seeds"])
    if reach["mean"] is None:
        return f"- ({reach['seeds']} of {seeds})"
    return mean_and_std(reach, 1.0)


def pairs_table(pairs: Sequence[dict[str, Any]], baseline: str | None) -> str:
    """Return the table of differences in area, in points; with a baseline, of each arm minus it.

    pairs: what `comparison.compare` returns
    """
    if baseline is not None:
        pairs = [
            flipped(pair) if pair["first"] == baseline else pair
            for pair in pairs
            if baseline in (pair["first"], pair["second"])
        ]
    head = ["difference in area", "common seeds", "points", "95 % interval", "p", "p (Holm)"]
    rows = [
        [
            f"{pair['first']} - {pair['second']}",
            str(pair["seeds"]),
            percent(pair["difference"], "+"),
            f"{percent(pair['low'], '+')} to {percent(pair['high'], '+')}",
            p_value(pair["p"]),
            p_value(pair["p_holm"]),
        ]
        for pair in pairs
    ]
    return markdown(head, rows)


def flipped(pair: dict[str, Any]) -> dict[str, Any]:
    """Return a pair the other way round."""
    signs = {"difference": -pair["difference"], "low": -pair["high"], "high": -pair["low"]}
    return pair | signs | {"first": pair["second"], "second": pair["first"]}


def judges_table(runs: Sequence[FinishedRun]) -> str:
    """Return the table of judges, over all judged rounds of all seeds; "" where none was judged."""
    rows = []
    for arm, members in by_arm(runs).items():
        lines = [line for run in members for line in run.results.get("judge", ())]
        if any("spearman" in line for line in lines):
            cells = [
                mean_std(
                    [line[key] * factor for line in lines if line.get(key) is not None], digits=2
                )
                for key, factor in JUDGE_COLUMNS.values()
            ]
            rows.append([arm, str(len(lines)), *cells])
    return markdown(["judge", "rounds", *JUDGE_COLUMNS], rows) if rows else ""
