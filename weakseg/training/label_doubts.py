"""Labels that are probably wrong: what a model of the other pictures' labels gainsays.

Pictures are dealt into folds. For each fold a linear head learns from the labels of all other
pictures, and says how likely the class of each label is in these (Northcutt et al., "Confident
learning", JAIR 2021, call this self-confidence). A label that hardly any other supports comes
first.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from weakseg.common import UserError, stable_seed
from weakseg.data.groups import group_numbers
from weakseg.labels.carried import Carried
from weakseg.labels.formats.geometry import area_pixels, corners
from weakseg.labels.formats.records import COVERING, SIGNAL, Classes, Shape
from weakseg.labels.pixels import along, random_places
from weakseg.learners.features import FeatureMaps
from weakseg.learners.held_out import held_out_chances
from weakseg.learners.penalty import choose_penalty, folds_of
from weakseg.learners.probe import Standard
from weakseg.training.pixel_sample import LabelledPixels, merged
from weakseg.training.probe_fit import evened

FOLDS = 10
PIXELS = 20  # of a label that covers many
CORE = 0.6  # of a box's sides: the ellipse in its middle, which nearly always is object
AROUND = 10  # pixels outside of everything drawn, in pictures where all objects are

FeaturesOf = Callable[[str], FeatureMaps]  # of the picture of an id


class Doubt(NamedTuple):
    """A label, and what speaks against it.

    picture    its id
    number     of the shape among those that the picture carries
    shape      itself
    chance     how likely its class is by the labels of other pictures, 0 to 1
    likelier   the class that is the likeliest there
    """

    picture: str
    number: int
    shape: Shape
    chance: float
    likelier: str


def label_doubts(
    carried: Mapping[str, Carried],
    classes: Classes,
    features_of: FeaturesOf,
    seed: int = 0,
    group_of: Callable[[str], str] = str,
) -> list[Doubt]:
    """Return all labels that name the class of a place, the least supported first.

    group_of: what a picture belongs to, such as its patient: a label is compared with those of
        others
    carried: {id: what it carries} of pictures whose features `features_of` returns. Tags name no
    place and are left out. Raises `UserError` where labels of fewer than two pictures, or classes,
    leave nothing to learn from.
    """
    numbers = {name: number for number, name in enumerate(classes.names)}
    owners: list[tuple[str, int, Shape]] = []
    parts, whose, anywhere = [], [], []
    for image, (key, one) in enumerate(carried.items()):
        rng = np.random.default_rng(stable_seed(seed, "doubts", key))
        maps = features_of(key)
        anywhere.append(maps.at(random_places(maps.size, PIXELS, rng)).astype(np.float16))
        for places, label, number in things_of(one, numbers, maps.size, classes, rng):
            weights = np.full(len(places), 1 / len(places))
            features = maps.at(places).astype(np.float16)
            here = np.full(len(places), label), weights, np.full(len(places), image)
            parts.append(LabelledPixels(features, *here))
            whose.append(np.full(len(places), len(owners) if number >= 0 else -1))
            if number >= 0:
                owners.append((key, number, one.shapes[number]))
    if not parts:
        raise UserError("no label names the class of a place; draw some first")
    pixels = merged(parts, parts[0].features)
    if min(len(np.unique(pixels.images)), len(np.unique(pixels.classes))) < 2:
        raise UserError("labels of one picture, or one class, leave nothing to compare with")
    standard = Standard.of(np.concatenate(anywhere))
    groups = group_numbers(carried, group_of)[pixels.images]
    if len(np.unique(groups)) < 2:
        raise UserError("labels of one group of pictures leave nothing to compare with")
    chances = chances_by_others(pixels, groups, standard, len(classes.names), seed)
    return ranked(chances, pixels.classes, np.concatenate(whose), owners, classes)


def things_of(
    carried: Carried,
    numbers: Mapping[str, int],
    size: tuple[int, int],
    classes: Classes,
    rng: np.random.Generator,
) -> list[tuple[np.ndarray, int, int]]:
    """Return [(places [N, 2], class, number of the shape, or -1)] of what a picture carries.

    size: (width, height) of the picture. Where all objects are boxed or outlined, some places
    outside of everything are background, which belong to no shape.
    """
    things, covered = [], np.zeros((size[1], size[0]), bool)
    for number, shape in enumerate(carried.shapes):
        if shape.kind in COVERING:
            covered |= area_pixels(as_polygon(shape), size)
        if shape.kind != "tag" and shape.label is not None:
            things.append((places_in(shape, size, rng), numbers[shape.label], number))
    drawn = {SIGNAL[shape.kind] for shape in carried.shapes if shape.kind in COVERING}
    if classes.has_background and drawn & {*carried.complete} and not covered.all():
        rows, columns = np.nonzero(~covered)
        chosen = rng.integers(0, len(rows), AROUND)
        things.append((np.stack([columns[chosen], rows[chosen]], 1) + 0.5, 0, -1))
    return things


def places_in(shape: Shape, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return places [N, 2] that stand for a shape: a click's own, some of all others."""
    if shape.kind == "click":
        return np.array([shape.geometry], float)
    if shape.kind == "answer":
        return np.array([[shape.geometry["x"], shape.geometry["y"]]], float)
    if shape.kind == "stroke":
        return along(np.array(shape.geometry["path"], float))
    if shape.kind == "box":
        left, top, right, bottom = shape.geometry
        radius, angle = np.sqrt(rng.random(PIXELS)), 2 * np.pi * rng.random(PIXELS)
        directions = np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None]
        half = np.array([right - left, bottom - top]) / 2
        places: np.ndarray = np.array([left, top]) + half + CORE * half * directions
        return places
    rows, columns = np.nonzero(area_pixels(as_polygon(shape), size))
    chosen = rng.integers(0, len(rows), PIXELS)
    return np.stack([columns[chosen], rows[chosen]], 1) + 0.5


def as_polygon(shape: Shape) -> Shape:
    """Return a box or coarse outline as the polygon that it is; other shapes stay."""
    if shape.kind == "box":
        return replace(shape, kind="polygon", geometry=[[corners(shape.geometry)]])
    if shape.kind == "outline":
        return replace(shape, kind="polygon", geometry=[[shape.geometry]])
    return shape


def chances_by_others(
    pixels: LabelledPixels, groups: np.ndarray, standard: Standard, num_classes: int, seed: int
) -> np.ndarray:
    """Return the class probabilities [N, C] of pixels by heads of other pictures' labels.

    groups [N]: of the pixels, such as their pictures; no fold parts one
    A fold of which all others show one class alone has equal chances: nothing speaks against it.
    """
    x, folds = standard(pixels.features), folds_of(groups, FOLDS, seed).numpy()
    weights = evened(pixels, num_classes, 0.5)
    penalty = choose_penalty(x, pixels.classes, weights, groups, num_classes, seed=seed).penalty
    chances, _ = held_out_chances(x, pixels.classes, weights, folds, num_classes, penalty)
    return np.where(np.isnan(chances), np.float32(1 / num_classes), chances)


def ranked(
    chances: np.ndarray,
    labels: np.ndarray,
    owners: np.ndarray,
    things: Sequence[tuple[str, int, Shape]],
    classes: Classes,
) -> list[Doubt]:
    """Return the doubt of each thing, the largest first: the mean chances [N, C] of its pixels.

    labels, owners [N]: class of each pixel, and the number of its thing
    """
    mine = owners >= 0
    totals = np.zeros((len(things), chances.shape[1]))
    np.add.at(totals, owners[mine], chances[mine])
    means = totals / np.bincount(owners[mine], minlength=len(things))[:, None]
    own = np.zeros(len(things), int)
    own[owners[mine]] = labels[mine]
    supported = means[np.arange(len(things)), own]
    return [
        Doubt(picture, number, shape, float(supported[i]), classes.names[int(means[i].argmax())])
        for i in np.argsort(supported, kind="stable")
        for picture, number, shape in [things[i]]
    ]
