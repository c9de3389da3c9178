"""Labelled pixels of many images, and a sample of them that fits in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class LabelledPixels:
    """Labelled pixels of many images.

    features [N, D] float16; classes [N] int64; weights [N] float64; images [N] int64: which image
    each pixel is of
    """

    features: np.ndarray
    classes: np.ndarray
    weights: np.ndarray
    images: np.ndarray

    def __len__(self) -> int:
        return len(self.classes)

    def part(self, chosen: np.ndarray) -> "LabelledPixels":
        """Return the pixels of these numbers [M], or of a mask [N], in the order given."""
        return LabelledPixels(*(values[chosen] for values in vars(self).values()))


def merged(parts: Sequence[LabelledPixels], like: np.ndarray) -> LabelledPixels:
    """Return all parts in one; without any, none, with as many features as `like` [N, D] has."""
    nothing = LabelledPixels(
        np.empty((0, like.shape[1]), np.float16),
        np.empty(0, np.int64),
        np.empty(0),
        np.empty(0, np.int64),
    )
    fields = zip(*(vars(part).values() for part in (nothing, *parts)), strict=True)
    return LabelledPixels(*(np.concatenate(field) for field in fields))


class PixelSample:
    """Takes pixels image by image, and keeps `most` of them, drawn uniformly, or all if fewer.

    Each pixel has a random number, and those with the least are kept: no image is preferred,
    whatever their order. Memory holds at most twice `most` pixels, and those of one image.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.parts: list[LabelledPixels] = []
        self.numbers: list[np.ndarray] = []
        self.seen, self.held, self.weight = 0, 0, 0.0

    def add(self, pixels: LabelledPixels, rng: np.random.Generator) -> None:
        """Add the pixels of an image, each of which draws its number from `rng`."""
        self.parts.append(pixels)
        self.numbers.append(rng.random(len(pixels)))
        self.seen += len(pixels)
        self.held += len(pixels)
        self.weight += float(pixels.weights.sum())
        if self.held > 2 * self.most:
            self.thin()

    def thin(self) -> None:
        """Keep the pixels with the least numbers, in the order in which they came."""
        pixels, numbers = merged(self.parts, self.parts[0].features), np.concatenate(self.numbers)
        kept = np.sort(np.argsort(numbers, kind="stable")[: self.most])
        self.parts, self.numbers = [pixels.part(kept)], [numbers[kept]]
        self.held = len(kept)

    def drawn(self, like: np.ndarray) -> LabelledPixels:
        """Return what is kept; it weighs as much as all that was added.

        like [N, D]: features, as `merged` takes them
        """
        if self.seen <= self.most:
            return merged(self.parts, like)
        self.thin()
        pixels = self.parts[0]
        return replace(pixels, weights=pixels.weights * (self.weight / pixels.weights.sum()))
