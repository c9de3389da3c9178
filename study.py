r"""What do the hours buy? Each kind of label, annotated for the same hours, trained and tested.

    python study.py --budgets 0.5h 1h 2h 4h --seeds 3 --jobs 2 \
        --modes points boxes "tags points" "boxes points" full -- --img_size 512
    python study.py --cost_schedule bearman2016
    python study.py --steps 1000 -- --learner unet --recipe strong --img_size 128 --augment
    python study.py --backend dask --cluster tcp://scheduler:8786
    python study.py --plan results/study/study.json --hours 3 8

Each cell of the grid is an ordinary run: train.py on as many images as the budget buys, then
evaluate.py. Runs are probes, fitted in seconds, unless `--learner unet` follows the `--`, as other
flags of train.py may. For one seed all modes label the images in the same random order, so that a
smaller budget's images are among a larger one's. Stop it whenever you like: the same command goes
on, and repeats nothing that is done.

Writes to --study_dir: table.md, study.png, study.json (see --plan), runs/, results/, logs/. With
--plan it trains nothing: a finished study's learning curves say what to label with other hours, and
how sure that is.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weakseg.common import UserError, atomic_path, parse_with_rest, run_cli, write_json
from weakseg.data.datasets import DataOptions, add_data_arguments
from weakseg.labels.costs import DEFAULT, schedule_in_seconds
from weakseg.parallel import BACKENDS, Workers, add_backend_arguments
from weakseg.threads import add_threads_argument

if TYPE_CHECKING:  # what plans and trains is imported once the flags are fine
    from weakseg.planning.grid import Grid, Study

MODES = ("points", "boxes", "tags points", "boxes points", "full")


def parse_args() -> argparse.Namespace:
    """Return the flags of this process; what follows `--` is their `rest`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    group = add_data_arguments(parser)
    group.add_argument(
        "--weak_label_path",
        default="./weak_labels/weak_labels_train.pkl",
        help="(default: %(default)s)",
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
        "--seeds", type=int, default=3, help="number of seeds, from 0 (default: %(default)s)"
    )
    group.add_argument(
        "--cost_schedule",
        default=DEFAULT,
        metavar="NAME|FILE",
        help="prices: a name in costs.yaml, or a YAML file (default: %(default)s)",
    )
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
        "--plan", metavar="FILE", help="train nothing: advise by the study.json of a finished study"
    )
    group.add_argument(
        "--hours", type=float, nargs="+", help="budgets in question (default: the study's own)"
    )
    group = parser.add_argument_group("execution")
    group.add_argument("--jobs", type=int, default=1, help="runs at a time (default: %(default)s)")
    add_threads_argument(group)
    add_backend_arguments(group, BACKENDS, "threading")
    group = parser.add_argument_group("output")
    group.add_argument("--study_dir", default="./results/study", help="(default: %(default)s)")
    return parse_with_rest(parser, sys.argv[1:])


def main(args: argparse.Namespace) -> None:
    """Run the study that the flags describe, or advise by one that is finished."""
    if args.plan:
        from weakseg.planning.advice import advise

        print(*advise(args.plan, args.hours), sep="\n")
        return
    check(args)
    workers = Workers.of(vars(args))
    band = schedule_in_seconds(args.cost_band or args.cost_schedule)

    from weakseg.planning.grid import Grid
    from weakseg.planning.runner import collect, run_grid

    grid = Grid(study_of(args))
    report_left_out(grid)
    failed = run_grid(grid.cells, grid.study.folder, workers)
    content = collect(grid, band)
    write_study(grid.study.folder, content)
    refuse_failures(grid, failed)


def check(args: argparse.Namespace) -> None:
    """Refuse flags that mean nothing."""
    if args.hours:
        raise UserError("--hours: asks about a finished study; name it with --plan")
    if args.seeds < 1 or args.jobs < 1 or (args.steps is not None and args.steps < 1):
        raise UserError("--seeds, --jobs and --steps must be at least 1")


def study_of(args: argparse.Namespace) -> Study:
    """Return what the flags ask to be compared."""
    from weakseg.planning.cell import training_flags
    from weakseg.planning.grid import Study, parse_budget, parse_study_modes

    return Study(
        data=DataOptions.of(vars(args)),
        weak_label_path=args.weak_label_path,
        modes=parse_study_modes(args.modes),
        budgets=tuple(sorted({parse_budget(word) for word in args.budgets})),
        seeds=args.seeds,
        schedule=schedule_in_seconds(args.cost_schedule),
        training=training_flags(args.steps, args.rest),
        folder=Path(args.study_dir),
    )


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


if __name__ == "__main__":
    run_cli(main, parse_args)
