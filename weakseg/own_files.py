"""Whose files are: a command replaces what it wrote itself, and nothing of a person's."""

from collections.abc import Iterable
from pathlib import Path

from weakseg.common import UserError, read_json

MARK = ".weakseg"  # lies beside what a command wrote, and has its name


def refuse_to_replace(folder: Path, names: Iterable[str | Path], writer: str, way_out: str) -> None:
    """Raise `UserError` where one of the files that are to be written is there already.

    names: of the files, as paths below the folder; a folder counts where anything visible is in it
    writer: the command, which wrote none of them; way_out: as "take another --output_dir"
    """
    for name in names:
        path = folder / name
        if path.is_dir() and not any(path.glob("[!.]*")):
            continue
        if path.exists():
            raise UserError(f"{path}: is there, and {writer} did not write it; {way_out}")


def take(
    folder: Path, names: Iterable[str | Path], writer: str, way_out: str, is_ours: bool = False
) -> None:
    """Mark a folder as one in which a command writes files, unless it has others of their names.

    Where its mark lies, the files are the command's: a killed one goes on. The arguments are those
    of `refuse_to_replace`.

    is_ours: whether another sign says that the command wrote what is there
    """
    if has_mark(folder, writer):
        return
    if not is_ours:
        refuse_to_replace(folder, names, writer, way_out)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / MARK).open("a", encoding="utf-8") as file:
        file.write(f"{writer}\n")


def is_record(path: Path, key: str) -> bool:
    """Return whether a file is a JSON table with a key, by which a command knows what it wrote."""
    try:
        content = read_json(path)
    except UserError:
        return False
    return isinstance(content, dict) and key in content


def has_mark(folder: Path, writer: str) -> bool:
    """Return whether a command wrote files in a folder before."""
    try:
        return writer in (folder / MARK).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return False
