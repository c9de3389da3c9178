"""Figures of active learning and of judges, each one PNG on a `weakseg.reporting.style.Sheet`."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlm_itl.results.budget_curves import REACH, interpolation
from vlm_itl.results.finished_runs import AXES, FinishedRun, by_arm
from weakseg.reporting.charts import style_axes
from weakseg.reporting.style import (
    FAINT,
    GREY,
    INK,
    LETTER,
    LINE,
    MARGIN,
    Sheet,
    hex_colour,
    legend_columns,
    shorten_middle,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD^vPX*<>"
LINES = "-", "--", "-.", ":"
COLOURS = 6  # suit the colour-blind and show on white; past them, the line changes
SHOWN_AS_HOURS = 7200  # seconds from which a budget's axis is labelled in hours

Metrics = Mapping[str, Any]  # what `vlm_itl.judges.metrics.judge_metrics` returns


def budget_curves(path: Path, runs: Sequence[FinishedRun], axis: str = "percent") -> None:
    """Plot test mIoU (%) against the budget: each arm's mean over seeds, and a standard deviation.

    Seeds of unequal budgets are interpolated between them, within their common range. The dashed
    and dotted lines are the mean of the runs' mIoU with all labels, and 95 % of it.

    axis: percent or seconds; seconds are drawn as hours where they make at least two
    Raises ValueError without runs.
    """
    if not runs:
        raise ValueError("budget curves: there are no runs to plot")
    arms = by_arm(runs)
    longest = max(run.budgets(axis)[-1] for run in runs)
    unit = 3600 if axis == "seconds" and longest >= SHOWN_AS_HOURS else 1
    sheet, axes = _sheet(list(arms))
    label = AXES[axis] if unit == 1 else "human labelling time (hours)"
    style_axes(axes, label, f"test mIoU (%), {_seeds_in_words(list(arms.values()))}")
    for index, (arm, members) in enumerate(arms.items()):
        budgets, values = _on_one_grid(members, axis)
        mean = 100 * values.mean(0)
        std = 100 * values.std(0, ddof=1) if len(values) > 1 else np.zeros(len(mean))
        look = _look(index)
        axes.plot(
            budgets / unit,
            mean,
            label=arm if _same_seeds(list(arms.values())) else f"{arm} (n = {len(members)})",
            linewidth=1.6,
            markersize=6,
            markeredgecolor="white",
            markevery=_marked(budgets, members, axis),
            **look,
        )
        axes.fill_between(
            budgets / unit, mean - std, mean + std, color=look["color"], alpha=0.15, linewidth=0
        )
    full = [run.full for run in runs if run.full is not None]
    if full:
        level = 100 * float(np.mean(full))
        axes.axhline(
            level, color=INK, linestyle="--", linewidth=1, label=f"all labels ({level:.1f})"
        )
        axes.axhline(
            REACH * level, color=GREY, linestyle=":", linewidth=1, label=f"{REACH:.0%} of it"
        )
    _legend(sheet, axes)
    sheet.save(path)


def _same_seeds(arms: Sequence[Sequence[FinishedRun]]) -> bool:
    """Whether all arms have equally many runs."""
    return len({len(members) for members in arms}) == 1


def _seeds_in_words(arms: Sequence[Sequence[FinishedRun]]) -> str:
    """Return what a curve is, for the label of its axis."""
    seeds = len(arms[0])
    if not _same_seeds(arms):
        return "mean ± std of seeds"
    return "one seed" if seeds == 1 else f"mean ± std of {seeds} seeds"


def _look(index: int) -> dict[str, Any]:
    """Return colour, marker and line of the arm or judge number `index`."""
    return {
        "color": hex_colour(index % COLOURS + 1),
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINES[index // COLOURS % len(LINES)],
    }


def _on_one_grid(members: Sequence[FinishedRun], axis: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the budgets [B] of all rounds in the members' common range, and their mIoU [S, B]."""
    low = max(run.budgets(axis)[0] for run in members)
    high = min(run.budgets(axis)[-1] for run in members)
    budgets = np.unique(np.concatenate([run.budgets(axis) for run in members]))
    budgets = budgets[(low <= budgets) & (budgets <= high)]
    return budgets, np.array(
        [[interpolation(run.budgets(axis), b) @ run.miou for b in budgets] for run in members]
    )


def _marked(budgets: np.ndarray, members: Sequence[FinishedRun], axis: str) -> list[int]:
    """Return which of `budgets` get a marker: the rounds of the first seed.

    Interpolated grids would be crowded.
    """
    return np.flatnonzero(np.isin(budgets, members[0].budgets(axis))).tolist()


def _sheet(names: Sequence[str], width: float = 7.2, height: float = 4.4) -> tuple[Sheet, "Axes"]:
    """Return a sheet with axes, and room below them for a legend of `names` and two more."""
    sheet = Sheet(width, height + LINE * (len(names) // 3))
    sheet.figure.set_layout_engine("constrained")
    return sheet, sheet.figure.subplots()


def _legend(sheet: Sheet, axes: "Axes") -> None:
    """Name what the axes show, below them."""
    handles, names = axes.get_legend_handles_labels()
    names = [shorten_middle(name, 60) for name in names]
    columns = min(4, legend_columns(names, sheet.width))
    sheet.legend(handles, names, loc="outside lower center", ncols=columns)


def win_matrix_figure(
    path: Path,
    arms: Sequence[str],
    shares: Sequence[Sequence[float | None]],
    significant: Collection[tuple[str, str]] = (),
) -> None:
    """Draw how often the arm of a row is above that of a column, as a table of percent.

    arms: names [A]; shares: [A][A] in [0, 1] or None, as from `comparison.win_matrix`
    significant: pairs (better, worse) of names, marked with a star
    Raises ValueError without arms.
    """
    if not arms:
        raise ValueError("win matrix: there are no arms to compare")
    cell, names = 0.62, [shorten_middle(arm, 24) for arm in arms]
    room = LETTER * max(map(len, names)) + 0.1
    left, top = MARGIN + room, MARGIN + LINE + room
    side, note = cell * len(arms), "% of seeds and budgets at which the row beats the column"
    sheet = Sheet(max(left + side + 2 * MARGIN, 5.0), top + side + MARGIN + LINE)
    sheet.text(MARGIN, MARGIN + LINE / 2, note, sheet.width - 2 * MARGIN, size=9, weight="bold")
    grid = np.array(
        [[np.nan if value is None else value for value in row] for row in shares], float
    )
    bounds = (
        left / sheet.width,
        1 - (top + side) / sheet.height,
        side / sheet.width,
        side / sheet.height,
    )
    axes = sheet.figure.add_axes(bounds)
    axes.imshow(np.ma.masked_invalid(grid), cmap="RdBu", vmin=-0.15, vmax=1.15)
    axes.set_xticks(range(len(arms)), names, rotation=90, fontsize=8, color=INK)
    axes.set_yticks(range(len(arms)), names, fontsize=8, color=INK)
    axes.tick_params(top=True, bottom=False, labeltop=True, labelbottom=False, length=0)
    axes.spines[:].set_visible(False)
    for row, column in np.argwhere(~np.isnan(grid)):
        star = "*" if (arms[row], arms[column]) in significant else ""
        share = grid[row, column]
        axes.text(
            column,
            row,
            f"{100 * share:.0f}{star}",
            ha="center",
            va="center",
            fontsize=9,
            color="white" if abs(share - 0.5) > 0.3 else INK,
        )
    sheet.text(
        MARGIN,
        sheet.height - MARGIN,
        "* area under the budget curve larger, p < 0.05 after Holm",
        sheet.width - 2 * MARGIN,
        size=7.5,
        color=GREY,
    )
    sheet.save(path)


def risk_coverage_figure(
    path: Path, judges: Mapping[str, Metrics], risk: float | None = None
) -> None:
    """Plot the share of bad masks among the accepted against the share accepted, for each judge.

    A dot marks where a judge's threshold lies.

    risk: the stated risk, drawn as a line
    Raises ValueError without judges.
    """
    if not judges:
        raise ValueError("risk-coverage: there are no judges to plot")
    sheet, axes = _sheet(list(judges), width=5.6, height=4.2)
    style_axes(axes, "coverage (% of masks accepted)", "risk (% bad among the accepted)")
    for index, (name, metrics) in enumerate(judges.items()):
        curve = 100 * np.array(metrics["risk_coverage"], float).reshape(-1, 2)
        look = _look(index)
        axes.plot(
            *curve.T,
            label=_with_number(name, "AURC", metrics["aurc"]),
            linewidth=1.6,
            color=look["color"],
            linestyle=look["linestyle"],
            marker=look["marker"] if len(curve) == 1 else None,
        )
        if metrics["purity"] is not None:
            axes.plot(
                100 * metrics["coverage"],
                100 * metrics["realised_risk"],
                marker="o",
                markersize=9,
                zorder=3,
                color=look["color"],
                markeredgecolor="white",
                clip_on=False,
            )
    if risk is not None:
        axes.axhline(
            100 * risk,
            color=INK,
            linestyle="--",
            linewidth=1,
            label=f"stated risk ({100 * risk:g} %)",
        )
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    _legend(sheet, axes)
    sheet.save(path)


def reliability_figure(path: Path, judges: Mapping[str, Metrics]) -> None:
    """Plot the share of good masks against the stated probability, for each judge.

    Large dots stand for many masks. Raises ValueError without judges.
    """
    if not judges:
        raise ValueError("reliability: there are no judges to plot")
    sheet, axes = _sheet(list(judges), width=5.0, height=4.6)
    style_axes(axes, "stated probability that the mask is good (%)", "good masks (%)")
    axes.plot([0, 100], [0, 100], color=FAINT, linestyle="--", linewidth=1)
    for index, (name, metrics) in enumerate(judges.items()):
        probability, share, count = np.array(metrics["reliability"], float).reshape(-1, 3).T
        look = _look(index)
        axes.plot(
            100 * probability,
            100 * share,
            linewidth=1.4,
            label=_with_number(name, "ECE", metrics["ece"]),
            color=look["color"],
            linestyle=look["linestyle"],
        )
        axes.scatter(
            100 * probability,
            100 * share,
            s=12 + 200 * count / max(count.sum(), 1),
            color=look["color"],
            edgecolors="white",
            linewidths=0.8,
            zorder=3,
        )
    axes.set_xlim(-2, 102)
    axes.set_ylim(-2, 102)
    axes.set_aspect("equal")
    _legend(sheet, axes)
    sheet.save(path)


def _with_number(name: str, measure: str, value: float | None) -> str:
    """Return a judge's name with a number of it in percent, where there is one."""
    return name if value is None else f"{name} ({measure} {100 * value:.1f})"
