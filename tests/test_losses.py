"""Losses against float64 formulas written out in NumPy, their gradients against finite
differences.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import losses
from weakseg.common import IGNORE
from weakseg.losses.partial_cross_entropy import partial_cross_entropy
from weakseg.losses.tags import cam_pseudo_mask, tag_loss

LAWS = settings(max_examples=40)
SEEDS = st.integers(0, 2**32)


def sample(seed, unlabelled=0.5, scale=3.0):
    """Return (logits [2, 4, 5, 6] double, target [2, 5, 6] uint8), a share of the pixels
    unlabelled.
    """
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 4, (2, 5, 6))
    target[rng.random(target.shape) < unlabelled] = IGNORE
    return torch.from_numpy(rng.normal(size=(2, 4, 5, 6)) * scale), torch.from_numpy(
        target.astype(np.uint8)
    )


def tag_sample(seed, values=(0, 1, -1)):
    """Return (logits [3, 5] double, target [3, 5] float)."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(3, 5)) * 4), torch.from_numpy(
        rng.choice(values, (3, 5)).astype(np.float32)
    )


@LAWS
@given(SEEDS, st.sampled_from([0.0, 0.5, 0.98]))
def test_partial_cross_entropy_is_the_mean_over_labelled_pixels(seed, unlabelled):
    logits, target = sample(seed, unlabelled)
    z, t = logits.numpy(), target.numpy()
    terms = []
    for b, y, x in zip(*np.nonzero(t != IGNORE), strict=True):
        pixel = z[b, :, y, x]
        terms.append(math.log(np.exp(pixel - pixel.max()).sum()) + pixel.max() - pixel[t[b, y, x]])
    mean = partial_cross_entropy(logits, target)
    assert mean.count == len(terms)
    assert mean.value.item() == pytest.approx(np.mean(terms) if terms else 0.0, rel=1e-12)
    assert partial_cross_entropy(logits.float(), target).value.item() == pytest.approx(
        mean.value.item(), rel=1e-5, abs=1e-6
    )


def test_gradients_agree_with_finite_differences():
    logits, target = sample(0)
    assert torch.autograd.gradcheck(
        lambda z: partial_cross_entropy(z, target).value, logits.requires_grad_()
    )
    logits, target = tag_sample(0)
    assert torch.autograd.gradcheck(lambda z: tag_loss(z, target).value, logits.requires_grad_())
    weighting = losses.UncertaintyWeighting(["a"]).double()
    value = torch.tensor(0.7, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda v, s: weighting("a", v), (value, weighting.log_variance["a"])
    )


@LAWS
@given(SEEDS)
def test_unlabelled_pixels_get_no_gradient_and_change_nothing(seed):
    logits, target = sample(seed)
    logits.requires_grad_()
    partial_cross_entropy(logits, target).value.backward()
    quiet = (target == IGNORE)[:, None].expand_as(logits)
    assert (logits.grad[quiet] == 0).all()
    assert (logits.grad[~quiet] != 0).all()
    other = torch.where(quiet, torch.full_like(logits, 50.0), logits)
    assert torch.equal(
        partial_cross_entropy(other, target).value, partial_cross_entropy(logits, target).value
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_batch_without_labels_gives_zero_with_a_gradient(dtype):
    pixels = torch.randn(2, 3, 4, 4).to(dtype).requires_grad_()
    tags = torch.randn(2, 3).to(dtype).requires_grad_()
    for logits, mean in (
        (pixels, partial_cross_entropy(pixels, torch.full((2, 4, 4), IGNORE))),
        (tags, tag_loss(tags, torch.full((2, 3), -1.0))),
    ):
        assert (mean.value.item(), mean.count.item()) == (0.0, 0)
        mean.value.backward()
        assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_half_precision_logits_are_summed_in_single():
    logits = torch.full((1, 2, 512, 512), 0.5, dtype=torch.float16)
    mean = partial_cross_entropy(logits, torch.zeros(1, 512, 512, dtype=torch.uint8))
    assert mean.total.dtype == torch.float32
    assert mean.value.item() == pytest.approx(math.log(2), rel=1e-4)


def test_sums_and_counts_of_parts_add_up_to_the_whole():
    logits, target = sample(1)
    whole = partial_cross_entropy(logits, target)
    parts = [partial_cross_entropy(logits[i : i + 1], target[i : i + 1]) for i in range(2)]
    assert sum(p.total for p in parts).item() == pytest.approx(whole.total.item(), rel=1e-12)
    assert sum(p.count for p in parts) == whole.count


@LAWS
@given(SEEDS)
def test_tag_loss_equals_torchs_multi_label_soft_margin_loss(seed):
    logits, target = tag_sample(seed, values=(0, 1))
    peer = torch.nn.MultiLabelSoftMarginLoss()(logits, target.double())
    assert tag_loss(logits, target).value.item() == pytest.approx(peer.item(), rel=1e-10)


@LAWS
@given(SEEDS)
def test_unknown_tags_are_left_out(seed):
    logits, target = tag_sample(seed)
    z, t = logits.numpy(), target.numpy()
    terms = [
        math.log1p(math.exp(-abs(a))) + max(a, 0) - a * b
        for a, b in zip(z[t >= 0], t[t >= 0], strict=True)
    ]
    mean = tag_loss(logits.requires_grad_(), target)
    assert mean.count == len(terms)
    assert mean.value.item() == pytest.approx(np.mean(terms) if terms else 0.0, rel=1e-6)
    mean.value.backward()
    assert (logits.grad[target < 0] == 0).all()


def cam_sample(seed):
    """Return (cam [3, 4, 6, 6], tags [3, 4], tag_class [4]): two tags share class 2."""
    rng = np.random.default_rng(seed)
    cam = torch.from_numpy(rng.normal(size=(3, 4, 6, 6)).astype(np.float32))
    return (
        cam,
        torch.from_numpy(rng.choice([0.0, 1.0, -1.0], p=[0.5, 0.4, 0.1], size=(3, 4))),
        torch.tensor([1, 2, 2, 3]),
    )


@LAWS
@given(SEEDS, st.sampled_from([(0.0, 0.0), (0.4, 0.2), (0.7, 0.7), (1.0, 0.0)]))
def test_pseudo_masks_show_present_tags_only(seed, cuts):
    cam, tags, tag_class = cam_sample(seed)
    masks = cam_pseudo_mask(cam, tags, tag_class, (13, 9), *cuts)
    assert masks.shape == (3, 13, 9)
    for mask, known in zip(masks, tags, strict=True):
        assert set(mask.unique().tolist()) <= {0, IGNORE, *tag_class[known == 1].tolist()}
        if (known < 0).any():
            assert 0 not in mask.unique().tolist()


def test_a_pseudo_mask_follows_its_formula():
    cam, tags, tag_class = cam_sample(3)
    tags[0] = torch.tensor([1.0, 0.0, 1.0, 0.0])
    maps = [np.maximum(cam[0, t].numpy(), 0) / cam[0, t].max().item() for t in (0, 2)]
    expected = np.where(np.maximum(*maps) < 0.2, 0, IGNORE)
    expected[np.maximum(*maps) >= 0.4] = np.where(maps[0] >= maps[1], 1, 2)[
        np.maximum(*maps) >= 0.4
    ]
    assert np.array_equal(cam_pseudo_mask(cam, tags, tag_class, (6, 6))[0], expected)


@LAWS
@given(SEEDS, st.floats(0, 1), st.floats(0, 1))
def test_thresholds_are_monotone(seed, one, other):
    cam, tags, tag_class = cam_sample(seed)
    low, high = sorted((one, other))
    loose, strict = (cam_pseudo_mask(cam, tags, tag_class, (8, 8), cut, 0.0) for cut in (low, high))
    objects = strict != IGNORE
    assert torch.equal(loose[objects], strict[objects])
    less, more = (
        cam_pseudo_mask(cam, tags, tag_class, (8, 8), 1.1, cut) == 0 for cut in (low, high)
    )
    assert (more | ~less).all()


@LAWS
@given(SEEDS, st.sampled_from([2.0**-60, 0.25, 8.0, 2.0**60]))
def test_pseudo_masks_do_not_depend_on_the_scale_of_the_maps(seed, scale):
    cam, tags, tag_class = cam_sample(seed)
    assert torch.equal(
        cam_pseudo_mask(cam * scale, tags, tag_class, (9, 9)),
        cam_pseudo_mask(cam, tags, tag_class, (9, 9)),
    )


def test_without_a_tag_all_is_background_and_a_tag_that_shows_nowhere_leaves_it_open():
    cam = torch.rand(2, 1, 3, 3)
    tag_class = torch.tensor([1])
    assert (cam_pseudo_mask(cam, torch.zeros(2, 1), tag_class, (3, 3)) == 0).all()
    assert (cam_pseudo_mask(-cam, torch.ones(2, 1), tag_class, (3, 3)) == IGNORE).all()
    assert (cam_pseudo_mask(cam, -torch.ones(2, 1), tag_class, (3, 3)) == IGNORE).all()
    without = cam_pseudo_mask(cam, torch.zeros(2, 1), tag_class, (3, 3), has_background=False)
    assert (without == IGNORE).all()


@pytest.mark.parametrize("value", [0.02, 0.5, 3.0])
def test_uncertainty_weights_settle_at_the_closed_form(value):
    weighting = losses.UncertaintyWeighting(["a", "b"]).double()
    s = weighting.log_variance["a"]
    with torch.no_grad():
        s.fill_(math.log(2 * value))
    total = weighting("a", torch.tensor(value, dtype=torch.double))
    assert total.item() == pytest.approx(
        0.5 + math.log(2 * value) / 2, rel=1e-12
    )  # min over s of exp(-s) L + s / 2
    total.backward()
    assert abs(s.grad.item()) < 1e-12
    for shift in (-0.3, 0.3):
        with torch.no_grad():
            s.fill_(math.log(2 * value) + shift)
        assert weighting("a", torch.tensor(value, dtype=torch.double)) > total


def test_uncertainty_weights_are_learned_and_left_alone_without_labels():
    weighting = losses.UncertaintyWeighting(["a", "b"])
    assert len(list(weighting.parameters())) == 2
    optimiser = torch.optim.SGD(weighting.parameters(), lr=0.5)
    for _ in range(200):
        optimiser.zero_grad()
        (weighting("a", torch.tensor(2.0)) + weighting("b", torch.tensor(0.0))).backward()
        optimiser.step()
    assert weighting.log_variance["a"].item() == pytest.approx(math.log(4.0), abs=1e-3)
    assert weighting.log_variance["b"].item() == 0.0


@LAWS
@given(SEEDS)
def test_certain_chances_are_labels_and_none_weigh_nothing(seed):
    logits, target = sample(seed)
    known = target != IGNORE
    one_hot = torch.nn.functional.one_hot(torch.where(known, target, 0).long(), 4)
    chances = (one_hot * known[..., None]).permute(0, 3, 1, 2).double()
    of_large = logits.repeat_interleave(4, 2).repeat_interleave(4, 3)  # a cell has one value
    batch = {"extras": {"probe": chances}}
    step = losses.Step({"seg": of_large}, batch, None, losses.LossOptions(()), None)
    found, wanted = losses.probe_loss(step), partial_cross_entropy(logits, target)
    assert found.count == wanted.count
    torch.testing.assert_close(found.total, wanted.total)


@LAWS
@given(SEEDS)
def test_no_logits_are_better_than_those_of_the_chances(seed):
    logits, _ = sample(seed)
    chances = logits.softmax(1)
    random = torch.Generator().manual_seed(seed % 2**31)
    other = logits + torch.randn(logits.shape, generator=random, dtype=logits.dtype)
    own, others = (
        losses.probe_loss(
            losses.Step({"seg": seg}, {"extras": {"probe": chances}}, None, None, None)
        ).value
        for seg in (logits, other)
    )
    assert own < others
