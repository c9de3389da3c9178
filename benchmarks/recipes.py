"""What does the strong recipe cost a training step? Its step against the plain one's, by mode.

    python benchmarks/recipes.py
    python benchmarks/recipes.py --img_size 256 --modes points boxes
    python benchmarks/recipes.py --each --modes points boxes              # and each term alone

Every row is train.py with the flags of ablation.py, on drawn shapes and one thread, the runs of a
mode in turns. A step is taken from the images a second in the log: the last of four epochs, in
which every term is at work and the cache is full. Loading is part of it; what a run does once, or
between epochs (GrabCut, random walks), is not. Medians over the turns.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.ablation import variants
from benchmarks.commands import prepare, train
from weakseg.common import commit

MODES = ("tags", "points", "scribbles", "boxes", "hybrid_boxes_points", "hybrid_tags_points")
BATCH, EPOCHS = 8, 4


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--modes", nargs="+", default=MODES, help="(default: all but full)")
    parser.add_argument(
        "--img_size", type=int, default=128, help="pixels a side (default: %(default)s)"
    )
    parser.add_argument(
        "--steps", type=int, default=12, help="of the measured epoch (default: %(default)s)"
    )
    parser.add_argument(
        "--turns", type=int, default=3, help="runs of each kind (default: %(default)s)"
    )
    parser.add_argument(
        "--each", action="store_true", help="also measure each term alone, as in ablation.py"
    )
    return parser.parse_args()


def recipes(mode, each):
    """Return {recipe: flags} of a mode, plain first; `each`: also each strong term on plain."""
    alone = ("plain, with",) if each else ()
    return {
        name: words
        for name, words in variants(mode, 2).items()
        if name in ("plain", "strong") or name.startswith(alone)
    }


def measure(args, folder, data_dir, mode):
    """Return {recipe: median milliseconds of a step}."""
    times = {name: [] for name in recipes(mode, args.each)}
    for _ in range(args.turns):
        for name, changed in recipes(mode, args.each).items():
            log = train(
                folder,
                data_dir,
                mode,
                threads=1,
                supervision_mode=mode,
                augment=True,
                encoder_weights="none",
                img_size=args.img_size,
                batch_size=BATCH,
                steps_per_epoch=args.steps,
                epochs=EPOCHS,
                overwrite=True,
                **changed,
            )
            times[name].append(1000 * BATCH / log[-1]["images_per_second"])
    return {name: statistics.median(each) for name, each in times.items()}


def main(args):
    print(
        f"{args.img_size} px, batch {BATCH}, {args.steps} steps, one thread, "
        f"medians of {args.turns}, commit `{commit()}`:\n"
    )
    print("| labels | losses | ms | times plain |\n| --- | --- | ---: | ---: |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data_dir = prepare(folder, trainval=30, size=2 * args.img_size)
        for mode in args.modes:
            times = measure(args, folder, data_dir, mode)
            for recipe, value in times.items():
                ratio = value / times["plain"]
                print(f"| {mode} | {recipe} | {value:.0f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main(parse_args())
