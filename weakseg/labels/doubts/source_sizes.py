"""Whether one source draws far larger, or smaller, than others do for the same classes.

An annotator who boxes nearly the whole picture, or half of each object, looks right alone.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from math import exp, log

import numpy as np

from weakseg.labels.doubts.one_size import KINDS
from weakseg.labels.fitting import ends_of
from weakseg.labels.formats.geometry import box_of
from weakseg.labels.formats.records import Shape
from weakseg.labels.store import Given

FEWEST = 6  # pictures of a source, and of all others
# By which factor areas differ, and by how many standard errors, before it is told.
FACTOR, ERRORS = 2.0, 5.0
TINY = 1e-9  # share of a picture that something without an area covers
SPREAD = 0.2  # of logarithms of areas, the least that pictures are taken to have

Class = tuple[str, str]  # kind of shapes, and class
Sizes = Mapping[str, Mapping[str, float]]  # {source: {picture: logarithm of an area}}


def source_size_lines(given: Mapping[str, Mapping[str, Given]]) -> Iterator[str]:
    """Yield a line for each source that draws larger or smaller than all others, kind by kind.

    given: of `Store.given`
    """
    for kind, sizes in sizes_of_sources(given).items():
        drawn = {source: [*own.values()] for source, own in sizes.items() if len(own) >= FEWEST}
        for source, own in drawn.items():
            others = [one for other, one in drawn.items() if other != source]
            if others and (
                all(is_larger(own, one) for one in others)
                or all(is_larger(one, own) for one in others)
            ):
                factor = exp(np.mean(own) - np.mean([*chain(*others)]))
                words = f"{factor:.1f} times" if factor > 1 else f"{100 * factor:.0f} % of"
                yield (
                    f"{source}: its {kind} cover {words} the area that others give the same "
                    f"classes, in {len(own)} pictures, the first {next(iter(sizes[source]))}; look "
                    "whether its pictures show them so"
                )
                break


def sizes_of_sources(given: Mapping[str, Mapping[str, Given]]) -> dict[str, Sizes]:
    """Return {kind of shapes: {source: {picture: how large its shapes are, as a logarithm}}}.

    It is the area of the box around a shape, as a share of the picture's, beside the mean of its
    class; of the classes that several sources draw.
    """
    rows = [
        (KINDS[shape.kind], shape.label, source, picture, log(share_of(shape, one.size)))
        for picture, sources in given.items()
        for source, one in sources.items()
        for shape in one.shapes.values()
        if one.size and shape.label and shape.kind in KINDS
    ]
    of_class, drawers = defaultdict[Class, list[float]](list), defaultdict[Class, set[str]](set)
    for kind, label, source, _, area in rows:
        of_class[kind, label].append(area)
        drawers[kind, label].add(source)
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for kind, label, source, picture, area in rows:
        if len(drawers[kind, label]) > 1:
            own = found.setdefault(kind, {}).setdefault(source, {}).setdefault(picture, [])
            own.append(area - float(np.mean(of_class[kind, label])))
    return {
        kind: {
            source: {picture: float(np.mean(areas)) for picture, areas in own.items()}
            for source, own in sources.items()
        }
        for kind, sources in found.items()
    }


def share_of(shape: Shape, size: tuple[int, int]) -> float:
    """Return which share of a picture of (width, height) the box around a shape covers."""
    left, top, right, bottom = box_of(ends_of(shape))
    return max((right - left) * (bottom - top) / (size[0] * size[1]), TINY)


def is_larger(own: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether logarithms of areas are larger by the factor, and by more than chance."""
    errors = sum(max(float(np.var(one, ddof=1)), SPREAD**2) / len(one) for one in (own, other))
    more = float(np.mean(own)) - float(np.mean(other))
    return more >= max(log(FACTOR), ERRORS * errors**0.5)
