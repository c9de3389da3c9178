r"""What do the hours buy? Each kind of label, annotated for the same hours, trained and tested.

    python study.py --budgets 0.5h 1h 2h 4h --seeds 3 --jobs 2 \
        --modes points boxes "tags points" "boxes points" full -- --img_size 512
    python study.py --cost_schedule bearman2016
    python study.py --modes full boxes --mix "full:0.25 boxes:0.75"
    python study.py --steps 1000 -- --learner unet --recipe strong --img_size 128 --augment
    python study.py --backend dask --cluster tcp://scheduler:8786
    python study.py plan results/study/study.json --hours 3 8
    python study.py ask --simulate --data_dir ./data --answers 800

Without a first word it compares. Each cell of the grid is an ordinary run: train.py on as many
images as the budget buys, then evaluate.py. Runs are probes, fitted in seconds, unless `--learner
unet` follows the `--`, as other flags of train.py may. For one seed all modes label the images in
the same random order, so that a smaller budget's images are among a larger one's. Stop it whenever
you like: the same command goes on, and repeats nothing that is done.

Writes to --study_dir: table.md, study.png, study.json, runs/, results/, logs/. `plan` trains
nothing: a finished study's learning curves say what to label with other hours, and how sure that
is. `ask` lets the machine choose pixels, and a simulated person name their classes: what do the
minutes buy, and what do the answers alone say of the model?
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weakseg.command_line import Parser, parse_with_rest
from weakseg.common import UserError, atomic_path, run_cli, write_json
from weakseg.data.datasets import DataOptions, add_data_arguments, say
from weakseg.data.reading import counted
from weakseg.labels.costs import DEFAULT, schedule_in_seconds
from weakseg.labels.person import add_faults_argument
from weakseg.labels.signals import parse_modes
from weakseg.own_files import is_record, take
from weakseg.parallel import BACKENDS, Workers, add_backend_arguments
from weakseg.planning.strategies import STRATEGIES, USUAL_STRATEGY
from weakseg.threads import add_threads_argument

if TYPE_CHECKING:  # what plans and trains is imported once the flags are fine
    from weakseg.planning.ask import AskStudy
    from weakseg.planning.grid import Grid, Study

MODES = ("points", "boxes", "tags points", "boxes points", "full")
STARTS = ("nothing", "examples")


def parse_args() -> argparse.Namespace:
    """Return the flags of this process; what follows `--` is their `rest`."""
    parser = Parser(description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    add_compare_arguments(commands.add_parser("compare", help="kinds of labels at equal hours"))
    add_plan_arguments(commands.add_parser("plan", help="what to label, by a finished study"))
    add_ask_arguments(commands.add_parser("ask", help="questions that a simulated person answers"))
    words = sys.argv[1:]
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words = ["compare", *words]
    return parse_with_rest(parser, words)


def add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `compare`."""
    group = add_data_arguments(parser)
    group.add_argument(
        "--weak_label_path",
        "--labels",
        default="./weak_labels/weak_labels_train.pkl",
        help="a weak-label file or folder, or a store of python labels.py (default: %(default)s)",
    )
    group = parser.add_argument_group("study")
    group.add_argument(
        "--budgets",
        nargs="+",
        default=["0.5h", "1h", "2h", "4h"],
        metavar="TIME",
        help="annotation time: 0.5h, 30m, 1800s (default: 0.5h 1h 2h 4h)",
    )
    group.add_argument(
        "--modes",
        nargs="+",
        default=list(MODES),
        metavar="MODE",
        help="kinds of labels; quote a mix: 'tags points' (default: five)",
    )
    group.add_argument(
        "--mix",
        nargs="+",
        default=[],
        metavar="MIX",
        help="kinds of labels on different images, each with its share of the hours: "
        "'full:0.25 boxes:0.75'; several, each quoted",
    )
    group.add_argument(
        "--seeds", type=int, default=3, help="number of seeds, from 0 (default: %(default)s)"
    )
    add_price_argument(group)
    group.add_argument(
        "--cost_band",
        metavar="NAME|FILE",
        help="show the hours of the same labels by this one as well",
    )
    group.add_argument(
        "--steps",
        type=int,
        help="with -- --learner unet: optimiser steps of every run, however few its images: equal "
        "epochs would train small budgets less (default: 1000; equal epochs with -- --epochs N and "
        "no --steps)",
    )
    group = parser.add_argument_group("planning")
    group.add_argument(
        "--plan", metavar="FILE", help="train nothing, as `plan FILE`: advise by a finished study"
    )
    add_hours_argument(group)
    add_execution_arguments(parser, "./results/study")


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `plan`."""
    parser.add_argument("plan", metavar="FILE", help="the study.json of a finished study")
    add_hours_argument(parser)


def add_ask_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `ask`."""
    add_data_arguments(parser)
    group = parser.add_argument_group("questions")
    group.add_argument(
        "--simulate",
        action="store_true",
        help="a simulated person answers, by the masks of the data set; needed",
    )
    group.add_argument("--answers", type=int, default=800, help="in all (default: %(default)s)")
    group.add_argument(
        "--at",
        type=int,
        nargs="+",
        metavar="N",
        help="score the model after so many answers (default: 50, 100, 200, ...)",
    )
    group.add_argument(
        "--random_share",
        type=float,
        default=0.25,
        help="of the questions, which say how good the model is (default: %(default)s)",
    )
    group.add_argument(
        "--strategy",
        choices=list(STRATEGIES),
        default=USUAL_STRATEGY,
        help="of the others (default: %(default)s)",
    )
    group.add_argument(
        "--questions_per_picture",
        type=int,
        default=1,
        help="in a row, at most (default: %(default)s)",
    )
    group.add_argument(
        "--refit_every",
        type=int,
        metavar="N",
        help="answers between two fits (default: 5 with two classes, else 20)",
    )
    group.add_argument(
        "--start",
        choices=STARTS,
        default=STARTS[0],
        help="nothing, or a click on an example of each class (default: %(default)s)",
    )
    group.add_argument(
        "--labels",
        nargs="+",
        default=[],
        metavar="KIND",
        help="kinds of labels that all pictures have already, in --weak_label_path (default: none)",
    )
    group.add_argument(
        "--weak_label_path",
        default="./weak_labels/weak_labels_train.pkl",
        help="(default: %(default)s)",
    )
    group.add_argument("--train_limit", type=int, help="pictures to ask about (default: all)")
    group.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    add_faults_argument(group)
    add_price_argument(group)
    add_execution_arguments(parser, "./results/ask")


def add_price_argument(group: argparse._ArgumentGroup) -> None:
    """Add the flag that chooses prices."""
    group.add_argument(
        "--cost_schedule",
        default=DEFAULT,
        metavar="NAME|FILE",
        help="prices: a name in costs.yaml, or a YAML file (default: %(default)s)",
    )


def add_hours_argument(group: argparse._ActionsContainer) -> None:
    """Add the flag that asks about budgets."""
    group.add_argument(
        "--hours", type=float, nargs="+", help="budgets in question (default: the study's own)"
    )


def add_execution_arguments(parser: argparse.ArgumentParser, folder: str) -> None:
    """Add the flags that say where runs run, and where files go; folder: by default."""
    group = parser.add_argument_group("execution")
    group.add_argument("--jobs", type=int, default=1, help="runs at a time (default: %(default)s)")
    add_threads_argument(group)
    add_backend_arguments(group, BACKENDS, "threading")
    group = parser.add_argument_group("output")
    group.add_argument("--study_dir", default=folder, help="(default: %(default)s)")


def main(args: argparse.Namespace) -> None:
    """Run what the first word asks for."""
    if args.command == "ask":
        ask(args)
    elif args.plan:
        from weakseg.planning.advice import advise

        print(*advise(args.plan, args.hours), sep="\n")
    else:
        compare(args)


def compare(args: argparse.Namespace) -> None:
    """Run the study that the flags describe."""
    check(args)
    workers = Workers.of(vars(args))
    band = schedule_in_seconds(args.cost_band or args.cost_schedule)

    from weakseg.planning.grid import Grid
    from weakseg.planning.runner import collect, refuse_other_data, run_grid

    grid = Grid(study_of(args))
    refuse_other_data(grid)
    say([*grid.dataset.notes(), *grid.dataset.check_test_masks(), *grid.notes])
    report_left_out(grid)
    report_other_test(grid)
    take_folder(grid.study.folder, "study")
    for cell in grid.cells:
        cell.write_labels()
    failed = run_grid(grid.cells, grid.study.folder, workers)
    content = collect(grid, band)
    write_study(grid.study.folder, content)
    refuse_failures(grid, failed)


def report_other_test(grid: Grid) -> None:
    """Say how many finished runs have results on other test images or masks than these."""
    folder = grid.study.folder
    runs = dict.fromkeys(c.name for c in grid.cells if c.is_tested_otherwise(folder))
    if runs:
        print(
            f"{folder}: test images or masks changed since {counted(len(runs), 'run')} were "
            f"evaluated, the first {next(iter(runs))}; they are evaluated again"
        )


def check(args: argparse.Namespace) -> None:
    """Refuse flags that mean nothing."""
    if args.hours:
        raise UserError("--hours: asks about a finished study; name it with --plan")
    if args.seeds < 1 or args.jobs < 1 or (args.steps is not None and args.steps < 1):
        raise UserError("--seeds, --jobs and --steps must be at least 1")


def study_of(args: argparse.Namespace) -> Study:
    """Return what the flags ask to be compared."""
    from weakseg.labels.class_names import with_classes
    from weakseg.planning.cell import training_flags
    from weakseg.planning.grid import Study, parse_budget, parse_study_modes
    from weakseg.planning.mixes import name_mix, parse_mix

    return Study(
        data=with_classes(DataOptions.of(vars(args)), args.weak_label_path),
        weak_label_path=args.weak_label_path,
        modes=parse_study_modes(args.modes),
        mixes={name_mix(mix): mix for mix in map(parse_mix, args.mix)},
        budgets=tuple(sorted({parse_budget(word) for word in args.budgets})),
        seeds=args.seeds,
        schedule=schedule_in_seconds(args.cost_schedule),
        training=training_flags(args.steps, args.rest),
        folder=Path(args.study_dir),
    )


def take_folder(folder: Path, stem: str) -> None:
    """Take the folder of a study; stem: "study" or "ask", of its files."""
    is_ours = is_record(folder / f"{stem}.json", "rows")
    names = ("table.md", *(f"{stem}.{suffix}" for suffix in ("json", "png")), "strip.png")
    take(folder, names, "study.py", "take another --study_dir", is_ours)


def report_left_out(grid: Grid) -> None:
    """Say which budgets buy no image of a mode; `UserError` where none buys any."""
    from weakseg.planning.advice import time_words

    for (mode, budget), firsts in grid.left_out.items():
        print(
            f"{time_words(budget)} of {mode}: left out for {len(firsts)} of {grid.study.seeds} "
            f"seeds, it buys no image (the first takes {time_words(min(firsts))} or more)"
        )
    if not grid.cells:
        raise UserError("--budgets: none of them buys a single image of any mode; take larger ones")


def write_study(folder: Path, content: dict[str, Any]) -> None:
    """Write study.json and, where a run is finished, the table and the figure."""
    from weakseg.planning.report import draw_study, study_report

    write_json(folder / "study.json", content)
    if content["rows"]:
        text = study_report(content)
        with atomic_path(folder / "table.md") as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
        draw_study(folder / "study.png", content)
        print(text)
        print(f"{folder}: table.md, study.png, study.json")


def refuse_failures(grid: Grid, failed: dict[str, str]) -> None:
    """Raise `UserError` where runs failed, with the last line of the first one's log."""
    if failed:
        first, runs = next(iter(failed)), {cell.name for cell in grid.cells}
        raise UserError(
            f"{len(failed)} of {len(runs)} runs failed, the first is {first}: {failed[first]}; "
            f"logs are in {grid.study.folder / 'logs'}; the same command tries them again"
        )


# ---- asked pixels


def ask(args: argparse.Namespace) -> None:
    """Run the session of questions that the flags describe, and score its models."""
    check_ask(args)
    workers = Workers.of(vars(args))

    from model import feature_store
    from weakseg.data.datasets import open_dataset
    from weakseg.planning.ask import run_study, simulation
    from weakseg.planning.ask_report import (
        contents_of,
        draw_strip,
        finished_rows,
        row_words,
        table,
        write_ask,
    )
    from weakseg.planning.cell import data_words, run_of

    study = ask_study_of(args)
    dataset = open_dataset(study.data)
    masks = dataset.check_masks(dataset.ids("train"), "training")  # of which answers are simulated
    say([*dataset.notes(), *dataset.check_test_masks(), *masks])
    study = replace(study, data=study.data.of_data(dataset))
    words = ["--supervision_mode", "pixels", *data_words(study.data, ""), *study.training]
    run = run_of(words)
    take_folder(study.folder, "ask")
    settings = asdict(run.probe) | run.recorded()  # the session's model is a probe in any case
    store = feature_store(settings, run.cache_dir, run.cache_limit)
    held = contents_of(dataset)
    rows = finished_rows(study, held)
    session = simulation(study, dataset, store)
    for row in run_study(study, session, dataset, store, workers, rows):
        rows.append(row)
        write_ask(study, rows, held)
        print(row_words(row))
    write_ask(study, rows, held)
    draw_strip(study, session, dataset, store, rows)
    print(table(rows))
    print(
        f"{study.folder}: table.md, ask.png, strip.png, ask.json; the last model: "
        f"python evaluate.py --checkpoint_dir {study.folder / 'runs'} --run_name {rows[-1]['run']}"
    )


def check_ask(args: argparse.Namespace) -> None:
    """Refuse flags that mean nothing."""
    if not args.simulate:
        raise UserError("study.py ask: needs --simulate, a person whose answers come from masks")
    if min(args.answers, args.questions_per_picture, args.jobs, *(args.at or [1])) < 1:
        raise UserError("--answers, --at, --questions_per_picture and --jobs must be at least 1")
    if args.refit_every is not None and args.refit_every < 1:
        raise UserError(f"--refit_every {args.refit_every}: must be at least 1")
    if not 0 <= args.random_share <= 1:
        raise UserError(f"--random_share {args.random_share}: must lie between 0 and 1")
    if "pixels" in parse_modes(args.labels):
        raise UserError("--labels pixels: answers are what the session is for; leave it out")
    if not 0 <= args.seed < 2**63:
        raise UserError(f"--seed {args.seed}: must not be negative, and be less than 2**63")


def ask_study_of(args: argparse.Namespace) -> AskStudy:
    """Return the session that the flags describe."""
    from weakseg.labels.person import faults_of
    from weakseg.planning.ask import AskStudy, usual_points
    from weakseg.planning.asking import AskingOptions
    from weakseg.planning.cell import training_flags

    schedule_in_seconds(args.cost_schedule)
    return AskStudy(
        data=DataOptions.of(vars(args)),
        options=AskingOptions(
            args.seed, args.random_share, args.strategy, args.questions_per_picture
        ),
        faults=faults_of(args.faults, "--faults"),
        answers=args.answers,
        at=tuple(args.at or usual_points(args.answers)),
        start=args.start,
        labels=parse_modes(args.labels),
        weak_label_path=args.weak_label_path,
        refit_every=args.refit_every,
        train_limit=args.train_limit,
        schedule=args.cost_schedule,
        training=training_flags(None, args.rest),
        folder=Path(args.study_dir),
    )


if __name__ == "__main__":
    run_cli(main, parse_args)
