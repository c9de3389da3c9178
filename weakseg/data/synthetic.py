"""A drawn stand-in for Oxford-IIIT Pet: cats and dogs as vector figures over real photographs, in
the Pet layout.

    python download_data.py --dataset shapes --data_dir ./data

No network: backdrops and fur come from the pictures inside scikit-image's wheel, the animals from
`figures.py`.
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

from weakseg.common import UserError, atomic_path, stable_seed
from weakseg.data.synthetic_animals import BUILDS, blob, coverage, limb, place

DRAWING = 1  # raise it when the pictures change: files of an older drawing are then drawn anew
BACKDROPS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "rocket.jpg",
)
FURS = ("chelsea.png", "grass.png", "ihc.png")

Breed = namedtuple("Breed", "class_id species breed_id pattern")
SPECIES = {"cat": 1, "dog": 2}
BREEDS = {  # cats and dogs by turns, so that a few images hold both; the patterns are shared, form tells the species
    "Harbour_tuxedo": Breed(3, "cat", 1, "patches"),
    "bramble_brindle": Breed(1, "dog", 1, "stripes"),
    "Marmalade_tabby": Breed(4, "cat", 2, "stripes"),
    "cobbled_hound": Breed(2, "dog", 2, "patches"),
}
COATS = np.float32(
    [  # dark, middle, light RGB
        [[92, 48, 22], [188, 116, 58], [240, 204, 152]],  # ginger
        [[38, 36, 36], [112, 108, 104], [206, 204, 200]],  # grey
        [[44, 28, 20], [112, 80, 56], [196, 168, 134]],  # brown
        [[128, 104, 78], [204, 182, 148], [246, 238, 222]],  # cream
        [[14, 14, 18], [48, 46, 50], [222, 218, 210]],  # black and white
    ]
)
SCENERY = np.float32(
    [
        [[30, 48, 22], [92, 116, 58], [186, 196, 128]],  # meadow
        [[40, 56, 78], [104, 128, 152], [206, 216, 224]],  # water
        [[70, 34, 34], [150, 88, 80], [224, 186, 170]],  # brick
        [[66, 62, 56], [140, 134, 124], [214, 210, 202]],  # stone
    ]
)
INKS = {
    "ink": (24, 20, 20),
    "pink": (206, 138, 132),
    "white": (236, 234, 228),
    "eye": (196, 188, 74),
    "collar": (172, 36, 44),
}
# Back to front: how bright the fur of each layer is.
LAYERS = {
    "far": 0.7,
    "tail": 0.92,
    "body": 1.0,
    "near": 1.04,
    "collar": 1.0,
    "head": 1.08,
    "ear": 0.8,
    "face": 1.0,
    "whisker": 1.0,
}
MARK = "Drawn by download_data.py --dataset shapes"  # stands in list.txt
MANY = 100  # images from which starting worker processes pays

Drawing = namedtuple(
    "Drawing", "image trimap figures"
)  # [H, W, 3] uint8, [H, W] uint8, how many animals


@cache
def _photograph(name):
    """Return a picture of scikit-image's wheel, [H, W, 3] uint8; opened as a file because its
    fetcher may download.
    """
    package = importlib.util.find_spec("skimage")
    path = Path(package.origin if package else "skimage/none").parent / "data" / name
    if not path.is_file():
        raise UserError(f"{path}: missing; install scikit-image (pip install -r requirements.txt)")
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _crop(name, shape, rng, low, high):
    """Cut a random window, `low` to `high` of the photograph, turn it at random, and bring it to
    `shape`.
    """
    photo = _photograph(name)
    photo = np.rot90(photo, rng.integers(4)) if photo.shape[0] == photo.shape[1] else photo
    ratio = rng.uniform(low, high) * min(photo.shape[0] / shape[0], photo.shape[1] / shape[1])
    height, width = int(shape[0] * ratio), int(shape[1] * ratio)
    y, x = rng.integers(photo.shape[0] - height + 1), rng.integers(photo.shape[1] - width + 1)
    window = photo[y : y + height, x : x + width][:, :: rng.choice([-1, 1])]
    return cv2.resize(
        np.ascontiguousarray(window), shape[::-1], interpolation=cv2.INTER_AREA
    ).astype(np.float32)


def _grain(names, shape, rng, low, high):
    """Return [H, W] of a random photograph's brightness, mean 0 and deviation 1."""
    grey = _crop(names[rng.integers(len(names))], shape, rng, low, high).mean(2)
    return (grey - grey.mean()) / (grey.std() + 1e-3)


def _noise(rng, shape, cells):
    """Smooth noise of about unit size, `cells` bumps along each side."""
    return cv2.resize(
        rng.standard_normal((cells + 1, cells + 1)).astype(np.float32),
        shape[::-1],
        interpolation=cv2.INTER_CUBIC,
    )


def _ramp(tone, colours):
    """Colour a [H, W] tone: -1 dark, 0 middle, 1 light."""
    tone = np.clip(tone, -1.3, 1.3)[..., None]
    dark, middle, light = colours
    return middle + np.maximum(tone, 0) * (light - middle) + np.minimum(tone, 0) * (middle - dark)


def _backdrop(shape, coat, rng):
    """A photograph, recoloured more or less: like the animal's own coat, like another's, or like a
    landscape.
    """
    photo = _crop(BACKDROPS[rng.integers(len(BACKDROPS))], shape, rng, 0.3, 1.0)
    grey = photo.mean(2)
    tone = (
        0.55 * (grey - grey.mean()) / (grey.std() + 1e-3)
        + 0.3 * _noise(rng, shape, 3)
        + rng.uniform(-0.5, 0.4)
    )
    scheme = (coat, COATS[rng.integers(len(COATS))], SCENERY[rng.integers(len(SCENERY))])[
        rng.integers(3)
    ]
    canvas = photo + rng.uniform(0.4, 1) * (_ramp(tone, scheme) - photo)
    for _ in range(rng.integers(1, 5)):
        canvas = _clutter(canvas, coat, rng)
    return canvas


def _clutter(canvas, coat, rng):
    """Put a cushion or a stick in the coat's colours on the backdrop: neither colour nor thinness
    marks an animal.
    """
    shape, size = canvas.shape[:2], max(canvas.shape)
    spot = rng.uniform(0, 1, 2) * shape[::-1]
    if rng.random() < 0.5:
        angle = np.linspace(0, 2 * np.pi, rng.integers(3, 9), endpoint=False)
        radius = rng.uniform(0.06, 0.18) * size * rng.uniform(0.6, 1.3, len(angle))
        part = blob("far", spot + (radius * [np.cos(angle), np.sin(angle)]).T)
    else:
        way, sway = rng.normal(0, 0.35, 2) * size, rng.normal(0, 0.06, 2) * size
        part = limb(
            "far", [spot, spot + way / 2 + sway, spot + way], *(rng.uniform(0.02, 0.06, 2) * size)
        )
    alpha = coverage([part], np.eye(2, 3, dtype=np.float32), shape)[..., None] * rng.uniform(0.7, 1)
    tone = 0.25 * _grain(BACKDROPS, shape, rng, 0.1, 0.5) + rng.uniform(-0.7, 0.7)
    return canvas + alpha * (_ramp(tone, coat) - canvas)


def _coat(figure, pattern, colours, shape, rng):
    """Return [H, W, 3] fur in the frame of the figure: the breed's pattern, streaks along the body,
    a real grain.
    """
    turn, shift = figure.matrix[:, :2], figure.matrix[:, 2]
    x, y = np.meshgrid(np.arange(shape[1], dtype=np.float32), np.arange(shape[0], dtype=np.float32))
    u, v = np.tensordot(np.linalg.inv(turn), np.stack([x - shift[0], y - shift[1]]), 1)
    wobble = _noise(rng, shape, 6)
    if pattern == "stripes":
        tone = 0.55 * np.sin(2 * np.pi * (rng.uniform(3, 4.5) * u + 0.35 * wobble + 0.5 * v)) - 0.1
    else:
        tone = 0.85 * np.tanh(3 * np.sin(rng.uniform(3, 5) * u + rng.uniform(0, 6)) + 3 * wobble)
    tone += np.clip(1.1 * (v - 0.1), -0.4, 0.5)  # a pale belly below a dark back
    angle, length = (
        np.arctan2(turn[1, 0], turn[0, 0]) + rng.normal(0.5, 0.3),
        rng.uniform(0.015, 0.035) * max(shape),
    )
    tone += rng.uniform(0.08, 0.26) * _streaks(shape, angle, max(2, round(length)), rng)
    return _ramp(tone + rng.uniform(0.05, 0.2) * _grain(FURS, shape, rng, 0.25, 0.6), colours)


def _streaks(shape, angle, reach, rng):
    """Return [H, W] noise of unit deviation that is smooth along `angle` only, over `reach` pixels
    either way.
    """
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    way = reach * np.float32([np.cos(angle), np.sin(angle)])
    cv2.line(
        kernel,
        np.round(reach - way).astype(int).tolist(),
        np.round(reach + way).astype(int).tolist(),
        1,
    )
    return cv2.filter2D(
        rng.standard_normal(shape).astype(np.float32), -1, kernel / np.linalg.norm(kernel)
    )


def _paint(canvas, figure, coat, light):
    """Paint one animal and its shadow over the canvas; return both the canvas and the animal's
    coverage.
    """
    shape, size = canvas.shape[:2], max(canvas.shape)
    behind = figure.matrix - np.float32([[0, 0, light[0]], [0, 0, light[1]]]) * 0.035 * size
    dark = cv2.GaussianBlur(coverage(figure.parts, behind, shape), (0, 0), 0.02 * size)
    canvas, solid = canvas * (1 - 0.45 * dark[..., None]), np.zeros(shape, np.float32)
    for layer, shade in LAYERS.items():
        for ink in dict.fromkeys(part.ink for part in figure.parts if part.layer == layer):
            group = [part for part in figure.parts if (part.layer, part.ink) == (layer, ink)]
            alpha = coverage(group, figure.matrix, shape)
            colour = np.float32(INKS[ink]) if ink else coat * (shade * _relief(alpha, light, size))
            canvas = canvas + alpha[..., None] * (colour - canvas)
            if layer != "whisker":  # as in Pet: nobody outlines a whisker
                solid = np.maximum(solid, alpha)
    return canvas, solid


def _relief(alpha, light, size):
    """Shade a flat part as if it were round: darker at its rim, brighter towards the light; [H, W,
    1].
    """
    soft = cv2.GaussianBlur(alpha, (0, 0), 0.025 * size)
    slope = light[0] * cv2.Sobel(soft, cv2.CV_32F, 1, 0) + light[1] * cv2.Sobel(
        soft, cv2.CV_32F, 0, 1
    )
    return (0.55 + 0.5 * soft - 0.0075 * size * slope)[..., None]


def _trimap(mask, size):
    """Return 1 pet, 2 background, 3 a border band about 1/40 of `size` wide and never under two
    pixels, as in Pet.
    """
    padded = np.pad(mask.astype(np.uint8), 1, mode="edge")
    inside, outside = (
        cv2.distanceTransform(side, cv2.DIST_L2, 5)[1:-1, 1:-1] for side in (padded, 1 - padded)
    )
    band = max(1.0, size / 80)
    return np.where(inside > band, 1, np.where(outside > band, 2, 3)).astype(np.uint8)


def draw(name, size, seed):
    """Draw the image called `name` (a breed and a number), longer side `size`; it depends on these
    three alone.
    """
    rng = np.random.default_rng(stable_seed("shapes", seed, name))
    breed = BREEDS[name.rsplit("_", 1)[0]]
    short = round(size * rng.uniform(0.68, 1.0))
    shape = (short, size) if rng.random() < 0.6 else (size, short)
    colours = COATS[rng.integers(len(COATS))]
    light = rng.uniform(-1, 1), rng.uniform(-1, -0.4)
    canvas, solid, taken = _backdrop(shape, colours, rng), np.zeros(shape, np.float32), []
    figures = int(rng.choice([1, 2, 3], p=[0.6, 0.27, 0.13]))
    for _ in range(figures):
        figure = place(
            BUILDS[breed.species], rng.uniform(0.27, 0.42) / figures**0.85, shape, taken, rng
        )
        canvas, alpha = _paint(
            canvas, figure, _coat(figure, breed.pattern, colours, shape, rng), light
        )
        solid = np.maximum(solid, alpha)
    glow = 1 + 0.18 * _noise(rng, shape, 2)[..., None] + rng.uniform(-0.12, 0.12)
    image = canvas * glow + rng.normal(0, 4, canvas.shape)
    return Drawing(np.clip(image, 0, 255).astype(np.uint8), _trimap(solid >= 0.5, size), figures)


def draw_shapes(data_dir, trainval, test, size, seed):
    """Write `trainval` + `test` images in the Pet layout below `data_dir`; return how many had to
    be drawn.

    Each JPEG carries its recipe, so images that are there already are kept, an interrupted call is
    taken up by the next one, and another seed or size replaces what is there. The lists are written
    last. Raises UserError where `data_dir` holds a Pet data set that is not a drawing.
    """
    root, splits = (
        Path(data_dir),
        {"trainval": _names(trainval, test=False), "test": _names(test, test=True)},
    )
    lists = {split: root / "annotations" / f"{split}.txt" for split in ("list", *splits)}
    if lists["list"].exists() and not is_drawn(root):
        raise UserError(
            f"{lists['list']}: another data set is here; name an empty --data_dir for the shapes"
        )
    todo = [
        name for names in splits.values() for name in names if not _kept(root, name, size, seed)
    ]
    if todo:
        for path in (
            lists.values()
        ):  # a reader that comes in between finds no lists instead of half a data set
            path.unlink(missing_ok=True)
    jobs = -1 if len(todo) >= MANY else 1
    done = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(
        joblib.delayed(_write)(root, name, size, seed) for name in todo
    )
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
    """Name `count` images, breeds by turns; every fifth number belongs to the test split, whatever
    the counts are.
    """
    breeds = list(BREEDS)
    return [
        f"{breeds[k % len(breeds)]}_{5 * (j + 1) if test else j + j // 4 + 1}"
        for k in range(count)
        for j in [k // len(breeds)]
    ]


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
            return (
                image.info.get("comment") == _recipe(name, size, seed) and image.size == mask.size
            )
    except (OSError, SyntaxError):  # PIL raises SyntaxError for a broken PNG
        return False


def _write(root, name, size, seed):
    drawing, (image, mask) = draw(name, size, seed), _paths(root, name)
    with atomic_path(
        mask
    ) as temporary:  # first: an image with its recipe means that its trimap is there too
        Image.fromarray(drawing.trimap).save(temporary)
    with atomic_path(image) as temporary:
        Image.fromarray(drawing.image).save(
            temporary, quality=92, comment=_recipe(name, size, seed)
        )


def _write_list(path, names, header):
    rows = ["#Image CLASS-ID SPECIES BREED ID", f"#{MARK}"] if header else []
    for name in names:
        breed = BREEDS[name.rsplit("_", 1)[0]]
        rows.append(f"{name} {breed.class_id} {SPECIES[breed.species]} {breed.breed_id}")
    text = "\n".join(rows) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
