"""How fast does the simulated annotator work? Images a second and core, all kinds of label.

    python benchmarks/labels.py
    python benchmarks/labels.py --data_dir ../shared/data/oxford-iiit-pet

Masks of the training list, brought to 500 x 375 pixels, go through `annotate_many`, by which
weak_label_generator.py draws its labels, in this one process. The total is that of the generator:
reading the mask from its file, finding the objects, all signals. `plain` is the scikit-image
version of plain_labels.py, reading included, in a process of its own; it and the total take turns,
pass by pass. The other lines are measured apart, the signals on objects that are found already. The
scaling is that of the generator over processes that are there already, with the same masks
`--copies` times. The data folder is only read. Without --data_dir, shapes are drawn in a temporary
folder.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from PIL import Image

from benchmarks.plain_labels import plain_labels
from weakseg.common import commit
from weakseg.data.datasets import DataOptions, Folder, add_data_arguments, open_dataset
from weakseg.data.synthetic import draw_shapes
from weakseg.labels.annotators import Options, Scene
from weakseg.labels.signals import SIGNALS
from weakseg.labels.simulate import annotate_all, annotate_many
from weakseg.parallel import Workers


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data_arguments(parser)
    parser.set_defaults(data_dir=None)
    parser.add_argument(
        "--images", type=int, default=120, help="at most so many (default: %(default)s)"
    )
    parser.add_argument("--width", type=int, default=500, help="pixels (default: %(default)s)")
    parser.add_argument("--height", type=int, default=375, help="pixels (default: %(default)s)")
    parser.add_argument(
        "--repeats", type=int, default=5, help="medians over these (default: %(default)s)"
    )
    parser.add_argument(
        "--jobs", type=int, default=2, help="processes of the scaling (default: %(default)s)"
    )
    parser.add_argument(
        "--copies", type=int, default=8, help="passes over the masks in it (default: %(default)s)"
    )
    return parser.parse_args()


def resized_copy(dataset, count, size, folder, copies=1):
    """Write `count` training masks of a data set, resized, as a folder of images -> `Folder`.

    copies: how often each is written, under names of its own
    """
    names = dataset.ids("trainval")[:count]
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    names = [f"{name}.{copy}" for name in names for copy in range(copies)]
    for name in names:
        Image.new("RGB", size).save(
            folder / "images" / f"{name}.jpg"
        )  # the annotator looks at its size alone
        mask = Image.fromarray(dataset.mask(name.rpartition(".")[0])).resize(
            size, Image.Resampling.NEAREST
        )
        mask.save(folder / "masks" / f"{name}.png")
    (folder / "classes.txt").write_text("\n".join(dataset.class_names) + "\n")
    (folder / "trainval.txt").write_text("\n".join(names[1:]) + "\n")
    (folder / "test.txt").write_text(names[0] + "\n")
    return Folder(folder, cache_dir=folder / "cache")


def seconds(function):
    """Return how long a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def measure(dataset, names, repeats):
    """Return {line of the table: median seconds an image}."""
    masks = [dataset.mask(name) for name in names]
    tags, tag_names, options = (
        [dataset.tags(name) for name in names],
        tuple(dataset.tag_names),
        Options(),
    )
    times = {}
    for _ in range(repeats):
        scenes = [
            Scene(mask, tag, tag_names, options) for mask, tag in zip(masks, tags, strict=True)
        ]
        parts = {
            "read": lambda: [dataset.mask(name) for name in names],
            "objects": lambda scenes=scenes: [
                (scene.objects, scene.background) for scene in scenes
            ],
        }
        for signal, row in SIGNALS.items():
            parts[signal] = lambda scenes=scenes, row=row: [
                row.extract(scene, np.random.default_rng(0)) for scene in scenes
            ]
        for part, function in parts.items():
            times.setdefault(part, []).append(seconds(function) / len(names))
    return {part: statistics.median(values) for part, values in times.items()}


def against_plain(dataset, names, repeats):
    """Return the median seconds an image of (the generator, the plain version), in turns."""
    times = [[], []]
    with ProcessPoolExecutor(1, get_context("spawn")) as other:
        other.submit(plain_pass, dataset, names[:1]).result()  # the imports are no part of it
        for _ in range(repeats):
            times[0].append(
                seconds(lambda: annotate_many(dataset, dict.fromkeys(names), Options(), seed=0))
            )
            times[1].append(other.submit(plain_pass, dataset, names).result())
    return [statistics.median(each) / len(names) for each in times]


def plain_pass(dataset, names):
    """Return the seconds of the plain version for these images."""
    return seconds(lambda: [plain_image(dataset, name) for name in names])


def plain_image(dataset, name):
    """Annotate one image by the plain version."""
    mask = dataset.mask(name)
    return plain_labels(
        mask, dataset.tags(name), tuple(dataset.tag_names), Options(), np.random.default_rng(0)
    )


def scaling(dataset, jobs, repeats):
    """Return how many times faster the generator is with `jobs` processes than with one."""
    names = dataset.ids("trainval")

    def generate(processes):
        workers = Workers("loky", jobs=processes)
        drawn = annotate_all(annotate_many, dataset, {}, Options(), 0, workers, names, len(names))
        deque(drawn, maxlen=0)

    generate(jobs)  # joblib keeps its processes: their start is no part of it
    ratios = [
        seconds(lambda: generate(1)) / seconds(lambda: generate(jobs)) for _ in range(repeats)
    ]
    return statistics.median(ratios)


def main(args):
    with tempfile.TemporaryDirectory() as temporary:
        temporary = Path(temporary)
        if not args.data_dir:
            args.data_dir = temporary / "shapes"
            draw_shapes(args.data_dir, trainval=args.images, test=1, size=args.width, seed=0)
        args.cache_dir = temporary / "cache"
        dataset = resized_copy(
            open_dataset(DataOptions.of(vars(args))),
            args.images,
            (args.width, args.height),
            temporary / "resized",
        )
        names = dataset.ids("trainval")
        annotate_many(
            dataset, dict.fromkeys(names[:5]), Options(), seed=0
        )  # the imports are no part of it
        times = measure(dataset, names, args.repeats)
        times["total"], times["plain scikit-image"] = against_plain(dataset, names, args.repeats)
        many = resized_copy(
            dataset, args.images, (args.width, args.height), temporary / "many", args.copies
        )
        faster = scaling(many, args.jobs, args.repeats)
    print(
        f"{len(names)} masks of {args.width} x {args.height}, one process, "
        f"medians of {args.repeats}; commit `{commit()}`:\n"
    )
    print("| part | ms an image | images a second |")
    print("| --- | ---: | ---: |")
    for part, value in times.items():
        print(f"| {part} | {1000 * value:.2f} | {1 / value:.1f} |")
    ratio = times["plain scikit-image"] / times["total"]
    print(
        f"\n{ratio:.1f} times the plain version's images a second and core; "
        f"{args.jobs} processes are {faster:.2f} times as fast as one."
    )


if __name__ == "__main__":
    main(parse_args())
