"""Ids of images: which texts may stand for one, wherever a file names them.

An id is joined to folders, to read a photograph and to write masks. So it is a relative path that
stays inside its folder, in letters that a terminal shows as they are.
"""

import unicodedata
from collections.abc import Iterable
from pathlib import PureWindowsPath

from weakseg.common import UserError, printable

HIDDEN = {"Cc", "Cs", "Zl", "Zp"}  # Unicode's controls, halves of letters, breaks of lines


def is_shown(text: str) -> bool:
    """Return whether a text has no character that steers a terminal or ends a line."""
    return not any(unicodedata.category(letter) in HIDDEN for letter in text)


def are_names(values: Iterable[object]) -> bool:
    """Return whether values can be the names of classes: texts that a terminal shows as they are.

    So they are in a list of classes; those of another file may be a stranger's.
    """
    return all(isinstance(value, str) and is_shown(value) for value in values)


def fault_of_id(name: object) -> str | None:
    """Return why a value can't be the id of an image, in words; None where it can."""
    if not isinstance(name, str):
        return "is no text"
    if not is_shown(name):
        is_utf8 = name.isprintable() or "Cs" not in map(unicodedata.category, name)
        return "has a control character" if is_utf8 else "is not UTF-8"
    if "\\" in name:
        return "has a backslash; folders are parted by '/'"
    if name.startswith("/") or PureWindowsPath(name).drive:
        return "is an absolute path"
    parts = name.split("/")
    if ".." in parts:
        return "leads out of its folder"
    if "" in parts or "." in parts:
        return "has an empty part"
    return None


def is_folder_name(name: object) -> bool:
    """Return whether a value can be the name of one folder or file, such as that of a run."""
    return fault_of_id(name) is None and "/" not in str(name)


def check_id(name: object, where: object, remedy: str = "mend it") -> str:
    """Return an id, or another path below a folder; what can't be one is a `UserError`.

    where: the file, and the line in it, that it stands in; remedy: what to do
    """
    fault = fault_of_id(name)
    if fault or not isinstance(name, str):
        raise UserError(
            f"{where}: {printable(str(name)[:80])!r} can't be a name, it {fault}; {remedy}"
        )
    return name


def check_ids(names: Iterable[object], where: object, remedy: str = "mend it") -> None:
    """Refuse the first of many values that can't be the id of an image; see `check_id`."""
    for name in names:
        check_id(name, where, remedy)
