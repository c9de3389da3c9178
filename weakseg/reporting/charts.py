"""Charts of numbers: mIoU over annotation cost with its Pareto frontier, and the losses of a run.

They are drawn on a `Sheet`, so importing this changes no backend of matplotlib.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from weakseg.reporting.placement import name_points
from weakseg.reporting.style import (
    ACCENT,
    FAINT,
    INK,
    LINE,
    Look,
    Sheet,
    hex_colour,
    legend_columns,
    shorten_middle,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD^vP"
LONGEST_NAME = 44  # letters
SELECTED = "#d55e00"  # colour of the epoch that was selected
LEFT, RIGHT, BELOW, ABOVE = 0.65, 0.22, 0.55, 0.41  # inches around the axes of a chart
WHOLE_LOSSES = {
    "loss": ("training loss", "-o"),
    "val_loss": ("validation loss", "--s"),
    "weak_val_loss": ("validation loss, weak labels", ":^"),
}


@dataclass(frozen=True)
class CostPoint:
    """One kind of supervision in a plot of mIoU over cost; mIoU in percent, with its interval.

    other_cost: by other prices; the cost is drawn as a range up to it. None: as `cost`
    """

    name: str
    cost: float
    miou: float
    low: float
    high: float
    other_cost: float | None = None


def pareto(costs: Sequence[float], mious: Sequence[float]) -> list[int]:
    """Return the indices of the runs that no run dominates, by rising cost.

    A run dominates another if it costs no more and scores no less, and one of the two strictly;
    equal runs stay together. Raises ValueError on NaN, which has no order.
    """
    cost, miou = np.asarray(costs, float), np.asarray(mious, float)
    if np.isnan(cost).any() or np.isnan(miou).any():
        raise ValueError("a run without a cost or a mIoU has no place on the Pareto frontier")
    dearer, better = cost[:, None] - cost, miou - miou[:, None]
    dominated = ((dearer >= 0) & (better >= 0) & ((dearer > 0) | (better > 0))).any(1)
    return sorted(np.flatnonzero(~dominated).tolist(), key=lambda index: (costs[index], index))


def cost_plot(
    path: Path,
    points: Sequence[CostPoint],
    unit: str,
    reference: float | None = None,
    reference_name: str = "all background",
) -> None:
    """Draw `cost_chart` as a PNG."""
    cost_chart(points, unit, reference, reference_name).save(path)


def cost_chart(
    points: Sequence[CostPoint],
    unit: str,
    reference: float | None = None,
    reference_name: str = "all background",
) -> Sheet:
    """Plot test mIoU over annotation cost, with intervals and the Pareto frontier.

    unit: of the cost, such as "hours"; the axis is logarithmic where positive costs differ more
    than eightfold. reference: mIoU of a prediction that needs no label, in percent, and what it is
    called. Raises ValueError without points, or on NaN.
    """
    if not points:
        raise ValueError("cost plot: there are no runs to plot")
    sheet = Sheet(7.2, 4.6)
    axes = _axes(sheet)
    style_axes(axes, f"annotation cost ({unit})", "test mIoU (%)")

    # The axis of costs, with the ranges between two kinds of prices.
    costs, mious = [point.cost for point in points], [point.miou for point in points]
    others = [point.cost if point.other_cost is None else point.other_cost for point in points]
    best = pareto(costs, mious)
    _cost_axis(axes, [*costs, *others])
    axes.hlines(mious, costs, others, color=ACCENT, linewidth=5, alpha=0.25)

    # The frontier, and what needs no label at all.
    steps = [(costs[index], mious[index]) for index in best] + [(axes.get_xlim()[1], max(mious))]
    frontier: Look = {"color": ACCENT, "linewidth": 1.4, "alpha": 0.6, "label": "Pareto frontier"}
    axes.plot(*zip(*steps, strict=True), drawstyle="steps-post", **frontier)
    lines = [steps]
    if reference is not None:
        label = f"{shorten_middle(reference_name, LONGEST_NAME)} ({reference:.1f})"
        axes.axhline(reference, color=FAINT, linestyle=":", label=label)
        lines.append([(x, reference) for x in axes.get_xlim()])

    # The smaller, dominated dots last: a dot of the frontier beneath them stays visible.
    dominated = [index for index in range(len(points)) if index not in best]
    for index in best:
        _point(axes, points[index], color=ACCENT, markersize=7)
    for index in dominated:
        once = {"label": "dominated"} if index == dominated[0] else {}
        _point(axes, points[index], color=FAINT, markersize=5, **once)

    axes.margins(y=0.12)
    axes.autoscale_view()  # else only when drawn, after the places of the names are chosen
    above: Look = {"loc": "lower left", "bbox_to_anchor": (0, 1.01), "ncols": 3}
    axes.legend(**above, frameon=False, fontsize=8, labelcolor=INK)
    bars = np.array([[(p.cost, p.low), (p.cost, p.miou), (p.cost, p.high)] for p in points])
    name_points(axes, [shorten_middle(point.name, LONGEST_NAME) for point in points], bars, lines)
    return sheet


def _axes(sheet: Sheet, above: float = ABOVE) -> "Axes":
    """Return the axes of a chart, with room for their labels and, above, for a legend."""
    left, bottom = LEFT / sheet.width, BELOW / sheet.height
    right, top = 1 - RIGHT / sheet.width, 1 - above / sheet.height
    return sheet.figure.add_axes((left, bottom, right - left, top - bottom))


def _point(axes: "Axes", point: CostPoint, **style: Any) -> None:
    """Draw a dot with its interval."""
    # The percentile interval of few images may miss the value itself, and matplotlib refuses a bar
    # of negative length.
    ends = [[max(point.miou - point.low, 0)], [max(point.high - point.miou, 0)]]
    usual: Look = {
        "fmt": "o",
        "markeredgecolor": "white",
        "elinewidth": 1.2,
        "capsize": 3,
        "zorder": 3,
    }
    axes.errorbar(point.cost, point.miou, ends, **{**usual, **style})


def budget_plot(
    path: Path, lines: Sequence[Mapping[str, Any]], unit: str, other: str | None = None
) -> None:
    """Plot test mIoU over annotation cost, a line for each kind of label, with intervals.

    lines: dicts `name`, and lists `hours`, `miou`, `low`, `high` (percent) and, with `other`,
    `other_hours`, one entry a budget. unit: of the cost. other: name of their prices, drawn as the
    end of a band where they differ. Raises ValueError without lines.
    """
    if not lines:
        raise ValueError("budget plot: there are no lines to plot")
    # The sheet grows with the legend that stands above the axes.
    names = [str(line["name"]) for line in lines]
    names += [f"{name}, by {other}" for name in names if other] + ["frontier"]
    above = LINE * math.ceil(len(names) / legend_columns(names, 7.2)) + 0.1
    sheet = Sheet(7.2, 4.0 + above)
    axes = _axes(sheet, above)
    costs, mious = ([value for line in lines for value in line[key]] for key in ("hours", "miou"))
    others = [hours for line in lines if other for hours in line["other_hours"]]
    style_axes(axes, f"annotation cost ({unit})", "test mIoU (%)")
    _cost_axis(axes, costs + others)

    # One line a kind of label, with a band to what it costs by other prices.
    handles: list[Any] = []
    for index, line in enumerate(lines):
        look: Look = {"color": hex_colour(index + 1)}
        marker = MARKERS[index % len(MARKERS)]
        ends = np.abs(np.array([line["low"], line["high"]]) - line["miou"])
        bars: Look = {"markeredgecolor": "white", "markersize": 7, "elinewidth": 1, "capsize": 2.5}
        style: Look = {"fmt": f"-{marker}", "linewidth": 1.6, "label": line["name"]}
        handles.append(axes.errorbar(line["hours"], line["miou"], ends, **style, **bars, **look))
        if other and not np.allclose(line["hours"], line["other_hours"]):
            x, other_x, y = line["hours"], line["other_hours"], line["miou"]
            axes.fill_betweenx(y, x, other_x, alpha=0.08, linewidth=0, **look)
            look |= {"markersize": 4, "linewidth": 1.2, "label": f"{line['name']}, by {other}"}
            handles += axes.plot(other_x, y, f":{marker}", **look)

    # The frontier of all budgets and labels.
    steps = [(costs[index], mious[index]) for index in pareto(costs, mious)]
    steps.append((axes.get_xlim()[1], max(mious)))
    frontier: Look = {"color": INK, "linewidth": 4, "alpha": 0.15, "zorder": 0, "label": "frontier"}
    handles += axes.plot(*zip(*steps, strict=True), drawstyle="steps-post", **frontier)
    sheet.legend(handles, [handle.get_label() for handle in handles], loc="upper center")
    sheet.save(path)


def style_axes(axes: "Axes", xlabel: str, ylabel: str) -> None:
    """Give axes the labels, grid and colours that all charts share."""
    axes.set_xlabel(xlabel, color=INK, fontsize=9)
    axes.set_ylabel(ylabel, color=INK, fontsize=9)
    axes.tick_params(colors=INK, labelsize=8, length=3)
    axes.grid(color="#e6e8ec", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(FAINT)


def _cost_axis(axes: "Axes", costs: Sequence[float]) -> None:
    """Set scale, limits and ticks of the cost axis, with room for names beside the outer points."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = min(costs), max(costs)
    if low > 0 and high > 8 * low:
        axes.set_xscale("log")
        room = (high / low) ** 0.1
        axes.set_xlim(low / room, high * room)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 2000 * low else (1,)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
    else:
        room = 0.12 * (high - low) or 0.5 * abs(high) or 1
        axes.set_xlim(low - room, high + room)


def loss_curves(path: Path, log: Sequence[Mapping[str, Any]]) -> None:
    """Plot the losses of a run, and its validation mIoU, over the epochs.

    log: dicts `epoch`, `loss`, `terms` {name: float}, `val_loss`, `val_miou`, `weak_val_loss` (None
    where not measured; mIoU in the unit it comes in) and `selected`. The last selected epoch is
    marked. What is damaged in a log counts as not measured. Raises ValueError without epochs.
    """
    if not log:
        raise ValueError("loss curves: the log holds no epoch")
    sheet = Sheet(9.6, 4.0)
    sheet.figure.set_layout_engine("constrained")
    losses, quality = sheet.figure.subplots(1, 2)

    # Left: the whole losses, then their terms. Right: mIoU.
    for key, (name, line) in WHOLE_LOSSES.items():
        _curve(
            losses, log, [entry.get(key) for entry in log], line, label=name, color=INK, linewidth=2
        )
    tables = [entry.get("terms") for entry in log]
    told = [table if isinstance(table, Mapping) else {} for table in tables]
    terms = dict.fromkeys(name for table in told for name in table)
    for label, name in enumerate(terms, start=1):
        values = [table.get(name) for table in told]
        _curve(losses, log, values, label=name, color=hex_colour(label), linewidth=1.2)
    if not _curve(
        quality, log, [entry.get("val_miou") for entry in log], color=ACCENT, linewidth=2
    ):
        middle: Look = {"transform": quality.transAxes, "ha": "center", "color": FAINT}
        quality.text(0.5, 0.5, "not measured", **middle)

    # Both: the epochs, and the one that was selected.
    for axes, ylabel in ((losses, "loss"), (quality, "validation mIoU")):
        style_axes(axes, "epoch", ylabel)
        axes.set_xlim(log[0]["epoch"] - 0.5, log[-1]["epoch"] + 0.5)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        for epoch in [entry["epoch"] for entry in log if entry["selected"]][-1:]:
            dashes: Look = {"color": SELECTED, "linewidth": 1, "linestyle": "-."}
            axes.axvline(epoch, label=f"selected: epoch {epoch}", **dashes)
    sheet.legend(*losses.get_legend_handles_labels(), loc="outside lower center")
    sheet.save(path)


def _curve(
    axes: "Axes",
    log: Sequence[Mapping[str, Any]],
    values: Sequence[Any],
    line: str = "-o",
    **style: Any,
) -> int:
    """Draw those of `values`, one an epoch, that are numbers; return how many there are."""
    pairs = zip(log, values, strict=True)
    points = [(entry["epoch"], value) for entry, value in pairs if isinstance(value, int | float)]
    if points:
        size = 4 if len(points) <= 20 else 0
        axes.plot(*zip(*points, strict=True), line, markersize=size, **style)
    return len(points)
