"""What labels rest on that a model helped with: the labels that it had learned from.

Nobody outlines a mask of a model that is *accepted*: it costs the look at the picture, and the
strokes that correct it. But there would be none without the labels that came before, of whatever
kind and picture, and the same is true of a shape that corrects a prediction. So whoever learns from
such a label pays for those too.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from weakseg.common import UserError
from weakseg.data.base import SegmentationDataset
from weakseg.labels.carried import label_record, merged
from weakseg.labels.formats.records import MALFORMED, SIGNAL, Origin, Shape, whole
from weakseg.labels.signals import SIGNALS, count_actions
from weakseg.labels.store import HELPED, Event, Given, Store

Sources = Mapping[str, Mapping[str, Given]]  # {picture: {source: what it says}}


def seen_shapes(store: Store) -> set[int]:
    """Return the numbers of the shapes that were drawn with a prediction in view."""
    found: set[int] = set()
    last: dict[tuple[str, str], list[int]] = {}  # shapes of a source and picture since its save
    for number, _, event in store.events("shape", "drawn", HELPED):
        if event.act == HELPED:
            found |= numbers_in(store, number, event)
            continue
        numbers = last.setdefault((event.source, event.picture), [])
        if event.act == "shape":
            numbers.append(number)
            found |= {number} if event.replaced in found else set()  # its class was renamed
            continue
        try:
            told = [one.get("prediction") is True for one in event.geometry["shapes"]]
            found |= {n for n, is_seen in zip(numbers[::-1], told[::-1], strict=False) if is_seen}
        except MALFORMED as error:
            raise UserError(
                f"{store.path}: event {number} is not of the documented form ({error!r})"
            ) from error
        numbers.clear()
    return found


def numbers_in(store: Store, number: int, event: Event) -> set[int]:
    """Return the numbers of shapes that an event names; others are a `UserError`."""
    try:
        return {whole(one) for one in event.geometry}
    except MALFORMED as error:
        raise UserError(
            f"{store.path}: event {number} is not of the documented form ({error!r})"
        ) from error


def with_help(given: Sources, seen: set[int]) -> dict[str, dict[str, Given]]:
    """Return what sources say, where each shape knows whether a prediction was in view.

    seen: numbers of the shapes of which that is so
    """

    def told(shape: Shape) -> Shape:
        helped = bool(shape.origin and shape.origin.number in seen)
        return replace(shape, origin=replace(shape.origin or Origin(), helped=helped))

    return {
        picture: {
            source: replace(one, shapes={n: told(shape) for n, shape in one.shapes.items()})
            for source, one in sources.items()
        }
        for picture, sources in given.items()
    }


def helped_shapes(given: Sources, seen: set[int]) -> dict[str, dict[int, str]]:
    """Return {picture: {number: kind of label}} of the shapes that a model helped with.

    seen: numbers of those that were drawn with a prediction in view
    """
    return {
        picture: own
        for picture, sources in given.items()
        for own in [
            {
                number: SIGNAL[shape.kind]
                for one in sources.values()
                for number, shape in one.shapes.items()
                if number in seen or shape.is_of_model
            }
        ]
        if own
    }


def before(sources: Mapping[str, Given], number: int) -> dict[str, Given]:
    """Return what sources said of a picture before an event of the store, of what still holds."""
    return {
        name: Given({n: shape for n, shape in one.shapes.items() if n < number}, one.size)
        for name, one in sources.items()
    }


def counts_behind(given: Sources, number: int, dataset: SegmentationDataset) -> dict[str, Any]:
    """Return {id: {signal: {action: number}}}: what people did before an event of the store."""
    classes, found = len(dataset.object_names), {}
    for name, sources in given.items():
        earlier = merged(before(sources, number))
        if earlier.shapes:
            words = dataset.class_names, dataset.tag_names, dataset.has_background
            record = label_record(earlier, *words)
            found[name] = count_actions(record, SIGNALS, classes, dataset.has_background)
    return found
