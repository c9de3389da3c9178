"""What is damaged in a cache is made anew, whichever bytes of a file are wrong."""

import random

import numpy as np
import pytest
from PIL import Image

from weakseg.data.cache import ResizedCache


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_header_or_end_is_made_anew(tmp_path):
    generator = np.random.default_rng(0)
    path = tmp_path / "picture.png"
    Image.fromarray(generator.integers(0, 255, (20, 30, 3), np.uint8)).save(path)
    cache = ResizedCache(tmp_path / "cache", 16)
    wanted = cache.image(path)
    (stored,) = (tmp_path / "cache").rglob("*.npy")
    whole, chance = stored.read_bytes(), random.Random(0)
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(chance.choice([1, 2, 5])):
            damaged[chance.randrange(128)] ^= 1 << chance.randrange(8)
        stored.write_bytes(damaged)
        assert np.array_equal(cache.image(path), wanted)
    for length in range(0, len(whole), 37):
        stored.write_bytes(whole[:length])
        assert np.array_equal(cache.image(path), wanted)
        assert stored.read_bytes() == whole
