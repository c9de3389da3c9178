"""Figures of a comparison: completeness, failure modes, all differences, images side by side."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from weakseg.evaluation.comparison_text import (
    Analysis,
    Estimate,
    Row,
    direction,
    distance_names,
    estimate_cells,
)
from weakseg.evaluation.error_modes import MODES
from weakseg.reporting.charts import style_axes
from weakseg.reporting.pictures import comparison_figure, draw_annotation, pictures
from weakseg.reporting.style import (
    ACCENT,
    FAINT,
    GREY,
    INK,
    LETTER,
    Look,
    Sheet,
    hex_colour,
    shorten_middle,
)
from weakseg.reporting.tables import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BARS = {"a": (-0.2, hex_colour(1)), "b": (0.2, hex_colour(2))}  # shift and colour of each group
DOT: Look = {"markeredgecolor": "white", "markersize": 6}
ROW = 0.21  # inches of a row of the chart of differences
LONGEST_NAME = 40  # letters


@dataclass(frozen=True)
class Example:
    """A test image to show: what both groups predicted, and what an annotator would have said.

    gain: of B over A; a, b: mean mIoU of each, None without one. photo: uint8 [H, W, 3].
    masks: truth, A, B, each uint8 [H, W]. annotation: as `draw_annotation` takes it.
    has_background: whether class 0 is one
    """

    image: str
    gain: float
    a: float | None
    b: float | None
    photo: np.ndarray
    masks: Sequence[np.ndarray]
    annotation: dict[str, Any]
    tags: Sequence[str]
    has_background: bool = True

    def described(self) -> dict[str, Any]:
        """Return what analysis.json says of it."""
        return {key: getattr(self, key) for key in ("image", "gain", "a", "b", "tags")}


def completeness_figure(path: Path, analysis: Analysis) -> None:
    """Plot the covered share of objects over the distance from the clicks, and what B adds.

    Raises ValueError where no object was clicked.
    """
    values = analysis["overall"]["covered_by_distance"]
    if not any(values):
        raise ValueError("completeness: no object was clicked")
    labels = "distance from the nearest click, in object sizes", "object covered (%)"
    _bars_and_differences(path, analysis, distance_names(), values, labels)


def failures_figure(path: Path, analysis: Analysis) -> None:
    """Plot the erring pixels of each failure mode, as a share of all pixels, and what B adds."""
    labels = "failure mode", "share of all pixels (%)"
    _bars_and_differences(path, analysis, list(MODES), analysis["overall"]["modes"], labels)


def _bars_and_differences(
    path: Path,
    analysis: Analysis,
    names: Sequence[str],
    estimates: Sequence[Estimate | None],
    labels: tuple[str, str],
) -> None:
    """Draw bars of A and B for each name, and below them the differences with their intervals.

    labels: of the x and the y axis
    """
    sheet = Sheet(7.2, 4.6)
    sheet.figure.set_layout_engine("constrained")
    upper, lower = sheet.figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    places = np.arange(len(names))
    for key, (shift, colour) in BARS.items():
        heights = [100 * value[key] if value else np.nan for value in estimates]
        title = shorten_middle(f"{key.upper()}: {analysis[key]['title']}", LONGEST_NAME)
        upper.bar(places + shift, heights, 0.38, color=colour, label=title)
    for place, value in zip(places, estimates, strict=True):
        if value is None:
            continue
        if value["low"] is not None:
            ends = [100 * value["low"], 100 * value["high"]]
            lower.plot([place, place], ends, color=INK, linewidth=1.4)
        lower.plot(place, 100 * value["difference"], "o", color=INK, **DOT)
    lower.axhline(0, color=FAINT, linewidth=1, linestyle="--", zorder=1)
    style_axes(upper, "", labels[1])
    style_axes(lower, labels[0], "B \N{MINUS SIGN} A (points)")
    lower.set_xticks(places, names)
    sheet.legend(*upper.get_legend_handles_labels(), loc="outside upper left")
    sheet.save(path)


def forest_chart(rows: Sequence[Row]) -> Sheet:
    """Draw all differences with their intervals, one below the other, around a line at zero.

    Their numbers stand beside them. Filled dots: the interval excludes zero.
    """
    # Sections are set apart by half a row.
    sections = [section for section, _, _ in rows]
    gaps = [0.5 * (one != two) for one, two in itertools.pairwise(sections)]
    places = np.arange(len(rows)) + np.cumsum([0, *gaps])
    names = [shorten_middle(name, LONGEST_NAME) for _, name, _ in rows]
    sheet = Sheet(7.2, ROW * (places[-1] + 1) + 0.7)

    # Names to the left, numbers to the right, a row of fixed height each.
    left, right = LETTER * max(map(len, names)) + 0.2, 1.75
    width, height = sheet.width - left - right, ROW * (places[-1] + 1)
    box = left / sheet.width, 0.55 / sheet.height, width / sheet.width, height / sheet.height
    axes = sheet.figure.add_axes(box)
    numbers = [_difference_words(estimate) for _, _, estimate in rows]
    for place, (_, _, estimate) in zip(places, rows, strict=True):
        _difference(axes, place, estimate)
    style_axes(axes, "B \N{MINUS SIGN} A, points (95 % interval)", "")
    axes.axvline(0, color=FAINT, linewidth=1, linestyle="--", zorder=1)
    axes.set_xlim(*_symmetric([estimate for _, _, estimate in rows]))
    axes.set_ylim(places[-1] + 0.5, -0.5)
    axes.set_yticks(places, names)
    axes.grid(False, axis="y")
    beside = axes.twinx()
    beside.set_ylim(axes.get_ylim())
    beside.set_yticks(places, numbers, fontsize=8, color=INK)
    for each in (axes, beside):
        each.tick_params(axis="y", length=0)
        each.spines[["left", "right", "top"]].set_visible(False)
    beside.spines["bottom"].set_visible(False)
    return sheet


def _difference(axes: "Axes", place: float, estimate: Estimate) -> None:
    """Draw a difference and its interval in a row."""
    sure = direction(estimate) != 0
    colour = ACCENT if sure else GREY
    if estimate["low"] is not None:
        ends = [100 * estimate["low"], 100 * estimate["high"]]
        axes.plot(ends, [place, place], color=colour, linewidth=1.4, zorder=2)
    face = colour if sure else "white"
    style: Look = {"color": colour, "markerfacecolor": face, "markersize": 5, "zorder": 3}
    axes.plot(100 * estimate["difference"], place, "o", **style)


def _difference_words(estimate: Estimate) -> str:
    """Return '+1.2 (+0.3 to +2.1)'."""
    _, _, difference, interval, _ = estimate_cells(estimate)
    return difference if interval == "-" else f"{difference} ({interval})"


def _symmetric(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """Return limits in points, as far to both sides of zero, within which all intervals lie."""
    keys = "difference", "low", "high"
    ends = [100 * e[key] for e in estimates for key in keys if e[key] is not None]
    reach = 1.08 * max(map(abs, ends)) or 1.0
    return -reach, reach


def examples_figure(path: Path, analysis: Analysis, examples: Sequence[Example]) -> None:
    """Draw the images where B gains or loses most: photograph with annotations, truth, A, B."""
    rows = [
        {
            "label": f"{e.image}: {percent(e.gain, '+')} points{_tag_words(e)}",
            "image": e.photo,
            "masks": e.masks,
            "annotation": e.annotation,
            "notes": [None, f"mIoU {percent(e.a)}", f"mIoU {percent(e.b)}"],
        }
        for e in examples
    ]
    titles = [analysis[key]["title"] for key in "ab"]
    columns, has_background = ["Annotations", "Ground truth", *titles], analysis["has_background"]
    comparison_figure(path, columns, rows, analysis["classes"], has_background)


def _tag_words(example: Example) -> str:
    """Return '; tags cat' where the runs were told tags."""
    return f"; tags {', '.join(example.tags)}" if example.tags else ""


def example_tiles(folder: Path, index: int, example: Example, width: float = 2.7) -> list[str]:
    """Draw an example as four pictures of their own, and return their names in `folder`.

    width: of each, inches
    """
    names = [f"{index:02}_{part}.png" for part in ("photo", "truth", "a", "b")]
    rows, columns = example.photo.shape[:2]
    height = width * rows / columns
    shown = pictures({"image": example.photo, "masks": example.masks}, example.has_background)
    for name, picture in zip(names, shown, strict=True):
        sheet = Sheet(width, height)
        axes, scale = sheet.picture(picture, 0, 0, width, height, (rows, columns))
        if name == names[0]:
            draw_annotation(axes, example.annotation, scale)
        sheet.save(folder / name)
    return names
