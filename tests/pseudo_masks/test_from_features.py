"""Pseudo-masks of the probe: labels rule classes out, marks stay, boxes bound, doubt is doubt."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.common import IGNORE
from weakseg.labels.signals import SIGNALS
from weakseg.labels.targets import View, draw_boxes
from weakseg.learners.features import FeatureMaps
from weakseg.learners.logistic import LinearHead
from weakseg.learners.probe import Probe, Standard
from weakseg.pseudo_masks import from_features
from weakseg.pseudo_masks.cam import GRID, MOST_IMAGES
from weakseg.pseudo_masks.from_features import (
    LEAST_BOX,
    SIDE,
    SIDES,
    FeatureMasks,
    deep_cells,
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
        image_path=lambda name: name,
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
@given(found=boxes(), clicks=st.none() | points(), seed=SEEDS)
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
@given(found=boxes(lowest=0), seed=SEEDS)
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


@pytest.mark.parametrize("side", [SIDE, max(SIDES)])
def test_chances_follow_the_edges_of_the_square_before_they_are_cut(side, monkeypatch):
    """Within the probe's own radius, after the labels have ruled classes out."""
    seen = []

    def to_the_first(chances, image, radius):
        seen.append((chances, image, radius))
        return np.stack([np.full_like(one, not number) for number, one in enumerate(chances)])

    monkeypatch.setattr(from_features, "follow_edges", to_the_first)
    box = [20.0, 20.0, 50.0, 50.0] if side == SIDE else [20.0, 20.0, 24.0, 23.0]
    probe, found = a_probe(3), [[*box, 1], [60.0, 5.0, *SIZE, 2]][: 1 + (side == SIDE)]
    mask = masks(("boxes",)).predicted("a", label_of(boxes=found), features(3), probe, 0.7)
    ((chances, image, radius),) = seen
    assert radius == probe.edges > 0 and image.shape == (side, side, 3)
    possible = [0, *(box[4] for box in found)]
    expected = probe.logits(features(3), (side, side))[possible].softmax(0)[1:]
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


# ---- how finely masks are cut


@given(found=boxes(), factor=st.floats(0.1, 50), seed=SEEDS)
def test_the_side_follows_the_shares_that_boxes_have_of_the_picture(found, factor, seed):
    side = side_of(label_of(boxes=found))
    order = np.random.default_rng(seed).permutation(len(found))
    turned = [[box[2], box[1], box[0], box[3], 0] for box in (found[i] for i in order)]
    assert side_of(label_of(boxes=turned)) == side
    scaled = [[*(factor * value for value in box[:4]), box[4]] for box in found]
    size = [factor * length for length in SIZE]
    usual = np.median([min((b[2] - b[0]) / SIZE[0], (b[3] - b[1]) / SIZE[1]) for b in found])
    if min(abs(usual * each / LEAST_BOX - 1) for each in SIDES) > 1e-6:  # no matter of rounding
        assert side_of({"size": size, "boxes": scaled}) == side
        enough = [each for each in SIDES if usual * each >= LEAST_BOX]
        assert side == (min(enough) if enough else max(SIDES))


@given(shares=st.lists(st.floats(0.001, 1), min_size=2, max_size=6))
def test_smaller_boxes_are_never_cut_more_coarsely(shares):
    sides = [
        side_of({"size": [100, 100], "boxes": [[0, 0, 100 * share, 100 * share, 1]]})
        for share in sorted(shares)
    ]
    assert sides == sorted(sides, reverse=True)


def test_boxes_that_the_run_does_not_learn_from_decide_nothing():
    small = [[10.0, 10.0, 13.0, 12.0, 1]]
    label = label_of(boxes=small, points=[[11, 11, 1]])
    assert side_of(label_of()) == side_of(label_of(boxes=[])) == SIDE
    for signals, side in ((("points",), SIDE), (("points", "boxes"), max(SIDES))):
        mask = masks(signals).predicted("a", label, features(0), a_probe(0), 0.7)
        assert mask.shape == (side, side)
    assert masks(("boxes",)).first("a", label, features(0)).shape == (max(SIDES),) * 2


# ---- before anything is learnt


@LAWS
@given(found=boxes(), clicks=points(max_size=3), seed=SEEDS)
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
    assert needs_tag_maps(signals) == (set(signals) == {"tags"})


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
