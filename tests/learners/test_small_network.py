"""The small network: it learns what no line divides, alike for every order of the rows."""

import numpy as np
import pytest
import torch

from weakseg.learners.logistic import fit_linear
from weakseg.learners.small_network import SmallNetwork, dropped, fit_small_network, mean_network

QUICK = {"hidden": 16, "steps": 40, "batch": 32}


def crossed(count=400, seed=0):
    """Return x [N, 6], targets [N], weights [N] of two classes that a product of signs divides."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 6)).astype(np.float32)
    return x, (x[:, 0] * x[:, 1] > 0).astype(np.int64), random.uniform(0.5, 2, count)


def parts(network):
    return [network.hidden_weights, network.hidden_bias, network.weights, network.bias]


def alike(one, two):
    return all(torch.equal(a, b) for a, b in zip(parts(one), parts(two), strict=True))


def test_logits_are_the_formula():
    random = torch.Generator().manual_seed(0)
    shapes = [(6, 5), (5,), (5, 3), (3,)]
    network = SmallNetwork(*(torch.randn(*shape, generator=random) for shape in shapes))
    x = torch.randn(4, 6, generator=random)
    hidden = (x @ network.hidden_weights + network.hidden_bias).clamp(min=0)
    torch.testing.assert_close(network.logits(x), hidden @ network.weights + network.bias)


def test_the_mean_of_networks_has_the_mean_of_their_logits():
    random = torch.Generator().manual_seed(0)
    networks = [
        SmallNetwork(*(torch.randn(*shape, generator=random) for shape in shapes))
        for shapes in ([(6, 5), (5,), (5, 3), (3,)], [(6, 2), (2,), (2, 3), (3,)])
    ]
    x = torch.randn(4, 6, generator=random)
    mean = torch.stack([network.logits(x) for network in networks]).mean(0)
    torch.testing.assert_close(mean_network(networks).logits(x), mean)


def test_it_learns_what_no_line_divides():
    x, targets, weights = crossed(1500)
    new_x, new_targets, _ = crossed(seed=1)
    network = fit_small_network(
        x, targets, weights, 2, hidden=32, steps=400, batch=128, input_dropout=0.0, dropout=0.0
    )
    line = fit_linear(x, targets, weights, 0.01, 2)
    right = [
        (head.logits(torch.as_tensor(new_x)).argmax(1).numpy() == new_targets).mean()
        for head in (network, line)
    ]
    assert right[0] > 0.85 and right[1] < 0.7


def test_the_order_of_rows_and_rows_of_weight_zero_do_not_matter():
    x, targets, weights = crossed()
    network = fit_small_network(x, targets, weights, 2, **QUICK)
    order = np.random.default_rng(0).permutation(len(x))
    assert alike(network, fit_small_network(x[order], targets[order], weights[order], 2, **QUICK))
    more = np.concatenate([x, x[:5] + 9]), np.append(targets, [1] * 5), np.append(weights, [0] * 5)
    assert alike(network, fit_small_network(*more, 2, **QUICK))


def test_the_seed_decides_and_torchs_random_numbers_are_left_alone():
    rows = crossed()
    state = torch.get_rng_state()
    with torch.no_grad():
        one, same, other = (fit_small_network(*rows, 2, seed=s, **QUICK) for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert alike(one, same) and not alike(one, other)
    assert [part.dtype for part in parts(one)] == [torch.float32] * 4
    assert not any(part.requires_grad for part in parts(one))


def test_certain_soft_targets_are_hard_ones():
    x, targets, weights = crossed()
    network = fit_small_network(x, targets, weights, 2, **QUICK)
    assert alike(network, fit_small_network(x, np.eye(2)[targets], weights, 2, **QUICK))


def test_rows_are_drawn_by_their_weights():
    """Two rows alike but for the class: probabilities settle at the shares of their weights."""
    x, targets = np.ones((2, 3), np.float32), np.array([0, 1])
    network = fit_small_network(
        x, targets, [3.0, 1.0], 2, hidden=8, steps=300, batch=256, input_dropout=0.0, dropout=0.0
    )
    p = network.logits(torch.as_tensor(x[:1])).softmax(1)[0]
    assert p.tolist() == pytest.approx([0.75, 0.25], abs=0.05)


def test_dropout_keeps_the_mean():
    random = torch.Generator().manual_seed(0)
    values = dropped(torch.ones(400, 400), 0.3, random)
    assert values.mean() == pytest.approx(1, abs=0.01)
    assert (values == 0).double().mean() == pytest.approx(0.3, abs=0.01)
    assert torch.equal(dropped(values, 0.0, random), values)
