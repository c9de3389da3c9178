"""The benchmark of labels in another position: photographs are altered as it says."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from benchmarks.wrong_positions import WAYS, altered

PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
SHOWN = {"a": PIXELS, "b": PIXELS + 100}
DATASET = SimpleNamespace(image=lambda name: Image.fromarray(SHOWN[name]))
TURNS = {"mirrored": (1,), "upside down": (0,), "turned by half": (0, 1), "another": ()}


@pytest.mark.parametrize("way", WAYS)
def test_a_photograph_is_altered_as_the_way_says(way):
    expected = np.flip(SHOWN["b" if way == "another" else "a"], TURNS[way])
    assert (altered(DATASET, "a", "b", way) == expected).all()
