"""Photographs of `examples/pets` without their masks, and the labels that two tools would export.

    python benchmarks/bare_photographs.py --output_dir data/bare

Writes photographs/, boxes.xml, as CVAT writes the boxes of every other photograph, and clicks/, as
LabelMe writes clicks on the pets and on the background of the rest. Annotators are simulated from
the masks, which stay where they are: `evaluate.py --predictions` scores by them afterwards.
"""

import argparse
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from weakseg.common import UserError, run_cli, stable_seed
from weakseg.data.base import SegmentationDataset
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.annotators import Options
from weakseg.labels.exporting import write_labels
from weakseg.labels.formats.records import Classes, PictureRecord, Shape
from weakseg.labels.simulate import annotate


def parse_args() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", default="examples/pets", help="(default: %(default)s)")
    parser.add_argument("--cache_dir", default="data/.cache", help="(default: %(default)s)")
    parser.add_argument("--output_dir", default="data/bare", help="(default: %(default)s)")
    parser.add_argument(
        "--count", type=int, default=40, help="photographs of the test split (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    dataset = open_dataset(DataOptions(args.data_dir, cache_dir=args.cache_dir))
    names = sorted(dataset.ids("test"), key=lambda name: stable_seed(args.seed, "bare", name))
    if not 2 <= args.count <= len(names):
        raise UserError(f"--count {args.count}: must lie between 2 and {len(names)}")
    chosen, folder = sorted(names[: args.count]), Path(args.output_dir)
    for name in chosen:
        target = folder / "photographs" / dataset.image_path(name).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(dataset.image_path(name), target)
    classes = Classes(tuple(dataset.class_names))
    boxed = [record(dataset, name, "boxes", args.seed) for name in chosen[::2]]
    clicked = [record(dataset, name, "points", args.seed) for name in chosen[1::2]]
    write_labels("cvat", boxed, folder / "boxes.xml", classes, overwrite=True)
    write_labels("labelme", clicked, folder / "clicks", classes, overwrite=True)
    print(f"{folder}: {len(boxed)} photographs with boxes, {len(clicked)} with clicks, no mask")


def record(dataset: SegmentationDataset, name: str, signal: str, seed: int) -> PictureRecord:
    """Return what a simulated annotator says of one photograph; signal: boxes or points."""
    label = annotate(dataset, name, Options(), seed, (signal,))
    kind = {"boxes": "box", "points": "click"}[signal]
    shapes = tuple(
        Shape(kind, dataset.class_names[int(one[-1])], list(one[:-1])) for one in label[signal]
    )
    file = dataset.image_path(name).name
    return PictureRecord(name=file, size=tuple(label["size"]), shapes=shapes)


if __name__ == "__main__":
    run_cli(main, parse_args)
