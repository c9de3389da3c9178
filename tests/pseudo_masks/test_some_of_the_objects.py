"""Boxes or clicks of some objects: what lies outside of them is unlabelled, not background."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_from_features import SIZE, features, label_of, masks

from data_utils import SegmentationItems
from weakseg.common import IGNORE
from weakseg.labels.targets import View, draw_boxes, draw_points
from weakseg.pseudo_masks import grabcut
from weakseg.pseudo_masks.from_features import FINE, has_small_boxes
from weakseg.pseudo_masks.from_labels import draw_evidence, knowledge_of, mask_from_annotations

SIDE = 64
DATA = {
    answer: SimpleNamespace(
        has_background=answer, class_names=list("abc"), tag_names=["b", "c"], tag_class=[1, 2]
    )
    for answer in (True, False)
}
boxes = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 30), st.integers(1, 2)).map(
        lambda b: [b[0], b[1], b[0] + 30, b[1] + 15, b[2]]
    ),
    min_size=1,
    max_size=3,
)
clicks = st.lists(
    st.tuples(st.integers(0, 89), st.integers(0, 44), st.integers(0, 2)).map(list), max_size=4
)


def some(label, *complete):
    return {**label, "complete": list(complete)}


def picture(seed):
    noise = np.random.default_rng(seed).integers(0, 60, (SIDE, SIDE, 3))
    noise[20:40, 20:40] += 150
    return noise.astype(np.uint8)


@settings(max_examples=20)
@given(found=boxes, has_background=st.booleans(), seed=st.integers(0, 5))
def test_a_cut_along_some_boxes_says_nothing_of_the_outside(found, has_background, seed):
    view = View(90, 45, SIDE)
    given_boxes, outside = {"boxes": found}, draw_boxes(found, view, IGNORE) == IGNORE
    cut, _ = grabcut.pseudo_mask(picture(seed), some(given_boxes), view, grabcut.DEFAULTS)
    whole, _ = grabcut.pseudo_mask(picture(seed), given_boxes, view, grabcut.DEFAULTS)
    assert (cut[outside] == IGNORE).all() and (whole[outside] == 0).all()
    assert np.array_equal(cut[~outside], whole[~outside])
    bare, _ = grabcut.pseudo_mask(
        picture(seed), some(given_boxes), view, grabcut.DEFAULTS, has_background=False
    )
    assert 0 not in bare


@settings(max_examples=20)
@given(found=clicks, seed=st.integers(0, 5))
def test_a_cut_along_some_clicks_says_nothing_of_the_rest(found, seed):
    view = View(90, 45, SIDE)
    cut, _ = grabcut.pseudo_mask(picture(seed), some({"points": found}), view)
    whole, _ = grabcut.pseudo_mask(picture(seed), {"points": found}, view)
    marks = draw_points(found, view)
    assert not (cut == 0)[marks != 0].any()
    assert np.array_equal(cut[marks != IGNORE], marks[marks != IGNORE])
    assert np.array_equal(cut[cut != IGNORE], whole[cut != IGNORE])


@given(found=boxes, has_background=st.booleans())
def test_some_boxes_are_evidence_of_nothing_but_their_middles(found, has_background):
    view, label = View(90, 45, SIDE), some({"size": [90, 45], "boxes": found})
    assert (draw_evidence(label, view, has_background) == IGNORE).all()
    known = knowledge_of(label, ("boxes",), "walk", DATA[has_background], SIDE)
    assert known.classes.tolist() == list(range(int(has_background), 3))
    assert known.where.all() and known.is_closed == has_background
    assert {*np.unique(known.marks)} <= {IGNORE, 1, 2}
    inside = draw_boxes(found, view, IGNORE) != IGNORE
    assert (known.marks[~inside] == IGNORE).all() and (known.marks[inside] != IGNORE).any()
    # A complete list of clicks beside them says which classes there are.
    both = some({**label, "points": []}, "points")
    known = knowledge_of(both, ("boxes", "points"), "walk", DATA[has_background], SIDE)
    assert known.classes.tolist() == sorted({box[4] for box in found}) and known.where.all()


def test_walks_from_some_clicks_leave_the_rest_open():
    """An even picture, in which nothing but the clicks tells objects from background."""
    import torch

    near = torch.eye(64) * 0.5 + torch.ones(64, 64) / 128
    image, found = torch.zeros(3, SIDE, SIDE, dtype=torch.uint8), {"points": [[10, 10, 1]]}
    masks = [
        mask_from_annotations(label, (90, 45), image, (near / near.sum(0), (8, 8)))
        for label in (found, some(found))
    ]
    marks = draw_points(found["points"], View(90, 45, SIDE))
    assert not (masks[1] == 0).any() and np.array_equal(masks[1] == 1, masks[0] == 1)
    assert (masks[1][marks == 1] == 1).all()


@settings(max_examples=20)
@given(x=st.integers(0, 80), y=st.integers(0, 40), has_background=st.booleans())
def test_small_boxes_of_some_objects_hold_ellipses_and_nothing_is_known_outside(
    x, y, has_background
):
    found = [[x, y, x + 6, y + 4, 1]]
    label = label_of(boxes=found)
    assert has_small_boxes(label)
    maker = masks(("boxes",), has_background)
    whole, part = (maker.first("a", one, features(0)) for one in (label, some(label)))
    inside = draw_boxes(found, View(*SIZE, FINE), IGNORE) != IGNORE
    assert (part[~inside] == IGNORE).all()
    if has_background:
        assert np.array_equal(part[inside], whole[inside]) and {*np.unique(part)} == {0, 1, IGNORE}


@pytest.mark.parametrize("complete", [True, False])
def test_the_target_of_some_boxes_is_open_outside(complete):
    dataset = SimpleNamespace(has_background=True, tag_names=[])
    items = SegmentationItems.__new__(SegmentationItems)
    items.dataset = dataset
    label = {"size": [20, 20], "boxes": [[2, 2, 10, 10, 1]]}
    label = label if complete else some(label)
    target = items.target("a", label, "boxes", View(20, 20, 20))
    assert {*np.unique(target)} == {1, 0 if complete else IGNORE}


# ---- kinds that an image lacks


@settings(max_examples=20)
@given(found=clicks.filter(len), is_complete=st.booleans(), has_background=st.booleans())
def test_what_an_image_lacks_takes_nothing_from_what_it_has(found, is_complete, has_background):
    """In a run of several kinds, clicks alone are known as in a run of clicks, tags as of tags."""
    data, complete = DATA[has_background], ["points"] * is_complete
    lacking = {"boxes": [], "tags": {"present": [], "absent": []}}
    label = some({"size": [90, 45], "points": found, **lacking}, *complete)
    mix, alone = (
        knowledge_of(label, signals, "walk", data, SIDE)
        for signals in (("tags", "points", "boxes"), ("points",))
    )
    tagged = some({**label, "points": [], "tags": {"present": ["b"], "absent": ["c"]}})
    tag, only = (
        knowledge_of(tagged, signals, term, data, SIDE)
        for signals, term in ((("tags", "points", "boxes"), "walk"), (("tags",), "cams"))
    )
    for one, other in ((mix, alone), (tag, only)):
        assert one.classes.tolist() == other.classes.tolist()
        assert one.is_closed == other.is_closed and np.array_equal(one.where, other.where)
        assert (one.marks is None) == (other.marks is None)
        assert one.marks is None or np.array_equal(one.marks, other.marks)
