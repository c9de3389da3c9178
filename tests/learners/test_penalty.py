"""The penalty: whole images are held out, row order does not matter, noise asks for more."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.learners import penalty as module
from weakseg.learners.logistic import as_rows, fit_linear
from weakseg.learners.penalty import PENALTIES, choose_penalty, folds_of, row_keys


def examples(count=240, width=12, kinds=3, images=20, noise=0.0, seed=0):
    """Return x (float32), targets, weights and groups: pixels of one image share an offset."""
    random = np.random.default_rng(seed)
    targets = np.arange(count) % kinds
    groups = random.integers(0, images, count)
    x = random.normal(size=(count, width)) + 0.7 * random.normal(size=(kinds, width))[targets]
    x += random.normal(size=(images, width))[groups]
    wrong = random.random(count) < noise
    targets[wrong] = random.integers(0, kinds, wrong.sum())
    return x.astype(np.float32), targets, random.uniform(0.5, 2, count), groups


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(1, 5), st.integers(0, 99))
def test_folds_hold_whole_groups_and_as_many_each(groups, folds, seed):
    groups = np.array([f"image {group}" for group in groups])
    members = folds_of(groups, folds, seed).numpy()
    of_group = {group: set(members[groups == group]) for group in groups}
    assert all(len(folds_of_it) == 1 for folds_of_it in of_group.values())
    sizes = np.bincount([next(iter(folds_of_it)) for folds_of_it in of_group.values()])
    assert len(sizes) == min(folds, len(of_group)) and sizes.max() - sizes.min() <= 1
    order = np.random.default_rng(seed).permutation(len(groups))
    assert (folds_of(groups[order], folds, seed).numpy() == members[order]).all()


def test_the_losses_are_those_of_fits_without_the_held_images():
    x, targets, weights, groups = examples()
    choice = choose_penalty(x, targets, weights, groups, 3, penalties=(0.3, 0.03))
    members = folds_of(groups, 3, 0).numpy()
    for penalty, loss in choice.losses.items():
        total = 0.0
        for fold in range(3):
            held = members == fold
            head = fit_linear(x[~held], targets[~held], weights[~held], penalty, 3)
            log_p = head.logits(torch.as_tensor(x[held])).log_softmax(1).numpy()
            total -= (weights[held] * log_p[np.arange(held.sum()), targets[held]]).sum()
        assert loss == pytest.approx(total / weights.sum(), abs=1e-3)
    assert choice.penalty == min(choice.losses, key=choice.losses.get)


@pytest.mark.parametrize("most", [20_000, 100])
def test_the_order_of_rows_does_not_matter(most, monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", most)
    x, targets, weights, groups = examples()
    choice = choose_penalty(x, targets, weights, groups, 3)
    order = np.random.default_rng(1).permutation(len(x))
    again = choose_penalty(x[order], targets[order], weights[order], groups[order], 3)
    assert again.penalty == choice.penalty
    assert again.losses == pytest.approx(choice.losses, abs=1e-4)


def test_rows_of_weight_zero_change_nothing():
    x, targets, weights, groups = examples()
    choice = choose_penalty(x, targets, weights, groups, 3)
    more = np.concatenate([x, x[:9]]), np.append(targets, targets[:9])
    none = np.append(weights, np.zeros(9)), np.append(groups, np.arange(9) - 20)
    again = choose_penalty(*more, *none, 3)
    assert again.losses == pytest.approx(choice.losses, abs=1e-6)


def test_wrong_labels_ask_for_a_larger_penalty_and_the_path_ends_behind_the_best():
    clean = choose_penalty(*examples(images=200), 3)
    noisy = choose_penalty(*examples(images=200, noise=0.5), 3)
    assert noisy.penalty > clean.penalty
    tried = list(noisy.losses)
    assert tried == list(PENALTIES[: len(tried)])
    assert tried.index(noisy.penalty) == len(tried) - 3


def test_soft_targets_are_taken():
    x, targets, weights, groups = examples()
    hard = choose_penalty(x, targets, weights, groups, 3)
    soft = choose_penalty(x, np.eye(3)[targets], weights, groups, 3)
    assert soft.losses == pytest.approx(hard.losses, abs=1e-6)


def test_one_image_has_the_middle_penalty_and_two_make_two_folds():
    x, targets, weights, groups = examples()
    choice = choose_penalty(x, targets, weights, np.zeros(len(x)), 3)
    assert choice.penalty == PENALTIES[len(PENALTIES) // 2] and not choice.losses
    assert choose_penalty(x, targets, weights, groups % 2, 3).losses


def test_a_class_that_the_other_images_lack_does_not_count():
    x, targets, weights, groups = examples()
    with_fourth = np.where(groups == 0, 3, targets)
    choice = choose_penalty(x, with_fourth, weights, groups, 4)
    assert max(choice.losses.values()) < 3  # its loss would be some 10


def test_the_seed_decides_and_torchs_random_numbers_are_left_alone(monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 100)
    rows = examples()
    state = torch.get_rng_state()
    one, same, other = (choose_penalty(*rows, 3, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert one.losses == same.losses != other.losses


def test_keys_follow_content_and_draw_evenly():
    x, targets, weights, _ = examples(3000)
    rows = as_rows(x, targets, weights, 3)
    keys = row_keys(rows, 0)
    assert len(keys.unique()) == len(keys)
    order = torch.randperm(3000, generator=torch.Generator().manual_seed(0))
    shuffled = as_rows(x[order], targets[order], weights[order], 3)
    assert torch.equal(row_keys(shuffled, 0), keys[order])
    first = keys.argsort()[:1000]
    assert np.bincount(targets[first]) == pytest.approx(333, abs=60)
    assert first.double().mean() == pytest.approx(1500, abs=100)
    assert len(np.intersect1d(first, row_keys(rows, 1).argsort()[:1000])) == pytest.approx(
        333, abs=60
    )


def test_groups_that_do_not_fit_are_refused():
    x, targets, weights, groups = examples()
    with pytest.raises(ValueError, match="groups"):
        choose_penalty(x, targets, weights, groups[:-1], 3)
