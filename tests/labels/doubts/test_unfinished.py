"""Empty pictures at the end of a file may be those that nobody has come to."""

from hypothesis import given
from hypothesis import strategies as st

from weakseg.labels.doubts.unfinished import FEWEST, unfinished_lines
from weakseg.labels.formats.records import Shape
from weakseg.labels.store import Given

SHOWN, EMPTY = Given({0: Shape("click", "cat", [5.0, 5.0])}, (9, 9)), Given({}, (9, 9), ("full",))


@given(st.integers(2, 30), st.integers(0, 12), st.booleans(), st.sampled_from(["", "neg/", "no_"]))
def test_an_empty_end_is_told_unless_it_is_called_otherwise(before, after, is_mixed, called):
    drawn = {f"p{n:02d}": SHOWN for n in range(before)}
    drawn |= {f"{called}p{before + n:02d}": EMPTY for n in range(after)}
    if is_mixed:  # empty ones are everywhere
        drawn |= {f"p{n:02d}": EMPTY for n in range(0, before, 3)}
    told = [*unfinished_lines({"mine": drawn})]
    is_end = after >= max(FEWEST, 0.2 * (before + after))
    assert len(told) == (is_end and not is_mixed and not called)
    assert all(f"from p{before:02d} on" in line for line in told)


def test_the_order_is_that_of_the_file_or_of_the_names():
    drawn = {f"p{n:02d}": EMPTY if n > 12 else SHOWN for n in range(20)}
    mixed = dict(sorted(drawn.items(), key=lambda item: hash(item[0])))
    by_file = {f"p{(7 * n) % 20:02d}": one for n, one in enumerate(drawn.values())}
    for pictures in (drawn, mixed, by_file):
        assert len([*unfinished_lines({"mine": pictures})]) == 1
