"""A drawn stand-in for Oxford-IIIT Pet, in its layout: cats and dogs that no threshold finds.

    python download_data.py --dataset shapes --data_dir ./data

It needs no network. Coats and backgrounds share their colours, so that form and pattern alone tell
an animal; ears, snout and tail tell the species, the pattern of the coat the breed.
"""

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import joblib
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image
from tqdm import tqdm

from weakseg.common import UserError, atomic_path, stable_seed
from weakseg.data.image_io import opened
from weakseg.data.layouts import PETS
from weakseg.parent import Tied

DRAWING = 2  # raise it when the pictures change: files of an older drawing are then drawn anew
MARK = "Drawn by download_data.py --dataset shapes"  # stands in list.txt
RECIPE = b"shapes drawing "  # begins what a picture says of how it was drawn
MANY = 100  # images from which starting worker processes pays
OVERSAMPLE = 4  # strokes are drawn at this many times the size and shrunk: smooth edges
COLOURS = np.array(  # dark, middle and light RGB
    [
        [[92, 48, 22], [188, 116, 58], [240, 204, 152]],  # ginger
        [[38, 36, 36], [112, 108, 104], [206, 204, 200]],  # grey
        [[44, 28, 20], [112, 80, 56], [196, 168, 134]],  # brown
        [[128, 104, 78], [204, 182, 148], [246, 238, 222]],  # cream
        [[30, 48, 22], [92, 116, 58], [186, 196, 128]],  # meadow
        [[40, 56, 78], [104, 128, 152], [206, 216, 224]],  # water
    ]
)
COATS = 4  # the first of them are an animal's as well as a background's
AREA = 0.94  # of an animal, in squares of its body's length
INK = np.array([24, 20, 20])  # of eyes and noses

Shape = tuple[int, int]  # (height, width)
Rng = np.random.Generator


# The numbers of class, species and breed in Pet's lists. Cats and dogs by turns, so that a few
# images hold both; cats are capitalised, as in Pet.
BREEDS = {
    "Harbour_tuxedo": (3, 1, 1),
    "bramble_brindle": (1, 2, 1),
    "Marmalade_tabby": (4, 1, 2),
    "cobbled_hound": (2, 2, 2),
}
STRIPED = ("bramble_brindle", "Marmalade_tabby")  # the others are patched


@dataclass(frozen=True)
class Drawing:
    """An image [H, W, 3] uint8, its trimap [H, W] uint8, and how many animals it shows."""

    image: np.ndarray
    trimap: np.ndarray
    figures: int


def draw(name: str, size: int, seed: int) -> Drawing:
    """Draw an image by its name (a breed and a number), its longer side in pixels and the seed."""
    rng = np.random.default_rng(stable_seed("shapes", seed, name))
    is_cat, is_striped = name[0].isupper(), breed_of(name) in STRIPED
    short = round(size * rng.uniform(0.68, 1.0))
    shape = (short, size) if rng.random() < 0.6 else (size, short)
    coat = COLOURS[rng.integers(COATS)]
    canvas, covered = draw_background(shape, coat, rng), np.zeros(shape, np.float32)
    figures = int(rng.choice([1, 2, 3], p=[0.6, 0.27, 0.13]))
    for _ in range(figures):
        animal, face = draw_animal(is_cat, rng)
        matrix = place(animal, rng.uniform(0.27, 0.42) / figures**0.85, shape, rng)
        alpha = coverage(animal, matrix, shape)
        round_off = cv2.GaussianBlur(alpha, (0, 0), 0.025 * size)[..., None]
        wobble = noise(shape, 6, rng)
        stripes = np.sin(np.arange(shape[1]) * rng.uniform(30, 50) / size + wobble)
        fur = paint(0.7 * (stripes if is_striped else np.tanh(3 * wobble)), coat)
        canvas = canvas * (1 - 0.4 * round_off)  # its shadow
        canvas += alpha[..., None] * (fur * (0.6 + 0.45 * round_off) - canvas)
        canvas += coverage(face, matrix, shape)[..., None] * (INK - canvas)
        covered = np.maximum(covered, alpha)
    light = 10 * noise(shape, 2, rng)[..., None] + rng.normal(0, 4, canvas.shape)
    image = np.clip(canvas + light, 0, 255).astype(np.uint8)
    return Drawing(image, to_trimap(covered >= 0.5, size), figures)


def draw_background(shape: Shape, coat: np.ndarray, rng: Rng) -> np.ndarray:
    """Return [H, W, 3] of texture, with sticks and cushions in the colours of a coat."""
    tone = 0.6 * noise(shape, int(rng.integers(2, 9)), rng) + rng.uniform(-0.5, 0.4)
    canvas = paint(tone, coat if rng.random() < 0.4 else COLOURS[rng.integers(len(COLOURS))])
    for _ in range(rng.integers(1, 6)):
        length, width = max(shape) * np.array((0.3, 0.04) if rng.random() < 0.5 else (0.06, 0.2))
        start = rng.uniform(0, 1, 2) * shape[::-1]
        thing = stroke([start, start + rng.normal(0, length, 2)], width, width / 2)
        alpha = coverage([thing], np.eye(2, 3), shape)[..., None]
        tone = 0.4 * noise(shape, 6, rng) + rng.uniform(-0.7, 0.7)
        canvas += alpha * (paint(tone, coat) - canvas)
    return canvas


def draw_animal(is_cat: bool, rng: Rng) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the strokes of an animal that stands or sits, and those of its eyes and nose.

    A unit is about the length of its body; it looks to the right, y points down.
    """
    sits = rng.random() < 0.4
    hip, shoulder = np.array([(-0.28, 0.3), (0.12, -0.26)] if sits else [(-0.4, 0), (0.4, -0.04)])
    parts = [stroke([hip, shoulder], 0.5 if sits else 0.4, 0.44)]
    for x, y in (hip, hip, shoulder, shoulder):
        foot = x + rng.uniform(-0.25, 0.25) + 0.2 * sits
        parts.append(stroke([(x, y), (foot, 0.6), (foot + 0.08, 0.6)], 0.18, 0.1))
    head = np.add(shoulder, (rng.uniform(0.1, 0.25), rng.uniform(-0.5, -0.3)))
    parts += [stroke([shoulder, head], 0.28, 0.22), stroke([head, head], 0.4, 0.4)]
    if is_cat:  # pointed ears, a long tail that may close a loop
        ears = [[(-0.1, -0.1), (-0.15, -0.3)], [(0.1, -0.1), (0.15, -0.3)]]
        parts += [stroke(np.add(head, ear), 0.2, 0.02) for ear in ears]
        face = [(-0.08, -0.02), (0.08, -0.02), (0, 0.09)]
        length, bend, width = rng.uniform(0.9, 1.2), rng.uniform(1, 6.4), 0.1
    else:  # a snout, a hanging ear, a short tail
        parts.append(stroke(np.add(head, [(0, 0.04), (0.34, 0.1)]), 0.24, 0.16))
        parts.append(stroke(np.add(head, [(-0.08, -0.12), (-0.16, 0.2)]), 0.14, 0.18))
        face = [(0.08, -0.06), (0.4, 0.07)]
        length, bend, width = rng.uniform(0.3, 0.45), rng.uniform(-0.6, 1.8), 0.13
    turns = rng.uniform(2.9, 4.4) + bend * np.linspace(0, 1, 24)
    steps = np.stack([np.cos(turns), np.sin(turns)], -1) * length / len(turns)
    parts.append(stroke(hip + np.cumsum(steps, 0), width, 0.6 * width))
    return parts, [stroke(np.add(head, [spot, spot]), 0.08, 0.08) for spot in face]


def stroke(points: ArrayLike, start: float, end: float) -> np.ndarray:
    """Return a line [N, 3] of (x, y, width) along points, whose width goes from start to end."""
    corners = np.asarray(points, float)
    path = np.concatenate([np.linspace(*pair, 8) for pair in pairwise(corners)])
    return np.column_stack([path, np.linspace(start, end, len(path))])


def place(animal: list[np.ndarray], share: float, shape: Shape, rng: Rng) -> np.ndarray:
    """Return the matrix [2, 3] that takes an animal to pixels, somewhere in the image.

    share: of the image that it covers, or less, so that it fits
    """
    angle, mirror = np.clip(rng.normal(0, 0.16), -0.4, 0.4), rng.choice([-1, 1])
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine * mirror, -sine], [sine * mirror, cosine]])
    points = np.concatenate(animal)[:, :2] @ turn.T
    low, high = points.min(0) - 0.15, points.max(0) + 0.15
    size = np.array(shape[::-1])
    unit = min(np.sqrt(share * size.prod() / AREA), *(size / (high - low)))
    middle = size / 2 + rng.uniform(-0.5, 0.5, 2) * (size - unit * (high - low))
    return np.column_stack([unit * turn, middle - unit * (low + high) / 2])


def coverage(strokes: list[np.ndarray], matrix: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return [H, W] float32, how much of each pixel the strokes cover (0..1)."""
    big = np.zeros((shape[0] * OVERSAMPLE, shape[1] * OVERSAMPLE), np.uint8)
    scale = OVERSAMPLE * np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    for line in strokes:
        points = line[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        corners = np.round((points + 0.5) * OVERSAMPLE - 0.5).astype(int).tolist()
        for (start, end), width in zip(pairwise(corners), line[1:, 2] * scale, strict=True):
            cv2.line(big, start, end, 255, max(1, round(width)))
    return cv2.resize(big, shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def noise(shape: tuple[int, int], bumps: int, rng: np.random.Generator) -> np.ndarray:
    """Return [H, W] of deviation 1, with `bumps` bumps along each side and finer ones on them."""
    total = np.zeros(shape, np.float32)
    for octave in range(4):
        grid = rng.standard_normal((bumps * 2**octave + 1,) * 2).astype(np.float32)
        total += 0.6**octave * cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return total / total.std()


def paint(tone: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Colour a tone [H, W] (-1 dark, 0 middle, 1 light) as RGB [H, W, 3]."""
    tone = np.clip(tone, -1.3, 1.3)[..., None]
    dark, middle, light = colours
    return middle + np.maximum(tone, 0) * (light - middle) + np.minimum(tone, 0) * (middle - dark)


def to_trimap(mask: np.ndarray, size: int) -> np.ndarray:
    """Return 1 pet, 2 background, 3 a border about 1/40 of `size` and two pixels or more wide."""
    band = max(1, round(size / 80))
    kernel = np.ones((2 * band + 1, 2 * band + 1), np.uint8)
    inside, near = (
        cv2.erode(mask.astype(np.uint8), kernel),
        cv2.dilate(mask.astype(np.uint8), kernel),
    )
    return np.where(inside == 1, 1, np.where(near == 1, 3, 2)).astype(np.uint8)


def draw_shapes(data_dir: str | Path, trainval: int, test: int, size: int, seed: int) -> int:
    """Write `trainval` + `test` images in the Pet layout; return how many had to be drawn.

    Each JPEG carries its recipe, so images that are there already are kept, an interrupted call is
    taken up by the next one, and another seed, size or drawing replaces what is there. The lists
    are written last. Raises `UserError` where another data set is in `data_dir`.
    """
    root = Path(data_dir)
    splits = {"trainval": image_names(trainval), "test": image_names(test, test=True)}
    lists = {path.stem: path for path in PETS.present_lists(root)}
    header = f"#Image CLASS-ID SPECIES BREED ID\n#{MARK}, drawing {DRAWING}\n"
    if lists["list"].exists():
        if not is_drawn(root):
            raise UserError(
                f"{lists['list']}: another data set is here; "
                "name an empty --data_dir for the shapes"
            )
        if not lists["list"].read_bytes().startswith(header.encode()):
            print(f"{root}: an older version drew what is here; all of it is drawn anew")
    names = sorted(name for listed in splits.values() for name in listed)
    todo = [name for name in names if not is_kept(root, name, size, seed)]
    for name in todo:
        refuse_stranger(PETS.image_path(root, name))
    if todo:  # a reader that comes in between finds no lists instead of half a data set
        for path in lists.values():
            path.unlink(missing_ok=True)
    jobs = -1 if len(todo) >= MANY else 1
    done = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(
        joblib.delayed(Tied(write, os.getpid()))(root, name, size, seed) for name in todo
    )
    for _ in tqdm(done, "drawing", total=len(todo), unit="image", disable=not todo):
        pass
    write_list(lists["list"], header, names)
    for split, listed in splits.items():
        write_list(lists[split], "", sorted(listed))
    return len(todo)


def is_drawn(root: str | Path) -> bool:
    """Tell whether the Pet data set below `root` was drawn here, or copies such a one."""
    path = Path(root) / "annotations" / "list.txt"
    return path.is_file() and MARK in path.read_text(encoding="utf-8", errors="replace")


def image_names(count: int, test: bool = False) -> list[str]:
    """Name `count` images, breeds by turns; every fifth number is the test split's."""
    turns = [divmod(k, len(BREEDS)) for k in range(count)]
    breeds = list(BREEDS)
    return [f"{breeds[b]}_{5 * (j + 1) if test else j + j // 4 + 1}" for j, b in turns]


def recipe(name: str, size: int, seed: int) -> bytes:
    """Return what an image depends on, as its JPEG says it."""
    return RECIPE + f"{DRAWING} {name} size {size} seed {seed}".encode()


def is_kept(root: Path, name: str, size: int, seed: int) -> bool:
    """Tell whether image and trimap are there, whole, of one size and of this recipe."""
    if PETS.find_fault(root, name):
        return False
    with opened(PETS.image_path(root, name)) as image:
        return image.info.get("comment") == recipe(name, size, seed)


def refuse_stranger(path: Path) -> None:
    """Refuse to draw in place of a picture that was not drawn here."""
    try:
        with opened(path) as image:
            comment = image.info.get("comment")
    except UserError:  # absent or damaged
        return
    if not (isinstance(comment, bytes) and comment.startswith(RECIPE)):
        raise UserError(f"{path}: another picture is here; name an empty --data_dir for the shapes")


def write(root: Path, name: str, size: int, seed: int) -> None:
    """Draw an image and write it, its trimap first: where the image is, the trimap is too."""
    drawing = draw(name, size, seed)
    with atomic_path(PETS.mask_path(root, name)) as temporary:
        Image.fromarray(drawing.trimap).save(temporary)
    with atomic_path(PETS.image_path(root, name)) as temporary:
        comment = recipe(name, size, seed)
        Image.fromarray(drawing.image).save(temporary, quality=92, comment=comment)


def write_list(path: Path, header: str, names: list[str]) -> None:
    """Write a list as Pet has it, unless it is there already."""
    facts = [(name, *BREEDS[breed_of(name)]) for name in names]
    text = header + "".join(" ".join(map(str, fact)) + "\n" for fact in facts)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def breed_of(name: str) -> str:
    """Return the breed of an image, which its name begins with."""
    return name.rsplit("_", 1)[0]
