"""How a run starts: as a new one, where it was stopped, or after another run's first round."""

import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from vlm_itl.config import Config
from vlm_itl.ledger_lines import check_lines
from vlm_itl.networks import round_folder
from vlm_itl.settings import as_plain
from weakseg.common import UserError
from weakseg.planning.ledger import FREE, Ledger, find_line, read_ledger, without

# What the ledger's first line is compared by -> the flag or key that decides it.
IDENTITY = {"settings": "--config, --set", "images": "data.source", "contents": "data.source"}

# What two runs must share to have the same first round, besides the images and the first budget.
SHARED = (
    "model",
    "training",
    "seed",
    "data.image_size",
    "active_learning.label",
    "active_learning.initial_strategy",
    "active_learning.ensemble_size",
    "active_learning.points_per_object",
    "active_learning.background_points",
    "active_learning.pixels_per_image",
)

# Keys that ledgers may lack, with the value of a run that was made before them. A run with that
# value writes none, so that its hash stays the same.
LATER = {
    "model.network": "auto",
    "model.head": "auto",
    "data.hub_train": ["train"],
    "data.hub_classes": [],
    "data.mask_values": [],
    "data.mask_ignore": None,
    "data.page": None,
    "data.channels": [],
    "data.value_range": [],
    "active_learning.pixels_per_image": 4,
}


def recorded(settings: Config, unused: Collection[str]) -> dict[str, Any]:
    """Return what a ledger says of the settings; unused: keys that it says nothing of."""
    config: dict[str, Any] = without(as_plain(settings), unused)
    for name, value in LATER.items():
        section, _, key = name.partition(".")
        if config.get(section, {}).get(key) == value:
            del config[section][key]
    return config


def refuse_lost_ledger(ledger: Ledger, folder: Path) -> None:
    """Refuse a folder that holds rounds of a run whose ledger is gone."""
    if not ledger.lines and any(folder.glob("round_*")):
        raise UserError(
            f"{folder}: holds rounds but no ledger; delete the folder, or take another run_name"
        )


def write_or_check_start(ledger: Ledger, folder: Path, start: dict[str, Any]) -> None:
    """Write the ledger's first line, or compare it with what this run would write."""
    written = ledger.once(-1, "start", lambda: start)
    for key, flag in IDENTITY.items():
        if written.get(key, start[key]) != start[key]:  # an earlier version wrote no contents
            raise UserError(
                f"{folder}: this run began with other {key} ({flag}); "
                "restore them, delete the folder, or take another run_name"
            )


def copy_first_round(ledger: Ledger, folder: Path, source: Path) -> None:
    """Copy the first round of another run, which has to be the round that this run would compute.

    Runs of one seed begin alike, so a comparison has to train their first round only once. A run
    that has its first round already is left as it is. Raises `UserError`, naming the first thing
    that differs, where the other run would not have begun alike.
    """
    if ledger.find(0, "evaluate"):
        return
    path = source / "ledger.jsonl"
    donor, _ = read_ledger(path)
    check_lines(path, donor)
    lines = [find_line(donor, 0, stage) for stage in ("buy", "train", "evaluate")]
    theirs, ours = find_line(donor, -1, "start"), ledger.find(-1, "start")
    if theirs is None or ours is None or None in lines:
        raise UserError(
            f"active_learning.first_round_from {source}: no finished first round is there"
        )
    difference = next(differences(theirs, ours), None)
    if difference:
        raise UserError(
            f"active_learning.first_round_from {source}: that run has another {difference}"
        )
    unwanted = shutil.ignore_patterns("pseudo", "trainer_*", "evaluation")
    shutil.copytree(
        round_folder(source, 0), round_folder(folder, 0), ignore=unwanted, dirs_exist_ok=True
    )
    for line in filter(None, lines):
        content = {key: value for key, value in line.items() if key not in ("round", "stage")}
        ledger.once(0, line["stage"], content.copy)


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    """Yield what two runs' start lines differ in, as far as their first round depends on it."""
    their_config, our_config = without(theirs["config"], FREE), ours["config"]
    for key in SHARED:
        if look_up(their_config, key) != look_up(our_config, key):
            yield key
    if theirs["images"] != ours["images"]:
        yield "images"
    if len({one["contents"] for one in (theirs, ours) if "contents" in one}) > 1:
        yield "contents of images or masks"
    if theirs["targets"][0] != ours["targets"][0]:
        yield "first budget"


def look_up(config: Any, key: str) -> Any:
    """Return the value of a dotted key in nested dicts; of one that may be lacking, the usual."""
    for part in key.split("."):
        if key in LATER and part not in config:
            return LATER[key]
        config = config[part]
    return config
