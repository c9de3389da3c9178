"""The tables on active learning: strategies, and sources of pseudo-labels, at equal human seconds.

    python benchmarks/active_learning.py --data_dir ../shared/data --part strategies
    python benchmarks/active_learning.py --data_dir ../shared/data --part arms
    python benchmarks/active_learning.py --data_dir ../shared/data --part full

VOC's cats and dogs as 'pet' against background, EfficientNet-UNet. Runs the ordinary scripts,
--jobs at a time with one thread each; can be stopped and started again. All runs of a seed share
their first round. Results are in results/al_benchmark/<run>; compare them with
scripts/compare_runs.py.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from joblib import Parallel, delayed

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.commands import ROOT

OUTPUT = "results/al_benchmark"
STRATEGIES = ("random", "entropy", "entropy_per_second", "badge", "kcenter")
# With an audit share of 1 a person labels the images that the strategy `random` would choose, in
# every arm: all arms have the same labels for the same seconds, and only the pseudo-labels differ.
BAR = ("vlm_itl.iou_bar=0.6", "vlm_itl.audit_share=1")
RISK = (*BAR, "vlm_itl.calibration=shrunken", "vlm_itl.risk=0.1", "vlm_itl.control=crc")
FREE = (*BAR, "vlm_itl.calibration=none", "vlm_itl.risk=null")
ARMS = {  # name -> overrides
    "unfiltered": ("vlm_itl.vlm_handler=accept_all", *FREE),
    "confidence": ("vlm_itl.vlm_handler=confidence", *RISK),
    "learned": ("vlm_itl.vlm_handler=learned", *RISK),
    "oracle": (
        "vlm_itl.vlm_handler=mock",
        "vlm_itl.vlm_options={true_positive_rate: 1, false_positive_rate: 0}",
        *FREE,
    ),
}


broken = threading.Event()  # a run failed: nobody waits for it


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", required=True, help="folder of PASCAL VOC")
    parser.add_argument(
        "--part", choices=["strategies", "arms", "full"], required=True, help="what to run"
    )
    parser.add_argument(
        "--strategies", nargs="+", default=STRATEGIES, help="(default: %(default)s)"
    )
    parser.add_argument(
        "--arms", nargs="+", default=list(ARMS), choices=ARMS, help="(default: all)"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(default: 0 1 2)")
    parser.add_argument(
        "--hours", nargs="+", type=float, default=[0.25, 0.5, 1, 2, 4], help="budgets of human time"
    )
    parser.add_argument(
        "--arm_hours", nargs="+", type=float, default=[0.25, 0.5, 1, 2], help="those of --part arms"
    )
    parser.add_argument(
        "--pool", type=int, default=400, help="images that may be labelled (default: %(default)s)"
    )
    parser.add_argument(
        "--steps", type=int, default=80, help="a round, of 8 images (default: %(default)s)"
    )
    parser.add_argument("--image_size", type=int, default=128, help="(default: %(default)s)")
    parser.add_argument("--output", default=OUTPUT, help="(default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time (default: %(default)s)")
    return parser.parse_args()


def settings(args, seed):
    """Return the overrides that all runs of a seed share."""
    return [
        f"data.source={args.data_dir}",
        "data.classes=[pet=cat+dog]",
        f"data.image_size={args.image_size}",
        f"data.pool_limit={args.pool}",
        "data.val_limit=100",
        "training.batch_size=8",
        f"training.steps={args.steps}",
        "training.learning_rate=6e-4",
        f"seed={seed}",
    ]


def run(args, pipeline, name, seed, *overrides):
    """Run one of the project's scripts, which goes on with what is there.

    Its failure stops the benchmark.
    """
    folder = ROOT / args.output / f"{name}_seed{seed}"
    common = [*settings(args, seed), f"run_name={folder.name}"]
    kind = "baseline" if pipeline == "baseline" else "active_learning"
    if kind == "active_learning":
        hours = args.arm_hours if pipeline == "vlm_itl" else args.hours
        common += [
            f"output_dir_prefix={args.output}",
            "active_learning.budget_unit=hours",
            f"active_learning.budgets=[{','.join(map(str, hours))}]",
        ]
        if name != "random":
            donor = f"{args.output}/random_seed{seed}"
            # The donor stands earlier in the list of jobs.
            while '"evaluate"' not in text_of(ROOT / donor / "ledger.jsonl"):
                if broken.is_set():
                    return
                time.sleep(2)
            common.append(f"active_learning.first_round_from={donor}")
    else:
        common.append(f"output_dir={args.output}")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "output.txt").open("ab") as output:
        done = subprocess.run(
            [
                sys.executable,
                f"scripts/train_{pipeline}.py",
                "--config",
                f"configs/{kind}_config.yaml",
                "--set",
                *common,
                *overrides,
            ],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=output,
        )
    if done.returncode:
        broken.set()
        raise RuntimeError(f"{folder.name} failed; see {folder / 'output.txt'}")
    curve = json.loads((folder / "results.json").read_text())["curve"]
    print(folder.name, "  ".join(f"{100 * point['test_miou']:.1f}" for point in curve), flush=True)


def text_of(path):
    """Return a file's text, empty where there is none."""
    return path.read_text() if path.exists() else ""


def jobs(args):
    """Return the runs of a part as arguments of `run`: donors of first rounds, then by seed."""
    if args.part == "full":
        return [("baseline", f"full_{args.steps}", seed) for seed in args.seeds]
    donors = [
        ("active_learning", "random", seed, "active_learning.strategy=random")
        for seed in args.seeds
    ]
    if args.part == "strategies":
        return donors + [
            ("active_learning", name, seed, f"active_learning.strategy={name}")
            for seed in args.seeds
            for name in args.strategies
            if name != "random"
        ]
    return donors + [
        ("vlm_itl", f"random+{arm}", seed, "active_learning.strategy=random", *ARMS[arm])
        for seed in args.seeds
        for arm in args.arms
    ]


def main(args):
    Parallel(n_jobs=args.jobs, backend="threading")(delayed(run)(args, *job) for job in jobs(args))


if __name__ == "__main__":
    main(parse_args())
