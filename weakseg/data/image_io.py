"""Photographs and masks read from files of any kind, upright, with one line for each bad file.

No other file opens pictures: what a stranger's file may be is decided here.
"""

import contextlib
import io
import stat
import struct
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from weakseg.common import UserError

MAX_PIXELS = 64_000_000
MOST_PIXELS = 500_000_000  # of a picture that is made smaller: 2 GB of memory
Image.MAX_IMAGE_PIXELS = MOST_PIXELS  # Pillow refuses twice as many as this by itself
# What a picture may be. Pillow knows more: PostScript, which it lets another program run, and
# formats that no camera writes. A phone's MPO is a JPEG.
FORMATS = ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000"]
FORMATS += ["AVIF"] if find_spec("PIL.AvifImagePlugin") else []
# How Pillow's decoders report a damaged file, and its EXIF reader a damaged block.
DAMAGE = (OSError, SyntaxError, ValueError, RuntimeError, EOFError, struct.error)
BROKEN_EXIF = (SyntaxError, ValueError, KeyError, TypeError, struct.error)
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations whose turn swaps width and height


@contextlib.contextmanager
def opened(
    path: str | Path, content: bytes | None = None, most: int = MAX_PIXELS
) -> Iterator[Image.Image]:
    """Open an image by its content, whatever its suffix is; its pixels are not read yet.

    content: of the file, where it is in memory; most: pixels that it may have

    Raises `UserError`, which names the file, for what can't be read here or in the body of the
    `with`, for what is none of `FORMATS`, and for an image of more pixels.
    """
    try:
        with warnings.catch_warnings():
            # The number of pixels is checked here, and broken EXIF blocks are common.
            warnings.simplefilter("ignore")
            with source_of(path, content) as file, Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > most:
                    raise Image.DecompressionBombError(f"{image.width}x{image.height} pixels")
                yield image
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: no such file; run python download_data.py, or mend the list that names it"
        ) from error
    except Image.DecompressionBombError as error:
        raise UserError(
            f"{path}: over the limit of {most // 10**6} megapixels ({error}); write a "
            "smaller copy with python download_data.py --from_dir ... --max_side 1024"
        ) from error
    except UnidentifiedImageError as error:
        raise UserError(
            f"{path}: not a readable image, or none of the formats {', '.join(FORMATS)}; replace, "
            "convert or remove it"
        ) from error
    except DAMAGE as error:
        raise UserError(f"{path}: not a readable image ({error}); replace or remove it") from error


def source_of(path: str | Path, content: bytes | None) -> BinaryIO:
    """Return the open file of an image; a pipe or a device, which may have no end, is refused."""
    if content is not None:
        return io.BytesIO(content)
    if not stat.S_ISREG(Path(path).stat().st_mode):
        raise OSError("it is no file")
    return Path(path).open("rb")


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation that the header gives, 1 (upright) without a readable one."""
    if image.format == "TIFF":  # Pillow itself turns these when it reads their pixels
        return 1
    try:
        # PngImageFile's own getexif would read all pixels first.
        turn = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except BROKEN_EXIF:
        return 1
    return turn if turn in range(1, 9) else 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return (width, height) of an opened image once it is turned upright, from the header."""
    width, height = image.size
    return (height, width) if orientation(image) in SIDEWAYS else (width, height)


def turn_upright(image: Image.Image, turn: int | None = None) -> None:
    """Turn an opened image in place.

    turn: EXIF orientation to undo, such as that of the photograph which a mask belongs to; None:
    the image's own
    """
    turn = orientation(image) if turn is None else turn
    if turn != 1:
        image.load()
        # Pillow writes the whole block anew after a turn, which fails where other entries are
        # broken; a block that can't be read at all is empty from its second reading on.
        with contextlib.suppress(*BROKEN_EXIF):
            image.getexif().clear()
        image.getexif()[ExifTags.Base.Orientation] = turn
        ImageOps.exif_transpose(image, in_place=True)


def image_size(path: str | Path) -> tuple[int, int]:
    """Return (width, height) as the image is meant to be seen, from the header alone."""
    with opened(path) as image:
        return upright_size(image)


def read_image(path: str | Path) -> Image.Image:
    """Read a photograph upright in RGB, from any mode Pillow knows (grey, CMYK, 16 bit, alpha)."""
    with opened(path) as image:
        turn_upright(image)
        if image.mode.startswith("I") or image.mode == "F":
            return as_8_bit(image).convert("RGB")
        return image.convert("RGB")


def as_8_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit or float greys that don't fit into 0..255, or lie in 0..1, to do so."""
    values = np.asarray(image, np.float32)
    brightest = float(values.max())
    is_fraction = image.mode == "F" and 0 < brightest <= 1
    scale = 255 / brightest if brightest > 255 or is_fraction else 1.0
    return Image.fromarray((values * scale).clip(0, 255).astype(np.uint8))


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask of class numbers, [H, W] uint8, upright.

    Raises `UserError` for a colour picture and for numbers above 255.
    """
    with opened(path) as image:
        turn_upright(image)
        values = np.asarray(image)
    if values.ndim != 2 or values.dtype.kind == "f" or values.max() > 255 or values.min() < 0:
        raise UserError(
            f"{path}: a mask must be an 8-bit grey or palette image of class numbers, "
            f"not {image.mode}"
        )
    return values.astype(np.uint8)


def read_instances(path: str | Path) -> np.ndarray:
    """Read the numbers of objects, [H, W] uint16, upright; 0 is no object.

    Raises `UserError` for a colour picture and for numbers above 65535.
    """
    with opened(path) as image:
        turn_upright(image)
        values = np.asarray(image)
    if (
        values.ndim != 2
        or values.dtype.kind not in "iu"
        or values.max() > 65535
        or values.min() < 0
    ):
        raise UserError(
            f"{path}: must be a grey image, of 8 or 16 bits, of the number of the object at each "
            f"pixel, not {image.mode}"
        )
    return values.astype(np.uint16)


def to_square(
    image: Image.Image, size: int, box: tuple[float, float, float, float] | None = None
) -> np.ndarray:
    """Resize an RGB image, or a box of it, with antialiasing to [3, size, size] uint8.

    box: (left, top, right, bottom) in pixels
    """
    resized = image.resize((size, size), Image.Resampling.BILINEAR, box)
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))
