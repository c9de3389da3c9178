"""What evaluate.py shows of results side by side: the table, the figure of predictions, mIoU over
cost.
"""

from statistics import fmean

import numpy as np

from weakseg.evaluation.pricing import repriced
from weakseg.evaluation.results import group_name, read_prediction, seed_groups, seed_of
from weakseg.evaluation.statistics import seed_interval
from weakseg.labels.costs import cost_band, hours, in_unit
from weakseg.metrics import plain, scores
from weakseg.reporting.charts import cost_plot
from weakseg.reporting.pictures import comparison_figure
from weakseg.reporting.tables import markdown, mean_std, percent

AXES = {"seconds": "hours, training labels", "relative": "relative units an image, training labels"}
BACKGROUND = "all background"


def background_row(results):
    """Return the score of predicting background everywhere, read off the truth that any result
    holds.
    """
    confusion = sum(np.array(image["confusion"]) for image in results[0]["images"].values())
    everything = np.zeros_like(confusion)
    everything[:, 0] = confusion.sum(1)
    return {key: plain(value) for key, value in scores(everything).items()}


def table(results):
    """Return the table of all runs in Markdown, and the all-background row."""
    classes = results[0]["task"]["classes"]
    shown = classes if len(classes) <= 4 else []
    head = [
        "run",
        "supervision",
        "mIoU",
        "95 % interval",
        *(f"IoU {c}" for c in shown),
        "pixel acc.",
        "boundary F",
        "s/image",
        "hours",
        "best.pt chosen by",
    ]
    rows, base = [], background_row(results)
    for result in results:
        found, cost, chosen = result["aggregate"], result["cost"], result["selection"]
        low, high = found["miou_interval"]
        rows.append(
            [
                result["run"],
                " + ".join(result["supervision"]),
                percent(found["miou"]),
                f"{percent(low)} to {percent(high)}",
                *(percent(v) for v in found["iou"][: len(shown)]),
                percent(found["pixel_accuracy"]),
                percent(found["boundary_f"]),
                f"{3600 * hours(cost) / cost['images']:.1f}",
                f"{hours(cost):.2f}",
                f"{chosen['by']} (+{hours(chosen):.2f} h)",
            ]
        )
    rows.append(
        [
            BACKGROUND,
            "none",
            percent(base["miou"]),
            "",
            *(percent(v) for v in base["iou"][: len(shown)]),
            percent(base["pixel_accuracy"]),
            "",
            "0.0",
            "0.00",
            "",
        ]
    )
    return markdown(head, rows, words=(0, 1, len(head) - 1))


def table_of_seeds(results):
    """Return the table of runs with several seeds in Markdown, mean ± standard deviation; empty
    without any.
    """
    rows = []
    for group in seed_groups(results):
        if len(group) > 1:
            mious, spent = (
                [100 * r["aggregate"]["miou"] for r in group],
                fmean(hours(r["cost"]) for r in group),
            )
            seeds = ", ".join(str(seed_of(result)) for result in group)
            rows.append(
                [
                    group_name(group),
                    " + ".join(group[0]["supervision"]),
                    seeds,
                    mean_std(mious),
                    f"{spent:.2f}",
                ]
            )
    return (
        markdown(["runs", "supervision", "seeds", "mIoU", "hours"], rows, words=(0, 1, 2))
        if rows
        else ""
    )


def choose_images(results):
    """Choose test images by rule from per-image mIoU -> {id: why}: best, median and worst mean, and
    largest spread.
    """
    names = sorted(results[0]["images"])
    values = np.array([[result["images"][n]["miou"] or 0.0 for n in names] for result in results])
    order = np.argsort(values.mean(0), kind="stable")
    rules = {
        "best": order[-1],
        "upper quartile": order[3 * len(order) // 4],
        "median": order[len(order) // 2],
        "worst": order[0],
        "largest spread between runs": np.argmax(np.ptp(values, axis=0)),
    }
    if len(results) == 1:
        del rules["largest spread between runs"]
    chosen = {}
    for why, index in rules.items():
        name = names[int(index)]
        chosen[name] = f"{chosen[name]}, {why}" if name in chosen else why
    return chosen


def title(group, groups):
    """Return a run's title, with all its seeds: its supervision, or its name where that is not
    unique.
    """
    alike = sum(other[0]["supervision"] == group[0]["supervision"] for other in groups)
    return " + ".join(group[0]["supervision"]).capitalize() if alike == 1 else group_name(group)


def draw_comparison(path, results, dataset):
    """Draw Input | Ground truth | one column a run for the chosen images, from the masks beside the
    result files.

    Of several seeds the first is shown.
    """
    rows, groups = [], seed_groups(results)
    results = [group[0] for group in groups]
    for name, why in choose_images(results).items():
        image, truth = dataset.load(name)
        notes = [None, *(f"mIoU {percent(result['images'][name]['miou'])}" for result in results)]
        masks = [
            truth,
            *(read_prediction(r | {"folder": path.parent}, name, truth.shape) for r in results),
        ]
        rows.append({"label": f"{why}: {name}", "image": image, "masks": masks, "notes": notes})
    columns = ["Input", "Ground truth", *(title(group, groups) for group in groups)]
    comparison_figure(path, columns, rows, dataset.class_names)


def interval(group):
    """Return {"miou", "low", "high"}: the mean over seeds and its t-interval; of one seed, that
    over images.
    """
    found = [result["aggregate"] for result in group]
    mious = [of["miou"] for of in found]
    ends = seed_interval(mious) if len(group) > 1 else (*mious, *found[0]["miou_interval"])
    return dict(zip(("miou", "low", "high"), ends, strict=True))


def draw_costs(path, results, schedule, args):
    """Draw mIoU against annotation cost -> names of the runs that have no cost in the schedule's
    unit.
    """
    unit, band = schedule.unit, cost_band(args, schedule)
    priced = [result for result in results if in_unit(result["cost"], unit) is not None]
    groups = seed_groups(priced)
    points = [
        {
            "name": title(group, groups),
            "cost": fmean(in_unit(r["cost"], unit) for r in group),
            "other_cost": fmean(in_unit(repriced(r, band, args)["cost"], unit) for r in group),
            **{key: 100 * value for key, value in interval(group).items()},
        }
        for group in groups
    ]
    if points:
        names = " to ".join(dict.fromkeys((schedule.name, band.name)))
        cost_plot(
            path,
            points,
            f"{AXES[unit]}, by {names}",
            reference=100 * background_row(results)["miou"],
        )
    return [result["run"] for result in results if result not in priced]


def score_image(prediction, truth, num_classes):
    """Return the metrics of one image as plain values; None where a class is absent."""
    import torch

    from weakseg.metrics import boundary_f, confusion_matrix, plain, scores

    confusion = confusion_matrix(torch.from_numpy(prediction), torch.from_numpy(truth), num_classes)
    values = scores(confusion)
    return {
        "miou": plain(values["miou"]),
        "pixel_accuracy": plain(values["pixel_accuracy"]),
        "iou": plain(values["iou"]),
        "boundary_f": plain(boundary_f(prediction, truth, num_classes)),
        "confusion": confusion.tolist(),
    }


def aggregate(images, resamples):
    """Return the metrics of the whole split: IoU over all its pixels, boundary F averaged over
    images and classes.
    """
    import warnings

    import numpy as np

    from weakseg.evaluation.statistics import bootstrap_miou
    from weakseg.metrics import plain, scores

    confusions = np.array([image["confusion"] for image in images.values()])
    values = scores(confusions.sum(0))
    edges = np.array([image["boundary_f"] for image in images.values()], float)[:, 1:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a class that no image shows has no mean
        boundary = np.nanmean(edges, axis=0)
        overall = np.nanmean(boundary)
    return {
        "miou": plain(values["miou"]),
        "miou_interval": list(bootstrap_miou(confusions, resamples=resamples)),
        "iou": plain(values["iou"]),
        "pixel_accuracy": plain(values["pixel_accuracy"]),
        "boundary_f": plain(overall),
        "boundary_f_classes": plain(boundary),
    }
