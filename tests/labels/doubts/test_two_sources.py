"""What is told where two sources draw the same pictures otherwise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weakseg.labels.doubts.two_sources import FEWEST, best_overlaps, two_sources_lines
from weakseg.labels.formats.geometry import corners, overlap
from weakseg.labels.formats.records import Shape
from weakseg.labels.store import Given

SIZE = (400, 300)
sides = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(61, 99), st.integers(61, 99))
boxes = st.lists(st.tuples(sides, st.sampled_from(["cat", "dog"])), max_size=6)


def box(sides, label="cat"):
    return Shape("box", label, [float(side) for side in sides])


def told(earlier, later, complete=()):
    """Return what is told of one source and another: {picture: shapes} each."""
    views = [{"a": earlier.get(key, []), "b": later.get(key, [])} for key in {**earlier, **later}]
    pictures = {
        key: {
            source: Given(dict(enumerate(shapes)), SIZE, tuple(complete))
            for source, shapes in view.items()
        }
        for key, view in zip({**earlier, **later}, views, strict=True)
    }
    return [*two_sources_lines(pictures)]


@given(boxes, boxes)
def test_overlaps_are_those_of_boxes_one_by_one(mine, others):
    mine, others = ([box(*one) for one in some] for some in (mine, others))
    expected = [
        max((overlap(m.geometry, o.geometry) for o in others if o.label == m.label), default=0)
        for m in mine
    ]
    np.testing.assert_allclose(best_overlaps(mine, others), expected)


@given(st.lists(boxes, min_size=1, max_size=5))
def test_who_draws_the_same_or_another_part_is_not_told(pictures):
    drawn = {f"p{k}": [box(*one) for one in some] for k, some in enumerate(pictures)}
    assert not told(drawn, drawn, ["boxes"])
    apart = {key: [box(np.add(s.geometry, 200), s.label) for s in v] for key, v in drawn.items()}
    assert not told(drawn, apart)
    clicks = {
        k: [Shape("click", s.label, [9.0, 30.0 * n]) for n, s in enumerate(v)]
        for k, v in drawn.items()
    }
    assert not told(clicks, clicks) and not told(clicks, drawn)


@pytest.mark.parametrize("count", [FEWEST - 1, FEWEST])
@pytest.mark.parametrize("kind", ["boxes", "outlines", "full"])
def test_what_complete_lists_of_one_lack_is_told(count, kind):
    def shape(sides, label):
        ring = corners([float(side) for side in sides])
        if kind == "boxes":
            return box(sides, label)
        return (
            Shape("outline", label, ring)
            if kind == "outlines"
            else Shape("polygon", label, [[ring]])
        )

    whole = {f"p{k}": [shape((10, 10, 50, 40), "cat")] for k in range(9)}
    more = {
        key: [
            *one,
            *[shape((200, 100, 260, 190), "cat")] * (k < count),
            shape((300, 9, 350, 40), "dog"),
        ]
        for k, (key, one) in enumerate(whole.items())
    }
    lines = told(whole, more, [kind])  # a knows no dogs
    assert len(lines) == (count == FEWEST)
    assert all(
        f"of a lack {count} objects that b shows, the first a cat in p0" in line for line in lines
    )
    assert not told(whole, more)


@pytest.mark.parametrize("count", [FEWEST - 1, FEWEST])
def test_boxes_and_clicks_of_one_thing_that_differ_are_told(count):
    first = {f"p{k}": [box((10, 10, 100, 100))] for k in range(9)}
    tight = {f"p{k}": [box((10, 10, 70 if k < count else 99, 99))] for k in range(9)}
    lines = told(first, tight)
    assert len(lines) == (count == FEWEST)
    assert all(line.startswith(f"{count} boxes of b are around what others of a") for line in lines)
    first = {f"p{k}": [Shape("click", "cat", [50.0, 50.0])] for k in range(9)}
    other = {
        f"p{k}": [Shape("click", "dog" if k < count else "cat", [52.0, 51.0])] for k in range(9)
    }
    lines = told(first, other)
    assert len(lines) == (count == FEWEST)
    assert all("of another class, the first in p0 (dog and cat)" in line for line in lines)
    beside = {key: [*one, Shape("click", "dog", [49.0, 50.0])] for key, one in first.items()}
    assert not told(beside, other)  # cat and dog touch there


@pytest.mark.parametrize("count", [FEWEST - 1, FEWEST])
@pytest.mark.parametrize("kind", ["click", "stroke"])
def test_marks_of_one_class_each_that_differ_are_told_wherever_they_lie(count, kind):
    def marks(label, left, number=2):
        places = [[left + 30.0 * k, 50.0] for k in range(number)]
        return [
            Shape(kind, label, one if kind == "click" else {"path": [one], "width": 3})
            for one in places
        ]

    labels = {f"p{k}": ("cat", "dog")[k % 2] for k in range(count)}
    first = {key: marks(label, 10) for key, label in labels.items()}
    swapped = {key: marks({"cat": "dog", "dog": "cat"}[one], 110) for key, one in labels.items()}
    lines = told(first, swapped)
    assert len(lines) == (count == FEWEST)
    assert all(f"in {count} of {count} pictures clicks and strokes of b" in line for line in lines)
    # One mark each, or several classes in a picture, may be of several things.
    assert not told({key: one[:1] for key, one in first.items()}, swapped)
    both = {key: [*one, *marks(labels[key], 200)] for key, one in swapped.items()}
    assert not told(first, both)
    # Who never shows a class was not asked for it.
    cats = {key: marks("cat", 10) for key in labels}
    assert not told(cats, {key: marks("dog", 110) for key in labels})
    right = {f"q{k}": marks("cat", 10) for k in range(count + 1)}
    assert not told(first | right, swapped | right)
