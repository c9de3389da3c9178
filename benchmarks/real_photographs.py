"""The README's tables on real photographs: every mode by the plain recipe, one schedule for all.

    python benchmarks/real_photographs.py --data_dir ../shared/data/oxford-iiit-pet --name pets --epochs 10
    python benchmarks/real_photographs.py --data_dir ../shared/data --name voc --classes pet=cat+dog \
        --train_limit 800 --epochs 6

Runs the ordinary scripts, --jobs trainings at a time with one thread each, and can be stopped and started again:
finished runs are kept. The table, figures and result files are in results/<name>/; the minutes come from the logs.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from joblib import Parallel, delayed

ROOT = Path(__file__).resolve().parent.parent
MODES = ("full", "tags", "points", "scribbles", "boxes", "hybrid_tags_points")


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True, help="folder of the data set")
    parser.add_argument("--name", required=True, help="folder name of runs and results")
    parser.add_argument("--classes", nargs="+", default=[], help="as in train.py")
    parser.add_argument("--train_limit", type=int, help="as in train.py")
    parser.add_argument("--epochs", type=int, default=10, help="(default: %(default)s)")
    parser.add_argument("--img_size", type=int, default=128, help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time (default: %(default)s)")
    return parser.parse_args()


def script(name, *arguments, threads=None):
    """Run one of the project's scripts; its failure stops the benchmark."""
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    subprocess.run([sys.executable, ROOT / name, *map(str, arguments)], cwd=ROOT, env=environment, check=True)


def minutes(run):
    """Return the minutes that the epochs of a run took, validation included, over all its sessions."""
    return sum(json.loads(line)["seconds"] for line in (ROOT / run / "log.jsonl").read_text().splitlines()) / 60


def main(args):
    labels = f"weak_labels/{args.name}.pkl"
    data = ["--data_dir", args.data_dir, *(["--classes", *args.classes] if args.classes else [])]
    script("weak_label_generator.py", *data, "--output_file", labels, "--preview", 6)
    schedule = ["--img_size", args.img_size, "--epochs", args.epochs, "--batch_size", 16, "--lr", 3e-4, "--augment"]
    if args.train_limit:
        schedule += ["--train_limit", args.train_limit]
    folder = f"checkpoints/{args.name}"
    names = {f"{mode}_seed{seed}": (mode, seed) for seed in range(args.seeds) for mode in MODES}
    Parallel(n_jobs=args.jobs, backend="threading")(
        delayed(script)("train.py", "--supervision_mode", mode, "--run_name", name, "--seed", seed, *data, *schedule,
                        "--weak_label_path", labels, "--checkpoint_dir", folder, "--resume", "auto", threads=1)
        for name, (mode, seed) in names.items()
    )  # fmt: skip
    script("evaluate.py", "--checkpoint_dir", folder, "--results_dir", f"results/{args.name}")
    print("training minutes:", ", ".join(f"{name} {minutes(f'{folder}/{name}'):.1f}" for name in names))
    print(f"{os.cpu_count()} CPUs, {platform.machine()}, {args.jobs} trainings at a time, one thread each")


if __name__ == "__main__":
    main(parse_args())
