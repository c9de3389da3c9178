"""How far people agree: the pixels that two of them were asked about, and what each said."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations

from weakseg.labels.answers import pixel_of
from weakseg.labels.store import Given

Pixel = tuple[str, int, int]  # id of a picture, column, row


def answers_by_person(
    given: Mapping[str, Mapping[str, Given]],
) -> dict[str, dict[Pixel, str | None]]:
    """Return {person: {pixel: class, None where they can't tell}}; given: of `Store.given`.

    Who has no name is called as the source is.
    """
    told: dict[str, dict[Pixel, str | None]] = {}
    for picture, sources in sorted(given.items()):
        for source, one in sources.items():
            for shape in one.shapes.values():
                if shape.kind == "answer":
                    who = (shape.origin and shape.origin.annotator) or source
                    told.setdefault(who, {})[picture, *pixel_of(shape.geometry)] = shape.label
    return told


def agreement_lines(given: Mapping[str, Mapping[str, Given]]) -> Iterator[str]:
    """Yield a line on each two people who answered common questions; given: of `Store.given`."""
    for (one, mine), (other, theirs) in combinations(answers_by_person(given).items(), 2):
        pairs = [(mine[pixel], theirs[pixel]) for pixel in mine.keys() & theirs.keys()]
        named = [pair for pair in pairs if None not in pair]
        if not pairs:
            continue
        alike = sum(a == b for a, b in named)
        share = f", {100 * alike / len(named):.0f} %" if named else ""
        line = f"{one} and {other} agree on {alike} of {len(named)} common questions{share}"
        if len(named) < len(pairs):
            line += f"; {len(pairs) - len(named)} that one of them can't tell are left out"
        apart = Counter(pair for pair in named if pair[0] != pair[1])
        if apart:
            (a, b), number = min(apart.items(), key=lambda row: (-row[1], row[0]))
            line += f"; most often apart: {a} for {one}, {b} for {other} ({number})"
        yield line
