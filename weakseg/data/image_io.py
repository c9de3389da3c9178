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
from weakseg.data.reading import Photograph, Reading, Source, as_photograph
from weakseg.data.tiff import SIDEWAYS, TiffStack, is_tiff, opened_stack, upright

MAX_PIXELS = 64_000_000
MOST_PIXELS = 500_000_000  # of a picture that is made smaller: 2 GB of memory
Image.MAX_IMAGE_PIXELS = MOST_PIXELS  # Pillow refuses twice as many as this by itself
# What a picture may be. Pillow knows more: PostScript, which it lets another program run, and
# formats that no camera writes. A phone's MPO is a JPEG.
FORMATS = ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000"]
FORMATS += ["AVIF"] if find_spec("PIL.AvifImagePlugin") else []
# Of these, formats whose values are not those that were saved, and ways to store a TIFF.
LOSSY, LOSSY_IN_TIFF = ("JPEG", "MPO", "AVIF"), ("jpeg", "tiff_jpeg", "webp")
SCALED = {2: 85, 4: 17}  # bits of grey that Pillow brings to 8, and by how much
# How Pillow's decoders report a damaged file, and its EXIF reader a damaged block.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    EOFError,
    struct.error,
)
BROKEN_EXIF = (SyntaxError, ValueError, KeyError, TypeError, struct.error)


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
            f"{path}: over the limit of {most // 10**6} megapixels ({error}); {smaller_way(most)}"
        ) from error
    except UnidentifiedImageError as error:
        raise UserError(
            f"{path}: not a readable image, or none of the formats {', '.join(FORMATS)}; replace, "
            "convert or remove it"
        ) from error
    except DAMAGE as error:
        raise UserError(f"{path}: not a readable image ({error}); replace or remove it") from error


def smaller_way(most: int) -> str:
    """Return what to do with a picture of more pixels than `most`."""
    if most > MAX_PIXELS:
        return "make it smaller with another program"
    return (
        "write a smaller copy with python download_data.py --dataset folder --from_dir HERE "
        "--data_dir SMALLER --max_side 4096 (pets and voc: the same with their name)"
    )


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


@contextlib.contextmanager
def tiff_of(path: str | Path, most: int) -> Iterator[TiffStack]:
    """Open a TIFF file with its pages and channels; its pixels are not read yet.

    most: pixels that it may have
    """
    with opened_stack(path) as stack:
        width, height = stack.size
        if width * height * max(1, stack.channels / 4) > most:
            shown = f"{width}x{height} pixels, {stack.channels} channels"
            raise UserError(
                f"{path}: over the limit of {most // 10**6} megapixels ({shown}); "
                f"{smaller_way(most)}"
            )
        yield stack


def image_size(source: Source) -> tuple[int, int]:
    """Return (width, height) as the image is meant to be seen, from the header alone."""
    photograph = as_photograph(source)
    if is_tiff(photograph.path):
        with tiff_of(photograph.path, MAX_PIXELS) as stack:
            return stack.size
    with opened(photograph.path) as image:
        return upright_size(image)


def read_image(source: Source, most: int = MAX_PIXELS) -> Image.Image:
    """Read a photograph upright in RGB, from any mode Pillow knows (grey, CMYK, alpha, ...).

    Values deeper than 8 bits are scaled by the range of the reading. Raises `UserError` for several
    pages, for other than one or three channels and for deep values where the reading chooses none.

    most: pixels that it may have
    """
    photograph = as_photograph(source)
    shown = read_shown(photograph, most)
    if isinstance(shown, Image.Image):
        return shown
    values = photograph.reading.in_8_bits(shown, photograph.path)
    return Image.fromarray(np.repeat(values, 3 // values.shape[2], axis=2))


def read_shown(photograph: Photograph, most: int = MAX_PIXELS) -> Image.Image | np.ndarray:
    """Return a photograph in RGB, or the values [H, W, 1 or 3] that its reading chooses, upright.

    They are values where the file is deeper than 8 bits, and where channels are chosen.
    """
    path, reading = photograph.path, photograph.reading
    if is_tiff(path):
        with tiff_of(path, most) as stack:
            return read_stack(stack, reading, most)
    with opened(path, most=most) as image:
        # A phone's MPO holds the photograph first, and what belongs to it.
        count = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
        number = reading.page_of(count, path)
        if number:
            image.seek(number)
        if reading.channels is None and not is_deep(image):
            turn_upright(image)
            return image.convert("RGB")
        turn, values = orientation(image), values_of(image, path)
        colours = values.shape[2] - image.mode.endswith("A")
    return upright(reading.channels_of(values, colours, path), turn)


def read_stack(stack: TiffStack, reading: Reading, most: int) -> Image.Image | np.ndarray:
    """Return what `read_shown` does, of an open TIFF file."""
    path, count = stack.path, len(stack.pages)
    if reading.channels and reading.page is None and count > 1 and stack.channels == 1:
        pages = [reading.page_of(count, path, number) for number in reading.channels]
        return np.concatenate([stack.read(number) for number in pages], axis=2)
    number = reading.page_of(count, path)
    if reading.channels is None and stack.is_plain:
        with opened(path, most=most) as image:
            image.seek(stack.place(number))
            return image.convert("RGB")
    return reading.channels_of(stack.read(number), stack.colours, path)


def is_deep_file(photograph: Photograph) -> bool:
    """Return whether the values in a file need more than 8 bits, from its header."""
    path = photograph.path
    if is_tiff(path):
        with tiff_of(path, MAX_PIXELS) as stack:
            return stack.is_deep
    with opened(path) as image:
        return is_deep(image)


def is_deep(image: Image.Image) -> bool:
    """Return whether the values in a file need more than 8 bits, even where Pillow cuts them."""
    if image.mode.startswith("I") or image.mode == "F":
        return True
    tiles = getattr(image, "tile", ())  # where a file's pixels lie, and in which layout
    return any(";16" in str(tile[3]) for tile in tiles)


def values_of(image: Image.Image, path: str | Path) -> np.ndarray:
    """Return the values of an opened picture as they are stored, [H, W, C], not yet upright."""
    if image.mode in ("RGB", "RGBA", "LA") and is_deep(image):
        return deep_png(image, path)
    if not is_deep(image) and image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("RGB")
    return np.asarray(image).reshape(image.height, image.width, -1)


def deep_png(image: Image.Image, path: str | Path) -> np.ndarray:
    """Return the values [H, W, C] uint16 of a PNG in colour, of which Pillow drops eight bits."""
    import cv2

    is_grey = image.mode == "LA"
    image.load()  # refuses damage, which OpenCV would show as grey
    values = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.ndim != 3:
        raise OSError("its 16 bits can't be decoded")
    values = values[..., [2, 1, 0, 3][: values.shape[2]]]
    return values[..., -2:] if is_grey else values


def refuse_pages(image: Image.Image, path: str | Path) -> None:
    """Refuse a mask of several pages, of which one alone would be read."""
    count = getattr(image, "n_frames", 1)
    if count > 1:
        raise UserError(f"{path}: has {count} pages, a mask has one; save the one that it is")


def is_lossy(image: Image.Image, path: str | Path) -> bool:
    """Return whether the format of an opened picture changes the values that are stored."""
    if image.format == "TIFF":
        return image.info.get("compression") in LOSSY_IN_TIFF
    if image.format not in ("WEBP", "JPEG2000"):
        return image.format in LOSSY
    with Path(path).open("rb") as file:
        head = file.read(2**16)
    if image.format == "WEBP":
        return b"VP8L" not in head  # the exact kind
    _, _, style = head.partition(b"\xff\x52")  # the marker COD, whose byte 11 is the transform
    return style[11:12] == b"\0"  # the inexact one


@contextlib.contextmanager
def opened_mask(path: str | Path) -> Iterator[Image.Image]:
    """Open a mask, as `stored_mask` does, upright."""
    with stored_mask(path) as image:
        turn_upright(image)
        yield image


@contextlib.contextmanager
def stored_mask(path: str | Path, most: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open a mask, as `opened` does, with its pixels as they are stored.

    Raises `UserError` for a file whose format changes the values that are stored, for several
    pages, and where some pixels are transparent: nobody says what these are.

    most: pixels that it may have
    """
    with opened(path, most=most) as image:
        if is_lossy(image, path):
            kind = "JPEG" if image.format == "MPO" else image.format
            raise UserError(
                f"{path}: is a {kind}, whatever its name says, which blurs class numbers; "
                "write masks as PNG"
            )
        refuse_pages(image, path)
        if image.mode in ("LA", "RGBA") and image.getchannel("A").getextrema() != (255, 255):
            raise UserError(
                f"{path}: some of its pixels are transparent; write the mask without transparency"
            )
        yield image


def grey_of_png(path: str | Path) -> tuple[int, bool] | None:
    """Return (bits of a channel, whether it is grey alone) by the header of a PNG, else None."""
    with Path(path).open("rb") as file:
        head = file.read(26)
    return (head[24], head[25] == 0) if head.startswith(b"\x89PNG") and len(head) == 26 else None


def stored_values(path: str | Path, as_shown: bool = False) -> tuple[np.ndarray, str]:
    """Return the values in a mask, [H, W] or in colours [H, W, C], upright, and Pillow's mode.

    They are [H, W] where the channels of colours are equal. Of 2 or 4 bits of grey they are the
    file's own numbers, or, as_shown, those of 8 bits: of 2 bits 85 and not 1. Raises `UserError`
    for what `opened_mask` refuses.
    """
    with opened_mask(path) as image:
        values, mode = np.asarray(image), image.mode
        bits, is_grey = grey_of_png(path) or (8, False)
    if is_grey and bits in SCALED and not as_shown:
        values = values // SCALED[bits]
    if mode in ("RGB", "RGBA") and bits == 8 and (values[..., :3] == values[..., :1]).all():
        values = values[..., 0]
    return values, mode


def read_mask(path: str | Path, flag: str = "--mask_values") -> np.ndarray:
    """Read a mask of class numbers, [H, W] uint8, upright; flag: that gives values a meaning.

    Raises `UserError` for what `opened_mask` refuses, a colour picture, and numbers above 255.
    """
    values, mode = stored_values(path)
    if values.ndim != 2 or values.dtype.kind == "f" or values.max() > 255 or values.min() < 0:
        raise UserError(
            f"{path}: a mask must be an 8-bit grey or palette image of class numbers, "
            f"not {mode}; {flag} says what other values mean"
        )
    return values.astype(np.uint8)


def read_instances(path: str | Path) -> np.ndarray:
    """Read the numbers of objects, [H, W] uint16, upright; 0 is no object.

    In a picture of one bit all objects are one. Raises `UserError` for a colour picture and for
    numbers above 65535.
    """
    with opened_mask(path) as image:
        values = np.asarray(image)
    if (
        values.ndim != 2
        or values.dtype.kind not in "biu"
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
