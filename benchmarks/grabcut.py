"""How good are GrabCut's pseudo-masks, and how fast? Against the truth, for each mix of labels.

    python benchmarks/grabcut.py
    python benchmarks/grabcut.py --data_dir ../shared/data --classes pet=cat+dog
    python benchmarks/grabcut.py --data_dir ../shared/data/oxford-iiit-pet --img_size 128

Training images, evenly spaced in their list, are labelled by the simulated annotator and cut.
Pixels of which a mask is not sure count as `sure` says and in nothing else; beside them stands the
annotation as it is drawn, boxes filled. Given up are cuts of objects (boxes; without them, classes
of marks) with a degenerate result. Times are processor time of one thread, which other programs on
the machine change little: `cut` of the cut alone, `and read` with decoding and resizing the
photograph before it. The data folder is only read. Without --data_dir, shapes are drawn.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cv2
import numpy as np
import torch
from tqdm import tqdm

from weakseg.common import IGNORE, commit
from weakseg.data.cache import ResizedCache
from weakseg.data.datasets import DataOptions, add_data_arguments, open_dataset
from weakseg.data.synthetic import draw_shapes
from weakseg.labels.annotators import Options
from weakseg.labels.simulate import annotate
from weakseg.labels.targets import View, draw_boxes
from weakseg.metrics import confusion_matrix, scores
from weakseg.pseudo_masks.grabcut import MARKS, draw_marks, pseudo_mask

MIXES = (("boxes",), ("boxes", "points"), ("boxes", "scribbles"), ("scribbles",), ("points",))


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data_arguments(parser)
    parser.set_defaults(data_dir=None)
    parser.add_argument(
        "--img_size", type=int, default=256, help="pixels a side (default: %(default)s)"
    )
    parser.add_argument(
        "--images", type=int, default=200, help="at most so many (default: %(default)s)"
    )
    return parser.parse_args()


class Tally:
    """Pixels of the sure part of masks against the truth, over images."""

    def __init__(self, classes):
        self.confusion, self.pixels = torch.zeros(classes, classes, dtype=torch.int64), 0

    def add(self, mask, truth):
        """Count one mask [S, S] uint8; pixels that are 255 in the truth count nowhere."""
        self.pixels += np.count_nonzero(truth != IGNORE)
        sure = torch.from_numpy(np.where(mask == IGNORE, IGNORE, truth))
        guess = torch.from_numpy(np.where(mask == IGNORE, 0, mask))
        self.confusion += confusion_matrix(guess, sure, len(self.confusion))

    def cells(self):
        """Return mIoU and accuracy of the sure pixels, and their share, in %, as cells."""
        values = scores(self.confusion)
        shares = values["miou"], values["pixel_accuracy"], self.confusion.sum() / self.pixels
        return " | ".join(f"{100 * share:.1f}" for share in shares)


def drawn(annotations, view):
    """Return the annotation itself as a mask [S, S] uint8: marks, on boxes filled."""
    marks = draw_marks(annotations, view)
    return (
        np.where(marks == IGNORE, draw_boxes(annotations["boxes"], view), marks)
        if "boxes" in annotations
        else marks
    )


def load(dataset, names, cache):
    """Return [(image [S, S, 3] uint8, truth [S, S] uint8, labels)], and the seconds to read one.

    cache: an empty one
    """
    items, seconds = [], 0
    for name in tqdm(names, desc="labels"):
        began = time.process_time()
        image = cache.image(dataset.photograph(name)).transpose(1, 2, 0)
        seconds += time.process_time() - began
        labels = annotate(dataset, name, Options(), 0, (*MARKS, "boxes"))
        items.append((image, dataset.resized_mask(name, cache), labels))
    return items, seconds / len(names)


def measure(items, signals, classes):
    """Cut all images along some signals -> (drawn annotation, cut, outcomes, seconds an image).

    The first two are `Tally`s, the outcomes are counted by name.
    """
    before, after, outcomes, seconds = Tally(classes), Tally(classes), Counter(), 0
    for image, truth, labels in tqdm(items, desc=" + ".join(signals)):
        annotations, view = (
            {signal: labels[signal] for signal in signals},
            View(*labels["size"], len(truth)),
        )
        began = time.process_time()
        mask, outcome = pseudo_mask(image, annotations, view)
        seconds += time.process_time() - began
        outcomes += outcome
        before.add(drawn(annotations, view), truth)
        after.add(mask, truth)
    return before, after, outcomes, seconds / len(items)


def main(args):
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if not args.data_dir:
            args.data_dir = f"{folder}/shapes"
            draw_shapes(
                Path(args.data_dir), trainval=args.images * 5 // 4, test=1, size=500, seed=0
            )
        args.cache_dir = folder
        dataset = open_dataset(DataOptions.of(vars(args)))
        names = dataset.ids("train")
        names = names[:: max(1, len(names) // args.images)][: args.images]
        items, reading = load(dataset, names, ResizedCache(folder, args.img_size))
    rows = {signals: measure(items, signals, len(dataset.class_names)) for signals in MIXES}
    print(
        f"{len(items)} images at {args.img_size} px, classes: {', '.join(dataset.class_names)}; "
        f"one thread; commit `{commit()}`\n"
    )
    print(
        "| signals | drawn: mIoU, % | accuracy, % | sure, % | GrabCut: mIoU, % | accuracy, % "
        "| sure, % | given up, % | cut, images/s | and read, images/s |"
    )
    print("| --- |" + " ---: |" * 9)
    for signals, (before, after, outcomes, seconds) in rows.items():
        given_up = 100 * (1 - outcomes["cut"] / outcomes.total())
        print(
            f"| {' + '.join(signals)} | {before.cells()} | {after.cells()} | {given_up:.1f} "
            f"| {1 / seconds:.1f} | {1 / (seconds + reading):.1f} |"
        )


if __name__ == "__main__":
    main(parse_args())
