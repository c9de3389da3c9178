r"""Do asked pixels serve a network too? The U-Net from answers, clicks and masks at equal hours.

    python benchmarks/ask_unet.py --data ../shared/data --folder results/ask-unet

A simulated person answers questions about 400 photographs of VOC's cats and dogs; the hours of so
many answers buy clicks, or masks, of fewer photographs, in the order in which the seed draws them.
From each the probe learns, and the U-Net that starts from it, by the schedules of `unet_table.py`.
One thread; it can be stopped and started again.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.commands import ROOT, flags, publish, run
from benchmarks.probe_table import TABLE, data_flags, labels
from benchmarks.unet_table import LEARNERS, SCHEDULES, processor_seconds
from weakseg.common import read_json, write_json
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.costs import hours
from weakseg.labels.label_file import load_labels
from weakseg.labels.signals import image_seconds
from weakseg.labels.training_labels import training_ids
from weakseg.reporting.tables import markdown

DATA, PICTURES, SIZE = "voc-pets", 400, 384
KINDS = {"pixels": "points", "points": "points", "full": "full"}  # label -> the U-Net's schedule


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "ask-unet")
    parser.add_argument("--answers", type=int, nargs="+", default=[400, 1300])
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    return parser.parse_args()


def answered(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rows of the session of questions, which is run unless it is there."""
    folder = args.folder / "session"
    words = flags(
        **data_flags(args.data, args.folder, DATA),
        cache_dir=args.folder / "cache",
        answers=max(args.answers),
        at=args.answers,
        start="examples",
        train_limit=PICTURES,
        seed=args.seed,
        study_dir=folder,
    )
    last = ["--", "--img_size", SIZE, "--device", "cpu"]
    run("study.py", "ask", "--simulate", *words, *last, threads=1)
    rows: list[dict[str, Any]] = read_json(folder / "ask.json")["rows"]
    return rows


def affordable(args: argparse.Namespace, kind: str, seconds: float) -> int:
    """Return how many of the photographs a person labels in so many seconds, at least one."""
    options = data_flags(args.data, args.folder, DATA) | {"cache_dir": args.folder / "cache"}
    dataset = open_dataset(DataOptions.of(options))
    images = load_labels(labels(args, DATA, args.seed))["images"]
    number = 0
    for name in training_ids(dataset, args.seed, PICTURES):
        seconds -= image_seconds(images[name], [kind], len(dataset.object_names))
        if seconds < 0:
            break
        number += 1
    return max(1, number)


def result_of(
    args: argparse.Namespace, name: str, learner: str, **values: Any
) -> tuple[dict[str, Any], float]:
    """Return the result of one run, made unless it is there, and its processor seconds."""
    path, clock = args.folder / "results" / f"{name}.json", args.folder / "seconds" / f"{name}.json"
    if not clock.exists():
        kind = values["supervision_mode"]
        own = LEARNERS[learner] | (SCHEDULES[KINDS[kind]] if learner == "unet" else {})
        words = flags(
            **data_flags(args.data, args.folder, DATA),
            **own | values | {"img_size": SIZE},
            run_name=name,
            seed=args.seed,
            cache_dir=args.folder / "cache",
            checkpoint_dir=args.folder / "runs",
            device="cpu",
            overwrite=True,
        )
        before = processor_seconds()
        run("train.py", *words, threads=1)
        write_json(clock, processor_seconds() - before)
    if not path.exists():
        where = flags(checkpoint_dir=args.folder / "runs", results_dir=args.folder / "results")
        run("evaluate.py", "--run_name", name, *where, "--device", "cpu", threads=1)
        print(name, flush=True)
    return read_json(path), read_json(clock)


def main(args: argparse.Namespace) -> None:
    rows = []
    for point in answered(args):
        for kind in KINDS:
            number = PICTURES
            where = args.folder / "session/labels" / f"answers_{point['point']}.pkl"
            if kind != "pixels":
                number = affordable(args, kind, 60 * point["minutes"])
                where = labels(args, DATA, args.seed)
            given = {"supervision_mode": kind, "train_limit": number, "weak_label_path": where}
            for learner in LEARNERS:
                name = f"{kind}-{point['point']}-{learner}-{args.seed}"
                result, seconds = result_of(args, name, learner, **given)
                low, high = (100 * end for end in result["aggregate"]["miou_interval"])
                miou = 100 * result["aggregate"]["miou"]
                cells = [kind, str(number), f"{hours(result['cost']):.2f}", learner]
                cells += [f"{miou:.1f}", f"{low:.1f} to {high:.1f}", f"{seconds:.0f}"]
                rows.append([TABLE[DATA][0], f"{point['answers']:,}", *cells])
    head = ["data", "answers", "labels", "pictures", "hours", "learner", "mIoU", "interval"]
    publish(args.folder / "table.md", markdown([*head, "processor seconds"], rows, (0, 2, 5)))


if __name__ == "__main__":
    main(parse_args())
