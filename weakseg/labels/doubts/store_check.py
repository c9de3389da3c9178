"""What stands in a store, counted, and what of it looks like a mistake."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np

from weakseg.data.contents import content_of
from weakseg.data.image_io import image_size
from weakseg.labels.agreement import WHOLE, passed_pixels
from weakseg.labels.carried import SAME_BOX, Carried, label_record
from weakseg.labels.checks import Picture
from weakseg.labels.doubts.closed_strokes import ClosedStrokes
from weakseg.labels.doubts.copied_photographs import KINDS, copy_notes
from weakseg.labels.doubts.copied_shapes import Drawn, copied_lines
from weakseg.labels.doubts.rectangles import Rectangles
from weakseg.labels.doubts.tag_words import tag_lines
from weakseg.labels.formats.geometry import overlap, twofold
from weakseg.labels.formats.records import AREAS, SIGNAL, Classes, Shape
from weakseg.labels.label_record import read_record
from weakseg.labels.matching import Pictures
from weakseg.labels.naming import alike_lines
from weakseg.labels.seen_photographs import changed_photographs, held_by_source, noted_photographs
from weakseg.labels.store import Given, Store
from weakseg.labels.store_labels import refuse_two_sizes
from weakseg.validation import shorten

TINY, MUCH = 4, 10  # pixels of a box's shorter side; how much larger others are than a slip
OTHERS = 75  # percentile of the sides of boxes that are to be so large
BORDER = 1.0  # pixels: a click as near to the picture's edge may be a slip
SHOWN = 5  # pictures that a line names
FEWEST, MANY = 3, 0.2  # oddly placed shapes, and their share of a kind, that an import tells


def summary(
    carried: Mapping[str, Carried], lacking: Mapping[str, Collection[str]]
) -> Iterator[str]:
    """Yield lines: pictures, shapes and pictures of each kind, and seconds.

    lacking: {kind: ids of the pictures whose complete list lacks an object, so that it is none}
    """
    shapes: Counter[str] = Counter()
    pictures: Counter[str] = Counter()
    complete: Counter[str] = Counter()
    for one in carried.values():
        kinds = [SIGNAL.get(shape.kind, shape.kind) for shape in one.shapes]
        shapes.update(kinds)
        pictures.update(set(kinds))
        complete.update(one.complete)
    labelled = sum(bool(one.signals) for one in carried.values())
    yield f"{len(carried)} pictures, {labelled} of them labelled"
    for kind in sorted(shapes | complete):
        lists = complete[kind] - len(lacking.get(kind, ()))
        whole = f", the list of {lists} complete" if complete[kind] else ""
        yield f"{kind}: {shapes[kind]} in {pictures[kind]} pictures{whole}"
    timed = [one.seconds for one in carried.values() if one.seconds is not None]
    if timed:
        yield f"seconds: {sum(timed):.0f}, measured in {len(timed)} pictures"
    several = sum(one.sources > 1 for one in carried.values())
    if several:
        same = sum(one.same for one in carried.values())
        yield (
            f"{several} pictures have several sources: what they drew holds together, {same} "
            "shapes that two of them drew alike count once"
        )


def beside(carried: Mapping[str, Carried], pictures: Pictures) -> Iterator[str]:
    """Yield lines on a store and the photographs that it is said to be of."""
    strays = sorted(k for k, one in carried.items() if one.signals and k not in pictures.files)
    if strays:
        where = f"not in {pictures.folder}, the first is {strays[0]}"
        yield f"{len(strays)} labelled pictures are {where}"
    yield from resized_lines(carried, pictures)
    bare = [key for key in pictures.files if key not in carried or not carried[key].signals]
    first = f", the first is {bare[0]}" if bare else ""
    yield f"{len(bare)} of {len(pictures.files)} pictures of {pictures.folder} have no label{first}"


def beside_by_source(
    folder: object,
    store: Store,
    given: Mapping[str, Mapping[str, Given]],
    carried: Mapping[str, Carried],
    pictures: Pictures,
) -> Iterator[str]:
    """Yield lines on the photographs that sources labelled, and on those under two names.

    folder: of the store; given: of `Store.given`; carried: what each of its pictures carries
    """
    there, classes = {k: one for k, one in given.items() if k in pictures.files}, store.classes()
    yield from changed_lines(folder, store, there, pictures)
    shapes = (shape for key in there for shape in carried[key].shapes)
    tags = dict.fromkeys(shape.label or "" for shape in shapes if shape.kind == "tag")
    names = [*classes.names], [*tags], classes.has_background

    def labels_of(key: str) -> dict[str, Any]:
        record = label_record(carried[key], *names)
        size = carried[key].size or image_size(pictures.files[key])
        return read_record(record, Picture(size, *names, in_pixels=True), KINDS)

    paths = {key: pictures.files[key] for key in there if carried[key].signals}
    yield from copy_notes(folder, paths, labels_of, names)


def changed_lines(
    folder: object, store: Store, given: Mapping[str, Mapping[str, Given]], pictures: Pictures
) -> Iterator[str]:
    """Yield a line a source of which photographs are others than it labelled.

    folder: of the store; given: of `Store.given`
    """
    there = {key: one for key, one in given.items() if key in pictures.files}

    def contents_of(keys: Collection[str]) -> dict[str, str]:
        return {key: content_of(pictures.files[key], is_whole=False) for key in sorted(keys)}

    held = held_by_source(noted_photographs(store), there)
    yield from changed_photographs(folder, held, contents_of)


def two_sizes(given: Mapping[str, Mapping[str, Given]]) -> Iterator[str]:
    """Yield a line where sources labelled photographs of two sizes under one name.

    given: of `Store.given`
    """
    faults = {}
    for key, sources in given.items():
        try:
            refuse_two_sizes(sources)
        except ValueError as error:
            faults[key] = str(error)
    if faults:
        key, fault = next(iter(faults.items()))
        yield f"suspicious: {len(faults)} pictures were labelled at two sizes: {key}: {fault}"


def resized_lines(carried: Mapping[str, Carried], pictures: Pictures) -> Iterator[str]:
    """Yield a line where pictures have another size than they were labelled at."""
    other = resized(carried, pictures)
    if other:
        yield (
            f"{len(other)} pictures of {pictures.folder} have another size than they were labelled "
            f"at, the first is {other[0]}; scale their labels, or draw them anew"
        )


def resized(carried: Mapping[str, Carried], pictures: Pictures) -> list[str]:
    """Return the ids of pictures whose size is not the one that they were labelled at."""
    there = {key: one.size for key, one in carried.items() if key in pictures.files and one.size}
    return [key for key, size in there.items() if image_size(pictures.files[key]) != size]


def class_lines(carried: Mapping[str, Carried], classes: Classes) -> Iterator[str]:
    """Yield a line for each class: how many shapes of each kind, and in how many pictures."""
    shapes: dict[str, Counter[str]] = defaultdict(Counter)
    pictures: Counter[str] = Counter()
    for one in carried.values():
        for shape in one.shapes:
            shapes[shape.label or "(of no class)"][SIGNAL.get(shape.kind, shape.kind)] += 1
        pictures.update({shape.label or "(of no class)" for shape in one.shapes})
    for name in dict.fromkeys([*classes.names, *shapes]):
        told = ", ".join(f"{number} {kind}" for kind, number in sorted(shapes[name].items()))
        yield f"class {name}: {told or 'nothing'} in {pictures[name]} pictures"


def shapes_by_class(carried: Mapping[str, Carried]) -> dict[str, int]:
    """Return {class: number of its shapes}, the rarest, which may be slips, first."""
    labels = (shape.label for one in carried.values() for shape in one.shapes if shape.label)
    shapes = sorted((number, name) for name, number in Counter(labels).items())
    return {name: number for number, name in shapes}


def counted_classes(carried: Mapping[str, Carried]) -> Iterator[str]:
    """Yield a line on how many shapes each class has."""
    shapes = shapes_by_class(carried)
    if shapes:
        told = ", ".join(f"{name} {number}" for name, number in shapes.items())
        yield f"classes: {shorten(told, 200)}"


def name_lines(carried: Mapping[str, Carried], known: Collection[str]) -> Iterator[str]:
    """Yield lines on names of classes that look like slips; known: those that somebody listed."""
    shapes = shapes_by_class(carried)
    placed = {
        shape.label for one in carried.values() for shape in one.shapes if shape.kind != "tag"
    }
    yield from alike_lines(shapes, known)
    yield from tag_lines([name for name in shapes if name not in placed], [*shapes], known)


def suspicious(
    carried: Mapping[str, Carried], classes: Classes, files: Mapping[str, Path]
) -> Iterator[str]:
    """Yield a line for each kind of label that looks like a mistake, with the first pictures.

    files: {id: photograph} of those that are there
    """
    found: dict[str, list[str]] = defaultdict(list)
    seen: dict[str, list[str]] = defaultdict(list)
    background = classes.names[0] if classes.names and classes.has_background else None
    for key, one in carried.items():
        clicked: dict[tuple[int, ...], str | None] = {}
        for shape in one.shapes:
            if shape.kind in ("box", "outline") and shape.label in (None, background):
                found["boxes of the background, or of no class"].append(key)
            if shape.kind == "click" and shape.label:
                pixel = tuple(map(int, shape.geometry))
                if clicked.setdefault(pixel, shape.label) != shape.label:
                    found["clicks of two classes on one pixel"].append(key)
            if shape.label:
                seen[shape.label].append(key)
            fault = misplaced(shape, one.size)
            if fault:
                found[fault].append(key)
        for fault in two_classes(one):
            found[fault].append(key)
        if one.disputed:
            found["pictures that one source calls empty and another does not"].append(key)
    for label, keys in seen.items():
        if len(keys) == 1:
            found["classes that appear once"].append(f"{label} ({keys[0]})")
    for fault, keys in sorted(found.items()):
        names = list(dict.fromkeys(keys))
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        yield f"suspicious: {len(keys)} {fault}: {', '.join(names[:SHOWN])}{more}"
    strokes, rectangles = ClosedStrokes(), Rectangles()
    for key, one in carried.items():
        for shape in one.shapes:
            strokes.add(shape, key)
            if one.size:
                rectangles.add(shape, one.size)
    drawn = {key: (one.shapes, one.size) for key, one in carried.items() if one.size}
    found_of_all = tiny_lines(drawn), copied_lines(drawn, files)
    lines = chain(strokes.lines(), rectangles.lines(), *found_of_all)
    yield from (f"suspicious: {line}" for line in lines)


def misplaced(shape: Shape, size: tuple[int, int] | None) -> str | None:
    """Return what is odd of where a shape lies in a picture of (width, height), in words."""
    if shape.kind == "box" and size:
        left, top, right, bottom = shape.geometry
        if (right - left) * (bottom - top) >= WHOLE * size[0] * size[1]:
            return "boxes of the whole picture"
    if shape.kind == "click" and size:
        sides = zip(shape.geometry, size, strict=True)
        if any(min(at, side - at) < BORDER for at, side in sides):
            return "clicks on the border of the picture"
    return None


def placing_lines(told: Mapping[str, Given], files: Mapping[str, Path]) -> Iterator[str]:
    """Yield lines on shapes of which many lie oddly, or where another picture has them too.

    told: {id: what is said of it}; files: {id: photograph}
    """
    drawn = {key: (one.placed, one.size) for key, one in told.items() if one.size}
    kinds: Counter[str] = Counter()
    faults: Counter[tuple[str, str]] = Counter()
    for shapes, size in drawn.values():
        kinds.update(shape.kind for shape in shapes)
        found = ((shape.kind, misplaced(shape, size)) for shape in shapes)
        faults.update((kind, fault) for kind, fault in found if fault)
    for (kind, fault), number in faults.items():
        if number >= max(FEWEST, MANY * kinds[kind]):
            yield f"{number} {fault}, of {kinds[kind]} in all; labels.py show draws them"
    yield from tiny_lines(drawn)
    yield from copied_lines(drawn, files)


def tiny_lines(drawn: Drawn) -> Iterator[str]:
    """Yield a line on boxes that are far smaller than others, as slips of the mouse are, if any.

    drawn: {id: its shapes, (width, height)}
    """
    sides = [
        (min(right - left, bottom - top), key)
        for key, (shapes, _) in drawn.items()
        for left, top, right, bottom in (one.geometry for one in shapes if one.kind == "box")
    ]
    tiny = [key for side, key in sides if side < TINY]
    if len(tiny) >= FEWEST and np.percentile([side for side, _ in sides], OTHERS) >= MUCH * TINY:
        yield (
            f"{len(tiny)} of {len(sides)} boxes are less than {TINY} pixels wide or high, the "
            f"first in {tiny[0]}, and others are far larger; where they are slips, remove them"
        )


def two_classes(one: Carried) -> Iterator[str]:
    """Yield what of a picture is of two classes in one place, in words, each kind once."""
    boxes = [shape for shape in one.shapes if shape.kind == "box"]
    if any(
        a.label != b.label and overlap(a.geometry, b.geometry) >= SAME_BOX
        for a, b in combinations(boxes, 2)
    ):
        yield "boxes of two classes around one thing"
    if not one.size:
        return
    size = one.size
    if twofold([shape for shape in one.shapes if shape.kind in AREAS], size):
        yield "polygons or masks of two classes on the same pixels"
    strokes = [shape for shape in one.shapes if shape.kind == "stroke"]
    if any(a.label != b.label and cross(a, b, size) for a, b in combinations(strokes, 2)):
        yield "strokes of two classes that cross"
    clicks = [shape for shape in one.shapes if shape.kind == "click"]
    passed = [(shape.label, passed_pixels(shape.geometry["path"])) for shape in strokes if clicks]
    if any(
        click.label != label and (*map(int, click.geometry),) in pixels
        for click in clicks
        for label, pixels in passed
    ):
        yield "clicks on a stroke of another class"


def cross(one: Shape, other: Shape, size: tuple[int, int]) -> bool:
    """Return whether the middles of two strokes meet in a picture of (width, height)."""
    import cv2

    drawn = []
    for stroke, width in ((one, 1), (other, 2)):
        canvas = np.zeros(size[::-1], np.uint8)
        path = np.array(stroke.geometry["path"], np.int32).reshape(-1, 1, 2)
        drawn.append(cv2.polylines(canvas, [path], False, 1, width))
    return bool(np.logical_and(*drawn).any())
