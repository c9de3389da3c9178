"""Names of classes that may be misspellings of others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weakseg.data.alike_names import misspelt

WORDS = ("cat", "person", "horse", "pedestrian", "traffic light", "Katze")


@given(st.sampled_from(WORDS), st.integers(0, 12), st.sampled_from(["double", "swap"]))
def test_a_doubled_letter_and_two_that_are_swapped_are_slips_where_they_are_rarer(word, at, how):
    at %= len(word) - 2
    first, second = word[at + 1 : at + 3]
    end = second + second if how == "double" else second + first
    slip = word[: at + 1] + (first if how == "double" else "") + end + word[at + 3 :]
    is_slip = slip != word and " " not in (second if how == "double" else first + second)
    assert [*misspelt({word: 6, slip: 3, "sky": 9})] == [(slip, word)] * is_slip
    assert not [*misspelt({word: 5, slip: 3})]


@pytest.mark.parametrize("slip", ["peson", "persun", "prrson", "perison", "PRESON"])
def test_another_letter_is_a_slip_where_it_is_ten_times_rarer(slip):
    assert [*misspelt({"person": 30, slip: 3})] == [(slip, "person")]
    assert bool([*misspelt({"person": 29, slip: 3})]) == (slip == "PRESON")


@pytest.mark.parametrize(
    "names",
    [
        ("car", "cat"),
        ("class1", "class2"),
        ("left hand", "right hand"),
        ("stage VII", "stage VIII"),
        ("zone a", "zone b"),
        ("typical", "atypical"),
        ("wall", "ball"),
        ("gata", "gato"),
        ("glass", "glas"),
        ("cat", "act"),
        ("plan", "plane"),
        ("12345", "12354"),
        ("red car", "red cat"),
    ],
)
def test_names_that_differ_by_a_letter_and_mean_two_things_are_classes(names):
    for rare, frequent in (names, names[::-1]):
        assert not [*misspelt({rare: 1, frequent: 1000})]
