"""What a label file says of one picture: named, fitted to the picture, and converted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from weakseg.common import suggestion
from weakseg.labels.checks import EDGE, are_shares, at_corners
from weakseg.labels.converting import PARTS, converted, lacks_marks
from weakseg.labels.fitting import Fit, ends_of, places_of
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
from weakseg.labels.imported import Imported, Wishes
from weakseg.labels.naming import BACKGROUND, NOTHING, UNTOLD, renamed_to
from weakseg.labels.signals import LISTS
from weakseg.labels.store import Given


def given_by(record: PictureRecord, fit: Fit, wishes: Wishes, found: Imported) -> Given:
    """Return what a record says of its picture, in the picture's own pixels and classes.

    One of which a shape reaches far beyond the picture is `Unreadable` where the file doesn't say
    how large that was: the other shapes would lie elsewhere too.
    """
    drawn = [shape for shape in record.shapes if shape.kind != "tag"]
    far = sum(fit.is_far(shape) for shape in drawn)
    found.marks, found.far = found.marks + len(drawn), found.far + far
    found.crossed += sum(not fit.is_far(shape, is_crossed=True) for shape in drawn)
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
    for shape in drawn:
        found.slips.one_side.add(ends_of(shape), record.name, fit.given, fit.size)
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
