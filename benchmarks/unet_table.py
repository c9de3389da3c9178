r"""The U-Net that starts from the probe, on real photographs: is it worth its minutes?

    python benchmarks/unet_table.py --data ../shared/data --folder results/unet

Clicks, boxes and masks of VOC's cats and dogs (400 photographs, drawn by the seed) and of all
nuclei pictures; the probe from the same labels beside it. The first table is of test images, which
evaluate.py reads once; the second has the learning curves, on validation images. Runs the ordinary
commands with one thread, one after another, and can be stopped and started again: what is finished
is kept, a training that was cut short begins anew, so its processor seconds are those of the whole.
"""

import argparse
import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.commands import ROOT, flags, read_log, run
from benchmarks.probe_table import data_flags, labels
from weakseg.common import atomic_path, read_json, write_json
from weakseg.labels.costs import hours
from weakseg.reporting.tables import markdown

MODES = ("points", "boxes", "full")
# Name of the data in `probe_table.TABLE` -> its title, photographs to train on.
TABLE = {"voc-pets": ("VOC cats and dogs", 400), "nuclei": ("nuclei", None)}
LEARNERS = {
    "probe": {"learner": "probe"},
    "unet": {
        "recipe": "strong",
        "start": "probe",
        "img_size": 384,
        "augment": True,
        "select_by": "val_miou",
    },
}
# Of masks the network learns what the probe doesn't know, of weak labels little: a decoder that
# learns quickly undoes more than that.
SCHEDULES = {
    "points": {"epochs": 2, "lr": 5e-5, "decoder_lr_scale": 1},
    "boxes": {"epochs": 2, "lr": 5e-5, "decoder_lr_scale": 1},
    "full": {"epochs": 5, "lr": 2e-4},
}
EPOCHS = max(schedule["epochs"] for schedule in SCHEDULES.values())


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "unet")
    parser.add_argument("--only", nargs="+", choices=TABLE, default=list(TABLE))
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    return parser.parse_args()


def name_of(data, mode, learner, seed):
    """Return the name of a run."""
    return f"{data}-{mode}-{learner}-{seed}"


def train_and_score(args, data, mode, learner):
    """Train and score one run, unless that is done; keep the processor seconds of the training."""
    name = name_of(data, mode, learner, args.seed)
    if (args.folder / "results" / f"{name}.json").exists():
        return
    if not seconds_path(args, name).exists():
        train(args, data, mode, learner, name)
    where = flags(checkpoint_dir=args.folder / "runs", results_dir=args.folder / "results")
    run("evaluate.py", "--run_name", name, *where, threads=1)
    print(name, flush=True)


def train(args, data, mode, learner, name):
    """Train one run from its beginning, and keep the processor seconds."""
    words = flags(
        **data_flags(args.data, args.folder, data),
        **LEARNERS[learner] | (SCHEDULES[mode] if learner == "unet" else {}),
        supervision_mode=mode,
        run_name=name,
        seed=args.seed,
        train_limit=TABLE[data][1],
        weak_label_path=labels(args, data, args.seed),
        cache_dir=args.folder / "cache",
        checkpoint_dir=args.folder / "runs",
        overwrite=True,
    )
    before = processor_seconds()
    run("train.py", *words, threads=1)
    write_json(seconds_path(args, name), processor_seconds() - before)


def seconds_path(args, name):
    """Return the file with the processor seconds of a finished training."""
    return args.folder / "seconds" / f"{name}.json"


def processor_seconds():
    """Return what all commands that ran so far have used."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def rows_of(args, data, mode):
    """Return the rows of one kind of label in both tables; the second only of finished U-Nets."""
    quality, curves = [], []
    for learner in LEARNERS:
        name = name_of(data, mode, learner, args.seed)
        path = args.folder / "results" / f"{name}.json"
        head = [TABLE[data][0], mode, learner]
        if not path.exists():
            quality.append([*head, "not measured", "", "", ""])
            continue
        result = read_json(path)
        low, high = (100 * end for end in result["aggregate"]["miou_interval"])
        quality.append(
            [
                *head,
                f"{hours(result['cost']):.1f}",
                f"{100 * result['aggregate']['miou']:.1f}",
                f"{low:.1f} to {high:.1f}",
                f"{read_json(seconds_path(args, name)):.0f}",
            ]
        )
        if learner == "unet":
            log = read_log(args.folder / "runs" / name)
            values = [f"{100 * line['val_miou']:.1f}" for line in log]
            curves.append([*head[:2], *values, *[""] * (EPOCHS + 1 - len(values))])
    return quality, curves


def main(args):
    runs = [(data, mode) for data in args.only for mode in args.modes]
    for learner in LEARNERS:  # the probes first: they take seconds
        for data, mode in runs:
            train_and_score(args, data, mode, learner)
    quality, curves = [], []
    for data, mode in runs:
        one, other = rows_of(args, data, mode)
        quality += one
        curves += other
    head = ["data", "labels", "learner", "hours", "mIoU", "interval", "processor seconds"]
    epochs = [f"epoch {epoch}" for epoch in range(EPOCHS + 1)]
    tables = [
        markdown(head, quality, (0, 1, 2)),
        markdown(["data", "labels", *epochs], curves, (0, 1)),
    ]
    text = "\n\n".join(tables)
    with atomic_path(args.folder / "table.md") as temporary:
        temporary.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main(parse_args())
