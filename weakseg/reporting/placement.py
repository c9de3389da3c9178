"""Where names can stand in a chart without covering its marks or each other."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from weakseg.reporting.style import FAINT, INK, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

# Where a name may stand beside its point (right, up), the preferred place first.
DIRECTIONS = (1, 0.6), (1, -0.6), (-1, 0.6), (-1, -0.6), (1, 0), (-1, 0), (0, 1), (0, -1)
DISTANCES = 9, 16, 24, 34, 46, 62, 82, 106, 134  # pixels from the point to its name
LINE_FROM = 18  # pixels: a name so far away is joined to its point by a line


def name_points(
    axes: "Axes",
    names: Sequence[str],
    bars: np.ndarray,
    lines: Iterable[Sequence[tuple[float, float]]] = (),
) -> None:
    """Write each point's name at the nearest place that covers no error bar, no line and no name.

    bars: [N, 3, 2], the (x, y) of the lower end, the point and the upper end of each error bar
    lines: each the corners (x, y) of a path of horizontal and vertical steps
    The limits of the axes must be final. Where every place is taken the one with the fewest
    overlaps is chosen. A name far from its point is joined to it by a thin line.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.lines import Line2D
    from matplotlib.transforms import Bbox

    renderer = FigureCanvasAgg(axes.get_figure(root=True)).get_renderer()
    to_pixels, to_axes = axes.transData.transform, axes.transAxes.inverted().transform
    frame = axes.get_window_extent(renderer)
    ends = [np.asarray(to_pixels(bar)) for bar in bars]

    # Everything that is drawn takes its room before the first name does.
    taken = [Bbox([low, high]).padded(6) for low, _, high in ends]
    for corners in lines:
        for (x0, y0), (x1, y1) in itertools.pairwise(to_pixels(corners)):
            taken += [Bbox([[x0, y0], [x1, y0]]).padded(1), Bbox([[x1, y0], [x1, y1]]).padded(1)]

    def badness(box: Bbox) -> int:
        """Return how many things a box covers; outside the frame is worse than any."""
        outside = (np.array(Bbox.union([box, frame]).size) > np.array(frame.size) + 1e-6).any()
        return 1000 * int(outside) + box.count_overlaps(taken)

    style: Look = {"fontsize": 8, "color": INK, "ha": "center", "va": "center"}
    for name, bar in zip(names, ends, strict=True):
        text = axes.text(0, 0, name, transform=axes.transAxes, **style)
        size = np.array(text.get_window_extent(renderer).size) + 4
        # Among equals `min` takes the first, which is the nearest.
        place = min(_places(bar, size), key=badness)
        low, high = place.get_points()
        x, y = to_axes((low + high) / 2)
        text.set_position((x, y))
        taken.append(place)
        near = np.clip(bar[1], low, high)
        if np.hypot(*(near - bar[1])) > LINE_FROM:
            xs, ys = np.transpose(to_axes([bar[1], near]))
            line: Look = {"color": FAINT, "linewidth": 0.6, "zorder": 1}
            axes.add_line(Line2D(xs, ys, transform=axes.transAxes, **line))


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
