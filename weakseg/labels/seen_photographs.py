"""Which photographs people's labels were given on, so that others of the same names are told.

A store has an event of the act `ACT` for a photograph that a source has labels of: its geometry is
what the file held, by a hash. The latest one of a picture and a source holds.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from math import inf
from pathlib import Path

from weakseg.data.contents import content_of
from weakseg.data.reading import counted
from weakseg.labels.store import Event, Given, Store

ACT = "photograph"
Held = dict[str, str]  # {picture: what its photograph held}
Notes = dict[str, dict[int, tuple[str, str]]]  # {picture: {event: (source, what it held)}}


def note_photographs(
    store: Store, source: str, paths: Mapping[str, Path], before: Mapping[str, str] = {}
) -> None:
    """Append what the photographs of some pictures hold, where it isn't known yet.

    source: whose labels they have; paths: {picture: file}; before: {picture: what its photograph
    held when it was labelled}, which is noted instead, but for who imports such labels again: they
    still fit
    """
    known = {key: dict(one.values()).get(source) for key, one in noted_photographs(store).items()}
    held = {key: content_of(path, is_whole=False) for key, path in paths.items()}
    held |= {key: text for key, text in before.items() if known.get(key) is None}
    store.append(
        Event(source, key, ACT, geometry=text)
        for key, text in sorted(held.items())
        if known.get(key) != text
    )


def noted_photographs(store: Store) -> Notes:
    """Return what photographs held when labels came, as far as a store says it, oldest first."""
    notes: Notes = defaultdict(dict)
    for event, _, one in store.events(ACT):
        if isinstance(one.geometry, str):
            notes[one.picture][event] = one.source, one.geometry
    return dict(notes)


def held_by_source(notes: Notes, given: Mapping[str, Mapping[str, Given]]) -> dict[str, Held]:
    """Return {source: {picture: what its photograph held}} where the source has labels of it.

    given: of `Store.given`. A source without a note of its own has the one of others that was the
    last when its last shape came: a note may have been left out where the content was known.
    """
    held: dict[str, Held] = defaultdict(dict)
    for key in (key for key in given if key in notes):
        for source, one in given[key].items():
            own = [text for of, text in notes[key].values() if of == source]
            last = max(one.shapes, default=inf)
            before = [text for event, (_, text) in notes[key].items() if event < last]
            if (one.shapes or one.complete) and (own or before):
                held[source][key] = (own or before)[-1]
    return dict(held)


def changed_in_store(
    folder: object, store: Store, contents_of: Callable[[Collection[str]], Held], there: set[str]
) -> list[str]:
    """Return `changed_photographs` of a whole store; there: the pictures that are there."""
    given = {key: one for key, one in store.given().items() if key in there}
    return changed_photographs(folder, held_by_source(noted_photographs(store), given), contents_of)


def changed_photographs(
    folder: object, held: Mapping[str, Held], contents_of: Callable[[Collection[str]], Held]
) -> list[str]:
    """Return a line a source of which photographs are others than it labelled.

    folder: of the store; held: of `held_by_source`, of pictures that are there; contents_of:
    returns {id: what its photograph holds now}
    """
    now = contents_of({key for one in held.values() for key in one})
    lines = []
    for source, noted in held.items():
        changed = [name for name in now if name in noted and now[name] != noted[name]]
        if changed:
            lines.append(
                f"{folder}: {counted(len(changed), 'photograph')} changed since the labels of "
                f"{source} were given, the first {changed[0]}; where they still fit, import them "
                "again, or save them again on the page"
            )
    return lines
