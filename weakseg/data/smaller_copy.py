"""A smaller copy of a folder of one's own, for pictures that are too large to be read whole.

One picture is in memory at a time. What is small enough already is copied as it is; a picture with
several pages, many channels or deep values keeps them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from weakseg.common import UserError
from weakseg.data.doubts.other_class_lists import READERS
from weakseg.data.download import copy_file, new_file, refuse_inside, refuse_other, shrunk
from weakseg.data.folder_files import (
    beside_masks,
    by_id,
    compared,
    files_below,
    folder_of_pictures,
    is_picture,
)
from weakseg.data.groups import FILE as GROUPS
from weakseg.data.groups import read_groups
from weakseg.data.image_io import (
    MOST_PIXELS,
    is_deep,
    opened,
    orientation,
    stored_mask,
    tiff_of,
    turn_upright,
    upright_size,
    values_of,
)
from weakseg.data.lists import read_ids
from weakseg.data.mask_lists import LIST, TABLE
from weakseg.data.split_lists import split_lists
from weakseg.data.tiff import SIDEWAYS, TiffStack, is_tiff, upright

EXPLAINING = (LIST, TABLE, *READERS)  # what numbers in masks beside them mean
EXACT = (np.uint8, np.uint16, np.float32, np.float64)  # what OpenCV resizes


def copy_folder(source: Path, target: Path, max_side: int) -> int:
    """Copy `images/`, `masks/`, `instances/`, classes.txt and lists -> the number of images.

    Images may lie in the folder itself, as `folder_of_pictures` says. No side of the copies has
    more than `max_side` pixels. What an earlier call wrote stays as it is; anything else that is
    there is a `UserError`.
    """
    from tqdm import tqdm

    if source.resolve() == target.resolve():
        raise UserError(
            f"--from_dir {source} and --data_dir {target} are one place; the smaller copy needs "
            "another"
        )
    is_named = (source / LIST).is_file()
    folder = folder_of_pictures(source) if is_named else source / "images"
    files = beside_masks(source) if folder == source else files_below(folder)
    images = by_id(filter(is_picture, files), folder)
    if not images:
        raise UserError(f"{folder}: no image is there; check --from_dir")
    refuse_inside(source, target)
    if not is_named:
        raise UserError(f"{source / 'classes.txt'}: is missing; write the classes, one a line")
    parts = {
        part: by_id(filter(is_png, files_below(source / part)), source / part)
        for part in ("masks", "instances")
    }
    refuse_strangers(target, images)
    if (target / "classes.txt").exists():
        refuse_other(source / "classes.txt", target / "classes.txt")
    for name, path in tqdm(images.items(), "copying", unit="image", leave=False):
        change = copy_image(path, f"{target / 'images' / name}", max_side)
        for part, masks in parts.items():
            if name in masks:
                copy_mask(masks[name], target / part / f"{name}.png", change)
    known = {compared(f"{name}{path.suffix}"): name for name, path in images.items()}
    for path in (path for paths in split_lists(source).values() for path in paths):
        lines = read_ids(path, first_word=False)
        write_lines(target / path.name, [known.get(compared(line), line) for line in lines])
    if (source / GROUPS).exists():
        groups = read_groups(source / GROUPS, images)
        write_lines(target / GROUPS, [f"{name}, {group}" for name, group in groups.items()])
    copy_file(source / "classes.txt", target / "classes.txt")
    places = {source, source / "masks", *(path.parent for path in parts["masks"].values())}
    for path in (place / name for place in places for name in EXPLAINING):
        if path.is_file():
            copy_file(path, target / path.relative_to(source))
    return len(images)


def refuse_strangers(target: Path, images: Collection[str]) -> None:
    """Refuse a folder that holds pictures, masks or objects of others than some images."""
    for part in ("images", "masks", "instances"):
        pictures = filter(is_picture, files_below(target / part))
        for name, path in by_id(pictures, target / part).items():
            if name not in images:
                raise UserError(
                    f"{path}: is of no picture that is copied; take another --data_dir, in which "
                    "no other pictures are"
                )


def is_png(path: Path) -> bool:
    """Return whether a file is a mask: they are PNGs."""
    return path.suffix.casefold() == ".png"


@dataclass(frozen=True)
class Change:
    """What became of a photograph: (width, height) as stored, its turn, and its size afterwards.

    size: None where it was copied as it is
    """

    stored: tuple[int, int]
    turn: int
    size: tuple[int, int] | None


def copy_image(path: Path, target: str, max_side: int) -> Change:
    """Copy a photograph; target: the path without a suffix."""
    if is_tiff(path):
        with tiff_of(path, MOST_PIXELS) as stack:
            if not stack.is_plain or len(stack.pages) > 1:
                return copy_stack(stack, path, target, max_side)
    with opened(path, most=MOST_PIXELS) as image:
        stored, turn, whole = image.size, orientation(image), upright_size(image)
        size = shrunk(whole, max_side)
        if size == whole:
            copy_new(path, Path(f"{target}{path.suffix}"))
            return Change(stored, turn, None)
        if is_deep(image):
            values = upright(values_of(image, path), turn)
            write_tiff(Path(f"{target}.tif"), [resized(values, size)], values.shape[2] >= 3)
            return Change(stored, turn, size)
        is_jpeg = image.format in ("JPEG", "MPO")
        if is_jpeg:  # decoded at a half, a quarter or an eighth where that is enough
            width, height = shrunk(stored, max_side)
            image.draft(image.mode, (2 * width, 2 * height))
        turn_upright(image, turn)
        smaller = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    options: dict[str, Any] = {"quality": 95} if is_jpeg else {}
    with new_file(Path(f"{target}{'.jpg' if is_jpeg else '.png'}")) as temporary:
        smaller.save(temporary, **options)
    return Change(stored, turn, size)


def copy_new(source: Path, target: Path) -> None:
    """Copy bytes as they are, to where nothing else is."""
    refuse_other(source, target)
    copy_file(source, target)


def copy_stack(stack: TiffStack, path: Path, target: str, max_side: int) -> Change:
    """Copy a TIFF file with all its pages and channels, without thumbnails."""
    size = shrunk(stack.size, max_side)
    if size == stack.size:
        copy_new(path, Path(f"{target}{path.suffix}"))
        return Change(size, stack.turn, None)
    pages = [resized(stack.read(number), size) for number in range(len(stack.pages))]
    write_tiff(Path(f"{target}.tif"), pages, stack.colours == 3)
    stored = stack.size[::-1] if stack.turn >= 5 else stack.size
    return Change(stored, stack.turn, size)


def copy_mask(path: Path, target: Path, change: Change) -> None:
    """Copy a mask, or the numbers of objects, as its photograph was copied."""
    if change.size is None:
        copy_new(path, target)
        return
    whole = change.stored[::-1] if change.turn in SIDEWAYS else change.stored
    with stored_mask(path, MOST_PIXELS) as mask:
        # A mask drawn over the stored pixels turns with them; one that lies upright stays.
        turn_upright(mask, change.turn if mask.size == change.stored != whole else None)
        if mask.size != whole:
            sizes = [f"{width}x{height}" for width, height in (mask.size, whole)]
            raise UserError(
                f"{path}: the mask is {sizes[0]} but the upright image is {sizes[1]}; save the two "
                "in one size and orientation"
            )
        with new_file(target) as temporary:
            mask.resize(change.size, Image.Resampling.NEAREST).save(temporary)


def resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return values [H, W, C] averaged down to a size (width, height), of the same kind."""
    import cv2

    exact = values if values.dtype in EXACT else values.astype(np.float64)
    channels = [
        cv2.resize(np.ascontiguousarray(exact[..., number]), size, interpolation=cv2.INTER_AREA)
        for number in range(values.shape[2])
    ]
    smaller = np.stack(channels, axis=2)
    return smaller if smaller.dtype == values.dtype else smaller.round().astype(values.dtype)


def write_tiff(path: Path, pages: Sequence[np.ndarray], is_colour: bool) -> None:
    """Write pages [H, W, C] of any depth, atomically; is_colour: the first channels are RGB."""
    import tifffile

    with new_file(path) as temporary, tifffile.TiffWriter(temporary) as file:
        for page in pages:
            file.write(
                page if page.shape[2] > 1 else page[..., 0],
                photometric="rgb" if is_colour else "minisblack",
                planarconfig="contig" if page.shape[2] > 1 else None,
                compression="zlib",
                metadata=None,
                contiguous=False,
            )


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write a list atomically."""
    with new_file(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
