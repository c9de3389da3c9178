"""The simulated annotator in plain scikit-image and NumPy: the reference of labels.py.

A pixel or an object at a time, with the same rules as `weakseg/labels/annotators.py` without noise:
what is an object, a click near the centroid and one on the background, tight boxes, strokes along
the longest path of the skeleton that stay inside their object. Nothing here is used by the project
itself.
"""

from collections import deque

import numpy as np
from skimage.draw import line
from skimage.measure import label, regionprops
from skimage.morphology import dilation, disk, skeletonize

IGNORE = 255
STEPS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]


def plain_labels(mask, tags, tag_names, options, rng):
    """Return {signal: annotation} of a mask [H, W] uint8, in the format of the weak-label file."""
    objects = []
    for number in np.unique(mask):
        if number not in (0, IGNORE):
            regions = regions_of(mask, number)
            keep = [region for region in regions if region.area >= options.min_area * mask.size]
            objects += [(int(number), region) for region in keep or regions[:1]]
    background = [(0, region) for region in regions_of(mask, 0)]
    return {
        "full": {"objects": len(objects), "classes": len({number for number, _ in objects})},
        "tags": {
            "present": [name for name in tag_names if name in tags],
            "absent": [name for name in tag_names if name not in tags],
        },
        "points": [centre(number, region) for number, region in objects]
        + clicks(mask, options.background_points, rng),
        "scribbles": [
            stroke(number, region, mask, options, rng)
            for number, region in objects + background[:1]
        ],
        "boxes": [box(number, region) for number, region in objects],
    }


def regions_of(mask, number):
    """Return the connected regions of one class, largest first."""
    return sorted(
        regionprops(label(mask == number, connectivity=2)), key=lambda region: -region.area
    )


def box(number, region):
    """Return the tight box [x0, y0, x1, y1, class]."""
    top, left, bottom, right = region.bbox
    return [float(left), float(top), float(right), float(bottom), number]


def centre(number, region):
    """Return [x, y, class] of the pixel nearest to the centroid."""
    row, column = region.centroid
    y, x = min(region.coords.tolist(), key=lambda at: (at[0] - row) ** 2 + (at[1] - column) ** 2)
    return [x + 0.5, y + 0.5, number]


def clicks(mask, count, rng):
    """Return `count` clicks [x, y, 0] on the background."""
    places = np.argwhere(mask == 0)
    chosen = rng.choice(len(places), size=count, replace=False) if len(places) >= count else []
    return [[float(places[i][1]) + 0.5, float(places[i][0]) + 0.5, 0] for i in chosen]


def stroke(number, region, mask, options, rng):
    """Return {"class", "width", "path"}: a part of the skeleton's longest path, a pen that fits."""
    skeleton = skeletonize(region.image)
    pixels = {
        tuple(at) for at in np.argwhere(skeleton if skeleton.any() else region.image).tolist()
    }
    path = longest_path(pixels)
    keep = max(1, round(options.scribble_length * len(path)))
    start = int(rng.integers(len(path) - keep + 1))
    path = path[start : start + keep]
    top, left = region.bbox[:2]
    return {
        "class": number,
        "width": widest_pen(path, region.image, options.scribble_width),
        "path": [[x + left + 0.5, y + top + 0.5] for y, x in path],
    }


def longest_path(pixels):
    """Return the longest shortest path [(y, x), ...] through a set of pixels.

    It begins where a search from any pixel of the largest piece ends.
    """
    pieces, rest = [], set(pixels)
    while rest:
        piece = search(rest, next(iter(rest)))
        pieces.append(piece)
        rest -= piece.keys()
    end = list(max(pieces, key=len))[-1]
    previous = search(pixels, end)
    walk = [list(previous)[-1]]
    while previous[walk[-1]] is not None:
        walk.append(previous[walk[-1]])
    return walk


def search(pixels, start):
    """Return {pixel: the one before it} in the order of a breadth-first search."""
    previous, queue = {start: None}, deque([start])
    while queue:
        y, x = queue.popleft()
        for dy, dx in STEPS:
            other = (y + dy, x + dx)
            if other in pixels and other not in previous:
                previous[other] = (y, x)
                queue.append(other)
    return previous


def widest_pen(path, inside, widest):
    """Return the width of the widest pen, `widest` at most, whose stroke stays on the object.

    Draw, dilate, look. The dilation goes a pixel further than half the width: OpenCV, which draws
    the strokes, rounds diagonals up.
    """
    outside = np.pad(~inside, widest, constant_values=True)
    for width in range(widest, 1, -1):
        drawn = np.zeros(outside.shape, bool)
        for (y0, x0), (y1, x1) in zip(path, path[1:] or path, strict=False):
            rows, columns = line(y0 + widest, x0 + widest, y1 + widest, x1 + widest)
            drawn[rows, columns] = True
        if not (dilation(drawn, disk(width // 2 + 1)) & outside).any():
            return width
    return 1
