"""A drawn stand-in for Oxford-IIIT Pet: cats and dogs as vector figures over real photographs, in the Pet layout.

    python download_data.py --dataset shapes --data_dir ./data

No network: backdrops and fur come from the pictures inside scikit-image's wheel. Figures are in (x, y), y down, about
one body length a unit and facing right; a [2, 3] matrix takes them to pixels.
"""

import importlib.util
from collections import namedtuple
from functools import cache
from pathlib import Path

import cv2
import joblib
import numpy as np
from PIL import Image
from tqdm import tqdm

from common import UserError, atomic_path, stable_seed

DRAWING = 1  # raise it when the pictures change: files of an older drawing are then drawn anew
BACKDROPS = ("astronaut.png", "brick.png", "camera.png", "coffee.png", "coins.png", "grass.png", "gravel.png",
             "ihc.png", "moon.png", "motorcycle_left.png", "rocket.jpg")
FURS = ("chelsea.png", "grass.png", "ihc.png")

Breed = namedtuple("Breed", "class_id species breed_id pattern")
SPECIES = {"cat": 1, "dog": 2}
BREEDS = {  # cats and dogs by turns, so that a few images hold both; the patterns are shared, form tells the species
    "Harbour_tuxedo": Breed(3, "cat", 1, "patches"),
    "bramble_brindle": Breed(1, "dog", 1, "stripes"),
    "Marmalade_tabby": Breed(4, "cat", 2, "stripes"),
    "cobbled_hound": Breed(2, "dog", 2, "patches"),
}
COATS = np.float32([  # dark, middle, light RGB
    [[92, 48, 22], [188, 116, 58], [240, 204, 152]],  # ginger
    [[38, 36, 36], [112, 108, 104], [206, 204, 200]],  # grey
    [[44, 28, 20], [112, 80, 56], [196, 168, 134]],  # brown
    [[128, 104, 78], [204, 182, 148], [246, 238, 222]],  # cream
    [[14, 14, 18], [48, 46, 50], [222, 218, 210]],  # black and white
])
SCENERY = np.float32([
    [[30, 48, 22], [92, 116, 58], [186, 196, 128]],  # meadow
    [[40, 56, 78], [104, 128, 152], [206, 216, 224]],  # water
    [[70, 34, 34], [150, 88, 80], [224, 186, 170]],  # brick
    [[66, 62, 56], [140, 134, 124], [214, 210, 202]],  # stone
])
INKS = {"ink": (24, 20, 20), "pink": (206, 138, 132), "white": (236, 234, 228), "eye": (196, 188, 74),
        "collar": (172, 36, 44)}
LAYERS = {"far": 0.7, "tail": 0.92, "body": 1.0, "near": 1.04, "collar": 1.0, "head": 1.08, "ear": 0.8,
          "face": 1.0, "whisker": 1.0}  # back to front: how bright the fur of each is
OVERSAMPLE = 4  # outlines are filled at this many times the size and shrunk: anti-aliased edges
MARK = "Drawn by download_data.py --dataset shapes"  # stands in list.txt
MANY = 100  # images from which starting worker processes pays

# A filled outline (widths None) or a stroke with a width at each point; of fur (ink None) or of flat colour.
Part = namedtuple("Part", "layer points widths ink", defaults=(None, None))
Figure = namedtuple("Figure", "parts matrix")
Drawing = namedtuple("Drawing", "image trimap figures")  # [H, W, 3] uint8, [H, W] uint8, how many animals


def _rounded(points, closed):
    """Cut the corners of a polyline three times (Chaikin): a smooth curve; an open one keeps its ends."""
    points = np.asarray(points, np.float32)
    for _ in range(3):
        following = np.roll(points, -1, 0) if closed else points[1:]
        start = points if closed else points[:-1]
        cut = np.stack([0.75 * start + 0.25 * following, 0.25 * start + 0.75 * following], 1).reshape(-1, 2)
        points = cut if closed else np.concatenate([points[:1], cut, points[-1:]])
    return points


def _limb(layer, points, start, end, ink=None):
    points = _rounded(points, closed=False)
    return Part(layer, points, np.linspace(start, end, len(points), dtype=np.float32), ink)


def _blob(layer, points):
    return Part(layer, _rounded(points, closed=True))


def _oval(layer, x, y, rx, ry, ink=None):
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    return Part(layer, np.float32([x + rx * np.cos(angle), y + ry * np.sin(angle)]).T, None, ink)


def _leg(layer, top, foot, width, bend=0.0):
    """Return a leg that tapers from `top` to `foot` and a paw that points forward."""
    knee = (top[0] + foot[0]) / 2 + bend, (top[1] + foot[1]) / 2
    return [_limb(layer, [top, knee, foot], 1.5 * width, width),
            _limb(layer, [foot, (foot[0] + 0.07, foot[1] + 0.01)], width, 0.9 * width)]


def _tail(x, y, heading, length, bend, width):
    """A tail that leaves (x, y) along `heading` (radians) and turns by `bend` on its way; about 2 pi closes a loop."""
    steps = np.linspace(0, 1, 28)
    turn = heading + bend * steps**1.2
    path = np.float32([x, y]) + np.cumsum(np.float32([np.cos(turn), np.sin(turn)]).T * length / len(steps), 0)
    return Part("tail", path, np.linspace(width, 0.55 * width, len(steps), dtype=np.float32))


def _cat_tail(x, y, heading, rng):
    bend = rng.choice([rng.uniform(1, 2.5), rng.uniform(2.5, 4), rng.uniform(5.4, 6.4)]) * rng.choice([1, 1, 1, -1])
    return _tail(x, y, heading, rng.uniform(0.85, 1.15) + 0.03 * abs(bend), bend, rng.uniform(0.09, 0.12))


def _dog_tail(x, y, heading, rng):
    return _tail(x, y, heading, rng.uniform(0.28, 0.45), rng.uniform(-0.6, 1.8), rng.uniform(0.11, 0.15))


def _cat_head(rng, frontal):
    """A round head with pointed ears and whiskers; seen from the side it still looks at the camera, half turned."""
    turn = rng.uniform(-0.12, 0.12) if frontal else rng.uniform(0.1, 0.32)
    parts = [_oval("head", 0, 0, 1.08, 0.92), _oval("head", turn, 0.3, 0.8, 0.6)]
    for side in (-1, 1):
        ear = np.float32([(0.98 * side, -0.1), (0.88 * side, -1.5), (0.1 * side, -0.8)])
        parts += [Part("head", ear), Part("face", ear * 0.55 + np.float32([0.3 * side, -0.42]), None, "pink"),
                  _oval("face", turn + 0.4 * side, -0.12, 0.2, 0.16, "eye"),
                  _oval("face", turn + 0.4 * side, -0.12, 0.07, 0.16, "ink")]
        parts += [_limb("whisker", [(turn + 0.2 * side, 0.4), (turn + 0.9 * side, 0.3 + 0.5 * drop),
                                    (turn + 1.6 * side, 0.35 + drop)], 0.07, 0.03, "white") for drop in (-0.3, 0, 0.3)]
    nose = np.float32([(turn - 0.14, 0.22), (turn + 0.14, 0.22), (turn, 0.4)])
    return [*parts, Part("face", nose, None, "pink")]


def _dog_head(rng, frontal):
    """A head with a snout and hanging ears, from the front or in profile."""
    droop, tip = rng.uniform(0.6, 1.1), rng.uniform(0.25, 0.5)
    if not frontal:
        return [_oval("head", 0, 0, 1.0, 0.92), _limb("head", [(0.2, 0.2), (1.0, 0.3), (1.7, tip)], 1.1, 0.66),
                _oval("face", 1.95, tip - 0.14, 0.18, 0.17, "ink"), _oval("face", 0.5, -0.2, 0.14, 0.14, "ink"),
                _limb("face", [(1.9, tip + 0.14), (1.3, tip + 0.18), (0.9, 0.5)], 0.06, 0.06, "ink"),
                _limb("ear", [(-0.1, -0.6), (-0.6, -0.3), (-0.5, droop)], 0.5, 0.7)]
    parts = [_oval("head", 0, 0, 0.88, 1.0), _oval("head", 0, 0.6, 0.56, 0.6),
             _oval("face", 0, 0.5, 0.26, 0.19, "ink"), _limb("face", [(0, 0.6), (0, 0.95)], 0.07, 0.05, "ink")]
    for side in (-1, 1):
        parts += [_limb("ear", [(0.6 * side, -0.75), (1.1 * side, -0.5), (1.12 * side, droop)], 0.5, 0.6),
                  _oval("face", 0.38 * side, -0.15, 0.13, 0.14, "ink")]
    return parts


Build = namedtuple("Build", "leg depth head head_size tail collar")
BUILDS = {"cat": Build(0.1, 0.9, _cat_head, 0.2, _cat_tail, False),
          "dog": Build(0.115, 1.1, _dog_head, 0.19, _dog_tail, True)}

# A pose returns its parts, then where the neck starts, where the head is, where the tail starts and heads (radians),
# and whether the animal faces the camera.


def _stand(build, rng):
    deep, ground, gait = 0.2 * build.depth, rng.uniform(0.52, 0.66), rng.uniform(-0.16, 0.16, 4)
    parts = [_blob("body", [(-0.56, -0.1), (-0.46, -0.24), (0, -0.19), (0.42, -0.27), (0.58, -0.1), (0.5, deep),
                            (0.1, deep - 0.03), (-0.25, deep - 0.1), (-0.52, deep - 0.02)])]
    for layer, x, swing in zip(("far", "near", "far", "near"), (-0.3, -0.44, 0.44, 0.3), gait, strict=True):
        parts += _leg(layer, (x, 0.0), (x + swing, ground), build.leg, -0.04)
    head = rng.uniform(0.56, 0.68), rng.uniform(-0.48, -0.25)
    return parts, (0.4, -0.08), head, (-0.48, -0.14, rng.uniform(3.4, 4.6)), False


def _sit(build, rng):
    parts = [_blob("body", [(-0.46, 0.6), (-0.44, 0.2), (-0.2, -0.2), (0.06, -0.46), (0.32, -0.44), (0.38, -0.1),
                            (0.2, 0.2), (0.06, 0.62)]), _oval("near", -0.16, 0.38, 0.24, 0.22)]
    reach = rng.uniform(0.28, 0.42)
    parts += _leg("far", (0.24, -0.1), (reach + rng.uniform(0.08, 0.16), 0.56), build.leg)
    parts += _leg("near", (0.2, -0.1), (reach, 0.6), build.leg) + _leg("near", (-0.12, 0.54), (0.06, 0.6), build.leg)
    head = rng.uniform(0.2, 0.34), rng.uniform(-0.78, -0.66)
    return parts, (0.14, -0.28), head, (-0.36, 0.5, rng.uniform(2.8, 3.6)), rng.random() < 0.3


def _lie(build, rng):
    parts = [_oval("body", 0, 0.34, 0.6, 0.24 * build.depth), _oval("near", -0.36, 0.36, 0.25, 0.22)]
    reach = rng.uniform(0.75, 0.95)
    parts += _leg("far", (0.4, 0.38), (reach + 0.05, 0.46), build.leg)
    parts += _leg("near", (0.36, 0.44), (reach, 0.55), build.leg) + _leg("near", (-0.3, 0.5), (0.02, 0.56), build.leg)
    head = rng.uniform(0.5, 0.64), rng.uniform(-0.2, -0.05)
    return parts, (0.4, 0.22), head, (-0.54, 0.42, rng.uniform(2.9, 3.8)), rng.random() < 0.4


def _face(build, rng):
    parts = [_blob("body", [(-0.4, 0.62), (-0.34, 0.1), (-0.22, -0.36), (0.22, -0.36), (0.34, 0.1), (0.4, 0.62),
                            (0.16, 0.6), (0.04, 0.1), (-0.04, 0.1), (-0.16, 0.6)])]  # a gap between the fore legs
    for side in (-1, 1):
        leg = [(side * 0.12, 0), (side * rng.uniform(0.12, 0.2), 0.6)]
        parts += [_oval("far", side * 0.32, 0.46, 0.13, 0.18), _limb("near", leg, 1.4 * build.leg, 1.2 * build.leg)]
    head = rng.uniform(-0.06, 0.06), rng.uniform(-0.62, -0.5)
    return parts, (0, -0.2), head, (0.3, 0.5, rng.uniform(-0.4, 0.3)), True


POSES = (_stand, _stand, _sit, _lie, _face)


def _animal(build, rng):
    """Return the parts of one animal in a random pose."""
    parts, shoulder, head, tail, frontal = POSES[rng.integers(len(POSES))](build, rng)
    along = np.float32(head) - shoulder
    parts += [_limb("body", [shoulder, head], 0.29, 0.23), build.tail(*tail, rng)]
    if build.collar:
        across, middle = 0.5 * np.float32([-along[1], along[0]]), shoulder + 0.42 * along
        across *= 0.23 / np.linalg.norm(along)
        parts.append(_limb("collar", [middle - across, middle + 0.08 * along, middle + across], 0.07, 0.07, "collar"))
    size = build.head_size * rng.uniform(0.95, 1.2)
    return parts + [part._replace(points=np.float32(part.points * size + head),
                                  widths=None if part.widths is None else part.widths * size)
                    for part in build.head(rng, frontal)]


def _coverage(parts, matrix, shape):
    """Return [H, W] float32, how much of each pixel the parts cover (0..1)."""
    big = np.zeros((shape[0] * OVERSAMPLE, shape[1] * OVERSAMPLE), np.uint8)
    scale = OVERSAMPLE * np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    for part in parts:
        # Pixel centres lie at whole numbers: (p + 0.5) * OVERSAMPLE - 0.5 takes them to the bigger grid.
        points = np.round((part.points @ matrix[:, :2].T + matrix[:, 2] + 0.5) * OVERSAMPLE - 0.5).astype(np.int32)
        if part.widths is None:
            cv2.fillPoly(big, [points], 255)
            continue
        for start, end, width in zip(points[:-1], points[1:], part.widths * scale, strict=False):
            cv2.line(big, start.tolist(), end.tolist(), 255, max(1, round(float(width))))
    return cv2.resize(big, shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _bounds(parts, matrix):
    """Return the upper left and the lower right corner of the parts after `matrix`, each (x, y)."""
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2]))) / 2
    radii = np.concatenate([np.zeros(len(p.points)) if p.widths is None else p.widths * scale for p in parts])[:, None]
    points = np.concatenate([p.points for p in parts]) @ matrix[:, :2].T + matrix[:, 2]
    return (points - radii).min(0), (points + radii).max(0)


def _place(build, share, shape, taken, rng):
    """Draw one animal that covers about `share` of the image, away from the boxes in `taken`; add its own box there."""
    parts, size = _animal(build, rng), np.float32(shape[::-1])
    angle, mirror = np.clip(rng.normal(0, 0.16), -0.4, 0.4), rng.choice([-1, 1]) * rng.uniform(0.9, 1.15)
    turn = np.float32([[np.cos(angle) * mirror, -np.sin(angle), 0], [np.sin(angle) * mirror, np.cos(angle), 0]])
    low, high = _bounds(parts, turn)
    probe = 32 * turn
    probe[:, 2] = 48 - 16 * (low + high)  # the figure in the middle of 96 x 96 pixels, to measure its area
    unit = np.sqrt(share * size.prod() / (_coverage(parts, probe, (96, 96)).sum() / 32**2))
    unit = min(unit, *(rng.uniform(0.9, 1.06) * size / (high - low)))  # above 1 the edge of the photograph cuts it
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


@cache
def _photograph(name):
    """Return a picture of scikit-image's wheel, [H, W, 3] uint8; opened as a file because its fetcher may download."""
    package = importlib.util.find_spec("skimage")
    path = Path(package.origin if package else "skimage/none").parent / "data" / name
    if not path.is_file():
        raise UserError(f"{path}: missing; install scikit-image (pip install -r requirements.txt)")
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _crop(name, shape, rng, low, high):
    """Cut a random window, `low` to `high` of the photograph, turn it at random, and bring it to `shape`."""
    photo = _photograph(name)
    photo = np.rot90(photo, rng.integers(4)) if photo.shape[0] == photo.shape[1] else photo
    ratio = rng.uniform(low, high) * min(photo.shape[0] / shape[0], photo.shape[1] / shape[1])
    height, width = int(shape[0] * ratio), int(shape[1] * ratio)
    y, x = rng.integers(photo.shape[0] - height + 1), rng.integers(photo.shape[1] - width + 1)
    window = photo[y:y + height, x:x + width][:, ::rng.choice([-1, 1])]
    return cv2.resize(np.ascontiguousarray(window), shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)


def _grain(names, shape, rng, low, high):
    """Return [H, W] of a random photograph's brightness, mean 0 and deviation 1."""
    grey = _crop(names[rng.integers(len(names))], shape, rng, low, high).mean(2)
    return (grey - grey.mean()) / (grey.std() + 1e-3)


def _noise(rng, shape, cells):
    """Smooth noise of about unit size, `cells` bumps along each side."""
    return cv2.resize(rng.standard_normal((cells + 1, cells + 1)).astype(np.float32), shape[::-1],
                      interpolation=cv2.INTER_CUBIC)


def _ramp(tone, colours):
    """Colour a [H, W] tone: -1 dark, 0 middle, 1 light."""
    tone = np.clip(tone, -1.3, 1.3)[..., None]
    dark, middle, light = colours
    return middle + np.maximum(tone, 0) * (light - middle) + np.minimum(tone, 0) * (middle - dark)


def _backdrop(shape, coat, rng):
    """A photograph, recoloured more or less: like the animal's own coat, like another's, or like a landscape."""
    photo = _crop(BACKDROPS[rng.integers(len(BACKDROPS))], shape, rng, 0.3, 1.0)
    grey = photo.mean(2)
    tone = 0.55 * (grey - grey.mean()) / (grey.std() + 1e-3) + 0.3 * _noise(rng, shape, 3) + rng.uniform(-0.5, 0.4)
    scheme = (coat, COATS[rng.integers(len(COATS))], SCENERY[rng.integers(len(SCENERY))])[rng.integers(3)]
    canvas = photo + rng.uniform(0.4, 1) * (_ramp(tone, scheme) - photo)
    for _ in range(rng.integers(1, 5)):
        canvas = _clutter(canvas, coat, rng)
    return canvas


def _clutter(canvas, coat, rng):
    """Put a cushion or a stick in the coat's colours on the backdrop: neither colour nor thinness marks an animal."""
    shape, size = canvas.shape[:2], max(canvas.shape)
    spot = rng.uniform(0, 1, 2) * shape[::-1]
    if rng.random() < 0.5:
        angle = np.linspace(0, 2 * np.pi, rng.integers(3, 9), endpoint=False)
        radius = rng.uniform(0.06, 0.18) * size * rng.uniform(0.6, 1.3, len(angle))
        part = _blob("far", spot + (radius * [np.cos(angle), np.sin(angle)]).T)
    else:
        way, sway = rng.normal(0, 0.35, 2) * size, rng.normal(0, 0.06, 2) * size
        part = _limb("far", [spot, spot + way / 2 + sway, spot + way], *(rng.uniform(0.02, 0.06, 2) * size))
    alpha = _coverage([part], np.eye(2, 3, dtype=np.float32), shape)[..., None] * rng.uniform(0.7, 1)
    tone = 0.25 * _grain(BACKDROPS, shape, rng, 0.1, 0.5) + rng.uniform(-0.7, 0.7)
    return canvas + alpha * (_ramp(tone, coat) - canvas)


def _coat(figure, pattern, colours, shape, rng):
    """Return [H, W, 3] fur in the frame of the figure: the breed's pattern, streaks along the body, a real grain."""
    turn, shift = figure.matrix[:, :2], figure.matrix[:, 2]
    x, y = np.meshgrid(np.arange(shape[1], dtype=np.float32), np.arange(shape[0], dtype=np.float32))
    u, v = np.tensordot(np.linalg.inv(turn), np.stack([x - shift[0], y - shift[1]]), 1)
    wobble = _noise(rng, shape, 6)
    if pattern == "stripes":
        tone = 0.55 * np.sin(2 * np.pi * (rng.uniform(3, 4.5) * u + 0.35 * wobble + 0.5 * v)) - 0.1
    else:
        tone = 0.85 * np.tanh(3 * np.sin(rng.uniform(3, 5) * u + rng.uniform(0, 6)) + 3 * wobble)
    tone += np.clip(1.1 * (v - 0.1), -0.4, 0.5)  # a pale belly below a dark back
    angle, length = np.arctan2(turn[1, 0], turn[0, 0]) + rng.normal(0.5, 0.3), rng.uniform(0.015, 0.035) * max(shape)
    tone += rng.uniform(0.08, 0.26) * _streaks(shape, angle, max(2, round(length)), rng)
    return _ramp(tone + rng.uniform(0.05, 0.2) * _grain(FURS, shape, rng, 0.25, 0.6), colours)


def _streaks(shape, angle, reach, rng):
    """Return [H, W] noise of unit deviation that is smooth along `angle` only, over `reach` pixels either way."""
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    way = reach * np.float32([np.cos(angle), np.sin(angle)])
    cv2.line(kernel, np.round(reach - way).astype(int).tolist(), np.round(reach + way).astype(int).tolist(), 1)
    return cv2.filter2D(rng.standard_normal(shape).astype(np.float32), -1, kernel / np.linalg.norm(kernel))


def _paint(canvas, figure, coat, light):
    """Paint one animal and its shadow over the canvas; return both the canvas and the animal's coverage."""
    shape, size = canvas.shape[:2], max(canvas.shape)
    behind = figure.matrix - np.float32([[0, 0, light[0]], [0, 0, light[1]]]) * 0.035 * size
    dark = cv2.GaussianBlur(_coverage(figure.parts, behind, shape), (0, 0), 0.02 * size)
    canvas, solid = canvas * (1 - 0.45 * dark[..., None]), np.zeros(shape, np.float32)
    for layer, shade in LAYERS.items():
        for ink in dict.fromkeys(part.ink for part in figure.parts if part.layer == layer):
            group = [part for part in figure.parts if (part.layer, part.ink) == (layer, ink)]
            alpha = _coverage(group, figure.matrix, shape)
            colour = np.float32(INKS[ink]) if ink else coat * (shade * _relief(alpha, light, size))
            canvas = canvas + alpha[..., None] * (colour - canvas)
            if layer != "whisker":  # as in Pet: nobody outlines a whisker
                solid = np.maximum(solid, alpha)
    return canvas, solid


def _relief(alpha, light, size):
    """Shade a flat part as if it were round: darker at its rim, brighter towards the light; [H, W, 1]."""
    soft = cv2.GaussianBlur(alpha, (0, 0), 0.025 * size)
    slope = light[0] * cv2.Sobel(soft, cv2.CV_32F, 1, 0) + light[1] * cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    return (0.55 + 0.5 * soft - 0.0075 * size * slope)[..., None]


def _trimap(mask, size):
    """Return 1 pet, 2 background, 3 a border band about 1/40 of `size` wide and never under two pixels, as in Pet."""
    padded = np.pad(mask.astype(np.uint8), 1, mode="edge")
    inside, outside = (cv2.distanceTransform(side, cv2.DIST_L2, 5)[1:-1, 1:-1] for side in (padded, 1 - padded))
    band = max(1.0, size / 80)
    return np.where(inside > band, 1, np.where(outside > band, 2, 3)).astype(np.uint8)


def draw(name, size, seed):
    """Draw the image called `name` (a breed and a number), longer side `size`; it depends on these three alone."""
    rng = np.random.default_rng(stable_seed("shapes", seed, name))
    breed = BREEDS[name.rsplit("_", 1)[0]]
    short = round(size * rng.uniform(0.68, 1.0))
    shape = (short, size) if rng.random() < 0.6 else (size, short)
    colours = COATS[rng.integers(len(COATS))]
    light = rng.uniform(-1, 1), rng.uniform(-1, -0.4)
    canvas, solid, taken = _backdrop(shape, colours, rng), np.zeros(shape, np.float32), []
    figures = int(rng.choice([1, 2, 3], p=[0.6, 0.27, 0.13]))
    for _ in range(figures):
        figure = _place(BUILDS[breed.species], rng.uniform(0.27, 0.42) / figures**0.85, shape, taken, rng)
        canvas, alpha = _paint(canvas, figure, _coat(figure, breed.pattern, colours, shape, rng), light)
        solid = np.maximum(solid, alpha)
    glow = 1 + 0.18 * _noise(rng, shape, 2)[..., None] + rng.uniform(-0.12, 0.12)
    image = canvas * glow + rng.normal(0, 4, canvas.shape)
    return Drawing(np.clip(image, 0, 255).astype(np.uint8), _trimap(solid >= 0.5, size), figures)


def draw_shapes(data_dir, trainval, test, size, seed):
    """Write `trainval` + `test` images in the Pet layout below `data_dir`; return how many had to be drawn.

    Each JPEG carries its recipe, so images that are there already are kept, an interrupted call is taken up by the
    next one, and another seed or size replaces what is there. The lists are written last.
    Raises UserError where `data_dir` holds a Pet data set that is not a drawing.
    """
    root, splits = Path(data_dir), {"trainval": _names(trainval, test=False), "test": _names(test, test=True)}
    lists = {split: root / "annotations" / f"{split}.txt" for split in ("list", *splits)}
    if lists["list"].exists() and not is_drawn(root):
        raise UserError(f"{lists['list']}: another data set is here; name an empty --data_dir for the shapes")
    todo = [name for names in splits.values() for name in names if not _kept(root, name, size, seed)]
    if todo:
        for path in lists.values():  # a reader that comes in between finds no lists instead of half a data set
            path.unlink(missing_ok=True)
    jobs = -1 if len(todo) >= MANY else 1
    done = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(
        joblib.delayed(_write)(root, name, size, seed) for name in todo)
    for _ in tqdm(done, "drawing", total=len(todo), unit="image", disable=not todo):
        pass
    for split, names in {"list": splits["trainval"] + splits["test"], **splits}.items():
        _write_list(lists[split], sorted(names), header=split == "list")
    return len(todo)


def is_drawn(root):
    """Tell whether the Pet data set below `root` was drawn here (or is a copy of such a one)."""
    path = Path(root) / "annotations" / "list.txt"
    return path.is_file() and MARK in path.read_text(encoding="utf-8", errors="replace")


def _names(count, test):
    """Name `count` images, breeds by turns; every fifth number belongs to the test split, whatever the counts are."""
    breeds = list(BREEDS)
    return [f"{breeds[k % len(breeds)]}_{5 * (j + 1) if test else j + j // 4 + 1}"
            for k in range(count) for j in [k // len(breeds)]]


def _paths(root, name):
    return root / "images" / f"{name}.jpg", root / "annotations" / "trimaps" / f"{name}.png"


def _recipe(name, size, seed):
    return f"shapes drawing {DRAWING} {name} size {size} seed {seed}".encode()


def _kept(root, name, size, seed):
    """Tell whether image and trimap are there, whole, of one size and of this recipe."""
    try:
        with Image.open(_paths(root, name)[0]) as image, Image.open(_paths(root, name)[1]) as mask:
            image.load()
            mask.load()
            return image.info.get("comment") == _recipe(name, size, seed) and image.size == mask.size
    except (OSError, SyntaxError):  # PIL raises SyntaxError for a broken PNG
        return False


def _write(root, name, size, seed):
    drawing, (image, mask) = draw(name, size, seed), _paths(root, name)
    with atomic_path(mask) as temporary:  # first: an image with its recipe means that its trimap is there too
        Image.fromarray(drawing.trimap).save(temporary)
    with atomic_path(image) as temporary:
        Image.fromarray(drawing.image).save(temporary, quality=92, comment=_recipe(name, size, seed))


def _write_list(path, names, header):
    rows = ["#Image CLASS-ID SPECIES BREED ID", f"#{MARK}"] if header else []
    for name in names:
        breed = BREEDS[name.rsplit("_", 1)[0]]
        rows.append(f"{name} {breed.class_id} {SPECIES[breed.species]} {breed.breed_id}")
    text = "\n".join(rows) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
