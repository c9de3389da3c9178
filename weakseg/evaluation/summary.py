"""Evaluated runs side by side: their table, the figure of their masks, and mIoU over cost."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from weakseg.data.base import SegmentationDataset
from weakseg.evaluation.groups import (
    Group,
    group_name,
    seed_groups,
    seed_of,
    supervision_words,
    title,
)
from weakseg.evaluation.pricing import reprice
from weakseg.evaluation.results import Result, read_prediction
from weakseg.evaluation.statistics import seed_interval
from weakseg.labels.costs import Schedule, hours, in_unit
from weakseg.metrics import plain, scores
from weakseg.reporting.charts import CostPoint, cost_plot
from weakseg.reporting.pictures import comparison_figure
from weakseg.reporting.tables import markdown, mean_std, percent

AXES = {"seconds": "hours, training labels", "relative": "relative units an image, training labels"}
FEW_CLASSES = 4  # of which the table shows each one's IoU


def one_class(results: Sequence[Result]) -> tuple[str, dict[str, Any]]:
    """Return (class, metrics) of predicting one class everywhere, on the test split of the results.

    It is the background; where there is none, the class with the most pixels.
    """
    task, images = results[0]["task"], results[0]["images"].values()
    true = np.array([image["confusion"] for image in images]).sum((0, 2))
    label = 0 if task.get("has_background", True) else int(true.argmax())
    predicted = np.zeros((len(true), len(true)), int)
    predicted[:, label] = true
    name = "background" if task.get("has_background", True) else task["classes"][label]
    return name, {key: plain(value) for key, value in scores(predicted).items()}


def results_table(results: Sequence[Result]) -> str:
    """Return the Markdown table of all runs, with the metrics of predicting `one_class`."""
    classes = results[0]["task"]["classes"]
    shown = classes if len(classes) <= FEW_CLASSES else []
    head = ["labels", "run", "mIoU", "95 % interval", *(f"IoU {name}" for name in shown)]
    head += ["pixel acc.", "boundary F", "s/image", "hours", "best.pt chosen by"]
    name, base = one_class(results)
    last = [f"All {name}", "", percent(base["miou"]), "", *map(percent, base["iou"][: len(shown)])]
    last += [percent(base["pixel_accuracy"]), "", "0.0", "0.00", ""]
    rows = [_table_row(result, len(shown)) for result in results]
    return markdown(head, [*rows, last], words=(0, 1, len(head) - 1))


def _table_row(result: Result, classes: int) -> list[str]:
    """Return the cells of one run, with the IoU of the first `classes` classes."""
    metrics, cost, chosen = result["aggregate"], result["cost"], result["selection"]
    low, high = metrics["miou_interval"]
    nothing = "nothing" if has_price(result) else "-"
    return [
        supervision_words(result) if has_price(result) else "-",
        result["run"],
        percent(metrics["miou"]),
        f"{percent(low)} to {percent(high)}",
        *map(percent, metrics["iou"][:classes]),
        percent(metrics["pixel_accuracy"]),
        percent(metrics["boundary_f"]),
        f"{3600 * hours(cost) / cost['images']:.1f}" if has_price(result) else "-",
        f"{hours(cost):.2f}" if has_price(result) else "-",
        f"{chosen['by']} (+{hours(chosen):.2f} h)" if chosen["by"] else nothing,
    ]


def has_price(result: Result) -> bool:
    """Return whether it is known what a model learnt from, so that its labels have a price."""
    return bool(result["supervision"])


def seeds_table(results: Sequence[Result]) -> str:
    """Return the Markdown table of runs with several seeds, mean ± standard deviation.

    Empty where no run has several.
    """
    groups = [group for group in seed_groups(results) if len(group) > 1]
    rows = [
        [
            supervision_words(group[0]),
            group_name(group),
            ", ".join(str(seed_of(result)) for result in group),
            mean_std([100 * result["aggregate"]["miou"] for result in group]),
            f"{fmean(hours(result['cost']) for result in group):.2f}",
        ]
        for group in groups
    ]
    head = ["labels", "runs", "seeds", "mIoU", "hours"]
    return markdown(head, rows, words=(0, 1, 2)) if rows else ""


def choose_images(results: Sequence[Result]) -> dict[str, str]:
    """Choose the test images to show, by rule -> {id: why}.

    They are those of the best, median and worst mean mIoU, and where the runs differ most.
    """
    names = sorted(results[0]["images"])
    values = np.array([[result["images"][n]["miou"] or 0.0 for n in names] for result in results])
    order = np.argsort(values.mean(0), kind="stable")
    rules = {
        "best": order[-1],
        "upper quartile": order[3 * len(order) // 4],
        "median": order[len(order) // 2],
        "worst": order[0],
    }
    if len(results) > 1:
        rules["largest spread between runs"] = np.argmax(np.ptp(values, axis=0))
    chosen: dict[str, str] = {}
    for why, index in rules.items():
        name = names[int(index)]
        chosen[name] = f"{chosen[name]}, {why}" if name in chosen else why
    return chosen


def draw_comparison(path: Path, results: Sequence[Result], dataset: SegmentationDataset) -> None:
    """Draw the input, the ground truth and one column a run, for chosen test images.

    The masks are those beside the result files, in the folder of `path`. Of several seeds the
    first is shown.
    """
    groups = seed_groups(results)
    firsts = [group[0] | {"folder": path.parent} for group in groups]
    rows = []
    for name, why in choose_images(firsts).items():
        image, truth = dataset.load(name)
        masks = [truth, *(read_prediction(result, name, truth.shape) for result in firsts)]
        notes = [None, *(f"mIoU {percent(result['images'][name]['miou'])}" for result in firsts)]
        rows.append({"label": f"{why}: {name}", "image": image, "masks": masks, "notes": notes})
    # The name of a run stands in a second line, where a title has one.
    titles = [title(group, groups).replace(" (", "\n(", 1) for group in groups]
    columns, has_background = ["Input", "Ground truth", *titles], dataset.has_background
    comparison_figure(path, columns, rows, dataset.class_names, has_background)


def mean_and_interval(group: Group) -> dict[str, float]:
    """Return {"miou", "low", "high"} of a group: its mean over seeds and the 95 % t-interval.

    Of one seed the interval is the bootstrap's, over test images.
    """
    metrics = [result["aggregate"] for result in group]
    if len(group) > 1:
        mean, low, high = seed_interval([one["miou"] for one in metrics])
    else:
        mean, (low, high) = metrics[0]["miou"], metrics[0]["miou_interval"]
    return {"miou": mean, "low": low, "high": high}


def cost_point(name: str, group: Group, unit: str, band: Schedule | None = None) -> CostPoint:
    """Return a group's place in a plot of mIoU over cost.

    unit: of the cost, a name of `costs.UNITS`; band: a schedule whose cost is shown as well
    """
    percents = {key: 100 * value for key, value in mean_and_interval(group).items()}
    cost = _mean_cost(group, unit)
    other = _mean_cost([reprice(result, band) for result in group], unit) if band else cost
    return CostPoint(name, cost, other_cost=other, **percents)


def _mean_cost(group: Group, unit: str) -> float:
    """Return the mean cost of a group, all of which has a price in the unit."""
    costs = (in_unit(result["cost"], unit) for result in group)
    return fmean(cost for cost in costs if cost is not None)


def draw_costs(
    path: Path, results: Sequence[Result], schedule: Schedule, band: Schedule
) -> list[str]:
    """Draw mIoU over annotation cost -> the names of runs without a cost in the schedule's unit.

    band: a schedule of the same unit; costs are drawn as a range to its prices
    """
    unit = schedule.unit
    priced = [
        result
        for result in results
        if has_price(result) and in_unit(result["cost"], unit) is not None
    ]
    groups = seed_groups(priced)
    if groups:
        names = " to ".join(dict.fromkeys((schedule.name, band.name)))
        points = [cost_point(title(group, groups), group, unit, band) for group in groups]
        name, base = one_class(results)
        reference = 100 * base["miou"], f"all {name}"
        cost_plot(path, points, f"{AXES[unit]}, by {names}", *reference)
    return [result["run"] for result in results if result not in priced]
