"""Labels of copies that were padded to squares are told beside the originals, and no other ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.labels.doubts.letterbox import ON_RIM, PICTURES
from weakseg.labels.doubts.slips import Slips
from weakseg.labels.formats.records import Shape

SIZES = st.sampled_from([(400, 300), (300, 400), (640, 360), (300, 300), (310, 300)])
BOX = st.tuples(*[st.floats(0, 0.4)] * 2, *[st.floats(0.6, 1)] * 2)
PICTURE = st.tuples(SIZES, BOX, st.booleans())  # whether the box ends where the picture does


def padded(box, size):
    """Shares of a picture's sides -> those of the square that it is padded to."""
    sides = [side / max(size) for side in size] * 2
    return [(1 - side) / 2 + share * side for share, side in zip(box, sides, strict=True)]


def told(pictures):
    """[(size, box in shares)] -> whether an import says that they are padded."""
    slips = Slips()
    for number, (size, box) in enumerate(pictures):
        places = [share * side for share, side in zip(box, size * 2, strict=True)]
        slips.place(Shape("box", "cat", places), str(number), size)
    return any("padded" in line for line in slips.lines(["cat"], ["cat"]))


@settings(max_examples=40)
@given(st.lists(PICTURE, max_size=20))
def test_labels_of_padded_copies_are_told_where_some_end_on_the_rim(pictures):
    drawn = [(size, (0, 0, *box[2:]) if ends else box) for size, box, ends in pictures]
    telling = [
        ends
        for (size, *_), ends in zip(drawn, [e for *_, e in pictures], strict=True)
        if max(size) / min(size) > 1.2
    ]
    if len(telling) >= PICTURES and sum(telling) >= ON_RIM * len(telling):
        assert told([(size, padded(box, size)) for size, box in drawn])
    if len(telling) < PICTURES or any(telling):
        assert not told(drawn)  # a box that ends where its picture does lies in a band


@pytest.mark.parametrize("size", [(400, 300), (300, 400)])
def test_objects_in_the_middle_are_no_fault(size):
    assert not told([(size, (0.2, 0.2, 0.8, 0.8))] * 30)
    assert not told([(size, (0.125, 0.125, 0.875, 0.875))] * 30 + [(size, (0.3, 0.3, 0.9, 0.9))])
    assert told([(size, (0.125, 0.125, 0.875, 0.875))] * 30)
