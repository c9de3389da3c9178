"""What evaluate.py shows of results side by side: the table, the figure of predictions, mIoU over cost."""

import numpy as np

from charts import cost_plot
from common import UserError
from costs import hours, load_schedule
from metrics import plain, scores
from plots import comparison_figure
from pricing import in_unit, repriced
from result_files import read_prediction
from tables import markdown, percent

AXES = {"seconds": "hours, training labels", "relative": "relative units an image, training labels"}
BACKGROUND = "all background"


def background_row(results):
    """Return the score of predicting background everywhere, read off the truth that any result holds."""
    confusion = sum(np.array(image["confusion"]) for image in results[0]["images"].values())
    everything = np.zeros_like(confusion)
    everything[:, 0] = confusion.sum(1)
    return {key: plain(value) for key, value in scores(everything).items()}


def table(results):
    """Return the table of all runs in Markdown, and the all-background row."""
    classes = results[0]["task"]["classes"]
    shown = classes if len(classes) <= 4 else []
    head = ["run", "supervision", "mIoU", "95 % interval", *(f"IoU {c}" for c in shown), "pixel acc.", "boundary F",
            "s/image", "hours", "best.pt chosen by"]  # fmt: skip
    rows, base = [], background_row(results)
    for result in results:
        found, cost, chosen = result["aggregate"], result["cost"], result["selection"]
        low, high = found["miou_interval"]
        rows.append([
            result["run"], " + ".join(result["supervision"]), percent(found["miou"]),
            f"{percent(low)} to {percent(high)}", *(percent(v) for v in found["iou"][: len(shown)]),
            percent(found["pixel_accuracy"]), percent(found["boundary_f"]),
            f"{3600 * hours(cost) / cost['images']:.1f}", f"{hours(cost):.2f}",
            f"{chosen['by']} (+{hours(chosen):.2f} h)",
        ])  # fmt: skip
    rows.append([BACKGROUND, "none", percent(base["miou"]), "", *(percent(v) for v in base["iou"][: len(shown)]),
                 percent(base["pixel_accuracy"]), "", "0.0", "0.00", ""])  # fmt: skip
    return markdown(head, rows, words=(0, 1, len(head) - 1))


def choose_images(results):
    """Choose test images by rule from per-image mIoU -> {id: why}: best, median and worst mean, and largest spread."""
    names = sorted(results[0]["images"])
    values = np.array([[result["images"][n]["miou"] or 0.0 for n in names] for result in results])
    order = np.argsort(values.mean(0), kind="stable")
    rules = {"best": order[-1], "upper quartile": order[3 * len(order) // 4], "median": order[len(order) // 2],
             "worst": order[0], "largest spread between runs": np.argmax(np.ptp(values, axis=0))}  # fmt: skip
    if len(results) == 1:
        del rules["largest spread between runs"]
    chosen = {}
    for why, index in rules.items():
        name = names[int(index)]
        chosen[name] = f"{chosen[name]}, {why}" if name in chosen else why
    return chosen


def title(result, results):
    """Return a run's column title: its supervision, and its name where that is not unique."""
    alike = sum(other["supervision"] == result["supervision"] for other in results)
    modes = " + ".join(result["supervision"]).capitalize()
    return modes if alike == 1 else f"{modes} ({result['run']})"


def draw_comparison(path, results, dataset):
    """Draw Input | Ground truth | one column a run for the chosen images, from the masks beside the result files."""
    rows = []
    for name, why in choose_images(results).items():
        image, truth = dataset.load(name)
        notes = [None, *(f"mIoU {percent(result['images'][name]['miou'])}" for result in results)]
        masks = [truth, *(read_prediction(r | {"folder": path.parent}, name, truth.shape) for r in results)]
        rows.append({"label": f"{why}: {name}", "image": image, "masks": masks, "notes": notes})
    columns = ["Input", "Ground truth", *(title(result, results) for result in results)]
    comparison_figure(path, columns, rows, dataset.class_names)


def draw_costs(path, results, schedule, args):
    """Draw mIoU against annotation cost -> names of the runs that have no cost in the schedule's unit."""
    unit, band = schedule.unit, load_schedule(args.cost_band) if args.cost_band else schedule
    if band.unit != unit:
        raise UserError(f"--cost_band {band.name}: is in {band.unit}, but the cost axis in {unit}")
    priced = [result for result in results if in_unit(result["cost"], unit) is not None]
    points = [
        {"name": title(r, results), "cost": in_unit(r["cost"], unit),
         "other_cost": in_unit(repriced(r, band, args)["cost"], unit), "miou": 100 * r["aggregate"]["miou"],
         "low": 100 * r["aggregate"]["miou_interval"][0], "high": 100 * r["aggregate"]["miou_interval"][1]}
        for r in priced
    ]  # fmt: skip
    if points:
        names = " to ".join(dict.fromkeys((schedule.name, band.name)))
        cost_plot(path, points, f"{AXES[unit]}, by {names}", reference=100 * background_row(results)["miou"])
    return [result["run"] for result in results if result not in priced]
