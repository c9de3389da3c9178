"""A folder of masks: PNGs of class numbers, or of values that --mask_values gives a meaning.

A pixel of 255, or of the value of --mask_ignore, is not labelled; a mask without any is complete,
and its class 0 needs no shape. Connected regions of a class are one shape each; specks are part of
the largest region. A `classes.txt`, or Roboflow's `_classes.csv`, among the masks says what their
numbers mean, or a `classes.txt` beside a folder called `masks`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from weakseg.common import IGNORE, UserError, atomic_path, evenly
from weakseg.data.class_list import is_behind, read_classes, write_classes
from weakseg.data.doubts.counted import CountedTally
from weakseg.data.doubts.inverted import InvertedTally
from weakseg.data.doubts.mask_shapes import ShapeTally
from weakseg.data.doubts.mask_tally import MOST
from weakseg.data.doubts.rims import RimTally, averaged
from weakseg.data.mask_lists import LIST, TABLE, merged, read_table
from weakseg.data.mask_values import MaskValues, read_class_numbers
from weakseg.data.palettes import Palettes
from weakseg.labels.annotators import connected_regions
from weakseg.labels.formats.files import Files, lines_of
from weakseg.labels.formats.geometry import picture_size
from weakseg.labels.formats.painting import mask_of, refuse_twofold
from weakseg.labels.formats.records import (
    AREAS,
    Classes,
    Dropped,
    PictureRecord,
    Shape,
    Unreadable,
    text,
)
from weakseg.labels.formats.runs import mask_geometry
from weakseg.labels.mask_mark import labels_digest, save_marked

COLOURS = "labelmap.txt"  # of CVAT's masks: `name:red,green,blue:parts:actions` a line
FOLDER = "masks"  # of a data set, beside its list of classes
OBJECTS = "SegmentationObject"  # folder of its masks of instances
SPECK = 0.001  # share of the picture; a smaller region is no object of its own


@dataclass(frozen=True)
class Meaning:
    """What the numbers in masks mean: those of classes, unless `values` says something else."""

    classes: Classes = field(default_factory=Classes)
    values: MaskValues | None = None


def recognise(files: Files, name: str) -> bool:
    """Return whether a file is of this format."""
    return name.casefold().endswith(".png")


def read(files: Files, dropped: Dropped, meaning: Meaning) -> Iterator[PictureRecord]:
    """Yield what each mask says of its picture; values mean what the export itself says."""
    told = labelmap(files)
    meaning = told or class_list(files, meaning) or meaning
    if not meaning.classes.names:
        raise UserError(
            f"{files.path}: holds masks of numbers; name their classes in order with --classes, or "
            "in classes.txt beside the pictures' folder"
        )
    palettes, rims = Palettes(meaning.values), RimTally()
    inverted = InvertedTally(meaning.classes.names, meaning.values)
    counted, shapes_of = CountedTally(meaning.classes.names), ShapeTally()
    names = [name for name in files.with_suffix(".png") if OBJECTS not in PurePosixPath(name).parts]
    looked = {*evenly(names, MOST)}
    for name in names:
        with files.on_disk(name) as path:
            try:
                mask = read_class_numbers(path, meaning.values)
                numbers = set(np.unique(mask).tolist())
                palettes.add(path, numbers, files.where(name))
            except UserError as error:
                raise UserError(str(error).replace(str(path), files.where(name))) from error
        strays = sorted(n for n in numbers - {IGNORE} if n >= len(meaning.classes.names))
        if strays:
            raise UserError(
                f"{files.where(name)}: holds the number {strays[0]}, which is no class; say what "
                f"it means with --mask_values, or --mask_ignore{averaged(strays)}"
            )
        if numbers == {0, IGNORE} and not is_told(meaning.values):
            why = f"masks of 0 and {IGNORE} alone, whose {IGNORE} is not labelled (--mask_values)"
            dropped.change(why, name)
        if name in looked:
            rims.add(mask, name)
            inverted.add(mask, name)
            counted.add(mask, name)
            shapes_of.add(mask, name)
        is_complete = IGNORE not in numbers and meaning.classes.has_background
        shown = sorted(numbers - {IGNORE} - ({0} if is_complete else set()))
        shapes = [shape for number in shown for shape in regions(mask, number, meaning)]
        yield PictureRecord(
            PurePosixPath(name).with_suffix("").as_posix(),
            (mask.shape[1], mask.shape[0]),
            tuple(shapes),
            ("full",) if is_complete else (),
        )
    dropped.told += rims.lines()
    if meaning.classes.has_background and not told:
        dropped.told += inverted.lines()
    if meaning.classes.has_background and not meaning.values:
        dropped.told += counted.lines()
    if meaning.classes.has_background:
        dropped.of_masks += shapes_of.lines(tells_boxes=False)


def is_told(values: MaskValues | None) -> bool:
    """Return whether somebody says what 255 means, or that only colours mean something."""
    return values is not None and (
        values.are_colours or IGNORE in values.meaning or not values.ignores
    )


def labelmap(files: Files) -> Meaning | None:
    """Return what CVAT's list says that colours mean; None where there is no list."""
    for name in files.names:
        if PurePosixPath(name).name != COLOURS:
            continue
        colours: dict[str, int] = {}
        try:
            for line in lines_of(files.text(name)):
                if not line.startswith("#"):
                    label, colour, *_ = line.split(":")
                    red, green, blue = (int(part) for part in colour.split(","))
                    value = red << 16 | green << 8 | blue
                    same = next((one for one, colour in colours.items() if colour == value), label)
                    if same != label:
                        raise UserError(
                            f"{files.where(name)}: {same} and {label} have one colour, so that "
                            "masks can't tell them apart; give each its own in the tool"
                        )
                    colours[text(label)] = value
        except ValueError as error:
            raise UserError(f"{files.where(name)}: a line is not 'name:red,green,blue:'") from error
        names = sorted(colours, key=lambda label: label != "background")
        values = {colours[label]: number for number, label in enumerate(names)}
        has_background = names[:1] == ["background"]
        return Meaning(Classes(names, has_background), MaskValues(values, True, len(names), False))
    return None


def class_list(files: Files, meaning: Meaning) -> Meaning | None:
    """Return what the lists of classes among the masks say, which must agree; None without one.

    Where none is there, the one beside a folder `masks` counts, as a data set has it.
    meaning: that somebody gives their values, if any, which then holds
    """
    if meaning.values:
        return None
    told: dict[str, dict[int, str]] = {}
    has_background = None
    folders = {PurePosixPath(name).parent for name in files.with_suffix(".png")}
    for name in files.names:
        place = PurePosixPath(name)
        is_list = name == LIST or (place.name == LIST and place.parent in folders)
        if not is_list and place.name != TABLE:
            continue
        where = files.where(name)
        with files.on_disk(name) as path:
            try:
                if is_list:
                    names, has_background = read_classes(path)
                    told[where] = dict(enumerate(names))
                else:
                    told[where] = read_table(path)
            except UserError as error:
                raise UserError(str(error).replace(str(path), where)) from error
    beside = files.path.resolve().with_name(LIST)
    if not told and files.path.resolve().name.casefold() == FOLDER and beside.is_file():
        names, has_background = read_classes(beside)
        told[str(beside)] = dict(enumerate(names))
    numbers = dict(sorted(merged(told).items()))
    if not numbers:
        return None
    if has_background is None:  # of a table, which has no word for it
        numbers = {0: "background"} | numbers
        has_background = is_behind(numbers[0])
    places = {number: place for place, number in enumerate(numbers)}
    has_gaps = [*numbers] != [*places.values()]
    values = MaskValues(places, False, 0, True) if has_gaps else None
    return Meaning(Classes([*numbers.values()], has_background), values)


def regions(mask: np.ndarray, number: int, meaning: Meaning) -> list[Shape]:
    """Return a shape for each connected region of a class, the largest with all specks."""
    name, found = meaning.classes.names[number], connected_regions(mask, number)
    if number == 0 and meaning.classes.has_background:
        return [Shape("mask", name, mask_geometry(mask == 0))]
    large = [region for region in found[1:] if region.area >= SPECK * mask.size]
    rest = mask == number
    shapes = []
    for region in large:
        left, top, right, bottom = region.box
        rest[top:bottom, left:right] &= ~region.pixels
        shapes.append(Shape("mask", name, mask_geometry(region.pixels, left, top)))
    return [Shape("mask", name, mask_geometry(rest)), *shapes]


# ---- writing


def write(records: Sequence[PictureRecord], path: Path, classes: Classes, dropped: Dropped) -> None:
    """Write a PNG of class numbers for each picture with a polygon or mask, or known to be empty.

    What no area covers is the background where the list is complete, else 255. A list of the
    classes says what the numbers mean.
    """
    write_classes(path / LIST, classes.names, classes.has_background)
    for record in records:
        for shape in record.shapes:
            if shape.kind not in AREAS:
                dropped.add(f"a {shape.kind}, which is no mask", record.name)
        areas = [shape for shape in record.shapes if shape.kind in AREAS]
        is_complete = "full" in (record.complete or ())
        if areas or (is_complete and classes.has_background):
            size = picture_size(record)
            try:
                refuse_twofold(record.shapes, size)
            except Unreadable as error:
                raise UserError(f"{record.name}: {error}") from error
            mask = mask_of(record.shapes, size, classes, is_complete)
            labels = labels_digest(record.shapes, size, classes, is_complete)
            with atomic_path((path / record.name).with_suffix(".png")) as temporary:
                save_marked(temporary, mask, labels)
