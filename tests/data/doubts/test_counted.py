"""Masks whose numbers count objects are told, classes that look much like it are not."""

import numpy as np
import pytest
from PIL import Image

from weakseg.data.class_list import write_classes
from weakseg.data.datasets import Folder
from weakseg.data.doubts.counted import CountedTally
from weakseg.labels.imported import Wishes
from weakseg.labels.importing import read_labels
from weakseg.labels.matching import Pictures

NAMES = ["background", "cat", "dog", "bird", "fish", "fox"]


def squares(*numbers, gap=2):
    """Squares of these numbers, one below the other, [H, W]."""
    mask = np.zeros((50, 20), np.uint8)
    for place, number in enumerate(numbers):
        mask[place * (6 + gap) : place * (6 + gap) + 6, 3:9] = number
    return mask


def sized(*widths):
    """Areas of these widths with the numbers 1, 2, ... from the bottom to the top, [H, W]."""
    mask = squares()
    for number, width in enumerate(widths, 1):
        mask[50 - 9 * number : 56 - 9 * number, :width] = number
    return mask


def told(masks):
    tally = CountedTally(NAMES)
    for number, mask in enumerate(masks):
        tally.add(mask, f"{number}.png")
    return tally.lines()


COUNTED = [squares(*range(1, n + 1)) for n in (1, 2, 2, 3, 3, 2)]


@pytest.mark.parametrize(
    ("masks", "is_told"),
    [
        (COUNTED, True),
        ([*COUNTED, squares()], True),
        ([squares(*range(n, 0, -1), gap=0) for n in (1, 2, 2, 3, 3, 4)], True),  # four counts
        ([squares(*range(n, 0, -1)) for n in (1, 2, 2, 3, 3, 2)], False),  # in no order
        ([squares(*range(1, n + 1), gap=0) for n in (1, 2, 2, 3, 3, 2)], False),  # layers
        ([sized(20, 9), sized(20), sized(9, 4)] * 4, True),  # by size
        ([sized(20, 9), sized(20), sized(9, 4)] * 3, False),  # which may be a chance
        ([sized(9, 4), sized(9), sized(9, 9)] * 6, False),
        ([*[sized(20, 9), sized(20), sized(9, 4)] * 4, sized(4, 9)], False),
        ([squares(1, 2)] * 9, False),  # the same in each
        ([*COUNTED, squares(2)], False),
        ([*COUNTED, squares(1, 2, 1), squares(2, 1, 2)], False),
        (COUNTED[:5], False),  # of which one has one object: too few
    ],
)
def test_numbers_that_count_objects_are_told(masks, is_told):
    assert len(told(masks)) == is_told


def test_a_folder_and_an_import_say_so_unless_somebody_says_what_numbers_are(tmp_path):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for number, mask in enumerate(COUNTED):
        Image.fromarray(mask).save(tmp_path / f"masks/{number}.png")
        Image.new("RGB", (20, 50), number).save(tmp_path / f"images/{number}.png")
    write_classes(tmp_path / "classes.txt", NAMES, True)
    write_classes(tmp_path / "masks/classes.txt", NAMES, True)
    words = "1=cat 2=cat 3=cat"
    line = f"where all are cat, --mask_values {words}"
    assert line in "\n".join(Folder(tmp_path).notes())
    assert "count objects" not in "\n".join(Folder(tmp_path, mask_values=words.split()).notes())
    found = read_labels(tmp_path / "masks", Pictures(tmp_path / "images"), Wishes())
    assert line in "\n".join(found.dropped.told)
