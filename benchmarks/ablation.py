r"""What does each ingredient of the strong recipe give? Alone on the plain losses, and left out.

    python benchmarks/ablation.py --data_dir ../shared/data --name voc --classes pet=cat+dog \
        --train_limit 800 --epochs 4

What follows -- goes to train.py in place of --lr 3e-4 --augment, as it does in real_photographs.py.
Ordinary trainings that differ in one flag, by one schedule, tested on the same images; finished
runs are kept, also those of real_photographs.py under the same --name. Writes
results/<name>/ablation.md: test mIoU, the difference to plain or strong of the same seeds, and the
time of a step.
"""

import argparse
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.commands import ROOT, flags
from benchmarks.real_photographs import (
    BATCH,
    add_schedule_arguments,
    parse_with_schedule,
    read_result,
    train_and_evaluate,
    write_labels,
)
from weakseg.labels.label_file import load_labels
from weakseg.labels.signals import parse_modes
from weakseg.reporting.tables import markdown, mean_std
from weakseg.training.recipes import ADDED_TERMS, usual_weights

SECOND_ROUND = {"second round": {"second_round": 1}}
LIGHT_CLICKS = {"light clicks": {"lambda_points": 1}}
OPEN_BOXES = {"open boxes": {"open_boxes": False}}
# By mode, the flags that leave out an ingredient which is no term of its own.
WITHOUT = {
    "points": SECOND_ROUND | LIGHT_CLICKS,
    "boxes": SECOND_ROUND | OPEN_BOXES,
    "scribbles": SECOND_ROUND,
    "hybrid_boxes_points": SECOND_ROUND | LIGHT_CLICKS | OPEN_BOXES,
    "hybrid_tags_points": SECOND_ROUND | LIGHT_CLICKS,
}
# Terms that the mode's own recipe lacks, added to it with weight 1.
MORE = {"points": ["grabcut"], "boxes": ["teacher"], "scribbles": ["grabcut"]}
STRONG = {"recipe": "strong"}


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_schedule_arguments(parser)
    parser.add_argument(
        "--modes", nargs="+", choices=WITHOUT, default=list(WITHOUT), help="(default: all of these)"
    )
    parser.add_argument(
        "--only_terms", action="store_true", help="leave alone what is no term of the mode's recipe"
    )
    parser.set_defaults(seeds=[0])
    return parse_with_schedule(parser)


def variants(mode, num_classes, only_terms=False):
    """Return {variant: {flag of train.py: value}}: plain, strong, and what differs in one flag.

    Each of the recipe's terms alone on the plain losses, each ingredient left out of the strong
    recipe, further terms added to it. What a term of a mix gives alone stands in the tables of its
    signals. only_terms: nothing but the terms of the recipe
    """
    signals = parse_modes([mode])
    weights = usual_weights("strong", signals, num_classes)
    terms = {term: weight for term, weight in weights.items() if term in ADDED_TERMS and weight}
    rows = {"plain": {}, "strong": STRONG}
    if len(signals) == 1:
        for term, weight in terms.items():
            rows[f"plain, with {term}"] = {f"lambda_{term}": weight}
    without = {term: {f"lambda_{term}": 0} for term in terms}
    if not only_terms:
        without |= WITHOUT.get(mode, {})
    for ingredient, changed in without.items():
        rows[f"strong, without {ingredient}"] = STRONG | changed
    for term in [] if only_terms else MORE.get(mode, []):
        rows[f"strong, with {term}"] = STRONG | {f"lambda_{term}": 1.0}
    return rows


def table(args, runs):
    """Return the table of {(mode, variant, seed): run's name} in Markdown."""
    miou, step = {}, {}
    for (mode, variant, _), name in runs.items():
        value, log = read_result(args, name)
        rate = statistics.median(line["images_per_second"] for line in log)
        miou.setdefault((mode, variant), []).append(value)
        step.setdefault((mode, variant), []).append(BATCH / rate)
    lines = []
    for (mode, variant), values in miou.items():
        base = (mode, variant.split(",")[0])
        gains = [value - other for value, other in zip(values, miou[base], strict=True)]
        gain = "" if variant == base[1] else f"{statistics.mean(gains):+.1f}"
        ratio = statistics.mean(step[mode, variant]) / statistics.mean(step[mode, "plain"])
        lines.append([mode, variant, mean_std(values), gain, f"{ratio:.2f}"])
    head = ["labels", "losses", "mIoU", "against plain or strong", "step, times plain"]
    return markdown(head, lines, words=(0, 1))


def main(args):
    labels, names, runs = write_labels(args)[""], {}, {}
    num_classes = len(load_labels(ROOT / labels)["classes"])
    for seed in args.seeds:
        for mode in args.modes:
            for variant, changed in variants(mode, num_classes, args.only_terms).items():
                name = f"{mode}_{variant.replace(', ', '_').replace(' ', '_')}_seed{seed}"
                names[mode, variant, seed] = name
                runs[name] = flags(
                    supervision_mode=mode, seed=seed, weak_label_path=labels, **changed
                )
    train_and_evaluate(args, runs)
    text = table(args, names)
    (ROOT / "results" / args.name / "ablation.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main(parse_args())
