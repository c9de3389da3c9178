"""Photographs with masks and annotations drawn on them, and figures of such pictures."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

from weakseg.common import IGNORE, atomic_path
from weakseg.reporting.style import (
    GAP,
    GREY,
    LINE,
    MARGIN,
    Look,
    Sheet,
    colourise,
    hex_colour,
    palette,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BADGE = {"boxstyle": "round,pad=0.25", "facecolor": "black", "alpha": 0.6, "linewidth": 0}
BACKGROUND_COLOUR = "#bdbdbd"  # of a greyed photograph, in the legend
CELL, TILE = 1.75, 2.4  # inches: width of a cell of a comparison, and of a tile of a preview


def write_mask(path: Path, mask: np.ndarray, num_classes: int) -> None:
    """Write a mask of classes, uint8 [H, W], as a palette PNG in the colours of all figures."""
    picture = Image.fromarray(mask)
    picture.putpalette(palette(num_classes).tobytes())
    with atomic_path(path) as temporary:
        picture.save(temporary)


def overlay(
    image: np.ndarray, mask: np.ndarray, alpha: float = 0.55, has_background: bool = True
) -> np.ndarray:
    """Tint an image with the classes of a mask and outline them, uint8 [H, W, 3].

    image: uint8 [H, W, 3]; mask: uint8 [H, W], its background (0), if there is one, stays clear;
    alpha: strength of the tint in [0, 1]. Raises ValueError if the two differ in size.
    """
    if image.shape[:2] != mask.shape:
        raise ValueError(f"image {image.shape[:2]} and mask {mask.shape} differ in size")
    thickness = 1 + 2 * max(1, max(mask.shape) // 200)
    kernel = np.ones((thickness, thickness), np.uint8)
    outline = cv2.dilate(mask, kernel) != cv2.erode(mask, kernel)
    is_clear = (mask == 0) & has_background
    strength = np.where(is_clear, 0, np.where(outline & (mask != IGNORE), 1, alpha))[..., None]
    return np.rint(image * (1 - strength) + colourise(mask) * strength).astype(np.uint8)


def thumbnail(image: np.ndarray, side: int = 500) -> np.ndarray:
    """Shrink an image [H, W, 3] to `side` pixels on its longer side, finer than a figure's cell."""
    shrink = min(1.0, side / max(image.shape[:2]))
    size = [max(1, round(length * shrink)) for length in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _cell_height(image: np.ndarray, width: float) -> float:
    """Return the height of a cell for an image: its own, within limits that keep a page readable.

    width: of the cell, in inches as the height
    """
    return width * min(max(image.shape[0] / image.shape[1], 0.3), 1.5)


def comparison_figure(
    path: str | Path,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    classes: Sequence[str],
    has_background: bool = True,
) -> None:
    """Draw one row an image: the photograph, then each mask over a greyed copy of it.

    columns: titles, the first for the photograph; behind a line break stands a smaller one
    rows: dicts `label` (str), `image` uint8 [H, W, 3], `masks` (for each further column uint8
        [h, w], resized to the image by NEAREST), `notes` (for each mask a str or None) and, to draw
        over the photograph, an optional `annotation` as `draw_annotation` takes it
    classes: class names; those that occur are in the legend
    has_background: whether class 0 is one, which stays clear
    Raises ValueError without rows or where masks, notes and columns differ in number.
    """
    masks = len(columns) - 1
    if not rows or any({len(row["masks"]), len(row["notes"])} != {masks} for row in rows):
        raise ValueError(f"comparison figure: it takes rows, each with {masks} masks and notes")
    heights = [_cell_height(row["image"], CELL) for row in rows]
    width = 2 * MARGIN + len(columns) * (CELL + GAP) - GAP
    titles = [title.partition("\n") for title in columns]
    head = LINE * (1 + any(below for _, _, below in titles))
    height = 2 * MARGIN + head + sum(heights) + len(rows) * (LINE + GAP)
    sheet = Sheet(width, height, _mask_legend(rows, classes, has_background))
    lefts = [MARGIN + index * (CELL + GAP) for index in range(len(columns))]
    for left, (title, _, below) in zip(lefts, titles, strict=True):
        middle, y = left + CELL / 2, MARGIN + LINE / 2
        sheet.text(middle, y, title, CELL, size=9.5, ha="center", weight="bold")
        if below:
            sheet.text(middle, y + LINE, below, CELL, size=7.5, ha="center", color=GREY)
    top = MARGIN + head
    for row, row_height in zip(rows, heights, strict=True):
        room = width - 2 * MARGIN
        sheet.text(MARGIN, top + LINE / 2 + 0.02, row["label"], room, size=7.5, color=GREY)
        top += LINE
        _draw_row(sheet, row, lefts, top, row_height, has_background)
        top += row_height + GAP
    sheet.save(path)


def _draw_row(
    sheet: Sheet,
    row: Mapping[str, Any],
    lefts: Sequence[float],
    top: float,
    height: float,
    has_background: bool,
) -> None:
    """Draw the cells of one row of a comparison, with the notes in their lower left corners."""
    size = row["image"].shape[:2]
    notes, drawn = [None, *row["notes"]], pictures(row, has_background)
    for left, picture, note in zip(lefts, drawn, notes, strict=True):
        axes, scale = sheet.picture(picture, left, top, CELL, height, size)
        if left == lefts[0]:
            draw_annotation(axes, row.get("annotation", {}), scale)
        if note:
            inner = axes.get_position().x0 * sheet.width + 0.08
            style: Look = {"color": "white", "bbox": BADGE}
            sheet.text(inner, top + height - 0.14, note, CELL - 0.16, size=7.5, **style)


def _mask_legend(
    rows: Sequence[Mapping[str, Any]], classes: Sequence[str], has_background: bool
) -> list[tuple[str, str]]:
    """Return (colour, name) of the classes that occur in any mask."""
    seen = {int(label) for row in rows for mask in row["masks"] for label in np.unique(mask)}
    return [
        (
            BACKGROUND_COLOUR if label == 0 and has_background else hex_colour(label),
            "ignored" if label == IGNORE else classes[label],
        )
        for label in sorted(seen)
    ]


def pictures(row: Mapping[str, Any], has_background: bool = True) -> Iterator[np.ndarray]:
    """Yield the photograph of a row, then each mask over a greyed copy of it, uint8 [h, w, 3]."""
    image = thumbnail(row["image"])
    yield image
    # Less contrast than the photograph, so that the colours of the classes stand out.
    grey = (64 + 0.6 * cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)).astype(np.uint8)
    for mask in row["masks"]:
        small = cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        yield overlay(np.repeat(grey[..., None], 3, -1), small, has_background=has_background)


def label_preview(
    path: str | Path,
    tiles: Sequence[Mapping[str, Any]],
    classes: Sequence[str] | None = None,
    most: int = 4,
) -> None:
    """Draw weak labels over their photographs, in class colours, at most so many tiles a row.

    tiles: dicts `title`, `image` uint8 [H, W, 3] and `annotation`, a dict with any of
        `tags` {"present": [names], "absent": [names]}, `points` [[x, y, class], ...], `scribbles`
        [{"class", "width", "path": [[x, y], ...]}, ...], `boxes` [[x0, y0, x1, y1, class], ...],
        `outlines` [{"class", "polygon": [[x, y], ...]}, ...] and
        `pixels` [{"x", "y", "class", ...}, ...], in pixels of that image: x right, y down, pixel i
        covers [i, i + 1); of a thumbnail, `size` is the (H, W) that these refer to
    classes: class names for a legend; there is none without them
    Raises ValueError without tiles.
    """
    if not tiles:
        raise ValueError("label preview: there are no tiles to draw")
    across, head = min(most, len(tiles)), 2 * LINE
    bands = [tiles[start : start + across] for start in range(0, len(tiles), across)]
    heights = [max(_cell_height(tile["image"], TILE) for tile in band) for band in bands]
    legend = [(hex_colour(label), name) for label, name in enumerate(classes or [])]
    width = 2 * MARGIN + across * (TILE + GAP) - GAP
    sheet = Sheet(width, 2 * MARGIN + sum(heights) + len(bands) * (head + GAP), legend)
    top = MARGIN
    for band, height in zip(bands, heights, strict=True):
        for index, tile in enumerate(band):
            left = MARGIN + index * (TILE + GAP)
            sheet.text(left, top + 0.1, tile["title"], TILE, weight="bold")
            sheet.text(left, top + 0.28, _tag_line(tile["annotation"].get("tags", {})), TILE)
            size, picture = tile.get("size", tile["image"].shape[:2]), thumbnail(tile["image"])
            axes, scale = sheet.picture(picture, left, top + head, TILE, height, size)
            draw_annotation(axes, tile["annotation"], scale)
        top += head + height + GAP
    sheet.save(path)


def _tag_line(tags: Mapping[str, Sequence[str]]) -> str:
    """Return tags in one line, a sign before the present and before the absent ones."""
    signs = {"present": "+", "absent": "\N{MINUS SIGN}"}
    return "   ".join(
        f"{sign} {', '.join(tags[key])}" for key, sign in signs.items() if tags.get(key)
    )


def draw_annotation(axes: "Axes", annotation: Mapping[str, Any], scale: float) -> None:
    """Draw scribbles, outlines, boxes, points and answers with a white rim.

    An empty scribble is none.

    annotation: as a tile of `label_preview` has it; scale: length of one pixel in 1/72 inch
    """
    from matplotlib.patches import Polygon, Rectangle

    for scribble in annotation.get("scribbles", []):
        if not len(scribble["path"]):
            continue
        pen = _pen(scribble["class"], max(1.2, scribble["width"] * scale))
        (x, y), *rest = scribble["path"]
        # A line without length, or snapped to none, is not drawn: a hair's breadth lets a single
        # point show as a dot.
        path = zip((x, y), (x + 0.1 / scale, y), *rest, strict=True)
        axes.plot(*path, solid_capstyle="round", solid_joinstyle="round", snap=False, **pen)
    for outline in annotation.get("outlines", []):
        look = {"fill": False, "zorder": 2.4} | _pen(outline["class"], 1.8)
        axes.add_patch(Polygon(outline["polygon"], closed=True, **look))
    for x0, y0, x1, y1, label in annotation.get("boxes", []):
        box = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, zorder=2.5, **_pen(label, 1.8))
        axes.add_patch(box)
    rim: Look = {"edgecolors": "white", "linewidths": 1.2}
    for answer in annotation.get("pixels", []):  # a cross, as the person saw it
        colour = hex_colour(answer["class"])
        axes.scatter(answer["x"], answer["y"], s=44, marker="P", color=colour, zorder=2.8, **rim)
    for x, y, label in annotation.get("points", []):
        axes.scatter(x, y, s=34, color=hex_colour(label), zorder=3, **rim)


def _pen(label: int, width: float) -> Look:
    """Return the style of a line in a class's colour with a white rim; width: in 1/72 inch."""
    from matplotlib.patheffects import Normal, Stroke

    rim = [Stroke(linewidth=width + 1.6, foreground="white"), Normal()]
    return {"linewidth": width, "path_effects": rim, "color": hex_colour(label)}
