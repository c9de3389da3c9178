"""Groups of pictures that belong together, a slide, patient, drive or video: no split parts them.

`groups.txt` has a picture and its group a line, with a comma or a tab between: `a/0001, patient 7`.
A picture that it doesn't name is a group of its own.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from weakseg.common import UserError, stable_seed
from weakseg.data.class_list import is_blank
from weakseg.data.folder_files import compared
from weakseg.data.ids import check_id
from weakseg.data.lists import numbered_lines

FILE = "groups.txt"
UNKNOWN = "unknown"  # in any case: what people write where they can't tell
SINGLES = 10  # pictures from which on as many groups are no list of what belongs together


def read_groups(path: Path, files: Mapping[str, Path]) -> dict[str, str]:
    """Return {id: group} of the pictures that a list names, by id or by file name; {} without it.

    files: {id: path} of the pictures. A line of another form, a name twice with two groups, and a
    list of which no line names a picture are a `UserError` with the line.
    """
    if not path.exists():
        return {}
    groups: dict[str, str] = {}
    for place, picture, name, group in group_lines(path, files):
        if name is not None and groups.setdefault(name, group) != group:
            raise UserError(f"{place}: {picture} has the group {groups[name]} already; keep one")
    if not groups:
        raise UserError(f"{path}: names none of the {len(files)} pictures; mend the names")
    return groups


def group_lines(
    path: Path, files: Mapping[str, Path]
) -> Iterator[tuple[str, str, str | None, str]]:
    """Yield (place, what it calls a picture, its id or None, group) of each line of a list."""
    known = {compared(f"{name}{file.suffix}"): name for name, file in files.items()}
    known |= {compared(name): name for name in files}
    for number, line in numbered_lines(path):
        place = f"{path}, line {number}"
        picture, comma, group = (part.strip() for part in line.replace("\t", ",").rpartition(","))
        if not (comma and picture and group):
            raise UserError(f"{place}: {line!r} is not 'picture, group'; write both")
        name = known.get(compared(check_id(picture, place, "mend the list")))
        yield place, picture, name, group


def group_notes(path: Path, files: Mapping[str, Path]) -> list[str]:
    """Return lines for people on names of no picture, and groups that may be one, of a list."""
    if not path.exists():
        return []
    lines = [*group_lines(path, files)]
    strays = [picture for _, picture, name, _ in lines if name is None]
    notes = []
    if strays:
        notes.append(
            f"{path}: {len(strays)} of {len(lines)} names are of no picture, the first is "
            f"{strays[0]}"
        )
    named = {name for _, _, name, _ in lines if name is not None}
    lacking = [name for name in files if name not in named]
    if lacking:
        notes.append(
            f"{path}: {len(lacking)} of {len(files)} pictures have no line, the first is "
            f"{lacking[0]}; each is a group of its own"
        )
    alike: dict[str, set[str]] = {}
    for *_, group in lines:
        alike.setdefault(" ".join(group.casefold().split()), set()).add(group)
    if len(alike) == len(lines) >= SINGLES:
        notes.append(f"{path}: no two pictures are of one group, so that it keeps none together")
    blank = Counter(one for *_, one in lines if is_blank(one) or one.casefold() == UNKNOWN)
    notes += [
        f"{path}: {number} pictures are of the group {group}; if that means that nobody knows "
        "theirs, remove these lines, so that each is a group of its own"
        for group, number in blank.items()
        if number > 1
    ]
    split = sorted(min(names) for names in alike.values() if len(names) > 1)
    if split:
        notes.append(
            f"{path}: {len(split)} groups have several spellings, the first is {split[0]}; each is "
            "a group of its own"
        )
    return notes


def groups_beside(images: str | Path, files: Mapping[str, Path]) -> dict[str, str]:
    """Return `read_groups` of the list in or beside a folder of photographs, {} without one."""
    folders = Path(images), Path(images).resolve().parent
    path = next((folder / FILE for folder in folders if (folder / FILE).exists()), None)
    return read_groups(path, files) if path else {}


def members_by_group(names: Iterable[str], group_of: Callable[[str], str]) -> dict[str, list[str]]:
    """Return {group: its members} of some pictures, in the order in which they come."""
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(group_of(name), []).append(name)
    return members


def group_numbers(names: Iterable[str], group_of: Callable[[str], str]) -> np.ndarray:
    """Return for each picture the number of the first one of its group, [I] int."""
    firsts: dict[str, int] = {}
    numbers = [firsts.setdefault(group_of(name), number) for number, name in enumerate(names)]
    return np.array(numbers, int)


def hold_out(
    strata: Mapping[str, tuple[str, ...]],
    fraction: float,
    seed: int,
    group_of: Callable[[str], str] = str,
) -> set[str]:
    """Choose about `fraction` of the ids, at least one, in equal shares of every stratum.

    Groups are held out as a whole. Where each id is one of its own, every stratum gives its exact
    share within one. Each stratum is ordered by a hash of (seed, group), so the order of the ids
    doesn't matter.

    strata: {id: stratum}; strata with equal first parts get their share within one too
    """
    members = members_by_group(sorted(strata), group_of)
    by_stratum: dict[tuple[str, ...], list[str]] = {}
    for group, names in members.items():
        by_stratum.setdefault(min(strata[name] for name in names), []).append(group)

    def order(group: str) -> int:
        return stable_seed(seed, group)

    held: set[str] = set()
    seen = 0
    for stratum in sorted(by_stratum):
        seen += sum(len(members[group]) for group in by_stratum[stratum])
        # Shares are rounded along the sum over all strata, so that many small strata together give
        # up their part.
        wanted = math.floor(fraction * seen + 0.5) - len(held)
        for group in sorted(by_stratum[stratum], key=order):
            if abs(wanted - len(members[group])) < wanted:  # nearer to the share with it
                held.update(members[group])
                wanted -= len(members[group])
    return held or set(members[min(members, key=order)] if members else ())


def refuse_parted(
    path: Path,
    lists: Mapping[str, Iterable[str]],
    group_of: Callable[[str], str],
    by_folders: bool = False,
) -> None:
    """Refuse lists of images to train and to test on that part a group; path: of the groups.

    by_folders: whether folders are the lists, see `weakseg.data.split_folders`
    """
    trained = {group_of(name) for name in lists["trainval"]}
    parted = trained & {group_of(name) for name in lists["test"]}
    if parted:
        places, remedy = "in the list to train on and in the test", "list all of them in one"
        if by_folders:
            places = "in the folder to test on and in others"
            remedy = "move all of them to one side, or write trainval.txt and test.txt"
        raise UserError(f"{path}: pictures of the group {min(parted)} are {places}; {remedy}")
