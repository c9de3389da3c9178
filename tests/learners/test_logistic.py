"""The linear head: its loss, its gradient, its minimum, and what the minimum does not depend on."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from weakseg.learners.logistic import (
    LinearHead,
    as_rows,
    axes_of,
    fit_linear,
    inverse_hessian,
    objective,
)

EXACT = {"tolerance": 1e-9}
laws = settings(max_examples=15, deadline=None)
seeds = st.integers(0, 2**20)
sizes = st.sampled_from([(30, 4, 2), (60, 5, 3), (12, 20, 2), (15, 25, 4)])  # rows, features, kinds


def examples(count, width, kinds, seed=0, spread=1.0):
    """Return features (float64), classes and weights that hang together, every class present.

    spread: deviation of the widest feature by that of the narrowest; each is mixed with others.
    """
    random = np.random.default_rng(seed)
    targets = np.concatenate([np.arange(kinds), random.integers(0, kinds, count - kinds)])
    x = random.normal(size=(count, width)) + random.normal(size=(kinds, width))[targets]
    turn, _ = np.linalg.qr(random.normal(size=(width, width)))
    x = x * np.geomspace(1, 1 / spread, width) @ turn
    return x, targets, random.uniform(0.1, 3, count)


def gradient_of(head, x, targets, weights, penalty):
    """Return loss and largest gradient of a head in float64, from the formulas alone."""
    w, b = head.weights.double().numpy(), head.bias.double().numpy()
    p = np.exp(x @ w + b)
    p /= p.sum(1, keepdims=True)
    weights = weights / weights.sum()
    loss = -(weights * np.log(p[np.arange(len(x)), targets])).sum() + penalty / 2 * (w**2).sum()
    p[np.arange(len(x)), targets] -= 1
    p *= weights[:, None]
    return loss, max(np.abs(x.T @ p + penalty * w).max(), np.abs(p.sum(0)).max())


def same(one, two, atol=1e-5):
    torch.testing.assert_close(one.weights, two.weights, atol=atol, rtol=0)
    torch.testing.assert_close(one.bias, two.bias, atol=atol, rtol=0)


# ---- loss and gradient


@laws
@given(seeds, sizes)
def test_the_loss_is_the_weighted_log_loss_and_the_gradient_its_slope(seed, size):
    x, targets, weights = examples(*size, seed)
    penalty, kinds = 0.05, size[2]
    evaluate = objective(as_rows(x, targets, weights, kinds), penalty)
    head = torch.as_tensor(np.random.default_rng(seed).normal(0, 0.2, (kinds, size[1] + 1)))
    loss, gradient = evaluate(head)
    logits = torch.as_tensor(x) @ head[:, :-1].T + head[:, -1]
    known = log_loss(targets, logits.softmax(1), sample_weight=weights, labels=range(kinds))
    square = penalty / 2 * float((head[:, :-1] ** 2).sum())
    assert loss == pytest.approx(known + square, abs=1e-9)
    for at in [(0, 0), (kinds - 1, size[1] - 1), (0, size[1])]:
        change = torch.zeros_like(head)
        change[at] = 1e-6
        slope = (evaluate(head + change)[0] - evaluate(head - change)[0]) / 2e-6
        assert slope == pytest.approx(float(gradient[at]), abs=1e-6)


@pytest.mark.parametrize("kinds", [2, 3, 5])
@pytest.mark.parametrize("penalty", [0.1, 0.003])
def test_scikit_learn_has_the_same_minimum(kinds, penalty):
    """scikit-learn minimises ||W||^2 / 2 + C * sum_i w_i * loss_i: C = 1 / (penalty * sum w).

    For two classes it has one vector v in place of (-v / 2, v / 2). Their squares sum to
    ||v||^2 / 2: half the penalty on v, so C is twice that.
    """
    x, targets, weights = examples(200, 6, kinds)
    strength = (2 if kinds == 2 else 1) / (penalty * weights.sum())
    peer = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000)
    peer.fit(x, targets, sample_weight=weights)
    head = fit_linear(x, targets, weights, penalty, kinds, **EXACT)
    ours = head.logits(torch.as_tensor(x)).softmax(1).numpy()
    np.testing.assert_allclose(ours, peer.predict_proba(x), atol=1e-6)
    w, b = peer.coef_.T, peer.intercept_
    if kinds == 2:
        w, b = np.hstack([-w / 2, w / 2]), np.array([-b[0] / 2, b[0] / 2])
    theirs = LinearHead(torch.as_tensor(w), torch.as_tensor(b - b.mean()))
    loss, largest = gradient_of(theirs, x, targets, weights, penalty)
    assert largest < 1e-6
    assert head.loss == pytest.approx(loss, abs=1e-9)
    torch.testing.assert_close(head.weights.double(), theirs.weights, atol=1e-5, rtol=0)
    torch.testing.assert_close(head.bias.double(), theirs.bias, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(400, 40, 2), (400, 40, 5), (30, 60, 3)])
def test_the_inverse_hessian_is_exact_where_all_rows_are_alike(size):
    x, targets, weights = examples(*size, spread=100)
    rows = as_rows(x, targets, weights, size[2])
    shares = rows.targets @ rows.weights
    head = torch.zeros(size[2], size[1] + 1, dtype=torch.float64)
    head[:, -1] = shares.log()
    evaluate = objective(rows, 0.01)
    step = torch.as_tensor(np.random.default_rng(0).normal(size=head.shape))
    step -= step.mean(0)  # a constant on all classes changes nothing
    change = (evaluate(head + 1e-5 * step)[1] - evaluate(head - 1e-5 * step)[1]) / 2e-5
    classes = torch.diag(shares) - shares[:, None] * shares
    apply = inverse_hessian(axes_of(rows.x, rows.weights), classes, 0.01)
    torch.testing.assert_close(apply(change), step, atol=1e-5, rtol=1e-5)


# ---- the minimum is reached


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("penalty", [0.1, 0.001])
@pytest.mark.parametrize("size", [(500, 50, 2), (500, 50, 7), (40, 200, 3)])
def test_ill_conditioned_features_are_fitted_to_the_tolerance(size, penalty, dtype):
    x, targets, weights = examples(*size, spread=1e4)
    x = x.astype(dtype)
    head = fit_linear(x, targets, weights, penalty, size[2], tolerance=2e-6)
    loss, largest = gradient_of(head, x.astype(np.float64), targets, weights, penalty)
    assert head.gradient <= 2e-6 and largest < 4e-6  # the head is rounded to float32
    assert head.loss == pytest.approx(loss, abs=1e-6)
    assert 0 < head.iterations < 200


@pytest.mark.parametrize("width", [3, 30])
def test_constant_features_are_fitted(width):
    head = fit_linear(np.ones((6, width)), [0, 0, 1, 1, 1, 1], np.ones(6), 0.1, 2, **EXACT)
    assert head.weights.abs().max() < 1e-6
    assert head.bias.softmax(0).tolist() == pytest.approx([1 / 3, 2 / 3], abs=1e-6)


def test_one_row_is_fitted():
    head = fit_linear([[1.0, 2.0, 3.0]], [1], [1], 0.1, 2)
    assert head.gradient <= 2e-6 and int(head.bias.argmax()) == 1


@pytest.mark.parametrize("kinds", [3, 21])
def test_a_class_without_examples_stays_finite_and_rare(kinds):
    x, targets, weights = examples(100, 10, 2)
    head = fit_linear(x.astype(np.float32), targets, weights, 0.01, kinds)
    assert torch.isfinite(head.weights).all() and torch.isfinite(head.bias).all()
    assert head.logits(torch.as_tensor(x)).softmax(1)[:, 2:].max() < 1e-3
    pair = fit_linear(x.astype(np.float32), targets, weights, 0.01, 2)
    torch.testing.assert_close(head.weights[:, :2], pair.weights, atol=1e-3, rtol=0)


def test_a_fit_ends_after_the_iterations_it_may_take():
    x, targets, weights = examples(200, 30, 3, spread=100)
    head = fit_linear(x, targets, weights, 1e-4, 3, most_iterations=3)
    assert head.iterations == 3 and head.gradient > 2e-6


# ---- what changes nothing


@laws
@given(seeds, sizes)
def test_the_order_of_rows_does_not_matter(seed, size):
    x, targets, weights = examples(*size, seed)
    order = np.random.default_rng(seed).permutation(len(x))
    head = fit_linear(x, targets, weights, 0.01, size[2], **EXACT)
    same(head, fit_linear(x[order], targets[order], weights[order], 0.01, size[2], **EXACT))


@laws
@given(seeds, sizes)
def test_a_weight_of_k_is_the_row_k_times(seed, size):
    x, targets, _ = examples(*size, seed)
    times = np.random.default_rng(seed).integers(0, 4, len(x))
    times[: size[2]] += 1  # no class is left without examples
    rows = np.repeat(np.arange(len(x)), times)
    head = fit_linear(x, targets, times, 0.01, size[2], **EXACT)
    same(head, fit_linear(x[rows], targets[rows], np.ones(len(rows)), 0.01, size[2], **EXACT))


@laws
@given(seeds, sizes, st.floats(0.01, 100))
def test_rows_of_weight_zero_and_the_unit_of_weights_change_nothing(seed, size, unit):
    x, targets, weights = examples(*size, seed)
    head = fit_linear(x, targets, weights, 0.01, size[2], **EXACT)
    more = np.concatenate([x, np.full((3, size[1]), 1e6)])
    targets, weights = np.append(targets, [0, 1, 1]), np.append(weights, [0, 0, 0])
    same(head, fit_linear(more, targets, weights * unit, 0.01, size[2], **EXACT))


@laws
@given(seeds, sizes, st.floats(-20, 20))
def test_a_constant_added_to_a_feature_moves_the_bias_alone(seed, size, constant):
    x, targets, weights = examples(*size, seed)
    head = fit_linear(x, targets, weights, 0.01, size[2], **EXACT)
    x[:, 1] += constant
    moved = fit_linear(x, targets, weights, 0.01, size[2], **EXACT)
    bias = head.bias - constant * head.weights[1]
    same(LinearHead(head.weights, bias), moved, atol=1e-4)


@laws
@given(seeds, sizes)
def test_certain_soft_targets_are_hard_ones_and_mixed_ones_are_shared_rows(seed, size):
    x, targets, weights = examples(*size, seed)
    kinds = size[2]
    certain = np.eye(kinds)[targets]
    head = fit_linear(x, targets, weights, 0.01, kinds, **EXACT)
    same(head, fit_linear(x, certain, weights, 0.01, kinds, **EXACT))
    mixed = 0.7 * certain + 0.3 * np.roll(certain, 1, 1)
    rows = np.concatenate([x, x]), np.concatenate([targets, (targets + 1) % kinds])
    shared = fit_linear(*rows, np.concatenate([0.7 * weights, 0.3 * weights]), 0.01, kinds, **EXACT)
    same(shared, fit_linear(x, mixed, weights, 0.01, kinds, **EXACT))


@laws
@given(seeds, sizes)
def test_start_and_axes_change_the_way_not_the_end(seed, size):
    x, targets, weights = examples(*size, seed)
    head = fit_linear(x, targets, weights, 0.01, size[2], **EXACT)
    random = torch.Generator().manual_seed(seed)
    start = LinearHead(
        torch.randn(*size[1:], generator=random), torch.randn(size[2], generator=random)
    )
    other = torch.as_tensor(examples(*size, seed + 1, spread=10)[0])
    axes = axes_of(other, torch.ones(len(other)))
    same(head, fit_linear(x, targets, weights, 0.01, size[2], start, axes, **EXACT))


@pytest.mark.parametrize("kinds", [2, 6])
def test_one_label_more_takes_fewer_iterations_from_the_earlier_head(kinds):
    x, targets, weights = examples(300, 60, kinds, spread=100)
    earlier = fit_linear(x[:-1], targets[:-1], weights[:-1], 0.01, kinds)
    cold = fit_linear(x, targets, weights, 0.01, kinds)
    warm = fit_linear(x, targets, weights, 0.01, kinds, start=earlier)
    assert warm.iterations < cold.iterations
    assert warm.loss == pytest.approx(cold.loss, abs=1e-8)
    same(cold, warm, atol=1e-3)


# ---- mistakes


@pytest.mark.parametrize(
    "change",
    [
        {"weights": [1.0, -1.0]},
        {"weights": [0.0, 0.0]},
        {"weights": [1.0, float("nan")]},
        {"weights": [1.0]},
        {"targets": [0, 2]},
        {"targets": [0, -1]},
        {"targets": [0.0, 1.0]},
        {"targets": [[0.5, 0.2], [1.0, 0.0]]},
        {"targets": [[1.5, -0.5], [1.0, 0.0]]},
        {"targets": [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]},
        {"x": [1.0, 2.0]},
        {"penalty": 0.0},
    ],
    ids=str,
)
def test_rows_that_do_not_fit_are_refused(change):
    right = {"x": [[1.0], [2.0]], "targets": [0, 1], "weights": [1.0, 1.0], "penalty": 1.0}
    fit_linear(**right, num_classes=2)
    with pytest.raises(ValueError):
        fit_linear(**right | change, num_classes=2)
