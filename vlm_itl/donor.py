"""Sharing a first round: runs of one seed begin alike, so a comparison has to train their first
round only once.
"""

import shutil
from pathlib import Path

from weakseg.common import UserError
from weakseg.planning.ledger import FREE, find_line, read_ledger, without


def take_first_round(run):
    """Copy the first round of the run that the config names; it has to be the round that `run`
    would compute.
    """
    if run.ledger.find(0, "evaluate"):
        return
    source = Path(run.settings.active_learning.first_round_from)
    donor, _ = read_ledger(source / "ledger.jsonl")
    lines = [find_line(donor, 0, stage) for stage in ("buy", "train", "evaluate")]
    if None in lines:
        raise UserError(
            f"active_learning.first_round_from {source}: no finished first round is there"
        )
    first, ours = find_line(donor, -1, "start"), run.ledger.find(-1, "start")
    theirs, mine = without(first["config"], FREE), ours["config"]
    differing = [name for name in ("model", "training", "seed") if theirs[name] != mine[name]]
    differing += (
        ["data.image_size"] if theirs["data"]["image_size"] != mine["data"]["image_size"] else []
    )
    keys = ("label", "initial_strategy", "ensemble_size", "points_per_object", "background_points")
    differing += [
        f"active_learning.{key}"
        for key in keys
        if theirs["active_learning"][key] != mine["active_learning"][key]
    ]
    differing += ["images"] if first["images"] != ours["images"] else []
    differing += ["first budget"] if first["targets"][0] != ours["targets"][0] else []
    if differing:
        raise UserError(
            f"active_learning.first_round_from {source}: that run has another {differing[0]}"
        )
    unwanted = shutil.ignore_patterns("pseudo", "trainer_*", "evaluation")
    shutil.copytree(
        source / run.round_folder(0).name, run.round_folder(0), ignore=unwanted, dirs_exist_ok=True
    )
    for line in lines:
        content = {key: value for key, value in line.items() if key not in ("round", "stage")}
        run.ledger.once(0, line["stage"], lambda content=content: content)
