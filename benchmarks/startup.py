"""How long until something happens? Seconds of `--help`, and of a whole run of train.py with a
single step.

    python benchmarks/startup.py
    python benchmarks/startup.py --data_dir ../shared/data/oxford-iiit-pet --repeats 5

`--help` runs every script at the root and in scripts/ in a process of its own, in turns; the
medians hold no reading of files from a cold disk, for the first turn is left out. The run is
`train.py --supervision_mode points` with one step, whose weak labels and cache of decoded images
are there; it ends when the command does, after validation and checkpoint. Without --data_dir,
shapes are drawn in a temporary folder.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from weakseg.common import commit

ROOT = Path(__file__).resolve().parent.parent


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
    found = [*sorted(ROOT.glob("*.py")), *sorted(ROOT.glob("scripts/*.py"))]
    return [
        str(path.relative_to(ROOT))
        for path in found
        if '__name__ == "__main__"' in path.read_text("utf-8")
    ]


def run(*words, threads):
    """Run Python from the root -> (seconds, what it printed)."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
    )
    return time.perf_counter() - began, done.stdout


def help_seconds(args):
    """Return {script: median seconds of its --help}."""
    times = {script: [] for script in scripts()}
    for _ in range(args.repeats + 1):
        for script, found in times.items():
            found.append(run(script, "--help", threads=args.threads)[0])
    return {script: statistics.median(found[1:]) for script, found in times.items()}


def one_step(args, folder):
    """Return the median seconds of a run with one step."""
    data_dir, labels = args.data_dir or folder / "shapes", folder / "labels.pkl"
    if not args.data_dir:
        run(
            "download_data.py",
            "--dataset",
            "shapes",
            "--data_dir",
            data_dir,
            "--count_trainval",
            args.images,
            threads=args.threads,
        )
    run("weak_label_generator.py", "--data_dir", data_dir, "--output_file", labels, threads=1)
    flags = [
        "--supervision_mode",
        "points",
        "--data_dir",
        data_dir,
        "--weak_label_path",
        labels,
        "--augment",
        "--cache_dir",
        folder / "cache",
        "--checkpoint_dir",
        folder / "runs",
        "--img_size",
        args.img_size,
        "--device",
        "cpu",
        "--epochs",
        1,
        "--steps_per_epoch",
        1,
        "--overwrite",
    ]
    found = [run("train.py", *flags, threads=args.threads)[0] for _ in range(args.repeats + 1)]
    return statistics.median(found[1:])  # the first run fills the cache


def main(args):
    print(f"medians of {args.repeats}, {args.threads} threads, commit `{commit()}`:\n")
    print("| script | `--help`, s |\n| --- | ---: |")
    for script, value in help_seconds(args).items():
        print(f"| {script} | {value:.2f} |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        seconds = one_step(args, Path(folder))
    print(
        f"\n`train.py --supervision_mode points --img_size {args.img_size}`, one step, cached data: {seconds:.2f} s"
    )


if __name__ == "__main__":
    main(parse_args())
