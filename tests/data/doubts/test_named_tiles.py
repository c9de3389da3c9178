"""Tiles of one photograph are told where a split parts them; numbers that count pictures aren't."""

from pathlib import Path

import numpy as np
import pytest
from made_folders import write
from PIL import Image

from weakseg.data.doubts.named_tiles import parted_tiles
from weakseg.data.folder import Folder

SIDE = 32


def photographs(count):
    """Photographs of fine texture that goes on from pixel to pixel, [count, 2 S, 2 S] uint8."""
    import cv2

    noise = np.random.default_rng(0).normal(128, 90, (count, 2 * SIDE, 2 * SIDE))
    return np.stack([cv2.GaussianBlur(one, (5, 5), 1).clip(0, 255) for one in noise]).astype(
        "uint8"
    )


def tiles(form, step):
    """{name: pixels} of four tiles of each of eight photographs, `step` pixels apart."""
    return {
        form.format(p=f"2007_{p:03d}", x=step * c, y=step * r, r=r, c=c, n=2 * r + c): pixels[
            step * r : step * r + SIDE, step * c : step * c + SIDE
        ]
        for p, pixels in enumerate(photographs(8))
        for r in (0, 1)
        for c in (0, 1)
    }


def parted(pixels):
    """What is told of a split that takes every fifth picture to test on."""
    names = [*pixels]
    tested = names[::5]
    return parted_tiles(tested, [n for n in names if n not in tested], pixels.__getitem__)


@pytest.mark.parametrize("step", [SIDE, 20])
@pytest.mark.parametrize(
    "form", ["{p}_{x}_{y}", "{p}_r{r}_c{c}", "{p}-{y}-{x}-32-32", "{p}_{n}", "{p}/{r}_{c}"]
)
def test_tiles_are_told_by_their_pixels_and_pictures_of_such_names_are_not(form, step):
    cut = tiles(form, step)
    told = parted(cut)
    assert len(told) == 7 and told[0][2] == "2007_000"
    others = [*photographs(40)[:, :SIDE, :SIDE]]
    assert parted(dict(zip(cut, others, strict=False))) == []
    assert parted(dict.fromkeys(cut, others[0])) == []  # as frames of a film are


@pytest.mark.parametrize("form", ["{p}_tile_{n}", "{p}.patch{n}", "{p}/tile{n}"])
def test_a_word_says_so_without_pixels(form):
    grey = np.zeros((1, 1), np.uint8)
    assert len(parted(dict.fromkeys(tiles(form, 1), grey))) == 7
    assert parted({f"slide_patch_{number}": grey for number in range(20)}) == []  # of nobody knows


def test_a_folder_says_which_groups_mend_it(tmp_path: Path):
    cut = tiles("{p}_{x}_{y}", SIDE)
    for name, pixels in cut.items():
        for kind, one in (("images", pixels), ("masks", pixels // 128)):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(one).save(tmp_path / kind / f"{name}.png")
    write(tmp_path / "classes.txt", "background", "blob")

    def told() -> list[str]:
        lines = Folder(tmp_path, cache_dir=tmp_path / ".cache").notes()
        return [line for line in lines if "tiles of photographs" in line]

    (line,) = told()
    assert "one group in groups.txt, a line '2007_0" in line
    write(tmp_path / "groups.txt", *(f"{name}, {name[:8]}" for name in cut))
    assert told() == []
