"""The figure of a session of questions: what was reached, and what it was thought to be."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from weakseg.reporting.charts import style_axes
from weakseg.reporting.style import ACCENT, INK, LINE, Look, Sheet

WIDTH, HEIGHT = 7.2, 4.0  # inches
GUESS = "#d55e00"  # colour of the estimate


def asking_plot(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Plot mIoU over the minutes of a person, with the number of answers above.

    rows: dicts `answers`, `minutes`, `miou`, `low`, `high` and, where it was estimated, `estimate`
    {"miou": [point, low, high]} and `truth`; all scores in percent. Raises ValueError without rows.
    """
    if not rows:
        raise ValueError("asking plot: there are no rows to plot")
    sheet = Sheet(WIDTH, HEIGHT + LINE)
    axes = sheet.figure.add_axes((0.09, 0.14, 0.88, 0.66))
    minutes = [row["minutes"] for row in rows]
    style_axes(axes, "minutes of a person", "mIoU (%)")
    if min(minutes) > 0 and max(minutes) > 4 * min(minutes):
        axes.set_xscale("log")
        axes.set_xticks(minutes, [f"{value:.0f}" for value in minutes])
        axes.minorticks_off()

    # What the model reaches on the test images.
    scores = [row["miou"] for row in rows]
    ends = [
        [max(row["miou"] - row["low"], 0) for row in rows],
        [max(row["high"] - row["miou"], 0) for row in rows],
    ]
    look: Look = {"markeredgecolor": "white", "markersize": 7, "elinewidth": 1, "capsize": 2.5}
    handles: list[Any] = [
        axes.errorbar(
            minutes, scores, ends, fmt="-o", color=ACCENT, label="test images, by masks", **look
        )
    ]

    # What the random answers said, and what was true of it.
    guessed = [row for row in rows if row.get("estimate", {}).get("miou")]
    if guessed:
        at = [row["minutes"] for row in guessed]
        points, low, high = zip(*(row["estimate"]["miou"] for row in guessed), strict=True)
        handles.append(
            axes.fill_between(
                at, low, high, color=GUESS, alpha=0.15, linewidth=0, label="its 95 % interval"
            )
        )
        handles[1:1] = axes.plot(
            at, points, ":s", color=GUESS, markersize=5, label="estimate, by random answers"
        )
        truths = [row["truth"] for row in guessed]
        handles += axes.plot(
            at, truths, "x", color=INK, markersize=6, label="what it is an estimate of"
        )

    above = axes.secondary_xaxis("top")
    above.set_xticks(minutes, [f"{row['answers']:,}" for row in rows])
    above.minorticks_off()
    above.set_xlabel("answers", color=INK, fontsize=9)
    above.tick_params(colors=INK, labelsize=8, length=3)
    axes.spines["top"].set_visible(True)
    sheet.legend(handles, [handle.get_label() for handle in handles], loc="upper center")
    sheet.save(path)
