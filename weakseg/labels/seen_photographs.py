"""Which photographs people's labels were given on, so that others of the same names are told.

A store has an event of the act `ACT` for a photograph: its geometry is what the file held, by a
hash. The latest one of a picture holds.
"""

from collections.abc import Mapping
from pathlib import Path

from weakseg.data.base import SegmentationDataset
from weakseg.data.contents import content_of
from weakseg.data.reading import counted
from weakseg.labels.store import Event, Store

ACT = "photograph"


def note_photographs(store: Store, source: str, paths: Mapping[str, Path]) -> None:
    """Append what the photographs of some pictures hold, where it isn't known yet.

    source: whose labels they have; paths: {picture: file}
    """
    known = noted_photographs(store)
    held = {key: content_of(path, is_whole=False) for key, path in paths.items()}
    store.append(
        Event(source, key, ACT, geometry=text)
        for key, text in sorted(held.items())
        if known.get(key) != text
    )


def noted_photographs(store: Store) -> dict[str, str]:
    """Return {picture: what its photograph held} as far as a store says it."""
    events = (event for _, _, event in store.events(ACT))
    return {one.picture: one.geometry for one in events if isinstance(one.geometry, str)}


def changed_photographs(
    folder: object, dataset: SegmentationDataset, noted: Mapping[str, str]
) -> list[str]:
    """Return a line where photographs of a data set are others than those that were labelled.

    folder: of the store; noted: of `noted_photographs`, of pictures of the data set
    """
    now = dataset.image_contents(noted)
    changed = [name for name in now if now[name] != noted[name]]
    if not changed:
        return []
    return [
        f"{folder}: {counted(len(changed), 'photograph')} changed since the labels were imported, "
        f"the first {changed[0]}; where they still fit, import them again"
    ]
