"""Do several processes train faster? Images a second against one process with as many threads.

    python benchmarks/parallel.py
    python benchmarks/parallel.py --processes 4 --img_size 256 --turns 3

Both train the same batches (`--batch_size` is the size over all processes) by train.py, in turns;
the rate is the median over epochs from the second on, when all images are decoded. Shapes are drawn
in a temporary folder.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.commands import prepare, train
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


def rates(args, folder, data_dir, size):
    """Return the images a second of each epoch but the first: (of one process, of several)."""
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", args.processes]
    one_rates, several_rates = [], []
    for turn in range(args.turns):
        for measured, launcher, threads in (
            (one_rates, [], args.processes),
            (several_rates, several, 1),
        ):
            log = train(
                folder,
                data_dir,
                f"{size}_{turn}_{threads}_threads",
                threads=threads,
                launcher=launcher,
                supervision_mode=args.supervision_mode,
                augment=True,
                img_size=size,
                batch_size=args.batch_size,
                epochs=args.epochs,
                encoder_weights=args.encoder_weights,
                batch_norm=args.batch_norm,
            )
            measured += [line["images_per_second"] for line in log[1:]]
    return one_rates, several_rates


def main(args):
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data_dir = prepare(folder, trainval=args.images)
        for size in args.img_size:
            one, several = map(statistics.median, rates(args, folder, data_dir, size))
            rows.append([str(size), f"{one:.1f}", f"{several:.1f}", f"{several / one:.2f}"])
    print(
        f"{args.supervision_mode}, {args.batch_norm} batch norm, batches of {args.batch_size}, "
        f"median of {args.turns} x {args.epochs - 1} epochs, commit `{commit()}`:\n"
    )
    one_name = f"1 process x {args.processes} threads, img/s"
    print(markdown(["pixels", one_name, f"{args.processes} x 1, img/s", "ratio"], rows))


if __name__ == "__main__":
    main(parse_args())
