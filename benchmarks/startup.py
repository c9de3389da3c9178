"""How long until something happens? Seconds of `--help`, and of a training with a single step.

    python benchmarks/startup.py
    python benchmarks/startup.py --data_dir ../shared/data/oxford-iiit-pet --repeats 5

`--help` runs every script at the root and in scripts/ in a process of its own, in turns; the
medians hold no reading of files from a cold disk, for the first turn is left out. The run is
`train.py --supervision_mode points` with one step, whose weak labels and cache of decoded images
are there; it ends when the command does, after validation and checkpoint. Without --data_dir,
shapes are drawn in a temporary folder.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.commands import ROOT, flags, prepare, run
from weakseg.common import commit


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", help="folder of a data set (default: shapes are drawn)")
    parser.add_argument(
        "--images", type=int, default=600, help="shapes to draw (default: %(default)s)"
    )
    parser.add_argument(
        "--img_size", type=int, default=128, help="pixels a side (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, default=2, help="of every process (default: %(default)s)"
    )
    parser.add_argument(
        "--repeats", type=int, default=3, help="medians over these (default: %(default)s)"
    )
    return parser.parse_args()


def scripts():
    """Return the names of all scripts: those at the root and in scripts/ that can be run."""
    paths = [*sorted(ROOT.glob("*.py")), *sorted(ROOT.glob("scripts/*.py"))]
    return [
        str(path.relative_to(ROOT))
        for path in paths
        if '__name__ == "__main__"' in path.read_text("utf-8")
    ]


def help_seconds(args):
    """Return {script: median seconds of its --help}."""
    times = {script: [] for script in scripts()}
    for _ in range(args.repeats + 1):
        for script, seconds in times.items():
            seconds.append(run(script, "--help", threads=args.threads)[0])
    return {script: statistics.median(seconds[1:]) for script, seconds in times.items()}


def one_step(args, folder):
    """Return the median seconds of a run of train.py with one step."""
    data_dir = prepare(folder, args.data_dir, trainval=args.images, size=2 * args.img_size)
    words = flags(
        supervision_mode="points",
        data_dir=data_dir,
        weak_label_path=folder / "labels.pkl",
        cache_dir=folder / "cache",
        checkpoint_dir=folder / "runs",
        img_size=args.img_size,
        augment=True,
        epochs=1,
        steps_per_epoch=1,
        device="cpu",
        overwrite=True,
    )
    times = [run("train.py", *words, threads=args.threads)[0] for _ in range(args.repeats + 1)]
    return statistics.median(times[1:])  # the first run fills the cache


def main(args):
    print(f"medians of {args.repeats}, {args.threads} threads, commit `{commit()}`:\n")
    print("| script | `--help`, s |\n| --- | ---: |")
    for script, value in help_seconds(args).items():
        print(f"| {script} | {value:.2f} |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        seconds = one_step(args, Path(folder))
    command = f"train.py --supervision_mode points --img_size {args.img_size}"
    print(f"\n`{command}`, one step, cached data: {seconds:.2f} s")


if __name__ == "__main__":
    main(parse_args())
