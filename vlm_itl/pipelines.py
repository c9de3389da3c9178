"""The three pipelines: which folder, which budgets, and whether a judge takes part.

They differ in nothing else: everything after that is `vlm_itl.loop`.
"""

import argparse
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlm_itl.config import Config, budgets, check_judging, load_config
from vlm_itl.settings import describe_keys
from weakseg.command_line import Parser
from weakseg.common import UserError, choose
from weakseg.data.ids import is_folder_name
from weakseg.hub_access import is_at_hand
from weakseg.threads import add_threads_argument


def parse_args(doc: str | None) -> argparse.Namespace:
    """Parse the command line that the three scripts share; doc: the script's docstring."""
    parser = Parser(description=doc, epilog=describe_keys(Config))
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


def baseline(path: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Train once on everything, labelled -> the content of results.json."""
    settings, given = load(path, overrides)
    for key in ("active_learning", "vlm_itl", "output_dir_prefix"):
        if key in given:
            raise UserError(f"--config {path}: train_baseline.py has no use for {key}; remove it")
    if not settings.output_dir:
        raise UserError(f"--config {path}: output_dir is missing; name the folder of the run")
    folder = Path(settings.output_dir) / folder_name(settings.run_name or "")
    return run(settings, folder, "baseline", [(100.0, "percent")], judged=False)


def active_learning(path: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Let a person label what the strategy chooses -> the content of results.json."""
    settings, given = load(path, overrides)
    if settings.vlm_itl.enabled:
        raise UserError(
            f"--config {path}: vlm_itl.enabled is True; set it to False or leave it out for "
            "train_active_learning.py, or run train_vlm_itl.py"
        )
    folder = run_folder(path, settings, given, settings.active_learning.strategy)
    targets = budgets(settings.active_learning)
    return run(settings, folder, arm_of(settings, folder), targets, judged=False)


def vlm_itl(path: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Let a judge look at the predictions, and a person label what it rejects -> results.json."""
    settings, given = load(path, overrides)
    if settings.vlm_itl.enabled is False:
        raise UserError(
            f"--config {path}: vlm_itl.enabled is False; set it to True or leave it out for "
            "train_vlm_itl.py, or run train_active_learning.py"
        )
    check_judging(settings)
    name = f"vlm_{settings.vlm_itl.vlm_handler}_{settings.active_learning.strategy}"
    folder = run_folder(path, settings, given, name)
    targets = budgets(settings.active_learning)
    return run(settings, folder, arm_of(settings, folder), targets, judged=True)


def load(path: str, overrides: Sequence[str]) -> tuple[Config, dict[str, Any]]:
    """Return the settings of a file, and the nested dict of the keys that were set."""
    settings, given = load_config(path, overrides)
    refuse_unknown(settings)
    tracker = settings.log_with
    if tracker != "none" and not importlib.util.find_spec(tracker):
        raise UserError(f"log_with {tracker}: not installed; pip install {tracker}")
    return settings, given


def refuse_unknown(settings: Config) -> None:
    """Refuse names of strategies, judges, models and weights that there are not, at once."""
    from vlm_itl.judges.registry import JUDGES
    from weakseg.planning.acquisition import choose_strategy

    choose_strategy(settings.active_learning.strategy)
    choose([settings.vlm_itl.vlm_handler], list(JUDGES), "vlm_itl.vlm_handler")
    models = {"model.name": settings.model.name}
    if settings.vlm_itl.vlm_handler == "transformers":
        models["vlm_itl.vlm_options.model"] = str(settings.vlm_itl.vlm_options.get("model", ""))
    for key, name in models.items():
        if "/" in name and not is_at_hand(name):
            raise UserError(
                f"{key} {name}: is on this machine in no folder and from no earlier download, and "
                "the hub doesn't answer; give a folder that holds it, or connect to the network"
            )
    weights = settings.model.weights
    if weights not in ("imagenet", "none") and not Path(weights).is_file():
        raise UserError(f"model.weights {weights}: no such file; take imagenet, none or a file")


def run_folder(path: str, settings: Config, given: dict[str, Any], name: str) -> Path:
    """Return the folder of a run below `output_dir_prefix`; name: what chooses its labels."""
    if "output_dir" in given:
        raise UserError(
            f"--config {path}: output_dir is for train_baseline.py; use output_dir_prefix"
        )
    if not settings.output_dir_prefix:
        raise UserError(
            f"--config {path}: output_dir_prefix is missing; name the folder that the runs go below"
        )
    usual = f"{name}_{settings.active_learning.label}_seed{settings.seed}"
    return Path(settings.output_dir_prefix) / folder_name(settings.run_name or usual)


def folder_name(name: str) -> str:
    """Return `name` if it is the name of one folder, or empty."""
    if name and not is_folder_name(name):
        raise UserError(f"run_name {name}: is the name of one folder, without '/'")
    return name


def arm_of(settings: Config, folder: Path) -> str:
    """Return the name under which the seeds of an experiment are compared."""
    return folder.name.removesuffix(f"_seed{settings.seed}")


def run(
    settings: Config, folder: Path, arm: str, targets: list[tuple[float, str]], judged: bool
) -> dict[str, Any]:
    """Run the loop, and say where everything is."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from vlm_itl.loop import run_rounds
    from vlm_itl.run import Run

    results = run_rounds(Run(settings, folder, arm, targets, judged))
    print(
        f"{folder}: results.json, ledger.jsonl, log.jsonl, and the weights of each round in "
        "round_NN/"
    )
    return results
