"""The projection loss of boxes: an object touches every row and column of its box."""

from typing import NamedTuple

import torch

from weakseg.losses.base import Mean, at_least_single, expect_shape


def box_projection_loss(probabilities: torch.Tensor, boxes: torch.Tensor) -> Mean:
    """BoxInst's projection term (Tian et al., CVPR 2021).

    probabilities [B, C, H, W]; boxes [B, N, 5] float: x0, y0, x1, y1 in network pixels and the
    class; a row of class < 0 is padding. The largest probability of the class in each row of a box
    should be 1, likewise in each column: 1 - 2 sum(m t) / (sum(m^2) + sum(t^2)) with t = 1 on the
    rows or columns that are seen.

    A box may reach beyond the image, which is then a crop. Rows tell nothing if the image cuts the
    box at the left or the right, since the object may lie outside; nor do columns if it is cut
    above or below. The count is the number of (box, axis) terms left. Pixels belong to a box as in
    `weakseg.labels.targets.covered`. Half precision is lifted to float32. Needs memory for one map
    [H, W] a box. Raises ValueError where shapes don't fit.
    """
    maps, x, y = _box_maps(probabilities, boxes)
    inside = x.inside[:, None, :] & y.inside[:, :, None]
    maps = maps.masked_fill(~inside, -1)  # below any probability: no maximum is taken there
    rows, columns = _dice(maps.amax(2), y.inside), _dice(maps.amax(1), x.inside)
    by_rows, by_columns = (x.seen == 1) & (y.seen > 0), (y.seen == 1) & (x.seen > 0)
    return Mean((rows * by_rows + columns * by_columns).sum(), by_rows.sum() + by_columns.sum())


class _Span(NamedTuple):
    """The pixels of M boxes along one axis of the image."""

    inside: torch.Tensor  # [M, size] bool
    seen: torch.Tensor  # [M] share of the box's pixels that the image has


def _span(low: torch.Tensor, high: torch.Tensor, size: int) -> _Span:
    """Return the `_Span` of boxes from low [M] to high [M], as `weakseg.labels.targets.covered`."""
    first, end = (low - 0.5).ceil(), (high - 0.5).ceil()
    thin = first >= end
    first = torch.where(thin, ((low + high) / 2).floor(), first)[:, None]
    end = torch.where(thin[:, None], first + 1, end[:, None])
    pixels = torch.arange(size, device=low.device)
    inside = (pixels >= first) & (pixels < end)
    return _Span(inside, inside.sum(1) / (end - first)[:, 0])


def _box_maps(
    probabilities: torch.Tensor, boxes: torch.Tensor
) -> tuple[torch.Tensor, _Span, _Span]:
    """Return the maps [M, H, W] of the classes of the M boxes that are no padding, and their spans.

    The spans are those in x and in y.
    """
    batch, classes, height, width = probabilities.shape
    expect_shape("the boxes", boxes, (batch, boxes.shape[1], 5))
    image, row = (boxes[..., 4] >= 0).nonzero(as_tuple=True)
    x0, y0, x1, y1, label = at_least_single(boxes.detach())[image, row].unbind(1)
    if (label >= classes).any():
        raise ValueError(
            f"boxes of class {label.max():.0f}, but the probabilities have {classes} classes"
        )
    planes = at_least_single(probabilities).flatten(0, 1)
    maps = planes.index_select(0, image * classes + label.long())
    return maps, _span(x0, x1, width), _span(y0, y1, height)


def _dice(peaks: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Return 1 - the Dice coefficient [M] of peaks [M, size] with 1 on the pixels inside."""
    peaks = peaks * inside
    return 1 - 2 * peaks.sum(1) / (peaks.square().sum(1) + inside.sum(1)).clamp(min=1)
