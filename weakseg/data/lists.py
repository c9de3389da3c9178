"""Lists of images and of classes: text files of one name a line, with comments."""

import io
from pathlib import Path

from weakseg.common import UserError
from weakseg.data.ids import check_id, is_shown

NO_BACKGROUND = "no background"  # the comment of a list of classes that says so


def read_list(path: Path) -> list[str]:
    """Return the lines of a list file that are neither empty nor comments, stripped.

    Raises `UserError` for a file that can't be read or lists nothing, and for a line with a control
    character other than a tab.
    """
    return [line for _, line in numbered_lines(path)]


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """Return what `read_list` does, each line behind its number in the file, from 1."""
    lines = [(number, line.strip()) for number, line in enumerate(read_lines(path), 1)]
    lines = [(number, line) for number, line in lines if line and not is_comment(line)]
    if not lines:
        raise UserError(f"{path}: lists nothing; mend it, or run python download_data.py")
    for number, line in lines:
        if not is_shown(line.replace("\t", " ")):
            raise UserError(f"{path}, line {number}: has a control character; mend the list")
    return lines


def read_ids(path: Path, first_word: bool = True) -> list[str]:
    """Return the ids of images in a list file, a line each.

    first_word: of each line; else all of it. What can't be an id is refused with its line.
    """
    return [
        check_id(line.split()[0] if first_word else line, f"{path}, line {number}", "mend the list")
        for number, line in numbered_lines(path)
    ]


def is_comment(line: str) -> bool:
    """Return whether a line of a list is a comment."""
    return line.lstrip().startswith("#")


def read_lines(path: Path) -> list[str]:
    """Return all lines of a text file; one that can't be read is a `UserError`."""
    try:
        return io.StringIO(text_of(path.read_bytes()), newline=None).read().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: cannot be read ({error}); mend it, or run python download_data.py"
        ) from error


def text_of(content: bytes) -> str:
    """Return a text in UTF-8, or in UTF-16 where it begins with the mark of its order of bytes.

    Windows' editors write either. Other bytes are a `UnicodeDecodeError`.
    """
    is_wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    return content.decode("utf-16" if is_wide else "utf-8-sig")
