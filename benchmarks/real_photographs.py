r"""The tables on real photographs: every mode by the plain and the strong recipe, one schedule.

    python benchmarks/real_photographs.py --data_dir ../shared/data/oxford-iiit-pet --name pets \
        --epochs 6
    python benchmarks/real_photographs.py --data_dir ../shared/data --name voc \
        --classes pet=cat+dog --train_limit 800 --epochs 4 \
        --clicks ../shared/data/VOCdevkit/VOC2012/human_points.json
    python benchmarks/real_photographs.py --data_dir ../shared/data --name voc21 --balance 140 \
        --train_limit 800 --epochs 6 --recipes strong --modes full scribbles boxes points \
        -- --lr 5e-4 --decoder_lr_scale 6 --augment --select_by val_miou

What follows -- goes to train.py in place of --lr 3e-4 --augment. Runs the ordinary commands, --jobs
trainings at a time with one thread each, and can be stopped and started again: finished runs are
kept. Result files, figures and the table of means over seeds are in results/<name>/.
"""

import argparse
import os
import platform
import random
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from joblib import Parallel, delayed

from benchmarks.commands import ROOT, flags, read_log, run
from weakseg.command_line import parse_with_rest
from weakseg.common import atomic_path, read_json
from weakseg.data.datasets import Voc
from weakseg.reporting.tables import markdown, mean_std

MODES = (
    "full",
    "scribbles",
    "hybrid_boxes_points",
    "boxes",
    "hybrid_tags_points",
    "points",
    "tags",
)
BATCH = 8
SCHEDULE = ["--lr", 3e-4, "--augment"]  # unless other words follow --


def add_schedule_arguments(parser):
    """Add the flags of what is trained on, how long, and how often."""
    parser.add_argument("--data_dir", required=True, help="folder of the data set")
    parser.add_argument("--name", required=True, help="folder name of runs and results")
    parser.add_argument("--classes", nargs="+", default=[], help="as in train.py")
    parser.add_argument("--train_limit", type=int, help="as in train.py")
    parser.add_argument("--epochs", type=int, default=10, help="(default: %(default)s)")
    parser.add_argument("--img_size", type=int, default=128, help="(default: %(default)s)")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2], help="(default: %(default)s)"
    )
    parser.add_argument(
        "--jobs", type=int, default=2, help="trainings at a time (default: %(default)s)"
    )


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_schedule_arguments(parser)
    parser.add_argument(
        "--balance", type=int, help="VOC: list no further image for a class that so many show"
    )
    parser.add_argument(
        "--clicks", help="also train from people's clicks in this file, and from as many simulated"
    )
    parser.add_argument(
        "--noise", type=float, default=0.05, help="of the simulated clicks (default: %(default)s)"
    )
    parser.add_argument("--modes", nargs="+", default=MODES, help="(default: all)")
    parser.add_argument("--recipes", nargs="+", default=["strong", "plain"], help="(default: both)")
    return parse_with_schedule(parser)


def parse_with_schedule(parser):
    """Return the arguments, with those after `--`, or the usual schedule's, as `rest`."""
    args = parse_with_rest(parser, sys.argv[1:])
    args.rest = args.rest or SCHEDULE
    return args


def balanced(root, most, copy):
    """Lay out at `copy` the VOC tree below `root` with fewer training images listed -> `copy`.

    Classes take turns, the rarest first: of the images that show one, in random order, those are
    listed without which fewer than `most` would show it. The photographs and masks are links to the
    old ones.
    """
    voc = Voc(root, cache_dir=copy / "cache")
    names = random.Random(0).sample(voc.lists["trainval"], len(voc.lists["trainval"]))
    shown = {name: set(voc.tags(name)) for name in names}
    total = {tag: sum(tag in tags for tags in shown.values()) for tag in voc.tag_names}
    chosen = set()
    for tag in sorted(total, key=total.get):
        room = most - sum(tag in shown[name] for name in chosen)
        chosen.update(
            [name for name in names if tag in shown[name] and name not in chosen][: max(0, room)]
        )
    sets = copy / "ImageSets" / "Segmentation"
    sets.mkdir(parents=True, exist_ok=True)
    for file, listed in ("train_aug.txt", sorted(chosen)), ("val.txt", voc.lists["test"]):
        with atomic_path(sets / file) as temporary:
            temporary.write_text("\n".join(listed) + "\n")
    for folder in ("JPEGImages", "SegmentationClass"):
        (copy / folder).unlink(missing_ok=True)
        (copy / folder).symlink_to((voc.folder / folder).resolve())
    return copy


def data_flags(args):
    """Return the flags that open the data set."""
    return flags(data_dir=args.data_dir, classes=args.classes or None)


def write_labels(args, clicks=None, noise=0.0):
    """Make the weak-label files that are not there yet -> {kind of clicks: path}.

    Kinds: "", the usual labels; with the file `clicks` also "human", whose points are people's, and
    "simulated", as many points by the simulated annotator with its error rate `noise`.
    """
    paths = {"": Path("weak_labels") / f"{args.name}.pkl"}
    more = {"": flags(preview=6)}
    if clicks:
        more["human"] = flags(clicks=clicks)
        more["simulated"] = flags(clicks=clicks, simulated_clicks=True, noise=noise)
        paths |= {kind: Path("weak_labels") / f"{args.name}_{kind}.pkl" for kind in more if kind}
    for kind, path in paths.items():
        if not (ROOT / path).exists():
            words = [*data_flags(args), *flags(output_file=path), *more[kind]]
            run("weak_label_generator.py", *words, show=True)
    return paths


def train_and_evaluate(args, runs):
    """Train the runs {name: flags} by one schedule, --jobs at a time, and evaluate them all.

    A run that was begun before goes on; one that is finished is kept.
    """
    checkpoints = f"checkpoints/{args.name}"
    schedule = flags(
        img_size=args.img_size,
        epochs=args.epochs,
        batch_size=BATCH,
        train_limit=args.train_limit,
        checkpoint_dir=checkpoints,
        resume="auto",
    )
    schedule += [*data_flags(args), *args.rest]
    Parallel(n_jobs=args.jobs, backend="threading")(
        delayed(run)("train.py", "--run_name", name, *words, *schedule, threads=1, show=True)
        for name, words in runs.items()
    )
    words = flags(
        checkpoint_dir=checkpoints, results_dir=f"results/{args.name}", run_name=list(runs)
    )
    run("evaluate.py", *words, show=True)


def runs_of(args, kinds):
    """Return {run's name: (mode, recipe, kind of clicks, seed)}, seed by seed."""
    runs = {}
    for seed in args.seeds:
        for recipe in args.recipes:
            for mode in args.modes:
                if mode == "full" and recipe != args.recipes[0]:
                    continue  # the recipes for masks are the same
                for kind in kinds if mode == "points" else [""]:
                    name = "_".join(filter(None, [mode, kind, recipe, f"seed{seed}"]))
                    runs[name] = mode, recipe, kind, seed
    return runs


def read_result(args, name):
    """Return (test mIoU in %, the lines of its log) of a run."""
    result = read_json(ROOT / "results" / args.name / f"{name}.json")
    return 100 * result["aggregate"]["miou"], read_log(ROOT / "checkpoints" / args.name / name)


def table(args, runs):
    """Return the table of means over seeds, in Markdown, of {run's name: (mode, recipe, ...)}.

    It gives the share of full supervision too, of the same seed, and the minutes of a training.
    """
    results, full = {}, {}
    for name, (mode, recipe, kind, seed) in runs.items():
        miou, log = read_result(args, name)
        minutes = sum(line["seconds"] for line in log) / 60
        results.setdefault((mode, kind, recipe), {})[seed] = miou, minutes
        if mode == "full":
            full[seed] = miou
    lines = []
    for (mode, kind, recipe), by_seed in results.items():
        shares = [100 * miou / full[seed] for seed, (miou, _) in by_seed.items() if seed in full]
        lines.append(
            [
                mode.removeprefix("hybrid_").replace("_", " + "),
                kind,
                recipe,
                str(len(by_seed)),
                mean_std([miou for miou, _ in by_seed.values()]),
                mean_std(shares) if shares else "",
                f"{statistics.mean(minutes for _, minutes in by_seed.values()):.1f}",
            ]
        )
    head = ["labels", "clicks", "recipe", "seeds", "mIoU", "share of full, %", "minutes"]
    return markdown(head, lines, words=(0, 1, 2))


def main(args):
    if args.balance:
        args.data_dir = balanced(args.data_dir, args.balance, ROOT / "data" / args.name)
    labels = write_labels(args, args.clicks, args.noise)
    runs = runs_of(args, labels)
    words = {
        name: flags(supervision_mode=mode, recipe=recipe, seed=seed, weak_label_path=labels[kind])
        for name, (mode, recipe, kind, seed) in runs.items()
    }
    train_and_evaluate(args, words)
    text = table(args, runs)
    (ROOT / "results" / args.name / "table.md").write_text(text + "\n")
    print(text)
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}"
    print(f"{machine}, {args.jobs} trainings at a time, one thread each")


if __name__ == "__main__":
    main(parse_args())
