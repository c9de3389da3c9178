r"""Which mixes of labels beat their parts at equal hours? Masks beside boxes, clicks or answers.

    python benchmarks/mix_table.py --data ../shared/data --folder results/mixes

`study.py compare` trains the probe from each kind alone and from mixes in which masks take a tenth,
a quarter or half of the hours, on the pictures that the budget buys in a seed's order. Answers are
those of a session of `study.py ask` about all training pictures; a picture has the answers that it
got there. The second column of a mix is its difference from the better of its two parts at the same
hours, with a 95 % t-interval over the seeds, which are paired. Finished runs are kept, so it can be
stopped and started again.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.commands import ROOT, flags, publish, run
from benchmarks.probe_table import TABLE, data_flags, labels
from weakseg.common import read_json
from weakseg.evaluation.statistics import seed_interval
from weakseg.labels.label_file import load_labels, save_labels
from weakseg.planning.mixes import name_mix, parse_mix
from weakseg.reporting.tables import markdown, mean_std

BUDGETS = {"voc-pets": ("1h",), "nuclei": ("16h",)}  # a mask of nuclei takes an hour
SHARES = (0.1, 0.25, 0.5)  # of the hours, for masks
PARTS = {"boxes": "boxes", "points": "clicks", "pixels": "answers"}
SIZE = 256

Scores = dict[tuple[str, float], dict[int, float]]  # (mode, hours) -> {seed: mIoU in %}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "mixes")
    parser.add_argument("--only", nargs="+", choices=BUDGETS, default=list(BUDGETS))
    parser.add_argument("--answers", type=int, default=3200, help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="from 0 (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, a thread each")
    return parser.parse_args()


def labels_with_answers(args: argparse.Namespace, name: str) -> Path:
    """Write the simulated labels of a data set with asked pixels instead of random ones."""
    path = Path(args.folder) / "labels" / f"{name}-asked.pkl"
    if path.exists():
        return path
    folder = args.folder / "sessions" / name
    words = flags(
        **data_flags(args.data, args.folder, name),
        cache_dir=args.folder / "cache",
        answers=args.answers,
        at=args.answers,
        start="examples",
        study_dir=folder,
    )
    last = ["--", "--img_size", SIZE, "--device", "cpu"]
    run("study.py", "ask", "--simulate", *words, *last, threads=1)
    asked = load_labels(folder / "labels" / f"answers_{args.answers}.pkl")["images"]
    content = load_labels(labels(args, name, 0))
    images = content.pop("images")
    del content["count"]
    both = {one: images[one] | {"pixels": asked.get(one, {}).get("pixels", [])} for one in images}
    save_labels(path, content, len(both), both.items())
    return path


def mix_word(share: float, part: str) -> str:
    """Return a mix of masks and one other kind as `study.py --mix` takes it."""
    return f"full:{share:g} {part}:{1 - share:g}"


def study(args: argparse.Namespace, name: str) -> dict[str, Any]:
    """Return what the study of a data set found, which is run, or what is left of it."""
    folder = Path(args.folder) / "studies" / name
    mixes = [mix_word(share, part) for part in PARTS for share in SHARES]
    words = flags(
        **data_flags(args.data, args.folder, name),
        cache_dir=args.folder / "cache",
        weak_label_path=labels_with_answers(args, name),
        budgets=BUDGETS[name],
        modes=["full", *PARTS],
        mix=mixes,
        seeds=args.seeds,
        study_dir=folder,
        jobs=args.jobs,
    )
    last = ["--", "--img_size", SIZE, "--device", "cpu"]
    run("study.py", "compare", *words, *last, threads=1)
    content: dict[str, Any] = read_json(folder / "study.json")
    return content


def scores_of(content: dict[str, Any]) -> Scores:
    """Return the mIoU of each run of a study."""
    scores: Scores = {}
    for row in content["rows"]:
        scores.setdefault((row["mode"], row["budget"]), {})[row["seed"]] = row["miou"]
    return scores


def against_parts(scores: Scores, mix: str, part: str, budget: float) -> str:
    """Return a mix's gain over the better of its parts, which is that on average, in points."""
    alone = [scores.get((mode, budget), {}) for mode in ("full", part)]
    alone = [one for one in alone if one]
    if not alone:
        return "-"
    better = max(alone, key=lambda one: sum(one.values()) / len(one))
    own = scores[mix, budget]
    gains = [own[seed] - better[seed] for seed in sorted(own.keys() & better.keys())]
    mean, low, high = seed_interval(gains)
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def rows(name: str, content: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a data set: kinds alone, then mixes."""
    scores, budgets, found = scores_of(content), content["budgets"], []
    for kind in ("full", *PARTS):
        means = [mean_std([*scores.get((kind, b), {}).values()]) for b in budgets]
        cells = [cell for mean in means for cell in (mean, "")]
        found.append([TABLE[name][0], PARTS.get(kind, "masks"), *cells])
    for part, word in PARTS.items():
        for share in SHARES:
            mode = name_mix(parse_mix(mix_word(share, part)))
            title = f"{100 * share:g} % masks, {100 - 100 * share:g} % {word}"
            cells = []
            for budget in budgets:
                own = scores.get((mode, budget))
                gain = against_parts(scores, mode, part, budget) if own else "-"
                cells += [mean_std([*own.values()]) if own else "-", gain]
            found.append([TABLE[name][0], title, *cells])
    return found


def main(args: argparse.Namespace) -> None:
    for name in args.only:
        content = study(args, name)
        columns = [word for hours in BUDGETS[name] for word in (hours, "gain on the better part")]
        header = ["data", "labels", *columns]
        table = markdown(header, rows(name, content), (0, 1))
        publish(args.folder / f"{name}.md", table)


if __name__ == "__main__":
    main(parse_args())
