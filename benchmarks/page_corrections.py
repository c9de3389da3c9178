r"""From a click to the new mask in the drawing view: how long it takes, and what a click is worth.

    python benchmarks/page_corrections.py

A hundred photographs have two clicks on the pet and two beside it, through the page's own requests.
On others a simulated person clicks in the middle of the largest error, again and again. Prints the
seconds of `/draw/predict` and the mIoU after each click.
"""

import argparse
import base64
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cv2
import numpy as np
import torch

from benchmarks.commands import ROOT
from benchmarks.page_sessions import Visitor, session_of
from weakseg.common import IGNORE
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.person import Person
from weakseg.planning.simulated_asking import Annotator

TIMES = {"wall": 1.0, "active": {"60": 1.0}}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", type=Path, default=ROOT / "examples" / "pets")
    parser.add_argument("--cache_dir", type=Path, default=ROOT / "data" / ".cache")
    parser.add_argument("--labelled", type=int, default=100, help="(default: %(default)s)")
    parser.add_argument("--corrected", type=int, default=15, help="(default: %(default)s)")
    parser.add_argument("--clicks", type=int, default=5, help="on each (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--img_size", type=int, default=384)
    parser.add_argument("--encoder_weights", default="imagenet")
    return parser.parse_args()


def click(label: int, names: list[str], row: int, column: int) -> dict[str, Any]:
    """Return a click in the middle of a pixel."""
    place = [column + 0.5, row + 0.5]
    return {"kind": "click", "class": names[label], "geometry": place, "times": TIMES}


def shown(reply: dict[str, Any]) -> np.ndarray:
    """Return which pixels [H, W] of a mask on show are of the object."""
    content = base64.b64decode(reply["mask"].partition(",")[2])
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    return np.asarray(pixels)[..., 3] > 0


def miou(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the mIoU in % of two classes, of masks [H, W]."""
    known = truth != IGNORE
    pairs = [(found == is_object, truth == is_object) for is_object in (False, True)]
    overlaps = [(a & b & known).sum() / ((a | b) & known).sum() for a, b in pairs]
    return 100 * float(np.mean(overlaps))


def middle_of_error(wrong: np.ndarray) -> tuple[int, int] | None:
    """Return row and column in the middle of the largest error [H, W]; None without any."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(wrong.astype(np.uint8))
    if count < 2:
        return None
    largest = parts == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()
    depth = cv2.distanceTransform(np.pad(largest, 1).astype(np.uint8), cv2.DIST_L2, 3)
    row, column = np.unravel_index(depth[1:-1, 1:-1].argmax(), largest.shape)
    return int(row), int(column)


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    options = DataOptions(data_dir=str(args.data_dir), cache_dir=str(args.cache_dir))
    dataset = open_dataset(options)
    names = [*dataset.ids("trainval"), *dataset.ids("test")]
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        own = argparse.Namespace(**vars(args), folder=Path(folder))
        session = session_of(own, dataset, names, Path(folder))
        person = Annotator(dataset, session.photographs.names, Person(0, num_classes=2))
        visitor, classes = Visitor(session, person, (1, 1)), dataset.class_names
        for index in range(args.labelled):
            mask, shapes = dataset.mask(session.photographs.names[index]), []
            for label in (0, 1):
                places = np.argwhere(mask == label)
                chosen = places[rng.integers(len(places), size=2)]
                shapes += [click(label, classes, *place) for place in chosen.tolist()]
            body = {"picture": index, "visit": str(index), "shapes": shapes, "complete": []}
            visitor.post("/draw/save", {**body, "times": TIMES})
        began = time.perf_counter()
        session.model.refit()
        print(f"full fit behind: {time.perf_counter() - began:.1f} s")
        seconds, values = [], []
        last = min(args.labelled + args.corrected, len(session.photographs))
        for index in range(args.labelled, last):
            truth, shapes, row = dataset.mask(session.photographs.names[index]), [], []
            for _ in range(args.clicks + 1):
                began = time.perf_counter()
                reply = visitor.post("/draw/predict", {"picture": index, "shapes": shapes})
                seconds += [time.perf_counter() - began] * bool(shapes)
                found = shown(reply)
                row.append(miou(found, truth))
                place = middle_of_error((found != truth) & (truth != IGNORE))
                if place:
                    shapes.append(click(int(truth[place]), classes, *place))
            values.append(row)
    means = ", ".join(f"{value:.1f}" for value in np.mean(values, axis=0))
    print(f"mIoU after 0, 1, ... clicks on the largest error of {len(values)} pictures: {means}")
    print(
        f"from a click to the mask: median {statistics.median(seconds):.2f} s, "
        f"longest of {len(seconds)} {max(seconds):.2f} s"
    )


if __name__ == "__main__":
    main(parse_args())
