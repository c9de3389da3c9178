"""Charts of numbers, each written as one PNG: cost against mIoU with its Pareto frontier, and the
losses of a run.

Drawn on the sheet of `plots.py`: without pyplot, so importing this changes no backend and works
without a display.
"""

import itertools

import numpy as np

from weakseg.reporting.style import ACCENT, FAINT, INK, Sheet, hex_colour, legend_columns, shorten

# Where a name may stand beside its point (right, up), the preferred place first.
DIRECTIONS = (1, 0.6), (1, -0.6), (-1, 0.6), (-1, -0.6), (1, 0), (-1, 0), (0, 1), (0, -1)


def pareto(costs, mious):
    """Return the indices of the runs that no run dominates, by rising cost.

    A run dominates another if it costs no more and scores no less, and one of the two strictly;
    equal runs stay together. Raises ValueError on NaN, which has no order.
    """
    costs, mious = np.asarray(costs, float), np.asarray(mious, float)
    if np.isnan(costs).any() or np.isnan(mious).any():
        raise ValueError("a run without a cost or a mIoU has no place on the Pareto frontier")
    dearer, better = costs[:, None] - costs, mious - mious[:, None]
    dominated = ((dearer >= 0) & (better >= 0) & ((dearer > 0) | (better > 0))).any(1)
    return sorted(np.flatnonzero(~dominated).tolist(), key=lambda index: (costs[index], index))


def cost_plot(path, runs, unit, reference=None):
    """Plot test mIoU against annotation cost, with intervals and the Pareto frontier.

    runs: dicts `name`, `cost` (in `unit`), `miou`, `low` and `high` (percent), and `other_cost`
    where a range of prices
        is drawn, from `cost` to it
    unit: label of the cost, such as "hours"; the axis is logarithmic where positive costs differ
    more than eightfold reference: mIoU of predicting background everywhere, in percent Raises
    ValueError without runs, or on NaN.
    """
    if not runs:
        raise ValueError("cost plot: there are no runs to plot")
    sheet = Sheet(7.2, 4.6)
    axes = sheet.figure.add_axes((0.09, 0.12, 0.88, 0.79))
    costs, mious = [run["cost"] for run in runs], [run["miou"] for run in runs]
    best = pareto(costs, mious)
    ranges = [(run["cost"], run.get("other_cost", run["cost"])) for run in runs]
    style_axes(axes, f"annotation cost ({unit})", "test mIoU (%)")
    _cost_axis(axes, [cost for ends in ranges for cost in ends])
    axes.hlines(mious, *zip(*ranges, strict=True), color=ACCENT, linewidth=5, alpha=0.25)
    steps = [(costs[index], mious[index]) for index in best] + [(axes.get_xlim()[1], max(mious))]
    axes.plot(
        *zip(*steps, strict=True),
        drawstyle="steps-post",
        color=ACCENT,
        linewidth=1.4,
        alpha=0.6,
        label="Pareto frontier",
    )
    if reference is not None:
        axes.axhline(
            reference, color=FAINT, linestyle=":", label=f"all background ({reference:.1f})"
        )
    dominated = [index for index in range(len(runs)) if index not in best]
    for index in (
        best + dominated
    ):  # the smaller, dominated dots last: a frontier dot beneath stays visible
        run, (colour, size) = runs[index], (FAINT, 5) if index in dominated else (ACCENT, 7)
        # The percentile interval of a few images may miss the value itself; a bar of negative
        # length is refused.
        ends = [[max(run["miou"] - run["low"], 0)], [max(run["high"] - run["miou"], 0)]]
        axes.errorbar(
            run["cost"],
            run["miou"],
            ends,
            fmt="o",
            markersize=size,
            markeredgecolor="white",
            color=colour,
            elinewidth=1.2,
            capsize=3,
            zorder=3,
            label="dominated" if index in dominated[:1] else None,
        )
    axes.margins(y=0.12)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.01),
        ncols=3,
        frameon=False,
        fontsize=8,
        labelcolor=INK,
    )
    _name_points(axes, runs, steps)
    sheet.save(path)


def budget_plot(path, lines, unit, other=None):
    """Plot test mIoU against annotation cost, a line for each kind of label, with intervals and the
    Pareto frontier.

    lines: dicts `name`, and lists `hours`, `miou`, `low`, `high` (percent) and `other_hours`, one
    entry a budget unit: label of the cost; other: name of the prices of `other_hours`, drawn as the
    end of a band where they differ Raises ValueError without lines.
    """
    if not lines:
        raise ValueError("budget plot: there are no lines to plot")
    sheet = Sheet(7.2, 4.8)
    axes = sheet.figure.add_axes((0.09, 0.11, 0.88, 0.72))
    costs, mious = ([value for line in lines for value in line[key]] for key in ("hours", "miou"))
    style_axes(axes, f"annotation cost ({unit})", "test mIoU (%)")
    _cost_axis(axes, costs + [hours for line in lines for hours in line["other_hours"] if other])
    for index, line in enumerate(lines):
        colour, marker = hex_colour(index + 1), "osD^vP"[index % 6]
        ends = np.abs(np.array([line["low"], line["high"]]) - line["miou"])
        axes.errorbar(
            line["hours"],
            line["miou"],
            ends,
            fmt=f"-{marker}",
            color=colour,
            label=line["name"],
            markeredgecolor="white",
            markersize=7,
            elinewidth=1,
            capsize=2.5,
            linewidth=1.6,
        )
        if other and not np.allclose(line["hours"], line["other_hours"]):
            axes.fill_betweenx(
                line["miou"],
                line["hours"],
                line["other_hours"],
                color=colour,
                alpha=0.08,
                linewidth=0,
            )
            axes.plot(
                line["other_hours"],
                line["miou"],
                f":{marker}",
                color=colour,
                markersize=4,
                linewidth=1.2,
                label=f"{line['name']}, by {other}",
            )
    steps = [(costs[index], mious[index]) for index in pareto(costs, mious)] + [
        (axes.get_xlim()[1], max(mious))
    ]
    axes.plot(
        *zip(*steps, strict=True),
        drawstyle="steps-post",
        color=INK,
        linewidth=4,
        alpha=0.15,
        zorder=0,
        label="frontier",
    )
    handles, names = axes.get_legend_handles_labels()
    sheet.figure.legend(
        handles,
        names,
        loc="upper center",
        ncols=legend_columns(names, sheet.width),
        frameon=False,
        fontsize=8,
        labelcolor=INK,
    )
    sheet.save(path)


def style_axes(axes, xlabel, ylabel):
    """Give axes the labels, grid and colours that all charts share."""
    axes.set_xlabel(xlabel, color=INK, fontsize=9, parse_math=False)
    axes.set_ylabel(ylabel, color=INK, fontsize=9)
    axes.tick_params(colors=INK, labelsize=8, length=3)
    axes.grid(color="#e6e8ec", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(FAINT)


def _cost_axis(axes, costs):
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


def _name_points(axes, runs, steps):
    """Write each run's name at the first place around its point that covers no error bar, step or
    other name.
    """
    from matplotlib.transforms import Bbox

    axes.autoscale_view()  # matplotlib would do so only when it draws, after the places are chosen
    renderer, to_pixels = axes.figure.canvas.get_renderer(), axes.transData.transform
    frame = axes.get_window_extent(renderer)
    bars = [to_pixels([(run["cost"], run[end]) for end in ("low", "miou", "high")]) for run in runs]
    taken = [Bbox([low, high]).padded(6) for low, _, high in bars]
    for (x0, y0), (x1, y1) in itertools.pairwise(to_pixels(steps)):
        taken += [Bbox([[x0, y0], [x1, y0]]).padded(1), Bbox([[x1, y0], [x1, y1]]).padded(1)]
    for run, bar in zip(runs, bars, strict=True):
        text = axes.text(
            0,
            0,
            shorten(run["name"], 36),
            fontsize=8,
            color=INK,
            ha="center",
            va="center",
            transform=None,
            parse_math=False,
        )
        places = [
            Bbox(corners) for corners in _places(bar, text.get_window_extent(renderer).size + 4)
        ]
        # Outside the frame is worse than any overlap; among equals `min` takes the first, which is
        # the nearest.
        place = min(
            places,
            key=lambda box: (
                (Bbox.union([box, frame]).size > frame.size).any() * 1000
                + box.count_overlaps(taken)
            ),
        )
        text.set_position(place.min + place.size / 2)
        taken.append(place)


def _places(bar, size):
    """Yield the corners [2, 2] of places for a name of `size` pixels around a point, then the ends
    of its error bar.

    bar: lower end, point and upper end, [3, 2] in pixels
    """
    for far in (9, 16, 24, 34, 46):
        for to_end in (0, 1):
            for right, up in DIRECTIONS:
                centre = bar[1 + to_end * round(up)] + np.multiply((right, up), size / 2 + far)
                yield centre - size / 2, centre + size / 2


def loss_curves(path, log):
    """Plot the losses of a run, and its validation mIoU, against the epoch.

    log: dicts `epoch`, `loss`, `terms` {name: float}, `val_loss`, `val_miou`, `weak_val_loss` (None
    where not measured;
        mIoU is drawn in the unit it comes in) and `selected`; the last selected epoch is marked
    Raises ValueError without epochs.
    """
    if not log:
        raise ValueError("loss curves: the log holds no epoch")
    sheet = Sheet(9.6, 4.0)
    sheet.figure.set_layout_engine("constrained")
    losses, quality = sheet.figure.subplots(1, 2)
    whole = {
        "loss": ("training loss", "-o"),
        "val_loss": ("validation loss", "--s"),
        "weak_val_loss": ("validation loss, weak labels", ":^"),
    }
    for key, (name, line) in whole.items():
        _curve(losses, log, [entry[key] for entry in log], line, label=name, color=INK, linewidth=2)
    for label, name in enumerate(
        dict.fromkeys(name for entry in log for name in entry["terms"]), start=1
    ):
        _curve(
            losses,
            log,
            [entry["terms"].get(name) for entry in log],
            label=name,
            color=hex_colour(label),
            linewidth=1.2,
        )
    if not _curve(quality, log, [entry["val_miou"] for entry in log], color=ACCENT, linewidth=2):
        quality.text(
            0.5, 0.5, "not measured", transform=quality.transAxes, ha="center", color=FAINT
        )
    for axes, ylabel in ((losses, "loss"), (quality, "validation mIoU")):
        style_axes(axes, "epoch", ylabel)
        axes.set_xlim(log[0]["epoch"] - 0.5, log[-1]["epoch"] + 0.5)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        for epoch in [entry["epoch"] for entry in log if entry["selected"]][-1:]:
            axes.axvline(
                epoch,
                color="#d55e00",
                linewidth=1,
                linestyle="-.",
                label=f"selected: epoch {epoch}",
            )
    handles, names = losses.get_legend_handles_labels()
    sheet.figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=legend_columns(names, sheet.width),
        frameon=False,
        fontsize=8,
        labelcolor=INK,
    )
    sheet.save(path)


def _curve(axes, log, values, line="-o", **style):
    """Draw the measured ones of `values`, one for each epoch, bridging the others; return how many
    there are.
    """
    points = [
        (entry["epoch"], value)
        for entry, value in zip(log, values, strict=True)
        if value is not None
    ]
    if points:
        axes.plot(
            *zip(*points, strict=True), line, markersize=4 if len(points) <= 20 else 0, **style
        )
    return len(points)
