"""The mark of an exported mask: which labels it was made of, and which pixels it had.

So a mask of labels that were corrected since is told from one that a person drew, or mended.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from weakseg.common import UserError
from weakseg.data.image_io import opened_mask, read_mask
from weakseg.labels.formats.records import Classes, Shape

MARK = "made of labels"  # keyword of the PNG's text "DIGEST_OF_LABELS DIGEST_OF_PIXELS"


def labels_digest(
    shapes: Sequence[Shape], size: tuple[int, int], classes: Classes, is_complete: bool
) -> str:
    """Return a hash of all that the mask of a picture is made of, see `painting.mask_of`."""
    classes = Classes(tuple(classes.names), classes.has_background)
    return digest(repr((size, is_complete, classes, [shape.key for shape in shapes])).encode())


def save_marked(path: Path, mask: np.ndarray, labels: str) -> None:
    """Write a mask [H, W] uint8 as a PNG that says of which labels it was made."""
    text = PngInfo()
    text.add_text(MARK, f"{labels} {digest(mask.tobytes())}")
    Image.fromarray(mask).save(path, optimize=True, pnginfo=text)


def is_export_of(path: Path, labels: str) -> bool:
    """Return whether a mask says that it was made of these labels."""
    return mark_of(path)[0] == labels


def is_untouched_export(path: Path) -> bool:
    """Return whether a mask has all the pixels that an export gave it."""
    pixels = mark_of(path)[1]
    return bool(pixels) and pixels == digest(read_mask(path).tobytes())


def replaces_no_work(export: Path, path: Path) -> bool:
    """Return whether no pixel that a person gave the mask at a path is lost under an export."""
    try:
        return is_untouched_export(path) or np.array_equal(read_mask(path), read_mask(export))
    except UserError:  # no mask of class numbers, so no export
        return False


def mark_of(path: Path) -> tuple[str, str]:
    """Return the hashes of the labels and pixels in a mask's mark; ("", "") without one."""
    with opened_mask(path) as image:
        labels, _, pixels = str(image.info.get(MARK, "")).partition(" ")
    return labels, pixels


def digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
