"""Pictures hold what they claim, pairs are shown in a fair order, answers are read strictly."""

import base64
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jsonschema import Draft202012Validator
from PIL import Image

from vlm_itl.judges.base import Case
from vlm_itl.judges.colours import WORDS
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
    resized_mask,
)
from weakseg.common import UserError
from weakseg.reporting import pictures, style

NAMES = ("background", "cat", "dog")
VERSIONS = ["2.16735b39dad59243", "2.0166a0f3697713f4", "2.59a36dd1883f6233", "2.13083a7b93228bcd"]
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


@given(masks, st.integers(1, 5), st.integers(1, 5))
def test_a_crop_holds_all_foreground_and_lies_in_the_photograph(mask, wider, higher):
    large = mask.repeat(higher, 0).repeat(wider, 1)
    size = large.shape[::-1]
    x0, y0, x1, y1 = crop_box(size, mask)
    assert 0 <= x0 < x1 <= size[0] and 0 <= y0 < y1 <= size[1]
    assert np.count_nonzero(large[y0:y1, x0:x1]) == np.count_nonzero(large)
    width, height = x1 - x0, y1 - y0
    assert width == height or min(width, height) in (size[0], size[1])  # square where there is room
    if not mask.any():
        assert (x0, y0, x1, y1) == (0, 0, *size)


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
    assert "- dog: orange" in text and "cat:" not in text and "at least 0.75" in text
    both = pair_question(case(label=2), case(label=1), 0.75, Look()).text
    assert "- dog: blue" in both and "- cat: orange" in both and "#" not in both


@pytest.mark.parametrize("number", [8, 16, 17, 40])
def test_many_classes_are_told_apart_without_hexadecimal_numbers(number):
    """Each class has a colour of its own, and a word or a number that stands on it."""
    names = ("background", *(f"class {i}" for i in range(1, 151)))
    labels = np.arange(150 - number, 150) + 1
    mask = np.zeros((60, 60), np.uint8)
    for i, label in enumerate(labels):
        mask[8 * (i // 7) : 8 * (i // 7) + 7, 8 * (i % 7) : 8 * (i % 7) + 7] = label
    image = np.full((60, 60, 3), 128, np.uint8)
    question = single_question(Case("a", image, mask, names), 0.7, Look(("overlay",), 960))
    lines = [line for line in question.text.splitlines() if line.startswith("- class")]
    words = [line.partition(": ")[2] for line in lines]
    assert [line.split(":")[0] for line in lines] == [f"- class {label}" for label in labels]
    assert len(set(words)) == number and "#" not in question.text
    ((_, picture),) = question.images()
    colours, marked = set(), []
    for label, word in zip(labels, words, strict=True):
        y, x = (16 * part.min() for part in np.nonzero(mask == label))
        cell = picture[y + 8 : y + 104, x + 8 : x + 104].reshape(-1, 3)
        values, counts = np.unique(cell, axis=0, return_counts=True)
        colours.add(tuple(values[counts.argmax()]))
        marked.append(counts.max() < 0.99 * len(cell))
        assert marked[-1] == ("number" in word)
    assert len(colours) == number and sum(marked) == max(0, number - len(WORDS))


def test_words_of_colours_are_the_nearest_of_their_colours():
    """Each word's colour lies nearer to what the word means than to what another one means."""
    meant = {
        "orange": (255, 165, 0),
        "blue": (0, 100, 200),
        "green": (0, 150, 100),
        "pink": (220, 120, 170),
        "light blue": (110, 190, 240),
        "red-orange": (230, 80, 0),
        "yellow": (255, 240, 60),
        "magenta": (255, 0, 255),
        "dark violet": (80, 0, 150),
        "maroon": (128, 0, 0),
        "olive": (110, 110, 0),
        "lavender": (190, 140, 255),
        "cyan": (0, 255, 255),
        "beige": (225, 200, 140),
        "bright green": (0, 255, 0),
        "navy blue": (0, 0, 110),
    }
    for word, colour in WORDS:
        shown = style.palette(255)[colour].astype(int)
        assert min(meant, key=lambda other: np.abs(shown - meant[other]).sum()) == word


@pytest.fixture
def landscape(tmp_path):
    """A case of a photograph of 160 x 80 pixels, whose network saw 32 x 32."""
    photograph = np.zeros((80, 160, 3), np.uint8)
    photograph[20:60, 40:80] = 255
    photograph[::2, 100:] = 90  # stripes that no square of 32 pixels can show
    path = tmp_path / "photo.png"
    Image.fromarray(photograph).save(path)
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:16] = 1
    image = cv2.resize(photograph, (32, 32), interpolation=cv2.INTER_AREA)
    return Case("a", image, mask, NAMES, path=path), photograph


def test_the_photograph_is_shown_as_it_was_taken_with_the_mask_brought_to_it(landscape):
    shown, photograph = landscape
    views = dict(zip(VIEWS, single_question(shown, 0.7, Look(side=160)).images(), strict=True))
    assert np.array_equal(views["photo"][1], photograph)
    for name in ("overlay", "contour"):
        assert views[name][1].shape == photograph.shape
        assert np.array_equal(views[name][1][::2, 110:], photograph[::2, 110:])  # the stripes too
    changed = (views["overlay"][1] != photograph).any(-1)
    ys, xs = np.nonzero(changed)
    # The tint covers the object to a pixel or two: 40 to 80 of 160 across, 20 to 60 of 80 down.
    assert (
        abs(np.array([xs.min(), xs.max() + 1, ys.min(), ys.max() + 1]) - [40, 80, 20, 60]).max()
        <= 3
    )
    height, width = views["crop"][1].shape[:2]
    assert width == height == 160
    pair = pair_question(shown, replace(shown, mask=np.roll(shown.mask, 8, 1)), 0.7, Look(side=160))
    assert {picture.shape[1] for _, picture in pair.images()[:3]} == {325}


def test_a_photograph_of_another_file_is_another_question(landscape, tmp_path):
    shown, photograph = landscape
    Image.fromarray(photograph // 2).save(tmp_path / "other.png")
    other = replace(shown, path=tmp_path / "other.png")
    assert other.image_hash != shown.image_hash == replace(shown).image_hash


@given(masks, st.integers(1, 90), st.integers(1, 90))
def test_a_resized_mask_invents_no_class_and_keeps_itself(mask, width, height):
    rows, columns = mask.shape
    whole = (0, 0, columns, rows)
    assert np.array_equal(resized_mask(mask, (columns, rows), whole), mask)
    resized = resized_mask(mask, (width, height), whole)
    assert resized.shape == (height, width) and set(np.unique(resized)) <= set(np.unique(mask))


def test_the_outline_of_an_enlarged_mask_has_no_stairs():
    rows, columns = np.mgrid[:24, :24]
    disc = np.uint8((rows - 11.5) ** 2 + (columns - 11.5) ** 2 < 64)
    large = resized_mask(disc, (480, 480), (0, 0, 24, 24))
    (line, *_), _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    radii = np.linalg.norm(line[:, 0] - 239.5, axis=1)
    assert radii.std() < 6 and abs(radii.mean() - 160) < 8


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
