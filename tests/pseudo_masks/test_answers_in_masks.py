"""Answers in pseudo-masks: they keep their classes, nothing grows from them, the rest is open."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weakseg.common import IGNORE
from weakseg.labels.targets import View, draw_pixels
from weakseg.pseudo_masks.from_labels import annotations_of, knowledge_of, term_of, with_answers

SIDE, SIZE = 32, (100, 50)
WITH, WITHOUT = (
    SimpleNamespace(
        has_background=answer,
        class_names=list("abcd"),
        tag_names=["b", "c", "d"],
        tag_class=[1, 2, 3],
    )
    for answer in (True, False)
)
answers = st.lists(
    st.builds(
        lambda x, y, label: {"x": x, "y": y, "class": label, "drawn": "random", "fit": 0},
        st.floats(0, 99),
        st.floats(0, 49),
        st.sampled_from([0, 1, 2, IGNORE]),
    ),
    max_size=5,
)


def drawn(told):
    return draw_pixels(told, View(*SIZE, SIDE))


@given(told=answers, seed=st.integers(0, 9))
def test_a_mask_keeps_all_but_the_pixels_that_a_person_named(told, seed):
    mask = np.random.default_rng(seed).integers(0, 3, (SIDE, SIDE)).astype(np.uint8)
    label, said = {"size": SIZE, "pixels": told}, drawn(told)
    kept = with_answers(mask, label, ("pixels", "boxes"))
    assert np.array_equal(kept, np.where(said == IGNORE, mask, said))
    assert with_answers(mask, label, ("boxes",)) is mask
    assert with_answers(mask, {"size": SIZE}, ("pixels",)) is mask


@pytest.mark.parametrize(
    ("signals", "term"),
    [
        (("pixels",), "open"),
        (("tags", "pixels"), "cams"),
        (("points", "pixels"), "walk"),
        (("tags", "scribbles", "pixels"), "walk"),
        (("boxes",), "walk"),
        (("tags",), "cams"),
    ],
)
def test_other_labels_say_what_a_picture_shows(signals, term):
    assert term_of(dict.fromkeys(signals, ()), signals) == term
    # Those that the run does not learn from say nothing.
    assert term_of(dict.fromkeys(("tags", "points", "boxes"), ()), ("pixels",)) == "open"
    assert "pixels" not in annotations_of(dict.fromkeys(signals, ()), signals)


@given(told=answers)
def test_answers_alone_leave_every_class_possible_everywhere(told):
    label, marks = {"size": SIZE, "pixels": told}, drawn(told)
    for dataset, classes in ((WITH, [1, 2, 3]), (WITHOUT, [0, 1, 2, 3])):
        known = knowledge_of(label, ("pixels",), "open", dataset, SIDE)
        assert known.classes.tolist() == classes and known.where.all()
        assert known.is_closed == dataset.has_background
        assert known.marks is None if (marks == IGNORE).all() else (known.marks == marks).all()


@given(told=answers)
def test_answers_add_no_class_to_those_that_clicks_and_tags_show(told):
    label = {
        "size": SIZE,
        "pixels": told,
        "points": [[99.5, 49.5, 3], [98.5, 1.5, 0]],
        "tags": {"present": ["d"], "absent": ["b", "c"]},
    }
    said = drawn(told)
    for signals, term in ((("points", "pixels"), "walk"), (("tags", "pixels"), "cams")):
        known = knowledge_of(label, signals, term, WITH, SIDE)
        alone = knowledge_of(label, signals[:1], term, WITH, SIDE)
        assert known.classes.tolist() == alone.classes.tolist() == [3]
        assert known.is_closed == alone.is_closed
        if (said != IGNORE).any():
            assert np.array_equal(known.marks[said != IGNORE], said[said != IGNORE])
