"""The layout of the report's charts in pixels: report.html draws them as inline SVG, with values on
hover and focus.

A chart is a dict of plain numbers and texts: `width`, `height`, `ticks`, and `marks`, each with the
`tip` it shows.
"""

import itertools
import math

from weakseg.reporting.charts import pareto
from weakseg.reporting.tables import percent

LETTER = 6.6  # width of a letter of the labels, pixels


def ticks(low, high, count):
    """Return round numbers in [low, high], about `count` of them."""
    from matplotlib.ticker import MaxNLocator

    return [
        float(v)
        for v in MaxNLocator(count, steps=[1, 2, 5, 10]).tick_values(low, high)
        if low - 1e-9 <= v <= high + 1e-9
    ]


def log_ticks(low, high, count):
    """Return 1, 2, 5 x 10^k in [low, high], thinned to at most `count`."""
    values = [
        m * 10.0**k
        for k in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for m in (1, 2, 5)
    ]
    values = [value for value in values if low <= value <= high]
    return values[:: math.ceil(len(values) / count)] if values else []


def scale(low, high, start, end, log=False):
    """Return a function from values in [low, high] to pixels in [start, end], rounded to tenths."""
    turn = math.log if log else float
    return lambda v: round(
        start + (turn(v) - turn(low)) / (turn(high) - turn(low)) * (end - start), 1
    )


def cost_chart(runs, width, height):
    """Lay out test mIoU over hours of annotation, with intervals and the Pareto frontier.

    runs: dicts `name`, `supervision`, `hours`, `miou`, `low`, `high` (fractions), `colour` (an
    index)
    """
    left, right, top, bottom = 54, width - 14, 12, height - 44
    hours = [run["hours"] for run in runs]
    log = min(hours) > 0 and max(hours) > 8 * min(hours)
    room = (max(hours) - min(hours)) * 0.08 or max(hours) * 0.5 or 1
    first, last = (
        (min(hours) / 1.3, max(hours) * 1.3)
        if log
        else (max(0, min(hours) - room), max(hours) + room)
    )
    low, high = (
        min(min(r["low"], r["miou"]) for r in runs),
        max(max(r["high"], r["miou"]) for r in runs),
    )
    margin = (high - low) * 0.06 or 0.05
    low, high = max(0.0, low - margin), min(1.0, high + margin)
    x, y = scale(first, last, left, right, log), scale(low, high, bottom, top)
    marks = [
        {
            "x": x(run["hours"]),
            "y": y(run["miou"]),
            "low": y(max(run["low"], low)),
            "high": y(min(run["high"], high)),
            "colour": run["colour"],
            "tip": f"{run['name']} ({run['supervision']}): mIoU {percent(run['miou'])} %, 95 % interval "
            f"{percent(run['low'])} to {percent(run['high'])}, {run['hours']:.2f} h",
        }
        for run in runs
    ]
    best = [marks[index] for index in pareto(hours, [run["miou"] for run in runs])]
    steps = "".join(f"H{mark['x']}V{mark['y']}" for mark in best)
    across = log_ticks(first, last, width // 60) if log else ticks(first, last, width // 90)
    name_marks(marks, [run["name"] for run in runs], (left, top, right, bottom))
    return {
        "width": width,
        "height": height,
        "left": left,
        "right": right,
        "top": top,
        "bottom": bottom,
        "marks": marks,
        "frontier": f"M{best[0]['x']} {best[0]['y']}{steps}H{right}",
        "across": [{"at": x(v), "text": f"{v:g}"} for v in across],
        "up": [{"at": y(v / 100), "text": f"{v:g}"} for v in ticks(100 * low, 100 * high, 6)],
    }


def name_marks(marks, names, frame):
    """Give each mark a `label` beside it where it covers no other mark or label and stays in the
    frame, else None.
    """
    taken = [(m["x"] - 6, m["high"] - 2, m["x"] + 6, m["low"] + 2) for m in marks]
    for mark, name in zip(marks, names, strict=True):
        wide = LETTER * len(name)
        mark["label"] = None
        for dx, dy in itertools.product((9, -9 - wide), (-8, 16, 4)):
            box = mark["x"] + dx, mark["y"] + dy - 10, mark["x"] + dx + wide, mark["y"] + dy + 2
            inside = (
                box[0] >= frame[0]
                and box[1] >= frame[1]
                and box[2] <= frame[2]
                and box[3] <= frame[3]
            )
            if inside and not any(overlap(box, other) for other in taken):
                mark["label"] = {"x": box[0], "y": mark["y"] + dy, "text": name}
                taken.append(box)
                break


def overlap(one, two):
    """Whether two boxes (left, top, right, bottom) share any area."""
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def forest_chart(rows, width):
    """Lay out differences with their intervals, one below the other, around a line at zero.

    rows: (section, name, estimate) as from `findings.rows`; those of A, B and the difference are in
    the tip
    """
    names = [name for _, name, _ in rows]
    left = min(LETTER * max(map(len, names)) + 12, 0.52 * width)
    ends = [
        100 * value[key]
        for _, _, value in rows
        for key in ("difference", "low", "high")
        if value[key] is not None
    ]
    reach = max(map(abs, ends)) * 1.08 or 1.0
    line, top = 22, 10
    height = top + line * len(rows) + 44
    x = scale(-reach, reach, left, width - 10)
    marks = []
    for index, (_, name, value) in enumerate(rows):
        low, high = value["low"], value["high"]
        interval = (
            "" if low is None else f", 95 % interval {percent(low, '+')} to {percent(high, '+')}"
        )
        marks.append(
            {
                "y": top + line * (index + 0.5),
                "x": x(100 * value["difference"]),
                "name": shortened(name, left),
                "low": None if low is None else x(100 * low),
                "high": None if low is None else x(100 * high),
                "sure": low is not None and not low <= 0 <= high,
                "tip": f"{name}: A {percent(value['a'])}, B {percent(value['b'])}, difference "
                f"{percent(value['difference'], '+')}{interval}",
            }
        )
    return {
        "width": width,
        "height": height,
        "left": left,
        "zero": x(0),
        "bottom": height - 44,
        "marks": marks,
        "line": line,
        "across": [
            {"at": x(v), "text": f"{v:+g}" if v else "0"}
            for v in ticks(-reach, reach, max(2, int((width - left) // 60)))
        ],
    }


def shortened(name, room):
    """Return a name that fits into `room` pixels, cut at its end."""
    letters = int((room - 10) / LETTER)
    return name if len(name) <= letters else name[: letters - 1] + "…"
