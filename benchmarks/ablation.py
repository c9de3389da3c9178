"""What does each ingredient of the strong recipe give? Each alone on the plain losses, and each
left out of the whole.

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

from real_photographs import (
    BATCH,
    ROOT,
    add_schedule_arguments,
    parse_with_schedule,
    read_result,
    train_and_evaluate,
    write_labels,
)

from weakseg.labels.label_file import load_labels
from weakseg.labels.signals import parse_modes
from weakseg.reporting.tables import markdown, mean_std
from weakseg.training import recipes

SECOND_ROUND = {"second round": ["--second_round", 1]}
LIGHT_CLICKS = {"light clicks": ["--lambda_points", 1]}
OPEN_BOXES = {"open boxes": ["--no-open_boxes"]}
# By mode, the flags that leave out an ingredient which is no term of its own.
WITHOUT = {
    "points": SECOND_ROUND | LIGHT_CLICKS,
    "boxes": SECOND_ROUND | OPEN_BOXES,
    "scribbles": SECOND_ROUND,
    "hybrid_boxes_points": SECOND_ROUND | LIGHT_CLICKS | OPEN_BOXES,
    "hybrid_tags_points": SECOND_ROUND | LIGHT_CLICKS,
}
# Terms that the mode's own recipe lacks, added to it.
MORE = {"points": ["grabcut"], "boxes": ["teacher", "colour", "fill"], "scribbles": ["grabcut"]}
WEIGHT = {"grabcut": 1.0, "teacher": 1.0, "colour": 0.1, "fill": 0.1}


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
    """Return {variant: flags}: plain and strong, each term alone, each ingredient left out, further
    terms added.

    What a term of a mix gives alone, it gives its signals. only_terms: no ingredients and terms
    besides the recipe's
    """
    signals = parse_modes([mode])
    usual = recipes.usual_weights("strong", signals, num_classes)
    terms = {term: weight for term, weight in usual.items() if term in recipes.TERMS and weight}
    found = {"plain": [], "strong": ["--recipe", "strong"]}
    if len(signals) == 1:
        found |= {
            f"plain, with {term}": [f"--lambda_{term}", weight] for term, weight in terms.items()
        }
    left_out = {term: [f"--lambda_{term}", 0] for term in terms} | (
        {} if only_terms else WITHOUT.get(mode, {})
    )
    found |= {
        f"strong, without {name}": ["--recipe", "strong", *flags]
        for name, flags in left_out.items()
    }
    for term in [] if only_terms else MORE.get(mode, []):
        found[f"strong, with {term}"] = ["--recipe", "strong", f"--lambda_{term}", WEIGHT[term]]
    return found


def table(args, runs):
    """Return the table of {(mode, variant, seed): run's name} in Markdown."""
    miou, step = {}, {}
    for (mode, variant, _), name in runs.items():
        value, log = read_result(args, name)
        miou.setdefault((mode, variant), []).append(value)
        step.setdefault((mode, variant), []).append(
            BATCH / statistics.median(e["images_per_second"] for e in log)
        )
    lines = []
    for (mode, variant), values in miou.items():
        base = (mode, variant.split(",")[0])
        gains = [value - other for value, other in zip(values, miou[base], strict=True)]
        ratio = statistics.mean(step[mode, variant]) / statistics.mean(step[mode, "plain"])
        gain = "" if variant == base[1] else f"{statistics.mean(gains):+.1f}"
        lines.append([mode, variant, mean_std(values), gain, f"{ratio:.2f}"])
    head = ["labels", "losses", "mIoU", "against plain or strong", "step, times plain"]
    return markdown(head, lines, words=(0, 1))


def main(args):
    labels, runs, flags = write_labels(args)[""], {}, {}
    num_classes = len(load_labels(ROOT / labels)["classes"])
    for seed in args.seeds:
        for mode in args.modes:
            for variant, more in variants(mode, num_classes, args.only_terms).items():
                name = f"{mode}_{variant.replace(', ', '_').replace(' ', '_')}_seed{seed}"
                runs[mode, variant, seed] = name
                flags[name] = [
                    "--supervision_mode",
                    mode,
                    "--seed",
                    seed,
                    "--weak_label_path",
                    labels,
                    *more,
                ]
    train_and_evaluate(args, flags)
    found = table(args, runs)
    (ROOT / "results" / args.name / "ablation.md").write_text(found + "\n")
    print(found)


if __name__ == "__main__":
    main(parse_args())
