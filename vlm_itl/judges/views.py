"""How a mask is shown to a vision-language model: the views, drawn and encoded."""

import base64
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from vlm_itl.judges.colours import Paint, painted, write_marks
from weakseg.common import IGNORE, UserError
from weakseg.reporting import pictures, style

# Share of the object's longer side, on each side; pixels of the mask.
CROP_MARGIN, CROP_MINIMUM = 0.15, 16

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels of the photograph, two exclusive
Size = tuple[int, int]  # (width, height) of the photograph


def foreground(*masks: np.ndarray) -> list[int]:
    """Return the foreground classes that occur in any of `masks` [H, W], ascending."""
    return [int(label) for label in np.unique(np.stack(masks)) if label not in (0, IGNORE)]


def contour(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return an image [H, W, 3] uint8 with the classes of a mask [H, W] uint8 outlined.

    Each line has its class's colour and a white rim.
    """
    drawn, width = image.copy(), max(2, round(max(mask.shape) / 170))
    lines = {}
    for label in foreground(mask):
        inside = (mask == label).astype(np.uint8)
        lines[label], _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, lines[label], -1, (255, 255, 255), width + 2)
    for label, line in lines.items():
        cv2.drawContours(drawn, line, -1, style.palette(label + 1)[label].tolist(), width)
    return drawn


def photo(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the image alone."""
    return image


def whole_box(size: Size, *masks: np.ndarray) -> Box:
    """Return the box of the whole photograph."""
    return 0, 0, *size


def crop_box(size: Size, *masks: np.ndarray) -> Box:
    """Return a box around the foreground of all `masks` [h, w], in pixels of the photograph.

    It has a margin, and is square where the photograph has room. It is the whole photograph where
    there is no foreground.
    """
    covered = np.any([(mask != 0) & (mask != IGNORE) for mask in masks], axis=0)
    if not covered.any():
        return whole_box(size)
    # The outermost pixels of the foreground, brought to the photograph.
    ends = []
    for length, cells, axis in zip(size, covered.shape[::-1], (0, 1), strict=True):
        at, scale = np.flatnonzero(covered.any(axis)), length / cells
        ends.append((int(at[0] * scale), min(length, math.ceil((at[-1] + 1) * scale)), scale))
    longer = max(end - start for start, end, _ in ends)
    smallest = round(CROP_MINIMUM * max(scale for *_, scale in ends))
    side = max(smallest, round(longer * (1 + 2 * CROP_MARGIN)))

    def interval(start: int, end: int, length: int) -> tuple[int, int]:
        room = min(side, length)
        first = min(max(0, (start + end - room) // 2), length - room)
        return first, first + room

    (x0, x1), (y0, y1) = (
        interval(*end[:2], length) for end, length in zip(ends, size, strict=True)
    )
    return x0, y0, x1, y1


class View(NamedTuple):
    """One way to show a mask.

    title  what it is called in the prompt
    box    the part of the photograph that it shows, for one mask or for both of a pair
    draw   (image [h, w, 3] uint8, mask [h, w] uint8) -> picture [h, w, 3] uint8
    """

    title: str
    box: Callable[..., Box]
    draw: Callable[[np.ndarray, np.ndarray], np.ndarray]


VIEWS: Mapping[str, View] = {
    "photo": View("the photograph without any mask", whole_box, photo),
    "overlay": View("the photograph tinted with the predicted mask", whole_box, pictures.overlay),
    "contour": View("the photograph with the outlines of the predicted mask", whole_box, contour),
    "crop": View("the outlines, enlarged around the predicted foreground", crop_box, contour),
}
ALL_VIEWS = tuple(VIEWS)


@dataclass(frozen=True)
class Look:
    """How masks are shown.

    views   which `VIEWS`, in this order
    side    pixels of the longer side of one mask's picture
    format  which of `MEDIA`
    """

    views: tuple[str, ...] = ALL_VIEWS
    side: int = 512
    format: str = "png"

    def __post_init__(self) -> None:
        unknown = [view for view in self.views if view not in VIEWS]
        if unknown or not self.views:
            raise UserError(
                f"vlm_itl.vlm_options.views: {unknown or 'empty'}; choose from {', '.join(VIEWS)}"
            )


def draw_panel(
    view: View,
    photograph: np.ndarray,
    mask: np.ndarray,
    box: Box,
    side: int,
    shown: Mapping[int, Paint],
) -> np.ndarray:
    """Return a view of a mask whose longer side is `side` pixels, at the photograph's own aspect.

    photograph: [H, W, 3] uint8; mask: [h, w] uint8 of the whole photograph, in any size
    box: the part of the photograph that is shown; shown: the classes' `Paint`
    """
    x0, y0, x1, y1 = box
    scale = side / max(x1 - x0, y1 - y0)
    size = max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))
    image = Image.fromarray(photograph).resize(size, Image.Resampling.BICUBIC, box, reducing_gap=3)
    height, width = photograph.shape[:2]
    across, down = mask.shape[1] / width, mask.shape[0] / height
    part = resized_mask(
        painted(mask, shown), size, (x0 * across, y0 * down, x1 * across, y1 * down)
    )
    picture = view.draw(np.array(image), part)
    if view.draw is not photo:
        write_marks(picture, part, shown)
    return picture


def resized_mask(
    mask: np.ndarray, size: Size, box: tuple[float, float, float, float]
) -> np.ndarray:
    """Return a box of a mask [h, w] uint8 at another size (width, height), with smooth outlines.

    Each pixel has the class that most of its surroundings have. Enlarged by its nearest pixels, a
    mask would show stairs that nobody predicted.
    """
    labels = np.unique(mask)
    most, result = None, np.full(size[::-1], labels[0], np.uint8)
    for label in labels:
        plane = Image.fromarray((mask == label).astype(np.float32))
        share = np.asarray(plane.resize(size, Image.Resampling.BILINEAR, box))
        if most is None:
            most = share.copy()
            continue
        result[share > most] = label
        np.maximum(most, share, out=most)
    return result


def side_by_side(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return two pictures [h, w, 3] as one, with a gap between them and a letter above each."""
    height, width = first.shape[:2]
    gap, head = max(2, width // 32), max(12, width // 16)
    sheet = np.full((head + height, 2 * width + gap, 3), 255, np.uint8)
    for letter, left, panel in (("A", 0, first), ("B", width + gap, second)):
        sheet[head:, left : left + width] = panel
        cv2.putText(
            sheet,
            letter,
            (left + 2, head - head // 4),
            cv2.FONT_HERSHEY_SIMPLEX,
            head / 32,
            (0, 0, 0),
            max(1, head // 16),
            cv2.LINE_AA,
        )
    return sheet


class Medium(NamedTuple):
    """A file format of pictures: its MIME type, file suffix, and parameters of OpenCV."""

    mime: str
    suffix: str
    parameters: tuple[int, ...]


MEDIA: Mapping[str, Medium] = {
    "png": Medium("image/png", ".png", ()),
    "jpeg": Medium("image/jpeg", ".jpg", (cv2.IMWRITE_JPEG_QUALITY, 92)),
}


def encode(image: np.ndarray, format: str = "png") -> bytes:
    """Return `image` [H, W, 3] uint8 RGB as the bytes of a file in one of `MEDIA`."""
    medium = MEDIA[format]
    bgr = np.ascontiguousarray(image[..., ::-1])
    done, data = cv2.imencode(medium.suffix, bgr, medium.parameters)
    if not done:
        raise ValueError(f"an image of shape {image.shape} can't be written as {format}")
    return data.tobytes()


def data_url(image: np.ndarray, format: str = "png") -> str:
    """Return `image` [H, W, 3] uint8 RGB as a base64 data URL."""
    return f"data:{MEDIA[format].mime};base64,{base64.b64encode(encode(image, format)).decode()}"
