"""Labels of other tools brought into the store: read, matched, fitted, named, converted."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from weakseg.common import UserError, suggestion
from weakseg.data.class_list import read_classes
from weakseg.labels.box_order import FEWEST, BoxOrder
from weakseg.labels.carried import SIGNAL, Carried, merged
from weakseg.labels.checks import EDGE, are_shares
from weakseg.labels.converting import converted
from weakseg.labels.fitting import ASPECT, Fit, Seen, places_of
from weakseg.labels.formats.files import Files
from weakseg.labels.formats.masks import Meaning
from weakseg.labels.formats.records import (
    AREAS,
    SHARES,
    Classes,
    Dropped,
    Nothing,
    PictureRecord,
    Shape,
    Unreadable,
)
from weakseg.labels.formats.table import FORMATS, reader, recognise
from weakseg.labels.matching import Pictures
from weakseg.labels.signals import LISTS
from weakseg.labels.store import Change, Given, Store

BACKGROUND = "_background_"  # as LabelMe calls it
NOTHING = "-"  # a class that --map leaves out


@dataclass(frozen=True)
class Wishes:
    """What to do with what a label file says.

    format      a name of `FORMATS`; None: by content
    areas_as    of `converting.WISHES`; None: masks, and strokes for brushes
    is_empty    whether a picture without shapes shows nothing; else it is unlabelled
    complete    kinds of label whose list holds all objects, where a picture has any of the kind
    names       {class in the file: class here, or `NOTHING`}
    meaning     of the numbers in masks; its classes, where there are some, are all that are known
    source      what the labels come from; a later import of the same replaces it; None: by the file
    """

    format: str | None = None
    areas_as: str | None = None
    is_empty: bool = False
    complete: tuple[str, ...] = ("full",)
    names: Mapping[str, str] = field(default_factory=dict)
    meaning: Meaning = field(default_factory=Meaning)
    source: str | None = None


@dataclass
class Imported:
    """What came of one file.

    sources  {source: {id: what it says}}
    shown    {kind of label: number of shapes}
    empty    number of pictures without shapes
    is_empty  whether they are known to show nothing
    absent   names of pictures that the folder doesn't have
    classes  that the shapes are of, in the order of the file
    order    of the numbers in its boxes
    far      number of boxes that reach far beyond their picture
    """

    path: Path
    title: str
    sources: dict[str, dict[str, Given]] = field(default_factory=dict)
    shown: Counter[str] = field(default_factory=Counter)
    empty: int = 0
    absent: list[str] = field(default_factory=list)
    dropped: Dropped = field(default_factory=Dropped)
    is_empty: bool = False
    classes: list[str] = field(default_factory=list)
    order: BoxOrder = field(default_factory=BoxOrder)
    far: int = 0

    @property
    def pictures(self) -> int:
        """The number of pictures that it says something of."""
        return len({key for pictures in self.sources.values() for key in pictures})


def read_labels(path: str | Path, pictures: Pictures, wishes: Wishes) -> Imported:
    """Read the labels in a file, folder or archive, for the pictures that are there.

    What can't be taken over is counted; a file of which no picture is there, or no shape can be
    taken over, is a `UserError`.
    """
    files = Files(path)
    name = wishes.format or recognise(files)
    found = Imported(files.path, FORMATS[name].title, is_empty=wishes.is_empty)
    called: dict[str, str] = {}
    for record in reader(name, wishes.meaning)(files, found.dropped):
        key = pictures.find(record.name)
        if key is None:
            found.absent.append(record.name)
            continue
        if called.setdefault(key, record.name) != record.name:
            raise UserError(
                f"{path}: {called[key]} and {record.name} both mean {pictures.paths[key]}; keep one"
            )
        namesakes = pictures.called(record.file) if record.file else []
        if namesakes and key not in namesakes:
            stale = "says that it is of another picture than the one of its own name"
            found.dropped.add(stale, record.file, f"of {record.name}")
            continue
        source = wishes.source or f"{name} {record.project or files.title}"
        with found.dropped.unless_read(record.name):
            given = given_by(record, Seen.of(pictures.files[key]), wishes, found)
            of_source = found.sources.setdefault(source, {})
            of_source[key] = joined(of_source[key], given) if key in of_source else given
    refuse_unusable(found, pictures, is_matched=bool(called))
    return found


def refuse_unusable(found: Imported, pictures: Pictures, is_matched: bool) -> None:
    """Refuse a file of which nothing is left, and one whose boxes are no corners.

    is_matched: whether any of its pictures is there
    """
    path = found.path
    if found.order.fault:
        raise UserError(f"{path}: {found.order.fault}")
    if found.order.boxes >= FEWEST and found.far > found.order.boxes / 2:
        raise UserError(
            f"{path}: {found.far} of {found.order.boxes} boxes reach beyond their pictures: they "
            "were drawn on another size, or are corners where width and height are expected"
        )
    is_lost = not found.shown and found.dropped.lost >= max(1, found.empty)
    if is_matched and is_lost:
        raise UserError(
            f"{path}: nothing of it can be taken over: {'; '.join(found.dropped.lines()[:3])}"
        )
    if not found.sources:
        first = f"; the first of {len(found.absent)} is {found.absent[0]}" if found.absent else ""
        raise UserError(
            f"{path}: {found.title} of no picture in {pictures.folder}{first}; mend --images"
        )


def given_by(record: PictureRecord, seen: Seen, wishes: Wishes, found: Imported) -> Given:
    """Return what a record says of its picture, in the picture's own pixels and classes."""
    fit = Fit.of(record, seen)
    marks = [place for shape in record.shapes for place in places_of(shape)]
    if record.size != SHARES and are_shares(marks, seen.size):
        raise Unreadable(
            "labelled in shares of the picture's sides, all within 0 and 1; multiply them by its "
            "width and height"
        )
    shapes: list[Shape] = []
    for place, shape in enumerate(record.shapes, 1):
        with found.dropped.unless_read(record.name, f"shape {place}"):
            named = renamed(shape, wishes)
            if named is not None:
                refuse_shape_of_nothing(named, wishes)
                shapes += converted(fit.shape(named), wishes.areas_as, seen.size)
                beyond = fit.beyond(named)
                if named.kind != "click" and beyond > EDGE:
                    found.dropped.change("cut at the edge of the picture", record.name)
                if named.kind == "box":
                    found.far += beyond > ASPECT * max(seen.size)
                    found.order.add(named.geometry, fit.given)
                if named.label is not None and named.label not in found.classes:
                    found.classes.append(named.label)
    found.shown.update(SIGNAL[shape.kind] for shape in shapes)
    is_whole = record.name not in found.dropped.hidden
    found.empty += not record.shapes and record.complete is None and is_whole
    complete = complete_kinds(record, shapes, wishes) if is_whole else []
    return Given(
        dict(enumerate(shapes)), seen.size, tuple(complete), record.seconds, record.annotator
    )


def renamed(shape: Shape, wishes: Wishes) -> Shape | None:
    """Return a shape with the name that its class has here; None where it is left out.

    A class that is not known is `Unreadable`, with the nearest one.
    """
    if shape.label is None:
        return shape
    name = wishes.names.get(shape.label, shape.label)
    classes = wishes.meaning.classes.names
    if name == NOTHING:
        return None
    if name == BACKGROUND and wishes.meaning.classes.has_background:
        name = classes[0] if classes else "background"
    # Tags need not be classes of masks: a data set's tags may be breeds.
    if classes and shape.kind != "tag" and name not in classes:
        hint = suggestion(name, classes, "; did you mean {}?") or f"; known: {', '.join(classes)}"
        raise Unreadable(f"of the class {name!r}, which is unknown{hint} (--map)")
    return replace(shape, label=name)


def refuse_shape_of_nothing(shape: Shape, wishes: Wishes) -> None:
    """Refuse a box or outline, or what is to become one, that is around no object of a class."""
    is_area = shape.kind in AREAS
    kind = {"boxes": "box", "outlines": "outline"}.get(wishes.areas_as or "") if is_area else None
    kind = kind or shape.kind
    if kind not in ("box", "outline"):
        return
    if shape.label is None:
        raise Unreadable(f"a {kind} of no class, of which nobody can tell what is in it")
    if shape.label in backgrounds(wishes.meaning.classes):
        # An area of the background hides no object: that it becomes no box is no loss.
        raise (Nothing if is_area else Unreadable)(
            f"a {kind} of {shape.label}, which is what no object covers (--map {shape.label}=CLASS)"
        )


def backgrounds(classes: Classes) -> list[str]:
    """Return the names that the background has: one, or the usual ones where no class is known."""
    if not classes.has_background:
        return []
    return list(classes.names[:1]) or ["background", BACKGROUND]


def complete_kinds(record: PictureRecord, shapes: Sequence[Shape], wishes: Wishes) -> list[str]:
    """Return the kinds of label whose list holds all objects of a picture."""
    if not record.shapes and wishes.is_empty:
        return [*LISTS, "full"]
    if record.complete is not None:
        said = set(record.complete)
        if "full" in said and wishes.areas_as not in (None, "full"):
            said = said - {"full"} | {wishes.areas_as}
        return sorted(said)
    return sorted({SIGNAL[shape.kind] for shape in shapes} & {*wishes.complete})


def joined(one: Given, other: Given) -> Given:
    """Return what two records of one file say of the same picture."""
    shapes = [*one.shapes.values(), *other.shapes.values()]
    seconds = [given.seconds for given in (one, other) if given.seconds is not None]
    complete = tuple(sorted({*one.complete, *other.complete}))
    return replace(
        one,
        shapes=dict(enumerate(shapes)),
        complete=complete,
        seconds=sum(seconds) if seconds else None,
    )


def refuse_same_source(files: Sequence[Imported]) -> None:
    """Refuse files of one source with labels of the same picture: the later would replace."""
    told: dict[tuple[str, str], Path] = {}
    for found in files:
        for source, pictures in found.sources.items():
            for key in pictures:
                other = told.setdefault((source, key), found.path)
                if other is not found.path:
                    raise UserError(
                        f"{found.path}: is of the source {source}, as {other} is, and both have "
                        f"labels of {key}; import them one after the other, with --source if both "
                        "are to hold"
                    )


def keep(store: Store, found: Imported) -> Change:
    """Bring the store to what a file says, and return what that changed."""
    changes = [store.update(source, given) for source, given in found.sources.items()]
    return Change(*(sum(getattr(one, key) for one in changes) for key in Change.__annotations__))


def carried_in(store: Store) -> Iterator[tuple[str, Carried]]:
    """Yield (id, what it carries) of the pictures in a store, in the order of their ids."""
    for key, sources in sorted(store.given().items()):
        yield key, merged(sources)


# ---- names of classes


def classes_beside(images: str | Path) -> Classes:
    """Return the classes in the `classes.txt` in or beside a folder of photographs, if any."""
    for folder in (Path(images), Path(images).resolve().parent):
        path = folder / "classes.txt"
        if path.is_file():
            names, has_background = read_classes(path)
            return Classes(tuple(names), has_background)
    return Classes()


def refuse_alike(names: Iterable[str]) -> None:
    """Refuse names of classes that differ in capitals, blanks or Unicode forms alone."""
    told: dict[str, str] = {}
    for name in names:
        letters = unicodedata.normalize("NFKC", name).casefold()
        plain = " ".join(re.split(r"[\s_-]+", letters)).strip()
        other = told.setdefault(plain, name)
        if other != name:
            raise UserError(
                f"the classes {other!r} and {name!r} look like one; give them one name with "
                f"--map '{name}={other}', or list all classes with --classes"
            )


def renames(words: Sequence[str]) -> dict[str, str]:
    """Return {class in the file: class here} of --map's words "Dog=dog,phone=-"."""
    names: dict[str, str] = {}
    for word in (part for words_ in words for part in words_.split(",") if part.strip()):
        old, sign, new = (part.strip() for part in word.partition("="))
        if not (old and sign and new):
            raise UserError(f"--map {word.strip()}: write NAME=CLASS, or NAME={NOTHING}")
        if names.setdefault(old, new) != new:
            raise UserError(
                f"--map {word.strip()}: {old} has the name {names[old]} already; keep one"
            )
    return names
