"""Labels of other tools brought into the store: read, matched, fitted, named, converted."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from weakseg.common import UserError, suggestion
from weakseg.labels.box_order import FEWEST, BoxOrder
from weakseg.labels.carried import Carried, complete_lists, merged
from weakseg.labels.checks import EDGE, are_shares, at_corners
from weakseg.labels.converting import PARTS, converted, lacks_marks
from weakseg.labels.doubts.painted_areas import area_lines
from weakseg.labels.doubts.slips import Slips
from weakseg.labels.doubts.turned_pictures import turned_lines
from weakseg.labels.fitting import Fit, are_swapped, places_of
from weakseg.labels.formats.files import Files
from weakseg.labels.formats.masks import Meaning
from weakseg.labels.formats.records import (
    AREAS,
    SHARES,
    SIGNAL,
    Classes,
    Dropped,
    Nothing,
    PictureRecord,
    Shape,
    Unreadable,
)
from weakseg.labels.formats.stores import folder_of
from weakseg.labels.formats.table import FORMATS, others, reader, recognise
from weakseg.labels.matched import Matched, matched, scaled_lines
from weakseg.labels.matching import Pictures
from weakseg.labels.naming import BACKGROUND, NOTHING, UNTOLD, renamed_to
from weakseg.labels.seen_before import notes_of_predictions, notes_of_store
from weakseg.labels.seen_photographs import Held
from weakseg.labels.signals import LISTS
from weakseg.labels.store import Change, Given, Store

OTHERS = 0.2  # share of pictures of another size than they were labelled at that is no slip


@dataclass(frozen=True)
class Wishes:
    """What to do with what a label file says.

    format      a name of `FORMATS`; None: by content
    areas_as    of `converting.WISHES`; None: masks, and strokes for brushes
    is_empty    whether a picture without shapes shows nothing; else it is unlabelled
    complete    kinds of label whose list holds all objects, where a picture has any of the kind;
        None: those that an export of ours noted, or else "full"
    names       {class in the file: class here, `NOTHING` or `UNTOLD`}, see `renamed_to`
    meaning     of the numbers in masks; its classes, where there are some, are all that are known
    source      what the labels come from; a later import of the same replaces it; None: by the file
    """

    format: str | None = None
    areas_as: str | None = None
    is_empty: bool = False
    complete: Sequence[str] | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    meaning: Meaning = field(default_factory=Meaning)
    source: str | None = None


@dataclass
class Imported:
    """What came of one file.

    sources  {source: {id: what it says}}
    held     {source: {id: what the photograph held when it was labelled}}, where the file says it
    shown    {kind of label: number of shapes}
    empty    number of pictures of which the file has no shape
    is_empty  whether they are known to show nothing
    absent   names of pictures that the folder doesn't have
    others   (name, format) of files in another format, which are left out
    classes  that the shapes are of, in the order of the file
    listed   the classes that the file lists, none where its format has no such list
    named    the classes that the file lists, of which its shapes need not be
    called   what the file calls the classes of its shapes
    order    of the numbers in its boxes, where they may be taken for corners
    slips    what of it looks like one
    has_sizes  whether its boxes state width and height
    hidden   ids of pictures that lost what may have been an object
    stated   ids of pictures of which the file itself says which lists are complete
    marks, far  number of shapes, and of those that reach far beyond their picture
    clicks, outside  number of clicks, which nobody can set beside a picture, and of those far away
    unsized, beyond  number of labelled pictures whose size the file doesn't say, and of those that
        a shape reaches far beyond
    """

    path: Path
    title: str
    sources: dict[str, dict[str, Given]] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    shown: Counter[str] = field(default_factory=Counter)
    empty: int = 0
    absent: list[str] = field(default_factory=list)
    others: list[tuple[str, str]] = field(default_factory=list)
    dropped: Dropped = field(default_factory=Dropped)
    is_empty: bool = False
    classes: list[str] = field(default_factory=list)
    listed: Classes = field(default_factory=Classes)
    named: Sequence[str] = ()
    called: set[str] = field(default_factory=set)
    order: BoxOrder = field(default_factory=BoxOrder)
    slips: Slips = field(default_factory=Slips)
    has_sizes: bool = False
    hidden: set[str] = field(default_factory=set)
    stated: set[str] = field(default_factory=set)
    marks: int = 0
    far: int = 0
    clicks: int = 0
    outside: int = 0
    unsized: int = 0
    beyond: int = 0

    @property
    def pictures(self) -> int:
        """The number of pictures that it says something of."""
        return len({key for pictures in self.sources.values() for key in pictures})

    @property
    def complete(self) -> set[str]:
        """The kinds of label of which a list that holds some is complete."""
        told = (given for pictures in self.sources.values() for given in pictures.values())
        return {kind for one in told for kind in one.complete if one.shapes} & {*self.shown}


def read_labels(path: str | Path, pictures: Pictures, wishes: Wishes) -> Imported:
    """Read the labels in a file, folder or archive, for the pictures that are there.

    What can't be taken over is counted; a file of which no picture is there, or no shape can be
    taken over, is a `UserError`.
    """
    files = Files(path)
    name = wishes.format or recognise(files)
    found = Imported(files.path, FORMATS[name].title, is_empty=wishes.is_empty)
    found.has_sizes = FORMATS[name].has_sizes
    found.others = others(files, name)
    list_of = FORMATS[name].classes
    if list_of and not wishes.meaning.classes.names:
        found.listed = renamed_classes(list_of(files), wishes.names)
        wishes = replace(wishes, meaning=replace(wishes.meaning, classes=found.listed))
    records = reader(name, wishes.meaning)(files, found.dropped)
    there, found.absent = matched(files, records, pictures, found.dropped)
    is_swapped = are_swapped((one.record, one.seen) for one in there)
    told_in: dict[tuple[str, str], str] = {}
    told: dict[tuple[str, str], list[Given]] = {}
    for one in there:
        record, key = one.record, one.key
        source = wishes.source or f"{name} {record.project or files.title}"
        with found.dropped.unless_read(record.name):
            given = given_by(record, Fit.of(record, one.seen, is_swapped), wishes, found)
            noted = record.noted if wishes.complete is None else None
            if record.complete is not None or noted is not None:
                found.stated.add(key)
            of_source = found.sources.setdefault(source, {})
            if record.held:
                found.held.setdefault(source, {})[key] = record.held
            if key not in of_source:
                of_source[key], told_in[source, key] = given, one.name
                told[source, key] = [given]
            elif told_in[source, key] != one.name and share_kinds(of_source[key], given):
                if not are_equal(of_source[key], given):
                    raise UserError(
                        f"{path}: {told_in[source, key]} and {one.name} have other labels of "
                        f"{pictures.paths[key]}; remove one, or if both are to hold, import the "
                        "files by their names"
                    )
                found.dropped.change("the same in two files", record.name)
            else:
                told[source, key].append(given)
                both = [*of_source[key].shapes.values(), *given.shapes.values()]
                of_source[key] = joined(told[source, key])
                note_repeats(both, record.name, found)
    note_empty(found, there)
    names_in = FORMATS[name].names
    if names_in:
        found.named = renamed_classes(Classes(names_in(files), False), wishes.names).names
    keys = {key for of_source in found.sources.values() for key in of_source}
    if wishes.areas_as in (None, "full"):
        found.dropped.told += found.dropped.of_masks
        if name not in ("masks", "store"):  # which tell themselves
            found.dropped.told += area_lines(found.sources, pictures.files)
    found.dropped.told += notes_of_predictions(files.path, pictures, keys)
    found.dropped.told += scaled_lines(there)
    if not FORMATS[name].is_upright:
        found.dropped.told += turned_lines(there, pictures)
    if name == "store":
        found.dropped.told += notes_of_store(folder_of(files), pictures)
    refuse_unusable(found, pictures, is_matched=bool(there) or not found.absent)
    return found


def renamed_classes(classes: Classes, names: Mapping[str, str]) -> Classes:
    """Return the classes of a file by the names that they have here."""
    told = (renamed_to(name, names) or name for name in classes.names)
    kept = dict.fromkeys(name for name in told if name not in (NOTHING, UNTOLD))
    return Classes(tuple(kept), classes.has_background)


def note_empty(found: Imported, there: Sequence[Matched]) -> None:
    """Count the pictures without shapes, and call no list complete of one that lost shapes.

    there: the records of pictures that are there, of which a picture may have several
    """
    hidden = {one.key for one in there if one.record.name in found.dropped.hidden}
    found.hidden = hidden
    records = [(one.key, one.record) for one in there]
    told = {
        key
        for key, record in records
        if record.shapes or record.complete is not None or record.noted is not None
    }
    found.empty = len({key for key, _ in records} - told - hidden)
    for of_source in found.sources.values():
        for key in hidden & of_source.keys():
            of_source[key] = replace(of_source[key], complete=())


def refuse_unusable(found: Imported, pictures: Pictures, is_matched: bool) -> None:
    """Refuse a file of which nothing is left, of other sizes, or whose boxes are no corners.

    is_matched: whether any of its pictures is there
    """
    path = found.path
    if found.order.fault:
        raise UserError(f"{path}: {found.order.fault}")
    if found.beyond > max(1, OTHERS * found.unsized):
        raise UserError(
            f"{path}: labels of {found.beyond} of {found.unsized} pictures reach beyond them: they "
            "were drawn on another size; label the pictures as they are"
        )
    if found.outside > max(1, OTHERS * found.clicks):
        raise UserError(
            f"{path}: {found.outside} of {found.clicks} clicks lie outside of their pictures: they "
            "were set on another size"
        )
    if found.marks >= FEWEST and found.far > found.marks / 2:
        cause = (
            f"{found.far} of {found.marks} shapes reach beyond their pictures: they were drawn on "
            "another size, or boxes are corners where width and height are expected"
        )
        raise UserError(f"{path}: {next(found.slips.half.lines(), cause)}")
    is_lost = not found.shown and found.dropped.lost >= max(1, found.empty)
    if is_matched and is_lost:
        raise UserError(
            f"{path}: nothing of it can be taken over: {'; '.join(found.dropped.lines()[:3])}"
        )
    if not found.sources:
        first = f"; the first of {len(found.absent)} is {found.absent[0]}" if found.absent else ""
        raise UserError(
            f"{path}: {found.title} of no picture in {pictures.folder}{first}; mend --images, "
            "or name the pictures in it as they are named there"
        )


def given_by(record: PictureRecord, fit: Fit, wishes: Wishes, found: Imported) -> Given:
    """Return what a record says of its picture, in the picture's own pixels and classes.

    One of which a shape reaches far beyond the picture is `Unreadable` where the file doesn't say
    how large that was: the other shapes would lie elsewhere too.
    """
    drawn = [shape for shape in record.shapes if shape.kind != "tag"]
    far = sum(fit.is_far(shape) for shape in drawn)
    found.marks, found.far = found.marks + len(drawn), found.far + far
    clicks = [shape for shape in drawn if shape.kind == "click"]
    found.clicks += len(clicks)
    found.outside += sum(fit.is_far(click) for click in clicks)
    if not fit.is_stated:
        found.unsized, found.beyond = found.unsized + bool(drawn), found.beyond + bool(far)
        if far:
            raise Unreadable(
                "reaching outside of the picture, as if drawn on a larger one; label it at its own "
                "size"
            )
    marks = [place for shape in record.shapes for place in places_of(shape)]
    clicked = all(shape.kind == "click" for shape in drawn) and at_corners(marks)
    if record.size != SHARES and not clicked and are_shares(marks, fit.size):
        raise Unreadable(
            "labelled in shares of the picture's sides, all within 0 and 1; multiply them by its "
            "width and height"
        )
    shapes: list[Shape] = []
    lacking = False
    for place, shape in enumerate(record.shapes, 1):
        with found.dropped.unless_read(record.name, f"shape {place}"):
            found.called.update([] if shape.label is None else [shape.label])
            named = renamed(shape, wishes)
            if named is not None:
                refuse_shape_of_nothing(named, wishes)
                fitted = fit.shape(named)
                became = converted(fitted, wishes.areas_as, fit.size)
                shapes += became
                lacking |= lacks_marks(fitted, wishes.areas_as, fit.size)
                found.slips.take(became, record.name, fit.size)
                found.slips.place(fitted, record.name, fit.size)
                if named.label not in backgrounds(wishes.meaning.classes):
                    is_exact = wishes.areas_as in (None, "full")
                    found.slips.add(fit.whole(named), record.name, is_exact, fit.size)
                if named.kind != "click" and fit.beyond(named) > EDGE:
                    found.dropped.change("cut at the edge of the picture", record.name)
                if named.kind == "box":
                    found.slips.half.add(named.geometry, record.name, fit.given, fit.size)
                    if not found.has_sizes:
                        found.order.add(named.geometry, fit.given)
                if named.label is not None and named.label not in found.classes:
                    found.classes.append(named.label)
    shapes = without_repeats(shapes, record.name, found.dropped)
    found.shown.update(SIGNAL[shape.kind] for shape in shapes)
    complete = complete_kinds(record, shapes, wishes)
    if lacking and wishes.areas_as not in (wishes.complete or ()):
        found.dropped.change(PARTS, record.name)
        complete = [kind for kind in complete if kind != wishes.areas_as]
    return Given(
        dict(enumerate(shapes)),
        fit.size,
        tuple(complete),
        record.seconds,
        record.annotator,
        fit.is_stated,
    )


def without_repeats(shapes: Sequence[Shape], name: str, dropped: Dropped) -> list[Shape]:
    """Return the shapes of a picture, of equal ones the first, and count the others.

    They would be paid twice. name: of the picture
    """
    kept: dict[str, Shape] = {}
    for shape in shapes:
        if kept.setdefault(shape.key, shape) is not shape and shape.kind != "tag":
            dropped.add("there twice, as if two exports were put together", name, hides=False)
    return [*kept.values()]


def note_repeats(shapes: Sequence[Shape], name: str, found: Imported) -> None:
    """Count equal shapes of several records of a picture, which `joined` takes once."""
    kept = without_repeats(shapes, name, found.dropped)
    found.shown += Counter(SIGNAL[shape.kind] for shape in kept)
    found.shown -= Counter(SIGNAL[shape.kind] for shape in shapes)


def renamed(shape: Shape, wishes: Wishes) -> Shape | None:
    """Return a shape with the name that its class has here; None where it is left out.

    A class that is not known is `Unreadable`, with the nearest one.
    """
    if shape.label is None:
        return shape
    mapped = renamed_to(shape.label, wishes.names)
    if mapped == NOTHING or (mapped == UNTOLD and shape.kind == "tag"):
        return None
    if mapped == UNTOLD:
        return replace(shape, label=None)
    name, classes = mapped or shape.label, wishes.meaning.classes.names
    if name == NOTHING:
        raise Unreadable(f"of the class {name!r}, which is no name (--map '{name}=CLASS')")
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
    one = "a box" if kind == "box" else "an outline"
    if shape.label is None:
        raise Unreadable(f"{one} of no class, of which nobody can tell what is in it")
    if shape.label in backgrounds(wishes.meaning.classes):
        # An area of the background hides no object: that it becomes no box is no loss.
        raise (Nothing if is_area else Unreadable)(
            f"{one} of {shape.label}, which is what no object covers (--map {shape.label}=CLASS)"
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
    shown = {SIGNAL[shape.kind] for shape in shapes}
    is_silent = wishes.complete is None or (wishes.complete and not record.shapes)
    is_open = record.complete is None and is_silent
    told = record.noted if is_open else record.complete
    if told is not None:
        said = set(told)
        if "full" in said and wishes.areas_as not in (None, "full"):
            said = said - {"full"} | {wishes.areas_as}
        return sorted(said & shown if is_open and record.shapes else said)
    kinds = ("full",) if wishes.complete is None else wishes.complete
    return sorted(shown & {*kinds})


def share_kinds(one: Given, other: Given) -> bool:
    """Return whether two records have places of one kind of label."""
    kinds, others = ({SIGNAL[s.kind] for s in given.shapes.values()} for given in (one, other))
    return bool(kinds & others - {"tags"})


def are_equal(one: Given, other: Given) -> bool:
    """Return whether two records have the same shapes."""
    mine, theirs = (sorted(shape.key for shape in g.shapes.values()) for g in (one, other))
    return mine == theirs


def joined(told: Sequence[Given]) -> Given:
    """Return what the records of one file say of the same picture."""
    shapes = [*{one.key: one for given in told for one in given.shapes.values()}.values()]
    seconds = [given.seconds for given in told if given.seconds is not None]
    return replace(
        told[0],
        shapes=dict(enumerate(shapes)),
        complete=complete_lists(told, shapes),
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


def distrust_empty(files: Sequence[Imported]) -> None:
    """Let no file call a picture empty of which another one of the same import lost a shape."""
    hidden = {key for found in files for key in found.hidden}
    for found in files:
        denied = set[str]()
        for of_source in found.sources.values():
            for key in hidden & of_source.keys():
                if of_source[key].complete and not of_source[key].shapes:
                    of_source[key] = replace(of_source[key], complete=())
                    denied.add(key)
        found.empty -= len(denied) if found.is_empty else 0
        for key in sorted(denied):
            found.dropped.change("empty here, where another file lost a shape: unlabelled", key)


def in_several(found: Imported) -> Iterator[str]:
    """Yield a line where several tasks of one file label the same pictures, if any.

    That several people answer in one store is what it is for.
    """
    if found.title == FORMATS["store"].title:
        return
    told: dict[str, list[str]] = {}
    for source, pictures in found.sources.items():
        for key, given in pictures.items():
            if given.shapes or given.complete:
                told.setdefault(key, []).append(source)
    several = {key: sources for key, sources in told.items() if len(sources) > 1}
    if several:
        key, sources = next(iter(several.items()))
        yield (
            f"{len(several)} pictures have labels of several tasks, the first is {key} of "
            f"{' and '.join(sources)}, which hold together; unless the tasks are of the same "
            "photographs, import each with --images of its own"
        )


def keep(store: Store, found: Imported) -> Change:
    """Bring the store to what a file says, and return what that changed."""
    return store.update_all(found.sources)


def carried_in(given: Mapping[str, Mapping[str, Given]]) -> Iterator[tuple[str, Carried]]:
    """Yield (id, what it carries) of the pictures in a store, in the order of their ids.

    given: of `Store.given`
    """
    for key, sources in sorted(given.items()):
        yield key, merged(sources)
