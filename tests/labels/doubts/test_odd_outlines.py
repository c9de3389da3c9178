"""What is told of outlines in no order, labels in thousandths, and areas around objects."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from weakseg.labels.doubts.area_specks import AreaSpecks
from weakseg.labels.doubts.painted_areas import area_lines, filled_lines
from weakseg.labels.doubts.percents import Percents
from weakseg.labels.doubts.tangled import FEWEST, MOST_OF, Tangled
from weakseg.labels.doubts.thousandths import PICTURES, Thousandths
from weakseg.labels.formats.geometry import corners, crossings, ellipse, is_simple, polygon
from weakseg.labels.formats.records import Shape
from weakseg.labels.formats.runs import mask_geometry
from weakseg.labels.store import Given


def ring_of(number, seed):
    """Return a simple ring of so many corners, as rough as seeds say."""
    random = np.random.default_rng(seed)
    angles = (np.arange(number) + random.random(number)) / number * 2 * np.pi
    radii = random.uniform(20, 40, number)
    return np.stack([50 + radii * np.cos(angles), 50 + radii * np.sin(angles)], 1).tolist()


@given(st.integers(8, 150), st.integers(0, 99))
def test_rings_in_order_cross_nowhere_and_others_all_over(number, seed):
    ring = ring_of(number, seed)
    assert is_simple(ring) and crossings(ring) == 0
    mixed = np.random.default_rng(seed).permutation(ring).tolist()
    tally = Tangled()
    tally.add([ring, mixed], "a")
    assert tally.outlines == 2
    # Of few corners a mixed ring may cross itself but once or twice by chance.
    assert tally.tangled + len(tally.twice) == 1 or number < 15


@given(st.integers(0, 6), st.integers(0, 20))
def test_tangled_outlines_are_told_where_they_are_no_slip(tangled, right):
    tally, ring = Tangled(), ring_of(20, 1)
    for k in range(tangled):
        tally.add([np.random.default_rng(k).permutation(ring).tolist()], f"bad{k}")
    for k in range(right):
        tally.add([ring, ring[:4]], f"right{k}")
    told = [*tally.lines()]
    is_often = tally.tangled >= max(FEWEST, MOST_OF * (tangled + right))
    assert len(told) == (is_often or len(tally.twice) > tally.tangled)
    assert all("the first in bad" in line for line in told)


@given(st.sampled_from([(1920, 1080), (1280, 1280), (4000, 3000)]), st.booleans(), st.booleans())
def test_thousandths_are_told_unless_a_label_lies_beyond(size, is_beyond, is_narrow):
    random, tally = np.random.default_rng(0), Thousandths()
    size = (640, 480) if is_narrow else size
    for picture in range(PICTURES):
        places = [*random.uniform(0, 1000, (6, 2)).tolist(), [960.0, 999.0]]
        tally.add(f"{picture}", iter(places), size)
    tally.add("last", iter([[1100.0 if is_beyond else 7.0, 5.0]]), size)
    assert len([*tally.lines()]) == (not is_beyond and not is_narrow)


@given(st.booleans(), st.integers(5, 9))
def test_areas_around_objects_are_told(is_inverted, number):
    size, drawn = (60, 40), {}
    rows, columns = np.mgrid[:40, :60]
    for k in range(number):
        inside = np.hypot(rows - 20, columns - 25 - k) < 9 + k % 3
        geometry = mask_geometry(~inside if is_inverted else inside)
        drawn[f"p{k}"] = Given({0: Shape("mask", "cat", geometry)}, size, ("full",))
        outline = Shape("outline", "cat", ellipse([30, 20], [9, 7]))
        drawn[f"q{k}"] = Given({0: outline}, size, ("outlines",))
    told = area_lines({"mine": drawn}, {})
    assert len(told) == is_inverted
    assert all("turn them in the tool" in line for line in told)
    every = mask_geometry(np.ones((40, 60), bool))
    whole = {
        key: replace(one, shapes={0: Shape("mask", "cat", every)}) for key, one in drawn.items()
    }
    assert len(filled_lines({"mine": whole})) == 1 and not filled_lines({"mine": drawn})
    other = replace(whole["p0"], shapes={0: Shape("mask", "dog", every)})
    assert not filled_lines({"mine": whole | {"p0": other}})  # which can be learnt from
    (line,) = area_lines({"mine": whole}, {})
    assert "so that nothing is background" in line
    assert not [x for x in area_lines({"mine": whole | {"p0": drawn["p0"]}}, {}) if "wholly" in x]


@given(st.integers(8, 60), st.integers(0, 99), st.integers(1, 3))
def test_a_ring_that_is_listed_again_is_taken_once_and_traced_again_is_told(number, seed, times):
    ring = ring_of(number, seed)
    assert polygon([[ring * 2 ** (times - 1)]]) == [[ring]]
    traced = [[x + 0.1 * k, y] for k in range(times) for x, y in ring_of(36, 0)]
    tally = Tangled()
    tally.add([ring, traced], "a")
    assert len(tally.twice) == (times > 1)
    assert len([*tally.lines()]) == (times > 1)


@given(st.integers(0, 5), st.integers(0, 60), st.sampled_from([5, 60]))
def test_specks_among_large_areas_are_told(small, large, side):
    tally = AreaSpecks()
    for k in range(small + large):
        size = (2, 2) if k < small else (side, side)
        area = mask_geometry(np.ones(size, bool))
        ring = corners([0, 0, *size])
        shape = Shape("mask", "cat", area) if k % 2 else Shape("polygon", "cat", [[ring]])
        tally.add(shape, f"p{k}")
    is_often = small >= max(3, 0.05 * (small + large))
    if not 5 < small < 12:
        expected = is_often and side == 60 and large > 0 and small / (small + large) < 0.85
        assert len([*tally.lines()]) == expected


@given(st.integers(0, 12), st.integers(0, 12), st.floats(50, 100), st.floats(50, 100))
def test_pictures_in_percents_among_others_are_told(percents, pixels, right, down):
    tally = Percents()
    for k in range(percents + pixels):
        place = [right, down] if k < percents else [3 * right, 2 * down + 60]
        tally.add(f"p{k}", iter([[1.0, 2.0], place]), (640, 480))
    is_told = percents >= max(3, 0.1 * (percents + pixels)) and pixels > 0
    assert [line.startswith(f"the labels of {percents} of") for line in tally.lines()] == (
        [True] * is_told
    )


@given(st.integers(5, 150), st.floats(0, 500), st.floats(0, 500))
def test_there_and_back_along_an_object_of_one_pixel_is_not_around_it_twice(number, left, top):
    there = [[round(left + 1.48 * k, 2), round(top, 2)] for k in range(number)]
    for ring in ([*there, *there[-2:0:-1]], [[y, x] for x, y in [*there, *there[-2:0:-1]]]):
        tally = Tangled()
        tally.add([ring], "a")
        assert tally.outlines == 1 and not [*tally.lines()]
