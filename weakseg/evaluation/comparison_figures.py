"""Figures of two groups of runs, each written as one PNG: completeness, failure modes, images side
by side.
"""

import numpy as np

from weakseg.evaluation.comparison_text import bins
from weakseg.evaluation.error_modes import MODES
from weakseg.reporting.charts import style_axes
from weakseg.reporting.pictures import comparison_figure, draw_annotation, pictures
from weakseg.reporting.style import FAINT, INK, Sheet, hex_colour, shorten
from weakseg.reporting.tables import percent

COLOURS = hex_colour(1), hex_colour(2)


def completeness_figure(path, found):
    """Plot the covered share of objects against the distance from the clicks, and what B adds, with
    intervals.

    Raises ValueError where no object was clicked.
    """
    values = found["overall"]["covered_by_distance"]
    if not any(values):
        raise ValueError("completeness: no object was clicked")
    _pairs(
        path,
        found,
        bins(),
        values,
        "object covered (%)",
        "distance from the nearest click, in object sizes",
    )


def failures_figure(path, found):
    """Plot the erring pixels of each failure mode, as a share of all pixels, and what B adds, with
    intervals.
    """
    _pairs(
        path,
        found,
        list(MODES),
        found["overall"]["modes"],
        "share of all pixels (%)",
        "failure mode",
    )


def _pairs(path, found, names, values, ylabel, xlabel):
    """Draw bars of A and B for each name, and below them the differences with their intervals."""
    sheet = Sheet(7.2, 4.6)
    sheet.figure.set_layout_engine("constrained")
    upper, lower = sheet.figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    places = np.arange(len(names))
    for shift, key, colour in ((-0.2, "a", COLOURS[0]), (0.2, "b", COLOURS[1])):
        heights = [100 * value[key] if value else np.nan for value in values]
        upper.bar(
            places + shift, heights, 0.38, color=colour, label=shorten(found[key]["title"], 40)
        )
    for place, value in zip(places, values, strict=True):
        if value is None:
            continue
        if value["low"] is not None:
            lower.plot(
                [place, place], [100 * value["low"], 100 * value["high"]], color=INK, linewidth=1.4
            )
        lower.plot(
            place, 100 * value["difference"], "o", color=INK, markeredgecolor="white", markersize=6
        )
    lower.axhline(0, color=FAINT, linewidth=1, linestyle="--")
    style_axes(upper, "", ylabel)
    style_axes(lower, xlabel, "B - A (points)")
    lower.set_xticks(places, names)
    sheet.figure.legend(
        loc="outside upper left", ncols=2, frameon=False, fontsize=8, labelcolor=INK
    )
    sheet.save(path)


def tag_line(example):
    """Return '; tags cat' where the runs were told tags."""
    return f"; tags {', '.join(example['tags'])}" if example["tags"] else ""


def examples_figure(path, found, examples):
    """Draw the images where B gains or loses most: photograph with annotations, truth, A, B.

    examples: dicts `image` (id), `gain`, `a` and `b` (mIoU or None), `photo` uint8 [H, W, 3],
    `masks` (truth, A, B:
        uint8 [H, W]), `annotation` and `tags`
    """
    rows = [
        {
            "label": f"{e['image']}: {percent(e['gain'], '+')} points{tag_line(e)}",
            "image": e["photo"],
            "masks": e["masks"],
            "annotation": e["annotation"],
            "notes": [None, f"mIoU {percent(e['a'])}", f"mIoU {percent(e['b'])}"],
        }
        for e in examples
    ]
    columns = ["Annotations", "Ground truth", found["a"]["title"], found["b"]["title"]]
    comparison_figure(path, columns, rows, found["classes"])


def example_tiles(folder, index, example, width=2.7):
    """Draw an example as four pictures of their own -> their names in `folder`."""
    names = [f"{index:02}_{what}.png" for what in ("photo", "truth", "a", "b")]
    rows, columns = example["photo"].shape[:2]
    height = width * rows / columns
    shown = pictures({"image": example["photo"], "masks": example["masks"]})
    for name, picture in zip(names, shown, strict=True):
        sheet = Sheet(width, height)
        axes, scale = sheet.picture(picture, 0, 0, width, height, (rows, columns))
        if name == names[0]:
            draw_annotation(axes, example["annotation"], scale)
        sheet.save(folder / name)
    return names
