"""Seconds from raw events: gaps and caps, pauses, parcels that came twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weakseg.labels.clock import CAPS, WALL, seconds_of, visits
from weakseg.labels.store import Event


def raw(clock, kind, load=1796008006789, source="questions", **facts):
    """A raw event; clock: seconds."""
    told = {"kind": kind, "load": load, "clock": round(1000 * clock), **facts}
    return Event(source, facts.pop("name", ""), "input", "ann", kind, geometry=told)


def test_the_seconds_of_a_visit_by_hand():
    rows = [(0, "shown"), (3, "look"), (33, "press"), (93, "pause"), (500, "back"), (502, "save")]
    assert seconds_of(rows) == {"wall": 502, "20": 3 + 20 + 20 + 2, "60": 95, "100": 95}


def test_what_is_hidden_counts_as_nothing():
    rows = [(0, "shown"), (4, "hidden"), (5, "look"), (900, "visible"), (901, "save")]
    assert seconds_of(rows) == {"wall": 901, "20": 5, "60": 5, "100": 5}


@given(st.lists(st.tuples(st.floats(0, 300), st.sampled_from(["look", "key", "press"]))))
def test_longer_caps_never_count_less_and_all_is_at_most_the_wall(gaps):
    rows, at = [(0.0, "shown")], 0.0
    for gap, kind in gaps:
        at += gap
        rows.append((at, kind))
    took = seconds_of(rows)
    assert 0 <= took["20"] <= took["60"] <= took["100"] <= took[WALL] + 1e-6
    assert all(took[cap] >= min(at, float(cap)) - 1e-6 for cap in CAPS)


def test_visits_of_two_loads_and_two_people_lie_apart_and_parcels_that_came_twice_count_once():
    one = [
        raw(1, "shown", question=1, prediction=False),
        raw(2, "shown", question=2, prediction=False),  # the first was left
        raw(5, "save", question=2, prediction=True),
        raw(6, "shown", question=3, prediction=False),  # never given
    ]
    other = [
        raw(0, "shown", load=2, name="b", picture=4),
        raw(10, "save", load=2, name="b", picture=4),
        raw(1, "shown", load=2, source="questions bob", question=1),
        raw(9, "save", load=2, source="questions bob", question=1),
    ]
    found = visits([*other, *one, *one, raw(7, "press", load=3)])
    told = {(v.question, v.picture, v.seconds[WALL], v.is_seen) for v in found}
    assert told == {(2, "", 3, True), (None, "b", 10, False), (1, "", 8, False)}


def test_events_without_a_clock_are_left_out():
    without = [Event("s", "", "input", kind="save", geometry={}), Event("s", "", "input")]
    assert visits(without) == []
    told = {"load": [], "clock": 1}
    with pytest.raises(ValueError, match="no number"):
        visits([raw(1, "shown"), Event("s", "", "input", kind="key", geometry=told)])
