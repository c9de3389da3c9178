"""Does one kind of supervision beat another, and where? A comparison, and a report to read.

    python analyze.py --a points_run1 --b hybrid_run1
    python analyze.py --a points_s0 points_s1 points_s2 --b hybrid_s0 hybrid_s1 hybrid_s2
    python analyze.py --report results/

Reads what evaluate.py wrote, and no model. --a and --b each take one run or several seeds of it;
differences are B minus A. Completeness, class consistency and failure modes are told apart as
weakseg/evaluation/error_modes.py says. --report puts the runs in a folder and the analyses below it
into one HTML page that needs no network.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weakseg.command_line import Parser
from weakseg.common import UserError, atomic_path, commit, run_cli, write_json
from weakseg.own_files import is_record, take
from weakseg.threads import add_threads_argument

if TYPE_CHECKING:
    from weakseg.data.base import SegmentationDataset
    from weakseg.evaluation.comparison import Annotator, Groups
    from weakseg.evaluation.comparison_figures import Example
    from weakseg.evaluation.results import Result

FILES = ("analysis.json", "analysis.md", "failures.png", "completeness.png", "examples.png")
FILES += ("examples",)  # a folder
DRAWN = "points", "scribbles", "boxes", "outlines", "pixels"  # what an example's photograph shows


def parse_args() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = Parser(description=__doc__)
    add_run_arguments(parser)
    group = parser.add_argument_group("statistics")
    group.add_argument(
        "--resamples", type=int, default=2000, help="of the bootstrap (default: %(default)s)"
    )
    group.add_argument(
        "--seed", type=int, default=0, help="of the bootstrap (default: %(default)s)"
    )
    add_threads_argument(group)
    add_output_arguments(parser)
    return parser.parse_args()


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which runs, and where their files and data lie."""
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


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of files, figures and the report."""
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
        help="prices of the report's hours: a name in costs.yaml, or a YAML file (default: those "
        "that the results state)",
    )


def check(args: argparse.Namespace) -> None:
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


def load_groups(args: argparse.Namespace) -> "Groups":
    """Return the results of A and of B, which must have been tested on the same images."""
    from weakseg.evaluation.groups import load_group
    from weakseg.evaluation.results import Folders, refuse_other_images, refuse_other_windows

    folders = Folders(Path(args.results_dir), Path(args.checkpoint_dir))
    one, two = load_group(args.a, folders, "--a"), load_group(args.b, folders, "--b")
    refuse_other_images(one[0], two[0])
    names = [{result["run"] for result in group} for group in (one, two)]
    if names[0] & names[1] and names[0] != names[1]:
        raise UserError(f"--a and --b: both name {min(names[0] & names[1])}; leave it out of one")
    if names[0] != names[1]:  # the same runs in other windows: that is a comparison of windows
        refuse_other_windows(one[0], two[0])
    return one, two


def choose_annotator(args: argparse.Namespace, first: "Result") -> "Annotator":
    """Return the annotator whose clicks distances are from, and say where it is the usual one."""
    from weakseg.evaluation.comparison import Annotator

    annotator = Annotator.of(first, args.weak_label_path)
    if annotator.source is None:
        print(
            f"{first['args'].get('weak_label_path')}: no simulated labels; distances are from a "
            "usual annotator's clicks (other labels: --weak_label_path)"
        )
    return annotator


def choose_examples(
    groups: "Groups", dataset: "SegmentationDataset", annotator: "Annotator", number: int
) -> "list[Example]":
    """Return the images where B gains most, and where it loses most, at most `number` of each."""
    import numpy as np

    from weakseg.evaluation.comparison import extremes, image_means, truth_of
    from weakseg.evaluation.comparison_figures import Example
    from weakseg.evaluation.results import read_prediction

    signals = {signal for group in groups for signal in group[0]["supervision"]}
    place = {image: index for index, image in enumerate(groups[0][0]["images"])}
    means = [image_means(group) for group in groups]
    examples = []
    for image, gain in extremes(groups, number):
        truth, labels = truth_of(dataset, image, annotator, signals)
        runs = [median_run(group, image) for group in groups]
        masks = [read_prediction(run, image, truth.mask.shape) for run in runs]
        example = Example(
            image=image,
            gain=gain,
            a=float(means[0][place[image]]),
            b=float(means[1][place[image]]),
            photo=np.asarray(dataset.image(image)),
            masks=[truth.mask, *masks],
            annotation={signal: labels[signal] for signal in DRAWN if signal in signals},
            tags=labels["tags"]["present"] if "tags" in signals else [],
            has_background=dataset.has_background,
        )
        examples.append(example)
    return examples


def median_run(group: "list[Result]", image: str) -> "Result":
    """Return the run of a group whose mIoU on an image is the middle one."""
    order = sorted(group, key=lambda result: result["images"][image]["miou"] or 0.0)
    return order[(len(order) - 1) // 2]


def draw(folder: Path, analysis: dict[str, Any], examples: "list[Example]") -> list[str]:
    """Draw all figures of a comparison, and return their names."""
    from weakseg.evaluation.comparison_figures import (
        completeness_figure,
        examples_figure,
        failures_figure,
    )

    names = ["failures.png"]
    failures_figure(folder / "failures.png", analysis)
    if any(analysis["overall"]["covered_by_distance"]):
        completeness_figure(folder / "completeness.png", analysis)
        names.append("completeness.png")
    if examples:
        examples_figure(folder / "examples.png", analysis, examples)
        names.append("examples.png")
    return names


def draw_tiles(folder: Path, examples: "list[Example]") -> list[dict[str, Any]]:
    """Draw each example's pictures for the report, and return what analysis.json says of it."""
    from weakseg.evaluation.comparison_figures import example_tiles

    described = []
    for index, example in enumerate(examples, 1):
        names = example_tiles(folder / "examples", index, example)
        described.append(example.described() | {"pictures": [f"examples/{n}" for n in names]})
    return described


def compare(args: argparse.Namespace) -> None:
    """Compare two groups of runs; print the verdict and the table, and write everything."""
    from weakseg.data.datasets import say
    from weakseg.evaluation.comparison import analyse, doubts
    from weakseg.evaluation.comparison_text import NOTES, comparison_table, verdict
    from weakseg.evaluation.data_of_run import dataset_of

    # The numbers.
    groups = load_groups(args)
    dataset, _ = dataset_of(groups[0][0], args.data_dir, args.cache_dir)
    say([*dataset.notes(), *doubts(groups)])
    annotator = choose_annotator(args, groups[0][0])
    analysis = analyse(groups, dataset, annotator, args.resamples, args.seed)
    analysis |= {"verdict": verdict(analysis), "commit": commit()}

    # The figures.
    names = f"{analysis['a']['name']}_vs_{analysis['b']['name']}"
    folder = Path(args.output_dir or Path(args.results_dir) / "analysis" / names)
    is_ours = is_record(folder / "analysis.json", "verdict")
    take(folder, FILES, "analyze.py", "take another --output_dir", is_ours)
    examples = choose_examples(groups, dataset, annotator, args.examples)
    figures = draw(folder, analysis, examples)

    # The files, and what people read in the terminal.
    analysis["examples"] = draw_tiles(folder, examples)
    write_json(folder / "analysis.json", analysis)
    text = "\n\n".join([analysis["verdict"], comparison_table(analysis), *NOTES]) + "\n"
    with atomic_path(folder / "analysis.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)
    print(f"{folder}: {', '.join(['analysis.json', 'analysis.md', *figures])}")


def main(args: argparse.Namespace) -> None:
    """Compare two groups of runs, or write the report of a folder."""
    check(args)
    if args.report:
        from weakseg.evaluation.report import write_report

        print(write_report(Path(args.report), args.cost_schedule))
    else:
        compare(args)


if __name__ == "__main__":
    run_cli(main, parse_args)
