"""Lists of one's own that say which pictures are to train on, and which to test on."""

from pathlib import Path

from weakseg.common import UserError

TRAINED, TESTED = "trainval.txt", "test.txt"
TRAIN, VALIDATION = "train.txt", ("val.txt", "valid.txt", "validation.txt")  # in place of TRAINED


def train_lists(root: Path) -> list[Path]:
    """Return the lists of what is to train on that are read: one, or those of its parts; or none.

    The parts are read where they and the list of what is to test on are all that is there.
    """
    if (root / TRAINED).exists():
        return [root / TRAINED]
    if not ((root / TRAIN).exists() and (root / TESTED).exists()):
        return []
    return [path for name in (TRAIN, *VALIDATION) if (path := root / name).exists()]


def split_lists(root: Path) -> dict[str, list[Path]]:
    """Return the lists of each split; {} without any, a `UserError` where one is missing."""
    lists = {"trainval": train_lists(root), "test": [root / TESTED]}
    there = [path for paths in lists.values() for path in paths if path.exists()]
    if len(there) == 1:
        raise UserError(
            f"{there[0]}: the other list is missing; write both {TRAINED} and {TESTED}, or neither"
        )
    return lists if there else {}


def part_notes(root: Path) -> list[str]:
    """Return a line where lists of parts are read in place of one, if they are."""
    parts = [path.name for path in train_lists(root) if path.name != TRAINED]
    if not parts:
        return []
    return [
        f"{root}: {' and '.join(parts)} list what is to train on, as {TRAINED} is missing; "
        "validation images are held out of all these by a hash of their names"
    ]
