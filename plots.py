"""Every figure of the project, each written as one PNG: comparisons, cost against mIoU, losses, weak labels.

Figures are built without pyplot, so importing this changes no backend and works without a display.
"""

import functools
import itertools
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
# Where a name may stand beside its point (right, up), the preferred place first.
DIRECTIONS = (1, 0.6), (1, -0.6), (-1, 0.6), (-1, -0.6), (1, 0), (-1, 0), (0, 1), (0, -1)
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


def _hex(label):
    return "#{:02x}{:02x}{:02x}".format(*_table()[label])


def _thumbnail(image, side=500):
    """Shrink `image` [H, W, 3] to a longer side of `side` pixels, finer than any cell of a figure."""
    shrink = min(1.0, side / max(image.shape[:2]))
    size = [max(1, round(length * shrink)) for length in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


class _Sheet:
    """A white page, measured in inches from its top left corner, with the colours of `legend` named at its foot."""

    def __init__(self, width, height, legend=()):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch

        legend = [(colour, _shorten(name, int((width - 2 * MARGIN - 0.5) / LETTER))) for colour, name in legend]
        columns = _legend_columns([name for _, name in legend], width)
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
                item.set_text(_shorten(item.get_text(), len(item.get_text()) - 1))

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


def _legend_columns(names, width):
    """Number of columns in which the longest of `names` fits a legend of `width` inches."""
    longest = max(map(len, names), default=0)
    return max(1, min(len(names), int((width - 2 * MARGIN) / (0.5 + LETTER * longest))))


def _shorten(text, length):
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
        image by NEAREST) and `notes` (for each mask a str or None)
    classes: class names; those that occur are in the legend
    Raises ValueError without rows or where masks, notes and columns differ in number.
    """
    if not rows or any({len(row["masks"]), len(row["notes"])} != {len(columns) - 1} for row in rows):
        raise ValueError(f"comparison figure: it takes rows, each with {len(columns) - 1} masks and notes")
    cell = 1.75
    heights = [_cell_height(row["image"], cell) for row in rows]
    width = 2 * MARGIN + len(columns) * (cell + GAP) - GAP
    sheet = _Sheet(width, 2 * MARGIN + LINE + sum(heights) + len(rows) * (LINE + GAP), _mask_legend(rows, classes))
    lefts = [MARGIN + index * (cell + GAP) for index in range(len(columns))]
    for left, title in zip(lefts, columns, strict=True):
        sheet.text(left + cell / 2, MARGIN + LINE / 2, title, cell, size=9.5, ha="center", weight="bold")
    top = MARGIN + LINE
    for row, height in zip(rows, heights, strict=True):
        sheet.text(MARGIN, top + LINE / 2 + 0.02, row["label"], width - 2 * MARGIN, size=7.5, color=GREY)
        top += LINE
        for left, picture, note in zip(lefts, _pictures(row), [None, *row["notes"]], strict=True):
            axes, _ = sheet.picture(picture, left, top, cell, height)
            if note:
                inner = axes.get_position().x0 * width + 0.08
                sheet.text(inner, top + height - 0.14, note, cell - 0.16, size=7.5, color="white", bbox=BADGE)
        top += height + GAP
    sheet.save(path)


def _mask_legend(rows, classes):
    seen = sorted({int(label) for row in rows for mask in row["masks"] for label in np.unique(mask)})
    return [("#bdbdbd" if label == 0 else _hex(label), "ignored" if label == IGNORE else classes[label])
            for label in seen]  # fmt: skip


def _pictures(row):
    """Yield the photograph of a row, then each mask over a greyed copy of it."""
    image = _thumbnail(row["image"])
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
    legend = [(_hex(label), name) for label, name in enumerate(classes or [])]
    sheet = _Sheet(2 * MARGIN + across * (cell + GAP) - GAP,
                   2 * MARGIN + sum(heights) + len(bands) * (head + GAP), legend)  # fmt: skip
    top = MARGIN
    for band, height in zip(bands, heights, strict=True):
        for index, tile in enumerate(band):
            left = MARGIN + index * (cell + GAP)
            sheet.text(left, top + 0.1, tile["title"], cell, weight="bold")
            sheet.text(left, top + 0.28, _tag_line(tile["annotation"].get("tags", {})), cell)
            size = tile["image"].shape[:2]
            axes, scale = sheet.picture(_thumbnail(tile["image"]), left, top + head, cell, height, size)
            _draw_annotation(axes, tile["annotation"], scale)
        top += head + height + GAP
    sheet.save(path)


def _tag_line(tags):
    signs = {"present": "+", "absent": "\N{MINUS SIGN}"}
    return "   ".join(f"{sign} {', '.join(tags[key])}" for key, sign in signs.items() if tags.get(key))


def _draw_annotation(axes, annotation, scale):
    """Draw scribbles, boxes and points with a white rim; `scale` is the length of one pixel in 1/72 inch."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import Normal, Stroke

    def pen(label, width):
        rim = [Stroke(linewidth=width + 1.6, foreground="white"), Normal()]
        return {"linewidth": width, "path_effects": rim, "color": _hex(label)}

    for scribble in annotation.get("scribbles", []):
        width = max(1.2, scribble["width"] * scale)
        (x, y), *rest = scribble["path"]
        # A line without length, or snapped to none, is not drawn: a hair's breadth lets a single point show as a dot.
        axes.plot(*zip((x, y), (x + 0.1 / scale, y), *rest, strict=True), solid_capstyle="round", snap=False,
                  solid_joinstyle="round", **pen(scribble["class"], width))  # fmt: skip
    for x0, y0, x1, y1, label in annotation.get("boxes", []):
        axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, zorder=2.5, **pen(label, 1.8)))
    for x, y, label in annotation.get("points", []):
        axes.scatter(x, y, s=34, color=_hex(label), edgecolors="white", linewidths=1.2, zorder=3)


def pareto(costs, mious):
    """Return the indices of the runs that no run dominates, by rising cost.

    A run dominates another if it costs no more and scores no less, and one of the two strictly; equal runs stay
    together. Raises ValueError on NaN, which has no order.
    """
    costs, mious = np.asarray(costs, float), np.asarray(mious, float)
    if np.isnan(costs).any() or np.isnan(mious).any():
        raise ValueError("a run without a cost or a mIoU has no place on the Pareto frontier")
    dearer, better = costs[:, None] - costs, mious - mious[:, None]
    dominated = ((dearer >= 0) & (better >= 0) & ((dearer > 0) | (better > 0))).any(1)
    return sorted(np.flatnonzero(~dominated).tolist(), key=lambda index: (costs[index], index))


def cost_plot(path, runs, unit, reference=None):
    """Plot test mIoU against annotation cost, with intervals and the Pareto frontier.

    runs: dicts `name`, `cost` (in `unit`), `miou`, `low` and `high` (percent)
    unit: label of the cost, such as "hours"; the axis is logarithmic where positive costs differ more than eightfold
    reference: mIoU of predicting background everywhere, in percent
    Raises ValueError without runs, or on NaN.
    """
    if not runs:
        raise ValueError("cost plot: there are no runs to plot")
    sheet = _Sheet(7.2, 4.6)
    axes = sheet.figure.add_axes((0.09, 0.12, 0.88, 0.79))
    costs, mious = [run["cost"] for run in runs], [run["miou"] for run in runs]
    best = pareto(costs, mious)
    _style(axes, f"annotation cost ({unit})", "test mIoU (%)")
    _cost_axis(axes, costs)
    steps = [(costs[index], mious[index]) for index in best] + [(axes.get_xlim()[1], max(mious))]
    axes.plot(*zip(*steps, strict=True), drawstyle="steps-post", color=ACCENT, linewidth=1.4, alpha=0.6,
              label="Pareto frontier")  # fmt: skip
    if reference is not None:
        axes.axhline(reference, color=FAINT, linestyle=":", label=f"all background ({reference:.1f})")
    dominated = [index for index in range(len(runs)) if index not in best]
    for index in best + dominated:  # the smaller, dominated dots last: a frontier dot beneath stays visible
        run, (colour, size) = runs[index], (FAINT, 5) if index in dominated else (ACCENT, 7)
        # The percentile interval of a few images may miss the value itself; a bar of negative length is refused.
        ends = [[max(run["miou"] - run["low"], 0)], [max(run["high"] - run["miou"], 0)]]
        axes.errorbar(run["cost"], run["miou"], ends, fmt="o", markersize=size, markeredgecolor="white", color=colour,
                      elinewidth=1.2, capsize=3, zorder=3, label="dominated" if index in dominated[:1] else None)
    axes.margins(y=0.12)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=3, frameon=False, fontsize=8, labelcolor=INK)
    _name_points(axes, runs, steps)
    sheet.save(path)


def _style(axes, xlabel, ylabel):
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
    """Write each run's name at the first place around its point that covers no error bar, step or other name."""
    from matplotlib.transforms import Bbox

    axes.autoscale_view()  # matplotlib would do so only when it draws, after the places are chosen
    renderer, to_pixels = axes.figure.canvas.get_renderer(), axes.transData.transform
    frame = axes.get_window_extent(renderer)
    bars = [to_pixels([(run["cost"], run[end]) for end in ("low", "miou", "high")]) for run in runs]
    taken = [Bbox([low, high]).padded(6) for low, _, high in bars]
    for (x0, y0), (x1, y1) in itertools.pairwise(to_pixels(steps)):
        taken += [Bbox([[x0, y0], [x1, y0]]).padded(1), Bbox([[x1, y0], [x1, y1]]).padded(1)]
    for run, bar in zip(runs, bars, strict=True):
        text = axes.text(0, 0, _shorten(run["name"], 36), fontsize=8, color=INK, ha="center", va="center",
                         transform=None, parse_math=False)  # fmt: skip
        places = [Bbox(corners) for corners in _places(bar, text.get_window_extent(renderer).size + 4)]
        # Outside the frame is worse than any overlap; among equals `min` takes the first, which is the nearest.
        place = min(places, key=lambda box: (Bbox.union([box, frame]).size > frame.size).any() * 1000
                    + box.count_overlaps(taken))  # fmt: skip
        text.set_position(place.min + place.size / 2)
        taken.append(place)


def _places(bar, size):
    """Yield the corners [2, 2] of places for a name of `size` pixels around a point, then the ends of its error bar.

    bar: lower end, point and upper end, [3, 2] in pixels
    """
    for far in (9, 16, 24, 34, 46):
        for to_end in (0, 1):
            for right, up in DIRECTIONS:
                centre = bar[1 + to_end * round(up)] + np.multiply((right, up), size / 2 + far)
                yield centre - size / 2, centre + size / 2


def loss_curves(path, log):
    """Plot the losses of a run, and its validation mIoU, against the epoch.

    log: dicts `epoch`, `loss`, `terms` {name: float}, `val_loss`, `val_miou`, `weak_val_loss` (None where not measured;
        mIoU is drawn in the unit it comes in) and `selected`; the last selected epoch is marked
    Raises ValueError without epochs.
    """
    if not log:
        raise ValueError("loss curves: the log holds no epoch")
    sheet = _Sheet(9.6, 4.0)
    sheet.figure.set_layout_engine("constrained")
    losses, quality = sheet.figure.subplots(1, 2)
    whole = {"loss": ("training loss", "-o"), "val_loss": ("validation loss", "--s"),
             "weak_val_loss": ("validation loss, weak labels", ":^")}  # fmt: skip
    for key, (name, line) in whole.items():
        _curve(losses, log, [entry[key] for entry in log], line, label=name, color=INK, linewidth=2)
    for label, name in enumerate(dict.fromkeys(name for entry in log for name in entry["terms"]), start=1):
        _curve(losses, log, [entry["terms"].get(name) for entry in log], label=name, color=_hex(label), linewidth=1.2)
    if not _curve(quality, log, [entry["val_miou"] for entry in log], color=ACCENT, linewidth=2):
        quality.text(0.5, 0.5, "not measured", transform=quality.transAxes, ha="center", color=FAINT)
    for axes, ylabel in ((losses, "loss"), (quality, "validation mIoU")):
        _style(axes, "epoch", ylabel)
        axes.set_xlim(log[0]["epoch"] - 0.5, log[-1]["epoch"] + 0.5)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        for epoch in [entry["epoch"] for entry in log if entry["selected"]][-1:]:
            axes.axvline(epoch, color="#d55e00", linewidth=1, linestyle="-.", label=f"selected: epoch {epoch}")
    handles, names = losses.get_legend_handles_labels()
    sheet.figure.legend(handles, names, loc="outside lower center", ncols=_legend_columns(names, sheet.width),
                        frameon=False, fontsize=8, labelcolor=INK)  # fmt: skip
    sheet.save(path)


def _curve(axes, log, values, line="-o", **style):
    """Draw the measured ones of `values`, one for each epoch, bridging the others; return how many there are."""
    points = [(entry["epoch"], value) for entry, value in zip(log, values, strict=True) if value is not None]
    if points:
        axes.plot(*zip(*points, strict=True), line, markersize=4 if len(points) <= 20 else 0, **style)
    return len(points)
