"""The tables and the figure of an equal-budget study, from the content of its study.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weakseg.evaluation.statistics import seed_interval
from weakseg.planning.advice import Advice, advice_sentence, check_sentence, plan, time_words
from weakseg.planning.learning_curves import Run, hold_out
from weakseg.reporting.tables import markdown


@dataclass(frozen=True)
class CellResult:
    """What the runs of one mode and budget reached, over their seeds; mIoU in percent.

    low, high   the 95 % t-interval of the mean over seeds; with one seed the bootstrap interval
                over test images
    hours       of annotation by the study's prices, other_hours by the other schedule's
    images      how many were labelled, a range over seeds: "12-14"
    everything  whether the budget would have paid for more images than there are
    """

    miou: float
    low: float
    high: float
    hours: float
    other_hours: float
    images: str
    seeds: int
    everything: bool

    @classmethod
    def of_runs(cls, runs: Sequence[Run]) -> "CellResult":
        """Average the runs of one cell."""

        def mean(key: str) -> float:
            return sum(run[key] for run in runs) / len(runs)

        low, high = mean("low"), mean("high")
        if len(runs) > 1:
            _, low, high = seed_interval([run["miou"] for run in runs])
        images = sorted({run["images"] for run in runs})
        return cls(
            miou=mean("miou"),
            low=low,
            high=high,
            hours=mean("hours"),
            other_hours=mean("other_hours"),
            images=f"{images[0]}" if len(images) == 1 else f"{images[0]}-{images[-1]}",
            seeds=len(runs),
            everything=all(run["everything"] for run in runs),
        )


Results = dict[str, dict[float, CellResult]]  # {mode: {budget in hours: CellResult}}


def results_by_cell(study: Mapping[str, Any]) -> Results:
    """Return the results of the cells that have a finished run, budgets rising."""
    runs: dict[str, dict[float, list[Run]]] = {}
    for row in study["rows"]:
        runs.setdefault(row["mode"], {}).setdefault(row["budget"], []).append(row)
    return {
        mode: {budget: CellResult.of_runs(rows) for budget, rows in sorted(by_budget.items())}
        for mode, by_budget in runs.items()
    }


def study_report(study: Mapping[str, Any]) -> str:
    """Return the study in Markdown: the grid, what to do with each budget, how good that is."""
    results, budgets = results_by_cell(study), study["budgets"]
    advice = plan(study, budgets)
    sentences = [*map(advice_sentence, advice), check_sentence(hold_out(study["rows"]))]
    return "\n\n".join(
        [
            f"Test mIoU (%) at equal annotation time by the schedule {study['schedule']}: "
            f"{interval_words(results)}, n images labelled; "
            f"{len(study['rows'])} of {study['cells']} cells are finished.",
            grid_table(results, budgets),
            selection_sentence(study),
            advice_table(advice, results),
            "\n".join(f"- {sentence}" for sentence in sentences),
        ]
    )


def interval_words(results: Results) -> str:
    """Say what the intervals of the grid are: over seeds, or over test images."""
    seeds = sorted({cell.seeds for by_budget in results.values() for cell in by_budget.values()})
    if seeds[-1] == 1:
        return "one seed, 95 % bootstrap intervals over test images"
    words = "mean over seeds, 95 % t-intervals"
    if seeds[0] == 1:
        words += " (bootstrap intervals over test images where one seed is finished)"
    return words


def grid_table(results: Results, budgets: Sequence[float]) -> str:
    """Return the table of the grid, a row for each mode and a column for each budget."""
    rows = [
        [mode, *(cell_words(by_budget.get(budget)) for budget in budgets)]
        for mode, by_budget in results.items()
    ]
    return markdown(["labels", *map(time_words, budgets)], rows)


def cell_words(cell: CellResult | None) -> str:
    """Return one cell of the grid's table: mIoU with its interval, and the images that it took."""
    if cell is None:
        return "-"
    images = f"all {cell.images}" if cell.everything else cell.images
    return f"{cell.miou:.1f} ({cell.low:.1f} to {cell.high:.1f}), n = {images}"


def selection_sentence(study: Mapping[str, Any]) -> str:
    """Say what the labels cost that chose checkpoints, which the budgets leave out."""
    if study["selected_by"] is None:
        return "No label of a validation image chose anything."
    hours = [f"{hours:.2f} h" for hours in study["selection_hours"].values()]
    if len(set(hours)) > 1:
        modes = study["selection_hours"]
        hours = [f"{mode} {words}" for mode, words in zip(modes, hours, strict=True)]
    return (
        "Not counted: the labels of the validation images, "
        f"which chose checkpoints by {study['selected_by']} ({', '.join(dict.fromkeys(hours))})."
    )


def advice_table(advice: Sequence[Advice], results: Results) -> str:
    """Return the table 'with these hours do this'."""
    rows = []
    for line in advice:
        choice, (low, high) = line.choice, line.choice.interval
        cell, lead = results[choice.mode].get(line.hours), choice.lead
        rows.append(
            [
                time_words(line.hours),
                choice.mode,
                "-" if cell is None else cell.images,
                f"{choice.miou:.1f} ({low:.1f} to {high:.1f})",
                "-" if lead is None else f"{lead.miou:+.1f} over {lead.second}",
                f"{choice.probability:.2f}",
            ]
        )
    head = ["with", "label", "images", "expected mIoU", "lead", "probability that it is best"]
    return markdown(head, rows, words=(0, 1))


def draw_study(path: Path, study: Mapping[str, Any]) -> None:
    """Draw mIoU over annotation hours, one line a mode, with intervals and the frontier."""
    from weakseg.evaluation.groups import signal_words
    from weakseg.reporting.charts import budget_plot

    lines: list[dict[str, Any]] = []
    for mode, by_budget in results_by_cell(study).items():
        keys = ("hours", "miou", "low", "high", "other_hours")
        values = {key: [getattr(cell, key) for cell in by_budget.values()] for key in keys}
        name = signal_words(mode.replace("full", "masks").split(" + "))
        lines.append({"name": name, **values})
    other = None if study["other_schedule"] == study["schedule"] else study["other_schedule"]
    budget_plot(path, lines, f"hours, by {study['schedule']}", other)
