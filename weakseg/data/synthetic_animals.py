"""The geometry of the drawn cats and dogs: their parts in random poses, where they stand, which
pixels they cover.

Figures are in (x, y), y down, about one body length a unit and facing right; a [2, 3] matrix takes
them to pixels.
"""

from collections import namedtuple

import cv2
import numpy as np

OVERSAMPLE = 4  # outlines are filled at this many times the size and shrunk: anti-aliased edges

# A filled outline (widths None) or a stroke with a width at each point; of fur (ink None) or of
# flat colour.
Part = namedtuple("Part", "layer points widths ink", defaults=(None, None))
Figure = namedtuple("Figure", "parts matrix")


def _rounded(points, closed):
    """Cut the corners of a polyline three times (Chaikin): a smooth curve; an open one keeps its
    ends.
    """
    points = np.asarray(points, np.float32)
    for _ in range(3):
        following = np.roll(points, -1, 0) if closed else points[1:]
        start = points if closed else points[:-1]
        cut = np.stack(
            [0.75 * start + 0.25 * following, 0.25 * start + 0.75 * following], 1
        ).reshape(-1, 2)
        points = cut if closed else np.concatenate([points[:1], cut, points[-1:]])
    return points


def limb(layer, points, start, end, ink=None):
    """Return a smoothed stroke along `points` (x, y) whose width goes from `start` to `end`."""
    points = _rounded(points, closed=False)
    return Part(layer, points, np.linspace(start, end, len(points), dtype=np.float32), ink)


def blob(layer, points):
    """Return a filled, smoothed outline through `points` (x, y)."""
    return Part(layer, _rounded(points, closed=True))


def _oval(layer, x, y, rx, ry, ink=None):
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    return Part(layer, np.float32([x + rx * np.cos(angle), y + ry * np.sin(angle)]).T, None, ink)


def _leg(layer, top, foot, width, bend=0.0):
    """Return a leg that tapers from `top` to `foot` and a paw that points forward."""
    knee = (top[0] + foot[0]) / 2 + bend, (top[1] + foot[1]) / 2
    return [
        limb(layer, [top, knee, foot], 1.5 * width, width),
        limb(layer, [foot, (foot[0] + 0.07, foot[1] + 0.01)], width, 0.9 * width),
    ]


def _tail(x, y, heading, length, bend, width):
    """A tail that leaves (x, y) along `heading` (radians) and turns by `bend` on its way; about 2
    pi closes a loop.
    """
    steps = np.linspace(0, 1, 28)
    turn = heading + bend * steps**1.2
    path = np.float32([x, y]) + np.cumsum(
        np.float32([np.cos(turn), np.sin(turn)]).T * length / len(steps), 0
    )
    return Part("tail", path, np.linspace(width, 0.55 * width, len(steps), dtype=np.float32))


def _cat_tail(x, y, heading, rng):
    bend = rng.choice(
        [rng.uniform(1, 2.5), rng.uniform(2.5, 4), rng.uniform(5.4, 6.4)]
    ) * rng.choice([1, 1, 1, -1])
    return _tail(
        x, y, heading, rng.uniform(0.85, 1.15) + 0.03 * abs(bend), bend, rng.uniform(0.09, 0.12)
    )


def _dog_tail(x, y, heading, rng):
    return _tail(
        x, y, heading, rng.uniform(0.28, 0.45), rng.uniform(-0.6, 1.8), rng.uniform(0.11, 0.15)
    )


def _cat_head(rng, frontal):
    """A round head with pointed ears and whiskers; seen from the side it still looks at the camera,
    half turned.
    """
    turn = rng.uniform(-0.12, 0.12) if frontal else rng.uniform(0.1, 0.32)
    parts = [_oval("head", 0, 0, 1.08, 0.92), _oval("head", turn, 0.3, 0.8, 0.6)]
    for side in (-1, 1):
        ear = np.float32([(0.98 * side, -0.1), (0.88 * side, -1.5), (0.1 * side, -0.8)])
        parts += [
            Part("head", ear),
            Part("face", ear * 0.55 + np.float32([0.3 * side, -0.42]), None, "pink"),
            _oval("face", turn + 0.4 * side, -0.12, 0.2, 0.16, "eye"),
            _oval("face", turn + 0.4 * side, -0.12, 0.07, 0.16, "ink"),
        ]
        parts += [
            limb(
                "whisker",
                [
                    (turn + 0.2 * side, 0.4),
                    (turn + 0.9 * side, 0.3 + 0.5 * drop),
                    (turn + 1.6 * side, 0.35 + drop),
                ],
                0.07,
                0.03,
                "white",
            )
            for drop in (-0.3, 0, 0.3)
        ]
    nose = np.float32([(turn - 0.14, 0.22), (turn + 0.14, 0.22), (turn, 0.4)])
    return [*parts, Part("face", nose, None, "pink")]


def _dog_head(rng, frontal):
    """A head with a snout and hanging ears, from the front or in profile."""
    droop, tip = rng.uniform(0.6, 1.1), rng.uniform(0.25, 0.5)
    if not frontal:
        return [
            _oval("head", 0, 0, 1.0, 0.92),
            limb("head", [(0.2, 0.2), (1.0, 0.3), (1.7, tip)], 1.1, 0.66),
            _oval("face", 1.95, tip - 0.14, 0.18, 0.17, "ink"),
            _oval("face", 0.5, -0.2, 0.14, 0.14, "ink"),
            limb("face", [(1.9, tip + 0.14), (1.3, tip + 0.18), (0.9, 0.5)], 0.06, 0.06, "ink"),
            limb("ear", [(-0.1, -0.6), (-0.6, -0.3), (-0.5, droop)], 0.5, 0.7),
        ]
    parts = [
        _oval("head", 0, 0, 0.88, 1.0),
        _oval("head", 0, 0.6, 0.56, 0.6),
        _oval("face", 0, 0.5, 0.26, 0.19, "ink"),
        limb("face", [(0, 0.6), (0, 0.95)], 0.07, 0.05, "ink"),
    ]
    for side in (-1, 1):
        parts += [
            limb("ear", [(0.6 * side, -0.75), (1.1 * side, -0.5), (1.12 * side, droop)], 0.5, 0.6),
            _oval("face", 0.38 * side, -0.15, 0.13, 0.14, "ink"),
        ]
    return parts


Build = namedtuple("Build", "leg depth head head_size tail collar")
BUILDS = {
    "cat": Build(0.1, 0.9, _cat_head, 0.2, _cat_tail, False),
    "dog": Build(0.115, 1.1, _dog_head, 0.19, _dog_tail, True),
}

# A pose returns its parts, then where the neck starts, where the head is, where the tail starts and
# heads (radians), and whether the animal faces the camera.


def _stand(build, rng):
    deep, ground, gait = 0.2 * build.depth, rng.uniform(0.52, 0.66), rng.uniform(-0.16, 0.16, 4)
    parts = [
        blob(
            "body",
            [
                (-0.56, -0.1),
                (-0.46, -0.24),
                (0, -0.19),
                (0.42, -0.27),
                (0.58, -0.1),
                (0.5, deep),
                (0.1, deep - 0.03),
                (-0.25, deep - 0.1),
                (-0.52, deep - 0.02),
            ],
        )
    ]
    for layer, x, swing in zip(
        ("far", "near", "far", "near"), (-0.3, -0.44, 0.44, 0.3), gait, strict=True
    ):
        parts += _leg(layer, (x, 0.0), (x + swing, ground), build.leg, -0.04)
    head = rng.uniform(0.56, 0.68), rng.uniform(-0.48, -0.25)
    return parts, (0.4, -0.08), head, (-0.48, -0.14, rng.uniform(3.4, 4.6)), False


def _sit(build, rng):
    parts = [
        blob(
            "body",
            [
                (-0.46, 0.6),
                (-0.44, 0.2),
                (-0.2, -0.2),
                (0.06, -0.46),
                (0.32, -0.44),
                (0.38, -0.1),
                (0.2, 0.2),
                (0.06, 0.62),
            ],
        ),
        _oval("near", -0.16, 0.38, 0.24, 0.22),
    ]
    reach = rng.uniform(0.28, 0.42)
    parts += _leg("far", (0.24, -0.1), (reach + rng.uniform(0.08, 0.16), 0.56), build.leg)
    parts += _leg("near", (0.2, -0.1), (reach, 0.6), build.leg) + _leg(
        "near", (-0.12, 0.54), (0.06, 0.6), build.leg
    )
    head = rng.uniform(0.2, 0.34), rng.uniform(-0.78, -0.66)
    return parts, (0.14, -0.28), head, (-0.36, 0.5, rng.uniform(2.8, 3.6)), rng.random() < 0.3


def _lie(build, rng):
    parts = [
        _oval("body", 0, 0.34, 0.6, 0.24 * build.depth),
        _oval("near", -0.36, 0.36, 0.25, 0.22),
    ]
    reach = rng.uniform(0.75, 0.95)
    parts += _leg("far", (0.4, 0.38), (reach + 0.05, 0.46), build.leg)
    parts += _leg("near", (0.36, 0.44), (reach, 0.55), build.leg) + _leg(
        "near", (-0.3, 0.5), (0.02, 0.56), build.leg
    )
    head = rng.uniform(0.5, 0.64), rng.uniform(-0.2, -0.05)
    return parts, (0.4, 0.22), head, (-0.54, 0.42, rng.uniform(2.9, 3.8)), rng.random() < 0.4


def _face(build, rng):
    # The outline leaves a gap between the fore legs.
    parts = [
        blob(
            "body",
            [
                (-0.4, 0.62),
                (-0.34, 0.1),
                (-0.22, -0.36),
                (0.22, -0.36),
                (0.34, 0.1),
                (0.4, 0.62),
                (0.16, 0.6),
                (0.04, 0.1),
                (-0.04, 0.1),
                (-0.16, 0.6),
            ],
        )
    ]
    for side in (-1, 1):
        leg = [(side * 0.12, 0), (side * rng.uniform(0.12, 0.2), 0.6)]
        parts += [
            _oval("far", side * 0.32, 0.46, 0.13, 0.18),
            limb("near", leg, 1.4 * build.leg, 1.2 * build.leg),
        ]
    head = rng.uniform(-0.06, 0.06), rng.uniform(-0.62, -0.5)
    return parts, (0, -0.2), head, (0.3, 0.5, rng.uniform(-0.4, 0.3)), True


POSES = (_stand, _stand, _sit, _lie, _face)


def _animal(build, rng):
    """Return the parts of one animal in a random pose."""
    parts, shoulder, head, tail, frontal = POSES[rng.integers(len(POSES))](build, rng)
    along = np.float32(head) - shoulder
    parts += [limb("body", [shoulder, head], 0.29, 0.23), build.tail(*tail, rng)]
    if build.collar:
        across, middle = 0.5 * np.float32([-along[1], along[0]]), shoulder + 0.42 * along
        across *= 0.23 / np.linalg.norm(along)
        parts.append(
            limb(
                "collar",
                [middle - across, middle + 0.08 * along, middle + across],
                0.07,
                0.07,
                "collar",
            )
        )
    size = build.head_size * rng.uniform(0.95, 1.2)
    return parts + [
        part._replace(
            points=np.float32(part.points * size + head),
            widths=None if part.widths is None else part.widths * size,
        )
        for part in build.head(rng, frontal)
    ]


def coverage(parts, matrix, shape):
    """Return [H, W] float32, how much of each pixel the parts cover (0..1)."""
    big = np.zeros((shape[0] * OVERSAMPLE, shape[1] * OVERSAMPLE), np.uint8)
    scale = OVERSAMPLE * np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    for part in parts:
        # Pixel centres lie at whole numbers: (p + 0.5) * OVERSAMPLE - 0.5 takes them to the bigger
        # grid.
        points = np.round(
            (part.points @ matrix[:, :2].T + matrix[:, 2] + 0.5) * OVERSAMPLE - 0.5
        ).astype(np.int32)
        if part.widths is None:
            cv2.fillPoly(big, [points], 255)
            continue
        for start, end, width in zip(points[:-1], points[1:], part.widths * scale, strict=False):
            cv2.line(big, start.tolist(), end.tolist(), 255, max(1, round(float(width))))
    return cv2.resize(big, shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _bounds(parts, matrix):
    """Return the upper left and the lower right corner of the parts after `matrix`, each (x, y)."""
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2]))) / 2
    radii = np.concatenate(
        [np.zeros(len(p.points)) if p.widths is None else p.widths * scale for p in parts]
    )[:, None]
    points = np.concatenate([p.points for p in parts]) @ matrix[:, :2].T + matrix[:, 2]
    return (points - radii).min(0), (points + radii).max(0)


def place(build, share, shape, taken, rng):
    """Draw one animal that covers about `share` of the image, away from the boxes in `taken`; add
    its own box there.
    """
    parts, size = _animal(build, rng), np.float32(shape[::-1])
    angle, mirror = (
        np.clip(rng.normal(0, 0.16), -0.4, 0.4),
        rng.choice([-1, 1]) * rng.uniform(0.9, 1.15),
    )
    turn = np.float32(
        [[np.cos(angle) * mirror, -np.sin(angle), 0], [np.sin(angle) * mirror, np.cos(angle), 0]]
    )
    low, high = _bounds(parts, turn)
    probe = 32 * turn
    probe[:, 2] = 48 - 16 * (
        low + high
    )  # the figure in the middle of 96 x 96 pixels, to measure its area
    unit = np.sqrt(share * size.prod() / (coverage(parts, probe, (96, 96)).sum() / 32**2))
    unit = min(
        unit, *(rng.uniform(0.9, 1.06) * size / (high - low))
    )  # above 1 the edge of the photograph cuts it
    for _ in range(5):
        half = unit * (high - low) / 2
        spots = size / 2 + rng.uniform(-1, 1, (12, 2)) * np.maximum(size / 2 - half, 0)
        crowd = [sum(_shared(spot - half, spot + half, *box) for box in taken) for spot in spots]
        spot = spots[np.argmin(crowd)]
        if min(crowd) < 0.15 * 4 * half.prod():
            break
        unit *= 0.87
    taken.append((spot - half, spot + half))
    turn *= unit
    turn[:, 2] = spot - unit * (low + high) / 2
    return Figure(parts, turn)


def _shared(low, high, other_low, other_high):
    return np.maximum(np.minimum(high, other_high) - np.maximum(low, other_low), 0).prod()
