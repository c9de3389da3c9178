"""What all losses return, and what they expect of their inputs."""

from typing import NamedTuple

import torch


class Mean(NamedTuple):
    """A sum (scalar tensor, differentiable) over `count` (scalar tensor, no gradient) labelled
    items.

    Or one of each of several groups [G], whose means weigh the same.
    """

    total: torch.Tensor
    count: torch.Tensor

    @property
    def value(self):
        """The mean, that of the groups' means where there are several; 0 where nothing is
        labelled.
        """
        known = self.count > 0
        means = torch.where(known, self.total / torch.where(known, self.count, 1), 0)
        return means.sum() / known.sum().clamp(min=1)


def at_least_single(logits):
    """Lift half precision to float32, for sums over many pixels; double precision stays."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _pair(dy, dx):
    """Return the index into [..., H, W] of the pixels with a neighbour at (dy, dx), dy >= 0, and of
    that neighbour.
    """
    near, far = (
        slice(max(0, -dx), -dx if dx > 0 else None),
        slice(max(0, dx), dx if dx < 0 else None),
    )
    return (..., slice(None, -dy or None), near), (..., slice(dy, None), far)


def _image_like(probabilities, image):
    """Return the image as numbers of the probabilities' precision."""
    _expect("the image", image, (len(probabilities), 3, *probabilities.shape[2:]))
    return image.detach().to(probabilities.dtype)


def _expect(name, tensor, shape):
    if tuple(tensor.shape) != tuple(shape):
        raise ValueError(
            f"{name} has the shape {tuple(tensor.shape)}, the probabilities call for {tuple(shape)}"
        )
