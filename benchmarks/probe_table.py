r"""The probe on real photographs: every kind of label on one footing, five seeds, one table.

    python benchmarks/probe_table.py --data ../shared/data --folder results/probe --jobs 2

A seed redraws the training pictures (VOC's cats and dogs: 800 of them, elsewhere four fifths), the
simulated annotators and everything else that is random. The test images are read once, by
evaluate.py. Runs the ordinary commands, one thread each, and can be stopped and started again:
finished runs are kept.
"""

import argparse
import statistics
import sys
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from joblib import Parallel, delayed

from benchmarks.commands import ROOT, flags, publish, read_log, run
from benchmarks.real_photographs import balanced
from weakseg.common import read_json
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.costs import hours
from weakseg.reporting.tables import markdown, mean_std

SHARE = 0.8  # of the training pictures that a seed draws
BALANCE = 140  # images of VOC's most frequent class, as in docs/results/voc-21-classes.md
VOC = "VOCdevkit/VOC2012/human_points.json"
# Name of the data -> its title, flags of the data, flags of its labels, kinds of labels, pictures.
TABLE = {
    "voc-pets": (
        "VOC cats and dogs",
        {"classes": ["pet=cat+dog"]},
        {"clicks": VOC},
        ("points", "boxes", "scribbles", "tags", "full"),
        800,
    ),
    "voc-pets-50": (
        "VOC cats and dogs, 50 photographs",
        {"classes": ["pet=cat+dog"]},
        {"clicks": VOC},
        ("points",),
        50,
    ),
    "voc-21": (
        "VOC, 21 classes",
        {},
        {"clicks": VOC},
        ("points", "boxes", "scribbles", "full"),
        None,
    ),
    "pets": ("Oxford Pet (a part)", {}, {}, ("points", "full"), None),
    "camvid": ("CamVid", {"no_background": True}, {}, ("points", "full"), None),
    "nuclei": (
        "nuclei",
        {},
        {"background_points": "match"},
        ("points", "boxes", "full"),
        None,
    ),
}
# Flags of training, chosen on validation images.
TRAINING = {"voc-pets-50": {"rounds": 6}}
FOLDERS = {"pets": "oxford-iiit-pet", "camvid": "camvid", "nuclei": "nuclei"}


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "probe")
    parser.add_argument("--only", nargs="+", choices=TABLE, default=list(TABLE))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, one thread each")
    return parser.parse_args()


@cache
def data_flags(data, folder, name):
    """Return the flags that open a data set of the table."""
    _, own, *_ = TABLE[name]
    if name == "voc-21":
        where = balanced(data, BALANCE, folder / "voc-21-images")
        return {"data_dir": where.resolve(), "dataset": "voc", **own}
    where = data / FOLDERS[name] if name in FOLDERS else data
    return {"data_dir": where.resolve(), **own}


def labels(args, name, seed):
    """Write the weak labels of a data set by a seed, unless they are there -> their file."""
    _, _, own, *_ = TABLE[name]
    if "clicks" in own:
        own = own | {"clicks": args.data.resolve() / own["clicks"]}
    path = args.folder / "labels" / f"{name}-{seed}.pkl"
    if not path.exists():
        words = flags(
            **data_flags(args.data, args.folder, name),
            cache_dir=args.folder / "cache",
            output_file=path,
            seed=seed,
            jobs=1,
            **own,
        )
        run("weak_label_generator.py", *words, threads=1)
    return path


def train_and_score(args, name, mode, seed):
    """Train and score one run, unless its result is there."""
    *_, pictures = TABLE[name]
    data, run_name = data_flags(args.data, args.folder, name), f"{name}-{mode}-{seed}"
    if (args.folder / "results" / f"{run_name}.json").exists():
        return
    if pictures is None:
        options = DataOptions.of(data | {"cache_dir": str(args.folder / "cache")})
        pictures = round(SHARE * len(open_dataset(options).ids("train")))
    words = flags(
        **data,
        learner="probe",
        supervision_mode=mode,
        run_name=run_name,
        seed=seed,
        train_limit=pictures,
        weak_label_path=labels(args, name, seed),
        cache_dir=args.folder / "cache",
        checkpoint_dir=args.folder / "runs",
        resume="auto",
        **TRAINING.get(name, {}),
    )
    run("train.py", *words, threads=1)
    where = flags(checkpoint_dir=args.folder / "runs", results_dir=args.folder / "results")
    run("evaluate.py", "--run_name", run_name, *where, threads=1)
    print(run_name, flush=True)


def row(args, name, mode):
    """Return one row of the table: means over the seeds that are finished."""
    results, seconds = [], []
    for seed in args.seeds:
        path = args.folder / "results" / f"{name}-{mode}-{seed}.json"
        if path.exists():
            results.append(read_json(path))
            log = read_log(args.folder / "runs" / f"{name}-{mode}-{seed}")
            seconds.append(sum(line["seconds"] for line in log))
    if not results:
        return [TABLE[name][0], mode, "not measured", "", "", "", ""]
    miou = [100 * result["aggregate"]["miou"] for result in results]
    low, high = (
        statistics.mean(100 * result["aggregate"]["miou_interval"][end] for result in results)
        for end in (0, 1)
    )
    spent = statistics.mean(hours(result["cost"]) for result in results)
    return [
        TABLE[name][0],
        mode,
        f"{spent:.1f}",
        mean_std(miou),
        f"{low:.1f} to {high:.1f}",
        f"{statistics.mean(seconds):.0f}",
        str(len(results)),
    ]


def main(args):
    runs = [
        (name, mode, seed) for seed in args.seeds for name in args.only for mode in TABLE[name][3]
    ]
    for name in args.only:  # labels first: runs share them
        for seed in args.seeds:
            labels(args, name, seed)
    Parallel(n_jobs=args.jobs, backend="threading")(
        delayed(train_and_score)(args, *one) for one in runs
    )
    head = ["data", "labels", "hours", "mIoU", "interval", "processor seconds", "seeds"]
    rows = [row(args, name, mode) for name in args.only for mode in TABLE[name][3]]
    publish(args.folder / "table.md", markdown(head, rows, (0, 1)))


if __name__ == "__main__":
    main(parse_args())
