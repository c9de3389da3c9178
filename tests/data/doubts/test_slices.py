"""Slices of one thing on both sides of a split are told; other numbers in names are not."""

import numpy as np
import pytest
from PIL import Image

from weakseg.data.doubts.slices import slice_notes

THINGS, EACH = 10, 3


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Some shots of each of ten things, which differ by a small step and noise."""
    folder, rng, paths = tmp_path_factory.mktemp("shots"), np.random.default_rng(0), []
    for thing in range(THINGS):
        spots = Image.fromarray(rng.integers(0, 256, (6, 8), np.uint8))
        whole = np.asarray(spots.resize((90, 60), Image.Resampling.BICUBIC), int)
        for shot in range(EACH):
            shown = whole[3 * shot : 3 * shot + 48, 3 * shot : 3 * shot + 64]
            shown = shown + rng.normal(0, 5, shown.shape)
            paths.append(folder / f"{thing}_{shot}.png")
            Image.fromarray(shown.clip(0, 255).astype(np.uint8)).save(paths[-1])
    return paths


def told(names, files, tested, grouped=()):
    paths = dict(zip(names, files, strict=True))
    ids = {"test": [names[k] for k in tested]}
    ids["trainval"] = [name for name in names if name not in ids["test"]]
    path_of = paths.__getitem__
    return slice_notes(
        "root", ids.__getitem__, grouped, path_of, lambda name: Image.open(path_of(name))
    )


@pytest.mark.parametrize("name", ["p{:02d}_s{}", "{}-{:03d}", "test/scan {} a/slice_{:02d}"])
def test_slices_of_one_thing_on_both_sides_are_told_where_looks_prove_it(name, pictures):
    names = [name.format(k // EACH, k % EACH + 1) for k in range(len(pictures))]
    parted = range(2, len(names), EACH)
    (line,) = told(names, pictures, parted)
    one, other = names[2], names[0]
    assert "10 of 10 test images are, by names and looks, slic" in line
    assert f"the first {one} beside {other}," in line and "groups.txt" in line
    assert told(names, pictures, range(6)) == []  # whole things
    assert told(names, pictures, parted, grouped=names) == []
    mixed = [pictures[k] for k in np.random.default_rng(1).permutation(len(pictures))]
    assert told(names, mixed, parted) == []  # other numbers
    assert told([f"p_{k}" for k in range(len(names))], pictures, parted) == []
