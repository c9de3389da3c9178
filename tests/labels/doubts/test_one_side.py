"""Places that were divided by one side of their pictures are told; right ones never are."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.labels.doubts.one_side import FEWEST, OneSide
from weakseg.labels.formats.records import SHARES

SIZES = [(40, 30), (30, 40), (40, 20), (20, 40), (30, 30)]


@given(st.integers(0, 999), st.sampled_from([0, 1, None]), st.booleans())
@settings(max_examples=60)
def test_shares_of_one_side_are_told_for_both_axes_unless_a_place_denies_it(seed, side, is_denied):
    random, tally, beyond = np.random.default_rng(seed), OneSide(), 0
    for number in range(30):
        size = np.array(SIZES[number % len(SIZES)])
        places = random.uniform(0, 1, (2, 2)) * size
        shares = (places / (size if side is None else size[side])).tolist()
        tally.add(shares, f"{number}", SHARES, tuple(size.tolist()))
        beyond += side is not None and max(max(place) for place in shares) > 1.01
    if is_denied:
        tally.add([[0.99, 0.99]], "wide", SHARES, (40, 20))
        tally.add([[0.99, 0.99]], "tall", SHARES, (20, 40))
    lines = [*tally.lines()]
    assert len(lines) == (beyond >= FEWEST and not is_denied)
    assert all(f"divided by the {('width', 'height')[side]}" in line for line in lines)


def test_what_is_in_pixels_and_within_its_picture_is_not_told():
    tally = OneSide()
    for number, size in enumerate(SIZES * 9):
        tally.add([[0, 0], [size[0], size[1]]], f"{number}", size, size[::-1])
    assert not [*tally.lines()]
