"""Wrong masks made from right ones, at random strengths, to learn what errors look like.

Each corruption takes

    mask     [S, S] uint8 without ignored pixels; it stays as it is
    opinion  [C, S, S] float, class probabilities of another model for the image
    others   masks of other images, with the same classes
    rng      the generator from which its strength is drawn

and returns the corrupted mask [S, S] uint8.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from weakseg.common import IGNORE


def fill_ignored(mask: np.ndarray) -> np.ndarray:
    """Return a mask [S, S] uint8 whose ignored pixels have the class of the nearest labelled one.

    Background where all pixels are ignored.
    """
    from scipy.ndimage import distance_transform_edt

    ignored = mask == IGNORE
    if ignored.all():
        return np.zeros_like(mask)
    rows, columns = distance_transform_edt(ignored, return_distances=False, return_indices=True)
    return mask[rows, columns]


def corrupt(
    mask: np.ndarray, opinion: np.ndarray, others: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Return the mask after one or two random `CORRUPTIONS`."""
    for _ in range(rng.integers(1, 3)):
        mask = CORRUPTIONS[rng.integers(len(CORRUPTIONS))](mask, opinion, others, rng)
    return mask


def noise(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a smooth random field [size, size], mean 0 and deviation 1, at a random scale."""
    cells = int(rng.integers(3, 13))
    field = cv2.resize(
        rng.standard_normal((cells, cells)).astype(np.float32),
        (size, size),
        interpolation=cv2.INTER_CUBIC,
    )
    return (field - field.mean()) / (field.std() + 1e-6)


def grow(
    mask: np.ndarray, opinion: np.ndarray, others: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Dilate (one class over the rest) or erode the foreground."""
    radius = int(rng.integers(1, max(2, mask.shape[0] // 10)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return (cv2.dilate if rng.random() < 0.5 else cv2.erode)(mask, kernel)


def wobble(
    mask: np.ndarray, opinion: np.ndarray, others: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Move the contour in and out by a smooth random field, as an unsure network would."""
    inside = (mask > 0).astype(np.float32)
    sigma = mask.shape[0] * rng.uniform(0.02, 0.12)
    level = cv2.GaussianBlur(inside, (0, 0), sigma) + rng.uniform(0.05, 0.4) * noise(
        mask.shape[0], rng
    )
    return np.where(level > 0.5, spread(mask), 0).astype(np.uint8)


def spread(mask: np.ndarray) -> np.ndarray:
    """Return the nearest foreground class of every pixel of a mask; 1 where it has none."""
    if not mask.any():
        return np.ones_like(mask)
    return fill_ignored(np.where(mask > 0, mask, IGNORE).astype(np.uint8))


def lean(
    mask: np.ndarray, opinion: np.ndarray, others: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Lean towards the second opinion: the errors that a real model makes on this very image."""
    share = rng.uniform(0.3, 1)
    sigma = mask.shape[0] * rng.uniform(0.01, 0.04)
    layers = [(mask == label).astype(np.float32) for label in range(len(opinion))]
    soft = np.stack([cv2.GaussianBlur(layer, (0, 0), sigma) for layer in layers])
    field = rng.uniform(0, 0.2) * noise(mask.shape[0], rng)
    mixed = (1 - share) * soft + share * opinion
    mixed[0] += field
    return mixed.argmax(0).astype(np.uint8)


def lose(
    mask: np.ndarray, opinion: np.ndarray, others: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Lose the foreground on one side of a random line through it."""
    ys, xs = np.nonzero(mask)
    if not ys.size:
        return mask
    angle = rng.uniform(0, 2 * np.pi)
    side = np.cos(angle) * xs + np.sin(angle) * ys
    gone = side > np.quantile(side, rng.uniform(0.3, 0.95))
    mask = mask.copy()
    mask[ys[gone], xs[gone]] = 0
    return mask


def add(
    mask: np.ndarray, opinion: np.ndarray, others: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Add a random ellipse of a class that is there, or of any class where none is."""
    size = mask.shape[0]
    classes = np.unique(mask[mask > 0])
    label = rng.choice(classes) if classes.size else rng.integers(1, len(opinion))
    axes = tuple(int(v) for v in rng.integers(2, max(3, size // 4), 2))
    centre = tuple(int(v) for v in rng.integers(0, size, 2))
    return cv2.ellipse(
        mask.copy(), centre, axes, float(rng.uniform(0, 180)), 0, 360, int(label), -1
    )


def shift(
    mask: np.ndarray, opinion: np.ndarray, others: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Shift the mask by up to a fifth of the image."""
    reach = mask.shape[0] / 5
    matrix = np.array(
        [[1, 0, rng.uniform(-reach, reach)], [0, 1, rng.uniform(-reach, reach)]], np.float32
    )
    return cv2.warpAffine(mask, matrix, mask.shape[::-1], flags=cv2.INTER_NEAREST)


def hull(
    mask: np.ndarray, opinion: np.ndarray, others: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Fill the box or the convex hull of each class."""
    result, boxed = np.zeros_like(mask), rng.random() < 0.5
    for label in np.unique(mask[mask > 0]):
        points = cv2.findNonZero((mask == label).astype(np.uint8))
        if boxed:
            x, y, w, h = cv2.boundingRect(points)
            result[y : y + h, x : x + w] = label
        else:
            cv2.fillConvexPoly(result, cv2.convexHull(points), int(label))
    return result


def swap(
    mask: np.ndarray, opinion: np.ndarray, others: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Call one class by another's name; with one foreground class, lose it."""
    classes = np.unique(mask[mask > 0])
    if not classes.size:
        return mask
    old = rng.choice(classes)
    rest = [label for label in range(1, len(opinion)) if label != old]
    return np.where(mask == old, rng.choice(rest) if rest else 0, mask).astype(np.uint8)


def replace(
    mask: np.ndarray, opinion: np.ndarray, others: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Take the mask of another image."""
    return others[int(rng.integers(len(others)))].copy()


Corruption = Callable[
    [np.ndarray, np.ndarray, Sequence[np.ndarray], np.random.Generator], np.ndarray
]
# The more often a corruption stands here, the more often it is drawn.
CORRUPTIONS: tuple[Corruption, ...] = (
    grow,
    wobble,
    wobble,
    lean,
    lean,
    lean,
    lose,
    add,
    shift,
    hull,
    swap,
    replace,
)
