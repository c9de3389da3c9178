"""The look of all figures: colours, and the white sheet that they are drawn on.

Figures are built without pyplot, so importing this changes no backend and works without a display.
"""

import functools
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import cv2
import numpy as np

from weakseg.common import IGNORE, atomic_path

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

Look = dict[str, Any]  # keyword arguments of matplotlib: colours, widths, places

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
SMALLEST_FONT = 5.5  # points


@functools.cache
def _table() -> np.ndarray:
    """Return the colours of all labels, uint8 [256, 3].

    Behind `PALETTE` it is again and again the colour that is farthest in CIELAB from all before.
    """
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    candidates = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3)
    chosen = list(PALETTE)
    lab = _lab(candidates)
    # White, mid-grey and black are paper, greyed photographs and shadows: no class may look like
    # them.
    greys = np.array([[255] * 3, [128] * 3, [0] * 3], np.uint8)
    taken = _lab(np.concatenate([PALETTE, greys]))
    distance = np.linalg.norm(lab[:, None] - taken[None], axis=-1).min(1)
    while len(chosen) < IGNORE:
        farthest = distance.argmax()
        chosen.append(candidates[farthest])
        distance = np.minimum(distance, np.linalg.norm(lab - lab[farthest], axis=-1))
    return np.array([*chosen, IGNORE_COLOUR], np.uint8)


def _lab(colours: np.ndarray) -> np.ndarray:
    """Return RGB colours, uint8 [N, 3], in CIELAB, float32 [N, 3]."""
    return cv2.cvtColor(colours.astype(np.float32)[None] / 255, cv2.COLOR_RGB2LAB)[0]


def palette(num_classes: int) -> np.ndarray:
    """Return distinct colours, uint8 [C, 3], the background's first; at most 255.

    The first 8 suit the colour-blind.
    """
    if not 0 < num_classes <= IGNORE:
        raise ValueError(f"a palette has 1 to {IGNORE} colours, not {num_classes}")
    return _table()[:num_classes].copy()


def colourise(mask: np.ndarray) -> np.ndarray:
    """Return labels, uint8 [H, W], as an RGB image, uint8 [H, W, 3]; ignored pixels are grey."""
    return _table()[mask]


def hex_colour(label: int) -> str:
    """Return the colour of a label as matplotlib takes it: "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*_table()[label])


class Sheet:
    """A white page on which a figure is drawn; positions are in inches from its top left corner.

    width, height: inches. legend: pairs (colour, name), explained below the page.
    """

    def __init__(self, width: float, height: float, legend: Iterable[tuple[str, str]] = ()) -> None:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch

        # A class may be called "$x". It must be set before a text is made, which keeps it.
        matplotlib.rcParams["text.parse_math"] = False
        longest = int((width - 2 * MARGIN - 0.5) / LETTER)
        named = [(colour, shorten_middle(name, longest)) for colour, name in legend]
        columns = legend_columns([name for _, name in named], width)
        self.width, self.height = width, height + LINE * math.ceil(len(named) / columns)
        self.figure = Figure(figsize=(width, self.height), dpi=DPI, facecolor="white")
        self.canvas = FigureCanvasAgg(self.figure)
        if named:
            look: Look = {"edgecolor": FAINT, "linewidth": 0.5}
            self.legend(
                [Patch(facecolor=colour, **look) for colour, _ in named],
                [name for _, name in named],
                loc="lower center",
                bbox_to_anchor=(0.5, 0.5 * MARGIN / self.height),
                handlelength=1.2,
                handleheight=1.2,
                borderpad=0,
                borderaxespad=0,
                columnspacing=1.2,
            )

    def legend(self, handles: Sequence["Artist"], names: Sequence[str], **style: Any) -> None:
        """Explain what is drawn, in as many columns as the sheet is wide.

        style: as `Figure.legend` takes it
        """
        look: Look = {"frameon": False, "fontsize": 8, "labelcolor": INK}
        look |= {"ncols": legend_columns(names, self.width), **style}
        self.figure.legend(handles, names, **look)

    def text(
        self, x: float, y: float, text: str, room: float, size: float = 8.0, **style: Any
    ) -> None:
        """Write one line centred on height `y`, at most `room` wide.

        The font becomes smaller, then the text is cut. style: as `Figure.text` takes it
        """
        look: Look = {"va": "center", "color": INK, **style}
        item = self.figure.text(x / self.width, 1 - y / self.height, text, fontsize=size, **look)
        renderer = self.canvas.get_renderer()
        while item.get_window_extent(renderer).width > room * DPI and len(item.get_text()) > 4:
            if size > SMALLEST_FONT:
                size -= 0.5
                item.set_fontsize(size)
            else:
                item.set_text(shorten_middle(item.get_text(), len(item.get_text()) - 1))

    def picture(
        self,
        image: np.ndarray,
        x: float,
        y: float,
        width: float,
        height: float,
        size: tuple[int, int] | None = None,
    ) -> tuple["Axes", float]:
        """Show an image [H, W, 3] as large as fits into the top of a cell.

        size: (H, W) that the axes' coordinates refer to, where the image is a thumbnail. Returns
        axes, whose unit is a pixel, and the length of one pixel in 1/72 inch.
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

    def save(self, path: str | Path) -> None:
        """Write the sheet as a PNG, atomically."""
        with atomic_path(path) as temporary:
            self.figure.savefig(temporary, format="png", dpi=DPI)

    def svg(self, name: str, title: str) -> str:
        """Return the sheet as an <svg> element to stand inside an HTML page.

        name: begins all its ids, so that two sheets can share a page; title: what it shows, for
        those who can't see it. The same sheet gives the same text.
        """
        import matplotlib

        memory = io.BytesIO()
        nothing_else = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
            self.figure.savefig(memory, format="svg", metadata=nothing_else)
        root = ElementTree.fromstring(memory.getvalue())
        # A page needs no namespaces, and matplotlib's own style sheet would reach all of it.
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
            attributes = {key.rpartition("}")[2]: text for key, text in element.attrib.items()}
            element.attrib = {key: _own_id(key, text, name) for key, text in attributes.items()}
        for parent in list(root.iter("defs")):
            for style in parent.findall("style"):
                parent.remove(style)
        del root.attrib["width"], root.attrib["height"]
        root.attrib |= {"class": "chart", "role": "img", "aria-label": title}
        return ElementTree.tostring(root, encoding="unicode")


def _own_id(key: str, text: str, name: str) -> str:
    """Return an SVG attribute's value with `name` before the id that it states or refers to."""
    if key == "id":
        return f"{name}_{text}"
    if key == "href":
        return text.replace("#", f"#{name}_", 1)
    return text.replace("url(#", f"url(#{name}_")


def legend_columns(names: Sequence[str], width: float) -> int:
    """Return in how many columns a legend of `names` fits a sheet of `width` inches."""
    longest = max(map(len, names), default=0)
    return max(1, min(len(names), int((width - 2 * MARGIN) / (0.5 + LETTER * longest))))


def shorten_middle(text: str, length: int) -> str:
    """Cut the middle of a text that is longer than `length`; its ends tell runs and images apart.

    What can't be printed, such as a line break in a name, becomes a question mark.
    """
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    half = (length - 1) // 2
    if len(text) <= length:
        return text
    return f"{text[: length - 1 - half]}…{text[len(text) - half :]}"
