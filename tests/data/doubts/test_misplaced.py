"""Masks that fit their photographs better in another way than as they are."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from weakseg.data.doubts.exchanged import better_order
from weakseg.data.doubts.misplaced import (
    CERTAIN,
    FAR_MOVES,
    FEWEST,
    MOVES,
    TURNS,
    WAYS,
    FitTally,
    fit_of,
    student,
)
from weakseg.data.folder import Folder

ORDERS = {"as they are": 0, "next": 1, "previous": -1}


def drawn(number):
    """Return (photograph, mask) of an object that is not in the middle, amid clutter."""
    random = np.random.default_rng(number)
    rows, columns = np.mgrid[:96, :128]
    x, y, a, b = random.uniform([30, 20, 14, 8], [60, 40, 26, 16])
    inside = ((columns - x) / a) ** 2 + ((rows - y) / b) ** 2 < 1
    grey = random.normal(110, 20, (12, 16)).repeat(8, 0).repeat(8, 1) + 70 * inside
    return np.clip(grey, 0, 255).astype(np.uint8), inside.astype(np.uint8)


def written(folder, change, step=0, tested=2, order=()):
    """Write pictures with their masks changed, or with those of a neighbour -> notes on these.

    order: whose masks the first ones get
    """
    pairs = [drawn(number) for number in range(FEWEST + 4)]
    for place, (photograph, _) in enumerate(pairs):
        mask = pairs[(place - step) % len(pairs)][1]
        mask = pairs[order[place]][1] if place < len(order) else mask
        for part, content in (("images", photograph), ("masks", change(mask))):
            path = folder / part / f"p{place:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(content).save(path)
    (folder / "classes.txt").write_text("background\ncat\n")
    names = [f"p{place:02d}\n" for place in range(len(pairs))]
    (folder / "test.txt").write_text("".join(names[:tested]))
    (folder / "trainval.txt").write_text("".join(names[tested:]))
    return [line for line in Folder(folder).notes() if "fit the edges" in line]


def turned_round(way):
    """Return what makes right masks so that they fit better in a way."""
    if way in MOVES:
        share = int(way.split(" by ")[1].split("%")[0]) / 100
        right = round(128 * share) * (("left" in way) - ("right" in way))
        down = round(96 * share) * (("up" in way) - ("down" in way))
        return lambda mask: np.roll(mask, (down, right), (0, 1))
    return TURNS[way]


NEAR = [way for way in WAYS if way not in FAR_MOVES]
FAR = [*(way for way in sorted(FAR_MOVES) if "20%" in way), "moved up by 6% of a side"]
WRONG = {way: turned_round(way) for way in [*NEAR, *FAR]}


@pytest.mark.parametrize("way", [None, *WRONG])
def test_masks_that_were_turned_or_moved_are_told_by_the_edges(way, tmp_path):
    told = written(tmp_path, WRONG[way] if way else np.array)
    assert len(told) == bool(way)
    assert all(f"worse than they do {way}; unless" in line for line in told)


def test_masks_that_are_wide_are_not_told(tmp_path):
    assert not written(tmp_path, lambda mask: cv2.dilate(mask, np.ones((7, 7), np.uint8)))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("tested", [1, FEWEST + 3])
def test_masks_of_neighbours_are_told_by_the_edges_in_either_split(order, tested, tmp_path):
    told = written(tmp_path, np.array, ORDERS[order], tested)
    assert len(told) == bool(ORDERS[order])
    assert all(f"those of the {order} pictures by name do" in line for line in told)
    assert all(("masks to test on" in line) == (tested > 1) for line in told)


@pytest.mark.parametrize("order", [range(8), (3, 6, 0, 7, 1, 2, 5, 4)])
def test_few_masks_in_a_wrong_order_are_told(order, tmp_path):
    told = written(tmp_path, np.array, 0, len(order), order)
    assert len(told) == (order[0] != 0)
    wrong = sum(place != other for place, other in enumerate(order))
    assert all(f"{wrong} masks to test on fit" in line for line in told)
    assert all("as p02.png in the place of p00.png;" in line for line in told)


@given(st.permutations(range(9)), st.floats(0, 1), st.integers(0, 99))
def test_a_better_order_is_found_where_masks_fit_one_photograph_only(order, level, seed):
    random = np.random.default_rng(seed)
    chance = random.normal(0, 1, (9, 9)) + random.normal(0, level, 9)
    right = chance + 20 * np.eye(9)
    found = better_order(right[:, order])
    assert [order[place] for place in found] in ([], [*range(9)])
    moved = sum(place != other for place, other in enumerate(order))
    assert bool(found) == (moved > 1) or 0 < moved < 4
    assert not better_order(chance[:, order]) and not better_order(right[:4, :4])


def test_a_fit_is_the_mean_of_edges_under_a_border_and_few_prove_nothing():
    edges = np.arange(64.0).reshape(8, 8)
    mask = np.zeros((8, 8), np.uint8)
    assert math.isnan(fit_of(edges, mask))
    mask[:, 4:] = 1
    assert fit_of(edges, mask) == edges[2:6, 4].mean()
    gains = np.random.default_rng(0).normal(1, 1, FEWEST)
    expected = gains.mean() / np.sqrt(gains.var(ddof=1) / FEWEST)
    assert student(gains, FEWEST) == pytest.approx(expected)
    assert student(gains[1:], FEWEST) == 0
    assert student([1.0] * 20, FEWEST) == 0
    assert not FitTally().line() and CERTAIN > 3
