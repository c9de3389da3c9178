"""Which lists of a picture hold all objects, in files of tools that have no word for it.

Our exports note it under a name of our own, which the tools pass over. Without it whoever reads an
export again would take a list of some polygons for one of all.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from weakseg.labels.formats.records import SIGNAL, PictureRecord, Shape
from weakseg.labels.signals import SIGNALS

KEY = "weakseg_complete"  # kinds of label, in XML with a blank between them


def noted_in(value: Any) -> tuple[str, ...] | None:
    """Return the kinds that a note names; None of what is no note of ours."""
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not all(word in SIGNALS for word in words):
        return None
    return tuple(words)


def note_of(record: PictureRecord, written: Collection[Shape]) -> list[str] | None:
    """Return the kinds to note of a picture; None of one that nothing is told of.

    written: the shapes that the format has a word for; a list that lost one is no longer complete
    """
    if record.noted is None:
        return None
    kept = {id(shape) for shape in written}
    lost = {SIGNAL[shape.kind] for shape in record.shapes if id(shape) not in kept}
    shown = {SIGNAL[shape.kind] for shape in written}
    is_empty = not record.shapes
    note = [k for k in record.noted if k not in lost and (is_empty or k in shown)]
    return note if note or written else None


def as_key(note: list[str] | None) -> dict[str, list[str]]:
    """Return what an entry of a JSON file has of a note."""
    return {} if note is None else {KEY: note}


def unnoted_lines(records: Sequence[PictureRecord], title: str) -> Iterator[str]:
    """Yield a line where an import would guess wrongly, since a format can't note it, if any."""
    all_of: dict[str, list[bool]] = {}
    for record in (one for one in records if one.noted is not None):
        for kind in {SIGNAL[shape.kind] for shape in record.shapes} & {"full", "boxes"}:
            all_of.setdefault(kind, []).append(kind in (record.noted or ()))
    whole = [kind for kind, told in sorted(all_of.items()) if all(told)]
    if all(all(told) == (kind == "full") and len({*told}) == 1 for kind, told in all_of.items()):
        return
    parts = (f"{kind} in {sum(told)} of {len(told)}" for kind, told in sorted(all_of.items()))
    yield (
        f"{title} has no word for which lists hold all objects (here {', '.join(parts)} pictures); "
        f"import it with --complete {' '.join(whole) or 'none'}"
    )
