"""Masks that were stretched each by its own highest number are refused with that cause."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_folders import mask, opened, picture, write

from weakseg.common import UserError
from weakseg.data.doubts.stretched import are_stretched, highest_of

SHOWN = [[0, 1], [0, 1, 2], [0, 2], [0, 1, 3], [0, 1], [0, 2, 3], [0], [0, 1, 2, 3]]
WAYS = {"each by its own": lambda numbers: max(numbers), "all alike": lambda _: 3}


def stretched(numbers, highest):
    return [round(255 * number / (highest or 1)) for number in numbers]


@given(
    st.integers(1, 40).flatmap(lambda k: st.tuples(st.just(k), st.sets(st.integers(0, k)))),
    st.sampled_from([np.floor, np.ceil, np.rint]),
)
def test_the_highest_number_of_stretched_masks_explains_them(case, rounded):
    highest, numbers = case
    values = {*rounded(255 * np.array([*numbers, highest]) / highest).astype(int).tolist()}
    assert (highest_of(values, highest) or 0) in range(1, highest + 1)
    assert highest_of(values - {255}, highest) is None


def test_one_way_to_stretch_all_is_none_by_their_own():
    for way, highest in WAYS.items():
        masks = [stretched(numbers, highest(numbers)) for numbers in SHOWN]
        assert are_stretched(masks, 4) == (way == "each by its own")
        assert not are_stretched([*masks, [0, 7, 255]], 4)
    assert not are_stretched(SHOWN, 4)


@pytest.mark.parametrize("way", WAYS)
def test_a_folder_of_such_masks_is_refused_with_the_cause(way, tmp_path):
    write(tmp_path / "classes.txt", "background", "ant", "bee", "cat")
    for place, numbers in enumerate(SHOWN):
        picture(tmp_path / f"images/{place}.png")
        mask(tmp_path / f"masks/{place}.png", stretched(numbers, WAYS[way](numbers)))
    is_told = way == "each by its own"
    with pytest.raises(UserError) as error:
        opened(tmp_path)
    assert ("each by its own highest number" in str(error.value)) == is_told
    values = ["127=ant", "128=ant", "255=bee"] if is_told else ["85=ant", "255=cat"]
    lines = opened(tmp_path, mask_values=values).notes()
    assert any("means nothing" in line for line in lines)
    assert any("each by its own highest number" in line for line in lines) == is_told
