"""Score trained runs on the test split: a table, one JSON a run, its masks, a comparison figure, a cost plot.

    python evaluate.py
    python evaluate.py --run_name points_run1 hybrid_run1 --checkpoint_dir ./checkpoints --results_dir ./results
    python evaluate.py --cost relative
    python evaluate.py --cost_schedule my.yaml --cost_band bearman2016
    python evaluate.py --reprice --cost_schedule my.yaml        (from the result files: predicts nothing)

Every run under --checkpoint_dir is scored with its best.pt at the masks' own resolution. Intervals are 95 % bootstrap
intervals over test images: they say how much the test set, not the seed, could have changed the number.
"""

import argparse
from pathlib import Path

from common import UserError, atomic_path, read_json, run_cli, write_json
from costs import DEFAULT, RELATIVE, load_schedule
from result_files import dataset_of, mask_name, write_mask
from run_labels import reprice
from supervision import SIGNALS

COSTS = {"seconds": "hours, training labels", "relative": "relative units an image, training labels"}
BACKGROUND = "all background"


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    group = parser.add_argument_group("runs")
    group.add_argument("--checkpoint_dir", default="./checkpoints", help="folder of the runs (default: %(default)s)")
    group.add_argument("--run_name", nargs="+", help="only these runs (default: all that are there)")
    group.add_argument("--data_dir", help="where the data lies now (default: where each run found it)")
    group.add_argument("--cache_dir", help="folder of resized images (default: each run's own)")
    group = parser.add_argument_group("inference")
    group.add_argument("--batch_size", type=int, default=16, help="images a step (default: %(default)s)")
    group.add_argument("--num_workers", type=int, default=0, help="loader processes (default: %(default)s)")
    group.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"], default="auto", help="(default: auto)")
    group = parser.add_argument_group("output")
    group.add_argument("--results_dir", default="./results", help="(default: %(default)s)")
    group.add_argument("--cost", choices=COSTS, help="cost axis of the plot: seconds, or the schedule relative")
    group.add_argument("--cost_schedule", metavar="NAME|FILE",
                       help=f"prices: a name in costs.yaml, or a YAML file (default: {DEFAULT})")  # fmt: skip
    group.add_argument("--cost_band", metavar="NAME|FILE", help="draw costs as a range, to those by this schedule")
    group.add_argument("--reprice", action="store_true", help="price the files in --results_dir anew, and only that")
    group.add_argument("--resamples", type=int, default=1000, help="of the bootstrap (default: %(default)s)")
    return parser.parse_args()


def find_runs(args):
    """Return {name: checkpoint} of the runs to score, in the order of the signal table."""
    from runs import load_checkpoint

    root = Path(args.checkpoint_dir)
    for name in args.run_name or ():
        if Path(name).name != name or name == "..":
            raise UserError(f"--run_name {name}: is the name of one folder, without '/'")
    names = args.run_name or sorted(path.parent.name for path in root.glob("*/best.pt"))
    if not names:
        raise UserError(f"--checkpoint_dir {root}: no trained run is there; train one with python train.py")
    runs = {name: load_checkpoint(root / name / "best.pt") for name in names}
    first = next(iter(runs))
    for name, run in runs.items():
        if run["test_fingerprint"] != runs[first]["test_fingerprint"]:
            raise UserError(f"runs {first} and {name} have different test images or classes; choose with --run_name")
    order = list(SIGNALS)
    return dict(
        sorted(runs.items(), key=lambda item: (len(m := item[1]["args"]["modes"]), [order.index(s) for s in m]))
    )


def predictions(checkpoint, dataset, names, cache_dir, args, accelerator):
    """Yield (id, predicted mask [H, W] uint8 at the original size, truth [H, W] uint8) with a progress bar."""
    from tqdm import tqdm

    from engine import full_size_masks
    from image_io import ResizedCache
    from loading import InOrder, SegmentationItems, make_loader
    from runs import model_from

    items = SegmentationItems(dataset, names, ResizedCache(cache_dir, checkpoint["args"]["img_size"]))
    loader = make_loader(items, InOrder(len(items), args.batch_size), args.num_workers)
    model = model_from(checkpoint).to(accelerator.device)
    masks = full_size_masks(model, loader, dataset, names, accelerator.device, accelerator.autocast)
    yield from tqdm(masks, desc=checkpoint["args"]["run_name"], total=len(names), unit="img", disable=len(names) < 10)


def score_image(prediction, truth, num_classes):
    """Return the metrics of one image as plain values; None where a class is absent."""
    import torch

    from metrics import boundary_f, confusion_matrix, scores

    confusion = confusion_matrix(torch.from_numpy(prediction), torch.from_numpy(truth), num_classes)
    values = scores(confusion)
    return {
        "miou": plain(values["miou"]),
        "pixel_accuracy": plain(values["pixel_accuracy"]),
        "iou": plain(values["iou"]),
        "boundary_f": plain(boundary_f(prediction, truth, num_classes)),
        "confusion": confusion.tolist(),
    }


def plain(value):
    """Turn a float tensor or array into plain floats, NaN into None."""
    value = value.tolist()
    if isinstance(value, list):
        return [None if v != v else v for v in value]
    return None if value != value else value


def aggregate(images, resamples):
    """Return the metrics of the whole split: IoU over all its pixels, boundary F averaged over images and classes."""
    import warnings

    import numpy as np

    from metrics import bootstrap_miou, scores

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


def chosen_schedule(args):
    """Return the `Schedule` that --cost_schedule and --cost ask for."""
    schedule = load_schedule(args.cost_schedule or (RELATIVE if args.cost == "relative" else DEFAULT))
    if args.cost and schedule.unit != args.cost:
        raise UserError(f"--cost_schedule {schedule.name}: is in {schedule.unit}; leave out --cost {args.cost}")
    return schedule


def price_again(args, schedule):
    """Price the result files in --results_dir, write them, and return the results."""
    folder, results = Path(args.results_dir), []
    for path in [folder / f"{name}.json" for name in args.run_name] if args.run_name else sorted(folder.glob("*.json")):
        result = read_json(path)
        if not isinstance(result, dict) or not {"run", "aggregate", "cost", "selection", "args"} <= result.keys():
            raise UserError(f"{path}: not a result file of evaluate.py; choose with --run_name")
        results.append(result | reprice(result, schedule, lambda result=result: dataset_of(result, args)[0]))
        write_json(path, results[-1])
    if not results:
        raise UserError(f"--results_dir {folder}: no result file is there; run python evaluate.py first")
    return results


def evaluate_run(name, checkpoint, schedule, args, accelerator):
    """Score one run on the test split, write its result file, and return the result."""
    from runs import Log

    log = Log(Path(args.checkpoint_dir) / name / "log.jsonl").read()
    dataset, cache_dir = dataset_of(checkpoint, args)
    names, classes = dataset.ids("test"), checkpoint["task"]["classes"]
    images = {}
    for image, prediction, truth in predictions(checkpoint, dataset, names, cache_dir, args, accelerator):
        dataset.check_size(image, truth.shape)
        mask = f"{name}/{mask_name(image)}"
        write_mask(Path(args.results_dir) / mask, prediction, len(classes))
        images[image] = {**score_image(prediction, truth, len(classes)), "mask": mask, "tags": [*dataset.tags(image)]}
    result = {
        "run": name,
        "supervision": checkpoint["args"]["modes"],
        "task": checkpoint["task"],
        "aggregate": aggregate(images, args.resamples),
        **reprice(checkpoint, schedule, lambda: dataset),
        "epoch": checkpoint["epoch"],
        "epochs_done": log[-1]["epoch"] if log else None,
        "args": checkpoint["args"],
        "commit": checkpoint["commit"],
        "fingerprint": checkpoint["fingerprint"],
        "test_fingerprint": checkpoint["test_fingerprint"],
        "labels": checkpoint["labels"],
        "images": images,
    }
    write_json(Path(args.results_dir) / f"{name}.json", result)
    return result


def background_row(results):
    """Return the score of predicting background everywhere, read off the truth that any result holds."""
    import numpy as np

    from metrics import scores

    confusion = sum(np.array(image["confusion"]) for image in results[0]["images"].values())
    everything = np.zeros_like(confusion)
    everything[:, 0] = confusion.sum(1)
    return {key: plain(value) for key, value in scores(everything).items()}


def percent(value):
    """Format a fraction as percent, None as a dash."""
    return "-" if value is None else f"{100 * value:.1f}"


def table(results):
    """Return the table of all runs in Markdown, in the order of the signal table, and the all-background row."""
    classes = results[0]["task"]["classes"]
    shown = classes if len(classes) <= 4 else []
    head = ["run", "supervision", "mIoU", "95 % interval", *(f"IoU {c}" for c in shown), "pixel acc.", "boundary F",
            "s/image", "hours", "best.pt chosen by"]  # fmt: skip
    rows = [head, ["---", "---", *["---:"] * (len(head) - 3), "---"]]
    base = background_row(results)
    for result in results:
        found, cost = result["aggregate"], result["cost"]
        seconds = sum(cost["seconds"].values())
        low, high = found["miou_interval"]
        chosen = result["selection"]
        rows.append([
            result["run"], " + ".join(result["supervision"]), percent(found["miou"]),
            f"{percent(low)} to {percent(high)}", *(percent(v) for v in found["iou"][: len(shown)]),
            percent(found["pixel_accuracy"]), percent(found["boundary_f"]), f"{seconds / cost['images']:.1f}",
            f"{seconds / 3600:.2f}", f"{chosen['by']} (+{sum(chosen['seconds'].values()) / 3600:.2f} h)",
        ])  # fmt: skip
    rows.append([BACKGROUND, "none", percent(base["miou"]), "", *(percent(v) for v in base["iou"][: len(shown)]),
                 percent(base["pixel_accuracy"]), "", "0.0", "0.00", ""])  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = []
    for row in rows:
        fill = "-" if row[0] == "---" else " "
        cells = [
            ("-" * (w - 1) + ":" if c.endswith(":") else c.ljust(w, fill)) for c, w in zip(row, widths, strict=True)
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def choose_images(results):
    """Choose test images by rule from per-image mIoU -> {id: why}: best, median and worst mean, and largest spread."""
    import numpy as np

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


def draw_comparison(path, results, runs, args, accelerator):
    """Draw Input | Ground truth | one column a run for the chosen images."""
    import numpy as np

    from plots import comparison_figure

    chosen = choose_images(results)
    dataset, cache_dir = dataset_of(next(iter(runs.values())), args)
    found = [
        {n: p for n, p, _ in predictions(run, dataset, list(chosen), cache_dir, args, accelerator)}
        for run in runs.values()
    ]
    rows = []
    for name, why in chosen.items():
        image, truth = dataset.load(name)
        notes = [None, *(f"mIoU {percent(result['images'][name]['miou'])}" for result in results)]
        masks = [truth, *(np.asarray(of_run[name]) for of_run in found)]
        rows.append({"label": f"{why}: {name}", "image": image, "masks": masks, "notes": notes})
    columns = ["Input", "Ground truth", *(title(result, results) for result in results)]
    comparison_figure(path, columns, rows, dataset.class_names)


def cost_of(cost, kind):
    """Return the annotation cost of a run's training labels in hours or relative units; None where it has none."""
    return cost["relative"] if kind == "relative" else sum(cost["seconds"].values()) / 3600


def draw_costs(path, results, schedule, args):
    """Draw mIoU against annotation cost -> names of the runs that have no cost in these units."""
    from charts import cost_plot

    kind, band = schedule.unit, load_schedule(args.cost_band) if args.cost_band else schedule
    if band.unit != kind:
        raise UserError(f"--cost_band {band.name}: is in {band.unit}, but the cost axis in {kind}")
    priced = [result for result in results if cost_of(result["cost"], kind) is not None]
    if priced:
        others = [reprice(r, band, lambda r=r: dataset_of(r, args)[0])["cost"] for r in priced]
        points = [
            {"name": title(r, results), "cost": cost_of(r["cost"], kind), "other_cost": cost_of(other, kind),
             "miou": 100 * r["aggregate"]["miou"],
             "low": 100 * r["aggregate"]["miou_interval"][0], "high": 100 * r["aggregate"]["miou_interval"][1]}
            for r, other in zip(priced, others, strict=True)
        ]  # fmt: skip
        names = dict.fromkeys((schedule.name, band.name))
        cost_plot(
            path, points, f"{COSTS[kind]}, by {' to '.join(names)}", reference=100 * background_row(results)["miou"]
        )
    return [result["run"] for result in results if result not in priced]


def main(args):
    if args.batch_size < 1 or args.resamples < 1 or args.num_workers < 0:
        raise UserError("--batch_size and --resamples must be at least 1, --num_workers 0")
    folder, schedule, plots = Path(args.results_dir), chosen_schedule(args), []
    if args.reprice:
        results = price_again(args, schedule)
    else:
        runs = find_runs(args)

        from engine import make_accelerator

        accelerator = make_accelerator(args.device, amp=False)  # the same numbers on every device
        folder.mkdir(parents=True, exist_ok=True)
        results = [evaluate_run(name, run, schedule, args, accelerator) for name, run in runs.items()]
        draw_comparison(folder / "comparison.png", results, runs, args, accelerator)
        plots = ["comparison.png"]
    text = table(results)
    with atomic_path(folder / "table.md") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    unpriced = draw_costs(folder / "cost.png", results, schedule, args)
    print(text)
    print(f"seconds by the schedule {results[0]['cost']['schedule']}; masks that chose best.pt are not in hours")
    if unpriced:
        print(f"without a price in {COSTS[schedule.unit]}, so not in cost.png: {', '.join(unpriced)}")
    plots += ["cost.png"] if len(unpriced) < len(results) else []
    print(f"{folder}: {', '.join(['table.md', *plots, *(r['run'] + '.json' for r in results)])}")


if __name__ == "__main__":
    run_cli(main, parse_args)
