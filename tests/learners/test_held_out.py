"""Each row is judged by a head of the other folds, as a fit to these alone says."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from weakseg.learners.held_out import held_out_chances
from weakseg.learners.logistic import fit_linear

SEEDS = st.integers(0, 2**32 - 1)


@given(seed=SEEDS, folds=st.integers(2, 4))
def test_heads_learn_from_the_other_folds_alone(seed, folds):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(40, 3)).astype(np.float32)
    classes, own = rng.integers(0, 3, 40), rng.integers(0, folds, 40)
    learnt = rng.random(40) < 0.9
    given_ = classes, rng.random(40) + 0.1, own, 3, 0.3
    chances, known = held_out_chances(x, *given_, learnt=learnt)
    for fold in range(folds):
        others, mine = (own != fold) & learnt, own == fold
        shown = {*classes[others].tolist()}
        assert known[mine].tolist() == [label in shown for label in classes[mine].tolist()]
        head = fit_linear(x[others], classes[others], given_[1][others], 0.3, 3)
        said = head.logits(torch.from_numpy(x[mine])).softmax(1).numpy()
        np.testing.assert_allclose(chances[mine], said, atol=1e-6)


def test_one_class_alone_says_nothing():
    x, folds = np.zeros((6, 2), np.float32), np.array([0, 0, 0, 1, 1, 1])
    classes = np.array([0, 1, 0, 1, 1, 1])  # the second fold shows one alone
    chances, known = held_out_chances(x, classes, np.ones(6), folds, 2, 1.0)
    assert np.isnan(chances[:3]).all() and not known[:3].any()
    assert np.isfinite(chances[3:]).all() and known[3:].all()
