"""Photographs that were padded with bars, beside masks that were stretched over them instead.

Nothing lies within a bar, so whoever drew masks on the padded photographs marked nothing there.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from weakseg.common import IGNORE, UserError, evenly
from weakseg.data.image_io import image_size, opened, turn_upright
from weakseg.data.inverted import FEWEST
from weakseg.data.mask_tally import MOST, Reader
from weakseg.data.tiff import is_tiff

PIXELS = 60_000_000  # of the photographs that are looked at
LEAST, SIDE = 0.03, 512  # of a side that a bar has; pixels that are enough to see it
SLACK = 2  # greys by which JPEG may change a bar
RIM = 0.2  # of a bar, at its inner edge, that what is drawn beside it may reach into
MARKED = 0.02  # of the pixels in bars, those of another class than the rest of their bar
SHARE = 0.2  # of the photographs with bars that have such masks

Ends = tuple[float, float]  # shares of a side that bars take at its beginning and its end


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


def bars(path: Path) -> tuple[Ends, Ends] | None:
    """Return the bars of the rows and of the columns of a photograph, upright; None without any.

    One that may have another range of values has none.
    """
    if is_tiff(path):
        return None
    with opened(path) as image:
        image.draft("RGB", (SIDE, SIDE))
        turn_upright(image)
        pixels = np.asarray(image.convert("RGB"))
    found = ends(pixels), ends(pixels.swapaxes(0, 1))
    return found if any(found[0] + found[1]) else None


def within(mask: np.ndarray, found: tuple[Ends, Ends]) -> Iterator[np.ndarray]:
    """Yield what a mask [H, W] shows in each bar, but for the bar's inner edge."""
    for turned, (first, last) in zip((mask, mask.T), found, strict=True):
        first, last = (round((1 - RIM) * share * len(turned)) for share in (first, last))
        yield turned[:first].ravel()
        yield turned[len(turned) - last :].ravel()


def is_marked(mask: np.ndarray, found: tuple[Ends, Ends]) -> bool:
    """Return whether a mask [H, W] uint8 of class numbers tells things apart within bars."""
    counts = [np.bincount(part[part != IGNORE], minlength=1) for part in within(mask, found)]
    marked, total = sum(map(np.sum, counts)) - sum(map(np.max, counts)), sum(map(np.sum, counts))
    return bool(marked > MARKED * total)


def bar_notes(root: Path, pairs: Sequence[tuple[Path, Path]], read: Reader) -> list[str]:
    """Return a line where many photographs with bars have masks that mark things within these.

    root: of the data set; pairs: (photograph, its mask); read: returns the class numbers in a file
    """
    seen, faults, room = 0, list[Path](), PIXELS
    for photograph, mask in evenly(pairs, MOST):
        try:
            room -= math.prod(image_size(photograph))
            if room < 0:
                break
            if found := bars(photograph):
                seen += 1
                faults += [photograph] if is_marked(read(mask), found) else []
        except UserError:  # whoever needs it says why
            continue
    if len(faults) < max(FEWEST, SHARE * seen):
        return []
    return [
        f"{root}: {len(faults)} of {seen} photographs with bars at their edges, the first "
        f"{faults[0].relative_to(root)}, have masks that mark something within the bars; if the "
        "photographs were padded but the masks stretched, pad the masks alike"
    ]
