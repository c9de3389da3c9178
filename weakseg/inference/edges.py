"""Edge-aware upsampling: predicted probabilities follow the edges of the photograph."""

from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np

SMOOTHNESS = 1e-4  # variance of colours, in [0, 1], from which on an edge is one
LONGEST = 256  # pixels: of a larger photograph, a copy of this longer side is looked at
FRAME_PIXELS = 1.5  # or one pixel for so many of the encoder's frame, where that is more
MOST = 2048  # pixels of its longer side at most: maps of all classes exist at its size
BAND = 2**18  # pixels, about, whose covariances exist at a time in double precision


def longest_copy(frame: int = 0) -> int:
    """Return the longer side, at most, of the copy of a photograph that is looked at, in pixels.

    frame: longer side of what the encoder sees of the photograph, 0 where it does not matter
    """
    return min(max(LONGEST, round(frame / FRAME_PIXELS)), MOST)


def working_size(width: int, height: int, frame: int = 0) -> tuple[int, int]:
    """Return (width, height) of the probabilities that `follow_edges` of a photograph needs.

    frame: as `longest_copy` takes it
    """
    factor = min(1.0, longest_copy(frame) / max(width, height))
    return max(1, round(width * factor)), max(1, round(height * factor))


def follow_edges(probabilities: np.ndarray, image: np.ndarray, radius: float) -> np.ndarray:
    """Return probabilities [C, H, W] float32 that change where a photograph [H, W, 3] uint8 does.

    This is the guided filter (He, Sun & Tang, "Guided image filtering", ECCV 2010): within each
    window the result is a linear function of the colours. Its coefficients are found at the size of
    the probabilities, then enlarged (He & Sun, "Fast guided filter", 2015). Maps that sum to 1
    still do, but single values may leave [0, 1].

    probabilities: [C, h, w] float32 of the whole photograph, at its size or smaller
    radius: of the windows, in longer sides; below a pixel of h and w, they are enlarged and no more
    """
    filtered = np.empty((len(probabilities), *image.shape[:2]), np.float32)
    for one, result in zip(filtered, each_along_edges(probabilities, image, radius), strict=True):
        one[:] = result
    return filtered


def mask_along_edges(probabilities: np.ndarray, image: np.ndarray, radius: float) -> np.ndarray:
    """Return the class [H, W] uint8 of the largest of `follow_edges`, of which one map exists."""
    maps = each_along_edges(probabilities, image, radius)
    best, mask = next(maps), np.zeros(image.shape[:2], np.uint8)
    for number, one in enumerate(maps, 1):
        mask[one > best] = number
        best = np.maximum(best, one)
    return mask


def each_along_edges(
    probabilities: np.ndarray, image: np.ndarray, radius: float
) -> Iterator[np.ndarray]:
    """Yield each class's map [H, W] float32 of `follow_edges`."""
    size = image.shape[1::-1]
    small = probabilities.shape[:0:-1]
    pixels = round(radius * max(small))
    if not pixels:
        yield from (resized(one, size) for one in probabilities)
        return
    window = (2 * pixels + 1, 2 * pixels + 1)
    full = [channel.astype(np.float32) / 255 for channel in cv2.split(image)]
    colours = [resized(channel, small) for channel in full]
    means = [cv2.blur(channel, window) for channel in colours]
    inverse = inverse_covariance(np.dstack(colours), window).transpose(2, 3, 0, 1).copy()
    for one in probabilities:
        usual = cv2.blur(one, window)
        together = [
            cv2.blur(channel * one, window) - mean * usual
            for channel, mean in zip(colours, means, strict=True)
        ]
        slopes = [sum_of_products(row, together) for row in inverse]
        offset = usual - sum_of_products(slopes, means)
        enlarged = [resized(cv2.blur(slope, window), size) for slope in slopes]
        yield sum_of_products(enlarged, full) + resized(cv2.blur(offset, window), size)


def sum_of_products(ones: Iterable[np.ndarray], others: Iterable[np.ndarray]) -> np.ndarray:
    """Return the sum [h, w] of the products of maps, pair by pair; at least one pair."""
    (first, second), *pairs = zip(ones, others, strict=True)
    total: np.ndarray = first * second
    for one, other in pairs:
        total += one * other
    return total


def inverse_covariance(colours: np.ndarray, window: Sequence[int]) -> np.ndarray:
    """Return [h, w, 3, 3] float32: the inverse of the covariance of colours, plus `SMOOTHNESS`.

    colours: [h, w, 3] float32 in [0, 1]; window: (width, height) around each pixel
    """
    height, width = colours.shape[:2]
    inverse = np.empty((height, width, 3, 3), np.float32)
    rows, reach = max(1, BAND // width), window[1] // 2
    for top in range(0, height, rows):
        bottom, first = min(top + rows, height), max(0, top - reach)
        values = colours[first : bottom + reach].astype(np.float64)
        mean = cv2.blur(values, window)
        products = values[..., :, None] * values[..., None, :]
        mean_products = cv2.blur(products.reshape(*values.shape[:2], 9), window)
        covariance = mean_products.reshape(products.shape) - mean[..., :, None] * mean[..., None, :]
        own = covariance[top - first : bottom - first]
        inverse[top:bottom] = np.linalg.inv(own + SMOOTHNESS * np.eye(3))
    return inverse


def resized(values: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Return a map [h, w] or [h, w, K] float32 at a size (width, height); smaller ones by areas."""
    if values.shape[1::-1] == tuple(size):
        return values
    is_smaller = size[0] < values.shape[1]
    how = cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
    result: np.ndarray = cv2.resize(values, tuple(size), interpolation=how)
    return result
