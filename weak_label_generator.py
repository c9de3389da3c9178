"""Simulate annotators: turn ground-truth masks into tags, points, scribbles and boxes, pickled once for all runs.

    python weak_label_generator.py --data_dir ./data --output_file ./weak_labels/weak_labels_train.pkl
    python weak_label_generator.py --data_dir ./data --points_per_object 3 --noise 0.05 --preview 8
    python weak_label_generator.py --data_dir VOCdevkit --clicks human_points.json --output_file ./weak_labels/human.pkl

Labels are made for every image of the official training list (train.py holds its validation images from that list); the
test split is never read. Each image has its own random stream from (seed, id, signal): the labels don't depend on the
order, the number of jobs, or the other images.
"""

import argparse
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path

import annotators
from common import UserError, run_cli
from data_utils import add_data_arguments, open_dataset
from human_clicks import HumanClicks, simulate_like
from supervision import SIGNALS
from weak_labels import annotate, header, load_labels, save_labels

CHUNK = 32  # images a task: fewer than two tasks stay in this process


def annotate_many(dataset, points, options, seed):
    """Annotate a chunk of images in one process -> [(id, labels), ...]; points: {id: source of its points or None}."""
    import cv2

    cv2.setNumThreads(1)  # the processes share the cores already
    return [(name, annotate(dataset, name, options, seed, points=source)) for name, source in points.items()]


def sources(dataset, names, clicks, simulated):
    """Return {id: where its points come from}: None (the simulated annotator), people, or a simulation like them."""
    if clicks is None:
        return dict.fromkeys(names)
    people = {name: clicks.points(dataset, name) for name in names}
    return {name: partial(simulate_like, people[name]) if simulated else partial(given, people[name]) for name in names}


def given(points, scene, rng):
    """Return the points as they are."""
    return points


def annotate_all(dataset, points, options, seed, jobs):
    """Annotate all images in parallel, with a progress bar -> {id: labels} in the order of `points`."""
    from joblib import Parallel, delayed
    from tqdm import tqdm

    names = list(points)
    chunks = [{name: points[name] for name in names[i : i + CHUNK]} for i in range(0, len(names), CHUNK)]
    tasks = (delayed(annotate_many)(dataset, chunk, options, seed) for chunk in chunks)
    images = {}
    with tqdm(total=len(names), desc="annotating", unit="img") as bar:
        for done in Parallel(n_jobs=jobs if len(chunks) > 1 else 1, return_as="generator")(tasks):
            images.update(done)
            bar.update(len(done))
    return images


def coverage(dataset, images):
    """Return one line per signal: annotations and labelled pixels (at 256 x 256) where it is drawn, seconds."""
    import numpy as np

    from supervision import IGNORE, View

    some = list(images.values())[:: max(1, len(images) // 200)]
    lines = []
    for signal, row in SIGNALS.items():
        seconds = [row.seconds(labels[signal]) for labels in images.values()]
        share = ""
        if isinstance(some[0][signal], list):
            drawn = [row.target(labels[signal], View(*labels["size"], 256), dataset.tag_names) for labels in some]
            number = np.mean([len(labels[signal]) for labels in images.values()])
            share = f"{number:5.1f} an image, {100 * np.mean(np.stack(drawn) != IGNORE):7.3f} % of pixels,"
        lines.append(
            f"  {signal:<10}{share:<38}{np.mean(seconds):7.1f} s an image, {sum(seconds) / 3600:7.2f} h in all"
        )
    return lines


def preview(dataset, images, count, path):
    """Draw the labels of `count` images, evenly spaced in the list, over the photographs."""
    import numpy as np

    from plots import label_preview

    names = list(images)
    chosen = [names[i] for i in np.linspace(0, len(names) - 1, min(count, len(names))).astype(int)]
    tiles = [{"title": n, "image": np.asarray(dataset.image(n)), "annotation": images[n]} for n in chosen]
    label_preview(path, tiles, dataset.class_names)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    default = annotators.Options()
    group = parser.add_argument_group("annotator")
    group.add_argument(
        "--points_per_object", type=int, default=default.points_per_object, help="clicks (default: %(default)s)"
    )
    group.add_argument(
        "--background_points",
        type=int,
        default=default.background_points,
        help="clicks an image (default: %(default)s)",
    )
    group.add_argument(
        "--random_points", action="store_true", help="click anywhere on the object, not near its centroid first"
    )
    group.add_argument("--clicks", metavar="FILE", help="points are people's, from this file (human_clicks.py)")
    group.add_argument("--simulated_clicks", action="store_true", help="simulate as many points as --clicks has")
    group.add_argument(
        "--scribble_length",
        type=float,
        default=default.scribble_length,
        help="share of the skeleton's path (default: %(default)s)",
    )
    group.add_argument(
        "--scribble_width",
        type=int,
        default=default.scribble_width,
        help="pen width, original pixels (default: %(default)s)",
    )
    group.add_argument(
        "--min_area",
        type=float,
        default=default.min_area,
        help="smallest object, share of the image (default: %(default)s)",
    )
    group.add_argument(
        "--noise", type=float, default=default.noise,
        help="error rate of the annotator: share of clicks off the object and of wrong tags; box sides and strokes are "
        "off by this share of their length (default: %(default)s)",
    )  # fmt: skip
    group.add_argument("--seed", type=int, default=0, help="seed of all annotators (default: %(default)s)")
    group = parser.add_argument_group("output")
    group.add_argument("--output_file", default="./weak_labels/weak_labels_train.pkl", help="(default: %(default)s)")
    group.add_argument(
        "--preview", type=int, default=0, metavar="N", help="draw N images with their labels beside the output"
    )
    group.add_argument("--jobs", type=int, default=-1, help="processes, -1 = one a core (default: %(default)s)")
    return parser.parse_args()


def check(args):
    """Refuse flag values that mean nothing."""
    limits = {
        "points_per_object": (0, 1000), "background_points": (0, 1000), "scribble_length": (0.01, 1),
        "scribble_width": (1, 100), "min_area": (0, 0.5), "noise": (0, 1), "preview": (0, 100),
    }  # fmt: skip
    for flag, (low, high) in limits.items():
        if not low <= getattr(args, flag) <= high:
            raise UserError(f"--{flag} {getattr(args, flag)}: must lie between {low} and {high}")
    if not args.jobs:
        raise UserError("--jobs 0: must be a number of processes, or -1 for one a core")
    if args.simulated_clicks and not args.clicks:
        raise UserError("--simulated_clicks: needs --clicks, the file whose number of clicks is simulated")
    if Path(args.output_file).is_dir():
        raise UserError(f"--output_file {args.output_file}: is a folder; name a file in it")
    if Path(args.output_file).exists() and not is_ours(args.output_file):
        raise UserError(f"--output_file {args.output_file}: was not written by this script; move it, or name another")


def is_ours(path):
    """Whether a file holds labels that this script drew, and so can draw again; people's labels have no options."""
    try:
        return bool(load_labels(path)["options"])
    except UserError:
        return False


def refuse_unmasked(dataset, names):
    """Labels are simulated from masks: say so where one is missing."""
    unmasked = [name for name in names if not dataset.mask_path(name).exists()]
    if unmasked:
        raise UserError(
            f"{dataset.mask_path(unmasked[0])}: no such mask, nor those of {len(unmasked) - 1} other training images; "
            "labels are simulated from masks: add them, take the images off the training list, or run "
            "python download_data.py"
        )


def main(args):
    check(args)
    dataset = open_dataset(args)
    options = annotators.Options(**{f.name: getattr(args, f.name) for f in fields(annotators.Options)})
    names = dataset.ids("trainval")
    refuse_unmasked(dataset, names)
    clicks = HumanClicks(args.clicks) if args.clicks else None
    images = annotate_all(
        dataset, sources(dataset, names, clicks, args.simulated_clicks), options, args.seed, args.jobs
    )
    described = asdict(options)
    if clicks and clicks.outside:
        print(f"{args.clicks}: {clicks.outside} clicks beside their image are left out")
    if clicks:
        described |= {"clicks": clicks.digest, "simulated_clicks": args.simulated_clicks}
    save_labels(args.output_file, header(dataset, args.seed, described), images)
    print("\n".join(coverage(dataset, images)))
    if args.preview:
        path = args.output_file.removesuffix(".pkl") + "_preview.png"
        preview(dataset, images, args.preview, path)
        print(f"preview: {path}")
    print(f"{args.output_file}: {len(images)} images of {dataset.name} ({', '.join(dataset.class_names)})")


if __name__ == "__main__":
    run_cli(main, parse_args)
