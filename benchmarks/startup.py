"""How long until something happens? Seconds of `--help`, and from the command of train.py to its first step.

    python benchmarks/startup.py
    python benchmarks/startup.py --data_dir ../shared/data/oxford-iiit-pet --repeats 5

`--help` runs every script at the root and in scripts/ in a process of its own, in turns; the medians hold no reading of
files from a cold disk, for the first turn is left out. The first step is that of `train.py --supervision_mode points`
whose weak labels and cache of decoded images are there; it ends when the optimiser has stepped once. Without
--data_dir, shapes are drawn in a temporary folder.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common import commit

ROOT = Path(__file__).resolve().parent.parent

# The phases of a run of train.py up to its first batch, each with the function of it whose call ends the phase.
PHASES = {
    "interpreter, flags": "main",
    "data set, weak labels": "train_run",
    "PyTorch, Accelerate": "prepare",
    "network": "make_loaders",
    "loaders, optimiser": "fit",
}
BATCH, STEP = "first batch, forward pass", "loss, backward pass, optimiser"


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", help="folder of a data set (default: shapes are drawn)")
    parser.add_argument("--images", type=int, default=600, help="shapes to draw (default: %(default)s)")
    parser.add_argument("--img_size", type=int, default=128, help="pixels a side (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of every process (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="medians over these (default: %(default)s)")
    parser.add_argument("--traced", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)  # train.py's flags
    return parser.parse_args()


def scripts():
    """Return the names of all scripts: those at the root and in scripts/ that can be run."""
    found = [*sorted(ROOT.glob("*.py")), *sorted(ROOT.glob("scripts/*.py"))]
    return [str(path.relative_to(ROOT)) for path in found if '__name__ == "__main__"' in path.read_text("utf-8")]


def run(*words, threads):
    """Run Python from the root -> (seconds, what it printed)."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *map(str, words)], cwd=ROOT, check=True, capture_output=True, text=True,
                          env=os.environ | {"OMP_NUM_THREADS": str(threads)})  # fmt: skip
    return time.perf_counter() - began, done.stdout


def help_seconds(args):
    """Return {script: median seconds of its --help}."""
    times = {script: [] for script in scripts()}
    for _ in range(args.repeats + 1):
        for script, found in times.items():
            found.append(run(script, "--help", threads=args.threads)[0])
    return {script: statistics.median(found[1:]) for script, found in times.items()}


def traced(flags):
    """Run train.py in this process until its first step -> print {phase: time of day at its end} as JSON."""
    import train

    ends = {}

    def noted(phase, function):
        def call(*parts, **options):
            ends.setdefault(phase, time.time())
            return function(*parts, **options)

        return call

    def stop():
        ends[STEP] = time.time()
        print(json.dumps(ends), flush=True)
        os._exit(0)

    def fit(args, folder, checkpoint, training, *others):
        training.criterion.forward = noted(BATCH, training.criterion.forward)
        training.schedule.step = stop  # the optimiser has just stepped
        real_fit(args, folder, checkpoint, training, *others)

    real_fit, train.fit = train.fit, fit
    for phase, name in PHASES.items():
        setattr(train, name, noted(phase, getattr(train, name)))
    train.main(train.parse_args(flags))


def first_step(args, folder):
    """Return {phase: median seconds} from the command to the first step."""
    data_dir, labels = args.data_dir or folder / "shapes", folder / "labels.pkl"
    if not args.data_dir:
        run("download_data.py", "--dataset", "shapes", "--data_dir", data_dir, "--count_trainval", args.images,
            threads=args.threads)  # fmt: skip
    run("weak_label_generator.py", "--data_dir", data_dir, "--output_file", labels, threads=1)
    flags = ["--supervision_mode", "points", "--data_dir", data_dir, "--weak_label_path", labels, "--augment",
             "--cache_dir", folder / "cache", "--checkpoint_dir", folder / "runs", "--img_size", args.img_size,
             "--device", "cpu", "--overwrite"]  # fmt: skip
    times = {}
    for turn in range(args.repeats + 1):
        began = time.time()
        ends = json.loads(run(__file__, "--traced", *flags, threads=args.threads)[1].splitlines()[-1])
        for phase, end in ends.items():
            if turn:  # the first fills the cache
                times.setdefault(phase, []).append(end - began)
            began = end
    return {phase: statistics.median(found) for phase, found in times.items()}


def main(args):
    if args.traced:
        traced(args.traced)
        return
    print(f"medians of {args.repeats}, {args.threads} threads, commit `{commit()}`:\n")
    print("| script | `--help`, s |\n| --- | ---: |")
    for script, value in help_seconds(args).items():
        print(f"| {script} | {value:.2f} |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        phases = first_step(args, Path(folder))
    print(f"\n`train.py --supervision_mode points --img_size {args.img_size}`, cached data:\n")
    print("| phase | s |\n| --- | ---: |")
    for phase, value in phases.items():
        print(f"| {phase} | {value:.2f} |")
    print(f"| **to the first step** | {sum(phases.values()):.2f} |")


if __name__ == "__main__":
    main(parse_args())
