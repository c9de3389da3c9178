"""Losses that shape a prediction where no pixel is labelled: by the colours of the image, by boxes, by size.

Each takes class probabilities [B, C, H, W], lifts half precision to float32, and returns a `losses.Mean`. Images are
RGB [B, 3, H, W], uint8 or float in [0, 255], of the probabilities' size. Boxes are [B, N, 5] float: x0, y0, x1, y1 in
network pixels and the class; a row of class < 0 is padding. A box may reach beyond the image, which is then a crop.
Only the probabilities receive a gradient. Shapes that don't fit raise ValueError.
"""

import functools
import math
from typing import NamedTuple

import torch
from torch.autograd.function import once_differentiable

from losses import Mean, at_least_single

KERNELS = ((1.0, 6.0, 0.1),)  # weight, sigma of place in pixels, sigma of colour / 255 (None: whatever the colour)
XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))  # of linear sRGB


def gated_crf_loss(probabilities, image, source=None, target=None, radius=5, kernels=KERNELS):
    """Gated CRF loss (Obukhov et al., 2019, arXiv 1906.04651): near pixels of like colour want the same class.

    probabilities [B, C, H, W]; image [B, 3, H, W]; source, target [B, H, W] bool or float: the pixels that send and
    those that receive (None: all); radius: pixels, the bound of |dx| and |dy|; kernels: one or more of (weight, sigma
    of place in pixels, sigma of colour in units of colour / 255, or None for a kernel of place alone).
    The total is the sum, over ordered pairs i != j, of source_i target_j k_ij (1 - sum_c p_ic p_jc), where k_ij is the
    weighted sum of exp(-|xy_i - xy_j|^2 / 2 sigma_xy^2 - |rgb_i - rgb_j|^2 / 2 sigma_rgb^2). The count is the sum of
    the target gate, or the number of pixels without one: the value is a mean over receiving pixels at any image size.
    Differentiable once.
    """
    probabilities = at_least_single(probabilities)
    colour = _image_like(probabilities, image)
    if source is None and target is None:
        gates, count = None, probabilities.new_tensor(probabilities[:, 0].numel())
    else:
        gates = [_gate_like(probabilities, gate) for gate in (source, target)]
        count = gates[1].sum()
    return Mean(_PairEnergy.apply(probabilities, colour, gates, radius, kernels), count)


class _PairEnergy(torch.autograd.Function):
    """The energy of all pairs, and its gradient in the same walk over half of the neighbourhood.

    The energy is linear in the probabilities of each pixel: its gradient at i is -sum_j w_ij p_j. Summing that up on
    the way, and sum_j w_ij, leaves nothing else to keep for the backward pass.
    """

    @staticmethod
    def forward(ctx, probabilities, colour, gates, radius, kernels):
        gradient = torch.zeros_like(probabilities)
        weights = torch.zeros_like(probabilities[:, :1])
        for shift in _half_neighbourhood(radius):
            here, there = _pair(*shift)
            weight = _affinity(colour[here], colour[there], math.hypot(*shift), kernels)
            weight *= 2 if gates is None else _both_ways(*gates, here, there)
            for one, other in ((here, there), (there, here)):
                weights[one] += weight
                gradient[one].addcmul_(weight, probabilities[other], value=-1)
        ctx.save_for_backward(gradient)
        return (weights[:, 0] + (probabilities * gradient).sum(1)).sum() / 2  # every pair was met from both ends

    @staticmethod
    @once_differentiable
    def backward(ctx, scale):
        (gradient,) = ctx.saved_tensors
        return scale * gradient, None, None, None, None


def _half_neighbourhood(radius):
    """Return the shifts (dy, dx) within the radius, dy >= 0: one of each two opposite ones."""
    return [(dy, dx) for dy in range(radius + 1) for dx in range(-radius, radius + 1) if (dy, dx) > (0, 0)]


def _pair(dy, dx):
    """Return the index into [..., H, W] of the pixels with a neighbour at (dy, dx), dy >= 0, and of that neighbour."""
    near, far = slice(max(0, -dx), -dx if dx > 0 else None), slice(max(0, dx), dx if dx < 0 else None)
    return (..., slice(None, -dy or None), near), (..., slice(dy, None), far)


def _affinity(one, other, distance, kernels):
    """Return the weighted sum of the kernels [B, 1, h, w] of colours [B, 3, h, w] in [0, 255], so many pixels apart."""
    apart, step = torch.zeros_like(one[:, :1]), torch.empty_like(one[:, :1])
    for a, b in zip(one.split(1, dim=1), other.split(1, dim=1), strict=True):  # one channel stays in the cache
        torch.sub(a, b, out=step)
        apart.addcmul_(step, step)
    terms = []
    for weight, xy, rgb in kernels:
        near = weight * math.exp(-((distance / xy) ** 2) / 2)
        terms.append((apart * (0 if rgb is None else -0.5 / (255 * rgb) ** 2)).exp_().mul_(near))
    return functools.reduce(torch.Tensor.add_, terms)


def _both_ways(source, target, here, there):
    """Return the gates of unordered pairs: the sum over both directions."""
    return source[here] * target[there] + source[there] * target[here]


def colour_pairwise_loss(probabilities, image, where=None, dilation=2, threshold=0.3, theta=2.0):
    """BoxInst's pairwise term (Tian et al., CVPR 2021): pairs of like colour get the same class, -log sum_c p_ic p_jc.

    probabilities [B, C, H, W]; image [B, 3, H, W]; where [B, H, W] bool: a pair counts if one of its pixels lies there
    (None: anywhere); dilation: pixels between the two, along x, y or both; a pair is alike if exp(-|lab_i - lab_j| /
    theta) >= threshold, theta in units of CIELAB. The count is the number of such unordered pairs.
    Agreement is bounded below by the resolution (eps) of the dtype that came in, where log and gradient would overflow.
    """
    floor, probabilities = torch.finfo(probabilities.dtype).eps, at_least_single(probabilities)
    lab = rgb_to_lab(_image_like(probabilities, image))
    if where is not None:
        _expect("where", where, probabilities[:, 0].shape)
    totals, counts = [], []
    for shift in ((0, dilation), (dilation, -dilation), (dilation, 0), (dilation, dilation)):
        here, there = _pair(*shift)
        alike = torch.exp(-(lab[here] - lab[there]).square().sum(1).sqrt() / theta) >= threshold
        if where is not None:
            alike = alike & (where[here] | where[there])
        agreement = (probabilities[here] * probabilities[there]).sum(1).clamp(min=floor)
        totals.append(-(agreement.log() * alike).sum())
        counts.append(alike.sum())
    return Mean(sum(totals), sum(counts))


def rgb_to_lab(image):
    """Convert sRGB [B, 3, H, W] float in [0, 255] to CIELAB, white point D65: L in [0, 100]."""
    rgb = image / 255
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    # By hand: autocast and TF32 round matrix products. Divided by the sum of its row, each of XYZ is 1 at white.
    x, y, z = (sum(w * c for w, c in zip(row, linear.unbind(1), strict=True)) / sum(row) for row in XYZ)
    x, y, z = (torch.where(t > 0.008856, t ** (1 / 3), 7.787 * t + 16 / 116) for t in (x, y, z))
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def projection_loss(probabilities, boxes):
    """BoxInst's projection term (Tian et al., CVPR 2021): an object touches every row and column of its box.

    probabilities [B, C, H, W]; boxes [B, N, 5]. The largest probability of the class in each row of a box should be 1,
    likewise in each column: 1 - 2 sum(m t) / (sum(m^2) + sum(t^2)) with t = 1 on the rows or columns that are seen.
    Rows tell nothing if the image cuts the box at the left or the right, since the object may lie outside; nor do
    columns if it is cut above or below. The count is the number of (box, axis) terms left.
    Pixels belong to a box as in `supervision.covered`. Needs memory for one map [H, W] a box.
    """
    maps, x, y = _box_maps(probabilities, boxes)
    maps = maps.masked_fill(~_inside(x, y), -1)  # below any probability, so no maximum is taken there
    rows, columns = _dice(maps.amax(2), y.inside), _dice(maps.amax(1), x.inside)
    by_rows, by_columns = (x.seen == 1) & (y.seen > 0), (y.seen == 1) & (x.seen > 0)
    return Mean((rows * by_rows + columns * by_columns).sum(), by_rows.sum() + by_columns.sum())


def fill_loss(probabilities, boxes, low=0.3, high=0.95, visible=0.9):
    """Quadratic penalty of a size out of bounds (Kervadec et al., MedIA 2019): objects fill a known share of their box.

    probabilities [B, C, H, W]; boxes [B, N, 5]; low, high: bounds of the mean probability of the class in its box;
    visible: boxes of which the image shows less than this share of the area are left out. The count is the number of
    boxes left. Needs memory for one map [H, W] a box.
    """
    maps, x, y = _box_maps(probabilities, boxes)
    inside = _inside(x, y)
    fill = (maps * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)
    miss = (low - fill).clamp(min=0) + (fill - high).clamp(min=0)
    used = x.seen * y.seen >= visible
    return Mean((miss.square() * used).sum(), used.sum())


class _Span(NamedTuple):
    """The pixels of M boxes along one axis of the image."""

    inside: torch.Tensor  # [M, size] bool
    seen: torch.Tensor  # [M] share of the box's pixels that the image has


def _span(low, high, size):
    """Return the `_Span` of boxes from low [M] to high [M], pixel by pixel as `supervision.covered`."""
    first, end = (low - 0.5).ceil(), (high - 0.5).ceil()
    thin = first >= end
    first = torch.where(thin, ((low + high) / 2).floor(), first)[:, None]
    end = torch.where(thin[:, None], first + 1, end[:, None])
    pixels = torch.arange(size, device=low.device)
    inside = (pixels >= first) & (pixels < end)
    return _Span(inside, inside.sum(1) / (end - first)[:, 0])


def _box_maps(probabilities, boxes):
    """Return, for the M boxes that are no padding, the map of their class [M, H, W] and their `_Span` in x and y."""
    batch, classes, height, width = probabilities.shape
    _expect("the boxes", boxes, (batch, boxes.shape[1], 5))
    image, row = (boxes[..., 4] >= 0).nonzero(as_tuple=True)
    x0, y0, x1, y1, label = at_least_single(boxes.detach())[image, row].unbind(1)
    if (label >= classes).any():
        raise ValueError(f"boxes of class {label.max():.0f}, but the probabilities have {classes} classes")
    maps = at_least_single(probabilities).flatten(0, 1).index_select(0, image * classes + label.long())
    return maps, _span(x0, x1, width), _span(y0, y1, height)


def _inside(x, y):
    """Return the pixels of each box, [M, H, W] bool."""
    return x.inside[:, None, :] & y.inside[:, :, None]


def _dice(peaks, inside):
    """Return 1 - the Dice coefficient [M] of peaks [M, size] with 1 on the pixels inside."""
    peaks = peaks * inside
    return 1 - 2 * peaks.sum(1) / (peaks.square().sum(1) + inside.sum(1)).clamp(min=1)


def _gate_like(probabilities, gate):
    """Return a gate [B, H, W] as numbers [B, 1, H, W]; None is open everywhere."""
    if gate is None:
        return torch.ones_like(probabilities[:, :1])
    _expect("a gate", gate, probabilities[:, 0].shape)
    return gate.detach()[:, None].to(probabilities.dtype)


def _image_like(probabilities, image):
    """Return the image as numbers of the probabilities' precision."""
    _expect("the image", image, (len(probabilities), 3, *probabilities.shape[2:]))
    return image.detach().to(probabilities.dtype)


def _expect(name, tensor, shape):
    if tuple(tensor.shape) != tuple(shape):
        raise ValueError(f"{name} has the shape {tuple(tensor.shape)}, the probabilities call for {tuple(shape)}")
