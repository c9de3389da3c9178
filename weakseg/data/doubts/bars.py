"""Photographs with bars, or with a large part of one colour, beside masks that mark things there.

Nothing lies within a bar, so whoever drew masks on the padded photographs marked nothing there. A
photograph of one colour, or one that ends in a flat part, was written or copied by halves.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from weakseg.common import IGNORE, UserError, evenly
from weakseg.data.doubts.inverted import FEWEST
from weakseg.data.doubts.mask_tally import MOST, Reader
from weakseg.data.image_io import image_size, is_deep, opened, turn_upright
from weakseg.data.tiff import is_tiff

PIXELS = 60_000_000  # of the photographs that are looked at
LEAST, SIDE = 0.03, 512  # of a side that a bar has; pixels that are enough to see it
BLURRED = ("JPEG", "MPO", "WEBP")  # formats that change colours a bit
SLACK = 2  # greys by which JPEG may change a bar
RIM = 0.2  # of a bar, at its inner edge, that what is drawn beside it may reach into
MARKED = 0.02  # of the pixels in bars, those of another class than the rest of their bar
FLAT = 0.25  # of a side, from one end on, that is one colour in a photograph that is damaged
SMALL = 32  # pixels of a side, below which part of it is flat by chance
SHARE = 0.2  # of the photographs with bars that have such masks

Ends = tuple[float, float]  # shares of a side that bars take at its beginning and its end
Sides = tuple[Ends, Ends]  # of the rows and of the columns


def ends(pixels: np.ndarray) -> Ends:
    """Return which shares of the rows in [H, W, 3] uint8 are a bar at the top, and at the bottom.

    (0, 0) unless there are two, of one colour and about alike.
    """
    plain = (np.abs(pixels.astype(np.int16) - pixels[0, 0]) <= SLACK).all((1, 2))
    if plain.all():
        return 0, 0
    first, last = plain.argmin() / len(plain), plain[::-1].argmin() / len(plain)
    is_even = min(first, last) >= max(LEAST, max(first, last) / 2)
    return (float(first), float(last)) if is_even else (0, 0)


def flat_ends(pixels: np.ndarray, slack: int) -> Ends:
    """Return which shares of the rows are one colour from the top on, and from the bottom on.

    Small ones are 0: what is overexposed, or lies in the dark. slack: greys that they may differ by
    """
    if min(pixels.shape[:2]) < SMALL:
        return 0, 0
    shares = []
    for rows in (pixels, pixels[::-1]):
        plain = (np.abs(rows.astype(np.int16) - rows[0, 0]) <= slack).all((1, 2))
        share = 1.0 if plain.all() else float(plain.argmin() / len(plain))
        shares.append(share if share >= FLAT else 0.0)
    return (1.0, 0.0) if 1 in shares else (shares[0], shares[1])


def read_pixels(path: Path) -> tuple[np.ndarray, int] | None:
    """Return an upright photograph [H, W, 3] uint8, small, and greys by which a flat part differs.

    None for one that may have another range of values.
    """
    if is_tiff(path):
        return None
    with opened(path) as image:
        if is_deep(image):
            return None
        slack = SLACK if image.format in BLURRED else 0
        image.draft("RGB", (SIDE, SIDE))
        turn_upright(image)
        return np.asarray(image.convert("RGB")), slack


def of_sides(find: Callable[[np.ndarray], Ends], pixels: np.ndarray) -> Sides | None:
    """Return what is found of the rows and of the columns of a photograph; None without any."""
    found = find(pixels), find(pixels.swapaxes(0, 1))
    return found if any(found[0] + found[1]) else None


def within(mask: np.ndarray, found: Sides) -> Iterator[np.ndarray]:
    """Yield what a mask [H, W] shows in each bar, but for the bar's inner edge."""
    for turned, (first, last) in zip((mask, mask.T), found, strict=True):
        first, last = (round((1 - RIM) * share * len(turned)) for share in (first, last))
        yield turned[:first].ravel()
        yield turned[len(turned) - last :].ravel()


def is_marked(mask: np.ndarray, found: Sides) -> bool:
    """Return whether a mask [H, W] uint8 of class numbers tells things apart within bars."""
    counts = [np.bincount(part[part != IGNORE], minlength=1) for part in within(mask, found)]
    marked, total = sum(map(np.sum, counts)) - sum(map(np.max, counts)), sum(map(np.sum, counts))
    return bool(marked > MARKED * total)


def bar_notes(root: Path, pairs: Sequence[tuple[Path, Path]], read: Reader) -> list[str]:
    """Return a line where many photographs with bars have masks that mark things within these.

    Another one tells of any with a large part of one colour in which a mask tells things apart.

    root: of the data set; pairs: (photograph, its mask); read: returns the class numbers in a file
    """
    seen, faults, flat, looked, room = 0, list[Path](), list[Path](), 0, PIXELS
    for photograph, mask in evenly(pairs, MOST):
        try:
            room -= math.prod(image_size(photograph))
            if room < 0:
                break
            if not (pixels_and_slack := read_pixels(photograph)):
                continue
            pixels, slack = pixels_and_slack
            looked += 1
            if found := of_sides(ends, pixels):
                seen += 1
                faults += [photograph] if is_marked(read(mask), found) else []
            elif found := of_sides(partial(flat_ends, slack=slack), pixels):
                flat += [photograph] if is_marked(read(mask), found) else []
        except UserError:  # whoever needs it says why
            continue
    lines = []
    if flat:
        lines.append(
            f"{root}: {len(flat)} of {looked} photographs that were looked at, the first "
            f"{flat[0].relative_to(root)}, are of one colour, or a large part of them is, but "
            "their masks tell things apart there; copy damaged ones anew, and mend masks that are "
            "another photograph's"
        )
    if len(faults) < max(FEWEST, SHARE * seen):
        return lines
    return [
        *lines,
        f"{root}: {len(faults)} of {seen} photographs with bars at their edges, the first "
        f"{faults[0].relative_to(root)}, have masks that mark something within the bars; if the "
        "photographs were padded but the masks stretched, pad the masks alike",
    ]
