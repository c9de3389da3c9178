r"""Do neighbours in time flatter a score? CamVid as it is, and with no drive in two splits.

    python benchmarks/drives.py --data ../shared/data --folder results/drives

All test frames of this part of CamVid are of one drive, as are most frames to train on. `as it is`
trains on frames drawn from all drives, `by drives` on equally many of other drives than the tested.
The probe learns from clicks and from masks. A seed draws frames, clicks and everything else that is
random. The last row is the paired difference, with a 95 % t-interval over seeds. Finished runs are
kept, so it can be stopped and started again.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.commands import ROOT, flags, publish, run
from weakseg.common import read_json, stable_seed
from weakseg.evaluation.statistics import seed_interval
from weakseg.reporting.tables import markdown, mean_std

WAYS = ("as it is", "by drives")
MODES = {"points": "clicks", "full": "masks"}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "drives")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--img_size", type=int, default=384, help="(default: %(default)s)")
    return parser.parse_args()


def drive(name: str) -> str:
    """Return the drive that a frame is of: its name begins with it."""
    return name.split("_")[0]


def frames_of(names: Sequence[str], tested: Sequence[str], way: str, seed: int) -> list[str]:
    """Return the frames to train on: of other drives than the tested, or as many of all drives."""
    drives = {drive(name) for name in tested}
    others = [name for name in names if drive(name) not in drives]
    if way == "by drives":
        return others
    return sorted(sorted(names, key=lambda name: stable_seed(seed, "drives", name))[: len(others)])


def made_folder(args: argparse.Namespace, way: str, seed: int) -> Path:
    """Return the folder of a data set whose splits are made in one of the ways."""
    source = args.data.resolve() / "camvid"
    folder = Path(args.folder).resolve() / "data" / f"{way.replace(' ', '-')}-{seed}"
    names = {split: (source / f"{split}.txt").read_text().split() for split in ("trainval", "test")}
    trained = frames_of(names["trainval"], names["test"], way, seed)
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("images", "masks", "classes.txt", "test.txt"):
        if not (folder / part).exists():
            (folder / part).symlink_to(source / part)
    (folder / "trainval.txt").write_text("\n".join(trained) + "\n")
    return folder


def score(args: argparse.Namespace, way: str, mode: str, seed: int) -> float:
    """Return the test mIoU in % of one run, which is made unless it is there."""
    name = f"{way.replace(' ', '-')}-{mode}-{seed}"
    path = args.folder / "results" / f"{name}.json"
    if not path.exists():
        data = made_folder(args, way, seed)
        own = {"data_dir": data, "no_background": True, "cache_dir": args.folder / "cache"}
        labels = args.folder / "labels" / f"{data.name}.pkl"
        if not labels.exists():
            made = flags(**own, output_file=labels, seed=seed, jobs=1)
            run("weak_label_generator.py", *made, threads=1)
        words = flags(
            **own,
            learner="probe",
            supervision_mode=mode,
            run_name=name,
            seed=seed,
            img_size=args.img_size,
            weak_label_path=labels,
            checkpoint_dir=args.folder / "runs",
            device="cpu",
            overwrite=True,
        )
        run("train.py", *words, threads=1)
        where = flags(checkpoint_dir=args.folder / "runs", results_dir=args.folder / "results")
        run("evaluate.py", "--run_name", name, *where, "--device", "cpu", threads=1)
        print(name, flush=True)
    return 100 * float(read_json(path)["aggregate"]["miou"])


def rows(scores: dict[tuple[str, str], list[float]]) -> list[list[str]]:
    """Return the rows of the table. scores: {(way, mode): mIoU in % of each seed}."""
    found = [[way, *(mean_std(scores[way, mode]) for mode in MODES)] for way in WAYS]
    differences = []
    for mode in MODES:
        pairs = zip(*(scores[way, mode] for way in WAYS), strict=True)
        mean, low, high = seed_interval([theirs - own for own, theirs in pairs])
        differences.append(f"{mean:+.1f} ({low:+.1f} to {high:+.1f})")
    return [*found, ["difference", *differences]]


def main(args: argparse.Namespace) -> None:
    scores: dict[tuple[str, str], list[float]] = {}
    for seed in args.seeds:
        for way in WAYS:
            for mode in MODES:
                scores.setdefault((way, mode), []).append(score(args, way, mode, seed))
    publish(args.folder / "table.md", markdown(["splits", *MODES.values()], rows(scores)))


if __name__ == "__main__":
    main(parse_args())
