"""What predict.py says of the masks that it wrote, in files beside them."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from weakseg.common import UserError
from weakseg.data.contents import content_of
from weakseg.data.folder_files import PREDICTIONS
from weakseg.data.ids import fault_of_id

LINES = "predictions.jsonl"
Line = dict[str, Any]  # of one picture


def parsed(words: bytes) -> Line | None:
    """Return what a line of the journal says; None for what is none."""
    try:
        line = json.loads(words)
    except (ValueError, RecursionError):
        return None
    is_whole = isinstance(line, dict) and words.endswith(b"\n")
    return line if is_whole and fault_of_id(line.get("id")) is None else None


def folder_of_predictions(path: Path) -> Path | None:
    """Return the folder of predict.py that a file or folder lies in, or is; None without one."""
    real = path.resolve()
    return next((at for at in (real, *real.parents) if (at / PREDICTIONS).is_file()), None)


def journal_of(folder: Path) -> dict[str, Line]:
    """Return {id: line} of the pictures that were predicted into a folder."""
    path = folder / LINES
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        lines: Iterator[Line | None] = map(parsed, file)
        return {line["id"]: line for line in lines if line is not None}


def masks_as_written(journal: Mapping[str, Line]) -> dict[str, str]:
    """Return {id: content of its mask} as predict.py wrote them; journal: of `journal_of`."""
    return {name: line["mask"] for name, line in journal.items() if "mask" in line}


def stamp(path: Path) -> dict[str, int | str | None]:
    """Return what changes with a file: its bytes, the time of its last change, what it holds.

    They are None where it is gone.
    """
    try:
        stat = path.stat()
        held = content_of(path, is_whole=False)
    except (OSError, UserError):
        return {"bytes": None, "changed": None}
    return {"bytes": stat.st_size, "changed": stat.st_mtime_ns, "held": held}


def is_unchanged(line: Line, now: Mapping[str, object]) -> bool:
    """Return whether a picture is what a line was written of, perhaps copied; now: its `stamp`."""
    keys = ("held",) if "held" in line else ("bytes", "changed")  # an earlier version lacks it
    return all(key in line and line[key] == now.get(key) for key in keys)
