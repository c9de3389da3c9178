"""Data-parallel training: images a second of two processes with one thread each against one process
with two.

    python benchmarks/parallel.py
    python benchmarks/parallel.py --processes 4 --img_size 256 --turns 3

Both train the same batches (`--batch_size` is the size over all processes) by train.py, in turns;
the rate is the median over epochs from the second on, when all images are decoded. Shapes are drawn
in a temporary folder.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.startup import run
from weakseg.common import commit
from weakseg.reporting.tables import markdown


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--processes", type=int, default=2, help="and threads of the one (default: %(default)s)"
    )
    parser.add_argument(
        "--img_size", type=int, nargs="+", default=[128, 256], help="(default: 128 256)"
    )
    parser.add_argument(
        "--batch_size", type=int, default=16, help="over all processes (default: %(default)s)"
    )
    parser.add_argument(
        "--images", type=int, default=240, help="shapes to draw (default: %(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=3, help="of each run (default: %(default)s)")
    parser.add_argument(
        "--turns", type=int, default=2, help="runs of each kind (default: %(default)s)"
    )
    parser.add_argument("--supervision_mode", default="points", help="(default: %(default)s)")
    parser.add_argument(
        "--batch_norm", default="global", help="as in train.py (default: %(default)s)"
    )
    parser.add_argument("--encoder_weights", default="imagenet", help="as in train.py")
    return parser.parse_args(argv)


def rates(args, folder, size):
    """Return the images a second of each epoch but the first: (of one process, of several)."""
    found = [], []
    for turn in range(args.turns):
        for several, rate in enumerate(found):
            name = f"{size}_{turn}_{several}"
            launcher = [
                "-m",
                "torch.distributed.run",
                "--standalone",
                "--nproc_per_node",
                args.processes,
            ]
            run(
                *(launcher if several else []),
                "train.py",
                "--run_name",
                name,
                "--img_size",
                size,
                "--augment",
                "--data_dir",
                folder / "data",
                "--cache_dir",
                folder / "cache",
                "--checkpoint_dir",
                folder / "runs",
                "--weak_label_path",
                folder / "labels.pkl",
                "--batch_size",
                args.batch_size,
                "--device",
                "cpu",
                "--epochs",
                args.epochs,
                "--supervision_mode",
                args.supervision_mode,
                "--encoder_weights",
                args.encoder_weights,
                "--batch_norm",
                args.batch_norm,
                threads=1 if several else args.processes,
            )
            log = (folder / "runs" / name / "log.jsonl").read_text().splitlines()
            rate.extend(json.loads(line)["images_per_second"] for line in log[1:])
    return found


def main(args):
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        data = ["--data_dir", folder / "data"]
        run(
            "download_data.py",
            "--dataset",
            "shapes",
            *data,
            "--count_trainval",
            args.images,
            threads=1,
        )
        run("weak_label_generator.py", *data, "--output_file", folder / "labels.pkl", threads=1)
        for size in args.img_size:
            one, several = map(statistics.median, rates(args, folder, size))
            lines.append([str(size), f"{one:.1f}", f"{several:.1f}", f"{several / one:.2f}"])
    print(
        f"{args.supervision_mode}, {args.batch_norm} batch norm, batches of {args.batch_size}, "
        f"median of {args.turns} x {args.epochs - 1} epochs, commit `{commit()}`:\n"
    )
    head = [
        "pixels",
        f"1 process x {args.processes} threads, img/s",
        f"{args.processes} x 1, img/s",
        "ratio",
    ]
    print(markdown(head, lines))


if __name__ == "__main__":
    main(parse_args())
