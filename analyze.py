"""Does one kind of supervision beat another, and where? Paired statistics, three questions, and a
report to read.

    python analyze.py --a points_run1 --b hybrid_run1
    python analyze.py --a points_s0 points_s1 points_s2 --b hybrid_s0 hybrid_s1 hybrid_s2 --results_dir ./results
    python analyze.py --report results/

Reads what evaluate.py wrote, and no model. --a and --b each take one run or several seeds of it;
differences are B minus A. Completeness, class consistency and failure modes are told apart as
failures.py says. --report puts the runs in a folder and the analyses below it into one HTML page
that needs no network.
"""

import argparse
from pathlib import Path

from weakseg.common import UserError, atomic_path, commit, run_cli, write_json


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    group = parser.add_argument_group("runs")
    group.add_argument(
        "--a", nargs="+", metavar="RUN", help="run, or several seeds of it: names, or result files"
    )
    group.add_argument("--b", nargs="+", metavar="RUN", help="what to compare with it")
    group.add_argument(
        "--results_dir", default="./results", help="folder of the results (default: %(default)s)"
    )
    group.add_argument(
        "--checkpoint_dir",
        default="./checkpoints",
        help="folder of the runs, to say what is left to evaluate (default: %(default)s)",
    )
    group.add_argument(
        "--data_dir", help="where the data lies now (default: where the runs found it)"
    )
    group.add_argument("--cache_dir", help="folder of what was read of it (default: the runs' own)")
    group.add_argument(
        "--weak_label_path", help="the annotator to simulate made these labels (default: run A's)"
    )
    group = parser.add_argument_group("statistics")
    group.add_argument(
        "--resamples", type=int, default=2000, help="of the bootstrap (default: %(default)s)"
    )
    group.add_argument(
        "--seed", type=int, default=0, help="of the bootstrap (default: %(default)s)"
    )
    group = parser.add_argument_group("output")
    group.add_argument("--output_dir", help="folder (default: RESULTS_DIR/analysis/A_vs_B)")
    group.add_argument(
        "--examples",
        type=int,
        default=4,
        help="images to show where B gains, and loses (default: 4)",
    )
    group.add_argument(
        "--report",
        metavar="DIR",
        help="write DIR/report.html: the runs in DIR, the analyses below it",
    )
    group.add_argument(
        "--cost_schedule",
        metavar="NAME|FILE",
        help="prices of the report's hours: a name in costs.yaml, or a YAML file (default: those that "
        "the results state)",
    )
    return parser.parse_args()


def check(args):
    """Refuse flags that mean nothing, or nothing together."""
    if args.report and (args.a or args.b):
        raise UserError("--report: is a command of its own; first run --a A --b B, then --report")
    if not args.report and not (args.a and args.b):
        raise UserError("--a and --b: name the runs to compare, or give --report DIR")
    if args.cost_schedule and not args.report:
        raise UserError("--cost_schedule: prices the hours of --report; a comparison has none")
    if args.seed < 0:
        raise UserError(f"--seed {args.seed}: must not be negative")
    if args.resamples < 100:
        raise UserError(f"--resamples {args.resamples}: must be at least 100")
    if args.examples < 0:
        raise UserError(f"--examples {args.examples}: must not be negative")


def load_groups(args):
    """Return the results of A and of B, which must have been tested on the same images."""
    from weakseg.evaluation.results import load_group, refuse_other_images, refuse_other_windows

    groups = [load_group(args.a, args, "--a"), load_group(args.b, args, "--b")]
    refuse_other_images(groups[0][0], groups[1][0])
    names = [{result["run"] for result in group} for group in groups]
    if names[0] & names[1] and names[0] != names[1]:
        raise UserError(f"--a and --b: both name {min(names[0] & names[1])}; leave it out of one")
    if names[0] != names[1]:  # the same runs in other windows: that is a comparison of windows
        refuse_other_windows(groups[0][0], groups[1][0])
    return groups


def add_titles(found):
    """Name A and B by their supervision, or by their runs where that is the same."""
    modes = [" + ".join(found[key]["supervision"]) for key in "ab"]
    for key, mode in zip("ab", modes, strict=True):
        found[key]["title"] = found[key]["name"] if modes[0] == modes[1] else mode


def median_run(group, image):
    """Return the run of a group whose mIoU on an image is the middle one."""
    order = sorted(group, key=lambda result: result["images"][image]["miou"] or 0.0)
    return order[(len(order) - 1) // 2]


def examples(groups, dataset, annotator, number):
    """Return the images where B gains or loses most, each with what `examples_figure` draws."""
    import numpy as np

    from weakseg.evaluation.comparison import extremes, image_means, truth_of
    from weakseg.evaluation.results import read_prediction

    signals = {signal for group in groups for signal in group[0]["supervision"]}
    place = {image: index for index, image in enumerate(groups[0][0]["images"])}
    means, shown = [image_means(group) for group in groups], []
    for image, gain in extremes(groups, number):
        truth, labels = truth_of(dataset, image, annotator, signals)
        masks = [
            read_prediction(median_run(group, image), image, truth.mask.shape) for group in groups
        ]
        shown.append(
            {
                "image": image,
                "gain": gain,
                "a": float(means[0][place[image]]),
                "b": float(means[1][place[image]]),
                "photo": np.asarray(dataset.image(image)),
                "masks": [truth.mask, *masks],
                "annotation": {
                    s: labels[s] for s in ("points", "scribbles", "boxes") if s in signals
                },
                "tags": labels["tags"]["present"] if "tags" in signals else [],
            }
        )
    return shown


def draw(folder, found, shown):
    """Draw all figures -> their names; the pictures of the examples are named in `found`."""
    from weakseg.evaluation.comparison_figures import (
        completeness_figure,
        example_tiles,
        examples_figure,
        failures_figure,
    )

    names = ["failures.png"]
    failures_figure(folder / "failures.png", found)
    if any(found["overall"]["covered_by_distance"]):
        completeness_figure(folder / "completeness.png", found)
        names.append("completeness.png")
    if shown:
        examples_figure(folder / "examples.png", found, shown)
        names.append("examples.png")
    found["examples"] = [
        {key: example[key] for key in ("image", "gain", "a", "b", "tags")}
        | {
            "pictures": [
                f"examples/{name}" for name in example_tiles(folder / "examples", index, example)
            ]
        }
        for index, example in enumerate(shown, 1)
    ]
    return names


def compare(args):
    """Compare two groups of runs; print the verdict and the table, and write everything."""
    from weakseg.evaluation.comparison import Annotator, analyse
    from weakseg.evaluation.comparison_text import NOTES, table, verdict
    from weakseg.evaluation.results import dataset_of

    groups = load_groups(args)
    dataset, _ = dataset_of(groups[0][0], args)
    annotator = Annotator.of(groups[0][0], args.weak_label_path)
    if annotator.source is None:
        path = groups[0][0]["args"].get("weak_label_path")
        print(
            f"{path}: no readable labels; distances are from a usual annotator's clicks (other labels: "
            "--weak_label_path)"
        )
    found = analyse(groups, dataset, annotator, args.resamples, args.seed)
    add_titles(found)
    found |= {"verdict": verdict(found), "commit": commit()}
    shown = examples(groups, dataset, annotator, args.examples)

    default = Path(args.results_dir) / "analysis" / f"{found['a']['name']}_vs_{found['b']['name']}"
    folder = Path(args.output_dir or default)
    folder.mkdir(parents=True, exist_ok=True)
    names = draw(folder, found, shown)
    write_json(folder / "analysis.json", found)
    text = "\n\n".join([found["verdict"], table(found), *NOTES]) + "\n"
    with atomic_path(folder / "analysis.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)
    print(f"{folder}: {', '.join(['analysis.json', 'analysis.md', *names])}")


def main(args):
    check(args)
    if args.report:
        from weakseg.evaluation.report import write_report

        print(write_report(Path(args.report), args))
    else:
        compare(args)


if __name__ == "__main__":
    run_cli(main, parse_args)
