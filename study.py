"""What do the hours buy? The same annotation hours spent on each mode, trained, tested, and
compared.

    python study.py --data_dir ./data --budgets 0.5h 1h 2h 4h --seeds 3 --jobs 2 \
        --modes points boxes "tags points" "boxes points" full -- --img_size 128 --batch_size 16
        --lr 3e-4 --augment
    python study.py ... --cost_schedule bearman2016
    python study.py ... --backend dask --cluster tcp://scheduler:8786
    python study.py --plan results/study/study.json --hours 3 8

Each cell of the grid is an ordinary run: train.py on as many images as the budget buys, then
evaluate.py. For one seed all modes label the images in the same random order, so that a smaller
budget's images are among a larger one's. What follows `--` goes to train.py. Stop it whenever you
like: the same command goes on, and repeats nothing that is done.

Writes to --study_dir: table.md, study.png, study.json (see --plan), runs/, results/, logs/.
"""

import argparse
import sys
from pathlib import Path

from weakseg.common import UserError, atomic_path, parse_with_rest, run_cli, write_json
from weakseg.data.datasets import add_data_arguments
from weakseg.labels.costs import DEFAULT
from weakseg.parallel import BACKENDS, Workers, add_backend_arguments
from weakseg.planning.runner import collect, run_grid

MODES = ("points", "boxes", "tags points", "boxes points", "full")


def parse_args():
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
        help="optimiser steps of every run, however few its images: equal epochs would train small "
        "budgets less (default: 1000; equal epochs with -- --epochs N and no --steps)",
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
    add_backend_arguments(group, BACKENDS, "threading")
    group = parser.add_argument_group("output")
    group.add_argument("--study_dir", default="./results/study", help="(default: %(default)s)")
    return parse_with_rest(parser, sys.argv[1:])


def main(args):
    if args.plan:
        from weakseg.planning.learning_curves import advise

        print(*advise(args.plan, args.hours), sep="\n")
        return
    if args.hours:
        raise UserError("--hours: asks about a finished study; name it with --plan")
    if args.seeds < 1 or args.jobs < 1 or (args.steps is not None and args.steps < 1):
        raise UserError("--seeds, --jobs and --steps must be at least 1")
    workers = Workers.of(vars(args))

    from weakseg.labels.costs import schedule_in_seconds
    from weakseg.planning.grid import Grid
    from weakseg.planning.learning_curves import time_words
    from weakseg.planning.report import draw, report

    band = schedule_in_seconds(args.cost_band or args.cost_schedule)
    grid = Grid(args, schedule_in_seconds(args.cost_schedule))
    for (mode, budget), prices in grid.nothing.items():
        print(
            f"{time_words(budget)} of {mode}: left out for {len(prices)} of {args.seeds} seeds, it buys no image "
            f"(the first takes {time_words(min(prices))} or more)"
        )
    if not grid.cells:
        raise UserError("--budgets: none of them buys a single image of any mode; take larger ones")
    failed = run_grid(grid.cells, args.study_dir, workers)
    study = collect(grid, band, args)
    folder = Path(args.study_dir)
    write_json(folder / "study.json", study)
    if study["rows"]:
        text = report(study)
        with atomic_path(folder / "table.md") as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
        draw(folder / "study.png", study)
        print(text)
        print(f"{folder}: table.md, study.png, study.json")
    if failed:
        first = next(iter(failed))
        raise UserError(
            f"{len(failed)} of {len({c.name for c in grid.cells})} runs failed, the first is {first}: {failed[first]}; "
            f"logs are in {folder / 'logs'}; the same command tries them again"
        )


if __name__ == "__main__":
    run_cli(main, parse_args)
