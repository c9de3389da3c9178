"""The data sets, all behind one contract, and the flags that choose one.

To add one, write a subclass of `SegmentationDataset` and name it in `DATASETS`.
"""

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self, get_type_hints

import numpy as np
from pydantic import TypeAdapter, ValidationError

from weakseg.common import IGNORE, UserError, choose, printable
from weakseg.data.base import SegmentationDataset
from weakseg.data.doubts.other_class_lists import agreed_by_palettes, lists_in, refuse_other_names
from weakseg.data.doubts.unread_lists import others
from weakseg.data.folder import Folder
from weakseg.data.ids import check_id
from weakseg.data.lists import NO_BACKGROUND, numbered_lines, read_ids
from weakseg.data.mask_classes import MaskClasses
from weakseg.data.reading import Reading, add_reading_arguments
from weakseg.validation import shorten


class Pets(SegmentationDataset):
    """Oxford-IIIT Pet (Parkhi et al., CVPR 2012), as it is unpacked.

    It has `images/*.jpg`, `annotations/trimaps/*.png` and the official lists. Trimaps hold 1 pet,
    2 background, 3 border (ignored). Classes: background and pet, or with --classes species
    background, cat and dog. Every image holds a pet, so the tag is the species, or the breed with
    --tag_set breed.

    facts: {id: (species, breed)}
    trimap: [256] uint8, numbers of a trimap -> 1 pet, 0 background, 255 ignored
    """

    name = "pets"
    by_image = ("facts",)
    species: ClassVar[tuple[str, ...]] = ("cat", "dog")
    trimap: ClassVar[np.ndarray] = np.array([IGNORE, 1, 0, *[IGNORE] * 253], np.uint8)
    facts: dict[str, tuple[str, str]]

    def read_lists(self) -> None:
        self.lists, self.facts = {}, {}
        for split in ("trainval", "test"):
            path = self.root / "annotations" / f"{split}.txt"
            self.lists[split] = []
            for number, line in numbered_lines(path):
                words, place = line.split(), f"{path}, line {number}"
                if len(words) != 4 or words[2] not in ("1", "2"):
                    raise UserError(
                        f"{place}: {line!r} is not 'name class species breed', species 1 or 2"
                    )
                name = check_id(words[0], place, "mend the list")
                breed = name.rsplit("_", 1)[0]
                self.lists[split].append(name)
                self.facts[name] = (self.species[int(words[2]) - 1], breed)

    def set_classes(self, classes: list[str], tag_set: str) -> None:
        choose(classes, ("species",), "--classes")
        choose([tag_set], ("default", "species", "breed"), "--tag_set")
        self.class_names = ["background", *(self.species if classes else ["pet"])]
        self.by_breed = tag_set == "breed"
        species_of = {name: name for name in self.species}
        if self.by_breed:
            species_of = {breed: species for species, breed in self.facts.values()}
        self.tag_names = sorted(species_of)
        self.tag_class = [self._class_of(species_of[tag]) for tag in self.tag_names]

    def _class_of(self, species: str) -> int:
        return self.class_names.index(species) if species in self.class_names else 1

    def stratum(self, name: str) -> tuple[str, ...]:
        return self.facts[name]

    def tags(self, name: str) -> tuple[str, ...]:
        return (self.facts[name][self.by_breed],)

    def image_path(self, name: str) -> Path:
        return self.root / "images" / f"{name}.jpg"

    def mask_path(self, name: str) -> Path:
        return self.root / "annotations" / "trimaps" / f"{name}.png"

    def class_numbers(self, path: Path) -> np.ndarray:
        return self.trimap[super().class_numbers(path)]

    def lookup(self, name: str) -> np.ndarray:
        table = np.full(256, -1, np.int16)
        table[1:4] = self._class_of(self.facts[name][0]), 0, IGNORE
        return table


class Voc(MaskClasses):
    """PASCAL VOC 2012 segmentation (Everingham et al., IJCV 2015), as it is unpacked.

    It is trained on `train_aug.txt` if there is one, else on `train.txt`, and tested on `val.txt`.
    Tags come from the masks, so every listed mask must be there.
    """

    name = "voc"
    all_classes = (
        "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse "
        "motorbike person pottedplant sheep sofa train tvmonitor"
    ).split()

    def read_lists(self) -> None:
        self.folder = next(
            (folder for folder in voc_folders(self.root) if (folder / "ImageSets").is_dir()),
            self.root,
        )
        sets = self.folder / "ImageSets" / "Segmentation"
        train = sets / "train_aug.txt"
        paths = {
            "trainval": train if train.exists() else sets / "train.txt",
            "test": sets / "val.txt",
        }
        self.lists = {split: read_ids(path) for split, path in paths.items()}
        own = lists_in([self.folder])
        masks = [*map(self.mask_path, self.lists["test"])] if own else []
        agreed_by_palettes(own, "Pascal VOC", self.all_classes, masks, are_fixed=True)

    def check_shown(self, first: int) -> None:
        folders = self.folder, self.folder / "SegmentationClass"
        refuse_other_names(folders, "Pascal VOC", self.all_classes, self.shown.values())
        super().check_shown(first)

    def image_path(self, name: str) -> Path:
        return self.folder / "JPEGImages" / f"{name}.jpg"

    def mask_path(self, name: str) -> Path:
        return self.folder / "SegmentationClass" / f"{name}.png"


def voc_folders(root: Path) -> tuple[Path, ...]:
    """Return where a VOC 2012 tree may lie below `root`."""
    return root / "VOCdevkit" / "VOC2012", root / "VOC2012", root


DATASETS: dict[str, type[SegmentationDataset]] = {cls.name: cls for cls in (Pets, Voc, Folder)}


@dataclass(frozen=True)
class DataOptions:
    """Which data set, which of its classes, and which split: the flags that all commands share."""

    data_dir: str = "./data"
    dataset: str = "auto"
    classes: tuple[str, ...] = ()
    tag_set: str = "default"
    val_fraction: float = 0.1
    split_seed: int = 0
    cache_dir: str = "./data/.cache"
    no_background: bool = False
    mask_values: tuple[str, ...] = ()
    mask_ignore: str | None = None
    page: int | None = None
    channels: tuple[int, ...] | None = None
    value_range: tuple[float, ...] | None = None
    class_names: tuple[str, ...] = ()

    @property
    def reading(self) -> Reading:
        """How photographs are read."""
        return Reading(self.page, self.channels, self.value_range)

    def of_data(self, dataset: SegmentationDataset) -> Self:
        """Return these options with what the data set itself decided: the range of its values."""
        return replace(self, value_range=dataset.reading.value_range)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "DataOptions":
        """Take these options out of others, as a command line or a result file gives them."""
        known = {field.name: given[field.name] for field in fields(cls) if field.name in given}
        known |= {name: known.get(name) or () for name in ("classes", "class_names")}
        known |= {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
        return cls(**known)


KINDS = get_type_hints(DataOptions)  # {option: type}


def faults_of_options(given: Mapping[str, Any]) -> list[str]:
    """Return, in words, which of the data's options are damaged in a file that records them."""
    faults = []
    for name, value in vars(DataOptions.of(given)).items():
        try:
            TypeAdapter(KINDS[name]).validate_python(value, strict=True)
        except ValidationError:
            faults.append(f"the setting {name} is {shorten(repr(value))}")
    return faults


def open_dataset(options: DataOptions) -> SegmentationDataset:
    """Return the data set that the options describe; 'auto' looks at the folder."""
    root = Path(options.data_dir)
    name = options.dataset if options.dataset != "auto" else detect(root, bool(options.class_names))
    dataset = DATASETS[name](
        root,
        list(options.classes),
        options.tag_set,
        options.cache_dir,
        val_fraction=options.val_fraction,
        split_seed=options.split_seed,
        without_background=options.no_background,
        mask_values=options.mask_values,
        mask_ignore=options.mask_ignore,
        reading=options.reading,
        named=options.class_names,
    )
    if options.dataset != "auto":
        dataset.flags += ["--dataset", name]
    return dataset


def say(lines: Iterable[str]) -> None:
    """Print lines for people, each once."""
    for line in dict.fromkeys(lines):
        print(printable(line))


def detect(root: Path, is_named: bool = False) -> str:
    """Tell from its layout which data set lies in `root`.

    is_named: whether it is known which classes there are; then a folder of pictures is enough
    """
    if (root / "annotations" / "trimaps").is_dir():
        return "pets"
    if any((folder / "SegmentationClass").is_dir() for folder in voc_folders(root)):
        return "voc"
    if (root / "classes.txt").exists() or (is_named and root.is_dir()):
        return "folder"
    unread = [*others(root)]
    besides = f", and {', '.join(unread)} not read" if unread else ""
    raise UserError(
        f"--data_dir {root}: no data set is there{besides}; run python download_data.py "
        f"--data_dir {root} (--dataset shapes works offline), or lay out images/, masks/ and "
        "classes.txt; of pictures alone --labels or --class_names says the classes"
    )


def add_data_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the flags that say which data, which classes and which split, and return their group."""
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data_dir",
        default="./data",
        help="folder of the data set (default: ./data; of a trained run: where it found it)",
    )
    group.add_argument(
        "--dataset",
        choices=["auto", *DATASETS],
        default="auto",
        help="layout of the folder (default: by looking)",
    )
    group.add_argument(
        "--classes",
        nargs="+",
        default=[],
        metavar="NAME",
        help="pets: 'species' for background/cat/dog; voc, folder: a subset, 'cat dog' or merged "
        "'pet=cat+dog'",
    )
    group.add_argument(
        "--class_names",
        nargs="+",
        default=[],
        metavar="NAME",
        help="folder without classes.txt: all classes, the background first (default: those of "
        "--labels)",
    )
    group.add_argument(
        "--no_background",
        action="store_true",
        help="folder: line 1 of classes.txt is a class like any other, as its comment "
        f"'# {NO_BACKGROUND}' says too",
    )
    group.add_argument(
        "--mask_values",
        nargs="+",
        default=[],
        metavar="VALUE=CLASS",
        help="folder: what numbers or colours in masks mean: 255=blob, or '#ff0000=road' (default: "
        "the number of a line of classes.txt)",
    )
    group.add_argument(
        "--mask_ignore",
        metavar="VALUE",
        help="folder: number or colour in masks that is no class and doesn't count (default: 255)",
    )
    group.add_argument(
        "--tag_set", default="default", help="pets: tags are the 'species' (default) or the 'breed'"
    )
    group.add_argument(
        "--val_fraction",
        type=float,
        default=0.1,
        help="share of trainval held for validation (default: %(default)s)",
    )
    group.add_argument(
        "--split_seed", type=int, default=0, help="seed of that choice (default: %(default)s)"
    )
    add_reading_arguments(group)
    group.add_argument(
        "--cache_dir",
        default="./data/.cache",
        help="where decoded, resized images are kept (default: ./data/.cache; of a trained run: "
        "its own)",
    )
    return group
