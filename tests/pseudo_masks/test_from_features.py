"""Pseudo-masks of the probe: labels rule classes out, marks stay, boxes bound, doubt is doubt.

Small boxes hold ellipses.
"""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.common import IGNORE
from weakseg.labels.signals import SIGNALS
from weakseg.labels.targets import View, draw_boxes, parts_of_boxes
from weakseg.learners.features import FeatureMaps
from weakseg.learners.logistic import LinearHead
from weakseg.learners.probe import Probe, Standard
from weakseg.pseudo_masks import from_features
from weakseg.pseudo_masks.cam import GRID, MOST_IMAGES
from weakseg.pseudo_masks.from_features import (
    FINE,
    SIDE,
    SMALL_BOX,
    FeatureMasks,
    deep_cells,
    finer,
    has_small_boxes,
    images_for_tag_maps,
    needs_tag_maps,
    pooled_cells,
    side_of,
    tag_maps_from,
)
from weakseg.pseudo_masks.grabcut import draw_marks

LAWS = settings(max_examples=12)
SIZE, CLASSES, WIDTH = (90, 60), 4, 5
SEEDS = st.integers(0, 2**32 - 1)
TAGS = ("one", "two", "three")
PATHS = st.lists(
    st.tuples(*(st.integers(0, length - 1) for length in SIZE)), min_size=2, max_size=3
)


@dataclass
class Photographs:
    """A cache of random blobs of colour, [3, side, side] uint8."""

    seed: int
    side: int = SIDE

    def at(self, side):
        return Photographs(self.seed, side)

    def image(self, path):
        coarse = torch.from_numpy(np.random.default_rng(self.seed).uniform(0, 255, (1, 3, 6, 6)))
        return torch.nn.functional.interpolate(coarse, size=(self.side,) * 2)[0].byte().numpy()


def features(seed):
    """Return random features of stages of 1, 1, 1 and 2 channels."""
    rng = np.random.default_rng(seed)
    strides, channels = (4, 8, 16, 16), (1, 1, 1, 2)
    shapes = [(c, -(-32 // s), -(-48 // s)) for c, s in zip(channels, strides, strict=True)]
    maps = tuple(2 * rng.normal(size=shape).astype(np.float16) for shape in shapes)
    return FeatureMaps(maps, strides, SIZE, (48, 32))


def a_probe(seed, num_classes=CLASSES):
    """Return a random probe that follows edges within a random radius."""
    generator = torch.Generator().manual_seed(seed % 2**31)
    weights = torch.randn(WIDTH, num_classes, generator=generator)
    standard = Standard(np.zeros(WIDTH, np.float32), np.ones(WIDTH, np.float32))
    edges = 0.1 * float(torch.rand((), generator=generator))
    return Probe(standard, LinearHead(weights, torch.zeros(num_classes)), edges)


def masks(signals, has_background=True, seed=0, tag_maps=None):
    """Return the maker of pseudo-masks of drawn photographs."""
    dataset = SimpleNamespace(
        has_background=has_background,
        tag_names=TAGS,
        tag_class=(1, 2, 3) if has_background else (0, 1, 2),
        photograph=lambda name: name,
    )
    return FeatureMasks(dataset, signals, Photographs(seed), tag_maps)


def points(lowest=0, **more):
    place = [st.floats(0, length - 0.01) for length in SIZE]
    click = st.tuples(*place, st.integers(lowest, CLASSES - 1)).map(list)
    return st.lists(click, **{"max_size": 5} | more)


@st.composite
def boxes(draw, lowest=1):
    """Boxes [x0, y0, x1, y1, class], each at least 6 pixels a side."""
    found = []
    for _ in range(draw(st.integers(1, 3))):
        corner = [draw(st.integers(0, length - 7)) for length in SIZE]
        far = [draw(st.integers(c + 6, length)) for c, length in zip(corner, SIZE, strict=True)]
        found.append([*map(float, (*corner, *far)), draw(st.integers(lowest, CLASSES - 1))])
    return found


@st.composite
def small_boxes(draw, max_size=4, least=0.2, lowest=1):
    """Small boxes [x0, y0, x1, y1, class] with any two opposite corners, each `least` a side."""
    found = []
    for _ in range(draw(st.integers(1, max_size))):
        width, height = (draw(st.floats(least, 0.99 * length * SMALL_BOX)) for length in SIZE)
        if draw(st.booleans()):
            width = draw(st.floats(least, SIZE[0] / 2))
        x0, y0 = draw(st.floats(0, SIZE[0] - width)), draw(st.floats(0, SIZE[1] - height))
        x, y = draw(st.permutations((x0, x0 + width))), draw(st.permutations((y0, y0 + height)))
        found.append([x[0], y[0], x[1], y[1], draw(st.integers(lowest, CLASSES - 1))])
    return found


def turned(found):
    """Return boxes by their other two corners."""
    return [[x1, y0, x0, y1, label] for x0, y0, x1, y1, label in found]


def label_of(**annotations):
    return {"size": [*SIZE], **annotations}


def view_of(mask):
    """Return the view of a mask, whose side may depend on the labels."""
    assert mask.ndim == 2 and mask.shape[0] == mask.shape[1]
    return View(*SIZE, len(mask))


def marks_stay(mask, label):
    """Return whether clicks and strokes have their own classes in a mask."""
    given = {name: label[name] for name in ("points", "scribbles") if name in label}
    marks = draw_marks(given, view_of(mask))
    return bool((mask == marks)[marks != IGNORE].all())


# ---- what a probe predicts


@LAWS
@given(clicks=points(), seed=SEEDS, confidence=st.floats(0.51, 0.95))
def test_clicks_stay_and_no_class_appears_that_nobody_clicked(clicks, seed, confidence):
    label = label_of(points=clicks)
    mask = masks(("points",), seed=seed).predicted(
        "a", label, features(seed), a_probe(seed), confidence
    )
    objects = {click[2] for click in clicks} - {0}
    assert mask.shape == (SIDE, SIDE) and mask.dtype == np.uint8
    if {*np.unique(draw_marks({"points": clicks}, view_of(mask)))} - {0, IGNORE}:
        assert {*np.unique(mask)} <= {0, IGNORE, *objects}
        assert marks_stay(mask, label)
    else:
        assert (mask == IGNORE).all()


@LAWS
@given(found=boxes() | small_boxes(), clicks=st.none() | points(), seed=SEEDS)
def test_outside_of_boxes_is_background_and_each_class_stays_in_its_own(found, clicks, seed):
    more = {} if clicks is None else {"points": [c for c in clicks if c[2] == 0]}
    label = label_of(boxes=found, **more)
    mask = masks(("points", "boxes"), seed=seed).predicted(
        "a", label, features(seed), a_probe(seed), 0.7
    )
    assert (mask[draw_boxes(found, view_of(mask), IGNORE) == IGNORE] == 0).all()
    for number in range(1, CLASSES):
        own = (
            draw_boxes([box for box in found if box[4] == number], view_of(mask), IGNORE) != IGNORE
        )
        assert (mask[~own] != number).all()
    assert marks_stay(mask, label)


@LAWS
@given(present=st.sets(st.sampled_from(TAGS)), absent=st.sets(st.sampled_from(TAGS)), seed=SEEDS)
def test_of_tags_only_those_present_appear_and_what_nobody_asked_leaves_doubt(
    present, absent, seed
):
    absent = absent - present
    label = label_of(tags={"present": sorted(present), "absent": sorted(absent)})
    mask = masks(("tags",), seed=seed).predicted("a", label, features(seed), a_probe(seed), 0.7)
    classes = {TAGS.index(tag) + 1 for tag in present}
    is_closed = len(present | absent) == len(TAGS)
    background = {0} if is_closed else set()
    assert {*np.unique(mask)} <= {IGNORE, *background, *classes}


@LAWS
@given(clicks=points(max_size=3), seed=SEEDS, confidence=st.floats(0.51, 0.95))
def test_without_a_background_nothing_but_what_was_clicked_appears(clicks, seed, confidence):
    label = label_of(points=clicks)
    maker = masks(("points",), has_background=False, seed=seed)
    mask = maker.predicted("a", label, features(seed), a_probe(seed), confidence)
    assert {*np.unique(mask)} <= {IGNORE, *(click[2] for click in clicks)}
    assert marks_stay(mask, label)


@LAWS
@given(found=boxes(lowest=0) | small_boxes(lowest=0), seed=SEEDS)
def test_without_a_background_all_outside_of_boxes_is_in_doubt(found, seed):
    maker = masks(("boxes",), has_background=False, seed=seed)
    mask = maker.predicted("a", label_of(boxes=found), features(seed), a_probe(seed), 0.7)
    assert (mask[draw_boxes(found, view_of(mask), IGNORE) == IGNORE] == IGNORE).all()
    assert {*np.unique(mask)} <= {IGNORE, *(box[4] for box in found)}


def test_a_surer_probe_is_asked_for_by_a_higher_confidence():
    """Pixels that a cut leaves in doubt are fewer where less confidence is asked for."""
    label = label_of(points=[[20, 30, 1], [70, 30, 2]])
    sure = [
        (
            masks(("points",)).predicted("a", label, features(1), a_probe(1), confidence) != IGNORE
        ).sum()
        for confidence in (0.55, 0.99)
    ]
    assert sure[0] > sure[1]


def test_chances_follow_the_edges_of_the_square_before_they_are_cut(monkeypatch):
    """Within the probe's own radius, after the labels have ruled classes out."""
    seen = []

    def to_the_first(chances, image, radius):
        seen.append((chances, image, radius))
        return np.stack([np.full_like(one, not number) for number, one in enumerate(chances)])

    monkeypatch.setattr(from_features, "follow_edges", to_the_first)
    probe, found = a_probe(3), [[20.0, 20.0, 50.0, 50.0, 1], [60.0, 5.0, *SIZE, 2]]
    mask = masks(("boxes",)).predicted("a", label_of(boxes=found), features(3), probe, 0.7)
    ((chances, image, radius),) = seen
    assert radius == probe.edges > 0 and image.shape == (SIDE, SIDE, 3)
    expected = probe.logits(features(3), (SIDE, SIDE))[[0, 1, 2]].softmax(0)[1:]
    np.testing.assert_allclose(chances, expected, atol=1e-6)
    assert (mask[draw_boxes(found[:1], view_of(mask), IGNORE) != IGNORE] == 1).all()


@pytest.mark.parametrize(
    ("annotations", "signals", "is_complete"),
    [
        ({"boxes": []}, ("boxes",), True),
        ({"boxes": [], "points": [[3, 3, 0]]}, ("points", "boxes"), True),
        ({"tags": {"present": [], "absent": [*TAGS]}}, ("tags",), True),
        ({"tags": {"present": [], "absent": [*TAGS[1:]]}}, ("tags",), False),
        ({"points": []}, ("points",), False),
        ({"points": [[3, 3, 0]]}, ("points",), False),
        ({"boxes": [], "points": []}, ("points",), False),  # a run that learns from clicks alone
        ({"scribbles": []}, ("tags", "scribbles"), False),
    ],
)
def test_without_objects_all_is_background_where_labels_are_complete(
    annotations, signals, is_complete
):
    """Who drew no box, or was asked about every tag, looked everywhere; who clicked did not."""
    label = label_of(**annotations)
    mask = masks(signals).predicted("a", label, features(0), a_probe(0), 0.7)
    assert mask.shape == (SIDE, SIDE) and mask.dtype == np.uint8
    assert (mask == (0 if is_complete else IGNORE)).all()
    if "points" not in annotations or not annotations["points"]:  # else class 0 is on show
        maker = masks(signals, has_background=False)
        mask = maker.predicted("a", label, features(0), a_probe(0), 0.7)
        assert (mask == IGNORE).all()


# ---- how large the squares are


@given(frame=st.tuples(st.integers(1, 9000), st.integers(1, 9000)))
def test_squares_grow_with_what_the_encoder_sees(frame):
    """A thing of so many frame pixels has as many pixels of the square, whatever the frame."""
    maps = replace(features(0), frame=frame)
    side = side_of(maps)
    assert SIDE <= side <= from_features.MOST_SIDE and side % from_features.STEP == 0
    assert finer(side) * SIDE == side * FINE
    if max(frame) <= FINE:
        assert side == SIDE
    elif side < from_features.MOST_SIDE:
        assert abs(side - max(frame) * SIDE / FINE) <= from_features.STEP / 2
    small = [[10.0, 10.0, 13.0, 12.0, 1]]  # shorter than 2 of 60 pixels: in 1,024 there are 34
    assert has_small_boxes(label_of(boxes=small), side) == (2 / SIZE[1] < SMALL_BOX * SIDE / side)


# ---- which boxes are small


@given(found=boxes() | small_boxes(), factor=st.floats(0.1, 50), seed=SEEDS)
def test_boxes_are_small_by_the_shares_that_they_usually_have_of_the_picture(found, factor, seed):
    usual = np.median([min(abs(c - a) / SIZE[0], abs(d - b) / SIZE[1]) for a, b, c, d, _ in found])
    is_small = has_small_boxes(label_of(boxes=found))
    assert is_small == (usual < SMALL_BOX)
    order = np.random.default_rng(seed).permutation(len(found))
    assert has_small_boxes(label_of(boxes=turned(found[i] for i in order))) == is_small
    if abs(usual / SMALL_BOX - 1) > 1e-6:  # no matter of rounding
        scaled = [[*(factor * value for value in box[:4]), box[4]] for box in found]
        size = [factor * length for length in SIZE]
        assert has_small_boxes({"size": size, "boxes": scaled}) == is_small


def test_boxes_that_the_run_does_not_learn_from_decide_nothing():
    small = [[10.0, 10.0, 13.0, 12.0, 1]]
    label = label_of(boxes=small, points=[[11, 11, 1]])
    assert not has_small_boxes(label_of()) and not has_small_boxes(label_of(boxes=[]))
    for signals, side in ((("points",), SIDE), (("points", "boxes"), FINE)):
        mask = masks(signals).predicted("a", label, features(0), a_probe(0), 0.7)
        assert mask.shape == (side, side)
    assert masks(("points",)).first("a", label, features(0)) is None
    assert masks(("boxes",)).first("a", label, features(0)).shape == (FINE, FINE)


@pytest.mark.parametrize("has_background", [True, False])
@LAWS
@given(found=boxes() | small_boxes(), seed=SEEDS)
def test_grabcut_fills_boxes_unless_they_are_small(has_background, found, seed):
    label, maker = label_of(boxes=found), masks(("boxes",), has_background, seed)
    cut = from_features.pseudo_mask(
        from_features.rgb(maker.image("a", SIDE)),
        {"boxes": found},
        View(*SIZE, SIDE),
        has_background=has_background,
    )[0]
    mask = maker.first("a", label, features(seed))
    assert np.array_equal(mask, cut) == (not has_small_boxes(label))
    assert len(mask) == (FINE if has_small_boxes(label) else SIDE)


# ---- small boxes hold ellipses


def of_ellipses(found, has_background=True, **marks):
    """Return the mask of small boxes [FINE, FINE], with clicks and strokes where they are given."""
    label, signals = label_of(boxes=found, **marks), (*marks, "boxes")
    assert has_small_boxes(label)
    mask = masks(signals, has_background).first("a", label, features(0))
    assert mask.shape == (FINE, FINE) and mask.dtype == np.uint8
    return mask


@settings(max_examples=60)
@given(found=small_boxes(max_size=1), has_background=st.booleans())
def test_an_ellipse_stays_in_its_box_and_is_its_own_mirror_image(found, has_background):
    """Outside of it is background, where there is one, and nothing is known where there is none."""
    mask, view = of_ellipses(found, has_background), View(*SIZE, FINE)
    outside, (*_, label) = 0 if has_background else IGNORE, found[0]
    assert {*np.unique(mask)} == {outside, label}
    assert (mask[draw_boxes(found, view, IGNORE) == IGNORE] == outside).all()
    ((window, _),) = parts_of_boxes(found, view)
    for axis in (0, 1):
        assert np.array_equal(mask[window], np.flip(mask[window], axis))


@settings(max_examples=60)
@given(found=small_boxes(max_size=1, least=2.0))
def test_an_ellipse_touches_all_four_sides_and_fills_pi_quarters_of_its_box(found):
    """Up to a pixel at each side, and up to a quarter of the box's outline in area."""
    ((window, _),) = parts_of_boxes(found, View(*SIZE, FINE))
    ellipse = of_ellipses(found)[window] != 0
    height, width = ellipse.shape
    for places, length in zip(np.nonzero(ellipse), ellipse.shape, strict=True):
        assert places.min() <= 1 and places.max() >= length - 2
    assert abs(ellipse.sum() - np.pi / 4 * height * width) <= (height + width) / 2


@LAWS
@given(found=small_boxes(), has_background=st.booleans(), seed=SEEDS)
def test_smaller_ellipses_lie_on_top_of_larger_ones(found, has_background, seed):
    """In whatever order boxes come, and by whichever corners."""
    mask = of_ellipses(found, has_background)
    if has_background:
        expected = np.zeros_like(mask)
        for box in sorted(found, key=lambda box: -abs((box[2] - box[0]) * (box[3] - box[1]))):
            alone = of_ellipses([box])
            expected = np.where(alone == 0, expected, alone)
        assert np.array_equal(mask, expected)
    areas = {abs((box[2] - box[0]) * (box[3] - box[1])) for box in found}
    if len(areas) == len(found):  # of equal boxes the last one lies on top
        order = np.random.default_rng(seed).permutation(len(found))
        assert np.array_equal(of_ellipses([found[i] for i in order], has_background), mask)
    assert np.array_equal(of_ellipses(turned(found), has_background), mask)


@LAWS
@given(found=small_boxes(), label=st.integers(1, CLASSES - 1))
def test_without_a_background_what_boxes_of_one_class_alone_hold_is_of_that_class(found, label):
    """A picture-wide box of a class, too: the ellipses of the others lie on it."""
    whole = [0.0, 0.0, *map(float, SIZE), label]
    mask, with_whole = (of_ellipses(many, False) for many in (found, [*found, *found, whole]))
    view = View(*SIZE, FINE)
    inside = {one[4]: np.zeros((FINE, FINE), bool) for one in found}
    for window, value in parts_of_boxes(found, view):
        inside[value][window] = True
    number = sum(one.astype(int) for one in inside.values())
    assert (mask[number == 0] == IGNORE).all()
    for value, where in inside.items():
        assert (mask[where & (number == 1)] == value).all()
    assert (with_whole[number == 0] == label).all()
    ellipses = of_ellipses(found)
    assert np.array_equal(with_whole[ellipses != 0], ellipses[ellipses != 0])


@LAWS
@given(found=small_boxes(), clicks=points(), strokes=st.lists(PATHS, max_size=2))
def test_clicks_and_strokes_on_ellipses_stay_and_all_else_is_as_without_them(
    found, clicks, strokes
):
    scribbles = [{"class": 2, "width": 2, "path": path} for path in strokes]
    mask = of_ellipses(found, points=clicks, scribbles=scribbles)
    marks = draw_marks({"points": clicks, "scribbles": scribbles}, view_of(mask))
    assert np.array_equal(mask, np.where(marks == IGNORE, of_ellipses(found), marks))


@LAWS
@given(found=small_boxes(), clicks=st.none() | points(), seeds=st.tuples(SEEDS, SEEDS))
def test_a_probe_changes_nothing_of_small_boxes(found, clicks, seeds):
    """Also where the run learns from clicks that this image lacks."""
    label = label_of(boxes=found) | ({} if clicks is None else {"points": clicks})
    maker = masks(("points", "scribbles", "boxes"))
    first = maker.first("a", label, features(0))
    for seed in seeds:
        found = maker.predicted("a", label, features(seed), a_probe(seed), 0.7)
        assert np.array_equal(found, first)


# ---- before anything is learnt


@LAWS
@given(found=boxes() | small_boxes(), clicks=points(max_size=3), seed=SEEDS)
def test_the_first_mask_of_boxes_has_nothing_but_background_outside_of_them(found, clicks, seed):
    background = [click for click in clicks if click[2] == 0]
    label = label_of(boxes=found, points=background)
    mask = masks(("points", "boxes"), seed=seed).first("a", label, features(seed))
    assert (mask[draw_boxes(found, view_of(mask), IGNORE) == IGNORE] == 0).all()
    assert {*np.unique(mask)} <= {0, IGNORE, *(box[4] for box in found)}
    assert marks_stay(mask, label)


@pytest.mark.parametrize("signals", [("points",), ("scribbles",), ("tags", "points")])
def test_clicks_and_strokes_have_no_first_mask(signals):
    label = label_of(
        points=[[1, 1, 1]],
        scribbles=[{"class": 1, "path": [[1, 1], [5, 5]]}],
        tags={"present": ["one"], "absent": []},
    )
    assert masks(signals).first("a", label, features(0)) is None


@LAWS
@given(seed=SEEDS, present=st.sets(st.sampled_from(TAGS)), has_background=st.booleans())
def test_the_first_mask_of_tags_shows_those_that_are_present(seed, present, has_background):
    everything = [{"present": [TAGS[i % 3]], "absent": [TAGS[i % 3 - 1]]} for i in range(4)]
    cells = [pooled_cells(features(i)) for i in range(4)]
    tag_maps = tag_maps_from(cells, [{"tags": tags} for tags in everything], TAGS)
    maker = masks(("tags",), has_background, seed, tag_maps)
    absent = sorted({*TAGS} - present)
    label = label_of(tags={"present": sorted(present), "absent": absent})
    mask = maker.first("a", label, features(seed % 4))
    classes = {TAGS.index(tag) + has_background for tag in present}
    background = {0} if has_background else set()
    assert mask.shape == (SIDE, SIDE)
    assert {*np.unique(mask)} <= {IGNORE, *background, *classes}
    assert masks(("tags",), has_background).first("a", label, features(0)) is None  # no maps yet


# ---- features for tags


@pytest.mark.parametrize("signals", [(one, *more) for one in SIGNALS for more in ((), ("tags",))])
def test_tag_maps_are_for_tags_where_nothing_says_where(signals):
    assert needs_tag_maps(signals) == ({*signals} - {"pixels"} == {"tags"})


def test_deep_cells_are_those_of_the_two_largest_strides():
    maps = features(0)
    cells = deep_cells(maps)
    assert cells.shape == (1 + 1 + 2, *maps.maps[1].shape[1:])
    np.testing.assert_array_equal(cells[0], maps.maps[1][0])
    assert pooled_cells(maps).shape == (GRID**2, len(cells))
    coarse = FeatureMaps(maps.maps[2:], maps.strides[2:], maps.size, maps.frame)
    np.testing.assert_array_equal(deep_cells(coarse), np.concatenate(coarse.maps))


@given(count=st.integers(1, 5 * MOST_IMAGES))
def test_an_even_part_of_many_images_makes_tag_maps(count):
    chosen = images_for_tag_maps(range(count))
    assert 0 < len(chosen) <= MOST_IMAGES and chosen[0] == 0
    assert len(chosen) == count or len(chosen) >= MOST_IMAGES // 2
    assert len({*np.diff(chosen)}) <= 1


def test_confidence_is_where_a_cut_begins_to_be_sure():
    growth = from_features.growth_of(0.8)
    assert growth.background == pytest.approx(0.2) and growth.certain == pytest.approx(0.8)
    assert growth.background < growth.foreground < growth.certain
