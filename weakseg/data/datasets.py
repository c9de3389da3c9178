"""The data sets, all behind one contract, and the flags that choose one.

To add one, write a subclass of `SegmentationDataset` and name it in `DATASETS`.
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from weakseg.common import IGNORE, UserError, choose, refuse_repeats, stable_seed
from weakseg.data.base import (
    NO_BACKGROUND,
    SegmentationDataset,
    numbered_lines,
    read_ids,
    read_list,
    says_no_background,
)
from weakseg.data.folder_files import by_id, compared, files_below, is_picture
from weakseg.data.ids import check_id
from weakseg.data.mask_values import MaskValues
from weakseg.data.reading import Reading
from weakseg.validation import shorten


class Pets(SegmentationDataset):
    """Oxford-IIIT Pet (Parkhi et al., CVPR 2012), as it is unpacked.

    It has `images/*.jpg`, `annotations/trimaps/*.png` and the official lists. Trimaps hold 1 pet,
    2 background, 3 border (ignored). Classes: background and pet, or with --classes species
    background, cat and dog. Every image holds a pet, so the tag is the species, or the breed with
    --tag_set breed.

    facts: {id: (species, breed)}
    """

    name = "pets"
    by_image = ("facts",)
    species: ClassVar[tuple[str, ...]] = ("cat", "dog")
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

    def lookup(self, name: str) -> np.ndarray:
        table = np.full(256, -1, np.int16)
        table[1:4] = self._class_of(self.facts[name][0]), 0, IGNORE
        return table


class MaskClasses(SegmentationDataset):
    """Data sets whose masks hold class numbers and whose tags are the classes that the mask shows.

    --classes chooses a subset: `cat dog` keeps two classes, `pet=cat+dog` merges them under one
    name. Other classes become background, and only images whose mask shows a chosen class are used,
    with those that have no mask.
    Where no number is background, the first class is one like any other, and what --classes leaves
    out is the background; classes that cover all leave none.

    all_classes: names of the numbers in mask files, the background first where there is one
    is_whole: whether no class is left out
    shown: {id: numbers in its mask}
    """

    by_image: ClassVar[tuple[str, ...]] = ("shown",)
    all_classes: list[str]
    is_whole: bool
    shown: dict[str, list[int]]

    def set_classes(self, classes: list[str], tag_set: str) -> None:
        choose([tag_set], ("default",), "--tag_set")
        first = int(self.has_background)
        known = self.all_classes[first:]
        unused = (name for name in ("background", "other", "none of these") if name not in known)
        background = self.all_classes[0] if first else next(unused)
        groups = {name: [name] for name in known}
        if classes:
            groups = parse_groups(classes, background, known)
        self.is_whole = sum(map(len, groups.values())) == len(known)
        self.has_background = self.has_background or not self.is_whole
        self.class_names = [*([background] if self.has_background else []), *groups]
        if len(self.class_names) < 2:
            raise UserError(
                f"--classes {' '.join(classes)}: is one class that covers all, with no background; "
                "name two, or leave a member out"
            )
        self.tag_names = [member for members in groups.values() for member in members]
        self.tag_class = [
            label
            for label, members in enumerate(groups.values(), int(self.has_background))
            for _ in members
        ]
        self.table = np.full(256, -1, np.int16)
        self.table[: len(self.all_classes)] = 0
        self.table[IGNORE] = IGNORE
        for member, label in zip(self.tag_names, self.tag_class, strict=True):
            self.table[self.all_classes.index(member)] = label
        self.shown = self.mask_numbers(self.labelled())
        self.check_shown(first)

    def check_shown(self, first: int) -> None:
        """Refuse masks that hold numbers of no class, and those that show no object at all.

        first: number of the first class that is an object
        """
        for name, numbers in self.shown.items():
            self.check_numbers(name, numbers)
        every = {number for numbers in self.shown.values() for number in numbers}
        if self.shown and not any(first <= number < IGNORE for number in every):
            path = self.mask_path(min(self.shown)).parent
            name = self.all_classes[first]
            remedy = f"if it is {name}, add --mask_values {IGNORE}={name}"
            raise UserError(
                f"{path}: the {len(self.shown)} masks show no object, they hold "
                f"{' and '.join(map(str, sorted(every)))} alone"
                + (f", and {IGNORE} is ignored; {remedy}" if IGNORE in every else "; mend them")
            )

    def notes(self) -> list[str]:
        every = {number for numbers in self.shown.values() for number in numbers}
        lacking = [name for name in self.tag_names if self.all_classes.index(name) not in every]
        if not lacking or not self.shown:
            return super().notes()
        names = shorten(", ".join(lacking), 120)
        return [*super().notes(), f"{self.root}: none of {len(self.shown)} masks shows {names}"]

    def labelled(self) -> list[str]:
        """Return the listed ids that must have a mask."""
        return [name for names in self.lists.values() for name in names]

    def listed(self, split: str) -> list[str]:
        if self.is_whole:
            return list(self.lists[split])
        return [n for n in self.lists[split] if self.tags(n) or n not in self.shown]

    def tags(self, name: str) -> tuple[str, ...]:
        numbers = [number for number in self.shown.get(name, ()) if number < len(self.all_classes)]
        present = {self.all_classes[number] for number in numbers}
        return tuple(tag for tag in self.tag_names if tag in present)

    def stratum(self, name: str) -> tuple[str, ...]:
        return self.tags(name)[:1]

    def lookup(self, name: str) -> np.ndarray:
        return self.table


def without_labelme(names: list[str]) -> list[str]:
    """Return a list of classes as LabelMe writes it without what is no class of a mask.

    Its first lines are `__ignore__`, 255 in masks, and `_background_`, 0.
    """
    names = names[1:] if names[0] == "__ignore__" else names
    return ["background", *names[1:]] if names[:1] == ["_background_"] else names


def parse_groups(words: list[str], background: str, known: list[str]) -> dict[str, list[str]]:
    """Return {class: its members} by the words of --classes.

    `bird pet=cat+dog` gives {"bird": ["bird"], "pet": ["cat", "dog"]}.
    """
    groups, names = {}, [background]
    for word in words:
        name, _, members = word.partition("=")
        groups[name] = choose((members or name).split("+"), known, "--classes")
        names.append(name)
    refuse_repeats(names, "--classes: the class")
    members_of_all = [member for members in groups.values() for member in members]
    refuse_repeats(members_of_all, "--classes: the member")
    if "" in groups:
        raise UserError(f"--classes {' '.join(words)}: write NAME, or NAME=MEMBER+MEMBER")
    return groups


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

    def image_path(self, name: str) -> Path:
        return self.folder / "JPEGImages" / f"{name}.jpg"

    def mask_path(self, name: str) -> Path:
        return self.folder / "SegmentationClass" / f"{name}.png"


def voc_folders(root: Path) -> tuple[Path, ...]:
    """Return where a VOC 2012 tree may lie below `root`."""
    return root / "VOCdevkit" / "VOC2012", root / "VOC2012", root


class Folder(MaskClasses):
    """Your own pictures: a folder with `images/`, `masks/` and `classes.txt`.

    A mask is a PNG of class numbers with the stem of its image; `classes.txt` has a name a line,
    that of number 0 first. With the comment `# no background` there, or with --no_background,
    number 0 is a class like any other. Optional `instances/` has PNGs of 16 bits with the number of
    the object at each pixel, 0 = none: objects of one class that touch are told apart.

    Pictures may lie in folders below `images/`, their masks in folders of the same names. An id is
    an image's path below `images/` without its suffix.

    Optional `trainval.txt` and `test.txt` have an id a line. Without them the test split is a fifth
    of the images that have a mask, each by a hash of its id, so that images that come later move no
    other. Training images may lack masks when weak labels come from elsewhere.

    Names are compared as `weakseg.data.folder_files` says. Values of masks may have other meanings,
    by --mask_values and --mask_ignore.

    files, masks, objects: {id: path of its image, its mask, its instances}
    asides: lines for people: files that belong to no image
    """

    name = "folder"
    by_image = ("shown", "files", "masks", "objects")
    may_lack_background = True
    files: dict[str, Path]
    masks: dict[str, Path]
    objects: dict[str, Path]
    asides: list[str]

    def read_lists(self) -> None:
        names = self.root / "classes.txt"
        self.all_classes = without_labelme(read_list(names))
        self.has_background = not (self.without_background or says_no_background(names))
        refuse_repeats(self.all_classes, f"{names}: the class")
        if not 2 <= len(self.all_classes) <= IGNORE:
            raise UserError(
                f"{names}: names {len(self.all_classes)} classes; write 2 to {IGNORE}, "
                "one a line, the background first, or with the line '# no background'"
            )
        self.asides = []
        self.files = self.find_files()
        self.masks = self.find_masks(self.root / "masks")
        self.objects = self.find_masks(self.root / "instances")
        given = {split: self.root / f"{split}.txt" for split in ("trainval", "test")}
        there = [path for path in given.values() if path.exists()]
        if len(there) == 1:
            raise UserError(
                f"{there[0]}: the other list is missing; "
                "write both trainval.txt and test.txt, or neither"
            )
        self.lists = self.given_lists(given) if there else self.hashed_lists()

    def notes(self) -> list[str]:
        return [*super().notes(), *self.asides]

    def given_lists(self, given: Mapping[str, Path]) -> dict[str, list[str]]:
        """Return the ids of each split that the lists name, by stem or by file name."""
        known = {compared(f"{name}{path.suffix}"): name for name, path in self.files.items()}
        known |= {compared(name): name for name in self.files}
        return {
            split: [known.get(compared(line), line) for line in read_ids(path, first_word=False)]
            for split, path in given.items()
        }

    def hashed_lists(self) -> dict[str, list[str]]:
        """Return the ids of each split, a fifth of those that have a mask for the test."""
        masked = self.masked(self.files)
        chance = {name: stable_seed("test", name) / 2**63 for name in masked}
        test = [name for name in masked if chance[name] < 0.2]
        test = test or sorted(masked, key=lambda name: chance[name])[:1]
        return {"trainval": sorted(set(self.files) - set(test)), "test": sorted(test)}

    def find_files(self) -> dict[str, Path]:
        """Return {id: path} of the images, in folders of their own too; note what is no picture."""
        folder = self.root / "images"
        files = files_below(folder)
        pictures = [path for path in files if is_picture(path)]
        others = sorted({*files} - {*pictures})
        if not pictures:
            first = f"; the first of {len(others)} other files is {others[0]}" if others else ""
            raise UserError(f"{folder}: no image is there{first}")
        if others:
            self.asides.append(
                f"{folder}: {len(others)} files are no pictures and are left out, the first is "
                f"{others[0].name}"
            )
        return by_id(pictures, folder)

    def find_masks(self, folder: Path) -> dict[str, Path]:
        """Return {id: path} of the PNGs in a folder of masks; note those without an image."""
        paths = [path for path in files_below(folder) if path.suffix.casefold() == ".png"]
        masks = by_id(paths, folder)
        strays = [path for name, path in masks.items() if name not in self.files]
        if strays:
            self.asides.append(
                f"{folder}: {len(strays)} of {len(paths)} masks have the name of no image, the "
                f"first is {strays[0].name}"
            )
        return masks

    def labelled(self) -> list[str]:
        return self.masked(super().labelled())

    def can_validate(self, names: Iterable[str]) -> list[str]:
        everything = list(names)
        return self.masked(everything) or everything

    def meaning_of_masks(self, words: Sequence[str], ignored: str | None) -> MaskValues | None:
        return MaskValues.of_flags(words, ignored, self.all_classes)

    def image_path(self, name: str) -> Path:
        return self.files.get(name, self.root / "images" / name)

    def mask_path(self, name: str) -> Path:
        return self.masks.get(name, self.root / "masks" / f"{name}.png")

    def instances_path(self, name: str) -> Path:
        return self.objects.get(name, self.root / "instances" / f"{name}.png")


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
        known["classes"] = known.get("classes") or ()
        known |= {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
        return cls(**known)


def open_dataset(options: DataOptions) -> SegmentationDataset:
    """Return the data set that the options describe; 'auto' looks at the folder."""
    root = Path(options.data_dir)
    name = options.dataset if options.dataset != "auto" else detect(root)
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
    )
    if options.dataset != "auto":
        dataset.flags += ["--dataset", name]
    return dataset


def say(lines: Iterable[str]) -> None:
    """Print lines for people, each once."""
    for line in dict.fromkeys(lines):
        print(line)


def detect(root: Path) -> str:
    """Tell from its layout which data set lies in `root`."""
    if (root / "annotations" / "trimaps").is_dir():
        return "pets"
    if any((folder / "SegmentationClass").is_dir() for folder in voc_folders(root)):
        return "voc"
    if (root / "classes.txt").exists():
        return "folder"
    raise UserError(
        f"--data_dir {root}: no data set is there; run python download_data.py --data_dir {root} "
        "(--dataset shapes works offline), or lay out images/, masks/ and classes.txt"
    )


def add_data_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the flags that say which data, which classes and which split, and return their group."""
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data_dir", default="./data", help="folder of the data set (default: %(default)s)"
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
    group.add_argument(
        "--page", type=int, help="of pictures with several pages: which one to show, from 1"
    )
    group.add_argument(
        "--channels",
        type=int,
        nargs="+",
        metavar="N",
        help="of pictures with several channels, or pages of one channel: which to show, from 1; "
        "one, or three for red, green and blue",
    )
    group.add_argument(
        "--value_range",
        type=float,
        nargs=2,
        metavar=("BLACK", "WHITE"),
        help="of pictures deeper than 8 bits: which values to show black and white (default: the "
        "range of all pictures to train on together)",
    )
    group.add_argument(
        "--cache_dir",
        default="./data/.cache",
        help="where decoded, resized images are kept (default: %(default)s)",
    )
    return group
