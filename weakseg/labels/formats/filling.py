"""The pixels within a ring: scikit-image's rule, for many corners row by row.

The rule counts the sides that a ray from a pixel crosses, to the right and to the left: a pixel is
in the ring where either number is odd, as it is on a side, or where a corner lies on it (O'Rourke,
Computational Geometry in C, section 7.4). That takes corners times pixels. Here each side is met
once in each row that it crosses, and the rule itself is asked at the pixels around the crossing.
"""

from collections.abc import Iterator

import numpy as np

CHEAP = 2**22  # corners times pixels up to which the rule is asked everywhere: a few milliseconds
ON_CORNER = 1e-12  # pixels from a corner that count as on it
AT_ONCE = 2**20  # crossings that are held in memory at once


def ring_pixels(x: np.ndarray, y: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return which pixels [H, W] bool lie in a ring.

    x, y [N]: of its corners, where the centre of the first pixel is (0, 0)
    """
    from skimage.draw import polygon

    sides = (np.ptp(values) + 1 for values in (x, y))
    if len(x) * np.prod([*sides]) <= CHEAP:
        pixels = np.zeros(shape, bool)
        pixels[polygon(y, x, shape)] = True
        return pixels
    return rows_filled(x, y, shape)


def rows_filled(x: np.ndarray, y: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the same, at a cost of the rows that each side crosses."""
    height, width = shape
    crossed = np.zeros((2, height, width + 1), np.int32)  # to the right, and to the left
    for a, b, row in sides_by_row(y, height):
        y0, y1 = y[a] - row, y[b] - row
        with np.errstate(divide="ignore", invalid="ignore"):
            at = x[a] - y0 * (x[b] - x[a]) / (y1 - y0)
        near = np.clip(np.round(np.nan_to_num(at)), -2, width + 1).astype(np.int64)
        for way, is_crossed in enumerate(((y0 > 0) != (y1 > 0), (y0 < 0) != (y1 < 0))):
            rows, middle = row[is_crossed], near[is_crossed]
            ends = x[a][is_crossed], x[b][is_crossed], y0[is_crossed], y1[is_crossed]
            # Two pixels away, what numbers round to decides nothing.
            if way == 0:
                add(crossed[0], rows, np.zeros_like(rows), 1)
                add(crossed[0], rows, middle - 1, -1)
            else:
                add(crossed[1], rows, middle + 2, 1)
            for column in (middle - 1, middle, middle + 1):
                x0, x1, v0, v1 = ends[0] - column, ends[1] - column, ends[2], ends[3]
                side = (x0 * v1 - x1 * v0) / (v1 - v0)
                meets = (side > 0 if way == 0 else side < 0) & (column >= 0) & (column < width)
                add(crossed[way], rows[meets], column[meets], 1)
                add(crossed[way], rows[meets], column[meets] + 1, -1)
    rightwards, leftwards = np.cumsum(crossed[:, :, :-1], axis=2) % 2 == 1
    pixels = rightwards | leftwards
    corner = np.round(x), np.round(y)
    is_on = (np.abs(x - corner[0]) < ON_CORNER) & (np.abs(y - corner[1]) < ON_CORNER)
    is_on &= (corner[0] >= 0) & (corner[0] < width) & (corner[1] >= 0) & (corner[1] < height)
    pixels[corner[1][is_on].astype(int), corner[0][is_on].astype(int)] = True
    return pixels


def add(table: np.ndarray, rows: np.ndarray, columns: np.ndarray, number: int) -> None:
    """Add a number to places of a table [H, W + 1], columns beyond it being taken for its ends."""
    np.add.at(table, (rows, np.clip(columns, 0, table.shape[1] - 1)), number)


def sides_by_row(y: np.ndarray, height: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield numbers of the first and the second corner of sides, and rows that these reach."""
    after = np.arange(len(y))
    before = np.roll(after, 1)
    lowest, highest = np.minimum(y, y[before]), np.maximum(y, y[before])
    first = np.clip(np.ceil(lowest), 0, height).astype(np.int64)
    number = np.clip(np.floor(highest) + 1, 0, height).astype(np.int64) - first
    number = np.maximum(number, 0)
    group = np.cumsum(number) // AT_ONCE
    for one in np.unique(group):
        some = np.flatnonzero((group == one) & (number > 0))
        side = np.repeat(some, number[some])
        start = np.repeat(np.cumsum(number[some]) - number[some], number[some])
        yield after[side], before[side], first[side] + np.arange(len(side)) - start
