"""Wrong masks made from right ones, at random strengths, to learn what errors look like."""

import cv2
import numpy as np

from weakseg.common import IGNORE


def fill_ignored(mask):
    """Give every ignored pixel (255) of a mask [S, S] uint8 the class of the nearest labelled
    one.
    """
    from scipy.ndimage import distance_transform_edt

    ignored = mask == IGNORE
    if ignored.all():
        return np.zeros_like(mask)
    rows, columns = distance_transform_edt(ignored, return_distances=False, return_indices=True)
    return mask[rows, columns]


def corrupt(mask, opinion, others, rng):
    """Return the mask [S, S] uint8 after one or two random `CORRUPTIONS`.

    opinion: [C, S, S], another soft mask of the image; others: masks of other images, same classes.
    """
    for _ in range(rng.integers(1, 3)):
        mask = CORRUPTIONS[rng.integers(len(CORRUPTIONS))](mask, opinion, others, rng)
    return mask


def noise(size, rng):
    """Return a smooth random field [size, size], mean 0 and deviation 1, at a random scale."""
    cells = int(rng.integers(3, 13))
    field = cv2.resize(
        rng.standard_normal((cells, cells)).astype(np.float32),
        (size, size),
        interpolation=cv2.INTER_CUBIC,
    )
    return (field - field.mean()) / (field.std() + 1e-6)


def grow(mask, opinion, others, rng):
    """Dilate (one class over the rest) or erode the foreground."""
    radius = int(rng.integers(1, max(2, mask.shape[0] // 10)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return (cv2.dilate if rng.random() < 0.5 else cv2.erode)(mask, kernel)


def wobble(mask, opinion, others, rng):
    """Move the contour in and out by a smooth random field, as an unsure network would."""
    inside = (mask > 0).astype(np.float32)
    sigma = mask.shape[0] * rng.uniform(0.02, 0.12)
    level = cv2.GaussianBlur(inside, (0, 0), sigma) + rng.uniform(0.05, 0.4) * noise(
        mask.shape[0], rng
    )
    return np.where(level > 0.5, spread(mask), 0).astype(np.uint8)


def spread(mask):
    """Return the nearest foreground class of every pixel; 1 where there is none."""
    if not mask.any():
        return np.ones_like(mask)
    return fill_ignored(np.where(mask > 0, mask, IGNORE).astype(np.uint8))


def lean(mask, opinion, others, rng):
    """Lean towards the second opinion: the errors that a real model makes on this very image."""
    share, blur = rng.uniform(0.3, 1), cv2.GaussianBlur
    sigma = mask.shape[0] * rng.uniform(0.01, 0.04)
    soft = np.stack(
        [blur((mask == c).astype(np.float32), (0, 0), sigma) for c in range(len(opinion))]
    )
    field = rng.uniform(0, 0.2) * noise(mask.shape[0], rng)
    mixed = (1 - share) * soft + share * opinion
    mixed[0] += field
    return mixed.argmax(0).astype(np.uint8)


def lose(mask, opinion, others, rng):
    """Lose what lies on one side of a random line through the foreground, or one of its pieces."""
    ys, xs = np.nonzero(mask)
    if not ys.size:
        return mask
    angle = rng.uniform(0, 2 * np.pi)
    side = np.cos(angle) * xs + np.sin(angle) * ys
    gone = side > np.quantile(side, rng.uniform(0.3, 0.95))
    mask = mask.copy()
    mask[ys[gone], xs[gone]] = 0
    return mask


def add(mask, opinion, others, rng):
    """Add a random ellipse of a class that is there, or of any."""
    size = mask.shape[0]
    classes = np.unique(mask[mask > 0])
    label = rng.choice(classes) if classes.size else rng.integers(1, len(opinion))
    axes = tuple(int(v) for v in rng.integers(2, max(3, size // 4), 2))
    centre = tuple(int(v) for v in rng.integers(0, size, 2))
    return cv2.ellipse(
        mask.copy(), centre, axes, float(rng.uniform(0, 180)), 0, 360, int(label), -1
    )


def shift(mask, opinion, others, rng):
    """Shift the mask by up to a fifth of the image."""
    reach = mask.shape[0] / 5
    matrix = np.array(
        [[1, 0, rng.uniform(-reach, reach)], [0, 1, rng.uniform(-reach, reach)]], np.float32
    )
    return cv2.warpAffine(mask, matrix, mask.shape[::-1], flags=cv2.INTER_NEAREST)


def hull(mask, opinion, others, rng):
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


def swap(mask, opinion, others, rng):
    """Call one class by another's name; with one foreground class, lose it."""
    classes = np.unique(mask[mask > 0])
    if not classes.size:
        return mask
    old = rng.choice(classes)
    names = [c for c in range(1, len(opinion)) if c != old]
    return np.where(mask == old, rng.choice(names) if names else 0, mask).astype(np.uint8)


def replace(mask, opinion, others, rng):
    """Take the mask of another image."""
    return others[rng.integers(len(others))].copy()


# The more often a corruption stands here, the more often it is drawn.
CORRUPTIONS = (grow, wobble, wobble, lean, lean, lean, lose, add, shift, hull, swap, replace)
