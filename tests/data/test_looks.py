"""A picture's look doesn't depend on the range of values in which it is stored."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.data.looks import look_of, smooth_look_of


@pytest.mark.parametrize("look", [look_of, lambda path: smooth_look_of(path, 16)])
@given(seed=st.integers(0, 2**32 - 1), low=st.integers(0, 30_000), gain=st.integers(2, 100))
@settings(max_examples=10)
def test_a_picture_of_16_bits_looks_as_one_of_8(look, seed, low, gain, tmp_path_factory):
    rng, folder = np.random.default_rng(seed), tmp_path_factory.mktemp("looks")
    grey = cv2.resize(rng.integers(0, 256, (6, 8), np.uint8), (80, 60))
    cv2.imwrite(str(folder / "8.png"), grey)
    cv2.imwrite(str(folder / "16.png"), grey.astype(np.uint16) * gain + low)
    eight, sixteen = (look(folder / f"{bits}.png") for bits in (8, 16))
    assert np.corrcoef(eight.ravel(), sixteen.ravel())[0, 1] > 0.99
