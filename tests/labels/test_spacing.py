"""How far predictions look, by the labels: laws of scale, order, mirror and rank."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weakseg.labels.pixels import Pixels, pixels_of_points
from weakseg.labels.spacing import (
    LEAST,
    MOST,
    MOST_OF_MASKS,
    OF_BOXES,
    OF_MARKS,
    WITHOUT_PLACES,
    distance_between_classes,
    edge_radius,
    radius_of_predicted,
    things_in,
    usual_radius,
)

SIZE = (90, 60)
ALL = ("full", "boxes", "scribbles", "points", "tags")
FACTORS = st.floats(0.1, 50)
PLACES = [st.floats(0, length).map(lambda value: round(value, 2)) for length in SIZE]
CLICKS = st.lists(st.tuples(*PLACES, st.integers(0, 3)), max_size=12)
CLICKS_OF_CLASSES = CLICKS.filter(lambda clicks: len({click[2] for click in clicks}) > 1)
BOXES = st.lists(st.tuples(*PLACES, *PLACES, st.integers(1, 3)), min_size=1, max_size=6)
TAGS = {"present": ["cat"], "absent": []}
NO_MARKS = pixels_of_points([])


def by_marks(clicks, size=SIZE):
    """Return the radius that clicks alone suggest."""
    return edge_radius({"size": size, "points": clicks}, ("points",), pixels_of_points(clicks))


def by_boxes(boxes, size=SIZE):
    """Return the radius that boxes alone suggest."""
    return edge_radius({"size": size, "boxes": boxes}, ("boxes",), NO_MARKS)


def scaled(annotation, factor):
    """Return clicks or boxes of the photograph at another size."""
    return [[*(factor * value for value in one[:-1]), one[-1]] for one in annotation]


def mirrored(annotation, axis):
    """Return clicks or boxes of the photograph's mirror image along x (0) or y (1)."""
    flipped = [list(one) for one in annotation]
    for one in flipped:
        for place in range(axis, len(one) - 1, 2):
            one[place] = SIZE[axis] - one[place]
    return flipped


# ---- clicks and strokes


@given(clicks=CLICKS)
def test_the_distance_is_that_of_every_mark_to_its_nearest_rival(clicks):
    classes = sorted({click[2] for click in clicks})
    found = distance_between_classes(pixels_of_points(clicks))
    if len(classes) < 2:
        assert found is None and by_marks(clicks) is None
        return
    usual = []
    for label in classes:
        own = [click[:2] for click in clicks if click[2] == label]
        rivals = [click[:2] for click in clicks if click[2] != label]
        usual.append(np.median([min(np.hypot(x - a, y - b) for a, b in rivals) for x, y in own]))
    assert found == pytest.approx(np.median(usual))
    assert by_marks(clicks) == pytest.approx(OF_MARKS * found / max(SIZE))


def test_a_class_with_many_marks_counts_as_much_as_one_with_few():
    few = [[10, 10, 0], [40, 10, 1], [40, 50, 2]]
    many = [*few, *([40, 50, 2] for _ in range(50))]
    distances = [distance_between_classes(pixels_of_points(clicks)) for clicks in (few, many)]
    assert distances == [30, 30]


@given(clicks=CLICKS_OF_CLASSES, factor=FACTORS)
def test_of_marks_the_photograph_s_size_does_not_count(clicks, factor):
    larger = by_marks(scaled(clicks, factor), [factor * side for side in SIZE])
    assert larger == pytest.approx(by_marks(clicks))


@given(clicks=CLICKS_OF_CLASSES, seed=st.integers(0, 99), axis=st.integers(0, 1))
def test_of_marks_order_mirror_and_the_names_of_classes_do_not_count(clicks, seed, axis):
    rng = np.random.default_rng(seed)
    names = rng.permutation(4)
    radius = by_marks(clicks)
    shuffled = [clicks[number] for number in rng.permutation(len(clicks))]
    renamed = [(x, y, int(names[label])) for x, y, label in clicks]
    assert by_marks(shuffled) == by_marks(renamed) == radius
    assert by_marks(mirrored(clicks, axis)) == pytest.approx(radius)


# ---- boxes


@given(boxes=BOXES, factor=FACTORS)
def test_of_boxes_the_photograph_s_size_does_not_count(boxes, factor):
    radius = by_boxes(boxes)
    shorter = np.median([min(abs(c - a), abs(d - b)) for a, b, c, d, _ in boxes])
    assert radius == pytest.approx(OF_BOXES * shorter / max(SIZE))
    larger = by_boxes(scaled(boxes, factor), [factor * side for side in SIZE])
    assert larger == pytest.approx(radius)


@given(boxes=BOXES, seed=st.integers(0, 99), axis=st.integers(0, 1))
def test_of_boxes_order_mirror_and_which_corner_comes_first_do_not_count(boxes, seed, axis):
    rng = np.random.default_rng(seed)
    turned = []
    for number in rng.permutation(len(boxes)):
        (x0, y0, x1, y1, label), (turn_x, turn_y) = boxes[number], rng.integers(0, 2, 2)
        x, y = (x0, x1)[:: -1 if turn_x else 1], (y0, y1)[:: -1 if turn_y else 1]
        turned.append([x[0], y[0], x[1], y[1], label])
    assert by_boxes(turned) == by_boxes(boxes)
    assert by_boxes(mirrored(boxes, axis)) == pytest.approx(by_boxes(boxes))


# ---- masks


@st.composite
def scenes(draw):
    """A mask [60, 90] uint8 of rectangles that touch none, and their boxes."""
    mask, found = np.zeros(SIZE[::-1], np.uint8), []
    for row, column in draw(st.sets(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=1)):
        width, height = draw(st.integers(1, 28)), draw(st.integers(1, 28))
        x, y, label = 30 * column, 30 * row, draw(st.integers(1, 3))
        mask[y : y + height, x : x + width] = label
        found.append([x, y, x + width, y + height, label])
    return mask, found


@given(scene=scenes(), void=st.booleans())
def test_the_things_in_a_mask_are_what_hangs_together(scene, void):
    mask, found = scene
    mask[:, 29] = 255 if void else 0
    sides = sorted(min(x1 - x0, y1 - y0) / 90 for x0, y0, x1, y1, _ in found)
    found_sides, areas = things_in(mask, SIZE, True)
    assert (
        sorted(found_sides) == pytest.approx(sides)
        and areas.sum() == ((mask > 0) & (mask < 255)).sum()
    )
    without, _ = things_in(mask, SIZE, False)
    assert len(without) > len(sides)  # what is no object is a thing as well


@given(scene=scenes(), factor=st.integers(1, 20), seed=st.integers(0, 99))
def test_a_mask_s_size_names_and_mirror_images_do_not_count(scene, factor, seed):
    mask, _ = scene
    expected = sorted(things_in(mask, SIZE, True)[0])
    names = np.array([0, *(1 + np.random.default_rng(seed).permutation(3))], np.uint8)
    for other in (mask[::-1], mask[:, ::-1], names[mask]):
        assert sorted(things_in(other, SIZE, True)[0]) == pytest.approx(expected)
    larger = np.kron(mask, np.ones((factor, factor), np.uint8))
    assert sorted(things_in(larger, SIZE, True)[0]) == pytest.approx(expected, abs=2 / 250)


@given(scene=scenes(), least=st.sampled_from([LEAST, LEAST / 5, LEAST * 4]))
def test_masks_suggest_what_boxes_of_the_same_things_do_within_their_bounds(scene, least):
    mask, found = scene
    things, _ = things_in(mask, SIZE, True, least)
    radius = edge_radius({"size": SIZE, "full": None}, ("full",), NO_MARKS, things, least)
    seen = [box for box in found if by_boxes([box]) >= least * (1 + 1e-9)]
    expected = min(by_boxes(seen), MOST_OF_MASKS) if seen else min(least, MOST_OF_MASKS)
    assert radius == pytest.approx(expected)


@given(scene=scenes())
def test_of_a_predicted_mask_the_thing_counts_that_a_pixel_is_usually_in(scene):
    mask, found = scene
    by_pixel = [[min(x1 - x0, y1 - y0) / 90] * (x1 - x0) * (y1 - y0) for x0, y0, x1, y1, _ in found]
    radius = radius_of_predicted(mask, SIZE, True)
    middle = np.sort(np.concatenate(by_pixel))
    assert radius == pytest.approx(OF_BOXES * middle[(len(middle) - 1) // 2])
    assert radius_of_predicted(np.zeros_like(mask), SIZE, True) is None


def test_a_mask_without_a_thing_suggests_nothing():
    things, _ = things_in(np.zeros((60, 90), np.uint8), SIZE, True)
    assert not len(things)
    assert edge_radius({"size": SIZE, "full": None}, ("full",), NO_MARKS, things) is None


# ---- which label says it


LABEL = {
    "size": SIZE,
    "full": None,
    "boxes": [[10, 10, 30, 50, 1]],
    "points": [[20, 30, 1], [80, 30, 0]],
    "tags": TAGS,
}
MARKS = pixels_of_points(LABEL["points"])
SUGGESTED = {
    "full": OF_BOXES * 0.04,
    "boxes": OF_BOXES * 20 / 90,
    "points": OF_MARKS * 60 / 90,
    "tags": WITHOUT_PLACES,
}


@given(there=st.sets(st.sampled_from([*SUGGESTED])), used=st.sets(st.sampled_from(ALL)))
def test_masks_say_it_before_boxes_boxes_before_marks_marks_before_tags(there, used):
    """And of the labels that are there, only those that the run learns from."""
    label = {"size": SIZE} | {signal: LABEL[signal] for signal in there}
    marks = MARKS if "points" in there & used else NO_MARKS
    first = next((signal for signal in SUGGESTED if signal in there & used), None)
    expected = None if first is None else pytest.approx(SUGGESTED[first])
    things = np.array([0.04]) if "full" in there & used else None
    assert edge_radius(label, used, marks, things) == expected


@pytest.mark.parametrize(
    "more", [{}, {"boxes": []}, {"points": []}, {"points": [[1, 1, 0], [5, 5, 0]]}, {"tags": {}}]
)
def test_labels_that_show_no_size_suggest_nothing(more):
    marks = pixels_of_points(more.get("points", []))
    assert edge_radius({"size": SIZE} | more, ALL, marks) is None


@given(
    suggested=st.lists(st.none() | st.floats(0, 1), max_size=9),
    seed=st.integers(0, 99),
    least=st.floats(LEAST / 9, LEAST),
)
def test_a_run_takes_what_its_images_usually_suggest_within_bounds(suggested, seed, least):
    radius = usual_radius(suggested)
    assert LEAST <= radius <= MOST
    assert least <= usual_radius(suggested, least) <= radius
    known = [one for one in suggested if one is not None]
    middle = np.median(known) if known else WITHOUT_PLACES
    assert radius == pytest.approx(np.clip(middle, LEAST, MOST))
    order = np.random.default_rng(seed).permutation(len(suggested))
    assert usual_radius([suggested[number] for number in order]) == radius
    assert usual_radius([*suggested, None]) == radius


@pytest.mark.parametrize("radius", [MOST_OF_MASKS, WITHOUT_PLACES])
def test_what_labels_suggest_without_a_size_lies_within_the_bounds(radius):
    assert usual_radius([radius]) == radius


def test_marks_at_one_place_suggest_the_least():
    marks = Pixels(np.full((2, 2), 7.5), np.array([0, 1]), np.ones(2))
    assert distance_between_classes(marks) == 0
    assert usual_radius([edge_radius({"size": SIZE}, ("points",), marks)]) == LEAST
