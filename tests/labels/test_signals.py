"""Laws of views, drawings and the signal table, against formulas written out pixel by pixel."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from losses import SIGNAL_LOSSES
from weakseg.common import IGNORE, UserError
from weakseg.labels import annotators, targets
from weakseg.labels.signals import SIGNALS, TERMS, count_actions, parse_modes
from weakseg.labels.targets import View
from weakseg.losses.base import Mean
from weakseg.training.recipes import LossOptions

LAWS = settings(max_examples=60)
LABELS = st.integers(0, 5)


@st.composite
def views(draw):
    """Draw a view of a non-square original, with or without crop and flip."""
    size = draw(st.integers(8, 40))
    left, top = draw(st.integers(0, size - 4)), draw(st.integers(0, size - 4))
    crop = (left, top, draw(st.integers(4, size - left)), draw(st.integers(4, size - top)))
    return View(
        draw(st.integers(5, 90)),
        draw(st.integers(5, 90)),
        size,
        *(crop if draw(st.booleans()) else ()),
        flip=draw(st.booleans()),
    )


def back(view):
    """Return the original x and y under the centre of each network pixel, two [size, size]."""
    rows, columns = np.mgrid[: view.size, : view.size] + 0.5
    if view.flip:
        columns = view.size - columns
    left, top, width, height = view.crop
    x = (left + columns * width / view.size) * view.width / view.size
    y = (top + rows * height / view.size) * view.height / view.size
    return x, y


coordinates = st.floats(0, 90, allow_nan=False, width=32)
points = st.lists(st.tuples(coordinates, coordinates, LABELS).map(list), max_size=6)
strokes = st.lists(
    st.fixed_dictionaries(
        {
            "class": LABELS,
            "width": st.integers(1, 5),
            "path": st.lists(st.tuples(coordinates, coordinates).map(list), min_size=1, max_size=5),
        }
    ),
    max_size=3,
)
boxes = st.lists(
    st.tuples(coordinates, coordinates, st.floats(0.1, 60), st.floats(0.1, 60), LABELS).map(
        lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3], b[4]]
    ),
    max_size=4,
)
answers = st.lists(
    st.builds(
        lambda x, y, label: {"x": x, "y": y, "class": label, "drawn": "random", "fit": 0},
        coordinates,
        coordinates,
        LABELS | st.just(IGNORE),
    ),
    max_size=6,
)
DRAWN = {"points": points, "scribbles": strokes, "boxes": boxes, "pixels": answers}


@LAWS
@given(st.data())
def test_with_the_identity_view_a_point_lands_on_its_own_pixel(data):
    size = data.draw(st.integers(1, 40))
    inside = st.floats(0, size, exclude_max=True)
    x, y, label = data.draw(inside), data.draw(inside), data.draw(LABELS)
    target = targets.draw_points([[x, y, label]], View(size, size, size))
    assert target[int(y), int(x)] == label
    assert (target != IGNORE).sum() == 1


def test_coordinates_are_x_then_y_on_an_image_that_is_not_square():
    view = View(width=60, height=20, size=30)  # x shrinks by 2, y grows by 1.5
    point = targets.draw_points([[50.5, 5.5, 1]], view)
    assert list(zip(*np.nonzero(point != IGNORE), strict=True)) == [(8, 25)]
    box = targets.draw_boxes([[40, 2, 60, 6, 1]], view)
    assert np.array_equal(np.nonzero(box.any(0))[0], range(20, 30))
    assert np.array_equal(np.nonzero(box.any(1))[0], range(3, 9))
    scribble = targets.draw_scribbles(
        [{"class": 1, "width": 1, "path": [[0.5, 19.5], [59.5, 19.5]]}], view
    )
    assert np.array_equal(np.nonzero((scribble == 1).any(1))[0], [29])
    assert (scribble[29] == 1).all()


@LAWS
@given(st.sampled_from([*DRAWN, "full"]), views(), st.data())
def test_the_drawing_of_the_flip_is_the_flip_of_the_drawing(signal, view, data):
    if signal == "full":
        annotation = (
            np.random.default_rng(0).integers(0, 5, (view.size, view.size)).astype(np.uint8)
        )
    else:
        annotation = data.draw(DRAWN[signal])
    one, other = (
        SIGNALS[signal].target(annotation, replace(view, flip=flip), ()) for flip in (False, True)
    )
    assert one.dtype == np.uint8
    assert one.shape == (view.size, view.size)
    assert np.array_equal(one[:, ::-1], other)


@LAWS
@given(views(), points)
def test_points_are_drawn_where_the_view_shows_them_and_only_there(view, annotation):
    target = targets.draw_points(annotation, view)
    x, y = back(view)
    expected = np.full_like(target, IGNORE)
    half = np.array([view.width * view.crop[2], view.height * view.crop[3]]) / view.size**2 / 2
    for px, py, label in annotation[::-1]:
        expected[(np.abs(x - px) <= half[0]) & (np.abs(y - py) <= half[1])] = label
    edge = np.zeros_like(target, bool)  # a point on a pixel's very edge may fall on either side
    for px, py, _ in annotation:
        edge |= np.isclose(np.abs(x - px), half[0], atol=1e-5) | np.isclose(
            np.abs(y - py), half[1], atol=1e-5
        )
    assert np.array_equal(target[~edge], expected[~edge])


@LAWS
@given(views(), boxes)
def test_boxes_cover_the_pixels_whose_centres_are_inside_and_the_smallest_wins(view, annotation):
    target = targets.draw_boxes(annotation, view)
    x, y = back(view)
    expected, doubtful = np.zeros_like(target), np.zeros_like(target, bool)
    for x0, y0, x1, y1, label in sorted(annotation, key=lambda b: -(b[2] - b[0]) * (b[3] - b[1])):
        columns, rows = (x >= x0) & (x < x1), (y >= y0) & (y < y1)
        expected[columns & rows] = label
        near = [
            np.isclose(values, edge, atol=1e-5)
            for values, edges in ((x, (x0, x1)), (y, (y0, y1)))
            for edge in edges
        ]
        doubtful |= np.any(near, axis=0)
        if not columns.any() or not rows.any():  # too thin for this size, or out of sight
            pixel = np.array([view.width * view.crop[2], view.height * view.crop[3]]) / view.size**2
            doubtful |= ((x > x0 - pixel[0]) & (x < x1 + pixel[0])) & (
                (y > y0 - pixel[1]) & (y < y1 + pixel[1])
            )
    assert np.array_equal(target[~doubtful], expected[~doubtful])


@LAWS
@given(views(), boxes)
def test_any_two_opposite_corners_make_a_box(view, annotation):
    turned = [[x1, y0, x0, y1, label] for x0, y0, x1, y1, label in annotation]
    target = targets.draw_boxes(annotation, view)
    assert np.array_equal(targets.draw_boxes(turned, view), target)


def test_a_box_between_pixel_centres_takes_one_pixel_and_a_box_on_them_no_more():
    view = View(100, 100, 10)
    assert (targets.draw_boxes([[52, 31, 54, 33, 1]], view) == 1).sum() == 1
    assert targets.draw_boxes([[52, 31, 54, 33, 1]], view)[3, 5] == 1
    assert np.argwhere(targets.draw_boxes([[15, 15, 25, 25, 1]], view)).tolist() == [[1, 1]]


@LAWS
@given(views())
def test_a_mask_through_the_view_is_torchvisions_crop_and_resize(view):
    mask = np.random.default_rng(0).integers(0, 9, (view.size, view.size)).astype(np.uint8)
    seen = targets.crop_mask(mask, view)
    left, top, width, height = view.crop
    peer = tv.resized_crop(
        torch.from_numpy(mask)[None],
        top,
        left,
        height,
        width,
        [view.size] * 2,
        interpolation=InterpolationMode.NEAREST_EXACT,
    )[0]
    peer = (peer.flip(-1) if view.flip else peer).numpy()
    # Where a centre lies on the border of two pixels, float32 decides for torchvision.
    centres = 2 * np.arange(view.size) + 1
    rows, columns = (centres * side % (2 * view.size) != 0 for side in (height, width))
    columns = columns[::-1] if view.flip else columns
    assert np.array_equal(seen[rows][:, columns], peer[rows][:, columns])


@LAWS
@given(views(), st.integers(0, 2**32))
def test_labels_through_a_view_agree_with_the_mask_through_it(view, seed):
    """What is drawn on a pixel of the network is, in the mask, somewhere under that pixel."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((view.height, view.width), np.uint8)
    left, top = rng.integers(0, view.width), rng.integers(0, view.height)
    mask[top : top + rng.integers(1, 40), left : left + rng.integers(1, 40)] = 1
    scene = annotators.Scene(
        mask, options=annotators.Options(points_per_object=4, background_points=4)
    )
    x, y = back(view)
    half = np.array([view.width * view.crop[2], view.height * view.crop[3]]) / view.size**2 / 2
    for signal in ("points", "boxes"):
        target = SIGNALS[signal].target(SIGNALS[signal].extract(scene, rng), view, ())
        for row, column in np.argwhere(target != IGNORE):
            low, high = (
                np.floor([y[row, column] + s * half[1], x[row, column] + s * half[0]])
                for s in (-1, 1)
            )
            rows, columns = (
                slice(max(0, int(a)), int(b) + 1) for a, b in zip(low, high, strict=True)
            )
            assert target[row, column] in mask[rows, columns]


@LAWS
@given(views(), answers)
def test_answers_are_drawn_as_the_clicks_of_those_who_can_tell_the_last_first(view, annotation):
    last = {(int(one["x"]), int(one["y"])): one for one in annotation}.values()
    clicks = [[one["x"], one["y"], one["class"]] for one in last if one["class"] != IGNORE]
    expected = targets.draw_points(clicks[::-1], view)
    assert np.array_equal(targets.draw_pixels(annotation, view), expected)


def test_nothing_outside_the_crop_is_drawn():
    view = View(100, 100, 50, left=25, top=25, crop_width=20, crop_height=20)
    assert (
        targets.draw_points([[10, 60, 1], [95, 60, 1], [60, 10, 1], [60, 95, 1]], view) == IGNORE
    ).all()
    far = [{"class": 1, "width": 3, "path": [[5, 5], [5, 95], [30, 95]]}]
    assert (targets.draw_scribbles(far, view) == IGNORE).all()
    assert not targets.draw_boxes([[0, 0, 40, 100, 1], [95, 0, 100, 100, 2]], view).any()


def test_scribbles_keep_their_width_and_never_vanish():
    line = [{"class": 2, "width": 9, "path": [[10, 50], [90, 50]]}]
    assert 4 <= (targets.draw_scribbles(line, View(100, 100, 50)) == 2).sum(0).max() <= 6
    assert (targets.draw_scribbles(line, View(100, 100, 10)) == 2).sum(0).max() == 1
    assert (
        targets.draw_scribbles([{"class": 0, "width": 1, "path": [[5, 5]]}], View(9, 9, 9)) == 0
    ).sum() == 1


def test_the_first_of_two_labels_on_one_pixel_wins():
    view = View(100, 100, 4)
    assert targets.draw_points([[10, 10, 1], [12, 12, 0]], view)[0, 0] == 1
    crossing = [
        {"class": c, "width": 1, "path": path}
        for c, path in ((1, [[0, 10], [99, 10]]), (0, [[10, 0], [10, 99]]))
    ]
    assert targets.draw_scribbles(crossing, view)[0, 0] == 1


def test_tag_vectors_tell_present_absent_and_unknown():
    vector = targets.tag_vector({"present": ["b"], "absent": ["a"]}, ("a", "b", "c"))
    assert vector.tolist() == [0, 1, -1]
    assert vector.dtype == np.float32


@pytest.fixture
def scene():
    mask = np.zeros((40, 60), np.uint8)
    mask[5:20, 5:25], mask[25:35, 40:50] = 1, 2
    return annotators.Scene(mask, ("cat",), ("cat", "dog"))


@pytest.mark.parametrize("signal", SIGNALS)
def test_every_signal_goes_from_mask_to_loss(signal, scene):
    row, view = SIGNALS[signal], View(60, 40, 32)
    annotation = row.extract(scene, np.random.default_rng(0))
    assert row.seconds(annotation) > 0
    shown = np.zeros((32, 32), np.uint8) if signal == "full" else annotation
    target = torch.from_numpy(row.target(shown, view, scene.tag_names))[None]
    outputs = {
        "seg": torch.zeros(1, 3, 32, 32, requires_grad=True),
        "tags": torch.zeros(1, 2, requires_grad=True),
        "cam": torch.rand(1, 2, 2, 2),
    }
    terms = SIGNAL_LOSSES[signal](outputs, target, LossOptions((1, 2)))
    assert set(terms) <= set(TERMS)
    assert signal in terms
    for mean in terms.values():
        assert isinstance(mean, Mean)
        assert mean.value.item() == pytest.approx(
            np.log(2 if mean is terms.get("tags") else 3), rel=1e-5
        )
        mean.value.backward(retain_graph=True)


def test_seconds_follow_the_published_prices():
    price = {name: row.seconds for name, row in SIGNALS.items()}
    assert price["points"]([]) == 0
    assert price["points"]([[1, 1, 1]] * 3 + [[5, 5, 0]]) == pytest.approx(2 * 2.4 + 2 * 0.9)
    assert price["tags"]({"present": ["a"], "absent": ["b", "c"]}) == 3
    assert price["scribbles"]([{}, {}]) == pytest.approx(21.8)
    assert price["boxes"]([[0, 0, 1, 1, 1]]) == 7
    assert price["full"]({"objects": 2}) == 158
    assert price["pixels"]([{"x": 1.5, "y": 1.5, "class": IGNORE}]) == 2
    assert price["pixels"]([{"x": 1.5, "y": 1.5, "class": 0}], 11) == 3


@pytest.mark.parametrize(
    ("words", "signals"),
    [
        (["points"], ("points",)),
        (["hybrid_tags_points"], ("tags", "points")),
        (["boxes", "points"], ("points", "boxes")),
        (["hybrid_boxes_points", "tags"], ("tags", "points", "boxes")),
        (["full", "full"], ("full",)),
    ],
)
def test_modes_are_parsed_in_the_order_of_the_table(words, signals):
    assert parse_modes(words) == signals


@pytest.mark.parametrize(
    "word", ["point", "hybrid_tags_pionts", "hybrid_", "points_boxes", "", "Points"]
)
def test_an_unknown_mode_names_the_choices(word):
    with pytest.raises(UserError, match="choose from full, tags, points, scribbles, "):
        parse_modes([word])
    if word == "hybrid_tags_pionts":
        with pytest.raises(UserError, match="'pionts': did you mean points"):
            parse_modes([word])


@pytest.mark.parametrize("signal", ["points", "scribbles", "boxes", "full"])
def test_without_a_background_class_0_counts_and_boxes_say_nothing_of_the_outside(signal, scene):
    whole = replace(scene, has_background=False)
    row, view = SIGNALS[signal], View(60, 40, 32)
    annotation = row.extract(whole, np.random.default_rng(0))
    assert row.count_shown(annotation, False) == 3
    counts = count_actions({signal: annotation}, (signal,), 3, False)
    assert counts[signal]["absent"] == 0
    if signal == "boxes":
        some = [box for box in annotation if box[4]]
        target = row.target(some, view, (), False)
        background = row.target(some, view, ())
        assert np.array_equal(target == IGNORE, background == 0)
        assert set(np.unique(target)) == {1, 2, IGNORE}
    if signal in ("points", "scribbles"):
        assert row.count_shown(annotation, True) == 2
