"""Labels of other tools brought into the store: read, matched, fitted, named, converted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from weakseg.common import UserError
from weakseg.labels.box_order import FEWEST
from weakseg.labels.carried import Carried, complete_lists, merged
from weakseg.labels.doubts.painted_areas import area_lines, filled_lines
from weakseg.labels.doubts.turned_pictures import turned_lines
from weakseg.labels.fitting import Fit, are_swapped
from weakseg.labels.formats.files import Files
from weakseg.labels.formats.records import (
    SIGNAL,
    Classes,
)
from weakseg.labels.formats.stores import folder_of
from weakseg.labels.formats.table import FORMATS, others, reader, recognise
from weakseg.labels.imported import Imported, Wishes
from weakseg.labels.matched import Matched, matched, scaled_lines
from weakseg.labels.matching import Pictures
from weakseg.labels.naming import NOTHING, UNTOLD, renamed_to
from weakseg.labels.one_record import given_by, note_repeats
from weakseg.labels.seen_before import notes_of_predictions, notes_of_store
from weakseg.labels.store import Change, Given, Store

OTHERS = 0.2  # share of pictures of another size than they were labelled at that is no slip


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
        elif name == "masks":
            found.dropped.told += filled_lines(found.sources)
    found.dropped.told += notes_of_predictions(files.path, pictures, keys)
    found.dropped.told += scaled_lines(there)
    found.dropped.told += turned_lines(there, pictures, FORMATS[name].is_upright)
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
    crossed = "with x and y swapped none does; write x, the column, before y, the row"
    is_crossed = found.crossed == found.marks
    if found.beyond > max(1, OTHERS * found.unsized):
        cause = "they were drawn on another size; label the pictures as they are"
        raise UserError(
            f"{path}: labels of {found.beyond} of {found.unsized} pictures reach beyond them: "
            f"{crossed if is_crossed else cause}"
        )
    if found.outside > max(1, OTHERS * found.clicks):
        raise UserError(
            f"{path}: {found.outside} of {found.clicks} clicks lie outside of their pictures: "
            f"{crossed if is_crossed else 'they were set on another size'}"
        )
    if found.marks >= FEWEST and found.far > found.marks / 2:
        cause = "they were drawn on another size, or boxes are corners where width and height are"
        cause = (
            f"{found.far} of {found.marks} shapes reach beyond their pictures: "
            f"{crossed if is_crossed else f'{cause} expected'}"
        )
        told = [*found.slips.one_side.lines(), *found.slips.half.lines(), cause]
        raise UserError(f"{path}: {told[0]}")
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


def keep(store: Store, found: Imported) -> Change:
    """Bring the store to what a file says, and return what that changed."""
    return store.update_all(found.sources)


def carried_in(given: Mapping[str, Mapping[str, Given]]) -> Iterator[tuple[str, Carried]]:
    """Yield (id, what it carries) of the pictures in a store, in the order of their ids.

    given: of `Store.given`
    """
    for key, sources in sorted(given.items()):
        yield key, merged(sources)
