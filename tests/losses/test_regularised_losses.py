"""Regularisers against loops over pixels in float64, and the laws they obey."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.labels.targets import covered
from weakseg.losses.gated_crf import gated_crf_loss
from weakseg.losses.projection import box_projection_loss

LAWS = settings(max_examples=20)
SEEDS = st.integers(0, 2**32)
TWO_KERNELS = ((0.9, 3.0, 0.2), (0.1, 2.0, None))


def sample(seed, classes=3, size=(5, 6), batch=2, dtype=torch.double, levels=256):
    """Return (probabilities [B, C, H, W], image [B, 3, H, W] uint8) of few colours if `levels` is
    low.
    """
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(2 * rng.normal(size=(batch, classes, *size)))
    image = rng.integers(0, levels, (batch, 3, *size)) * (255 // (levels - 1))
    return logits.softmax(1).to(dtype), torch.from_numpy(image.astype(np.uint8))


def sample_gates(seed, shape, kind):
    """Return (source, target) [B, H, W] of the kind: none, one, the same bool, two of bool, two of
    float.
    """
    rng = np.random.default_rng([seed, 1])
    one, other = torch.from_numpy(rng.random(shape)), torch.from_numpy(rng.random(shape))
    kinds = {
        "none": (None, None),
        "source": (one > 0.4, None),
        "target": (None, other > 0.4),
        "same": (one > 0.4,) * 2,
        "bool": (one > 0.4, other > 0.4),
        "float": (one.float(), other.float()),
    }
    return kinds[kind]


GATES = st.sampled_from(["none", "source", "target", "same", "bool", "float"])


def gated_crf_by_loop(p, image, source, target, radius, kernels):
    """Return (total, gradient [B, C, H, W]) of the definition, pair by pair."""
    p, rgb = p.detach().numpy(), image.double().numpy() / 255
    batch, _, height, width = p.shape
    source, target = (
        np.ones((batch, height, width)) if g is None else g.double().numpy()
        for g in (source, target)
    )
    total, gradient = 0.0, np.zeros_like(p)
    pixels = [(y, x) for y in range(height) for x in range(width)]
    for b in range(batch):
        for i in pixels:
            for j in pixels:
                dy, dx = i[0] - j[0], i[1] - j[1]
                if i == j or max(abs(dy), abs(dx)) > radius:
                    continue
                apart = ((rgb[b, :, *i] - rgb[b, :, *j]) ** 2).sum()
                kernel = sum(
                    w * math.exp(-(dy**2 + dx**2) / (2 * xy**2) - (apart / (2 * c**2) if c else 0))
                    for w, xy, c in kernels
                )
                gate = source[b, *i] * target[b, *j]
                total += kernel * gate * (1 - p[b, :, *i] @ p[b, :, *j])
                gradient[b, :, *i] -= kernel * gate * p[b, :, *j]
                gradient[b, :, *j] -= kernel * gate * p[b, :, *i]
    return total, gradient


@LAWS
@given(SEEDS, st.integers(1, 4), st.integers(1, 7), GATES, st.booleans(), st.booleans())
def test_gated_crf_and_its_gradient_are_those_of_a_loop_over_pairs(
    seed, classes, radius, kind, whole, two
):
    p, image = sample(seed, classes, size=(3, 5))
    image = image if whole else image.double() * 0.999
    source, target = sample_gates(seed, (2, 3, 5), kind)
    kernels = TWO_KERNELS if two else ((1.0, 6.0, 0.1),)
    p.requires_grad_()
    mean = gated_crf_loss(p, image, source, target, radius, kernels)
    mean.total.backward()
    total, gradient = gated_crf_by_loop(p, image, source, target, radius, kernels)
    assert mean.total.item() == pytest.approx(total, rel=1e-10, abs=1e-12)
    np.testing.assert_allclose(p.grad, gradient, rtol=1e-10, atol=1e-12)
    assert mean.count.item() == pytest.approx(2 * 3 * 5 if target is None else target.sum().item())
    single = gated_crf_loss(p.detach().float(), image, source, target, radius, kernels)
    assert single.total.item() == pytest.approx(total, rel=1e-4, abs=1e-4)


def test_gradients_agree_with_finite_differences():
    p, image = sample(0, size=(4, 5), batch=1, levels=3)
    gates, boxes = (
        sample_gates(0, (1, 4, 5), "bool"),
        torch.tensor([[[1.0, 0, 4, 3, 1], [-1, 0, 3, 4, 2]]]),
    )
    for value in (
        lambda p: gated_crf_loss(p, image, *gates, radius=2).value,
        lambda p: box_projection_loss(p, boxes).value,
    ):
        assert torch.autograd.gradcheck(value, p.detach().requires_grad_())


@LAWS
@given(SEEDS, st.integers(1, 4))
def test_a_certain_prediction_of_one_class_costs_nothing(seed, classes):
    p, image = sample(seed, classes, size=(9, 8), dtype=torch.float32)
    p = torch.zeros_like(p)
    p[:, -1] = 1
    source, target = sample_gates(seed, (2, 9, 8), "float")
    assert gated_crf_loss(p, image, source, target).total == 0


def symmetries(tensor):
    """Return a tensor [..., H, W] mirrored along either axis, and transposed."""
    return tensor.flip(-1), tensor.flip(-2), tensor.transpose(-1, -2)


@LAWS
@given(SEEDS, GATES)
def test_mirrors_and_transposes_of_everything_change_nothing(seed, kind):
    p, image = sample(seed, levels=4)
    gates = sample_gates(seed, (2, 5, 6), kind)
    crf = gated_crf_loss(p, image, *gates)
    for k, (q, view) in enumerate(zip(symmetries(p), symmetries(image), strict=True)):
        same = [None if gate is None else symmetries(gate)[k] for gate in gates]
        assert gated_crf_loss(q, view, *same).value.item() == pytest.approx(
            crf.value.item(), rel=1e-10
        )


@LAWS
@given(SEEDS, st.floats(0, 10), GATES)
def test_gated_crf_is_linear_in_the_weights_of_its_kernels(seed, factor, kind):
    p, image = sample(seed)
    gates = sample_gates(seed, (2, 5, 6), kind)
    first, second = ((1.0, 3.0, 0.2),), ((1.0, 2.0, None),)
    mixed = gated_crf_loss(p, image, *gates, kernels=((factor, 3.0, 0.2), (2.0, 2.0, None)))
    parts = [
        gated_crf_loss(p, image, *gates, kernels=kernels).total.item()
        for kernels in (first, second)
    ]
    assert mixed.total.item() == pytest.approx(factor * parts[0] + 2 * parts[1], rel=1e-10)


@LAWS
@given(SEEDS, st.integers(1, 5))
def test_pixels_that_neither_send_nor_receive_have_no_influence(seed, radius):
    p, image = sample(seed)
    gate, _ = sample_gates(seed, (2, 5, 6), "same")
    other, other_image = sample(seed + 1)
    changed = torch.where(gate[:, None], p, other).requires_grad_()
    mean = gated_crf_loss(
        changed, torch.where(gate[:, None], image, other_image), gate, gate, radius
    )
    assert mean.total.item() == pytest.approx(
        gated_crf_loss(p, image, gate, gate, radius).total.item(), rel=1e-12
    )
    mean.total.backward()
    assert (changed.grad[~gate[:, None].expand_as(p)] == 0).all()


def test_closed_gates_and_images_without_pairs_give_zero_with_a_gradient():
    p, image = sample(0)
    closed = torch.zeros(2, 5, 6, dtype=torch.bool)
    none = torch.full((2, 1, 5), -1.0)
    for loss in (
        lambda p: gated_crf_loss(p, image, closed, closed),
        lambda p: gated_crf_loss(p, image, None, closed),
        lambda p: gated_crf_loss(p, image, closed),
        lambda p: gated_crf_loss(p[..., :1, :1], image[..., :1, :1]),
        lambda p: box_projection_loss(p, none),
        lambda p: box_projection_loss(p, none[:, :0]),
    ):
        p = p.detach().requires_grad_()
        mean = loss(p)
        assert mean.value == 0
        mean.value.backward()
        assert torch.equal(p.grad, torch.zeros_like(p))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("scale", [1.0, 8.0, 1e4])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_and_extreme_logits_stay_finite(dtype, scale, autocast):
    _, image = sample(0, size=(12, 12), levels=2)
    boxes = torch.tensor([[[1.0, 1, 9, 9, 1], [3, 2, 12, 12, 2]]] * 2)
    for loss in (
        lambda p: gated_crf_loss(p, image),
        lambda p: box_projection_loss(p, boxes),
    ):
        logits = (
            scale * torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0)).sign()
        ).to(dtype)
        logits.requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            mean = loss(logits.softmax(1))
        exact = loss(logits.detach().softmax(1).double())
        mean.total.backward()
        assert mean.total.dtype == torch.float32
        assert mean.total.isfinite() and logits.grad.isfinite().all()
        if scale == 1:
            assert mean.total.item() == pytest.approx(exact.total.item(), rel=1e-4)


def test_gated_crf_keeps_half_precision_sums_in_single():
    p = torch.full((1, 2, 128, 128), 0.5, dtype=torch.float16)
    flat = torch.zeros(1, 3, 128, 128, dtype=torch.uint8)
    half, double = (gated_crf_loss(x, flat).value.item() for x in (p, p.double()))
    assert half == pytest.approx(double, rel=1e-5)


def test_gated_crf_pulls_like_colours_to_one_class():
    image = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    image[..., 4:] = 200
    logits = torch.zeros(1, 2, 8, 8)
    logits[:, 0, 2, 1] = logits[:, 1, 5, 6] = 8.0  # one known pixel on either side
    known = (logits != 0).any(1)
    unknown = torch.zeros_like(logits).requires_grad_()
    for _ in range(6):
        gated_crf_loss(
            (logits + unknown * ~known[:, None]).softmax(1), image, radius=3
        ).total.backward()
        unknown = (unknown - 4 * unknown.grad).detach().requires_grad_()
    found = (logits + unknown).argmax(1)[0]
    assert (found[:, :4] == 0).all() and (found[:, 4:] == 1).all()


def box_sample(seed, size=(9, 11), number=6):
    """Return (probabilities [2, 3, H, W], boxes [2, N, 5]): some reach beyond the image, some rows
    are padding.
    """
    rng = np.random.default_rng(seed)
    p, _ = sample(seed, size=size)
    low = rng.integers(-8, 40, (2, number, 2)) / 4
    boxes = np.concatenate(
        [low, low + rng.integers(0, 40, low.shape) / 4, rng.integers(-1, 3, (2, number, 1))], 2
    )
    return p, torch.from_numpy(boxes.astype(np.float32))


def seen_boxes(p, boxes):
    """Yield (map of the class [H, W], rows, columns, whole in y, whole in x) of each box, by
    `supervision.covered`.
    """
    height, width = p.shape[2:]
    for image, rows in zip(p.detach().numpy(), boxes.tolist(), strict=True):
        for x0, y0, x1, y1, label in rows:
            if label >= 0:
                (y, x), shift = (
                    (covered(low + 1000, high + 1000) for low, high in ((y0, y1), (x0, x1))),
                    1000,
                )
                whole = [
                    0 <= s.start - shift and s.stop - shift <= n
                    for s, n in ((y, height), (x, width))
                ]
                spans = [slice(max(0, s.start - shift), max(0, s.stop - shift)) for s in (y, x)]
                share = image[0, *spans].size / ((y.stop - y.start) * (x.stop - x.start))
                yield image[int(label)][*spans], *whole, share


@LAWS
@given(SEEDS)
def test_box_projection_loss_is_that_of_a_loop_over_boxes(seed):
    p, boxes = box_sample(seed)
    terms = []
    for crop, whole_y, whole_x, _ in seen_boxes(p, boxes):
        for whole, axis in ((whole_x, 1), (whole_y, 0)):
            if whole and crop.size:
                peaks = crop.max(axis=axis)
                terms.append(1 - 2 * peaks.sum() / ((peaks**2).sum() + len(peaks)))
    mean = box_projection_loss(p, boxes)
    assert mean.count == len(terms)
    assert mean.total.item() == pytest.approx(sum(terms), rel=1e-6)


@LAWS
@given(seed=SEEDS)
def test_boxes_come_in_any_order_and_padding_is_ignored(seed):
    p, boxes = box_sample(seed)
    rng = np.random.default_rng([seed, 2])
    padding = torch.full((2, 2, 5), -1.0)
    padding[..., :4] = torch.tensor([0.0, 0, 6, 6])
    mixed = torch.cat([boxes, padding], 1)[:, rng.permutation(boxes.shape[1] + 2)]
    mean, same = box_projection_loss(p, boxes), box_projection_loss(p, mixed)
    assert same.total.item() == pytest.approx(mean.total.item(), rel=1e-12)
    assert same.count == mean.count
    alone = [box_projection_loss(p[i : i + 1], boxes[i : i + 1]) for i in range(2)]
    assert sum(part.total for part in alone).item() == pytest.approx(mean.total.item(), rel=1e-12)


@LAWS
@given(SEEDS)
def test_box_losses_of_everything_transposed_are_the_same(seed):
    p, boxes = box_sample(seed)
    mean = box_projection_loss(p, boxes)
    same = box_projection_loss(p.transpose(-1, -2), boxes[..., [1, 0, 3, 2, 4]])
    assert same.total.item() == pytest.approx(mean.total.item(), rel=1e-10)
    assert same.count == mean.count


@LAWS
@given(seed=SEEDS)
def test_nothing_outside_the_boxes_matters(seed):
    p, boxes = box_sample(seed)
    inside = torch.zeros_like(p, dtype=torch.bool)
    for image, rows in zip(inside, boxes.tolist(), strict=True):
        for x0, y0, x1, y1, label in rows:
            if label >= 0:
                image[int(label), covered(y0, y1), covered(x0, x1)] = True
    other = torch.where(inside, p, 1 - p).requires_grad_()
    mean = box_projection_loss(other, boxes)
    assert mean.total.item() == box_projection_loss(p, boxes).total.item()
    mean.total.backward()
    assert (other.grad[~inside] == 0).all()


def test_projection_of_masks_that_fill_or_touch_a_box_is_free():
    box, p = torch.tensor([[[2.0, 3, 8, 9, 1]]]), torch.zeros(1, 2, 12, 12)
    mean = box_projection_loss(p, box)  # an empty prediction: 1 for either axis
    assert (mean.total, mean.count) == (pytest.approx(2.0), 2)
    p[0, 1, 3:9, 2:8] = 1
    mean = box_projection_loss(p, box)
    assert (mean.total, mean.count) == (0, 2)
    p[0, 1, 3:9, 2:8] = torch.eye(6)
    mean = box_projection_loss(p, box)
    assert (mean.total, mean.count) == (0, 2)
    p[0, 1, 5, 4] = 0
    assert box_projection_loss(p, box).value > 0.05


@pytest.mark.parametrize(
    ("box", "terms"),
    [
        ((2, 2, 9, 9), 2),
        ((-3, 2, 9, 9), 1),
        ((2, 2, 30, 9), 1),
        ((2, -3, 9, 9), 1),
        ((2, 2, 9, 30), 1),
        ((-3, -3, 30, 30), 0),
        ((0, 0, 12, 12), 2),
        ((-0.4, -0.4, 12.4, 12.4), 2),
        ((-9, 2, -3, 9), 0),
        ((2, 20, 9, 30), 0),
    ],
)
def test_axes_that_the_border_cuts_are_left_out(box, terms):
    p, boxes = torch.full((1, 1, 12, 12), 0.5), torch.tensor([[[*map(float, box), 0]]])
    mean = box_projection_loss(p, boxes)
    assert mean.count == terms
    assert mean.total.item() == pytest.approx(terms * (1 - 2 * 0.5 / 1.25))


def test_what_does_not_fit_is_refused():
    p, image = sample(0)
    boxes = torch.zeros(2, 1, 5)
    for call in (
        lambda: gated_crf_loss(p, image[..., :3]),
        lambda: gated_crf_loss(p, image, source=image),
        lambda: box_projection_loss(p, boxes[:1]),
        lambda: box_projection_loss(p, boxes[..., :4]),
        lambda: box_projection_loss(p, boxes + torch.tensor([0, 0, 4, 4, 3])),
    ):
        with pytest.raises(ValueError):
            call()
