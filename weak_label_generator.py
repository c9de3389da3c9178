"""Simulate annotators: turn ground-truth masks into tags, points, scribbles and boxes, pickled once
for all runs.

    python weak_label_generator.py --data_dir ./data --output_file ./weak_labels/weak_labels_train.pkl
    python weak_label_generator.py --data_dir ./data --points_per_object 3 --noise 0.05 --preview 8
    python weak_label_generator.py --data_dir VOCdevkit --clicks human_points.json --output_file ./weak_labels/human.pkl
    python weak_label_generator.py --data_dir huge --shards 100 --output_file ./weak_labels/huge --backend dask

Labels are made for every image of the official training list (train.py holds its validation images
from that list); the test split is never read. Each image has its own random stream from (seed, id,
signal): the labels don't depend on the order, the number of jobs, or the other images.

With --shards the output is a folder of that many files, written in flat memory and read image by
image, which stands for the file in every script. Stop it whenever you like: the same command goes
on, and keeps the shards that are done.
"""

import argparse
from contextlib import closing
from dataclasses import asdict, fields
from functools import partial
from itertools import islice, starmap
from pathlib import Path
from statistics import fmean

from weakseg.common import UserError, run_cli
from weakseg.data.datasets import DataOptions, add_data_arguments, open_dataset
from weakseg.labels import annotators
from weakseg.labels.human_clicks import HumanClicks, simulate_like
from weakseg.labels.label_file import annotate, header, load_labels, save_labels
from weakseg.labels.label_shards import only_shards, record, shards_in, write_shards
from weakseg.labels.signals import SIGNALS
from weakseg.parallel import add_backend_arguments, backend, check_backend, stream

CHUNK = 32  # images a task: fewer than two tasks stay in this process
SAMPLE = 5000  # images at most that what is printed is drawn from


def annotate_many(dataset, points, options, seed):
    """Annotate a chunk of images in one process -> [(id, labels), ...]; points: {id: source of its
    points or None}.
    """
    import cv2

    cv2.setNumThreads(1)  # the processes share the cores already
    return [
        (name, annotate(dataset, name, options, seed, points=source))
        for name, source in points.items()
    ]


def record_many(dataset, points, options, seed):
    """Annotate a chunk of images in one process -> their records in a shard, which this process
    need not unpack.
    """
    return [record(name, labels) for name, labels in annotate_many(dataset, points, options, seed)]


def sources(dataset, names, clicks, simulated):
    """Return {id: where its points come from}, people or a simulation like them; empty for the
    simulated annotator.
    """
    if clicks is None:
        return {}
    people = {name: clicks.points(dataset, name) for name in names}
    return {
        name: partial(simulate_like, people[name]) if simulated else partial(given, people[name])
        for name in names
    }


def given(points, scene, rng):
    """Return the points as they are."""
    return points


def annotate_all(function, dataset, points, options, args, names, count):
    """Annotate images in parallel, with a progress bar -> iterator of what `function` returns of
    each, in their order.

    function: `annotate_many` or `record_many`; names: iterable of `count` ids, read as it goes
    """
    from joblib import delayed
    from tqdm import tqdm

    names = iter(names)
    chunks = iter(lambda: list(islice(names, CHUNK)), [])
    tasks = (
        delayed(function)(
            dataset.part(chunk), {name: points.get(name) for name in chunk}, options, args.seed
        )
        for chunk in chunks
    )
    with backend(args), tqdm(total=count, desc="annotating", unit="img", disable=not count) as bar:
        for done in stream(tasks, args, n_jobs=1 if count <= CHUNK else None):
            yield from done
            bar.update(len(done))


def drawn_from(dataset, name):
    """Return what an image's labels depend on besides the header of their file; where it changes, a
    shard is redone.
    """
    mask = dataset.mask_path(name).stat()
    return annotators.DRAWING, dataset.tags(name), mask.st_size, mask.st_mtime_ns


class Summary:
    """What is printed and previewed of labels, gathered image by image from a few of them, evenly
    spaced in the list.

    Seconds and annotations are means over at most `SAMPLE` images, labelled pixels (at 256 x 256)
    over some 200.
    """

    def __init__(self, dataset, names, previewed):
        self.dataset, self.names, self.labels = dataset, names, {}
        sample = names[:: -(-len(names) // SAMPLE)]
        few = min(previewed, len(names))
        self.sample, self.drawn = set(sample), set(sample[:: max(1, len(sample) // 200)])
        self.previewed = {names[k * (len(names) - 1) // max(1, few - 1)] for k in range(few)}
        self.values = {signal: {"seconds": [], "number": [], "pixels": []} for signal in SIGNALS}

    def asked(self):
        """Return the ids of the images that are looked at, in their order."""
        return [name for name in self.names if name in self.sample or name in self.previewed]

    def see(self, name, labels):
        """Look at the labels of an image, and return both as they are."""
        from weakseg.common import IGNORE
        from weakseg.labels.targets import View

        if name in self.previewed:
            self.labels[name] = labels
        for signal, row in SIGNALS.items() if name in self.sample else ():
            values = self.values[signal]
            values["seconds"].append(row.seconds(labels[signal]))
            if isinstance(labels[signal], list):
                values["number"].append(len(labels[signal]))
                if name in self.drawn:
                    target = row.target(
                        labels[signal], View(*labels["size"], 256), self.dataset.tag_names
                    )
                    values["pixels"].append((target != IGNORE).mean())
        return name, labels

    def lines(self):
        """Return one line per signal: annotations and labelled pixels where it is drawn,
        seconds.
        """
        lines = []
        for signal, values in self.values.items():
            seconds, share = fmean(values["seconds"]), ""
            if values["number"]:
                number, pixels = fmean(values["number"]), 100 * fmean(values["pixels"])
                share = f"{number:5.1f} an image, {pixels:7.3f} % of pixels,"
            hours = seconds * len(self.names) / 3600
            lines.append(
                f"  {signal:<10}{share:<38}{seconds:7.1f} s an image, {hours:7.2f} h in all"
            )
        return lines

    def preview(self, path):
        """Draw the labels over the photographs."""
        import numpy as np

        from weakseg.reporting.pictures import label_preview

        tiles = [
            {"title": name, "image": np.asarray(self.dataset.image(name)), "annotation": labels}
            for name, labels in self.labels.items()
        ]
        label_preview(path, tiles, self.dataset.class_names)


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data_arguments(parser)
    default = annotators.Options()
    group = parser.add_argument_group("annotator")
    group.add_argument(
        "--points_per_object",
        type=int,
        default=default.points_per_object,
        help="clicks (default: %(default)s)",
    )
    group.add_argument(
        "--background_points",
        type=int,
        default=default.background_points,
        help="clicks an image (default: %(default)s)",
    )
    group.add_argument(
        "--random_points",
        action="store_true",
        help="click anywhere on the object, not near its centroid first",
    )
    group.add_argument(
        "--clicks", metavar="FILE", help="points are people's, from this file (human_clicks.py)"
    )
    group.add_argument(
        "--simulated_clicks", action="store_true", help="simulate as many points as --clicks has"
    )
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
        "--noise",
        type=float,
        default=default.noise,
        help="error rate of the annotator: share of clicks off the object and of wrong tags; box sides and strokes are "
        "off by this share of their length (default: %(default)s)",
    )
    group.add_argument(
        "--seed", type=int, default=0, help="seed of all annotators (default: %(default)s)"
    )
    group = parser.add_argument_group("output")
    group.add_argument(
        "--output_file",
        default="./weak_labels/weak_labels_train.pkl",
        help="with --shards a folder (default: %(default)s)",
    )
    group.add_argument(
        "--shards",
        type=int,
        default=0,
        metavar="N",
        help="write N files and an index, in flat memory (default: one file)",
    )
    group.add_argument(
        "--preview",
        type=int,
        default=0,
        metavar="N",
        help="draw N images with their labels beside the output",
    )
    group = parser.add_argument_group("execution")
    group.add_argument(
        "--jobs", type=int, default=-1, help="processes, -1 = one a core (default: %(default)s)"
    )
    add_backend_arguments(group, ("loky", "dask", "ray"), "loky")
    return parser.parse_args()


def check(args):
    """Refuse flag values that mean nothing."""
    limits = {
        "points_per_object": (0, 1000),
        "background_points": (0, 1000),
        "scribble_length": (0.01, 1),
        "scribble_width": (1, 100),
        "min_area": (0, 0.5),
        "noise": (0, 1),
        "preview": (0, 100),
        "shards": (0, 99999),
    }
    for flag, (low, high) in limits.items():
        if not low <= getattr(args, flag) <= high:
            raise UserError(f"--{flag} {getattr(args, flag)}: must lie between {low} and {high}")
    if not args.jobs:
        raise UserError("--jobs 0: must be a number of processes, or -1 for one a core")
    if args.simulated_clicks and not args.clicks:
        raise UserError(
            "--simulated_clicks: needs --clicks, the file whose number of clicks is simulated"
        )
    check_backend(args)
    check_output(args)


def check_output(args):
    """Refuse an --output_file of the other form than --shards says, or that this script didn't
    write.
    """
    path = Path(args.output_file)
    if args.shards and path.is_file():
        raise UserError(
            f"--output_file {path}: is a file; name a folder for the --shards, or leave --shards out"
        )
    if not args.shards and path.is_dir():
        known = (
            f"holds labels in shards; add --shards {shards_in(path)}, or"
            if shards_in(path)
            else "is a folder;"
        )
        raise UserError(f"--output_file {path}: {known} name a file in it")
    if path.exists() and not is_ours(path):
        raise UserError(
            f"--output_file {path}: was not written by this script; move it, or name another"
        )


def is_ours(path):
    """Whether a file or folder holds labels that this script drew, and so can draw again; people's
    have no options.
    """
    try:
        return bool(load_labels(path)["options"])
    except UserError:
        return path.is_dir() and only_shards(path)


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
    dataset = open_dataset(DataOptions.of(vars(args)))
    options = annotators.Options(
        **{f.name: getattr(args, f.name) for f in fields(annotators.Options)}
    )
    names = dataset.ids("trainval")
    refuse_unmasked(dataset, names)
    clicks = HumanClicks(args.clicks) if args.clicks else None
    points = sources(dataset, names, clicks, args.simulated_clicks)
    described = asdict(options)
    if clicks and clicks.outside:
        print(f"{args.clicks}: {clicks.outside} clicks beside their image are left out")
    if clicks:
        described |= {"clicks": clicks.digest, "simulated_clicks": args.simulated_clicks}
    summary = write(args, header(dataset, args.seed, described), dataset, names, points, options)
    print("\n".join(summary.lines()))
    if args.preview:
        path = args.output_file.rstrip("/").removesuffix(".pkl") + "_preview.png"
        summary.preview(path)
        print(f"preview: {path}")
    print(
        f"{args.output_file}: {len(names)} images of {dataset.name} ({', '.join(dataset.class_names)})"
    )


def write(args, head, dataset, names, points, options):
    """Draw the labels of all images and write them in the form that --shards says -> `Summary`."""
    summary = Summary(dataset, names, args.preview)
    if not args.shards:
        drawn = annotate_all(annotate_many, dataset, points, options, args, names, len(names))
        with closing(drawn):
            save_labels(args.output_file, head, len(names), starmap(summary.see, drawn))
        return summary
    draw = partial(annotate_all, record_many, dataset, points, options, args)
    kept = write_shards(
        args.output_file, head, names, args.shards, partial(drawn_from, dataset), draw
    )
    if kept:
        print(
            f"{args.output_file}: {kept} of {len(names)} images are in shards that were finished before, and kept"
        )
    images = load_labels(args.output_file)["images"]
    for name in summary.asked():
        summary.see(name, images[name])
    return summary


if __name__ == "__main__":
    run_cli(main, parse_args)
