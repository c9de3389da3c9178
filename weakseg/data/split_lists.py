"""Lists of one's own that say which pictures are to train on, and which to test on."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from weakseg.common import UserError

TRAINED, TESTED = "trainval.txt", "test.txt"
TRAIN, VALIDATION = "train.txt", ("val.txt", "valid.txt", "validation.txt")  # in place of these

Lists = Mapping[str, Sequence[Path]]  # {"trainval" or "test": its lists}


def split_lists(root: Path) -> dict[str, list[Path]]:
    """Return the lists of each split; {} without any, a `UserError` where one is missing.

    Lists of parts stand for one to train on that is missing. Without `test.txt` those of the
    validation are to test on; without these the test has no list.
    """
    ours, parts = (there(root, names) for names in ((TRAINED, TESTED), (TRAIN, *VALIDATION)))
    is_parted = bool(parts) and parts[0].name == TRAIN
    if is_parted and not ours:
        return {"trainval": parts[:1], "test": parts[1:]}
    if is_parted and [path.name for path in ours] == [TESTED]:
        return {"trainval": parts, "test": ours}
    if len(ours) == 1:
        raise UserError(
            f"{ours[0]}: the other list is missing; write both {TRAINED} and {TESTED}, or neither"
        )
    return {"trainval": ours[:1], "test": ours[1:]} if ours else {}


def there(root: Path, names: Sequence[str]) -> list[Path]:
    """Return the paths of those files that are there."""
    return [path for name in names if (path := root / name).exists()]


def part_notes(root: Path, given: Lists, tested: int) -> list[str]:
    """Return a line where lists of parts are read in place of others, if they are.

    given: the lists of each split; tested: how many pictures are to test on
    """
    parts, tests = ([path.name for path in given.get(split, ())] for split in ("trainval", "test"))
    if not parts or parts == [TRAINED]:
        return []
    if tests == [TESTED]:
        return [
            f"{root}: {' and '.join(parts)} list what is to train on, as {TRAINED} is missing; "
            "validation images are held out of all these by a hash of their names"
        ]
    other = f"all {tested} others that have a mask are to test on, as {TESTED} is missing"
    if tests:
        other = f"{' and '.join(tests)} what is to test on, as {TESTED} is missing"
    elif not tested:
        other = f"no other picture has a mask to test on; list some in {TESTED} instead"
    return [f"{root}: {TRAIN} lists what is to train on, and {other}"]
