"""Does memory grow with the data set? Peak memory of three commands, and with 100 times the images.

    python benchmarks/memory.py
    python benchmarks/memory.py --images 30 --times 20
    python benchmarks/memory.py --probe 200 400 800 2400 4800

Shapes are drawn once and linked under many names, so both data sets hold pictures of the same
sizes. Labels come from weak_label_generator.py in one process, training is a few steps of train.py
and a validation over the growing split, evaluation is evaluate.py over the growing test split. What
is given is the peak of the largest process of a command. With --probe it is that of a probe,
trained on clicks and on masks, and of its evaluation.
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
from weakseg.reporting.tables import markdown

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
    parser.add_argument(
        "--probe",
        type=int,
        nargs="+",
        metavar="IMAGES",
        help="of the probe instead: numbers of training images, multiples of the first",
    )
    args = parser.parse_args()
    if args.probe and any(images % args.probe[0] for images in args.probe):
        parser.error(f"--probe: must be multiples of the first, {args.probe[0]}")
    return args


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


def probe_commands(args, data_dir, folder):
    """Return {what a command does: its words} of the probe, in the order they need each other."""
    labels, runs, cache = folder / "labels.pkl", folder / "runs", folder / "cache"
    drawing = flags(data_dir=data_dir, cache_dir=cache, output_file=labels, jobs=1)
    training = flags(
        learner="probe",
        data_dir=data_dir,
        weak_label_path=labels,
        cache_dir=cache,
        checkpoint_dir=runs,
        img_size=args.img_size,
        device="cpu",
    )
    scoring = flags(checkpoint_dir=runs, cache_dir=cache, results_dir=folder / "results")
    return {
        "label generation": ["weak_label_generator.py", *drawing],
        "training on clicks": ["train.py", *training, "--supervision_mode", "points"],
        "training on masks": ["train.py", *training, "--supervision_mode", "full"],
        "evaluation": ["evaluate.py", *scoring, "--device", "cpu"],
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
    sizes = args.probe or [args.images, args.images * args.times]
    commands_of = probe_commands if args.probe else commands
    with tempfile.TemporaryDirectory() as name:
        from weakseg.data.synthetic import draw_shapes

        folder, drawn = Path(name), sizes[0]
        test = max(BATCH, drawn // TEST_SHARE)
        draw_shapes(folder / "drawn", trainval=drawn, test=test, size=96, seed=0)
        peaks = {}
        for images in sizes:
            work = folder / str(images)
            multiply(folder / "drawn", work / "data", images // drawn)
            for command, words in commands_of(args, work / "data", work).items():
                peaks.setdefault(command, []).append(peak(words, args.threads))
    steps = "" if args.probe else f"{args.steps} steps, "
    print(f"{args.img_size} px, {steps}{args.threads} thread(s), commit `{commit()}`:\n")
    rows, more_images = [], sizes[-1] - sizes[-2]
    for command, found in peaks.items():
        *_, before, last = found
        growth, more = 100 * (last / before - 1), (last - before) * 2**20 / more_images
        rows.append([command, *(f"{each:.0f}" for each in found), f"{growth:.1f}", f"{more:.0f}"])
    head = [f"{images} images, MiB" for images in sizes]
    print(markdown(["command", *head, "growth, %", "bytes an image more"], rows, (0,)))


if __name__ == "__main__":
    main(parse_args())
