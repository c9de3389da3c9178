"""Photographs that EXIF turns beside masks that may be drawn on the pixels as they are stored.

A mask of the other size is refused. Half a turn, a mirror image, and any turn of a square fit
either way, so that nobody else can tell.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from weakseg.common import UserError
from weakseg.data.image_io import MAX_PIXELS, image_size, opened, orientation, tiff_of
from weakseg.data.tiff import SIDEWAYS, is_tiff

START, MARK, METADATA, PIXELS = b"\xff\xd8", b"\xff", b"\xe1", b"\xda"  # of a JPEG and its blocks


def turned_notes(root: Path, pairs: Iterable[tuple[Path, Path]]) -> list[str]:
    """Return a line on photographs that EXIF turns, if their masks, which it doesn't, fit anyhow.

    Where the mask of another one fits the upright photograph alone, masks are drawn on those. Files
    that can't be read are left to who needs them.

    root: of the data set; pairs: (photograph, its mask)
    """
    doubtful = []
    for photograph, mask in pairs:
        try:
            turn = turn_of(photograph)
            if turn == 1 or turn_of(mask) != 1:
                continue
            size = image_size(photograph)
            fits = size == image_size(mask)
        except UserError:
            continue
        if fits and turn in SIDEWAYS and size[0] != size[1]:
            return []
        if fits:
            doubtful.append(photograph)
    if not doubtful:
        return []
    return [
        f"{root}: EXIF turns {len(doubtful)} photographs, the first "
        f"{doubtful[0].relative_to(root)}, but not their masks, which fit turned or not; if masks "
        "were drawn on the pixels as stored, take the orientation out of these photographs"
    ]


def is_plain_jpeg(path: Path) -> bool:
    """Return whether a file is a JPEG whose header has no block that may say how it is turned."""
    try:
        if not path.is_file():  # opening a pipe waits for whoever writes into it
            return False
        with path.open("rb") as file:
            if file.read(2) != START:
                return False
            while (head := file.read(4))[:1] == MARK and head[1:2] not in (METADATA, PIXELS):
                if (length := int.from_bytes(head[2:], "big")) < 2:  # it is cut, or damaged
                    return False
                file.seek(length - 2, os.SEEK_CUR)
            return head[:2] == MARK + PIXELS
    except OSError:  # whoever reads it says why
        return False


def turn_of(path: Path) -> int:
    """Return the EXIF orientation of a picture, 1 where it is stored upright, from its header."""
    if is_plain_jpeg(path):  # which is far quicker to tell
        return 1
    if is_tiff(path):
        with tiff_of(path, MAX_PIXELS) as stack:
            return stack.turn
    with opened(path) as image:
        return orientation(image)
