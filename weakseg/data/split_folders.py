"""Folders of pictures that are called as the parts of a split: `images/train`, `images/test`."""

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

TRAINED = {"train", "training", "trainval"}
CHECKED = {"val", "valid", "validation"}
TESTED = {"test", "tests", "testing"}
SPLITS = TRAINED | CHECKED | TESTED
CHOICE = "write trainval.txt and test.txt"


def first_folder(name: str) -> str:
    """Return the folder that an id begins with, "" without one."""
    folder, slash, _ = name.partition("/")
    return folder if slash else ""


def called(names: Iterable[str], as_one_of: Collection[str]) -> list[str]:
    """Return the sorted folders that ids begin with and that are so called, in any case."""
    return sorted({f for f in map(first_folder, names) if f.casefold() in as_one_of})


def folder_lists(
    names: Collection[str], masked: Callable[[Iterable[str]], Collection[str]]
) -> dict[str, list[str]] | None:
    """Return the ids of each split by the folders that they begin with, None if these say nothing.

    They do where one folder is to test on and another one is not. A folder to test on that lacks
    masks, when others have some, holds what nobody labelled, and says nothing.

    masked: returns those of some ids that have a mask
    """
    tested = called(names, TESTED)
    if not (tested and called(names, TRAINED | CHECKED)):
        return None
    test = [name for name in names if first_folder(name) in tested]
    if masked(names) and not masked(test):
        return None
    return {"trainval": sorted({*names} - {*test}), "test": sorted(test)}


def folder_notes(folder: Path, lists: Mapping[str, list[str]], by_folders: bool) -> list[str]:
    """Return a line on what is to test on, where folders are called as the parts of a split.

    folder: of all pictures; lists: the ids of each split; by_folders: whether folders chose them
    """
    names = [*lists["trainval"], *lists["test"]]
    tested, others = called(names, TESTED), called(names, TRAINED | CHECKED)
    count = len(lists["test"])
    if by_folders:
        return [
            f"{folder}: the {count} pictures in {' and '.join(tested)} are to test on, all others "
            f"to train on, as the folders are called; to choose otherwise, {CHOICE}"
        ]
    if not count or not others or not (tested or called(names, CHECKED)):
        return []
    reason = f"no picture in {tested[0]} has a mask" if tested else "no folder is called test"
    remedy = "add these masks" if tested else "call one so"
    return [
        f"{folder}: {reason}, so {count} pictures of all folders ({', '.join([*tested, *others])}) "
        f"are to test on, by a hash of their ids; to choose them, {remedy}, or {CHOICE}"
    ]
