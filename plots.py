"""Pictures of images and masks, each written as one PNG: the palette, overlays, comparisons, weak labels.

Figures are built without pyplot, so importing this changes no backend and works without a display.
"""

import functools
import math

import cv2
import numpy as np

from common import atomic_path

# Okabe & Ito, "Color Universal Design", 2008, in this project's order: distinct with each kind of colour blindness.
PALETTE = np.array(
    [(47, 53, 66), (230, 159, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0),
     (240, 228, 66)], np.uint8)  # fmt: skip
IGNORE, IGNORE_COLOUR = 255, (232, 232, 232)
INK, GREY, FAINT, ACCENT = "#2f3542", "#5b6270", "#8a8f98", "#0072b2"
BADGE = {"boxstyle": "round,pad=0.25", "facecolor": "black", "alpha": 0.6, "linewidth": 0}
DPI = 120
GAP, MARGIN, LINE, LETTER = 0.06, 0.15, 0.2, 0.075  # inches


@functools.cache
def _table():
    """Colours [256, 3] of all labels: `PALETTE`, then again and again the colour farthest in CIELAB from all before."""
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    candidates = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3)
    chosen = list(PALETTE)
    lab = _lab(candidates)
    # White, mid-grey and black are paper, greyed photographs and shadows: no class may look like them.
    taken = _lab(np.concatenate([PALETTE, np.uint8([[255] * 3, [128] * 3, [0] * 3])]))
    distance = np.linalg.norm(lab[:, None] - taken[None], axis=-1).min(1)
    while len(chosen) < IGNORE:
        farthest = distance.argmax()
        chosen.append(candidates[farthest])
        distance = np.minimum(distance, np.linalg.norm(lab - lab[farthest], axis=-1))
    return np.array([*chosen, IGNORE_COLOUR], np.uint8)


def _lab(colours):
    return cv2.cvtColor(np.float32(colours)[None] / 255, cv2.COLOR_RGB2LAB)[0]


def palette(num_classes):
    """Return distinct colours, uint8 [C, 3], background first; the first 8 suit the colour-blind. At most 255."""
    if not 0 < num_classes <= IGNORE:
        raise ValueError(f"a palette has 1 to {IGNORE} colours, not {num_classes}")
    return _table()[:num_classes].copy()


def colourise(mask):
    """Return the labels `mask` uint8 [H, W] as an RGB image uint8 [H, W, 3]; ignored pixels (255) are light grey."""
    return _table()[mask]


def overlay(image, mask, alpha=0.55):
    """Tint `image` uint8 [H, W, 3] with the classes of `mask` uint8 [H, W], outlined; background (0) stays clear.

    alpha: strength of the tint in [0, 1]. Raises ValueError if the two differ in size.
    """
    if image.shape[:2] != mask.shape:
        raise ValueError(f"image {image.shape[:2]} and mask {mask.shape} differ in size")
    thickness = 1 + 2 * max(1, max(mask.shape) // 200)
    kernel = np.ones((thickness, thickness), np.uint8)
    outline = cv2.dilate(mask, kernel) != cv2.erode(mask, kernel)
    strength = np.where(mask == 0, 0, np.where(outline & (mask != IGNORE), 1, alpha))[..., None]
    return np.rint(image * (1 - strength) + colourise(mask) * strength).astype(np.uint8)


def hex_colour(label):
    """Return the colour of a label as matplotlib takes it: "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*_table()[label])


def thumbnail(image, side=500):
    """Shrink `image` [H, W, 3] to a longer side of `side` pixels, finer than any cell of a figure."""
    shrink = min(1.0, side / max(image.shape[:2]))
    size = [max(1, round(length * shrink)) for length in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


class Sheet:
    """A white page, measured in inches from its top left corner, with the colours of `legend` named at its foot."""

    def __init__(self, width, height, legend=()):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch

        legend = [(colour, shorten(name, int((width - 2 * MARGIN - 0.5) / LETTER))) for colour, name in legend]
        columns = legend_columns([name for _, name in legend], width)
        self.width, self.height = width, height + LINE * math.ceil(len(legend) / columns)
        self.figure = Figure(figsize=(width, self.height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)
        if legend:
            handles = [Patch(facecolor=colour, edgecolor=FAINT, linewidth=0.5, label=name) for colour, name in legend]
            self.figure.legend(
                handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0.5 * MARGIN / self.height), ncols=columns,
                frameon=False, fontsize=8, labelcolor=INK, handlelength=1.2, handleheight=1.2, borderpad=0,
                borderaxespad=0, columnspacing=1.2)  # fmt: skip

    def text(self, x, y, text, room, size=8.0, **style):
        """Write one line centred on height `y`, made smaller and then shortened until it is at most `room` wide."""
        style = {"va": "center", "color": INK, "parse_math": False} | style
        item = self.figure.text(x / self.width, 1 - y / self.height, text, fontsize=size, **style)
        renderer = self.figure.canvas.get_renderer()
        while item.get_window_extent(renderer).width > room * DPI and len(item.get_text()) > 4:
            if item.get_fontsize() > 5.5:
                item.set_fontsize(item.get_fontsize() - 0.5)
            else:
                item.set_text(shorten(item.get_text(), len(item.get_text()) - 1))

    def picture(self, image, x, y, width, height, size=None):
        """Show `image` [H, W, 3] as large as fits into the top of a cell, in axes whose unit is a pixel.

        size: (H, W) that the axes' coordinates refer to, where `image` is a thumbnail
        Returns the axes and the length of one of its pixels in 1/72 inch.
        """
        rows, columns = size or image.shape[:2]
        scale = min(width / columns, height / rows)
        # Thinner than 2/100 inch would not show: an image 1 pixel high is drawn as a line.
        w, h = max(columns * scale, 0.02), max(rows * scale, 0.02)
        left, bottom = (x + (width - w) / 2) / self.width, 1 - (y + h) / self.height
        axes = self.figure.add_axes((left, bottom, w / self.width, h / self.height))
        axes.imshow(image, aspect="auto", extent=(0, columns, rows, 0))
        axes.autoscale(False)
        axes.set_axis_off()
        return axes, 72 * scale

    def save(self, path):
        with atomic_path(path) as temporary:
            self.figure.savefig(temporary, format="png", dpi=DPI)


def legend_columns(names, width):
    """Number of columns in which the longest of `names` fits a legend of `width` inches."""
    longest = max(map(len, names), default=0)
    return max(1, min(len(names), int((width - 2 * MARGIN) / (0.5 + LETTER * longest))))


def shorten(text, length):
    """Cut the middle of `text`, whose ends tell runs and images apart."""
    half = (length - 1) // 2
    return text if len(text) <= length else f"{text[: length - 1 - half]}…{text[len(text) - half :]}"


def _cell_height(image, width):
    """Height of a cell `width` inches wide for `image`: its own, within limits that keep a page readable."""
    return width * min(max(image.shape[0] / image.shape[1], 0.3), 1.5)


def comparison_figure(path, columns, rows, classes):
    """Draw one row an image: the photograph, then each mask over a greyed copy, with the class colours below.

    columns: titles, the first for the photograph
    rows: dicts `label` (str), `image` uint8 [H, W, 3], `masks` (for each further column uint8 [h, w], resized to the
        image by NEAREST), `notes` (for each mask a str or None) and, to draw over the photograph, an optional
        `annotation` as `label_preview` takes it, without tags
    classes: class names; those that occur are in the legend
    Raises ValueError without rows or where masks, notes and columns differ in number.
    """
    if not rows or any({len(row["masks"]), len(row["notes"])} != {len(columns) - 1} for row in rows):
        raise ValueError(f"comparison figure: it takes rows, each with {len(columns) - 1} masks and notes")
    cell = 1.75
    heights = [_cell_height(row["image"], cell) for row in rows]
    width = 2 * MARGIN + len(columns) * (cell + GAP) - GAP
    sheet = Sheet(width, 2 * MARGIN + LINE + sum(heights) + len(rows) * (LINE + GAP), _mask_legend(rows, classes))
    lefts = [MARGIN + index * (cell + GAP) for index in range(len(columns))]
    for left, title in zip(lefts, columns, strict=True):
        sheet.text(left + cell / 2, MARGIN + LINE / 2, title, cell, size=9.5, ha="center", weight="bold")
    top = MARGIN + LINE
    for row, height in zip(rows, heights, strict=True):
        sheet.text(MARGIN, top + LINE / 2 + 0.02, row["label"], width - 2 * MARGIN, size=7.5, color=GREY)
        top += LINE
        for left, picture, note in zip(lefts, pictures(row), [None, *row["notes"]], strict=True):
            axes, scale = sheet.picture(picture, left, top, cell, height, row["image"].shape[:2])
            if left == lefts[0]:
                draw_annotation(axes, row.get("annotation", {}), scale)
            if note:
                inner = axes.get_position().x0 * width + 0.08
                sheet.text(inner, top + height - 0.14, note, cell - 0.16, size=7.5, color="white", bbox=BADGE)
        top += height + GAP
    sheet.save(path)


def _mask_legend(rows, classes):
    seen = sorted({int(label) for row in rows for mask in row["masks"] for label in np.unique(mask)})
    return [("#bdbdbd" if label == 0 else hex_colour(label), "ignored" if label == IGNORE else classes[label])
            for label in seen]  # fmt: skip


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
        `tags` {"present": [names], "absent": [names]}, `points` [[x, y, class], ...],
        `scribbles` [{"class", "width", "path": [[x, y], ...]}, ...] and `boxes` [[x0, y0, x1, y1, class], ...],
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
    sheet = Sheet(2 * MARGIN + across * (cell + GAP) - GAP,
                  2 * MARGIN + sum(heights) + len(bands) * (head + GAP), legend)  # fmt: skip
    top = MARGIN
    for band, height in zip(bands, heights, strict=True):
        for index, tile in enumerate(band):
            left = MARGIN + index * (cell + GAP)
            sheet.text(left, top + 0.1, tile["title"], cell, weight="bold")
            sheet.text(left, top + 0.28, _tag_line(tile["annotation"].get("tags", {})), cell)
            size = tile["image"].shape[:2]
            axes, scale = sheet.picture(thumbnail(tile["image"]), left, top + head, cell, height, size)
            draw_annotation(axes, tile["annotation"], scale)
        top += head + height + GAP
    sheet.save(path)


def _tag_line(tags):
    signs = {"present": "+", "absent": "\N{MINUS SIGN}"}
    return "   ".join(f"{sign} {', '.join(tags[key])}" for key, sign in signs.items() if tags.get(key))


def draw_annotation(axes, annotation, scale):
    """Draw scribbles, boxes and points with a white rim; `scale` is the length of one pixel in 1/72 inch."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import Normal, Stroke

    def pen(label, width):
        rim = [Stroke(linewidth=width + 1.6, foreground="white"), Normal()]
        return {"linewidth": width, "path_effects": rim, "color": hex_colour(label)}

    for scribble in annotation.get("scribbles", []):
        width = max(1.2, scribble["width"] * scale)
        (x, y), *rest = scribble["path"]
        # A line without length, or snapped to none, is not drawn: a hair's breadth lets a single point show as a dot.
        axes.plot(*zip((x, y), (x + 0.1 / scale, y), *rest, strict=True), solid_capstyle="round", snap=False,
                  solid_joinstyle="round", **pen(scribble["class"], width))  # fmt: skip
    for x0, y0, x1, y1, label in annotation.get("boxes", []):
        axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, zorder=2.5, **pen(label, 1.8)))
    for x, y, label in annotation.get("points", []):
        axes.scatter(x, y, s=34, color=hex_colour(label), edgecolors="white", linewidths=1.2, zorder=3)
