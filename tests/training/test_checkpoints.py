"""Checkpoints of equal runs are equal files, by which results know which one they are of."""

from hypothesis import given
from hypothesis import strategies as st

from weakseg.learners.checkpoint_file import CONTENT, OPTIONAL
from weakseg.training.checkpoints import content_of_best

MUST = {*CONTENT, "commit", "epoch", "best"}


@given(st.permutations(sorted(MUST | OPTIONAL)), st.sets(st.sampled_from(sorted(OPTIONAL))))
def test_best_holds_its_parts_in_one_order(order, gone):
    """Whatever the order of a set is, which each process chooses anew."""
    content = {key: n for n, key in enumerate(order) if key not in gone or key in MUST}
    kept = content_of_best(content)
    assert kept == {key: content[key] for key in kept} and kept.keys() >= MUST
    optional = [key for key in kept if key not in MUST]
    assert optional == sorted(optional)
