"""Prices: schedules and their mistakes, counts of actions, and the laws of adding them up."""

import hashlib
import math

import numpy as np
import pytest
import yaml
from conftest import run
from hypothesis import given
from hypothesis import strategies as st

import weak_label_generator
from weakseg.common import UserError
from weakseg.labels import costs
from weakseg.labels.costs import FILE, LOOK, UNITS, add_counts, hours, load_schedule, price_labels
from weakseg.labels.label_file import load_labels
from weakseg.labels.signals import SIGNALS, count_actions, image_seconds, was_looked_at
from weakseg.labels.training_labels import annotation_cost, labels_digest

CLASSES = 20
BUILT_IN = yaml.safe_load(FILE.read_text())
LOOKS = BUILT_IN["extreme_clicking"]["look"]["image"]
NONE = st.just([])
SECONDS = [name for name, table in BUILT_IN.items() if table["unit"] == "seconds"]
label = st.integers(1, CLASSES)
coordinate = st.floats(0, 100)
point = st.tuples(coordinate, coordinate, st.integers(0, CLASSES)).map(list)
answer = st.builds(
    lambda x, y, label: {"x": x + 0.5, "y": y + 0.5, "class": label, "drawn": "random", "fit": 0},
    st.integers(0, 5),
    st.integers(0, 5),
    st.sampled_from([0, 1, CLASSES, 255]),
)
names = [f"class {number}" for number in range(CLASSES)]


@st.composite
def images(draw):
    """The annotations of one image: {signal: annotation}."""
    there = draw(st.sets(st.sampled_from(names), max_size=4))
    objects = draw(st.integers(0, 6))
    return {
        "full": {
            "objects": objects,
            "classes": draw(st.integers(min(objects, 1), max(objects, 0))),
        },
        "tags": {"present": sorted(there), "absent": [name for name in names if name not in there]},
        "points": draw(st.lists(point, max_size=6)),
        "scribbles": [
            {"class": c, "width": 3, "path": []}
            for c in draw(st.lists(st.integers(0, CLASSES), max_size=4))
        ],
        "boxes": [[0, 0, 1, 1, c] for c in draw(st.lists(label, max_size=4))],
        "outlines": [
            {"class": c, "polygon": [[0, 0], [9, 0], [0, 9]]}
            for c in draw(st.lists(label, max_size=4))
        ],
        "pixels": draw(st.lists(answer, max_size=6)),
    }


modes = st.sets(st.sampled_from([*SIGNALS]), min_size=1).map(
    lambda chosen: tuple(s for s in SIGNALS if s in chosen)
)


def priced(image, signals, schedule, classes=CLASSES):
    counts = count_actions(image, signals, classes)
    return schedule.price_all(counts, was_looked_at(counts))


def total(image, signals, schedule, classes=CLASSES):
    return sum(priced(image, signals, schedule, classes).values())


@given(st.lists(images(), max_size=4), modes, st.sampled_from(SECONDS))
def test_a_cost_is_the_sum_over_images(some, signals, name):
    schedule = load_schedule(name)
    labels = dict(enumerate(some))
    cost = annotation_cost(labels, labels, signals, CLASSES)
    together = price_labels(cost["counts"], cost["images"], schedule)
    assert sum(together["seconds"].values()) == pytest.approx(
        sum(total(i, signals, schedule) for i in some)
    )
    unseen = sum(signals == ("pixels",) and not image["pixels"] for image in some)
    assert together["images"] == len(some) - unseen and together["schedule"] == name


@given(
    images(),
    modes,
    st.sampled_from(SECONDS),
    st.sampled_from(["points", "scribbles", "boxes", "full", "pixels"]),
    point,
)
def test_more_work_never_costs_less(image, signals, name, what, extra):
    """One more object drawn costs more, and nothing where its signal is not bought."""
    schedule = load_schedule(name)
    more = {
        "points": image["points"] + [extra],
        "scribbles": image["scribbles"] + [{"class": 1}],
        "boxes": image["boxes"] + [[0, 0, 1, 1, 1]],
        "full": image["full"] | {"objects": image["full"]["objects"] + 1},
        "pixels": image["pixels"] + [{"x": 9.5, "y": 9.5, "class": extra[2]}],
    }
    before, after = (total(i, signals, schedule) for i in (image, image | {what: more[what]}))
    # Naming a class that was absent spares the second for ruling it out, which is less than drawing
    # it takes.
    assert after > before if what in signals else after == before


@given(images(), modes, modes, st.sampled_from(SECONDS))
def test_more_signals_never_cost_less_nor_more_than_apart(image, first, second, name):
    schedule = load_schedule(name)
    both = tuple(s for s in SIGNALS if s in {*first, *second})
    one, other, mixed = (total(image, signals, schedule) for signals in (first, second, both))
    assert max(one, other) - 1e-9 <= mixed <= one + other + 1e-9


def test_bearmans_figures():
    """Per image of VOC: 1.5 classes of 20, 2.8 objects."""
    bearman = load_schedule("bearman2016")
    shown = [1, 2]  # two images, of one class and of two
    cases = {
        "tags": ([{"present": names[:k], "absent": names[k:]} for k in shown], 20.0),
        "points": ([[[1, 1, c + 1] for c in range(k)] for k in shown], 22.1),
        "scribbles": ([[{"class": c + 1} for c in range(k)] for k in shown], 34.85),
        "full": (
            [{"objects": n, "classes": k} for n, k in zip((2, 3.6), shown, strict=True)],
            239.7,
        ),
    }
    for signal, (annotations, expected) in cases.items():
        found = [total({signal: annotation}, (signal,), bearman) for annotation in annotations]
        assert np.mean(found) == pytest.approx(expected), signal
    mixed = {signal: annotations[0] for signal, (annotations, _) in cases.items()}
    assert total(mixed, ("tags", "points"), bearman) == pytest.approx(
        20 + 2.4
    )  # absent classes are ruled out once


@given(images(), st.sampled_from([*SIGNALS]))
def test_the_default_prices_are_those_of_the_signals_alone_and_of_a_look(image, signal):
    alone = SIGNALS[signal].seconds(image[signal], CLASSES + 1)
    unseen = signal == "pixels" and not image["pixels"]  # no question was about it
    looks = 0 if unseen else LOOKS
    assert total(image, (signal,), load_schedule()) == pytest.approx(alone + looks)
    assert image_seconds(image, (signal,), CLASSES) == pytest.approx(alone + looks)


@given(images(), modes, modes, st.sampled_from(SECONDS))
def test_a_picture_is_looked_at_once_whatever_its_labels(image, first, second, name):
    schedule, both = load_schedule(name), tuple(s for s in SIGNALS if s in {*first, *second})
    for signals in (first, second, both):
        costs = priced(image, signals, schedule)
        unseen = signals == ("pixels",) and not image["pixels"]  # no question was about it
        assert costs.get(LOOK, 0) == (0 if unseen else schedule.prices[LOOK]["image"])
        assert {*costs} - {LOOK} == {*signals}


@given(st.lists(answer, max_size=8), st.data(), st.sampled_from([2, 10, 11, 21]))
def test_an_answer_is_paid_once_also_where_nobody_can_tell(answers, data, num_classes):
    again = answers + data.draw(st.lists(st.sampled_from(answers), max_size=4) if answers else NONE)
    each = 3.0 if num_classes > 10 else 2.0
    places = {(one["x"], one["y"]) for one in answers}
    for annotation in (answers, again):
        for name in SECONDS:
            counts = count_actions({"pixels": annotation}, ("pixels",), num_classes - 1)
            assert load_schedule(name).price_all(counts)["pixels"] == each * len(places)


@given(images(), st.sampled_from(SECONDS))
def test_answers_look_for_no_absent_class_and_rule_none_out(image, name):
    for others in (("points",), ("tags", "boxes")):
        with_answers = count_actions(image, (*others, "pixels"), CLASSES)
        assert {s: with_answers[s] for s in others} == count_actions(image, others, CLASSES)


def test_a_look_is_charged_where_a_schedule_prices_it(tmp_path):
    counts = {"points": {"image": 3, "first_point": 4, "further_point": 0, "absent": 0}}
    prices = {"unit": "seconds", "points": {"first_point": 2, "further_point": 1, "absent": 0}}
    assert price_labels(counts, 3)["seconds"] == {"points": pytest.approx(9.6), LOOK: 3 * LOOKS}
    assert LOOK not in price_labels(counts, 3, load_schedule("bearman2016"))["seconds"]
    without = load_schedule(write(tmp_path, prices))
    assert price_labels(counts, 3, without)["seconds"] == {"points": 8}
    own = load_schedule(write(tmp_path, prices | {"look": {"image": 4}}))
    assert price_labels(counts, 3, own)["seconds"] == {"points": 8, LOOK: 12}
    assert price_labels({}, 0)["seconds"] == {} == price_labels({}, 5)["seconds"]
    assert hours(price_labels(counts, 3)) == pytest.approx((9.6 + 3 * LOOKS) / 3600)


def test_relative_units_are_the_first_plans():
    def units(*signals):
        image = {s: {"present": ["cat"], "absent": []} if s == "tags" else [] for s in signals}
        return annotation_cost([image] * 3, range(3), signals, 1)["relative"]

    assert [units(s) for s in ("tags", "points", "scribbles", "boxes")] == [1, 2, 5, 5]
    assert units("tags", "points") == 3
    counts = {"full": {"image": 1, "object": 1, "absent": 0}}
    assert price_labels(counts, 1)["relative"] is None


def test_every_figure_has_a_source():
    for name, table in BUILT_IN.items():
        for signal, prices in table.items():
            assert signal == "unit" or prices["source"], (name, signal)
        assert load_schedule(name).unit in UNITS


def test_labels_of_older_files_have_a_price():
    """A mask priced by its objects alone shows at least one class."""
    found = count_actions({"full": {"objects": 3}}, ("full",), CLASSES)
    assert found["full"] == {"image": 1, "object": 3, "absent": CLASSES - 1}


@given(st.lists(images(), max_size=3), modes)
def test_counts_know_no_prices_and_add_up(some, signals):
    counts = [count_actions(image, signals, CLASSES) for image in some]
    added = add_counts(counts)
    for signal, actions in added.items():
        for action, number in actions.items():
            assert number == sum(c[signal].get(action, 0) for c in counts)
    if some and "tags" in signals and len(signals) > 1:
        assert all(added[s]["absent"] <= CLASSES * len(some) for s in signals)


def write(folder, content):
    path = folder / "my.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    costs.load_schedule.cache_clear()
    return str(path)


@pytest.mark.parametrize("priced", [{}, {"correction": 3}])
def test_a_schedule_without_corrections_prices_them_by_its_outlines(tmp_path, priced):
    (tmp_path / "my.yaml").write_text(
        yaml.safe_dump({"unit": "seconds", "full": {"object": 7.9, "absent": 0, **priced}})
    )
    schedule = load_schedule(str(tmp_path / "my.yaml"))
    expected = 2 * priced.get("correction", 1.09)
    assert schedule.price("full", {"object": 0, "correction": 2}) == pytest.approx(expected)


def test_a_schedule_of_ones_own(tmp_path):
    path = write(
        tmp_path,
        {
            "unit": "seconds",
            "boxes": {"box": 5.5, "absent": 0.5, "source": "us"},
            "full": {"image": 90},
        },
    )
    schedule = load_schedule(path)
    assert schedule.price_all({"boxes": {"image": 1, "box": 2, "absent": 3}}) == {"boxes": 12.5}
    assert schedule.price_all({"full": {"image": 2, "object": 9, "absent": 3}}) == {"full": 180}
    assert schedule.price_all({"points": {}}) is None
    with pytest.raises(UserError, match=r"my\.yaml.*points"):
        price_labels({"points": {"image": 1}}, 1, schedule)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxs": {"box": 1, "absent": 0}}, "unknown key 'boxs'; did you mean boxes"),
        ({"boxes": {"bx": 1, "absent": 0}}, "boxes: unknown key 'bx'; did you mean box"),
        ({"boxes": {"box": "seven", "absent": 0}}, "boxes.box: must be a number, not 'seven'"),
        ({"boxes": {"box": True, "absent": 0}}, "boxes.box: must be a number"),
        ({"boxes": {"box": math.nan, "absent": 0}}, "boxes.box: must be a number"),
        ({"boxes": {"box": -7, "absent": 0}}, "boxes.box: must not be negative"),
        ({"boxes": {"box": 7}}, "boxes: has no price for 'absent'"),
        ({"points": {"first_point": 2, "absent": 0}}, "points: has no price for 'further_point'"),
        ({"boxes": 7}, "boxes: must be a table"),
        ({"unit": "minutes"}, "unit: must be one of seconds, relative, not 'minutes'"),
        ({"unit": None}, "unit: must be one of"),
        ({}, "has no price"),
    ],
)
def test_a_mistake_in_a_schedule_gets_one_line(change, message, tmp_path):
    path = write(tmp_path, {"unit": "seconds"} | change)
    with pytest.raises(UserError) as caught:
        load_schedule(path)
    assert (
        message in str(caught.value) and path in str(caught.value) and "\n" not in str(caught.value)
    )


@pytest.mark.parametrize("text", ["- 1", "7", "a: [", "\0", ""])
def test_a_file_that_is_no_schedule_gets_one_line(text, tmp_path):
    with pytest.raises(UserError, match=r"my\.yaml") as caught:
        load_schedule(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_an_unknown_name_gets_its_nearest():
    with pytest.raises(UserError, match="did you mean bearman2016"):
        load_schedule("bearman2015")


def test_the_generators_labels_are_priced_alike(pets_dir, tmp_path):
    """Of two species an image shows one: tags rule the other out, and spare other signals that."""
    path = tmp_path / "labels.pkl"
    run(
        weak_label_generator,
        "--data_dir",
        pets_dir,
        "--classes",
        "species",
        "--output_file",
        path,
        "--jobs",
        1,
    )
    for image in load_labels(path)["images"].values():
        counts = count_actions(image, tuple(SIGNALS), 2)
        assert {counts[s]["absent"] for s in SIGNALS if s != "tags"} == {0}
        alone = {s: count_actions(image, (s,), 2)[s]["absent"] for s in SIGNALS}
        assert alone == dict.fromkeys(SIGNALS, 1) | {"pixels": 0}


@given(st.lists(images(), max_size=4), modes)
def test_the_digest_is_that_of_the_labels_written_out(some, signals):
    labels = {f"image {n}": image for n, image in enumerate(some)}
    written = repr([(name, [labels[name][s] for s in signals]) for name in sorted(labels)])
    assert (
        labels_digest(labels, labels, signals) == hashlib.sha256(written.encode()).hexdigest()[:16]
    )


def test_a_price_that_stands_twice_is_refused(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("unit: seconds\nfull:\n  object: 79\n  object: 1\n  absent: 0\n")
    with pytest.raises(UserError, match=r"not a readable .*the key 'object' stands twice"):
        load_schedule(str(path))
