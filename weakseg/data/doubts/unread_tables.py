"""Tables of pictures, as other data sets have them, whose groups or splits nobody reads."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from weakseg.common import evenly
from weakseg.data.class_list import is_blank, letters_of
from weakseg.data.doubts.table_rows import READERS, Row, rows_of
from weakseg.data.doubts.unread_lists import GROUPED, LISTS, SPLIT
from weakseg.data.folder_files import compared
from weakseg.data.split_folders import CHECKED, TESTED, TRAINED

FOLDERS, TABLES = 20, 50  # at most that tables are looked for in, and that are read
ROWS = 1000  # that tell which column names pictures
# What heads a column of groups, with "id" or "name" behind it or not, or one of splits.
GROUP_COLUMNS = set(
    "patient subject participant case scene video slide sequence session drive individual lesion "
    "donor animal specimen study group".split()
)
SPLIT_COLUMNS = set("split subset fold partition usage set phase".split())
ENDINGS = ("", "id", "ids", "name", "uid", "no", "nr", "number")


def table_notes(
    root: Path, files: Mapping[str, Path], has_groups: bool, has_splits: bool
) -> list[str]:
    """Return a line on the first table of pictures with columns of groups or splits, if any.

    files: {id: path} of the pictures; has_groups, has_splits: whether somebody says them already
    """
    paths = [*tables(root, files)]
    if not paths or (has_groups and has_splits):
        return []
    single = {name.rpartition("/")[2] for name in files}
    several = [path for path in paths if path.stem not in single]  # labels of one picture are none
    known = set[str]()
    for path in several[:TABLES]:
        rows = rows_of(path)
        if not any(
            is_called(one, GROUP_COLUMNS | SPLIT_COLUMNS) for row in rows[:1] for one in row
        ):
            continue
        known = known or {*map(last_name, files), *(last_name(one.name) for one in files.values())}
        stem, names = path.stem.casefold(), picture_column(rows, known)
        rows = [row for row in rows if last_name(row.get(names, "")) in known]
        groups = None if has_groups or stem in GROUPED else group_column(rows, names)
        split = None if has_splits or stem in SPLIT else split_column(rows)
        remedies = []
        if groups:
            remedies.append(f"if pictures of one {groups} belong together, write {LISTS[2]}")
        if split:
            remedies.append(f"to train and test as {split} says, write {LISTS[0]} and {LISTS[1]}")
        if remedies:
            return [f"{path}: is not read; {', and '.join(remedies)}"]
    return []


def tables(root: Path, files: Mapping[str, Path]) -> Iterator[Path]:
    """Yield the tables in a data set's folder, and beside its pictures or their folders."""
    folders = {path.parent for path in files.values()} | {root / "images"}
    folders |= {folder.parent for folder in folders if folder.parent.is_relative_to(root)}
    for folder in [root, *sorted(folders - {root})][:FOLDERS]:
        if folder.is_dir():
            names = [one for one in os.listdir(folder) if one.casefold().endswith((*READERS,))]
            yield from (folder / name for name in sorted(names))


def picture_column(rows: Sequence[Row], known: set[str]) -> str:
    """Return the heading of the column that names most pictures; "" where none names two."""
    headings = {heading: None for row in rows[:1] for heading in row}
    named = {
        heading: sum(last_name(row.get(heading, "")) in known for row in evenly(rows, ROWS))
        for heading in headings
    }
    best = max(named, key=named.__getitem__, default="")
    return best if named.get(best, 0) > 1 else ""


def last_name(path: str) -> str:
    """Return the name at the end of a path in the form in which names are compared."""
    name = path.strip().replace("\\", "/").rpartition("/")[2]
    return compared(name) if name.strip(".") else ""


def group_column(rows: Sequence[Row], names: str) -> str | None:
    """Return the heading of a column in which several pictures share a group, but not all."""
    for heading in rows[0] if rows else ():
        if heading == names or not is_called(heading, GROUP_COLUMNS):
            continue
        cells = [row.get(heading, "") for row in rows]
        groups = [cell for cell in cells if not is_blank(cell)]
        if 1 < len({*groups}) < len(groups):
            return heading
    return None


def split_column(rows: Sequence[Row]) -> str | None:
    """Return the heading of a column that has pictures to train on, and others."""
    for heading in rows[0] if rows else ():
        cells = {row.get(heading, "").strip().casefold() for row in rows}
        if is_called(heading, SPLIT_COLUMNS) and cells & TRAINED and cells & (TESTED | CHECKED):
            return heading
    return None


def is_called(heading: str, words: set[str]) -> bool:
    """Return whether a heading is one of some words, as `patient_id` is "patient"."""
    letters = letters_of(heading)
    return any(letters == word + ending for word in words for ending in ENDINGS)
