"""What a folder of predictions says of itself: which model made it, and a line for each picture.

A picture whose line is there is done. A kill in between costs the pictures that were at work.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from weakseg.common import UserError, read_json, remove, write_json
from weakseg.data.contents import ABSENT, content_of
from weakseg.data.folder_files import PREDICTIONS
from weakseg.data.predictions import LINES, Line, is_unchanged, parsed, stamp
from weakseg.own_files import refuse_to_replace

RECORD = PREDICTIONS
TABLE, OBJECTS = "predictions.csv", "objects.csv"
ANNOTATIONS = "annotations"  # the objects for other tools: a folder, or a file with a suffix
FORMATS_OUT = ("cvat", "labelstudio", "labelme", "coco")  # of these tools
PARTS = {  # kind of file -> folder and suffix
    "masks": ".png",
    "overlays": ".jpg",
    "probabilities": ".npy",
    "instances": ".png",
}
OTHERWISE = {  # what differs where a folder was predicted in another way
    "run_name": "by another run",
    "model": "by another model",
    "images": "from other photographs",
    "clicks": "with other clicks",
    "tile": "in other windows",
    "reading": "from pictures read in another way",
}


class Journal:
    """The lines of a folder of predictions, each behind its id; the last one of an id counts.

    A line stays on disk: memory holds where each begins.

    mended: names of masks that somebody changed since they were predicted, and that are gone now
    """

    def __init__(self, folder: Path, mended: Sequence[str] = ()) -> None:
        self.path, self.mended = folder / LINES, mended
        self.places: dict[str, int] = {}
        whole = 0  # bytes of whole lines: what a kill cut short is no line
        for place, line in self.all_lines():
            self.places[line["id"]] = place
            whole = place + line["length"]
        if self.path.exists() and self.path.stat().st_size != whole:
            with self.path.open("r+b") as file:
                file.truncate(whole)

    def all_lines(self) -> Iterator[tuple[int, Line]]:
        """Yield (first byte, line with its length) up to one that is cut short or damaged."""
        place = 0
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for words in file:
                line = parsed(words)
                if line is None:
                    return
                yield place, line | {"length": len(words)}
                place += len(words)

    def add(self, line: Line) -> None:
        """Add the line of a picture."""
        with self.path.open("ab") as file:
            self.places[line["id"]] = file.tell()
            file.write(json.dumps(line, allow_nan=False).encode() + b"\n")

    def lines(self, names: Iterable[str]) -> Iterator[Line]:
        """Yield the lines of those of some ids that have one."""
        known = [name for name in names if name in self.places]
        if not known:
            return
        with self.path.open("rb") as file:
            for name in known:
                file.seek(self.places[name])
                line = parsed(file.readline())
                if line is not None:
                    yield line


def open_folder(
    folder: Path, record: Mapping[str, Any], overwrite: bool, pictures: Mapping[str, Path]
) -> Journal:
    """Return the journal of a folder of predictions that is new, or was made in the same way.

    record: {flag or other fact: value}; pictures: {id: path} of what is to be predicted. A folder
    of another record is emptied of its predictions by `overwrite`, else refused; one with masks of
    anybody else is refused always.
    """
    path, mended = folder / RECORD, list[str]()
    if not path.exists():
        annotations = [f"{ANNOTATIONS}{suffix}" for suffix in ("", ".json", ".xml")]
        names = (*PARTS, LINES, TABLE, OBJECTS, *annotations)
        refuse_to_replace(folder, names, "predict.py", "take another --output_dir")
    else:
        before = read_json(path)
        if not isinstance(before, dict):
            raise UserError(f"{path}: not a record of predict.py; take another --output_dir")
        if overwrite:
            mended = emptied(folder)
        else:
            refuse_other_record(folder, before, record, pictures)
            if ANNOTATIONS in before:
                record = {**record, ANNOTATIONS: before[ANNOTATIONS]}
    write_json(path, record)
    return Journal(folder, mended)


def refuse_other_record(
    folder: Path,
    before: Mapping[str, Any],
    record: Mapping[str, Any],
    pictures: Mapping[str, Path],
) -> None:
    """Refuse to go on in a folder that was predicted otherwise; where files lie doesn't matter."""
    one, two = without_place(before), without_place(record)
    other = [key for key, value in two.items() if one.get(key) != value]
    if other and not (other == ["images"] and are_moved(folder, pictures)):
        key = next((key for key in other if key != "images"), other[0])
        raise UserError(
            f"{folder}: was predicted {OTHERWISE.get(key, f'with another {key}')} "
            f"({before.get(key)}, not {record.get(key)}); take another --output_dir, or replace it "
            "with --overwrite"
        )


def without_place(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record in which of --clicks is left what they are, not where they lie."""
    clicks = record.get("clicks")
    told = clicks.rpartition(" of ")[2] if isinstance(clicks, str) else None
    return {**record, "clicks": told}


def are_moved(folder: Path, pictures: Mapping[str, Path]) -> bool:
    """Return whether all pictures of a journal are among some, in another folder, as they were.

    Their lines then get the times of the files that are there.
    """
    journal, copied = Journal(folder), dict[str, Mapping[str, object]]()
    for line in journal.lines(journal.places):
        now = stamp(pictures[line["id"]]) if line["id"] in pictures else {}
        if not is_unchanged(line, now):
            return False
        if line.get("changed") != now["changed"]:
            copied[line["id"]] = now
    for line in journal.lines(copied):
        journal.add({**line, **copied[line["id"]]})
    return True


def noted_annotations(folder: Path) -> dict[str, str]:
    """Return {path below a folder: what it held} of the files for other tools, when written."""
    record = read_json(folder / RECORD)
    noted = record.get(ANNOTATIONS) if isinstance(record, dict) else None
    return noted if isinstance(noted, dict) else {}


def note_annotations(folder: Path, paths: Iterable[Path]) -> None:
    """Note what files for other tools hold, so that those that somebody changes are known."""
    held = {p.relative_to(folder).as_posix(): content_of(p, is_whole=True) for p in paths}
    record = read_json(folder / RECORD)
    write_json(folder / RECORD, {**record, ANNOTATIONS: noted_annotations(folder) | held})


def changed_annotations(folder: Path) -> set[Path]:
    """Return the files for other tools that somebody changed; earlier versions noted none."""
    held = {folder / name: text for name, text in noted_annotations(folder).items()}
    return {p for p, text in held.items() if content_of(p, is_whole=True) not in (text, ABSENT)}


def emptied(folder: Path) -> list[str]:
    """Delete the predictions in a folder, all that its journal names; return `changed_masks`."""
    journal = Journal(folder)
    mended = changed_masks(folder, journal, journal.places)
    for name in journal.places:
        for part in PARTS:
            remove(part_path(folder, part, name))
    remove(folder / LINES)
    return mended


def changed_masks(folder: Path, journal: Journal, names: Iterable[str]) -> list[str]:
    """Return the names of the masks of some ids that somebody changed since they were predicted.

    Lines of an earlier version don't say what a mask held.
    """
    changed = []
    for line in journal.lines(names):
        path = part_path(folder, "masks", line["id"])
        if "mask" in line and content_of(path, is_whole=True) not in (line["mask"], ABSENT):
            changed.append(path.name)
    return changed


def part_path(folder: Path, part: str, name: str) -> Path:
    """Return where a picture's file of one kind lies, or would lie.

    part: a key of `PARTS`; name: id of the picture
    """
    return folder / part / f"{name}{PARTS[part]}"
