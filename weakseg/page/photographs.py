"""The photographs as the page shows them: at screen size, and cut out of the original."""

import io
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from weakseg.common import UserError
from weakseg.data.base import SegmentationDataset
from weakseg.data.contents import ABSENT, content_of

SIDES = (320, 800, 1600)  # pixels of the longer side, at most
SMALL = 512  # pixels: a picture up to this long is sent as PNG, so that no pixel is changed
QUALITY = 90
LARGEST_CUTOUT = 512
DECODED, SENT = 6, 64  # pictures that stay in memory, decoded and as files


class Photographs:
    """The photographs of a session, by index; those that can't be read are named in `unreadable`.

    names: ids in the order of the session
    """

    def __init__(self, dataset: SegmentationDataset, names: Sequence[str]) -> None:
        self.dataset, self.unreadable = dataset, {}
        self.names: list[str] = []
        self.sizes: list[tuple[int, int]] = []
        for name in names:
            try:
                size = dataset.image_size(name)
            except UserError as error:
                self.unreadable[name] = str(error)
                continue
            self.names.append(name)
            self.sizes.append(size)
        self.index = {name: number for number, name in enumerate(self.names)}
        self.pixels = lru_cache(DECODED)(self._pixels)
        self.at_screen_size = lru_cache(SENT)(self._at_screen_size)

    def __len__(self) -> int:
        return len(self.names)

    def listed(self, first: int, count: int) -> list[dict[str, Any]]:
        """Return index, name and size of pictures."""
        rows = range(first, min(first + count, len(self)))
        return [{"index": i, "name": self.names[i], **self.size(i)} for i in rows]

    def size(self, index: int) -> dict[str, int]:
        """Return {"width", "height"} of a picture, original pixels."""
        width, height = self.sizes[index]
        return {"width": width, "height": height}

    def held(self, name: str) -> str:
        """Return what the file of a photograph holds, `ABSENT` where it can't be read."""
        try:
            return content_of(self.dataset.image_path(name), is_whole=False)
        except UserError:
            return ABSENT

    def _pixels(self, index: int) -> np.ndarray:
        """Return a photograph [H, W, 3] uint8."""
        return np.asarray(self.dataset.image(self.names[index]))

    def in_detail(self, index: int, side: int) -> tuple[str, bytes]:
        """Return what `at_screen_size` does, of any size; it is large, and not kept."""
        return self._at_screen_size(index, side)

    def _at_screen_size(self, index: int, side: int) -> tuple[str, bytes]:
        """Return (content type, file) of a photograph that is at most so many pixels long."""
        image = Image.fromarray(self.pixels(index))
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        is_small, file = max(image.size) <= SMALL and side > SIDES[0], io.BytesIO()
        if is_small:
            image.save(file, "PNG", compress_level=1)
        else:
            image.save(file, "JPEG", quality=QUALITY)
        return "image/png" if is_small else "image/jpeg", file.getvalue()

    def cutout(self, index: int, place: tuple[int, int], side: int) -> bytes:
        """Return a PNG of a square of the original whose middle pixel is the place's.

        Beyond the picture's edge it is transparent.
        """
        pixels, (x, y) = self.pixels(index), place
        square = np.zeros((side, side, 4), np.uint8)
        left, top = x - side // 2, y - side // 2
        part = pixels[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)]
        row, column = max(0, -top), max(0, -left)
        inside = slice(row, row + part.shape[0]), slice(column, column + part.shape[1])
        square[inside] = np.dstack([part, np.full(part.shape[:2], 255, np.uint8)])
        file = io.BytesIO()
        Image.fromarray(square).save(file, "PNG", compress_level=1)
        return file.getvalue()
