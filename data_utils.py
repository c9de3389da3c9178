"""Data sets behind one contract, and deterministic splits.

A data set knows `class_names`, `tag_names`, `tag_class` (the mask class each tag shows), `ids(split)`, `image_path(id)`,
`mask_path(id)`, `lookup(id)` (the file's numbers -> classes, 255 = ignore, -1 = never valid) and `tags(id)`.
To add one, write the class and name it in `DATASETS`.
"""

import difflib
import hashlib
from pathlib import Path

import numpy as np

from common import UserError, stable_seed
from image_io import cached_classes, image_size, read_image, read_mask

IGNORE = 255
SPLITS = ("train", "val", "test")


def hold_out(strata, fraction, seed):
    """Choose about `fraction` of the ids, in every stratum alike -> set.

    strata: {id: any label}. Each stratum is ordered by a hash of (seed, id), so neither the order of the ids nor
    anything outside the stratum matters. Where every stratum is too small to give one up, a single id is chosen.
    """
    groups = {}
    for name, stratum in strata.items():
        groups.setdefault(stratum, []).append(name)
    held = set()
    for names in groups.values():
        names.sort(key=lambda name: stable_seed(seed, name))
        held.update(names[: round(fraction * len(names))])
    return held or set(sorted(strata, key=lambda name: stable_seed(seed, name))[:1])


class SegmentationDataset:
    """What all data sets share: splits, reading, and checks that name the offending file."""

    name = None

    def __init__(self, root, classes=(), tag_set="default", cache_dir="./data/.cache", val_fraction=0.1, split_seed=0):
        self.root, self.cache_dir = Path(root), cache_dir
        self.val_fraction, self.split_seed = val_fraction, split_seed
        self.read_lists()
        self.set_classes(list(classes), tag_set)
        official = {"trainval": self.listed("trainval"), "test": self.listed("test")}
        strata = {name: self.stratum(name) for name in official["trainval"]}
        held = hold_out(strata, val_fraction, split_seed)
        twice = set(strata) & set(official["test"])
        if twice:
            raise UserError(f"{self.root}: {sorted(twice)[0]} is listed for training and for the test; mend the lists")
        parts = {"train": set(strata) - held, "val": held, "test": set(official["test"])}
        self._ids = {split: sorted(i for i in part if self.image_path(i).exists()) for split, part in parts.items()}
        self.absent = len(strata) + len(parts["test"]) - sum(map(len, self._ids.values()))
        for split, names in self._ids.items():
            if not names:
                raise UserError(f"{self.root}: no image of the {split} split is there; run python download_data.py")

    def ids(self, split):
        """Return the sorted ids of 'train', 'val', 'test', or 'trainval'."""
        if split == "trainval":
            return sorted(self._ids["train"] + self._ids["val"])
        return self._ids[split]

    def image(self, name):
        """Return the photograph, upright, as a `PIL.Image` in RGB."""
        return read_image(self.image_path(name))

    def image_size(self, name):
        """Return (width, height) of the original image."""
        return image_size(self.image_path(name))

    def mask(self, name):
        """Return [H, W] uint8 classes at the original size, 255 = ignore."""
        return self.to_classes(name, read_mask(self.mask_path(name)))

    def load(self, name):
        """Return (image [H, W, 3] uint8, mask [H, W] uint8)."""
        image, mask = np.asarray(self.image(name)), self.mask(name)
        self.check_size(name, mask.shape)
        return image, mask

    def check_size(self, name, shape):
        """Refuse a mask whose (height, width) is not the upright image's."""
        width, height = self.image_size(name)
        if (height, width) != tuple(shape):
            raise UserError(
                f"{self.mask_path(name)}: the mask is {shape[1]}x{shape[0]} but the upright image is {width}x{height}; "
                "save the two in one size and orientation"
            )

    def to_classes(self, name, values):
        """Map a mask file's numbers to classes; a number the data set doesn't know is refused."""
        classes = self.lookup(name)[values]
        if classes.min(initial=0) < 0:
            stray = int(values[classes < 0][0])
            raise UserError(f"{self.mask_path(name)}: holds the number {stray}, which is no class of this data set")
        return classes.astype(np.uint8)

    def fingerprint(self):
        """Return a short hash over ids, splits, classes and file sizes: two runs with the same one saw the same data."""
        digest = hashlib.sha256(repr((self.name, self.class_names, self.tag_names)).encode())
        for split in SPLITS:
            for name in self.ids(split):
                sizes = [p.stat().st_size if p.exists() else 0 for p in (self.image_path(name), self.mask_path(name))]
                digest.update(repr((split, name, sizes)).encode())
        return digest.hexdigest()[:16]


def read_list(path):
    """Return the non-empty, non-comment lines of a list file, each split at white space."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); run python download_data.py") from error
    return [line.split() for line in lines if line.strip() and not line.startswith("#")]


def choose(wanted, known, flag):
    """Return `wanted`; a word that is not among `known` is a `UserError` with the nearest one."""
    for word in wanted:
        if word not in known:
            near = difflib.get_close_matches(word, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UserError(f"{flag} {word}: {hint}choose from {', '.join(known)}")
    return wanted


class Pets(SegmentationDataset):
    """Oxford-IIIT Pet (Parkhi et al., CVPR 2012): `images/*.jpg`, `annotations/trimaps/*.png` and the official lists.

    Trimaps hold 1 pet, 2 background, 3 border (ignored). Classes: background and pet, or with --classes species
    background, cat and dog. Every image holds a pet, so the tag is the species, or the breed with --tag_set breed.
    """

    name = "pets"
    species = ("cat", "dog")

    def read_lists(self):
        folder = self.root / "annotations"
        self.lists = {}
        for split in ("trainval", "test"):
            for line in read_list(folder / f"{split}.txt"):
                if len(line) != 4 or line[2] not in ("1", "2"):
                    raise UserError(f"{folder / split}.txt: '{' '.join(line)}' is not 'name class species breed'")
                breed = line[0].rsplit("_", 1)[0]
                self.lists.setdefault(split, {})[line[0]] = (self.species[int(line[2]) - 1], breed)
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
        return list(self.lists.get(split, ()))

    def stratum(self, name):
        return self.facts[name][1]

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

    --classes chooses a subset: `cat dog` keeps two classes, `pet=cat+dog` merges them under one name. Other classes
    become background, and only images that show a chosen class are used.
    """

    def set_classes(self, classes, tag_set):
        choose([tag_set], ("default",), "--tag_set")
        groups = [word.partition("=") for word in classes] or [(name, "", "") for name in self.all_classes[1:]]
        groups = [(name, (members or name).split("+")) for name, _, members in groups]
        self.class_names = [self.all_classes[0], *(name for name, _ in groups)]
        self.tag_names, self.tag_class = [], []
        self.table = np.full(256, -1, np.int16)
        self.table[: len(self.all_classes)] = 0
        self.table[IGNORE] = IGNORE
        for label, (_, members) in enumerate(groups, start=1):
            for member in choose(members, self.all_classes[1:], "--classes"):
                self.table[self.all_classes.index(member)] = label
                self.tag_names.append(member)
                self.tag_class.append(label)
        self.shown = cached_classes({name: self.mask_path(name) for name in self.labelled()}, self.cache_dir)

    def labelled(self):
        return [name for names in self.lists.values() for name in names]

    def listed(self, split):
        if len(self.tag_names) == len(self.all_classes) - 1:
            return list(self.lists[split])
        return [name for name in self.lists[split] if self.tags(name)]

    def tags(self, name):
        present = {self.all_classes[i] for i in self.shown.get(name, ()) if i < len(self.all_classes)}
        return tuple(tag for tag in self.tag_names if tag in present)

    def stratum(self, name):
        return (self.tags(name) or ("",))[0]

    def lookup(self, name):
        return self.table


class Voc(MaskClasses):
    """PASCAL VOC 2012 segmentation: trained on `train_aug.txt` where it is there, else `train.txt`; tested on `val.txt`."""

    name = "voc"
    all_classes = (
        "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person "
        "pottedplant sheep sofa train tvmonitor"
    ).split()

    def read_lists(self):
        self.folder = next((f for f in voc_folders(self.root) if (f / "ImageSets").is_dir()), self.root)
        sets = self.folder / "ImageSets" / "Segmentation"
        train = sets / "train_aug.txt"
        train = train if train.exists() else sets / "train.txt"
        self.lists = {
            split: [line[0] for line in read_list(path)]
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
    """Your own pictures: `images/`, `masks/` (same stem, .png, class numbers), `classes.txt` (one name a line, 0 first).

    Optional `trainval.txt` and `test.txt` (one id, the file's stem, a line); without them a fifth of the images that
    have a mask is the test split. Training images may lack masks when weak labels come from elsewhere.
    """

    name = "folder"

    def read_lists(self):
        self.all_classes = [" ".join(line) for line in read_list(self.root / "classes.txt")]
        if len(self.all_classes) < 2:
            raise UserError(
                f"{self.root / 'classes.txt'}: needs the background's name and at least one class, a line each"
            )
        self.files = {}
        for path in sorted((self.root / "images").iterdir()) if (self.root / "images").is_dir() else ():
            if path.is_file() and not path.name.startswith("."):
                if path.stem in self.files:
                    raise UserError(f"{path}: two images share the name {path.stem}; rename one")
                self.files[path.stem] = path
        if not self.files:
            raise UserError(f"{self.root / 'images'}: no image is there")
        given = {split: self.root / f"{split}.txt" for split in ("trainval", "test")}
        if all(path.exists() for path in given.values()):
            self.lists = {split: [line[0] for line in read_list(path)] for split, path in given.items()}
        else:
            strata = {name: "" for name in self.files if self.mask_path(name).exists()}
            test = hold_out(strata, 0.2, f"test {self.split_seed}")
            self.lists = {"trainval": sorted(set(self.files) - test), "test": sorted(test)}

    def labelled(self):
        return [name for name in super().labelled() if self.mask_path(name).exists()]

    def image_path(self, name):
        return self.files.get(name, self.root / "images" / name)

    def mask_path(self, name):
        return self.root / "masks" / f"{name}.png"


DATASETS = {cls.name: cls for cls in (Pets, Voc, Folder)}


def open_dataset(args):
    """Return the data set that `args` (dataset, data_dir, classes, tag_set, ...) describe; 'auto' looks at the folder."""
    root = Path(args.data_dir)
    name = args.dataset if args.dataset != "auto" else detect(root)
    return DATASETS[name](
        root, args.classes, args.tag_set, args.cache_dir, val_fraction=args.val_fraction, split_seed=args.split_seed
    )


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
    group.add_argument("--data_dir", default="./data", help="folder of the data set (default: %(default)s)")
    group.add_argument(
        "--dataset", choices=["auto", *DATASETS], default="auto", help="layout of the folder (default: by looking)"
    )
    group.add_argument(
        "--classes", nargs="+", default=[], metavar="NAME",
        help="pets: 'species' for background/cat/dog; voc, folder: a subset, 'cat dog' or merged 'pet=cat+dog'",
    )  # fmt: skip
    group.add_argument("--tag_set", default="default", help="pets: tags are the 'species' (default) or the 'breed'")
    group.add_argument(
        "--val_fraction", type=float, default=0.1, help="share of trainval held for validation (default: %(default)s)"
    )
    group.add_argument("--split_seed", type=int, default=0, help="seed of that choice (default: %(default)s)")
    group.add_argument(
        "--cache_dir", default="./data/.cache", help="where decoded, resized images are kept (default: %(default)s)"
    )
    return group
