"""Masks as runs: CVAT's row by row, COCO's column by column, and those of Label Studio's brush.

They are read here and not by pycocotools, whose C code takes the counts of a file for granted: a
stranger's may say anything. The tests compare both.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from weakseg.labels.formats.records import Nothing, Unreadable, whole

MOST_PIXELS = 64_000_000  # of one mask, as of a photograph


def checked_size(width: object, height: object) -> tuple[int, int]:
    """Return (width, height) of a mask; one without pixels, or with too many, is refused."""
    size = whole(width), whole(height)
    if min(size) < 1 or size[0] * size[1] > MOST_PIXELS:
        raise Unreadable(f"a mask of {size[0]}x{size[1]} pixels")
    return size


def runs_of(pixels: np.ndarray) -> list[int]:
    """Return the runs of a flat array of bool: their lengths, the first of what is False."""
    flat = np.concatenate([[False], np.asarray(pixels, bool).ravel()])
    starts = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(np.concatenate([[0], starts, [len(flat) - 1]])).tolist()


def pixels_of(counts: Sequence[object], length: int) -> np.ndarray:
    """Return the flat array of bool [length] that has these runs."""
    lengths = np.array([whole(count) for count in counts], np.int64)
    if (lengths < 0).any() or lengths.sum() != length:
        raise Unreadable(f"runs of {int(lengths.sum())} pixels for a mask of {length}")
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)


def mask_geometry(pixels: np.ndarray, left: int = 0, top: int = 0) -> dict[str, Any]:
    """Return the geometry of a mask [h, w] bool whose first pixel lies at (left, top), trimmed.

    One without any pixel is refused.
    """
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    if not len(rows):
        raise Nothing("a mask without a pixel")
    inner = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return {
        "left": left + int(columns[0]),
        "top": top + int(rows[0]),
        "width": inner.shape[1],
        "height": inner.shape[0],
        "counts": runs_of(inner),
    }


def mask_pixels(geometry: Any) -> tuple[np.ndarray, int, int]:
    """Return (pixels [h, w] bool, left, top) of the geometry of a mask."""
    width, height = checked_size(geometry["width"], geometry["height"])
    pixels = pixels_of(geometry["counts"], width * height).reshape(height, width)
    return pixels, whole(geometry["left"]), whole(geometry["top"])


# ---- COCO


def coco_pixels(segmentation: Any) -> np.ndarray:
    """Return the mask [h, w] bool of COCO's {"size": [h, w], "counts": list or text}."""
    height, width = segmentation["size"]
    width, height = checked_size(width, height)
    counts = segmentation["counts"]
    lengths = coco_counts(counts) if isinstance(counts, str) else counts
    return pixels_of(lengths, width * height).reshape(width, height).T


def coco_segmentation(pixels: np.ndarray) -> dict[str, Any]:
    """Return COCO's runs, as a list, of a mask [h, w] bool."""
    return {"size": list(pixels.shape), "counts": runs_of(pixels.T)}


def coco_counts(letters: str) -> list[int]:
    """Return the runs of COCO's compressed text.

    A letter holds five bits, the lowest first, and whether more follow; from the fourth number on
    each is the difference to the one before the last.
    """
    counts: list[int] = []
    value = shift = 0
    for letter in letters:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise Unreadable("compressed runs that are none")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise Unreadable("compressed runs that end in the middle")
    return counts


# ---- Label Studio

RUN_BITS = (3, 4, 8, 16)  # of the lengths of runs, as the tool itself writes them


def brush_pixels(code: Sequence[int], width: object, height: object) -> np.ndarray:
    """Return the mask [h, w] bool of a brush: where the last of its four channels is not 0.

    code: bytes of a stream of bits: the number of values (32), bits of a value less 1 (5), bits of
    four kinds of lengths less 1 (4 each), then blocks: whether one value is repeated (1), kind of
    the length (2), length less 1, and one value or as many.
    """
    width, height = checked_size(width, height)
    bits = np.unpackbits(np.array(code, np.uint8)).tobytes()
    at, number = 0, 4 * width * height

    def take(count: int) -> int:
        nonlocal at
        if at + count > len(bits):
            raise Unreadable("the code of a brush ends in the middle")
        value = int(bits[at : at + count].translate(DIGITS), 2)
        at += count
        return value

    if take(32) != number:
        raise Unreadable("the code of a brush is of another size than the picture")
    value_bits = take(5) + 1
    kinds = [take(4) + 1 for _ in range(4)]
    values, done = np.zeros(number, bool), 0
    while done < number:
        is_run = take(1)
        end = min(done + take(kinds[take(2)]) + 1, number)
        if is_run:
            values[done:end] = take(value_bits) > 0
        else:
            values[done:end] = [take(value_bits) > 0 for _ in range(done, end)]
        done = end
    return values.reshape(height, width, 4)[..., 3]


DIGITS = bytes.maketrans(b"\0\1", b"01")


def brush_code(pixels: np.ndarray) -> list[int]:
    """Return the code of a brush, a list of bytes, of a mask [h, w] bool."""
    words = [f"{4 * pixels.size:032b}", f"{8 - 1:05b}", *(f"{bits - 1:04b}" for bits in RUN_BITS)]
    longest = 2 ** RUN_BITS[3]
    for number, run in enumerate(runs_of(pixels)):
        value = "11111111" if number % 2 else "00000000"
        for length in [longest] * (4 * run // longest) + [4 * run % longest]:
            words += [f"111{length - 1:016b}{value}"] if length else []
    text = "".join(words)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))
