"""Pictures hold what they claim, pairs are shown in a fair order, answers are read strictly."""

import base64
import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jsonschema import Draft202012Validator

from vlm_itl.judges.base import Case
from vlm_itl.judges.prompts import (
    PairAnswer,
    SingleAnswer,
    pair_question,
    schema,
    single_question,
)
from vlm_itl.judges.views import (
    VIEWS,
    Look,
    contour,
    crop_box,
    data_url,
    encode,
    foreground,
)
from weakseg.common import UserError
from weakseg.reporting import pictures, style

NAMES = ("background", "cat", "dog")
VERSIONS = ["1.145398e06f12f7d5", "1.1be9ea39bfab3226", "1.1dfd0fee71e9f896", "1.6afea8965d6036d6"]
GREY = np.full((64, 64, 3), 128, np.uint8)
SINGLE = {
    "reason": "fine",
    "errors": ["boundary"],
    "iou": 0.8,
    "probability": 0.9,
    "decision": "accept",
}
masks = arrays(
    np.uint8,
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    elements=st.sampled_from([0, 0, 0, 1, 2]),
)


def case(box=(10, 10, 30, 40), label=1, image=GREY):
    mask = np.zeros(image.shape[:2], np.uint8)
    x0, y0, x1, y1 = box
    mask[y0:y1, x0:x1] = label
    return Case("a", image, mask, NAMES)


@given(masks)
def test_a_crop_holds_all_foreground_and_lies_in_the_image(mask):
    x0, y0, x1, y1 = crop_box(mask)
    assert 0 <= x0 < x1 <= mask.shape[1] and 0 <= y0 < y1 <= mask.shape[0]
    assert np.count_nonzero(mask[y0:y1, x0:x1]) == np.count_nonzero(mask)
    if not mask.any():
        assert (x0, y0, x1, y1) == (0, 0, mask.shape[1], mask.shape[0])


def test_a_small_object_is_enlarged_to_the_whole_picture():
    small = case((30, 30, 36, 36))
    (_, picture), (_, whole) = single_question(small, 0.7, Look(("crop", "contour"), 320)).images()
    reds = [np.count_nonzero((p != 128).any(-1)) / p[..., 0].size for p in (picture, whole)]
    assert picture.shape == whole.shape == (320, 320, 3) and reds[0] > 2.5 * reds[1]


@given(masks)
@settings(max_examples=40)
def test_contours_have_the_class_colour_and_leave_what_is_far_as_it_was(mask):
    image = np.full((*mask.shape, 3), 128, np.uint8)
    drawn = contour(image, mask)
    near = cv2.dilate(np.uint8(mask != 0), np.ones((7, 7), np.uint8)) > 0
    assert (image == 128).all() and (drawn[~near] == 128).all()
    for label in foreground(mask):
        drawn = contour(
            image, np.where(mask == label, mask, 0)
        )  # alone: a neighbour's line may cover a tiny one
        assert (drawn == style.palette(label + 1)[label]).all(-1).any()


@pytest.mark.parametrize("format", ["png", "jpeg"])
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_travels_as_a_decodable_picture(view, format):
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    ((_, picture),) = single_question(case(image=image), 0.7, Look((view,), 128)).images()
    head, data = data_url(picture, format).split(",")
    assert head == f"data:image/{format};base64" and base64.b64decode(data) == encode(
        picture, format
    )
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)[
        ..., ::-1
    ]
    assert decoded.shape == picture.shape and max(decoded.shape) == 128
    assert np.abs(decoded.astype(int) - picture).mean() < (1e-9 if format == "png" else 20)


def test_the_legend_names_exactly_the_predicted_classes_and_their_colours():
    text = single_question(case(label=2), 0.75, Look()).text
    assert (
        f"dog: blue ({style.hex_colour(2)})" in text
        and "cat:" not in text
        and "at least 0.75" in text
    )
    both = pair_question(case(label=2), case(label=1), 0.75, Look()).text
    assert "- dog: blue" in both and "- cat: orange" in both


def test_a_mask_of_background_is_shown_whole():
    empty = case((0, 0, 0, 0))
    question = single_question(empty, 0.7, Look(tuple(VIEWS), 64))
    assert "predicts no object" in question.text
    assert all(np.array_equal(picture, GREY) for _, picture in question.images())


def test_a_pair_is_one_question_in_either_order_and_half_of_all_are_swapped():
    pairs = [(case((1, 1, 20, 20 + i)), case((5, 5, 40, 21 + i))) for i in range(40)]
    swaps = 0
    for first, second in pairs:
        one, two = (
            pair_question(first, second, 0.7, Look()),
            pair_question(second, first, 0.7, Look()),
        )
        assert one.cases == two.cases and one.swapped != two.swapped
        assert one.swapped == (one.cases[0] is second)
        swaps += one.swapped
    assert 10 < swaps < 30


def test_candidate_a_is_on_the_left():
    question = pair_question(case(label=1), case(label=2), 0.7, Look(("overlay",), 64))
    ((_, picture),) = question.images()
    for shown, half in zip(question.cases, (picture[:, :64], picture[:, -64:]), strict=True):
        assert np.array_equal(half[-64:], pictures.overlay(GREY, shown.mask))


def test_a_pair_of_two_images_is_refused():
    with pytest.raises(ValueError, match="one image"):
        pair_question(case(), case(image=GREY + 1), 0.7, Look())


def test_the_version_follows_the_words_the_look_and_the_way_of_asking():
    questions = [
        single_question(case(), 0.7, Look()),
        single_question(case(), 0.8, Look()),
        single_question(case(label=2), 0.7, Look()),
        single_question(case(), 0.7, Look(side=256)),
        single_question(case(), 0.7, Look(), "word"),
    ]
    versions = [question.version() for question in questions] + [
        questions[0].version("temperature 1")
    ]
    assert len(set(versions)) == len(versions)
    assert single_question(case((0, 0, 5, 5)), 0.7, Look()).version() == versions[0]


def test_answers_that_were_paid_for_stay_valid():
    """Questions have the versions under which answers are cached.

    Other versions throw all caches away. Where that is meant, change `PROMPT_VERSION`, and these.
    """
    first, second = case(), case(label=2)
    jpeg = Look(("photo",), 256, "jpeg")
    versions = [
        single_question(first, 0.7, Look()).version("temperature 0.0"),
        pair_question(first, second, 0.7, Look()).version("temperature 0.0"),
        single_question(first, 0.7, jpeg, "word").version("greedy None auto"),
        pair_question(first, second, 0.7, jpeg, "word").version("greedy None auto"),
    ]
    assert versions == VERSIONS


@pytest.mark.parametrize(
    "text", ["{}", "```json\n{}\n```", "<think>{{'no'}} {{\"iou\": 2}}</think> So:\n{} Done."]
)
def test_an_answer_is_found_among_other_words(text):
    text = text.replace("{{", "{").replace("}}", "}").replace("{}", json.dumps(SINGLE))
    assert single_question(case(), 0.7, Look()).read(text) == SINGLE


@given(
    st.text()
    | st.recursive(
        st.none() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from([*SINGLE, "x"]), x),
    ).map(json.dumps)
)
def test_what_does_not_fit_is_a_value_error(text):
    with pytest.raises(ValueError):
        single_question(case(), 0.7, Look()).read(text)


@pytest.mark.parametrize(
    "change",
    [
        {"iou": 1.2},
        {"probability": float("nan")},
        {"decision": "maybe"},
        {"errors": ["hole"]},
        {"reason": 3},
    ],
)
def test_each_field_is_checked_and_named(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        single_question(case(), 0.7, Look()).read(json.dumps(SINGLE | change))


def test_a_choice_less_sure_than_a_guess_is_refused():
    question = pair_question(case(), case(label=2), 0.7, Look())
    assert question.read('{"better": "A", "probability": 0.5}')["better"] == "A"
    with pytest.raises(ValueError, match="probability"):
        question.read('{"better": "A", "probability": 0.4}')


@pytest.mark.parametrize(
    "model, answer", [(SingleAnswer, SINGLE), (PairAnswer, {"better": "tie", "probability": 0.5})]
)
def test_schemas_are_strict(model, answer):
    Draft202012Validator.check_schema(schema(model))
    validator = Draft202012Validator(schema(model))
    assert validator.is_valid(answer) and not validator.is_valid(answer | {"x": 1})
    for name in answer:
        assert not validator.is_valid({key: value for key, value in answer.items() if key != name})


@pytest.mark.parametrize("views", [(), ("heatmap",)])
def test_unknown_views_are_named(views):
    with pytest.raises(UserError, match=r"vlm_options\.views"):
        Look(views)
