"""Labels that fit their photographs better in another position: mirrored, moved, a neighbour's.

Each position is one that a slip of a tool, a script or a list gives to all labels, or to those of
some photographs. For each of them a linear head learns from half of the photographs, in turn, and
says how likely it finds the classes at the labelled places of the rest. Right labels are the
likeliest where they are.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from weakseg.common import IGNORE, evenly, stable_seed
from weakseg.data.base import SegmentationDataset
from weakseg.data.doubts.misplaced import student
from weakseg.labels.outlines import draw_outlines
from weakseg.labels.pixels import (
    Pixels,
    joined,
    pixels_of_mask,
    pixels_of_points,
    pixels_of_scribbles,
)
from weakseg.labels.signals import is_closed, kinds_of
from weakseg.labels.targets import View, draw_boxes
from weakseg.labels.training_labels import TrainingLabels
from weakseg.learners.held_out import held_out_chances
from weakseg.learners.penalty import folds_of
from weakseg.learners.probe import Standard
from weakseg.training.agreement import NAMED, percent
from weakseg.training.cross_validation import PENALTY, TOLERANCE
from weakseg.training.probe_evidence import FeaturesOf, FitSettings

FEWEST, MOST = 12, 40  # photographs that are looked at
PARTS = 2  # of the photographs, each of which is looked at by a head of the rest
EACH = 48  # places in each of them
SIDE = 128  # pixels of the squares in which boxes and outlines are drawn
CORE = 0.6  # of a box's sides: what lies in its middle nearly always is object
# Student's t of the best other position is below 3.6 for right labels of four data sets, any
# kind, and mostly from 4 to 25 for wrong ones, but once 4.8 where each has few places; and by how
# much likelier that position must be.
CERTAIN, CLEAR, CLEAR_WITH_FEW = 4.0, 0.01, 0.03
# Some photographs are told where a fifth of them, and five, gain as much: of right labels this
# fifth gains up to 0.033 in 222 cases, and up to 0.078 where each has a few places. Labels of other
# photographs gain in many positions alike: the best is at most 1.45 times as good as the next.
PART, FEWEST_OF_PART, FEW_PLACES = 5, 5, 24
CLEAR_OF_PART, CLEAR_OF_FEW, DISTINCT = 0.045, 0.11, 2.0
EVERYWHERE = (np.mgrid[:5, :5].reshape(2, -1).T + 0.5) / 5  # places that make features standard
PLACES = ("points", "scribbles", "boxes", "outlines", "full")  # the kinds that name places

Move = Callable[[np.ndarray, float], np.ndarray]  # (places [N, 2], width / height) -> places


class Position(NamedTuple):
    """Where labels may belong instead.

    words  what they seem to be
    move   of places in shares of a photograph's sides, from where they are to where they belong
    step   how many names on, in order, the photograph is whose labels these should be
    """

    words: str
    move: Move = lambda places, _: places
    step: int = 0


def moved(x: float, y: float) -> Position:
    """Return the position of labels that lie too far to one side, by shares of the sides."""
    side = "right" if x > 0 else "left" if x < 0 else "low" if y > 0 else "high"
    away = f"they fit better {percent(abs(x or y))} of the {'width' if x else 'height'} away"
    return Position(f"too {'far ' if x else ''}{side} ({away})", lambda places, _: places - [x, y])


def scaled(factor: float) -> Position:
    """Return the position of labels of a copy whose sides are `factor` times as long."""
    words = f"drawn on {'smaller' if factor < 1 else 'larger'} copies"
    return Position(words, lambda places, _: places / factor)


def neighbour(step: int) -> Position:
    """Return the position of labels that belong some names before, or behind."""
    how = "by name" if abs(step) == 1 else f"{abs(step)} names away"
    return Position(
        f"those of the photograph {'before' if step > 0 else 'behind'}, {how}", step=step
    )


GIVEN = Position("where they are")
SLIGHT, FAR = (
    tuple(moved(*way) for sign in (1, -1) for way in ((sign * share, 0), (0, sign * share)))
    for share in (0.04, 0.12)
)
POSITIONS = (
    Position("mirrored", lambda places, _: places * [-1, 1] + [1, 0]),
    Position("upside down", lambda places, _: places * [1, -1] + [0, 1]),
    Position("turned by half", lambda places, _: 1 - places),
    Position("turned by a quarter", lambda places, _: places[:, ::-1] * [1, -1] + [0, 1]),
    Position("turned by a quarter", lambda places, _: places[:, ::-1] * [-1, 1] + [1, 0]),
    Position(
        "written with x and y exchanged", lambda places, shape: places[:, ::-1] * [1 / shape, shape]
    ),
    *map(scaled, (0.6, 1.5)),
    *SLIGHT,
    *FAR,
    *map(neighbour, (1, -1, 2, -2)),
)


class Marks(NamedTuple):
    """Labelled places of a photograph [N, 2], in shares of its sides, and their classes [N]."""

    places: np.ndarray
    classes: np.ndarray


def position_lines(
    run: FitSettings,
    dataset: SegmentationDataset,
    labels: TrainingLabels,
    features: FeaturesOf,
    are_classes_told: bool = True,
) -> Iterator[str]:
    """Yield a line where labels fit far better in another position.

    are_classes_told: whether a model tells all classes; else it says nothing of some photographs,
        since labels that it doubts seem to be better anywhere

    Tags name no place, and a machine chose those of answers: of these alone nothing is said.
    """
    kinds = [kind for kind in run.signals if kind in PLACES]
    known = [name for name in labels.train_ids if {*kinds_of(labels[name], run.signals)} & {*kinds}]
    chosen = evenly(range(len(known)), MOST)
    if len(chosen) < FEWEST:
        return

    @cache
    def marks(place: int) -> Marks:
        name = known[place % len(known)]
        rng = np.random.default_rng(stable_seed(run.seed, "positions", name))
        return marks_of(dataset, name, labels[name], kinds, rng)

    maps = [features(dataset.photograph(known[place])) for place in chosen]
    standard = Standard.of(np.concatenate([one.at(EVERYWHERE * one.size) for one in maps]))

    def likelihoods(position: Position) -> np.ndarray:
        told = [marks(place + position.step) for place in chosen]
        places = [
            position.move(one.places, seen.size[0] / seen.size[1]).clip(0, 1) * seen.size
            for one, seen in zip(told, maps, strict=True)
        ]
        x = [standard(seen.at(one)) for one, seen in zip(places, maps, strict=True)]
        told_classes = [one.classes for one in told]
        return likely(x, told_classes, len(dataset.class_names), dataset.has_background, run.seed)

    given = likelihoods(GIVEN)
    if np.isnan(given).all():  # others show no other class
        return
    # Marks may lie to one side within things, and a model finds their middles the likeliest.
    slight = SLIGHT if {*kinds} <= {"points", "scribbles"} else ()
    tried = [position for position in POSITIONS if position not in slight]
    gains = {position: likelihoods(position) - given for position in tried}
    names = [known[place] for place in chosen]
    places = float(np.median([len(marks(place).places) for place in chosen]))
    told = [*lines_of_all(gains, given, places)]
    if not told and are_classes_told:
        told = [*lines_of_some(gains, names, places)]
    yield from told


def lines_of_all(
    gains: Mapping[Position, np.ndarray], given: np.ndarray, places: float
) -> Iterator[str]:
    """Yield a line where the labels of all photographs belong in another position.

    gains: {position: how much likelier the labels of each photograph are there [I]}, than where
        they are, `given` [I]; NaN where that isn't known
    places: labelled ones in a usual photograph
    """
    least = CLEAR_WITH_FEW if places < FEW_PLACES else CLEAR
    sure = {position: student(own[~np.isnan(own)], FEWEST) for position, own in gains.items()}
    best = max(sure, key=sure.__getitem__)
    more, usual = float(np.nanmean(gains[best])), float(np.nanmean(given))
    if sure[best] >= CERTAIN and more >= least:
        yield (
            f"cross-validation: the labels seem to be {best.words}; a model of the other "
            f"photographs finds them {percent(usual + more)} likely where they belong then, and "
            f"{percent(usual)} where they are; mend them, or the photographs"
        )


def lines_of_some(
    gains: Mapping[Position, np.ndarray], names: Sequence[str], places: float
) -> Iterator[str]:
    """Yield a line where the labels of some photographs belong in another position, of others not.

    gains, places: as `lines_of_all` takes them, of photographs of these names
    """
    if len(names) < 3 * FEWEST_OF_PART:
        return
    least = CLEAR_OF_FEW if places < FEW_PLACES else CLEAR_OF_PART
    number = max(FEWEST_OF_PART, -(-len(names) // PART))
    known = {one: np.nan_to_num(own, nan=-1) for one, own in gains.items() if not one.step}
    good = {one: float(np.sort(own)[-number]) for one, own in known.items()}
    best, second, *_ = sorted(good, key=good.__getitem__, reverse=True)
    if good[best] >= least:
        order = np.argsort(-known[best], kind="stable")[: np.count_nonzero(known[best] >= least)]
        is_one = good[best] >= DISTINCT * good[second]
        words = f"be {best.words}, of others not" if is_one else "fit other places in them better"
        yield (
            f"cross-validation: the labels of {len(order)} of {len(names)} photographs seem to "
            f"{words}: first {', '.join(names[one] for one in order[:NAMED])}; look at them"
        )


def marks_of(
    dataset: SegmentationDataset,
    name: str,
    label: Mapping[str, Any],
    kinds: Sequence[str],
    rng: np.random.Generator,
) -> Marks:
    """Return at most `EACH` places that labels of these kinds name in an image, drawn by `rng`."""
    width, height = label["size"]
    view, parts = View(width, height, SIDE), list[Pixels]()
    if "points" in kinds and "points" in label:
        parts.append(pixels_of_points(label["points"]))
    if "scribbles" in kinds and "scribbles" in label:
        parts.append(pixels_of_scribbles(label["scribbles"]))
    masks = []
    if "full" in kinds and "full" in label:
        masks.append(dataset.mask(name))
    for kind, draw in (("boxes", draw_cores), ("outlines", draw_outlines)):
        if kind in kinds and kind in label:
            closed = is_closed(label, [kind], dataset.has_background)
            masks.append(draw(label[kind], view, 0 if closed else IGNORE))
    for mask in masks:
        pixels = pixels_of_mask(mask, EACH, rng)
        parts.append(
            pixels._replace(places=pixels.places * np.divide((width, height), mask.shape[::-1]))
        )
    places, classes, _ = joined(parts)
    drawn = rng.permutation(len(places))[:EACH]
    return Marks(places[drawn] / [width, height], classes[drawn])


def draw_cores(annotation: Sequence[Sequence[float]], view: View, outside: int) -> np.ndarray:
    """Draw boxes [[x0, y0, x1, y1, class], ...] of which only the middle is known to be object.

    Returns [size, size] uint8: `outside` around all boxes, and 255 in them around their middles.
    """
    rims = [[*box[:4], IGNORE] for box in annotation]
    middles = []
    for *corners, number in annotation:
        (left, top, right, bottom), rim = corners, (1 - CORE) / 2
        across, down = rim * (right - left), rim * (bottom - top)
        middles.append([left + across, top + down, right - across, bottom - down, number])
    around, inside = draw_boxes(rims, view, outside), draw_boxes(middles, view, IGNORE)
    return np.where(inside == IGNORE, around, inside)


def likely(
    x: Sequence[np.ndarray],
    classes: Sequence[np.ndarray],
    num_classes: int,
    has_background: bool,
    seed: int,
) -> np.ndarray:
    """Return how likely others' labels make those of each photograph [I], each class alike.

    Where there is a background, it counts as much whether a place is object: that is learnt from
    fewer photographs than which object it is.

    x: standard features [N, D] of its labelled places, whose classes [N] are given. NaN where a
    photograph shows none that others show.
    """
    images = np.repeat(np.arange(len(x)), [len(own) for own in classes])
    rows, told = np.concatenate(x), np.concatenate(classes)
    weights = 1 / np.bincount(told, minlength=num_classes)[told]
    folds = folds_of(np.arange(len(x)), PARTS, seed).numpy()[images]
    chances, is_known = held_out_chances(
        rows, told, weights, folds, num_classes, PENALTY, TOLERANCE
    )
    known = np.flatnonzero(is_known)
    likelihood = chances[known, told[known]]
    if has_background:
        background = chances[known, 0]
        of_either = np.where(told[known] > 0, 1 - background, background)
        likelihood = (likelihood + of_either) / 2
    totals, numbers = np.zeros((2, len(x), num_classes))
    np.add.at(totals, (images[known], told[known]), likelihood)
    np.add.at(numbers, (images[known], told[known]), 1)
    of_classes = totals / np.maximum(numbers, 1)
    with np.errstate(invalid="ignore"):
        return of_classes.sum(1) / (numbers > 0).sum(1)
