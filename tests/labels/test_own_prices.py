"""Prices of one's own: the model's formula and limits, what a second belongs to, the command."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import yaml
from conftest import run
from hypothesis import given, settings
from hypothesis import strategies as st

import labels
from weakseg.common import UserError
from weakseg.labels.clock import CLOCKS
from weakseg.labels.costs import DEFAULT, load_schedule
from weakseg.labels.formats.records import Classes
from weakseg.labels.own_prices import BELIEF, PEOPLE, USUAL, odd_times, own_prices
from weakseg.labels.own_schedule import own_schedule
from weakseg.labels.signals import count_actions, was_looked_at
from weakseg.labels.store import Event, opened_store
from weakseg.labels.timings import ABSENT, ACCEPTED, CORRECTION, LOOKS, Stretch, stretches
from weakseg.planning.ask import question_seconds

BOX, ANSWER = ("boxes", "box"), ("pixels", "answer")
PUBLISHED = load_schedule()
seconds = st.floats(0.2, 50)


def took(value):
    return dict.fromkeys(CLOCKS, value)


def stretch(acts, value, visit="a"):
    return Stretch(acts, took(value), str(visit), False)


def boxes(values, per_picture=1):
    return [stretch({BOX: 1}, value, n // per_picture) for n, value in enumerate(values)]


def posterior(mean, number, variance, published):
    """The closed form of an act that always stands alone."""
    prior, own = 1 / PEOPLE**2, number / variance
    return math.exp((prior * math.log(published) + own * math.log(mean)) / (prior + own))


def test_of_one_box_the_price_is_the_formula():
    found = own_prices(boxes([14.0]), PUBLISHED, "60")[BOX]
    assert found.price.value == pytest.approx(posterior(14, 1, USUAL, 7))
    width = 1.96 / math.sqrt(1 / PEOPLE**2 + 1 / USUAL)
    assert found.price.high == pytest.approx(found.price.value * math.exp(width))
    assert (found.number, found.median, found.mean.value, found.mean.high) == (1, 14, 14, math.inf)


def test_of_some_boxes_the_price_is_the_formula():
    values = np.array([4.0, 6, 8, 12])
    variance = math.expm1(np.log(values).var(ddof=1))  # of the person's own pictures
    variance = (BELIEF * USUAL + 3 * variance) / (BELIEF + 3)
    found = own_prices(boxes(values), PUBLISHED, "60")[BOX]
    assert found.price.value == pytest.approx(posterior(7.5, 4, variance, 7))
    error = values.std(ddof=1) / 2
    assert found.mean.high == pytest.approx(7.5 * math.exp(1.96 * error / 7.5))


@given(st.lists(seconds, min_size=1, max_size=30))
@settings(deadline=None, max_examples=40)
def test_a_price_lies_between_the_published_one_and_the_mean(values):
    found = own_prices(boxes(values), PUBLISHED, "20")[BOX]
    low, high = sorted([7.0, found.mean.value])
    assert low * (1 - 1e-6) <= found.price.value <= high * (1 + 1e-6)
    assert found.price.low < found.price.value < found.price.high


def test_without_time_the_price_is_the_published_one_and_with_much_the_mean():
    assert own_prices([], PUBLISHED, "60") == {}
    table = own_schedule({}, PUBLISHED)
    assert table.pop("unit") == "seconds"
    assert all(one.pop("source") for one in table.values()) and table == PUBLISHED.prices
    values = np.random.default_rng(0).lognormal(3, 0.7, 4000)
    found = own_prices(boxes(values, per_picture=4), PUBLISHED, "60")[BOX]
    assert found.price.value == pytest.approx(values.mean(), rel=1e-3)


def test_the_longer_one_measures_the_less_the_published_price_counts():
    def price(count):
        return own_prices(boxes([20.0] * count), PUBLISHED, "60")[BOX].price

    found = [price(count) for count in (1, 2, 4, 8, 16, 64)]
    assert all(a.value < b.value < 20 for a, b in pairwise(found))
    assert all(a.high / a.low > b.high / b.low for a, b in pairwise(found))


@pytest.mark.parametrize("unit", [1, 1000])
def test_times_that_no_person_takes_are_told(unit):
    found = own_prices(boxes([6.0 * unit, 8.0 * unit, 9.0 * unit]), PUBLISHED, "60")
    assert len(odd_times(found)) == (unit == 1000)


def test_a_look_is_told_from_the_answer_that_comes_with_it():
    rng = np.random.default_rng(1)
    some = []
    for picture in range(300):
        first = rng.lognormal(0, 0.3) + rng.lognormal(1, 0.3)
        some.append(stretch({ANSWER: 1, LOOKS: 1}, first, picture))
        some += [stretch({ANSWER: 1}, rng.lognormal(1, 0.3), picture) for _ in range(3)]
    found = own_prices(some, PUBLISHED, "60")
    half = math.exp(0.045)  # a log-normal mean over its median
    assert found[ANSWER].price.value == pytest.approx(math.e * half, rel=0.05)
    assert found[LOOKS].price.value == pytest.approx(half, rel=0.15)
    assert found[LOOKS].price.low < half < found[LOOKS].price.high
    assert found[LOOKS].number == 300 and found[ANSWER].number == 900


@pytest.mark.parametrize("seed", range(3))
def test_intervals_hold_the_truth(seed):
    """Twelve pictures of a person who differs from the published price as people do."""
    rng, held = np.random.default_rng(seed), 0
    for _ in range(60):
        truth = 7 * math.exp(PEOPLE * rng.standard_normal())
        values = truth * rng.lognormal(-0.18, 0.6, 12)
        price = own_prices(boxes(values), PUBLISHED, "60")[BOX].price
        held += price.low <= truth <= price.high
    assert held >= 53


# ---- what a second belongs to


def shape(kind, label, geometry):
    return Event("drawing", "p", "shape", "", kind, label, geometry)


def facts(value, seen=False, **more):
    return {
        "wall": value,
        "active": dict.fromkeys(("20", "60", "100"), value),
        "prediction": seen,
    } | more


def drawn(times, total, complete=(), picture="p", seen=False):
    told = facts(total, seen, complete=[*complete], shapes=[facts(value) for value in times])
    return Event("drawing", picture, "drawn", geometry=told, seconds=total)


def answered(number, picture, value, way="first", drawn="random", seen=False, annotator=""):
    told = facts(value, seen, id=number, way=way, drawn=drawn)
    source = f"questions {annotator}".strip()
    return Event(source, picture, "answered", annotator, label="cat", geometry=told, seconds=value)


@pytest.fixture
def store(tmp_path):
    with opened_store(tmp_path / "labels", create=True) as found:
        found.say_classes(Classes(("background", "cat", "dog")))
        yield found


def told(store, **more):
    return [({**one.acts}, one.seconds["60"]) for one in stretches(store, **more)]


def test_clicks_are_first_or_further_the_look_comes_first_and_the_search_last(store):
    store.append(
        [
            shape("click", "cat", [1, 1]),
            shape("click", "cat", [2, 2]),
            shape("click", "background", [9, 9]),
            drawn([3, 1, 2], 10, ["points"]),
        ]
    )
    first, further = ("points", "first_point"), ("points", "further_point")
    assert told(store) == [
        ({first: 1, LOOKS: 1}, 3),
        ({further: 1}, 1),
        ({first: 1}, 2),
        ({ABSENT: 1}, 4),  # the dog
    ]
    store.append([shape("click", "cat", [3, 3]), drawn([2], 3, ["points"])])
    assert told(store)[4:] == [({further: 1}, 3)]  # looked at, clicked and searched before


def test_what_comes_last_belongs_to_the_look_where_nobody_searched(store):
    store.append([shape("box", "cat", [0, 0, 5, 5]), drawn([6], 8)])
    store.append([drawn([], 2, picture="q")])
    assert told(store) == [({BOX: 1, LOOKS: 1}, 8), ({LOOKS: 1}, 2)]


def test_an_empty_picture_is_a_look_and_a_search(store):
    store.append([drawn([], 5, ["boxes"])])
    assert told(store) == [({ABSENT: 2, LOOKS: 1}, 5)]


def test_a_change_of_an_answer_takes_its_time_and_a_repeat_none(store):
    store.append(
        [
            answered(1, "p", 4),
            answered(2, "p", 2),
            answered(2, "p", 3, way="changed"),
            answered(3, "p", 0, way="repeat"),
            answered(4, "q", 9, drawn="example"),
            answered(5, "q", 1),
            answered(1, "p", 7, annotator="bob"),
        ]
    )
    both = {ANSWER: 1, LOOKS: 1}
    one = {ANSWER: 1}
    assert told(store) == [(both, 4), (one, 5), (both, 9), (one, 1), (both, 7)]
    assert told(store, annotator="bob") == [(both, 7)]


def without_label(act, value, annotator=""):
    source = {"skipped": "drawing", "begun": "questions"}[act]
    whose = f"{source} {annotator}".strip()
    return Event(whose, "", act, annotator, geometry=facts(value), seconds=value)


def test_what_gave_no_label_belongs_to_the_next_one_of_its_kind(store):
    """A picture that was skipped, and examples that were searched for and not clicked."""
    store.append(
        [
            without_label("skipped", 3),
            without_label("begun", 6),
            without_label("skipped", 1, "bob"),  # who labels nothing
            without_label("skipped", 4),
            answered(1, "p", 2),
            shape("box", "cat", [0, 0, 5, 5]),
            shape("box", "dog", [0, 0, 5, 5]),
            drawn([5, 7], 20, ["boxes"]),
            answered(2, "p", 2),
            without_label("skipped", 9),  # with no label behind it
        ]
    )
    assert told(store) == [
        ({ANSWER: 1, LOOKS: 1}, 2 + 6),
        ({ANSWER: 1}, 2),
        ({BOX: 1}, 5 + 3 + 4),
        ({BOX: 1}, 7 + 8 + 9),
        ({LOOKS: 1}, 1),  # of bob
    ]


@given(data=st.data())
def test_no_second_of_a_visit_is_left_out(tmp_path_factory, data):
    """Whatever the order of drawings and skipped pictures, unless there is none of them."""
    folder, given_seconds = tmp_path_factory.mktemp("times"), 0
    with opened_store(folder, create=True) as store:
        for number, is_skipped in enumerate(data.draw(st.lists(st.booleans(), max_size=6))):
            value, picture = data.draw(st.integers(1, 9)), data.draw(st.sampled_from("pqr"))
            given_seconds += value
            if is_skipped:
                store.append([replace(without_label("skipped", value), picture=picture)])
            else:
                box = replace(shape("box", "cat", [0, 0, 5, 5 + number]), picture=picture)
                store.append([box, drawn([value], value, picture=picture)])
        assert sum(seconds for _, seconds in told(store)) == given_seconds


def test_many_classes_have_a_price_of_their_own(store):
    store.append([answered(1, "p", 4)])
    store.say_classes(Classes(("background", *map(str, range(12)))))
    store.append([answered(2, "p", 4)])
    assert [acts for acts, _ in told(store)][1] == {("pixels", "answer_of_many"): 1}


def test_strokes_that_correct_a_models_mask_are_no_outlines(store):
    def mask(kind, label, **more):
        runs = {"left": 0, "top": 0, "width": 1, "height": 1, "counts": [0, 1]}
        return shape(kind, label, {**runs, "model": "probe 0a", **more})

    cat, dog = mask("accepted", "cat"), mask("accepted", "dog")
    store.append([cat, dog, drawn([3, 0], 3, seen=True)])  # one act, whose time the first has
    store.append([mask("mask", "cat", corrections=2), drawn([8], 8, seen=True)])
    store.append([mask("mask", "cat", corrections=3), drawn([5], 5, seen=True)])
    at_once = [mask("mask", "cat", corrections=0), mask("mask", "dog", corrections=1)]
    at_once = [replace(one, picture="q") for one in at_once]
    store.append([*at_once, drawn([2, 6], 8, picture="q", seen=True)])
    corrected = mask("mask", "cat", corrections=2)  # by the one who accepted it, in one visit
    store.append([replace(corrected, picture="r"), drawn([9], 9, picture="r", seen=True)])
    assert told(store) == [
        ({LOOKS: 1, ACCEPTED: 1}, 3),
        ({CORRECTION: 2}, 8),
        ({CORRECTION: 1}, 5),
        ({LOOKS: 1, ACCEPTED: 1}, 2),
        ({CORRECTION: 1}, 6),
        ({LOOKS: 1, ACCEPTED: 1, CORRECTION: 2}, 9),
    ]


def test_what_a_class_that_was_renamed_left_is_no_new_shape(store):
    store.append([shape("box", "cat", [0, 0, 5, 5]), drawn([6], 6)])
    store.append([shape("box", "kitten", [0, 0, 5, 5])])
    store.append([shape("box", "dog", [1, 1, 5, 5]), drawn([4], 4)])
    assert told(store) == [({BOX: 1, LOOKS: 1}, 6), ({BOX: 1}, 4)]


def test_an_act_of_another_form_is_named(store):
    store.append([Event("drawing", "p", "drawn", geometry={"shapes": []})])
    with pytest.raises(UserError, match="event 2 is not of the documented form"):
        stretches(store)


@given(data=st.data())
@settings(deadline=None, max_examples=15)
def test_prices_times_counts_are_the_seconds(tmp_path_factory, data):
    """Whatever was drawn: with much time the priced labels cost what the visits took."""
    folder, names = tmp_path_factory.mktemp("store"), ("background", "cat", "dog", "cow")
    total, counts = 0.0, []
    with opened_store(folder, create=True) as store:
        store.say_classes(Classes(names))
        for number in range(data.draw(st.integers(1, 5))):
            classes = data.draw(st.lists(st.integers(1, 3), max_size=4))
            is_complete = data.draw(st.booleans())
            times = [data.draw(seconds) for _ in classes]
            whole = sum(times) + data.draw(seconds)
            total += whole
            kinds = ["boxes"] if is_complete else []
            box = [0, 0, 5, 5]
            events = [without_label("skipped", data.draw(seconds))] * data.draw(st.integers(0, 2))
            total += sum(one.seconds for one in events)
            events += [
                Event("drawing", str(number), "shape", "", "box", names[c], box) for c in classes
            ]
            store.append([*events, drawn(times, whole, kinds, picture=str(number))])
            record = {"boxes": [[*box, c] for c in classes], "complete": kinds}
            counts.append(count_actions(record, ["boxes"], 3))
        found = stretches(store)
    assert sum(one.seconds["60"] for one in found) == pytest.approx(total)
    acts = [key for one in found for key, n in one.acts.items() for _ in range(n)]
    assert acts.count(BOX) == sum(one["boxes"]["box"] for one in counts)
    assert acts.count(ABSENT) == sum(one["boxes"]["absent"] for one in counts)
    assert acts.count(LOOKS) >= sum(map(was_looked_at, counts))


# ---- the command


def test_the_command_prints_a_table_and_writes_a_schedule(store, tmp_path, capsys):
    store.append([answered(n, f"p{n // 3}", (5, 2.5, 3.5)[n % 3]) for n in range(30)])
    store.append([answered(n, "seen", 30, seen=True) for n in range(30, 34)])
    output = tmp_path / "my.yaml"
    words = ["prices", "--labels", tmp_path / "labels"]
    run(labels, *words, "--output", output)
    printed = capsys.readouterr().out
    assert "answer, a prediction in view" in printed and "4 times with a prediction" in printed
    own, published = load_schedule(str(output)), load_schedule()
    assert own.prices["pixels"]["answer"] == pytest.approx(3, abs=0.2)  # the mean of 2.5 and 3.5
    assert own.prices["pixels"]["answer_of_many"] == published.prices["pixels"]["answer_of_many"]
    assert own.prices.keys() == published.prices.keys()
    seconds = own.prices["pixels"]["answer"], own.prices["look"]["image"]
    assert question_seconds(str(output), 3) == seconds  # what study.py takes it for
    source = yaml.safe_load(output.read_text())["pixels"]["source"]
    assert source.startswith("answer: own n 20, median 3.00, mean 3.00 (")
    with pytest.raises(UserError, match="is there already"):
        run(labels, *words, "--output", output)
    output.write_text("unit: seconds")
    run(labels, *words, "--output", output, "--overwrite", "--with_predictions", "--clock", "wall")
    table = yaml.safe_load(output.read_text())
    assert table["pixels"]["answer"] > 4 and DEFAULT in table["tags"]["source"]


def test_nothing_but_times_with_a_prediction_in_view_makes_no_schedule(store, tmp_path):
    store.append([answered(1, "p", 3, seen=True)])
    words = ["prices", "--labels", tmp_path / "labels", "--output", tmp_path / "my.yaml"]
    with pytest.raises(UserError, match="nothing was timed without"):
        run(labels, *words)
    assert not (tmp_path / "my.yaml").exists()


def test_a_store_without_times_says_how_to_get_them(store, tmp_path):
    with pytest.raises(UserError, match="holds no times; label in"):
        run(labels, "prices", "--labels", tmp_path / "labels")
