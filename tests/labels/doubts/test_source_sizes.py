"""Sources that draw larger or smaller than others are told; those that don't are not."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.labels.doubts.source_sizes import FACTOR, FEWEST, source_size_lines
from weakseg.labels.formats.records import Shape
from weakseg.labels.store import Given

SEEDS = st.integers(0, 2**32 - 1)
SIZE = (200, 100)


def box(label, area):
    """Return a box of a class that covers a share of a picture."""
    width, height = (side * area**0.5 for side in SIZE)
    return Shape("box", label, [0.0, 0.0, width, height])


def drawn(seed, numbers, factors, classes=("cat", "dog")):
    """Return what sources draw on own pictures; dogs are larger than cats."""
    rng, found = np.random.default_rng(seed), {}
    for source, (number, factor) in enumerate(zip(numbers, factors, strict=True)):
        for i in range(number):
            shapes = {}
            for k, label in enumerate(rng.permutation(classes)[: rng.integers(1, 3)]):
                area = 0.05 * (1 + 2 * (label == "dog")) * np.exp(rng.normal(0, 0.4)) * factor
                shapes[k] = box(str(label), float(min(area, 1)))
            found[f"p{source}_{i}"] = {f"ann{source}": Given(shapes, SIZE)}
    return found


@given(seed=SEEDS, numbers=st.lists(st.integers(0, 30), min_size=1, max_size=4))
@settings(max_examples=30)
def test_sources_that_draw_alike_are_left_in_peace(seed, numbers):
    assert not [*source_size_lines(drawn(seed, numbers, [1] * len(numbers)))]


@given(seed=SEEDS, number=st.integers(20, 40), factor=st.sampled_from([0.2, 0.3, 3.5, 5]))
@settings(max_examples=20)
def test_one_of_three_that_draws_larger_or_smaller_is_told(seed, number, factor):
    (line,) = source_size_lines(drawn(seed, [number] * 3, [1, factor, 1]))
    words, how = (line.split("cover ")[1].split(" the area")[0]).split(" ", 1)
    assert line.startswith("ann1: its boxes cover ") and f"in {number} pictures" in line
    told = float(words) if how == "times" else float(words) / 100
    assert factor / 1.5 < told < factor * 1.5


@given(seed=SEEDS)
@settings(max_examples=10)
def test_other_classes_few_pictures_and_one_source_say_nothing(seed):
    own = drawn(seed, [30, 0], [1, 1], ("cat", "cat")), drawn(seed, [0, 30], [1, 1], ("dog", "dog"))
    assert not [*source_size_lines(own[0] | own[1])]
    assert not [*source_size_lines(drawn(seed, [30, FEWEST - 1], [1, 2 * FACTOR]))]
    assert not [*source_size_lines(drawn(seed, [30], [5]))]
