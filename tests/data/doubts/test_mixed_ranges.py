"""Deep photographs in two ranges of values are told, and those of two exposures are not."""

import cv2
import numpy as np
import pytest
import tifffile

from weakseg.data.doubts.mixed_ranges import mixed_range_notes, smaller_range
from weakseg.data.folder import Folder
from weakseg.data.reading import Photograph, Reading

RNG = np.random.default_rng(0)
SHOWN = np.stack([RNG.uniform(0, 0.2, 60), RNG.uniform(0.5, 1.1, 60).clip(0, 1)], 1)  # 8 are white


@pytest.mark.parametrize(("small", "large"), [(255, 4095), (255, 65535), (4095, 65535), (1, 255)])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_a_range_is_told_that_some_fill_and_others_exceed(small, large, share):
    is_small = np.arange(60) % 10 < 10 * share
    assert smaller_range(SHOWN * np.where(is_small, small, large)[:, None]) == small


@pytest.mark.parametrize("white", [1, 255, 4095, 65535])
def test_nothing_is_told_of_one_range_however_light_varies(white):
    assert smaller_range([]) is None
    assert smaller_range(SHOWN * white) is None
    for spread in (0.2, 0.5, 1):  # of exposures
        light = RNG.lognormal(-1, spread, (60, 1))
        assert smaller_range((SHOWN * white * light).clip(0, white)) is None
    half = np.where(np.arange(60) % 2, 0.1, 1)[:, None]  # two stains
    assert smaller_range(SHOWN * white * half) is None
    empty = np.where(np.arange(60) % 2, [[150], [255]], [[150], [9000]]).T  # by a camera's offset
    assert smaller_range(empty) is None


def test_a_range_is_told_above_which_all_others_begin():
    """As those do that are turned from negatives of 12 bits in 16."""
    assert smaller_range(SHOWN[:20] * 3000) is None
    turned = np.concatenate([SHOWN[:20] * 3000, 65535 - SHOWN[20:40, ::-1] * 3000])
    assert smaller_range(turned) == SHOWN[:20, 1].max() * 3000


@pytest.mark.parametrize("value", [-9999, -3.4e38, 65535])
@pytest.mark.parametrize("share", [0, 0.0005, 0.02])
def test_a_value_far_from_all_others_is_told_with_the_range_of_the_others(value, share, tmp_path):
    (tmp_path / "images").mkdir()
    photographs = []
    for number in range(4):
        values = RNG.uniform(0, 1000 * number + 900, (100, 100)).astype(np.float32)
        values.flat[: round(share * values.size)] = value if number % 2 else 0
        photographs.append(Photograph(tmp_path / f"images/{number}.tif"))
        tifffile.imwrite(photographs[-1].path, values)
    lines = mixed_range_notes(tmp_path, photographs)
    assert [line[:50] for line in lines if "no data" in line] == (
        [f"{tmp_path}: 2 of 4 photographs deeper"[:50]] if share == 0.02 else []
    )
    assert not lines or f"images/1.tif, hold {value:g} far" in lines[0]
    low, high = lines[0].partition("--value_range ")[2].split()[:2] if lines else (0, 3900)
    assert 0 <= float(low) < 10 and 3800 < float(high) <= 3900
    chosen = [Photograph(one.path, Reading(value_range=(0, 9))) for one in photographs]
    assert mixed_range_notes(tmp_path, chosen) == []


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_a_folder_says_so_in_one_line(kind, tmp_path):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for number in range(9):
        values = np.random.default_rng(number).integers(0, 256, (40, 50)).astype(np.uint16)
        values *= 257 if number < 5 else 1
        path = str(tmp_path / f"images/{number}.{kind}")
        (tifffile.imwrite if kind == "tif" else cv2.imwrite)(path, values)
        cv2.imwrite(str(tmp_path / f"masks/{number}.png"), np.eye(40, 50, number, np.uint8))
    cv2.imwrite(str(tmp_path / "images/shallow.png"), np.eye(40, 50, dtype=np.uint8))
    (tmp_path / "images/broken.tif").write_bytes(b"II*no picture")
    (tmp_path / "classes.txt").write_text("background\nblob\n")
    lines = [one for one in Folder(tmp_path, cache_dir=tmp_path / ".c").notes() if "deeper" in one]
    assert len(lines) == 1 and "4 of 9 photographs" in lines[0] and "up to 255," in lines[0]
