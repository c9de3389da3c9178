"""Losses that shape a prediction where no pixel is labelled: by the colours of the image, by boxes,
by size.

Each takes class probabilities [B, C, H, W], lifts half precision to float32, and returns a
`losses.Mean`. Images are RGB [B, 3, H, W], uint8 or float in [0, 255], of the probabilities' size.
Boxes are [B, N, 5] float: x0, y0, x1, y1 in network pixels and the class; a row of class < 0 is
padding. A box may reach beyond the image, which is then a crop. Only the probabilities receive a
gradient. Shapes that don't fit raise ValueError.
"""

from typing import NamedTuple

import torch

from weakseg.losses.base import Mean, _expect, _image_like, _pair, at_least_single

XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)  # of linear sRGB


def colour_pairwise_loss(probabilities, image, where=None, dilation=2, threshold=0.3, theta=2.0):
    """BoxInst's pairwise term (Tian et al., CVPR 2021): pairs of like colour get the same class,
    -log sum_c p_ic p_jc.

    probabilities [B, C, H, W]; image [B, 3, H, W]; where [B, H, W] bool: a pair counts if one of
    its pixels lies there (None: anywhere); dilation: pixels between the two, along x, y or both; a
    pair is alike if exp(-|lab_i - lab_j| / theta) >= threshold, theta in units of CIELAB. The count
    is the number of such unordered pairs. Agreement is bounded below by the resolution (eps) of the
    dtype that came in, where log and gradient would overflow.
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
    # By hand: autocast and TF32 round matrix products. Divided by the sum of its row, each of XYZ
    # is 1 at white.
    x, y, z = (
        sum(w * c for w, c in zip(row, linear.unbind(1), strict=True)) / sum(row) for row in XYZ
    )
    x, y, z = (torch.where(t > 0.008856, t ** (1 / 3), 7.787 * t + 16 / 116) for t in (x, y, z))
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def projection_loss(probabilities, boxes):
    """BoxInst's projection term (Tian et al., CVPR 2021): an object touches every row and column of
    its box.

    probabilities [B, C, H, W]; boxes [B, N, 5]. The largest probability of the class in each row of
    a box should be 1, likewise in each column: 1 - 2 sum(m t) / (sum(m^2) + sum(t^2)) with t = 1 on
    the rows or columns that are seen. Rows tell nothing if the image cuts the box at the left or
    the right, since the object may lie outside; nor do columns if it is cut above or below. The
    count is the number of (box, axis) terms left. Pixels belong to a box as in
    `supervision.covered`. Needs memory for one map [H, W] a box.
    """
    maps, x, y = _box_maps(probabilities, boxes)
    maps = maps.masked_fill(
        ~_inside(x, y), -1
    )  # below any probability, so no maximum is taken there
    rows, columns = _dice(maps.amax(2), y.inside), _dice(maps.amax(1), x.inside)
    by_rows, by_columns = (x.seen == 1) & (y.seen > 0), (y.seen == 1) & (x.seen > 0)
    return Mean((rows * by_rows + columns * by_columns).sum(), by_rows.sum() + by_columns.sum())


def fill_loss(probabilities, boxes, low=0.3, high=0.95, visible=0.9):
    """Quadratic penalty of a size out of bounds (Kervadec et al., MedIA 2019): objects fill a known
    share of their box.

    probabilities [B, C, H, W]; boxes [B, N, 5]; low, high: bounds of the mean probability of the
    class in its box; visible: boxes of which the image shows less than this share of the area are
    left out. The count is the number of boxes left. Needs memory for one map [H, W] a box.
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
    """Return the `_Span` of boxes from low [M] to high [M], pixel by pixel as
    `supervision.covered`.
    """
    first, end = (low - 0.5).ceil(), (high - 0.5).ceil()
    thin = first >= end
    first = torch.where(thin, ((low + high) / 2).floor(), first)[:, None]
    end = torch.where(thin[:, None], first + 1, end[:, None])
    pixels = torch.arange(size, device=low.device)
    inside = (pixels >= first) & (pixels < end)
    return _Span(inside, inside.sum(1) / (end - first)[:, 0])


def _box_maps(probabilities, boxes):
    """Return, for the M boxes that are no padding, the map of their class [M, H, W] and their
    `_Span` in x and y.
    """
    batch, classes, height, width = probabilities.shape
    _expect("the boxes", boxes, (batch, boxes.shape[1], 5))
    image, row = (boxes[..., 4] >= 0).nonzero(as_tuple=True)
    x0, y0, x1, y1, label = at_least_single(boxes.detach())[image, row].unbind(1)
    if (label >= classes).any():
        raise ValueError(
            f"boxes of class {label.max():.0f}, but the probabilities have {classes} classes"
        )
    maps = (
        at_least_single(probabilities).flatten(0, 1).index_select(0, image * classes + label.long())
    )
    return maps, _span(x0, x1, width), _span(y0, y1, height)


def _inside(x, y):
    """Return the pixels of each box, [M, H, W] bool."""
    return x.inside[:, None, :] & y.inside[:, :, None]


def _dice(peaks, inside):
    """Return 1 - the Dice coefficient [M] of peaks [M, size] with 1 on the pixels inside."""
    peaks = peaks * inside
    return 1 - 2 * peaks.sum(1) / (peaks.square().sum(1) + inside.sum(1)).clamp(min=1)
