"""The benchmark of wrong labels: the stated share is flipped, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.label_doubts import flipped
from weakseg.labels.formats.records import Classes

CLICKS = {f"p{i}": {"size": [9, 9], "points": [[1, 1, 1], [2, 2, 0]]} for i in range(20)}


@given(st.integers(0, 9), st.sampled_from([0.05, 0.25, 0.5]))
def test_the_share_is_flipped_and_no_other(seed, share):
    carried, wrong = flipped(CLICKS, [*CLICKS], Classes(("background", "pet")), share, seed)
    assert len(wrong) == round(share * 40)
    for name, one in carried.items():
        said = [shape.label for shape in one.shapes]
        expected = [("pet", "background"), ("background", "pet")]
        assert said == [expected[k][(name, k) in wrong] for k in (0, 1)]
