"""The three pipelines: which folder, which budgets, and whether a judge takes part. Everything else
is `loop.py`.
"""

import argparse
import importlib.util
import os
from pathlib import Path

from vlm_itl.config import Config, budgets, check_judging, load_config
from vlm_itl.settings import describe_keys
from weakseg.common import UserError
from weakseg.threads import add_threads_argument


def parse_args(doc):
    """Parse the command line that the three scripts share; doc: the script's docstring."""
    parser = argparse.ArgumentParser(
        description=doc,
        epilog=describe_keys(Config),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", required=True, help="YAML file; its keys are listed below")
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="override keys, for example training.steps=100 data.source=../voc",
    )
    add_threads_argument(parser)
    return parser.parse_args()


def main(args, pipeline):
    """Run one of `PIPELINES` -> the content of its results.json."""
    settings, content = load_config(args.config, args.set)
    if settings.log_with != "none" and not importlib.util.find_spec(settings.log_with):
        raise UserError(
            f"log_with {settings.log_with}: not installed; pip install {settings.log_with}"
        )
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return PIPELINES[pipeline](args.config, settings, content)


def baseline(path, settings, content):
    """Everything is labelled: one round at 100 %."""
    unused = [
        name for name in ("active_learning", "vlm_itl", "output_dir_prefix") if name in content
    ]
    if unused:
        raise UserError(f"--config {path}: train_baseline.py has no use for {unused[0]}; remove it")
    if not settings.output_dir:
        raise UserError(f"--config {path}: output_dir is missing; name the folder of the run")
    folder = Path(settings.output_dir) / one_folder(settings.run_name or "")
    return run(settings, folder, "baseline", [(100.0, "percent")], False)


def active_learning(path, settings, content):
    """A person labels what the strategy chooses."""
    if settings.vlm_itl.enabled:
        raise UserError(
            f"--config {path}: vlm_itl.enabled is True; set it to False or leave it out for train_active_learning.py, "
            "or run train_vlm_itl.py"
        )
    arm = settings.active_learning.strategy
    return run(
        settings,
        folder_of(path, settings, content, arm),
        arm,
        budgets(settings.active_learning),
        False,
    )


def vlm_itl(path, settings, content):
    """A judge looks at the predictions; a person labels what the strategy chooses among those it
    rejects.
    """
    if settings.vlm_itl.enabled is False:
        raise UserError(
            f"--config {path}: vlm_itl.enabled is False; set it to True or leave it out for train_vlm_itl.py, "
            "or run train_active_learning.py"
        )
    check_judging(settings)
    arm = f"vlm_{settings.vlm_itl.vlm_handler}_{settings.active_learning.strategy}"
    return run(
        settings,
        folder_of(path, settings, content, arm),
        arm,
        budgets(settings.active_learning),
        True,
    )


PIPELINES = {"baseline": baseline, "active_learning": active_learning, "vlm_itl": vlm_itl}


def folder_of(path, settings, content, arm):
    """Return the folder of an active-learning run below `output_dir_prefix`."""
    if "output_dir" in content:
        raise UserError(
            f"--config {path}: output_dir is for train_baseline.py; use output_dir_prefix"
        )
    if not settings.output_dir_prefix:
        raise UserError(
            f"--config {path}: output_dir_prefix is missing; name the folder that the runs go below"
        )
    name = settings.run_name or f"{arm}_{settings.active_learning.label}_seed{settings.seed}"
    return Path(settings.output_dir_prefix) / one_folder(name)


def one_folder(name):
    """Return `name` if it is the name of one folder, or empty."""
    if Path(name).name != name or name == "..":
        raise UserError(f"run_name {name}: is the name of one folder, without '/'")
    return name


def run(settings, folder, arm, targets, judged):
    """Run the loop, draw its curve, and say where everything is."""
    from vlm_itl.loop import run_rounds
    from vlm_itl.results.report import draw_figures
    from vlm_itl.run import Run

    arm = folder.name.removesuffix(f"_seed{settings.seed}") if settings.output_dir_prefix else arm
    results = run_rounds(Run(settings, folder, arm, targets, judged))
    draw_figures(
        folder, results, settings.vlm_itl.risk if settings.vlm_itl.control == "ltt" else None
    )
    print(
        f"{folder}: results.json, ledger.jsonl, log.jsonl, and the weights of each round in round_NN/"
    )
    return results
