"""Geometry of shapes: turned boxes, ellipses, clipped outlines, and areas as pixels and back.

A pixel belongs to an area when its centre does.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from weakseg.labels.formats.filling import ring_pixels
from weakseg.labels.formats.records import Dropped, Nothing, PictureRecord, Shape, Unreadable
from weakseg.labels.formats.runs import mask_geometry, mask_pixels

Ring = list[list[float]]
ELLIPSE = 64  # vertices that an ellipse becomes
SAME_PLACE = 0.8  # IoU from which on what lies within a pixel of each other is one thing
SLIP = 10  # pixels: what has no area is a slip of the mouse below it, else thin or a line
FINER = 2  # pixels of the grid on which an outline is followed, for each of the mask


def box_of(places: Sequence[Sequence[float]]) -> list[float]:
    """Return the box [left, top, right, bottom] around places."""
    columns, rows = zip(*places, strict=True)
    return [min(columns), min(rows), max(columns), max(rows)]


def turned(places: Ring, centre: Sequence[float], degrees: float) -> Ring:
    """Return places turned about a centre, clockwise as one sees it, since y goes down."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    cx, cy = centre
    return [
        [cx + (x - cx) * cosine - (y - cy) * sine, cy + (x - cx) * sine + (y - cy) * cosine]
        for x, y in places
    ]


def corners(box: Sequence[float]) -> Ring:
    """Return the corners of a box [left, top, right, bottom], clockwise."""
    left, top, right, bottom = box
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def box_around(box: Sequence[float], degrees: float) -> list[float]:
    """Return the box around a box [left, top, right, bottom] that is turned about its middle."""
    left, top, right, bottom = box
    return box_of(turned(corners(box), [(left + right) / 2, (top + bottom) / 2], degrees))


def ellipse(centre: Sequence[float], radii: Sequence[float], degrees: float = 0) -> Ring:
    """Return the outline of an ellipse, turned about its centre."""
    angles = [2 * math.pi * i / ELLIPSE for i in range(ELLIPSE)]
    outline = [
        [centre[0] + radii[0] * math.cos(a), centre[1] + radii[1] * math.sin(a)] for a in angles
    ]
    return turned(outline, centre, degrees)


def ring_area(ring: Ring) -> float:
    """Return the area that a ring encloses, in square pixels."""
    x, y = np.array(ring, float).reshape(-1, 2).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def is_round(ring: Ring, least: float) -> bool:
    """Return whether a ring's area is at least that share of a circle's that is as long."""
    places = np.array([*ring, ring[0]], float)
    length = float(np.hypot(*np.diff(places, axis=0).T).sum())
    return length > 0 and 4 * np.pi * ring_area(ring) >= least * length**2


def has_right_angles(ring: Ring, slack: float) -> bool:
    """Return whether a ring has four corners of right angles: equal diagonals that halve.

    slack: share of a diagonal by which corners may miss those of a rectangle
    """
    corners = [place for i, place in enumerate(ring) if place != ring[i - 1]]
    if len(corners) != 4:
        return False
    a, b, c, d = np.array(corners, float)
    diagonals = np.hypot(*(c - a)), np.hypot(*(d - b))
    most = slack * max(diagonals)
    return bool(np.hypot(*(a + c - b - d)) / 2 <= most and abs(np.subtract(*diagonals)) <= most)


def is_simple(ring: Ring) -> bool:
    """Return whether no two sides of a ring cross."""
    return not crossings(ring)


def crossings(ring: Ring) -> int:
    """Return how many pairs of a ring's sides cross."""
    start = np.array(ring, float)
    end = np.roll(start, -1, 0)

    def side_of(places: np.ndarray) -> np.ndarray:  # [sides, places]: left or right of each side
        along, to = (end - start)[:, None], places[None] - start[:, None]
        return np.sign(along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0])

    parts = side_of(start) * side_of(end) < 0  # the ends of the second lie on both sides of one
    return int((parts & parts.T).sum()) // 2


def lies_in(ring: Ring, outline: Ring) -> bool:
    """Return whether all vertices of a ring lie within an outline, and not on its edge."""
    import cv2

    around, own = box_of(outline), box_of(ring)
    if any(own[k] < around[k] or own[k + 2] > around[k + 2] for k in (0, 1)):
        return False
    contour = np.array(outline, np.float32)
    return all(cv2.pointPolygonTest(contour, (x, y), False) > 0 for x, y in ring)


def clipped(ring: Ring, size: Sequence[float]) -> Ring:
    """Return the part of a ring within [0, width] x [0, height]: Sutherland and Hodgman's rule."""
    for axis in (0, 1):
        for sign, limit in ((1, 0.0), (-1, -float(size[axis]))):
            inside = [sign * place[axis] >= limit for place in ring]
            kept: Ring = []
            for i, place in enumerate(ring):
                before = ring[i - 1]
                if inside[i] != inside[i - 1]:
                    share = (sign * limit - before[axis]) / (place[axis] - before[axis])
                    cut = [before[k] + share * (place[k] - before[k]) for k in (0, 1)]
                    cut[axis] = sign * limit
                    kept.append(cut)
                if inside[i]:
                    kept.append(place)
            ring = kept
    return ring


def once(ring: Ring) -> Ring:
    """Return a ring without its second half where that is the first once more."""
    half = len(ring) // 2
    is_twice = half > 2 and len(ring) == 2 * half and ring[:half] == ring[half:]
    return once(ring[:half]) if is_twice else ring


def without_area(kind: str, places: Ring, slip: float = SLIP) -> Unreadable:
    """Return why what has no area is lost, and that it may be an object where it is no slip.

    Tools draw one a pixel wide as a line. kind: in words; slip: below which it is one, in the unit
    of the places
    """
    left, top, right, bottom = box_of(places or [[0, 0]])
    is_slip = max(right - left, bottom - top) < slip
    return (Nothing if is_slip else Unreadable)(f"{kind} without an area")


def polygon(parts: Sequence[Sequence[Ring]], slip: float = SLIP) -> list[list[Ring]]:
    """Return the geometry of a polygon from rings; what has no area is left out, or refused.

    A ring that is listed twice, which would fill to nothing, is taken once. slip: as `without_area`
    takes it
    """
    rings = [[once(ring) for ring in part] for part in parts]
    whole = [
        [outline, *(hole for hole in holes if ring_area(hole) > 0)]
        for outline, *holes in rings
        if len(outline) > 2 and ring_area(outline) > 0
    ]
    if not whole:
        places = [place for outline, *_ in rings for place in outline]
        raise without_area("a polygon", places, slip)
    return whole


def area_pixels(shape: Shape, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels [H, W] bool that a polygon, mask or brush covers in a picture.

    size: (width, height). A polygon in which no pixel has its centre covers the pixel in its
    middle.
    """
    width, height = size
    canvas = np.zeros((height, width), bool)
    if shape.kind != "polygon":
        pixels, left, top = mask_pixels(shape.geometry)
        part = canvas[max(0, top) : top + pixels.shape[0], max(0, left) : left + pixels.shape[1]]
        shown = pixels[max(0, -top) :, max(0, -left) :][: part.shape[0], : part.shape[1]]
        part |= shown
        return canvas
    for outline, *holes in shape.geometry:
        part = np.zeros_like(canvas)
        for ring, value in [(outline, True), *((hole, False) for hole in holes)]:
            x, y = np.array(ring, float).T
            part[ring_pixels(x - 0.5, y - 0.5, (height, width))] = value
        canvas |= part
    if not canvas.any():
        x0, y0, x1, y1 = box_of([place for part in shape.geometry for place in part[0]])
        column, row = int((x0 + x1) / 2), int((y0 + y1) / 2)
        canvas[min(max(row, 0), height - 1), min(max(column, 0), width - 1)] = True
    return canvas


def outlines(shape: Shape) -> list[list[Ring]]:
    """Return the parts [outline, hole, ...] of a polygon, mask or brush, in pixels.

    Those of pixels lie within half a pixel of their edges.
    """
    if shape.kind == "polygon":
        return shape.geometry
    import cv2

    pixels, left, top = mask_pixels(shape.geometry)
    finer = pixels.repeat(FINER, 0).repeat(FINER, 1).view(np.uint8)
    lines, tree = cv2.findContours(finer, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = [((line[:, 0] + 0.5) / FINER + (left, top)).tolist() for line in lines]
    parents = [int(links[3]) for links in tree[0]]
    return [
        [ring, *(hole for hole, above in zip(rings, parents, strict=True) if above == number)]
        for number, ring in enumerate(rings)
        if parents[number] < 0
    ]


def single_outline(shape: Shape) -> Ring | None:
    """Return the outline of a polygon of one part without holes; None of any other."""
    is_single = shape.kind == "polygon" and len(shape.geometry) == len(shape.geometry[0]) == 1
    return shape.geometry[0][0] if is_single else None


def reach(shape: Shape) -> list[float]:
    """Return the box around a polygon, mask or brush."""
    if shape.kind == "polygon":
        return box_of([place for part in shape.geometry for place in part[0]])
    one = shape.geometry
    return [one["left"], one["top"], one["left"] + one["width"], one["top"] + one["height"]]


def picture_size(record: PictureRecord) -> tuple[int, int]:
    """Return (width, height) of a picture in whole pixels; one without a size is refused."""
    if record.size is None:
        raise Unreadable("a shape of a picture whose size is not known")
    return int(record.size[0]), int(record.size[1])


def as_mask(shape: Shape, record: PictureRecord, dropped: Dropped) -> dict[str, Any]:
    """Return the geometry of a mask that covers the same area; polygons are counted as changed."""
    if shape.kind != "polygon":
        return shape.geometry
    dropped.change("polygons of several parts or with holes, written as masks", record.name)
    return mask_geometry(area_pixels(shape, picture_size(record)))


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the IoU of two boxes [left, top, right, bottom]."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    both = max(0.0, across) * max(0.0, down)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both / (sum(areas) - both) if both else 0.0


def in_one_place(boxes: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Return the pairs of places in a list of boxes that lie within a pixel of each other."""
    if len(boxes) < 2:
        return []
    sides = np.array(boxes, float)
    apart = np.abs(sides[:, None] - sides[None]).max(-1)
    pairs = np.argwhere(np.triu(apart <= 1, 1)).tolist()
    return [(i, j) for i, j in pairs if overlap(boxes[i], boxes[j]) >= SAME_PLACE]


def twofold(areas: Sequence[Shape], size: tuple[int, int]) -> tuple[Shape, Shape] | None:
    """Return the first two areas of different classes that cover the same pixels, if any.

    areas: polygons, masks and brushes; size: (width, height) of their picture
    """
    named = [one for one in areas if one.label is not None]
    for i, j in in_one_place([reach(one) for one in named]):
        if named[i].label != named[j].label:
            one, other = (area_pixels(named[k], size) for k in (i, j))
            if (one & other).sum() >= SAME_PLACE * (one | other).sum():
                return named[i], named[j]
    return None
