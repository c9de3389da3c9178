"""Photographs with masks and annotations drawn on them, and figures of such pictures."""

import cv2
import numpy as np

from weakseg.common import IGNORE
from weakseg.reporting.style import GAP, GREY, LINE, MARGIN, Sheet, colourise, hex_colour

BADGE = {"boxstyle": "round,pad=0.25", "facecolor": "black", "alpha": 0.6, "linewidth": 0}


def overlay(image, mask, alpha=0.55):
    """Tint `image` uint8 [H, W, 3] with the classes of `mask` uint8 [H, W], outlined; background
    (0) stays clear.

    alpha: strength of the tint in [0, 1]. Raises ValueError if the two differ in size.
    """
    if image.shape[:2] != mask.shape:
        raise ValueError(f"image {image.shape[:2]} and mask {mask.shape} differ in size")
    thickness = 1 + 2 * max(1, max(mask.shape) // 200)
    kernel = np.ones((thickness, thickness), np.uint8)
    outline = cv2.dilate(mask, kernel) != cv2.erode(mask, kernel)
    strength = np.where(mask == 0, 0, np.where(outline & (mask != IGNORE), 1, alpha))[..., None]
    return np.rint(image * (1 - strength) + colourise(mask) * strength).astype(np.uint8)


def thumbnail(image, side=500):
    """Shrink `image` [H, W, 3] to a longer side of `side` pixels, finer than any cell of a
    figure.
    """
    shrink = min(1.0, side / max(image.shape[:2]))
    size = [max(1, round(length * shrink)) for length in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _cell_height(image, width):
    """Height of a cell `width` inches wide for `image`: its own, within limits that keep a page
    readable.
    """
    return width * min(max(image.shape[0] / image.shape[1], 0.3), 1.5)


def comparison_figure(path, columns, rows, classes):
    """Draw one row an image: the photograph, then each mask over a greyed copy, with the class
    colours below.

    columns: titles, the first for the photograph rows: dicts `label` (str), `image` uint8 [H, W,
    3], `masks` (for each further column uint8 [h, w], resized to the
        image by NEAREST), `notes` (for each mask a str or None) and, to draw over the photograph,
        an optional `annotation` as `label_preview` takes it, without tags
    classes: class names; those that occur are in the legend
    Raises ValueError without rows or where masks, notes and columns differ in number.
    """
    if not rows or any(
        {len(row["masks"]), len(row["notes"])} != {len(columns) - 1} for row in rows
    ):
        raise ValueError(
            f"comparison figure: it takes rows, each with {len(columns) - 1} masks and notes"
        )
    cell = 1.75
    heights = [_cell_height(row["image"], cell) for row in rows]
    width = 2 * MARGIN + len(columns) * (cell + GAP) - GAP
    sheet = Sheet(
        width,
        2 * MARGIN + LINE + sum(heights) + len(rows) * (LINE + GAP),
        _mask_legend(rows, classes),
    )
    lefts = [MARGIN + index * (cell + GAP) for index in range(len(columns))]
    for left, title in zip(lefts, columns, strict=True):
        sheet.text(
            left + cell / 2, MARGIN + LINE / 2, title, cell, size=9.5, ha="center", weight="bold"
        )
    top = MARGIN + LINE
    for row, height in zip(rows, heights, strict=True):
        sheet.text(
            MARGIN, top + LINE / 2 + 0.02, row["label"], width - 2 * MARGIN, size=7.5, color=GREY
        )
        top += LINE
        for left, picture, note in zip(lefts, pictures(row), [None, *row["notes"]], strict=True):
            axes, scale = sheet.picture(picture, left, top, cell, height, row["image"].shape[:2])
            if left == lefts[0]:
                draw_annotation(axes, row.get("annotation", {}), scale)
            if note:
                inner = axes.get_position().x0 * width + 0.08
                sheet.text(
                    inner,
                    top + height - 0.14,
                    note,
                    cell - 0.16,
                    size=7.5,
                    color="white",
                    bbox=BADGE,
                )
        top += height + GAP
    sheet.save(path)


def _mask_legend(rows, classes):
    seen = sorted(
        {int(label) for row in rows for mask in row["masks"] for label in np.unique(mask)}
    )
    return [
        (
            "#bdbdbd" if label == 0 else hex_colour(label),
            "ignored" if label == IGNORE else classes[label],
        )
        for label in seen
    ]


def pictures(row):
    """Yield the photograph of a row, then each mask over a greyed copy of it."""
    image = thumbnail(row["image"])
    yield image
    # Less contrast than the photograph, so that the colours of the classes stand out.
    grey = (64 + 0.6 * cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)).astype(np.uint8)
    for mask in row["masks"]:
        mask = cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        yield overlay(np.repeat(grey[..., None], 3, -1), mask)


def label_preview(path, tiles, classes=None):
    """Draw weak labels over their photographs, in class colours, at most four tiles a row.

    tiles: dicts `title`, `image` uint8 [H, W, 3] and `annotation`, a dict with any of
        `tags` {"present": [names], "absent": [names]}, `points` [[x, y, class], ...], `scribbles`
        [{"class", "width", "path": [[x, y], ...]}, ...] and `boxes` [[x0, y0, x1, y1, class], ...],
        in pixels of that image: x right, y down, pixel i covers [i, i + 1)
    classes: class names for a legend; there is none without them
    Raises ValueError without tiles.
    """
    if not tiles:
        raise ValueError("label preview: there are no tiles to draw")
    cell, across, head = 2.4, min(4, len(tiles)), 2 * LINE
    bands = [tiles[start : start + across] for start in range(0, len(tiles), across)]
    heights = [max(_cell_height(tile["image"], cell) for tile in band) for band in bands]
    legend = [(hex_colour(label), name) for label, name in enumerate(classes or [])]
    sheet = Sheet(
        2 * MARGIN + across * (cell + GAP) - GAP,
        2 * MARGIN + sum(heights) + len(bands) * (head + GAP),
        legend,
    )
    top = MARGIN
    for band, height in zip(bands, heights, strict=True):
        for index, tile in enumerate(band):
            left = MARGIN + index * (cell + GAP)
            sheet.text(left, top + 0.1, tile["title"], cell, weight="bold")
            sheet.text(left, top + 0.28, _tag_line(tile["annotation"].get("tags", {})), cell)
            size = tile["image"].shape[:2]
            axes, scale = sheet.picture(
                thumbnail(tile["image"]), left, top + head, cell, height, size
            )
            draw_annotation(axes, tile["annotation"], scale)
        top += head + height + GAP
    sheet.save(path)


def _tag_line(tags):
    signs = {"present": "+", "absent": "\N{MINUS SIGN}"}
    return "   ".join(
        f"{sign} {', '.join(tags[key])}" for key, sign in signs.items() if tags.get(key)
    )


def draw_annotation(axes, annotation, scale):
    """Draw scribbles, boxes and points with a white rim; `scale` is the length of one pixel in 1/72
    inch.
    """
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import Normal, Stroke

    def pen(label, width):
        rim = [Stroke(linewidth=width + 1.6, foreground="white"), Normal()]
        return {"linewidth": width, "path_effects": rim, "color": hex_colour(label)}

    for scribble in annotation.get("scribbles", []):
        width = max(1.2, scribble["width"] * scale)
        (x, y), *rest = scribble["path"]
        # A line without length, or snapped to none, is not drawn: a hair's breadth lets a single
        # point show as a dot.
        axes.plot(
            *zip((x, y), (x + 0.1 / scale, y), *rest, strict=True),
            solid_capstyle="round",
            snap=False,
            solid_joinstyle="round",
            **pen(scribble["class"], width),
        )
    for x0, y0, x1, y1, label in annotation.get("boxes", []):
        axes.add_patch(
            Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, zorder=2.5, **pen(label, 1.8))
        )
    for x, y, label in annotation.get("points", []):
        axes.scatter(
            x, y, s=34, color=hex_colour(label), edgecolors="white", linewidths=1.2, zorder=3
        )
