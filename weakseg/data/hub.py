"""A data set of the Hugging Face hub, written once as a folder of images and masks."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from weakseg.common import UserError, atomic_path, reason
from weakseg.data.hub_classes import HubClasses, class_numbers
from weakseg.data.ids import check_id
from weakseg.data.image_io import LOSSY, opened, orientation, turn_upright
from weakseg.data.palettes import Palettes
from weakseg.hub_access import quick_download

DONE = "complete.txt"  # of an exported folder: what it was made of


@dataclass(frozen=True)
class HubSource:
    """A data set on the hub: its id, its columns, its splits, and the names of its classes.

    image, mask  the columns of photographs and of masks
    test         the split to test on
    train        the splits to train on; what is in neither is not used
    classes      the names of the mask's numbers, from 0; none: those that its features tell
    """

    id: str
    image: str
    mask: str
    test: str
    train: tuple[str, ...] = ("train",)
    classes: tuple[str, ...] = ()


def export_hub(source: HubSource, data_dir: str | Path) -> Path:
    """Write a hub's segmentation data set as a folder below `data_dir`, once; return the folder."""
    folder = Path(data_dir) / source.id.replace("/", "--")
    described = f"{json.dumps(asdict(source))}\n"
    if (folder / DONE).exists() and (folder / DONE).read_text() == described:
        return folder
    splits = chosen_splits(load_hub(source.id), source)
    (folder / DONE).unlink(missing_ok=True)  # what is there is now overwritten
    write_folder(folder, splits, source)
    with atomic_path(folder / DONE) as temporary:
        temporary.write_text(described)
    return folder


def chosen_splits(splits: Mapping[str, Any], source: HubSource) -> dict[str, Any]:
    """Return the tables of the splits to train on and, last, of the one to test on."""
    for key, names in (("data.hub_train", source.train), ("data.hub_test", (source.test,))):
        missing = [name for name in names if name not in splits]
        if missing or not names:
            raise UserError(
                f"{key} {', '.join(missing)}: {source.id} has the splits {', '.join(splits)}; "
                "name some of them"
            )
    if source.test in source.train:
        raise UserError(
            f"data.hub_test {source.test}: is in data.hub_train too; {source.id} has the splits "
            f"{', '.join(splits)}"
        )
    chosen = [*dict.fromkeys(source.train), source.test]
    if unused := [name for name in splits if name not in chosen]:
        print(f"{source.id}: not used: {', '.join(unused)} (data.hub_train, data.hub_test)")
    return {name: splits[name] for name in chosen}


def load_hub(name: str) -> Any:
    """Return the `DatasetDict` of a hub id, downloaded once by 🤗 datasets."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HfHubHTTPError

    try:
        with quick_download():
            return load_dataset(name)
    # RuntimeError: a data set that is a script.
    except (OSError, ValueError, RuntimeError, HfHubHTTPError, DatasetsError) as error:
        why = reason(error, 120)
        raise UserError(
            f"data.source {name}: the hub's data set could not be loaded ({why}); "
            "give a folder instead, or 'shapes' for the drawn set, which needs no network"
        ) from error


def write_folder(folder: Path, splits: Mapping[str, Any], source: HubSource) -> None:
    """Write images, masks, classes.txt and the lists in the layout of `weakseg.data.Folder`.

    An image that is there twice is kept once where it is to be trained on; one that is to be
    trained on and to be tested on is refused.
    """
    from datasets import Image as ImageColumn
    from tqdm import tqdm

    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    seen: dict[str, tuple[str, str]] = {}  # digest of the pixels -> (list, name)
    names = HubClasses(source.id, source.classes, next(iter(splits.values())).features)
    names.refuse_others(splits)
    palettes = Palettes(flag="data.mask_values")
    for split, table in splits.items():
        check_columns(table, source)
        goal, repeats = "test" if split == source.test else "trainval", 0
        for column in (source.image, source.mask):  # their bytes are opened as all pictures are
            table = table.cast_column(column, ImageColumn(decode=False))
        for index, row in enumerate(tqdm(table, desc=f"{source.id} {split}", unit="img")):
            name = check_id(f"{split}_{index:06d}", source.id, "take another data set")
            with pictures_of(row, source, name) as (image, mask):
                earlier, first = seen.setdefault(pixel_digest(image), (goal, name))
                if earlier != goal:
                    raise UserError(
                        f"{source.id}: {first} and {name} are the same image, one to be trained "
                        "on and one to be tested on; choose other data.hub_train and "
                        "data.hub_test, or write a folder without the one of them"
                    )
                if goal == "trainval" and first != name:
                    repeats += 1
                    continue
                refuse_lossy(mask, name)
                numbers = class_numbers(mask, name)
                names.check(row, mask, numbers, name)
                if mask.mode == "P":
                    colours = mask.getpalette("RGB") or []
                    palettes.add_table(colours, np.unique(numbers).tolist(), name)
                save_image(folder / "images" / f"{name}.png", without_loss(image, name))
                save_image(folder / "masks" / f"{name}.png", Image.fromarray(numbers))
            lists[goal].append(name)
        if repeats:
            print(f"{source.id}: {repeats} images of {split} are there twice and are left out")
    for file, lines in {"classes": names.names(), **lists}.items():
        with atomic_path(folder / f"{file}.txt") as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def refuse_lossy(mask: Image.Image, name: str) -> None:
    """Refuse a mask in a format that changes the values which are stored."""
    if mask.format in LOSSY:
        raise UserError(
            f"{name}: its mask is a {mask.format}, which blurs class numbers; take another column "
            "(data.hub_mask), or another data set"
        )


def pixel_digest(image: Image.Image) -> str:
    """Return a hash of a picture's pixels, whatever file they stand in."""
    pixels = image.convert("RGB")
    return hashlib.sha256(repr(pixels.size).encode() + pixels.tobytes()).hexdigest()


def without_loss(image: Image.Image, name: str) -> Image.Image:
    """Return a picture in a mode that a PNG keeps; depths of 16 bits stay."""
    if image.mode == "F":
        raise UserError(
            f"{name}: its image holds fractions; write the data set as a folder of TIFF"
        )
    if not image.mode.startswith("I"):
        return image.convert("RGB")
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise UserError(f"{name}: its image holds values outside 0 to 65535")
    return Image.fromarray(values.astype(np.uint16))


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
