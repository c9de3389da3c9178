"""Does memory grow with the data set? Peak memory of three commands, and with 100 times the images.

    python benchmarks/memory.py
    python benchmarks/memory.py --images 30 --times 20

Shapes are drawn once and linked under many names, so both data sets hold pictures of the same
sizes. Labels come from weak_label_generator.py in one process, training is a few steps of train.py
and a validation over the growing split, evaluation is evaluate.py over the growing test split. What
is given is the peak of the largest process of a command.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.commands import ROOT, flags
from weakseg.common import commit

TEST_SHARE = 5  # a test image for so many training images
BATCH = 4  # so small that every split of the small set fills one
# A process starts with the peak of the one that it was forked from, so a small one stands between.
LAUNCH = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, *sys.argv[1:]], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--images", type=int, default=60, help="training images of the small set (default: 60)"
    )
    parser.add_argument(
        "--times", type=int, default=100, help="how much larger the other is (default: %(default)s)"
    )
    parser.add_argument(
        "--img_size", type=int, default=64, help="pixels a side (default: %(default)s)"
    )
    parser.add_argument(
        "--steps", type=int, default=20, help="training steps (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="of every process (default: %(default)s)"
    )
    return parser.parse_args()


def multiply(source, folder, times):
    """Make a data set of the Pet layout `times` as large as the one in `source`, by links, in
    `folder`.
    """
    lists = {split: source / "annotations" / f"{split}.txt" for split in ("trainval", "test")}
    for part in ("images", "annotations/trimaps"):
        (folder / part).mkdir(parents=True)
    for split, path in lists.items():
        lines = []
        for line in path.read_text("utf-8").splitlines():
            name, *facts = line.split()
            breed, number = name.rsplit("_", 1)
            for copy in range(times):
                new = f"{breed}_{int(number) + 10000 * copy}"
                os.link(source / "images" / f"{name}.jpg", folder / "images" / f"{new}.jpg")
                os.link(
                    source / f"annotations/trimaps/{name}.png",
                    folder / f"annotations/trimaps/{new}.png",
                )
                lines.append(" ".join([new, *facts]))
        (folder / "annotations" / f"{split}.txt").write_text("\n".join(lines) + "\n", "utf-8")


def commands(args, data_dir, folder):
    """Return {what a command does: its words}, in the order they need each other."""
    labels, runs, cache = folder / "labels.pkl", folder / "runs", folder / "cache"
    network = flags(cache_dir=cache, checkpoint_dir=runs, batch_size=BATCH, device="cpu")
    drawing = flags(data_dir=data_dir, cache_dir=cache, output_file=labels, jobs=1)
    training = flags(
        supervision_mode="points",
        data_dir=data_dir,
        weak_label_path=labels,
        img_size=args.img_size,
        augment=True,
        epochs=1,
        steps_per_epoch=args.steps,
    )
    return {
        "label generation": ["weak_label_generator.py", *drawing],
        "training": ["train.py", *network, *training],
        "evaluation": ["evaluate.py", *network, *flags(results_dir=folder / "results")],
    }


def peak(words, threads):
    """Run a script -> the peak resident memory of its largest process, MiB."""
    done = subprocess.run(
        [sys.executable, "-c", LAUNCH, *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
    )
    if done.returncode:
        raise RuntimeError(f"{words[0]} failed:\n{done.stderr[-2000:]}")
    return int(done.stdout) / (2**20 if sys.platform == "darwin" else 2**10)  # macOS counts bytes


def main(args):
    with tempfile.TemporaryDirectory() as name:
        from weakseg.data.synthetic import draw_shapes

        folder = Path(name)
        draw_shapes(
            folder / "drawn",
            trainval=args.images,
            test=max(BATCH, args.images // TEST_SHARE),
            size=96,
            seed=0,
        )
        peaks = {}
        for times in (1, args.times):
            work = folder / str(times)
            multiply(folder / "drawn", work / "data", times)
            for command, words in commands(args, work / "data", work).items():
                peaks.setdefault(command, []).append(peak(words, args.threads))
    print(
        f"{args.img_size} px, {args.steps} steps, {args.threads} thread(s), commit `{commit()}`:\n"
    )
    larger = args.images * args.times
    print(
        f"| command | {args.images} images, MiB | {larger} images, MiB | growth, % "
        "| bytes an image more |\n| --- | ---: | ---: | ---: | ---: |"
    )
    for command, (small, large) in peaks.items():
        growth, more = 100 * (large / small - 1), (large - small) * 2**20 / (larger - args.images)
        print(f"| {command} | {small:.0f} | {large:.0f} | {growth:.1f} | {more:.0f} |")


if __name__ == "__main__":
    main(parse_args())
