"""GrabCut pseudo-masks: what they find, and what no input makes them do."""

import itertools
import pickle

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.common import IGNORE
from weakseg.labels import annotators, scribbles
from weakseg.labels.targets import View, draw_boxes
from weakseg.pseudo_masks import grabcut
from weakseg.pseudo_masks.grabcut import Options, draw_marks, grab_cut, pseudo_mask

SIZE = 64
MIXES = [("boxes",), ("boxes", "points"), ("boxes", "scribbles"), ("scribbles",)]
LAWS = settings(max_examples=40)
SEEDS = st.integers(0, 2**32)


# ---- drawn pictures whose mask is known


def disc(canvas, x, y, w, h, label):
    cv2.ellipse(canvas, ((x, y), (w, h), 0), label, -1)


def rectangle(canvas, x, y, w, h, label):
    canvas[round(y - h / 2) : round(y + h / 2), round(x - w / 2) : round(x + w / 2)] = label


def polygon(canvas, x, y, w, h, label):
    pentagon = np.float64([[0, -0.5], [0.5, -0.1], [0.3, 0.5], [-0.3, 0.5], [-0.5, -0.1]])
    corners = pentagon * (w, h) + (x, y)
    cv2.fillPoly(canvas, [corners.round().astype(np.int32)], label)


def painted(mask, colours, rng, noise=8):
    """Paint a mask with a colour a class and noise -> [S, S, 3] uint8."""
    smooth = np.asarray(colours, float)[mask]
    return (smooth + rng.normal(scale=noise, size=smooth.shape)).clip(0, 255).astype(np.uint8)


def labels_of(mask, signals, seed=0):
    """Let the simulated annotator label a mask."""
    extract = {
        "boxes": annotators.annotate_boxes,
        "points": annotators.annotate_points,
        "scribbles": scribbles.annotate_scribbles,
    }
    return {s: extract[s](annotators.Scene(mask), np.random.default_rng(seed)) for s in signals}


def overlap(mask, truth, label):
    """Return the IoU of a class on the pixels of which the mask is sure."""
    sure = mask != IGNORE
    cut, real = sure & (mask == label), sure & (truth == label)
    return np.count_nonzero(cut & real) / np.count_nonzero(cut | real)


def square(size=SIZE):
    return View(size, size, size)


@pytest.mark.parametrize("signals", MIXES, ids="+".join)
@settings(max_examples=15)
@given(
    seed=SEEDS,
    draw=st.sampled_from([disc, rectangle, polygon]),
    size=st.sampled_from([48, 64, 160]),
    place=st.tuples(st.floats(0.4, 0.6), st.floats(0.4, 0.6)),
    sides=st.tuples(*[st.floats(0.3, 0.5)] * 2),
    label=st.integers(1, 20),
)
def test_an_object_of_another_colour_is_recovered(signals, seed, draw, size, place, sides, label):
    rng, truth = np.random.default_rng(seed), np.zeros((size, size), np.uint8)
    draw(truth, *(size * np.array([*place, *sides])), label)
    ground = rng.integers(0, 256, 3)
    colours = np.repeat([ground], 21, 0)
    colours[label] = (ground + 128) % 256
    mask, outcome = pseudo_mask(
        painted(truth, colours, rng), labels_of(truth, signals, seed), square(size)
    )
    assert outcome == {"cut": 1}
    assert overlap(mask, truth, label) > 0.9 and np.mean(mask != IGNORE) > 0.8
    assert np.mean(mask[truth == label] == label) > 0.6  # most of it is found, not left in doubt


def test_every_class_of_twenty_one_is_found():
    rng, truth = np.random.default_rng(0), np.zeros((128, 128), np.uint8)
    for label in range(1, 21):
        row, column = divmod(label - 1, 5)
        disc(truth, 13 + 25 * column, 16 + 32 * row, 17, 22, label)
    colours = rng.integers(0, 2, (21, 3)) * 90 + 150
    colours[0] = 40, 50, 60
    image = painted(truth, colours, rng)
    for signals in (("boxes",), ("boxes", "scribbles"), ("boxes", "points", "scribbles")):
        mask, outcome = pseudo_mask(image, labels_of(truth, signals), square(128))
        assert outcome == {"cut": 20}
        assert min(overlap(mask, truth, label) for label in range(21)) > 0.8
    mask, outcome = pseudo_mask(image, labels_of(truth, ("scribbles",)), square(128))
    assert outcome.total() == 20 and outcome["cut"] >= 18
    assert np.isin(mask, [*range(21), IGNORE]).all()


@pytest.mark.parametrize("signals", MIXES, ids="+".join)
def test_the_smaller_of_two_objects_wins(signals):
    truth = np.zeros((SIZE, SIZE), np.uint8)
    disc(truth, 32, 32, 44, 44, 3)
    disc(truth, 32, 32, 18, 18, 7)
    image = painted(
        truth, [[30, 30, 30]] * 3 + [[220, 60, 40]] * 4 + [[60, 200, 220]], np.random.default_rng(0)
    )
    mask, outcome = pseudo_mask(image, labels_of(truth, signals), square())
    assert outcome == {"cut": 2}
    assert overlap(mask, truth, 7) > 0.9 and overlap(mask, truth, 0) > 0.9


@pytest.mark.parametrize("signals", MIXES, ids="+".join)
def test_another_size_gives_nearly_the_same_mask(signals):
    rng, masks = np.random.default_rng(0), []
    for size in (64, 128, 320):
        truth = np.zeros((size, size), np.uint8)
        polygon(truth, 0.45 * size, 0.5 * size, 0.5 * size, 0.6 * size, 1)
        image = painted(truth, [[40, 90, 60], [210, 140, 150]], rng)
        mask, _ = pseudo_mask(image, labels_of(truth, signals), square(size))
        masks.append(cv2.resize(mask, (64, 64), interpolation=cv2.INTER_NEAREST))
    for first, second in itertools.combinations(masks, 2):
        both = (first != IGNORE) & (second != IGNORE)
        assert both.mean() > 0.8 and (first == second)[both].mean() > 0.98


def test_annotations_are_in_original_pixels():
    rng, truth = np.random.default_rng(0), np.zeros((SIZE, SIZE), np.uint8)
    disc(truth, 30, 26, 30, 20, 2)
    image = painted(truth, [[0] * 3, [0] * 3, [200] * 3], rng)
    labels = labels_of(truth, ("boxes", "points"))
    larger = {
        "boxes": [[4 * x0, 2 * y0, 4 * x1, 2 * y1, c] for x0, y0, x1, y1, c in labels["boxes"]],
        "points": [[4 * x, 2 * y, c] for x, y, c in labels["points"]],
    }
    mask, _ = pseudo_mask(image, labels, square())
    same, _ = pseudo_mask(image, larger, View(4 * SIZE, 2 * SIZE, SIZE))
    assert np.array_equal(mask, same)


# ---- laws of any picture and any annotation


def pictures(size):
    """Noise, patches of few colours, or one colour."""

    def make(seed, kind):
        rng = np.random.default_rng(seed)
        if kind == "noise":
            return rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
        side = 3 if kind == "patches" else 1
        patches = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        return cv2.resize(patches, (size, size), interpolation=cv2.INTER_NEAREST)

    return st.builds(make, SEEDS, st.sampled_from(["noise", "patches", "one colour"]))


NUMBERS = st.integers(-12, 44).map(lambda n: n / 2)  # coordinates, of a picture 16 pixels long
CLASSES = st.integers(1, 20)
BOXES = st.tuples(NUMBERS, NUMBERS, st.integers(0, 60), st.integers(0, 60), CLASSES).map(
    lambda box: [box[0], box[1], box[0] + box[2] / 2, box[1] + box[3] / 2, box[4]]
)
LABELS = st.integers(0, 20)
ANY = {
    "boxes": st.lists(BOXES, max_size=4),
    "points": st.lists(st.tuples(NUMBERS, NUMBERS, LABELS).map(list), max_size=5),
    "scribbles": st.lists(
        st.fixed_dictionaries(
            {
                "class": LABELS,
                "width": st.integers(1, 4),
                "path": st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=4),
            }
        ),
        max_size=3,
    ),
}
SEVERAL = st.lists(
    BOXES, min_size=2, max_size=4, unique_by=lambda box: (box[2] - box[0]) * (box[3] - box[1])
)


@st.composite
def scenes(draw, **needed):
    """Return (image, annotations, view) of an original 16 x 16 pixels large."""
    size = draw(st.sampled_from([1, 2, 5, 16, 33]))
    optional = {signal: strategy for signal, strategy in ANY.items() if signal not in needed}
    return (
        draw(pictures(size)),
        draw(st.fixed_dictionaries(needed, optional=optional)),
        View(16, 16, size),
    )


@LAWS
@given(scenes(), SEEDS, st.sampled_from([Options(), Options(box_side=3, whole_side=4)]))
def test_marks_win_outside_of_boxes_is_background_and_all_is_counted(scene, seed, options):
    image, annotations, view = scene
    before, kept = image.copy(), pickle.dumps(annotations)
    mask, outcome = pseudo_mask(image, annotations, view, options)
    assert np.array_equal(image, before) and pickle.dumps(annotations) == kept
    assert mask.shape == (view.size, view.size) and mask.dtype == np.uint8
    assert set(outcome) <= {"cut", "empty", "full"}
    marks = draw_marks(annotations, view)
    marked, drawn = marks != IGNORE, {*np.unique(marks).tolist()} - {0, IGNORE}
    assert np.array_equal(mask[marked], marks[marked])
    boxes = annotations.get("boxes")
    assert {*np.unique(mask)} <= drawn | {box[4] for box in boxes or ()} | {0, IGNORE}
    if boxes is None:
        assert outcome.total() == len(drawn)
        if not outcome["cut"]:
            assert np.array_equal(mask, marks)
    else:
        assert outcome.total() == len(boxes)
        outside = draw_boxes([[*box[:4], 1] for box in boxes], view) == 0
        assert (mask[outside & ~marked] == 0).all()
        if not outcome["cut"]:
            assert (mask[~outside & ~marked] == IGNORE).all()
    # Nothing that ran before has any influence, nor the number of threads, nor other signals.
    cv2.setRNGSeed(seed % 2**31)
    np.random.seed(seed % 2**32)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(threads % 2 + 1)
    pseudo_mask(255 - image, annotations, view)
    again = pseudo_mask(image, annotations | {"tags": 1, "full": 2}, view, options)
    cv2.setNumThreads(threads)
    assert np.array_equal(again[0], mask) and again[1] == outcome


@LAWS
@given(scenes(boxes=SEVERAL), st.randoms(use_true_random=False))
def test_boxes_come_in_any_order(scene, random):
    image, annotations, view = scene
    mixed = annotations | {"boxes": random.sample(annotations["boxes"], len(annotations["boxes"]))}
    mask, outcomes = pseudo_mask(image, annotations, view)
    same, again = pseudo_mask(image, mixed, view)
    assert np.array_equal(mask, same) and outcomes == again


@settings(max_examples=15)
@given(SEEDS)
def test_a_mask_without_boxes_is_sure_only_where_all_guesses_agree(seed):
    rng, truth = np.random.default_rng(seed), np.zeros((SIZE, SIZE), np.uint8)
    disc(truth, 30, 30, 36, 26, 1)
    image = painted(truth, rng.integers(0, 256, (2, 3)), rng, noise=60)  # much alike, or not
    labels = labels_of(truth, ("scribbles",), seed)
    options = [Options(band=0, claims=claims) for claims in ((0.5, 1.0), (0.5,), (1.0,))]
    masks, outcomes = zip(
        *(pseudo_mask(image, labels, square(), option) for option in options), strict=True
    )
    if all(outcome["cut"] for outcome in outcomes):
        agreed, *single = masks
        assert (agreed != IGNORE).mean() > 0.3
        for mask in single:
            assert (mask == agreed)[agreed != IGNORE].all()
        assert np.array_equal(agreed == IGNORE, single[0] != single[1])


def test_classes_without_boxes_are_laid_down_from_the_largest():
    strokes = [
        {"class": 4, "width": 2, "path": [[6, 6], [58, 6], [58, 58]]},
        {"class": 9, "width": 2, "path": [[30, 30], [36, 36]]},
        {"class": 2, "width": 2, "path": [[20, 40], [30, 50]]},
    ]
    marks = draw_marks({"scribbles": strokes}, square())
    areas = [
        np.count_nonzero(one.cut.sure | one.cut.unsure)
        for one in grabcut.cut_classes(SCENE, marks, Options())
    ]
    assert len(set(areas)) == 3 and areas == sorted(areas, reverse=True)


def test_the_middle_of_a_box_is_its_object_unless_marks_say_more():
    inside = slice(10, 50), slice(10, 40)
    strokes = [
        {"class": 5, "width": 5, "path": [[15, 15], [15, 45]]},
        {"class": 0, "width": 3, "path": [[25, 30], [25, 31]]},
    ]
    cases = (([], cv2.GC_FGD), (strokes[:1], cv2.GC_PR_FGD), (strokes[1:], cv2.GC_BGD))
    for drawn, middle in cases:
        marks = draw_marks({"scribbles": drawn}, square())
        trimap = grabcut.box_trimap(marks, inside, 5, Options(), SIZE)
        assert trimap[30, 25] == middle and trimap[12, 38] == cv2.GC_PR_FGD
        assert (np.delete(trimap, np.s_[10:50], 0) == cv2.GC_BGD).all()


# ---- degenerate results

SCENE = painted(np.eye(SIZE, dtype=np.uint8), [[90] * 3, [160] * 3], np.random.default_rng(0))
FLAT = np.full((SIZE, SIZE, 3), 120, np.uint8)


@pytest.mark.parametrize(
    ("image", "box", "verdict"),
    [
        (FLAT, [10, 10, 40, 50, 5], "empty"),
        (FLAT, [0, 0, SIZE, SIZE, 5], "full"),
        (SCENE, [0, 0, SIZE, SIZE, 5], "full"),
        (SCENE, [-30, -30, 200, 200, 5], "full"),
        (SCENE, [200, 10, 220, 30, 5], "empty"),
        (SCENE, [-40, -40, -20, -20, 5], "empty"),
        (SCENE, [70, -9, 71, -8, 5], "empty"),
    ],
)
def test_a_box_that_cannot_be_cut_stays_as_it_was_drawn(image, box, verdict):
    mask, outcome = pseudo_mask(image, {"boxes": [box]}, square())
    assert outcome == {verdict: 1}
    drawn = draw_boxes([box], square())
    assert np.array_equal(mask, np.where(drawn == 5, IGNORE, 0))


def test_marks_in_a_box_that_cannot_be_cut_keep_their_classes():
    box, points = [10, 10, 50, 50, 5], [[33, 20, 5], [12.5, 30, 0], [48, 44, 3], [61.5, 2, 3]]
    mask, outcome = pseudo_mask(FLAT, {"boxes": [box], "points": points}, square())
    assert outcome == {"empty": 1}
    expected = np.where(draw_boxes([box], square()) == 5, IGNORE, 0)
    for x, y, label in points:
        expected[int(y), int(x)] = label
    assert np.array_equal(mask, expected)


def test_a_box_of_one_pixel_or_none_is_cut_or_given_up():
    whole, part, none = [20, 20, 21, 21, 4], [20.2, 20.2, 20.3, 20.3, 4], [20, 20, 20, 20, 4]
    for box in (whole, part, none, [0, 5, SIZE, 5, 4]):
        for image in (SCENE, FLAT):
            mask, outcome = pseudo_mask(image, {"boxes": [box]}, square())
            inside = draw_boxes([box], square()) == 4
            assert outcome.total() == 1 and inside.any() and (mask[~inside] == 0).all()
            assert (mask[inside] == IGNORE).all() or (outcome["cut"] and (mask[inside] == 4).any())


def test_a_given_up_object_does_not_hide_the_others():
    truth = np.zeros((SIZE, SIZE), np.uint8)
    rectangle(truth, 20, 30, 20, 30, 2)
    image = painted(truth, [[60] * 3, [0] * 3, [200, 90, 60]], np.random.default_rng(0))
    boxes = [*labels_of(truth, ("boxes",))["boxes"], [0, 0, SIZE, SIZE, 1]]
    mask, outcome = pseudo_mask(image, {"boxes": boxes}, square())
    assert outcome == {"cut": 1, "full": 1}
    assert np.mean(mask[truth == 2] == 2) > 0.7 and (mask[truth == 0] != 0).all()
    boxes[1] = [45, 10, 60, 30, 2]  # nothing but background, and noise
    mask, outcome = pseudo_mask(image, {"boxes": boxes}, square(), Options(least=0.99))
    assert outcome == {"cut": 1, "empty": 1}
    assert (mask[10:30, 45:60] == IGNORE).all() and np.mean(mask[truth == 2] == 2) > 0.7


def test_marks_that_cannot_be_cut_stay_as_they_were_drawn():
    strokes = [
        {"class": label, "width": 2, "path": [[x, 12], [x, 40]]} for label, x in ((3, 20), (0, 50))
    ]
    for annotations in ({"scribbles": strokes}, {"points": [[20, 20, 3], [50, 20, 0], [9, 9, 0]]}):
        mask, outcome = pseudo_mask(FLAT, annotations, square())
        assert outcome == {"empty": 1}
        assert np.array_equal(mask, draw_marks(annotations, square()))
    mask, outcome = pseudo_mask(SCENE, {"scribbles": strokes[1:]}, square())  # no object at all
    assert not outcome and {*np.unique(mask)} == {0, IGNORE}
    for annotations in ({}, {"points": []}, {"scribbles": [], "points": []}):
        mask, outcome = pseudo_mask(SCENE, annotations, square())
        assert not outcome and (mask == IGNORE).all()
    # Somebody looked, and there is no object.
    mask, outcome = pseudo_mask(SCENE, {"boxes": []}, square())
    assert not outcome and (mask == 0).all()


def test_clicks_lie_on_strokes():
    strokes = [{"class": 3, "width": 5, "path": [[10, 30], [50, 30]]}]
    mask, _ = pseudo_mask(SCENE, {"scribbles": strokes, "points": [[30, 30, 0]]}, square())
    assert mask[30, 30] == 0 and mask[30, 20] == 3


def test_marks_of_a_class_steer_the_cut():
    truth = np.zeros((SIZE, SIZE), np.uint8)
    rectangle(truth, 22, 32, 16, 40, 1)
    image = painted(truth, [[50] * 3, [200] * 3], np.random.default_rng(0))
    rectangle(truth, 42, 32, 16, 40, 1)
    image[truth == 1] = np.random.default_rng(0).normal(200, 5, (np.count_nonzero(truth), 3))
    box = {"boxes": [[14, 12, 50, 52, 1]]}
    both, _ = pseudo_mask(image, box, square())
    stroke = {"scribbles": [{"class": 0, "width": 3, "path": [[42, 15], [42, 50]]}]}
    steered, _ = pseudo_mask(image, box | stroke, square())
    assert np.mean(both[20:44, 36:48] == 1) > 0.5 > np.mean(steered[20:44, 36:48] == 1)


@pytest.mark.parametrize("shape", [(63, 64, 3), (64, 64), (64, 64, 4), (3, 64, 64), (32, 32, 3)])
def test_an_image_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match="the view 64 pixels a side"):
        pseudo_mask(np.zeros(shape, np.uint8), {"boxes": []}, square())


@pytest.mark.parametrize("value", [cv2.GC_BGD, cv2.GC_PR_BGD, cv2.GC_FGD, cv2.GC_PR_FGD])
def test_a_trimap_without_two_sides_is_returned(value):
    assert (grab_cut(SCENE, np.full((SIZE, SIZE), value, np.uint8)) == (value & 1)).all()


@LAWS
@given(scenes())
def test_without_a_background_boxes_of_one_class_alone_are_of_that_class(scene):
    """What no box holds is in doubt; where several may be, a cut decides as it does with one."""
    image, annotations, view = scene
    marks = draw_marks(annotations, view)
    mask, outcome = pseudo_mask(image, annotations, view, has_background=False)
    boxes = annotations.get("boxes")
    classes = {*np.unique(marks).tolist()} - {IGNORE} if boxes is None else {b[4] for b in boxes}
    assert {*np.unique(mask)} <= classes | {*np.unique(marks)} | {IGNORE}
    assert np.array_equal(mask[marks != IGNORE], marks[marks != IGNORE])
    assert outcome.total() == len(classes if boxes is None else boxes)
    if boxes is not None:
        numbers = np.array(sorted(classes), np.uint8)
        own = [[box for box in boxes if box[4] == number] for number in numbers]
        held = np.array([draw_boxes(each, view, IGNORE) != IGNORE for each in own])
        held, free = held.reshape(-1, *mask.shape), marks == IGNORE
        assert (mask[free & (held.sum(0) == 0)] == IGNORE).all()
        for number, where in zip(numbers, held, strict=True):
            assert (mask[free & where & (held.sum(0) == 1)] == number).all()
            assert not (mask == number)[free & ~where].any()
        with_one, _ = pseudo_mask(image, annotations, view)
        decided = (with_one != 0) & (with_one != IGNORE) & (held.sum(0) > 1)
        assert np.array_equal(mask[decided & free], with_one[decided & free])


@pytest.mark.parametrize("fill", [1.0, 0.9])
def test_without_a_background_a_class_behind_everything_is_what_cuts_leave(fill):
    """Its box is the whole picture, or nearly; that of another class lies in it."""
    truth = np.zeros((SIZE, SIZE), np.uint8)
    disc(truth, 30, 34, 24, 20, 1)
    image = painted(truth, [[60, 90, 120], [200, 80, 40]], np.random.default_rng(0))
    y, x = np.nonzero(truth)
    box = [int(side) for side in (x.min(), y.min(), x.max() + 1, y.max() + 1)]
    boxes = {"boxes": [[0, 0, SIZE, round(fill * SIZE), 0], [*box, 1]]}
    mask, _ = pseudo_mask(image, boxes, square(), has_background=False)
    for label in (0, 1):
        assert overlap(mask, truth, label) > 0.9
        assert (mask[truth == label] == label).mean() > 0.7
