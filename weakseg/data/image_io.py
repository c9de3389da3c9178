"""Reading photographs and masks from the wild, and an on-disk cache of their resized arrays."""

import contextlib
import struct
import warnings

import numpy as np
from PIL import Image

from weakseg.common import UserError

MAX_PIXELS = 64_000_000
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    RuntimeError,
    EOFError,
    struct.error,
)  # how PIL's decoders report it
Turn = Image.Transpose
# What brings an image of each EXIF orientation upright; the last four swap width and height.
TURNS = {
    2: Turn.FLIP_LEFT_RIGHT,
    3: Turn.ROTATE_180,
    4: Turn.FLIP_TOP_BOTTOM,
    5: Turn.TRANSPOSE,
    6: Turn.ROTATE_270,
    7: Turn.TRANSVERSE,
    8: Turn.ROTATE_90,
}


@contextlib.contextmanager
def opened(path):
    """Open an image by its content, whatever its suffix says -> (image, EXIF orientation), pixels
    not read yet.

    What can't be read, here or in the body of the `with`, is a `UserError` naming the file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # MAX_PIXELS is checked here, and broken EXIF blocks are common
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise Image.DecompressionBombError(f"{image.width}x{image.height} pixels")
                yield image, orientation(image)
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: no such file; run python download_data.py, or mend the list that names it"
        ) from error
    except Image.DecompressionBombError as error:
        raise UserError(
            f"{path}: over the limit of {MAX_PIXELS // 10**6} megapixels ({error}); write a smaller copy with "
            "python download_data.py --from_dir ... --max_side 1024"
        ) from error
    except DAMAGE as error:
        raise UserError(f"{path}: not a readable image ({error}); replace or remove it") from error


def orientation(image):
    """Return the EXIF orientation, 1 (upright) where there is none or the block is broken."""
    try:
        # PngImageFile's own getexif would read all pixels first.
        return Image.Image.getexif(image).get(0x0112, 1)
    except (SyntaxError, ValueError, KeyError, TypeError, struct.error):
        return 1


def upright(image, turn):
    """Return the image turned as its EXIF orientation says."""
    return image.transpose(TURNS[turn]) if turn in TURNS else image


def image_size(path):
    """Return (width, height) as the image is meant to be seen, from the header alone."""
    with opened(path) as (image, turn):
        return image.size[::-1] if turn in (5, 6, 7, 8) else image.size


def read_image(path):
    """Read a photograph upright as an RGB `PIL.Image`, from any mode PIL knows (grey, CMYK, 16 bit,
    palette, alpha).
    """
    with opened(path) as (image, turn):
        if image.mode.startswith("I") or image.mode == "F":
            values = np.asarray(image, np.float32)
            brightest = float(values.max())
            fraction = image.mode == "F" and 0 < brightest <= 1
            scale = 255 / brightest if brightest > 255 or fraction else 1.0
            image = Image.fromarray((values * scale).clip(0, 255).astype(np.uint8))
        return upright(image.convert("RGB"), turn)


def read_mask(path):
    """Read a mask of class numbers upright -> [H, W] uint8; a colour picture or numbers above 255
    are refused.
    """
    with opened(path) as (image, turn):
        values = np.asarray(upright(image, turn))
    if values.ndim != 2 or values.dtype.kind == "f" or values.max() > 255 or values.min() < 0:
        raise UserError(
            f"{path}: a mask must be an 8-bit grey or palette image of class numbers, not {image.mode}"
        )
    return values.astype(np.uint8)


def to_square(image, size, box=None):
    """Resize an RGB `PIL.Image`, or its `box` (left, top, right, bottom), antialiased -> [3, size,
    size] uint8.
    """
    resized = image.resize((size, size), Image.Resampling.BILINEAR, box)
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))
