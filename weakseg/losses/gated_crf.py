"""The gated CRF loss: neighbours of one colour have one class."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from weakseg.losses.base import Mean, at_least_single, expect_shape

Kernel = tuple[float, float, float | None]  # weight, sigma of place, sigma of colour
Shift = tuple[int, int]  # (dy, dx) in pixels

# Place in pixels, colour / 255.
KERNELS: tuple[Kernel, ...] = ((1.0, 6.0, 0.1),)


def gated_crf_loss(
    probabilities: torch.Tensor,
    image: torch.Tensor,
    source: torch.Tensor | None = None,
    target: torch.Tensor | None = None,
    radius: int = 5,
    kernels: Sequence[Kernel] = KERNELS,
) -> Mean:
    """Gated CRF loss (Obukhov et al., 2019, arXiv 1906.04651).

    probabilities [B, C, H, W]; image [B, 3, H, W] RGB, uint8 or float in [0, 255]; source, target
    [B, H, W] bool or float: the pixels that send and those that receive (None: all); radius:
    pixels, the bound of |dx| and |dy|; kernels: one or more of (weight, sigma of place in pixels,
    sigma of colour in units of colour / 255, or None for a kernel of place alone).

    The total is the sum, over ordered pairs i != j, of source_i target_j k_ij (1 - sum_c p_ic
    p_jc), where k_ij is the weighted sum of exp(-|xy_i - xy_j|^2 / 2 sigma_xy^2 - |rgb_i - rgb_j|^2
    / 2 sigma_rgb^2). The count is the sum of the target gate, or the number of pixels without one:
    the value is a mean over receiving pixels at any image size. Only the probabilities receive a
    gradient, once differentiable. Raises ValueError where shapes don't fit.
    """
    probabilities = at_least_single(probabilities)
    expect_shape("the image", image, (len(probabilities), 3, *probabilities.shape[2:]))
    colour = image.detach().to(probabilities.dtype)
    gates = None
    count = probabilities.new_tensor(probabilities[:, 0].numel())
    if source is not None or target is not None:
        gates = _gate_like(probabilities, source), _gate_like(probabilities, target)
        count = gates[1].sum()
    return Mean(_PairEnergy.apply(probabilities, colour, gates, radius, kernels), count)


class _PairEnergy(torch.autograd.Function):
    """The energy of all pairs, and its gradient in one pass over half of the neighbourhood.

    The energy is linear in the probabilities of each pixel: its gradient at i is -sum_j w_ij p_j.
    Summing that up on the way, and sum_j w_ij, leaves nothing else to keep for the backward pass.
    """

    @staticmethod
    def forward(
        ctx: Any,
        probabilities: torch.Tensor,
        colour: torch.Tensor,
        gates: tuple[torch.Tensor, torch.Tensor] | None,
        radius: int,
        kernels: Sequence[Kernel],
    ) -> torch.Tensor:
        gradient = torch.zeros_like(probabilities)
        weights = torch.zeros_like(probabilities[:, :1])
        for shift in _half_neighbourhood(radius):
            here, there = _pair(*shift)
            weight = _affinity(colour[here], colour[there], math.hypot(*shift), kernels)
            weight *= 2 if gates is None else _both_ways(gates[0], gates[1], here, there)
            for one, other in ((here, there), (there, here)):
                weights[one] += weight
                gradient[one].addcmul_(weight, probabilities[other], value=-1)
        ctx.save_for_backward(gradient)
        energy = (weights[:, 0] + (probabilities * gradient).sum(1)).sum()
        return energy / 2  # every pair was met from both ends

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: torch.Tensor) -> tuple[torch.Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return scale * gradient, None, None, None, None


def _half_neighbourhood(radius: int) -> list[Shift]:
    """Return the shifts (dy, dx) within the radius, dy >= 0: one of each two opposite ones."""
    return [
        (dy, dx)
        for dy in range(radius + 1)
        for dx in range(-radius, radius + 1)
        if (dy, dx) > (0, 0)
    ]


def _pair(dy: int, dx: int) -> tuple[Any, Any]:
    """Return the indices into [..., H, W] of pixels with a neighbour at (dy, dx), and of those.

    dy >= 0
    """
    near = slice(max(0, -dx), -dx if dx > 0 else None)
    far = slice(max(0, dx), dx if dx < 0 else None)
    return (..., slice(None, -dy or None), near), (..., slice(dy, None), far)


def _affinity(
    one: torch.Tensor, other: torch.Tensor, distance: float, kernels: Sequence[Kernel]
) -> torch.Tensor:
    """Return the weighted sum [B, 1, h, w] of the kernels.

    one, other [B, 3, h, w]: colours in [0, 255]; distance: between them, in pixels
    """
    apart, step = torch.zeros_like(one[:, :1]), torch.empty_like(one[:, :1])
    # Channel by channel: one at a time stays in the processor's cache.
    for a, b in zip(one.split(1, dim=1), other.split(1, dim=1), strict=True):
        torch.sub(a, b, out=step)
        apart.addcmul_(step, step)
    terms = []
    for weight, xy, rgb in kernels:
        near = weight * math.exp(-((distance / xy) ** 2) / 2)
        terms.append((apart * (0 if rgb is None else -0.5 / (255 * rgb) ** 2)).exp_().mul_(near))
    return functools.reduce(torch.Tensor.add_, terms)


def _both_ways(source: torch.Tensor, target: torch.Tensor, here: Any, there: Any) -> torch.Tensor:
    """Return the gates of unordered pairs: the sum over both directions."""
    return source[here] * target[there] + source[there] * target[here]


def _gate_like(probabilities: torch.Tensor, gate: torch.Tensor | None) -> torch.Tensor:
    """Return a gate [B, H, W] as numbers [B, 1, H, W]; None is open everywhere."""
    if gate is None:
        return torch.ones_like(probabilities[:, :1])
    expect_shape("a gate", gate, probabilities[:, 0].shape)
    return gate.detach()[:, None].to(probabilities.dtype)
