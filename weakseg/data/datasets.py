"""The data sets, all behind one contract, and the flags that choose one.

A data set knows `class_names`, `tag_names`, `tag_class` (the mask class each tag shows),
`ids(split)`, `image_path(id)`, `mask_path(id)`, `lookup(id)` (the file's numbers -> classes, 255 =
ignore, -1 = never valid) and `tags(id)`. To add one, write the class and name it in `DATASETS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from weakseg.common import IGNORE, UserError, choose, refuse_repeats, stable_seed
from weakseg.data.base import SegmentationDataset, read_list
from weakseg.data.cache import cached_classes


class Pets(SegmentationDataset):
    """Oxford-IIIT Pet (Parkhi et al., CVPR 2012): `images/*.jpg`, `annotations/trimaps/*.png` and
    the official lists.

    Trimaps hold 1 pet, 2 background, 3 border (ignored). Classes: background and pet, or with
    --classes species background, cat and dog. Every image holds a pet, so the tag is the species,
    or the breed with --tag_set breed.
    """

    name = "pets"
    by_image = ("facts",)
    species = ("cat", "dog")

    def read_lists(self):
        folder = self.root / "annotations"
        self.lists = {}
        for split in ("trainval", "test"):
            self.lists[split] = {}
            for line in read_list(folder / f"{split}.txt"):
                words = line.split()
                if len(words) != 4 or words[2] not in ("1", "2"):
                    raise UserError(
                        f"{folder / split}.txt: {line!r} is not 'name class species breed', species 1 or 2"
                    )
                breed = words[0].rsplit("_", 1)[0]
                self.lists[split][words[0]] = (self.species[int(words[2]) - 1], breed)
        self.facts = {name: fact for listed in self.lists.values() for name, fact in listed.items()}

    def set_classes(self, classes, tag_set):
        choose(classes, ("species",), "--classes")
        choose([tag_set], ("default", "species", "breed"), "--tag_set")
        self.class_names = ["background", *(self.species if classes else ["pet"])]
        self.by_breed = tag_set == "breed"
        species_of = {breed: species for species, breed in self.facts.values()}
        if not self.by_breed:
            species_of = {name: name for name in self.species}
        self.tag_names = sorted(species_of)
        self.tag_class = [self._class_of(species_of[tag]) for tag in self.tag_names]

    def _class_of(self, species):
        return self.class_names.index(species) if species in self.class_names else 1

    def listed(self, split):
        return list(self.lists[split])

    def stratum(self, name):
        return self.facts[name]

    def tags(self, name):
        return (self.facts[name][self.by_breed],)

    def image_path(self, name):
        return self.root / "images" / f"{name}.jpg"

    def mask_path(self, name):
        return self.root / "annotations" / "trimaps" / f"{name}.png"

    def lookup(self, name):
        table = np.full(256, -1, np.int16)
        table[1:4] = self._class_of(self.facts[name][0]), 0, IGNORE
        return table


class MaskClasses(SegmentationDataset):
    """Data sets whose masks hold class numbers and whose tags are the classes that the mask shows.

    --classes chooses a subset: `cat dog` keeps two classes, `pet=cat+dog` merges them under one
    name. Other classes become background, and only images that show a chosen class are used.
    """

    by_image = ("shown",)

    def set_classes(self, classes, tag_set):
        choose([tag_set], ("default",), "--tag_set")
        background, *known = self.all_classes
        groups = (
            parse_groups(classes, background, known)
            if classes
            else {name: [name] for name in known}
        )
        self.class_names = [background, *groups]
        self.tag_names = [member for members in groups.values() for member in members]
        self.tag_class = [
            label for label, members in enumerate(groups.values(), 1) for _ in members
        ]
        self.table = np.full(256, -1, np.int16)
        self.table[: len(self.all_classes)] = 0
        self.table[IGNORE] = IGNORE
        for member, label in zip(self.tag_names, self.tag_class, strict=True):
            self.table[self.all_classes.index(member)] = label
        self.shown = cached_classes(
            {name: self.mask_path(name) for name in self.labelled()}, self.cache_dir
        )

    def labelled(self):
        return [name for names in self.lists.values() for name in names]

    def listed(self, split):
        if len(self.tag_names) == len(self.all_classes) - 1:
            return list(self.lists[split])
        return [name for name in self.lists[split] if self.tags(name)]

    def tags(self, name):
        present = {
            self.all_classes[i] for i in self.shown.get(name, ()) if i < len(self.all_classes)
        }
        return tuple(tag for tag in self.tag_names if tag in present)

    def stratum(self, name):
        return (self.tags(name) or ("",))[0]

    def lookup(self, name):
        return self.table


def parse_groups(words, background, known):
    """Turn the words of --classes (['bird', 'pet=cat+dog']) into {'bird': ['bird'], 'pet': ['cat',
    'dog']}.
    """
    pairs = [word.partition("=") for word in words]
    groups = {
        name: choose((members or name).split("+"), known, "--classes") for name, _, members in pairs
    }
    refuse_repeats([background, *(name for name, _, _ in pairs)], "--classes: the class")
    refuse_repeats(
        [member for members in groups.values() for member in members], "--classes: the member"
    )
    if "" in groups:
        raise UserError(f"--classes {' '.join(words)}: write NAME, or NAME=MEMBER+MEMBER")
    return groups


class Voc(MaskClasses):
    """PASCAL VOC 2012 segmentation: trained on `train_aug.txt` if there is one, else `train.txt`;
    tested on `val.txt`.

    Tags come from the masks, so every listed mask must be there.
    """

    name = "voc"
    all_classes = (
        "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person "
        "pottedplant sheep sofa train tvmonitor"
    ).split()

    def read_lists(self):
        self.folder = next(
            (f for f in voc_folders(self.root) if (f / "ImageSets").is_dir()), self.root
        )
        sets = self.folder / "ImageSets" / "Segmentation"
        train = sets / "train_aug.txt"
        train = train if train.exists() else sets / "train.txt"
        self.lists = {
            split: [line.split()[0] for line in read_list(path)]
            for split, path in (("trainval", train), ("test", sets / "val.txt"))
        }

    def image_path(self, name):
        return self.folder / "JPEGImages" / f"{name}.jpg"

    def mask_path(self, name):
        return self.folder / "SegmentationClass" / f"{name}.png"


def voc_folders(root):
    """Where a VOC 2012 tree may lie below `root`."""
    return root / "VOCdevkit" / "VOC2012", root / "VOC2012", root


class Folder(MaskClasses):
    """Your own pictures: `images/`, `masks/` (same stem, .png, class numbers), `classes.txt` (a
    name a line, 0 first).

    Optional `trainval.txt` and `test.txt` (one id, the file's stem, a line); without them the test
    split is a fifth of the images that have a mask, each by a hash of its name: images that come
    later move no other. Training images may lack masks when weak labels come from elsewhere.
    """

    name = "folder"
    by_image = ("shown", "files")

    def read_lists(self):
        self.all_classes = read_list(self.root / "classes.txt")
        refuse_repeats(self.all_classes, f"{self.root / 'classes.txt'}: the class")
        if not 2 <= len(self.all_classes) <= IGNORE:
            raise UserError(
                f"{self.root / 'classes.txt'}: names {len(self.all_classes)} classes; write 2 to {IGNORE}, one a line, "
                "the background first"
            )
        self.files = self.find_files()
        given = {split: self.root / f"{split}.txt" for split in ("trainval", "test")}
        there = [path for path in given.values() if path.exists()]
        if len(there) == 1:
            raise UserError(
                f"{there[0]}: the other list is missing; write both trainval.txt and test.txt, or neither"
            )
        stems = {path.name: stem for stem, path in self.files.items()}
        if there:
            self.lists = {
                split: [stems.get(line, line) for line in read_list(path)]
                for split, path in given.items()
            }
        else:
            masked = [name for name in self.files if self.mask_path(name).exists()]
            chance = {name: stable_seed("test", name) / 2**63 for name in masked}
            test = [name for name in masked if chance[name] < 0.2] or sorted(
                masked, key=chance.get
            )[:1]
            self.lists = {"trainval": sorted(set(self.files) - set(test)), "test": sorted(test)}

    def find_files(self):
        """Return {stem: path} of the images."""
        folder, files = self.root / "images", {}
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.is_file() and not path.name.startswith("."):
                if path.stem in files:
                    raise UserError(f"{path}: two images share the name {path.stem}; rename one")
                files[path.stem] = path
        if not files:
            raise UserError(f"{folder}: no image is there")
        return files

    def labelled(self):
        return [name for name in super().labelled() if self.mask_path(name).exists()]

    def can_validate(self, names):
        return [name for name in names if self.mask_path(name).exists()] or names

    def image_path(self, name):
        return self.files.get(name, self.root / "images" / name)

    def mask_path(self, name):
        return self.root / "masks" / f"{name}.png"


DATASETS = {cls.name: cls for cls in (Pets, Voc, Folder)}


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

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "DataOptions":
        """Take these options out of others, as a command line or a result file gives them."""
        known = {field.name: given[field.name] for field in fields(cls) if field.name in given}
        return cls(**known | {"classes": tuple(known.get("classes") or ())})


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
    )
    if options.dataset != "auto":
        dataset.flags += ["--dataset", name]
    return dataset


def detect(root):
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


def add_data_arguments(parser):
    """Add the flags that say which data, which classes and which split; shared by all scripts."""
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
        help="pets: 'species' for background/cat/dog; voc, folder: a subset, 'cat dog' or merged 'pet=cat+dog'",
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
        "--cache_dir",
        default="./data/.cache",
        help="where decoded, resized images are kept (default: %(default)s)",
    )
    return group
