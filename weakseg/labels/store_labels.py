"""Labels of a store as a label file holds them: what training, studies and prices read."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from weakseg.common import UserError
from weakseg.data.base import SegmentationDataset
from weakseg.labels.behind import counts_behind, helped_shapes, seen_shapes
from weakseg.labels.carried import label_record, merged
from weakseg.labels.doubts.lacking import lacking_lines, lists_that_lack
from weakseg.labels.doubts.two_sources import two_sources_lines
from weakseg.labels.doubts.unshown import Times, unshown_in_sources, unshown_lines
from weakseg.labels.formats.records import Classes
from weakseg.labels.label_header import header
from weakseg.labels.seen_photographs import changed_photographs, held_by_source, noted_photographs
from weakseg.labels.store import Given, opened_store


def store_content(folder: str | Path, dataset: SegmentationDataset) -> dict[str, Any]:
    """Return what a label file of the same labels would hold, see `label_file.load_labels`.

    Its pictures are those of the data set that carry anything; the ids of others are its strays.
    Its `helped` are {id: kinds of label that a model helped with}, and what they rest on is its
    `behind`, {id: counts of actions}. Its `sources` are {id: who labelled it}.
    """
    known = {*dataset.ids("trainval"), *dataset.ids("test")}
    with opened_store(folder) as store:
        given = store.given()
        noted, seen, times = noted_photographs(store), seen_shapes(store), Times(store)
    everything = {key: merged(one) for key, one in given.items()}
    carried = {key: one for key, one in everything.items() if key in known}
    strays = [key for key, one in everything.items() if key not in known and one.signals]
    images = {}
    for key, one in carried.items():
        try:
            refuse_two_sizes(given[key])
            images[key] = label_record(
                one, dataset.class_names, dataset.tag_names, dataset.has_background
            )
        except ValueError as error:
            raise UserError(f"{folder}: {key}: {error}") from error
    if not images:
        raise UserError(
            f"{folder}: has labels of no picture of {dataset.root}; import with --images "
            f"{dataset.image_path('any').parent}"
        )
    helped = helped_shapes({key: given[key] for key in images}, seen)
    behind = {}
    if helped:
        last = max(number for own in helped.values() for number in own)
        behind = counts_behind({key: given[key] for key in images}, last, dataset)
    masks = {key: one for key, one in carried.items() if "full" in images[key]}
    head = header(dataset, 0, {}) | {"complete": False, "count": len(images)}
    here = {key: given[key] for key in images}
    held = held_by_source(noted, here)
    notes = [*changed_photographs(folder, held, dataset.image_contents)]
    classes = Classes(dataset.class_names, dataset.has_background)
    lists = lists_that_lack(carried, images, classes)
    unshown = [*two_sources_lines(here), *unshown_in_sources(here, carried, classes, times)]
    unshown += unshown_lines(carried, classes, {dataset.root: classes.objects})
    notes += [f"{folder}: {line}" for line in (*lacking_lines(lists), *unshown)]
    more = {"drawn": masks, "strays": strays, "notes": notes, "behind": behind}
    more["sources"] = who_labelled(here)
    more["helped"] = {key: {*own.values()} for key, own in helped.items()}
    return {**head, "images": images, **more}


def clicks_in_store(folder: str | Path, classes: Sequence[str]) -> dict[str, Any]:
    """Return {id: its clicks as a record of a label file} of the pictures of a store that have any.

    A click of a class that is none of `classes` is a `UserError`.
    """
    with opened_store(folder) as store:
        given = store.given()
    records: dict[str, Any] = {}
    for key, sources in given.items():
        one = merged(sources)
        clicks = tuple(shape for shape in one.shapes if shape.kind == "click" and shape.label)
        if clicks:
            try:
                refuse_two_sizes(sources)
                own = label_record(replace(one, shapes=clicks), classes, classes, False)
            except ValueError as error:
                raise UserError(f"{folder}: {key}: {error}") from error
            records[key] = {name: own[name] for name in ("size", "points") if name in own}
    return records


def who_labelled(given: Mapping[str, Mapping[str, Given]]) -> dict[str, tuple[str, ...]]:
    """Return {id: who labelled it}: annotators, where several are told apart, or else sources."""
    labelled = {
        key: {name: one.annotator for name, one in sources.items() if one.shapes or one.complete}
        for key, sources in given.items()
    }
    people = {person for sources in labelled.values() for person in sources.values() if person}
    by_person = len(people) > 1
    return {
        key: tuple(sorted({(by_person and person) or name for name, person in sources.items()}))
        for key, sources in labelled.items()
    }


def refuse_two_sizes(sources: Mapping[str, Given]) -> None:
    """Raise a `ValueError` where sources set places on the photograph of a picture at two sizes.

    One of them is of another photograph than the one that is there.
    """
    told = {one.size: name for name, one in sources.items() if one.size and one.placed}
    if len(told) > 1:
        sizes = " and ".join(f"{name} at {size[0]}x{size[1]}" for size, name in told.items())
        raise ValueError(
            f"its labels are of photographs of two sizes, {sizes}; import those of the other size "
            "again, scaled"
        )
