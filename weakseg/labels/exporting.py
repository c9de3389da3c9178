"""What a store carries, written for other tools."""

import filecmp
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from weakseg.common import UserError, refuse_special
from weakseg.data.class_list import read_classes
from weakseg.labels.carried import Carried
from weakseg.labels.formats import masks
from weakseg.labels.formats.records import AREAS, OF_MODEL, Classes, Dropped, PictureRecord
from weakseg.labels.formats.table import FORMATS, SUFFIXES
from weakseg.labels.mask_mark import replaces_no_work
from weakseg.labels.matching import Pictures

CLASSES = masks.LIST
OURS = "weakseg"  # the format that says everything
OTHERS = (*SUFFIXES, ".zip")  # of files that would be read as something else
NAMED = 5  # masks that a refusal names at most


def records_of(
    carried: Iterable[tuple[str, Carried]], pictures: Pictures | None
) -> list[PictureRecord]:
    """Return records of what pictures carry; pictures: whose names they get, None: ids alone."""
    return [
        PictureRecord(
            name=pictures.paths[key] if pictures and key in pictures.files else key,
            size=one.size,
            shapes=one.shapes,
            complete=one.complete,
            seconds=one.seconds,
            noted=one.complete,
        )
        for key, one in carried
    ]


def write_labels(
    name: str,
    records: Sequence[PictureRecord],
    path: Path,
    classes: Classes,
    overwrite: bool = False,
) -> Dropped:
    """Write records in a format of `WRITABLE`, and return what it could not say.

    path: of the file, or of the folder that formats of many files fill
    overwrite: whether any files that are there with other content may be replaced; else only
        masks as an earlier export made them are, and a `UserError` names others, with nothing
        written
    """
    row, dropped = FORMATS[name], Dropped()
    if row.write is None:
        raise UserError(f"--format {name}: can be read, but not written")
    if not records:
        raise UserError("the store carries no label; import some first")
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"--output {path}: is neither a file nor a folder; name one")
    if row.suffix and path.is_dir():
        path = path / f"labels{row.suffix}"
    if not row.suffix and path.is_file():
        raise UserError(f"--output {path}: is a file; {row.title} fills a folder, name one")
    if row.suffix and path.suffix.casefold() in {*OTHERS} - {row.suffix}:
        raise UserError(
            f"--output {path}: {row.title} goes out as {row.suffix}; name it "
            f"{path.with_suffix(row.suffix).name}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    if name == "masks":
        classes = numbered_as_there(path, records, classes)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        draft = Path(folder) / path.name
        told = records if name in (OURS, "masks") else plainer(records, dropped)
        row.write(told, draft, classes, dropped)
        lost = [place for place in move_into_place(draft, path, overwrite) if is_mask(place)]
    accepted = [one.name for one in records if any(shape.is_of_model for shape in one.shapes)]
    if name == "masks" and accepted:
        dropped.told.append(
            f"{len(accepted)} masks hold what a model drew and a person accepted, the first that "
            f"of {accepted[0]}; no model should be tested on these"
        )
    if lost:
        dropped.told.append(
            f"{len(lost)} masks that were drawn or mended by hand were replaced, the first "
            f"{lost[0].name}"
        )
    return dropped


def numbered_as_there(path: Path, records: Sequence[PictureRecord], classes: Classes) -> Classes:
    """Return the classes in the order of their numbers in the masks of a folder.

    That is the order of `classes.txt` beside the folder, as data sets have it, or of an earlier
    export into the folder. A class that the first lacks is a `UserError`.
    """
    for place in (path.parent / CLASSES, path / CLASSES):
        if not place.is_file():
            continue
        names, has_background = read_classes(place)
        shapes = [shape for record in records for shape in record.shapes if shape.kind in AREAS]
        shown = dict.fromkeys(shape.label for shape in shapes if shape.label is not None)
        later = [name for name in shown if name not in names]
        if later and place.parent == path.parent:
            raise UserError(f"{place}: lacks the class {later[0]}; add it in the last line")
        return Classes((*names, *later), has_background)
    return classes


def plainer(records: Sequence[PictureRecord], dropped: Dropped) -> list[PictureRecord]:
    """Return records without kinds that other tools have no word for.

    Coarse outlines become polygons, and masks of a model that a person accepted are masks.
    """
    found = []
    for record in records:
        shapes = []
        for shape in record.shapes:
            if shape.kind == "outline":
                dropped.change("coarse outlines, written as polygons", record.name)
                shape = replace(shape, kind="polygon", geometry=[[shape.geometry]])
            if shape.is_of_model:
                dropped.change("accepted masks of a model, written as masks", record.name)
                runs = {k: v for k, v in shape.geometry.items() if k not in OF_MODEL}
                shape = replace(shape, kind="mask", geometry=runs)
            shapes.append(shape)
        found.append(replace(record, shapes=tuple(shapes)))
    return found


def move_into_place(draft: Path, path: Path, overwrite: bool) -> list[Path]:
    """Move a file, or all files below a folder, to where they belong.

    Returns the files that were replaced and that no export can bring back.
    overwrite: as `write_labels` takes it
    """
    files = [draft] if draft.is_file() else sorted(p for p in draft.rglob("*") if p.is_file())
    places = {file: path / file.relative_to(draft) for file in files}
    for place in places.values():
        refuse_special(place)
    others = [place for file, place in places.items() if place.exists() and is_lost(file, place)]
    if others and not overwrite:
        refuse_others(others)
    for file, place in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, place)
    return others


def is_mask(path: Path) -> bool:
    """Return whether a file of an export is a mask."""
    return path.suffix == ".png"


def is_lost(file: Path, place: Path) -> bool:
    """Return whether a file that takes a place ends something that no export can bring back."""
    if not place.is_file():
        return True
    if filecmp.cmp(file, place, shallow=False):
        return False
    if is_mask(file):
        return not replaces_no_work(file, place)
    return not (file.name == CLASSES and has_more_classes(file, place))


def has_more_classes(file: Path, place: Path) -> bool:
    """Return whether a list has the classes of another in their order, and others after them."""
    (names, has_background), (before, had) = read_classes(file), read_classes(place)
    return has_background == had and names[: len(before)] == before


def refuse_others(others: Sequence[Path]) -> NoReturn:
    """Refuse to replace files with other content, in words that say what a person would lose."""
    masks = [place for place in others if is_mask(place)]
    if not masks:
        raise UserError(
            f"--output {others[0]}: is there already, with other content; name another place, or "
            "add --overwrite"
        )
    names = ", ".join(place.name for place in masks[:NAMED])
    more = f" and {len(masks) - NAMED} more" if len(masks) > NAMED else ""
    raise UserError(
        f"--output {masks[0]}: is there already, with other content: {len(masks)} masks were drawn "
        f"or mended by hand ({names}{more}); move them to another folder, export, and move them "
        "back; --overwrite would lose that work"
    )
