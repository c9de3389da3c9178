"""Do the threads get out of each other's way? Seconds a step of train.py beside busy processes.

    python benchmarks/threads.py
    python benchmarks/threads.py --busy 4 --turns 5

Busy processes (loops in Python, which need a core each and no memory) run all the time. Beside them
train.py trains on drawn shapes, in turns: as the libraries would have it, whose threads spin while
they wait for each other; by its own choice, without any flag; and with each number of threads that
--threads can name here, up to one a core. A step is taken from the images a second in the log: the
last epoch, in which the cache is full. Medians over turns. The last column is what counts: how many
times as long a step takes as with the best number of threads.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.commands import prepare, train
from weakseg.common import commit

# What GCC's and Intel's OpenMP do unless they are told to wait passively: spin for milliseconds.
SPINNING = {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}
VARIABLES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", *SPINNING)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--busy", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument(
        "--img_size", type=int, default=128, help="pixels a side (default: %(default)s)"
    )
    parser.add_argument("--batch_size", type=int, default=8, help="images (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=12, help="of an epoch (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=2, help="of each run (default: %(default)s)")
    parser.add_argument(
        "--turns", type=int, default=3, help="runs of each setting (default: %(default)s)"
    )
    parser.add_argument("--encoder_weights", default="imagenet", help="as in train.py")
    return parser.parse_args(argv)


@contextlib.contextmanager
def busy_processes(count):
    """Keep `count` processes busy until the context ends; yields them."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield loops
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def settings():
    """Return {setting: (value of --threads or None, environment)}."""
    several = {f"--threads {n}": (n, {}) for n in range(1, (os.cpu_count() or 1) + 1)}
    return {"spinning": (None, SPINNING), "by its own choice": (None, {}), **several}


def step_seconds(args, folder, data_dir):
    """Return {setting: median seconds of a step}, the settings in turns."""
    times = {setting: [] for setting in settings()}
    for _ in range(args.turns):
        for setting, (threads, environment) in settings().items():
            log = train(
                folder,
                data_dir,
                "points",
                environment=environment,
                threads=threads,
                supervision_mode="points",
                augment=True,
                img_size=args.img_size,
                batch_size=args.batch_size,
                steps_per_epoch=args.steps,
                epochs=args.epochs,
                encoder_weights=args.encoder_weights,
                overwrite=True,
            )
            times[setting].append(args.batch_size / log[-1]["images_per_second"])
    return {setting: statistics.median(each) for setting, each in times.items()}


def main(args):
    for name in VARIABLES:
        os.environ.pop(name, None)  # the commands shall find nothing but what a setting says
    print(
        f"points, {args.img_size} px, batch {args.batch_size}, {os.cpu_count()} cores, "
        f"{args.busy} busy processes, medians of {args.turns}, commit `{commit()}`:\n"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data_dir = prepare(folder, trainval=60, size=2 * args.img_size)
        with busy_processes(args.busy):
            times = step_seconds(args, folder, data_dir)
    best = min(seconds for setting, seconds in times.items() if setting.startswith("--threads"))
    print("| threads | seconds a step | times the best |\n| --- | ---: | ---: |")
    for setting, seconds in times.items():
        print(f"| {setting} | {seconds:.2f} | {seconds / best:.2f} |")


if __name__ == "__main__":
    main(parse_args())
