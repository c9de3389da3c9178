"""Pictures of images and masks, each written as one PNG: the palette, overlays, comparisons, weak
labels.

Figures are built without pyplot, so importing this changes no backend and works without a display.
"""

import functools
import math

import cv2
import numpy as np

from weakseg.common import IGNORE, atomic_path

# Okabe & Ito, "Color Universal Design", 2008, in this project's order: distinct with each kind of
# colour blindness.
PALETTE = np.array(
    [
        (47, 53, 66),
        (230, 159, 0),
        (0, 114, 178),
        (0, 158, 115),
        (204, 121, 167),
        (86, 180, 233),
        (213, 94, 0),
        (240, 228, 66),
    ],
    np.uint8,
)
IGNORE_COLOUR = (232, 232, 232)
INK, GREY, FAINT, ACCENT = "#2f3542", "#5b6270", "#8a8f98", "#0072b2"
DPI = 120
GAP, MARGIN, LINE, LETTER = 0.06, 0.15, 0.2, 0.075  # inches


@functools.cache
def _table():
    """Colours [256, 3] of all labels: `PALETTE`, then again and again the colour farthest in CIELAB
    from all before.
    """
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    candidates = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3)
    chosen = list(PALETTE)
    lab = _lab(candidates)
    # White, mid-grey and black are paper, greyed photographs and shadows: no class may look like
    # them.
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
    """Return distinct colours, uint8 [C, 3], background first; the first 8 suit the colour-blind.
    At most 255.
    """
    if not 0 < num_classes <= IGNORE:
        raise ValueError(f"a palette has 1 to {IGNORE} colours, not {num_classes}")
    return _table()[:num_classes].copy()


def colourise(mask):
    """Return the labels `mask` uint8 [H, W] as an RGB image uint8 [H, W, 3]; ignored pixels (255)
    are light grey.
    """
    return _table()[mask]


def hex_colour(label):
    """Return the colour of a label as matplotlib takes it: "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*_table()[label])


class Sheet:
    """A white page, measured in inches from its top left corner, with the colours of `legend` named
    at its foot.
    """

    def __init__(self, width, height, legend=()):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch

        legend = [
            (colour, shorten(name, int((width - 2 * MARGIN - 0.5) / LETTER)))
            for colour, name in legend
        ]
        columns = legend_columns([name for _, name in legend], width)
        self.width, self.height = width, height + LINE * math.ceil(len(legend) / columns)
        self.figure = Figure(figsize=(width, self.height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)
        if legend:
            handles = [
                Patch(facecolor=colour, edgecolor=FAINT, linewidth=0.5, label=name)
                for colour, name in legend
            ]
            self.figure.legend(
                handles=handles,
                loc="lower center",
                bbox_to_anchor=(0.5, 0.5 * MARGIN / self.height),
                ncols=columns,
                frameon=False,
                fontsize=8,
                labelcolor=INK,
                handlelength=1.2,
                handleheight=1.2,
                borderpad=0,
                borderaxespad=0,
                columnspacing=1.2,
            )

    def text(self, x, y, text, room, size=8.0, **style):
        """Write one line centred on height `y`, made smaller and then shortened until it is at most
        `room` wide.
        """
        style = {"va": "center", "color": INK, "parse_math": False} | style
        item = self.figure.text(x / self.width, 1 - y / self.height, text, fontsize=size, **style)
        renderer = self.figure.canvas.get_renderer()
        while item.get_window_extent(renderer).width > room * DPI and len(item.get_text()) > 4:
            if item.get_fontsize() > 5.5:
                item.set_fontsize(item.get_fontsize() - 0.5)
            else:
                item.set_text(shorten(item.get_text(), len(item.get_text()) - 1))

    def picture(self, image, x, y, width, height, size=None):
        """Show `image` [H, W, 3] as large as fits into the top of a cell, in axes whose unit is a
        pixel.

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
    return (
        text if len(text) <= length else f"{text[: length - 1 - half]}…{text[len(text) - half :]}"
    )
