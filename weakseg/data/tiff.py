"""TIFF files as microscopes and satellites write them: pages, many channels, deep values.

Pillow cuts such files to eight bits, three channels and the first page without a word. tifffile
knows what is in them.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from weakseg.common import UserError, reason

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ALPHA = (1, 2)  # kinds of an extra channel that say how much is seen of the others
INKS = 5  # the photometric interpretation of CMYK
WHITE_IS_ZERO = 0  # the one of negatives
NO_DATA = 42113  # a tag with the value of pixels that nothing was measured at
RAW = (32803, 34892)  # those of a camera's sensor
DNG_VERSION = 50706  # a tag that only raw files have
CANON = (b"CR\x02", 8)  # what a Canon's raw file has behind its first bytes, and where
SIDEWAYS = (5, 6, 7, 8)  # orientations whose turn swaps width and height
# How damaged bytes derail tifffile.
DAMAGE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    AssertionError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
)


def is_tiff(path: str | Path) -> bool:
    """Return whether a file begins as a TIFF does, whatever its suffix is; a pipe is none."""
    try:
        if not Path(path).is_file():  # opening a pipe waits for whoever writes into it
            return False
        with Path(path).open("rb") as file:
            return file.read(4) in MAGIC
    except OSError:  # whoever reads it says why
        return False


class TiffStack:
    """An open TIFF file: its largest pages, of one size. Smaller ones are thumbnails.

    size: (width, height) upright; channels: of each page, `colours` of them without transparency;
    is_deep: whether values have more than 8 bits, or signs or fractions
    """

    def __init__(self, path: str | Path, file: Any) -> None:
        self.path = path
        refuse_raw(path, file)
        pages = [page for page in file.pages if not page.keyframe.is_reduced] or [file.pages[0]]
        width, height = max(map(sides, pages), key=math.prod)
        self.pages = [page for page in pages if sides(page) == (width, height)]
        first = self.pages[0].keyframe
        self.channels = int(first.samplesperpixel)
        self.colours = self.channels - sum(int(kind) in ALPHA for kind in first.extrasamples)
        self.is_deep = int(first.bitspersample) > 8 or np.dtype(first.dtype).kind not in "bu"
        # Whether Pillow shows all that is in it: greys, colours and CMYK's four, in 8 bits.
        is_cmyk = self.colours == 4 and first.photometric == INKS
        self.is_plain = not self.is_deep and (self.colours in (1, 3) or is_cmyk)
        tag = first.tags.get("Orientation")
        self.turn = tag.value if tag is not None and tag.value in range(1, 9) else 1
        self.size = (height, width) if self.turn in SIDEWAYS else (width, height)

    def place(self, number: int) -> int:
        """Return where in the file a page stands, both counted from 0."""
        return int(self.pages[number].index)

    def read(self, number: int) -> np.ndarray:
        """Return a page, counted from 0, [H, W, C] upright with its own values.

        Of a negative they are turned, as Pillow does with 8 bits. Of deep values those that stand
        for no data are -inf.
        """
        page, is_turned = self.pages[number], False
        try:
            values = page.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):  # which tifffile needs for some compressions
                raise
            decoded = decode(Path(self.path), self.place(number), page.keyframe)
            if decoded is None or self.turn != 1:
                raise UserError(
                    f"{self.path}: can't be decoded ({reason(error)}); save it without compression"
                ) from error
            values, is_turned = decoded, not self.is_deep  # OpenCV turns 8 bits alone
        else:
            if page.keyframe.axes.startswith("S"):
                values = np.moveaxis(values, 0, -1)
        width, height = sides(page)
        values = values.reshape(height, width, -1)
        empty = without_data(values[..., : self.colours], page.keyframe) if self.is_deep else None
        if page.keyframe.photometric == WHITE_IS_ZERO and not is_turned:
            values = positive(values, self.colours, int(page.keyframe.bitspersample))
        if empty is not None:
            kind = np.float32 if values.itemsize <= 2 else np.float64
            values = np.where(empty[..., None], kind(-np.inf), values.astype(kind))
        return upright(values, self.turn)


def refuse_raw(path: str | Path, file: Any) -> None:
    """Refuse a camera's raw file: what can be read of it is a small copy, or a sensor's mosaic."""
    first = file.pages[0].keyframe
    word, place = CANON
    with Path(path).open("rb") as content:
        content.seek(place)
        is_canon = content.read(len(word)) == word
    is_copy = bool(first.is_reduced) and "SubIFDs" in first.tags
    if is_canon or is_copy or DNG_VERSION in first.tags or first.photometric in RAW:
        raise UserError(
            f"{path}: is a camera's raw file, of which only a small copy could be read; develop it "
            "to JPEG, PNG or TIFF"
        )


def sides(page: Any) -> tuple[int, int]:
    """Return (width, height) of a page as it is stored."""
    return int(page.keyframe.imagewidth), int(page.keyframe.imagelength)


def positive(values: np.ndarray, colours: int, bits: int) -> np.ndarray:
    """Return what a negative [H, W, C] shows; colours: how many of C are; bits: of each value."""
    turned = values.copy()
    shown = values[..., :colours]
    is_whole = values.dtype.kind == "u"
    turned[..., :colours] = 2**bits - 1 - shown if is_whole else -shown
    return turned


def without_data(colours: np.ndarray, page: Any) -> np.ndarray | None:
    """Return which pixels of colours [H, W, C] stand for no data by GDAL's tag, None where none."""
    tag = page.tags.get(NO_DATA)
    try:
        value = float(str(tag.value).strip(" \0")) if tag is not None else math.nan
    except ValueError:
        return None
    kind = colours.dtype
    if kind.kind == "f" and abs(value) < math.inf:  # written with more digits than it has
        value = float(np.clip(value, np.finfo(kind).min, np.finfo(kind).max).astype(kind))
    empty = (colours == value).all(-1)
    return empty if empty.any() else None


def decode(path: Path, number: int, page: Any) -> np.ndarray | None:
    """Return a page of up to four channels as OpenCV decodes it, None where it can't."""
    import cv2

    if page.samplesperpixel not in (1, 3, 4):
        return None
    content = np.frombuffer(path.read_bytes(), np.uint8)
    # What is wrong with a file is told in one line.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    done, pages = cv2.imdecodemulti(content, cv2.IMREAD_UNCHANGED, range=(number, number + 1))
    shape = sides(page)[::-1]
    if not done or len(pages) != 1 or pages[0].shape[:2] != shape or pages[0].dtype != page.dtype:
        return None
    values = pages[0].reshape(*shape, -1)
    if values.shape[2] != page.samplesperpixel:
        return None
    order = [2, 1, 0, 3][: values.shape[2]] if values.shape[2] > 1 else [0]
    return np.ascontiguousarray(values[..., order])


def upright(values: np.ndarray, turn: int) -> np.ndarray:
    """Return an array [H, W, ...] turned upright; turn: EXIF orientation of the stored pixels."""
    if turn in SIDEWAYS:
        values = values.swapaxes(0, 1)
    rows = -1 if turn in (3, 4, 7, 8) else 1
    columns = -1 if turn in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(values[::rows, ::columns])


@contextmanager
def opened_stack(path: str | Path) -> Iterator[TiffStack]:
    """Open a TIFF file; its pixels are not read yet.

    Raises `UserError`, which names the file, for what can't be read here or in the body of the
    `with`.
    """
    import logging

    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong is told in one line
    try:
        with tifffile.TiffFile(path) as file:
            yield TiffStack(path, file)
    except (*DAMAGE, tifffile.TiffFileError) as error:
        raise UserError(
            f"{path}: not a readable image ({reason(error)}); replace or remove it"
        ) from error
