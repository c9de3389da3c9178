"""The table of label formats, and which of them a file is of, by its content.

To add a format, write a file with `recognise` and `read`, and `write` where labels go out in it,
and add a row to `FORMATS`.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from weakseg.common import UserError
from weakseg.labels.formats import (
    coco,
    cvat,
    labelme,
    labelme_xml,
    labelstudio,
    masks,
    pascalvoc,
    plain,
    sheet,
    stores,
    supervisely,
    yolo,
)
from weakseg.labels.formats.files import Files
from weakseg.labels.formats.masks import Meaning
from weakseg.labels.formats.records import Classes, Dropped, PictureRecord

Read = Callable[[Files, Dropped], Iterator[PictureRecord]]
Write = Callable[[Sequence[PictureRecord], Path, Classes, Dropped], None]
LOOKED_AT = 50  # files of one suffix that are opened to recognise a format


@dataclass(frozen=True)
class Format:
    """One format.

    recognise  (files, name of one of them) -> whether that is of the format
    suffix     of the one file that `write` makes; "" where it fills a folder
    classes    files -> the classes that they list, where the format has such a list
    names    files -> the classes that they list, of which the shapes need not be
    is_upright  whether its tool shows photographs upright, unless sizes or edges show otherwise
    has_sizes  whether its boxes state width and height, so that nobody takes them for corners
    """

    title: str
    recognise: Callable[[Files, str], bool]
    read: Callable[..., Iterator[PictureRecord]]
    write: Write | None = None
    suffix: str = ""
    classes: Callable[[Files], Classes] | None = None
    names: Callable[[Files], list[str]] | None = None
    has_sizes: bool = False
    is_upright: bool = False


# The first that recognises a file reads it.
FORMATS = {
    "store": Format(
        "a store", stores.recognise, stores.read, classes=stores.classes_in, is_upright=True
    ),
    "weakseg": Format("our own", plain.recognise, plain.read, plain.write, ".json"),
    "labelstudio": Format(
        "Label Studio",
        labelstudio.recognise,
        labelstudio.read,
        labelstudio.write,
        ".json",
        has_sizes=True,
        is_upright=True,
    ),
    "labelme": Format("LabelMe", labelme.recognise, labelme.read, labelme.write, is_upright=True),
    "coco": Format(
        "COCO",
        coco.recognise,
        coco.read,
        coco.write,
        ".json",
        names=coco.names_in,
        has_sizes=True,
    ),
    "supervisely": Format("Supervisely", supervisely.recognise, supervisely.read),
    "cvat": Format(
        "CVAT for images",
        cvat.recognise,
        cvat.read,
        cvat.write,
        ".xml",
        names=cvat.names_in,
        is_upright=True,
    ),
    "labelme-xml": Format("LabelMe's XML", labelme_xml.recognise, labelme_xml.read),
    "voc": Format("Pascal VOC", pascalvoc.recognise, pascalvoc.read),
    "yolo": Format(
        "YOLO", yolo.recognise, yolo.read, yolo.write, names=yolo.names_in, has_sizes=True
    ),
    "masks": Format("masks", masks.recognise, masks.read, masks.write),
}
WRITABLE = [name for name, row in FORMATS.items() if row.write]
SUFFIXES = (
    ".sqlite",
    ".json",
    ".xml",
    ".csv",
    ".tsv",
    ".txt",
    ".png",
)  # in this order, since pictures may lie beside


def recognise(files: Files) -> str:
    """Return the name of the format of an export; one of no known format is a `UserError`."""
    for suffix in SUFFIXES:
        for name in files.with_suffix(suffix)[:LOOKED_AT]:
            for known, row in FORMATS.items():
                if row.recognise(files, name):
                    return known
    titles = ", ".join(row.title for row in FORMATS.values())
    tables = files.with_suffix(".csv", ".tsv")
    hint = sheet.hint_of(files.text(tables[0])) if tables else ""
    raise UserError(f"{files.path}: of no format that is known: {titles}{hint}")


def others(files: Files, name: str) -> list[tuple[str, str]]:
    """Return (file, title of its format) of label files that the reader of a format leaves out."""
    found = []
    for suffix in SUFFIXES[:-1]:  # a PNG among labels may well be a photograph
        for file in files.with_suffix(suffix)[:LOOKED_AT]:
            with contextlib.suppress(UserError):
                titles = [r.title for key, r in FORMATS.items() if r.recognise(files, file)]
                if titles and FORMATS[name].title not in titles:
                    found.append((file, titles[0]))
    return found


def reader(name: str, meaning: Meaning) -> Read:
    """Return the function that reads a format; meaning: of the numbers in masks."""
    row = FORMATS[name]
    return partial(row.read, meaning=meaning) if name == "masks" else row.read
