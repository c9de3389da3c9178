"""Where names can stand in a chart without covering its marks or each other."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from weakseg.reporting.style import GREY, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

# Where a name may stand beside its point (right, up), the preferred place first.
DIRECTIONS = (1, 0.6), (1, -0.6), (-1, 0.6), (-1, -0.6), (1, 0), (-1, 0), (0, 1), (0, -1)
DISTANCES = 9, 16, 24, 34, 46, 62, 82, 106, 134  # pixels from the point to its name
LINE_FROM = 34  # pixels: a name so far away is joined to its point by a line


def name_points(
    axes: "Axes", names: Sequence[str], bars: np.ndarray, path: Sequence[Sequence[float]] = ()
) -> None:
    """Write each point's name at the nearest place that covers no error bar, no line and no name.

    bars: [N, 3, 2], the (x, y) of the lower end, the point and the upper end of each error bar
    path: corners (x, y) of a line of horizontal and vertical steps. The limits of the axes must be
    final. Where every place is taken the one with the fewest overlaps is chosen.
    """
    from matplotlib.lines import Line2D
    from matplotlib.transforms import Bbox

    canvas = axes.figure.canvas
    renderer, to_pixels = canvas.get_renderer(), axes.transData.transform
    to_axes = axes.transAxes.inverted().transform
    frame = axes.get_window_extent(renderer)
    ends = [to_pixels(bar) for bar in bars]

    # Everything that is drawn takes its room before the first name does.
    taken = [Bbox([low, high]).padded(6) for low, _, high in ends]
    for (x0, y0), (x1, y1) in itertools.pairwise(to_pixels(path) if len(path) else ()):
        taken += [Bbox([[x0, y0], [x1, y0]]).padded(1), Bbox([[x1, y0], [x1, y1]]).padded(1)]

    def badness(box: Bbox) -> int:
        """Count overlaps; outside the frame is worse than any."""
        outside = (Bbox.union([box, frame]).size > frame.size + 1e-6).any()
        return 1000 * outside + box.count_overlaps(taken)

    style = {"fontsize": 8, "color": INK, "ha": "center", "va": "center", "parse_math": False}
    for name, bar in zip(names, ends, strict=True):
        text = axes.text(0, 0, name, transform=axes.transAxes, **style)
        size = text.get_window_extent(renderer).size + 4
        # Among equals `min` takes the first, which is the nearest.
        place = min(_places(bar, size), key=badness)
        text.set_position(to_axes(place.min + place.size / 2))
        taken.append(place)
        near = np.clip(bar[1], place.min, place.max)
        if np.hypot(*(near - bar[1])) > LINE_FROM:
            line = Line2D(*to_axes([bar[1], near]).T, transform=axes.transAxes, zorder=1)
            line.set(color=GREY, linewidth=0.6)
            axes.add_line(line)


def _places(bar: np.ndarray, size: np.ndarray) -> Iterator["Bbox"]:
    """Yield places for a name of `size` pixels around a point, then around its error bar's ends.

    bar: lower end, point and upper end, [3, 2] in pixels
    """
    from matplotlib.transforms import Bbox

    for distance in DISTANCES:
        for to_end in (0, 1):
            for right, up in DIRECTIONS:
                centre = bar[1 + to_end * round(up)]
                centre = centre + np.multiply((right, up), size / 2 + distance)
                yield Bbox([centre - size / 2, centre + size / 2])
