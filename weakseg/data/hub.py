"""A data set of the Hugging Face hub, written once as a folder of images and masks."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from weakseg.common import IGNORE, UserError, atomic_path, reason
from weakseg.data.datasets import Voc
from weakseg.data.ids import check_id
from weakseg.data.image_io import opened, orientation, turn_upright

DONE = "complete.txt"  # of an exported folder: what it was made of


@dataclass(frozen=True)
class HubSource:
    """A data set on the hub: its id, the columns of images and masks, and the split to test on."""

    id: str
    image: str
    mask: str
    test: str


def export_hub(source: HubSource, data_dir: str | Path) -> Path:
    """Write a hub's segmentation data set as a folder below `data_dir`, once; return the folder."""
    folder = Path(data_dir) / source.id.replace("/", "--")
    described = f"{source.id} {source.image} {source.mask} {source.test}\n"
    if (folder / DONE).exists() and (folder / DONE).read_text() == described:
        return folder
    splits = load_hub(source.id)
    if source.test not in splits or len(splits) < 2:
        raise UserError(
            f"data.hub_test {source.test}: {source.id} has the splits {', '.join(splits)}; "
            "name one, of two or more"
        )
    (folder / DONE).unlink(missing_ok=True)  # what is there is now overwritten
    write_folder(folder, splits, source)
    with atomic_path(folder / DONE) as temporary:
        temporary.write_text(described)
    return folder


def load_hub(name: str) -> Any:
    """Return the `DatasetDict` of a hub id, downloaded once by 🤗 datasets."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return load_dataset(name)
    # RuntimeError: a data set that is a script.
    except (OSError, ValueError, RuntimeError, HfHubHTTPError, DatasetsError) as error:
        why = reason(error, 120)
        raise UserError(
            f"data.source {name}: the hub's data set could not be loaded ({why}); "
            "give a folder instead, or 'shapes' for the drawn set, which needs no network"
        ) from error


def write_folder(folder: Path, splits: Mapping[str, Any], source: HubSource) -> None:
    """Write images, masks, classes.txt and the lists in the layout of `weakseg.data.Folder`."""
    from datasets import Image as ImageColumn
    from tqdm import tqdm

    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    for split, table in splits.items():
        check_columns(table, source)
        for column in (source.image, source.mask):  # their bytes are opened as all pictures are
            table = table.cast_column(column, ImageColumn(decode=False))
        for index, row in enumerate(tqdm(table, desc=f"{source.id} {split}", unit="img")):
            name = check_id(f"{split}_{index:06d}", source.id, "take another data set")
            with pictures_of(row, source, name) as (image, mask):
                save_image(folder / "images" / f"{name}.png", image.convert("RGB"))
                numbers = Image.fromarray(class_numbers(mask, name))
                save_image(folder / "masks" / f"{name}.png", numbers)
            lists["test" if split == source.test else "trainval"].append(name)
    for file, lines in {"classes": Voc.all_classes, **lists}.items():
        with atomic_path(folder / f"{file}.txt") as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines))


@contextlib.contextmanager
def pictures_of(
    row: Mapping[str, Any], source: HubSource, name: str
) -> Iterator[tuple[Image.Image, Image.Image]]:
    """Open the image and the mask in a row of a table, both upright; name: for messages."""
    with contextlib.ExitStack() as stack:
        image, mask = (
            stack.enter_context(opened(f"{source.id}, {name}, {column}", bytes_of(row[column])))
            for column in (source.image, source.mask)
        )
        turn = orientation(image) if mask.size == image.size else 1
        turn_upright(image)
        turn_upright(mask, turn)
        yield image, mask


def bytes_of(cell: Mapping[str, Any]) -> bytes:
    """Return the file of a picture, b"" where there is none.

    cell: {"bytes", "path"}. A table may name a file, but only one that was downloaded with it.
    """
    from datasets import config

    path, cache = Path(cell["path"] or ""), Path(config.HF_CACHE_HOME).resolve()
    if cell["bytes"] is None and path.is_file() and path.resolve().is_relative_to(cache):
        return path.read_bytes()
    return cell["bytes"] or b""


def check_columns(table: Any, source: HubSource) -> None:
    """Refuse a split whose table lacks the columns of images and masks."""
    from datasets import Image as ImageColumn

    columns = [name for name, kind in table.features.items() if isinstance(kind, ImageColumn)]
    for column in (source.image, source.mask):
        if column not in columns:
            raise UserError(
                f"data.hub_image, data.hub_mask: {source.id} has no column {column!r} of images "
                f"but {', '.join(columns) or 'none at all'}"
            )


def save_image(path: Path, image: Image.Image) -> None:
    """Write a PNG atomically."""
    with atomic_path(path) as temporary:
        image.save(temporary)


def voc_colours() -> np.ndarray:
    """Return VOC's colour map [256, 3] uint8.

    The bits of a class number go by turns to red, green and blue, from their top bits down.
    """
    numbers = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            set_bits = (numbers >> (3 * bit + channel)) & 1
            colours[:, channel] |= (set_bits << (7 - bit)).astype(np.uint8)
    return colours


def class_numbers(mask: Image.Image, name: str) -> np.ndarray:
    """Return [H, W] uint8 classes (255 = void) of a mask of class numbers or of VOC's colours."""
    if mask.mode in ("P", "L"):
        return np.asarray(mask)
    values = np.asarray(mask.convert("RGB")).astype(np.int64) @ (1 << 16, 1 << 8, 1)
    keys = voc_colours().astype(np.int64) @ (1 << 16, 1 << 8, 1)
    class_of = {int(keys[number]): number for number in (*range(len(Voc.all_classes)), IGNORE)}
    colours, inverse = np.unique(values, return_inverse=True)
    strange = [colour for colour in colours.tolist() if colour not in class_of]
    if strange:
        raise UserError(
            f"{name}: its mask holds the colour #{strange[0]:06x}, which is none of VOC's classes"
        )
    classes = np.array([class_of[colour] for colour in colours.tolist()], np.uint8)
    return classes[inverse].reshape(values.shape)
