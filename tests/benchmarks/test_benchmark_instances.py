"""benchmarks/instances.py: its scores are those of plain loops, its intervals are paired."""

import sys
from unittest.mock import patch

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

with patch.object(sys, "path", [str(ROOT / "benchmarks"), *sys.path]):
    from benchmarks import instances


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=30)
def test_scores_are_those_of_a_plain_loop(seed, first, second):
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, first + 1, (4, 5)), generator.integers(0, second + 1, (4, 5))
    predicted, true = (np.kron(one, np.ones((3, 3), int)) for one in coarse)
    true = np.where(generator.random(true.shape) < 0.1, 0, true) * 7  # numbers may have gaps
    predicted = np.unique(predicted, return_inverse=True)[1].reshape(true.shape)
    own, there = set(np.unique(predicted)) - {0}, set(np.unique(true)) - {0}
    hits = 0
    for one in own:
        for other in there:
            a, b = predicted == one, true == other
            hits += (a & b).sum() / (a | b).sum() > 0.5
    ap, error = instances.score(predicted, true)
    several = len(own) + len(there) - hits
    assert ap == pytest.approx(hits / several if several else 1)
    assert error == abs(len(own) - len(there))


def test_a_perfect_picture_and_an_empty_one():
    one = np.arange(4).reshape(2, 2)
    nothing = np.zeros((2, 2), int)
    assert instances.score(one, one) == (1, 0) and instances.score(nothing, nothing) == (1, 0)
    assert instances.score(nothing, one) == (0, 3)


def test_an_interval_holds_the_mean_and_one_of_equal_differences_is_a_point():
    assert instances.interval(np.full(9, 0.25), 0) == "+0.25 (+0.25 to +0.25)"
    words = instances.interval(np.arange(20.0), 0)
    low, high = (float(word) for word in words[words.index("(") + 1 : -1].split(" to "))
    assert low < 9.5 < high
