"""Masks that a warp left full of gaps are told; those that are resized rightly are not."""

import cv2
import numpy as np
import pytest
from test_specks import scene

from weakseg.common import IGNORE
from weakseg.data.doubts.gaps import GapTally, has_gaps, lone_gaps, lost_lines
from weakseg.data.doubts.mask_shapes import ShapeTally


def objects(seed, side=160):
    """Return a mask of a few ellipses of two classes that touch and overlap, [side, side] uint8."""
    rng, mask = np.random.default_rng(seed), np.zeros((side, side), np.uint8)
    for number in range(8):
        x, y, wide, high = rng.integers((20, 20, 12, 12), (side - 20, side - 20, 30, 30)).tolist()
        cv2.ellipse(mask, (x, y), (wide, high), 0, 0, 360, 1 + number % 2, -1)
    return mask


def moved(mask, times, degrees=0.0, empty=0):
    """Move each pixel of a mask to where a warp brings it; what none is moved to stays empty."""
    turn = np.deg2rad(degrees)
    rows, columns = np.nonzero(np.ones_like(mask))
    half = np.array(mask.shape)[:, None] / 2
    matrix = times * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    places = np.rint(matrix @ (np.stack([rows, columns]) - half) + times * half).astype(int)
    warped = np.full([round(times * side) for side in mask.shape], empty, np.uint8)
    inside = ((places >= 0) & (places < np.array(warped.shape)[:, None])).all(0)
    warped[tuple(places[:, inside])] = mask[rows[inside], columns[inside]]
    return warped


WARPS = [(1.1, 0), (1.5, 0), (2, 0), (3, 0), (1, 30), (1, 80), (1.2, 10), (1.5, 20), (2.5, 15)]


@pytest.mark.parametrize(("times", "degrees"), WARPS)
def test_warps_pixel_by_pixel_are_told(times, degrees):
    tally = ShapeTally()
    for seed in range(3):
        empty = IGNORE if seed else 0
        tally.add(moved(objects(seed), times, degrees, empty), f"{seed}.png")
    (line,) = tally.lines("here")
    assert line.startswith("here: 3 of 3 masks of objects, the first 0.png, lack single pixels")


def thin(seed):
    """Return crossing lines and small dots of many sizes."""
    rng, mask = np.random.default_rng(seed), np.zeros((160, 160), np.uint8)
    for _ in range(60):
        x, y, u, v, wide = rng.integers((0, 0, 0, 0, 1), (160, 160, 160, 160, 4)).tolist()
        cv2.line(mask, (x, y), (u, v), 1, wide)
        cv2.circle(mask, (v, x), wide, 2, -1)
    return mask


def parted(seed):
    """Return objects with thin lines of background between those that touch."""
    mask = objects(seed)
    borders = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8))
    return np.where(borders > 0, 0, mask).astype(np.uint8)


RIGHT = {
    "as drawn": objects,
    "of a street": scene,
    "thin": thin,
    "parted": parted,
    "turned": lambda seed: np.rot90(objects(seed)),
    "larger": lambda seed: cv2.resize(objects(seed), (210, 260), interpolation=0),
    "smaller": lambda seed: cv2.resize(scene(seed), (50, 60), interpolation=0),
    "moved by whole pixels": lambda seed: moved(objects(seed), 1, 90),
    "background": lambda _: np.zeros((90, 90), np.uint8),
    "tiny": lambda _: np.eye(2, dtype=np.uint8),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_right_masks_have_no_gaps(kind):
    assert not any(has_gaps(RIGHT[kind](seed)) for seed in range(5))


def test_a_few_masks_with_gaps_are_no_news():
    for count in (2, 3, 4):
        tally = GapTally()
        for seed in range(15):
            tally.add(moved(objects(seed), 1.1) if seed < count else objects(seed), f"{seed}")
        assert len(tally.lines()) == (count > 2)


def test_gaps_are_counted():
    mask = np.full((40, 40), 2, np.uint8)
    mask[5, 5:35:3], mask[0, 9], mask[20, 20:22] = 0, 0, 0
    assert lone_gaps(mask) == 10 and lost_lines(mask) == 0
    mask[[8, 12, 16]] = IGNORE
    assert lost_lines(mask) == 3 and lost_lines(mask.T) == 0
