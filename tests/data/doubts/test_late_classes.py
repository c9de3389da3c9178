"""Classes that were added half way are told; those of sorted pictures and of films are not."""

import numpy as np
import pytest
from made_folders import mask, opened, picture, write

from weakseg.data.doubts.late_classes import in_order, late_class_notes

NAMES = ["background", "road", "sky", "tram", "bus"]
COUNT = 120


def usual(rng):
    """Return which of COUNT masks show each class [COUNT, 5], the last two in half of them."""
    return rng.random((COUNT, 5)) < [1, 0.95, 0.95, 0.5, 0.5]


def added(rng, front=40):
    table = usual(rng)
    table[:front, 3] = False
    return table


def merged(rng):
    return added(rng)[::-1]


def with_one_usual_class(rng):
    return added(rng) & (np.arange(5) != 2)


def sorted_by_classes(rng):
    table = usual(rng)
    return table[np.lexsort((table[:, 4], table[:, 3]))]


def of_films(rng):
    """Classes that stay in view, or out of it, for 30 frames or so."""
    table = usual(rng)
    table[:, 3:] = (np.cumsum(rng.random((COUNT, 2)) < 1 / 30, 0) + rng.integers(0, 2, 2)) % 2
    return table


def of_two_places(rng):
    """Trams, but hardly a bus or sky, in the second place."""
    table = added(rng)
    table[40:, 4] &= rng.random(COUNT - 40) < 0.1
    table[:40, 4] |= rng.random(40) < 0.9
    return table


def told(table):
    """Return the lines on masks of p0, p1, ... that show what the rows of a table say."""
    shown = {f"p{place}": [*np.flatnonzero(row), 255] for place, row in enumerate(table)}
    return late_class_notes("root", dict(sorted(shown.items())), NAMES, 1)


@pytest.mark.parametrize("seed", range(10))
def test_classes_that_were_added_half_way_are_told_and_no_others(seed):
    rng = np.random.default_rng(seed)
    (line,) = told(added(rng))
    front = int(line.split("none of ")[1].split()[0])
    assert 40 <= front < 50 and f"masks before p{front}, in the order of names, shows tram" in line
    (line,) = told(merged(rng))
    assert "masks after p" in line
    few = (added(rng, 8), added(rng, COUNT - 12))
    for make in (usual, with_one_usual_class, sorted_by_classes, of_films, of_two_places):
        assert told(make(rng)) == [], make.__name__
    assert not any(map(told, few))
    assert told(usual(rng)[:0]) == []


def test_a_folder_says_so(tmp_path):
    write(tmp_path / "classes.txt", *NAMES)
    for place, row in enumerate(added(np.random.default_rng(0))[10:80]):
        picture(tmp_path / f"images/{place}.png", (8, 1))
        mask(tmp_path / f"masks/{place}.png", np.flatnonzero(row), (8, 1))
    lines = [line for line in opened(tmp_path).notes() if "in the order of names" in line]
    assert len(lines) == 1 and "shows tram" in lines[0]


def test_names_are_in_the_order_in_which_people_count():
    names = ["a/p1", "a/p2", "a/p10", "b", "b1", "b01x", "c-2", "c-10"]
    assert sorted(reversed(names), key=in_order) == names
