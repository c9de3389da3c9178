"""What all data sets share: deterministic splits, reading, and checks that name a file."""

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from PIL import Image

from weakseg.common import IGNORE, UserError
from weakseg.data.cache import ResizedCache, cached_classes
from weakseg.data.contents import Contents, short_hash
from weakseg.data.doubts.pairs import pair_notes
from weakseg.data.doubts.rims import averaged
from weakseg.data.groups import FILE as GROUPS
from weakseg.data.groups import group_notes, hold_out, read_groups
from weakseg.data.image_io import image_size, read_image, read_instances
from weakseg.data.lists import NO_BACKGROUND
from weakseg.data.mask_values import MaskValues, read_class_numbers
from weakseg.data.reading import USUAL, Photograph, Reading
from weakseg.data.value_range import value_range
from weakseg.validation import shorten

STRAY = 254  # stands for a number that is no class while a mask is read
SPLITS = ("train", "val", "test")


class SegmentationDataset(ABC):
    """The contract of a data set: images by their ids, with masks, tags and splits.

    A subclass reads the lists of a layout (`read_lists`), decides which classes and tags there are
    (`set_classes`), and says where the files of an image lie and what its mask's numbers mean.

    name: what --dataset calls it
    by_image: attributes that hold something for each image, {id: ...}
    may_lack_background: whether --no_background makes sense
    may_be_named: whether --class_names does
    may_lack_test: whether there may be no image to test on
    lists: {"trainval" or "test": ids that the lists name}
    class_names: of the mask's classes, the background first where there is one
    has_background: whether class 0 is what no object covers; else it is a class like any other
    tag_names, tag_class: image-level tags, and the mask class that each one shows
    flags: words of a command line that opens the data set alike
    absent: number of listed images that are not there; they are left out, and the split of the
        others is what it would be with them
    mask_values: what the values in mask files mean; None where they are class numbers
    """

    name: ClassVar[str]
    by_image: ClassVar[tuple[str, ...]] = ()
    may_lack_background: ClassVar[bool] = False
    may_be_named: ClassVar[bool] = False
    may_lack_test: bool = False
    lists: dict[str, list[str]]
    class_names: list[str]
    has_background: bool = True
    tag_names: list[str]
    tag_class: list[int]
    flags: list[str]
    absent: int

    def __init__(
        self,
        root: str | Path,
        classes: Sequence[str] = (),
        tag_set: str = "default",
        cache_dir: str | Path = "./data/.cache",
        val_fraction: float = 0.1,
        split_seed: int = 0,
        without_background: bool = False,
        mask_values: Sequence[str] = (),
        mask_ignore: str | None = None,
        reading: Reading = USUAL,
        named: Sequence[str] = (),
    ) -> None:
        if not 0 < val_fraction < 1:
            raise UserError(f"--val_fraction {val_fraction}: must lie between 0 and 1")
        self.root, self.cache_dir, self.split_seed = Path(root), cache_dir, split_seed
        self.without_background, self.chosen, self.named = without_background, reading, list(named)
        self.flags = ["--classes", *classes] if classes else []
        self.flags += ["--tag_set", tag_set] if tag_set != "default" else []
        self.flags += ["--split_seed", str(split_seed)] if split_seed else []
        self.flags += ["--no_background"] if without_background else []
        self.flags += reading.flags
        self.flags += ["--mask_values", *mask_values] if mask_values else []
        self.flags += ["--mask_ignore", mask_ignore] if mask_ignore is not None else []
        self.flags += ["--class_names", *named] if named else []
        self.read_lists()
        if without_background and not self.may_lack_background:
            raise UserError(
                f"--no_background: {self.root} is {self.name}, which has a background; leave it out"
            )
        if named and not self.may_be_named:
            raise UserError(
                f"--class_names: {self.root} is {self.name}, whose classes are known; leave it out"
            )
        self.mask_values = self.meaning_of_masks(mask_values, mask_ignore)
        self.set_classes(list(classes), tag_set)
        strata = {name: self.stratum(name) for name in self.listed("trainval")}
        test = set(self.listed("test"))
        twice = set(strata) & test
        if twice:
            raise UserError(
                f"{self.root}: {min(twice)} is listed for training and for the test; mend the lists"
            )
        candidates = {name: strata[name] for name in self.can_validate(strata)}
        chosen = {*map(self.group, hold_out(candidates, val_fraction, split_seed, self.group))}
        held = {name for name in strata if self.group(name) in chosen}
        if len({*map(self.group, strata)}) == 1:  # to train on; who selects a checkpoint is told
            held = set()
        self.set_ids({"train": set(strata) - held, "val": held, "test": test})

    @abstractmethod
    def read_lists(self) -> None:
        """Read the ids that belong to each split into `lists`."""

    @abstractmethod
    def set_classes(self, classes: list[str], tag_set: str) -> None:
        """Set `class_names`, `tag_names` and `tag_class` by --classes and --tag_set."""

    def meaning_of_masks(self, words: Sequence[str], ignored: str | None) -> MaskValues | None:
        """Return what --mask_values and --mask_ignore say of the values in mask files."""
        if words or ignored is not None:
            raise UserError(
                f"--mask_values, --mask_ignore: {self.root} is {self.name}, whose masks are known; "
                "leave them out"
            )
        return None

    @property
    def mask_meaning(self) -> dict[str, str]:
        """{value in mask files: name of its class}; {} where it is always the same."""
        return {}

    @property
    def task(self) -> dict[str, Any]:
        """What a network has to tell apart: plain values, for a checkpoint."""
        task = {"dataset": self.name, "classes": self.class_names, "tag_names": self.tag_names}
        return task if self.has_background else task | {"has_background": False}

    @property
    def object_names(self) -> list[str]:
        """The names of all classes but the background."""
        return self.class_names[int(self.has_background) :]

    @abstractmethod
    def stratum(self, name: str) -> tuple[str, ...]:
        """Return the group of an image that gives its share to the validation split."""

    @abstractmethod
    def tags(self, name: str) -> tuple[str, ...]:
        """Return which of `tag_names` hold of an image."""

    @abstractmethod
    def image_path(self, name: str) -> Path:
        """Return where a photograph lies, or would lie."""

    @abstractmethod
    def mask_path(self, name: str) -> Path:
        """Return where a mask lies, or would lie."""

    @abstractmethod
    def lookup(self, name: str) -> np.ndarray:
        """Return [256] int16, a mask file's numbers -> classes; 255 ignored, -1 never valid."""

    def listed(self, split: str) -> list[str]:
        """Return the ids of 'trainval' or 'test' that show a class of the data set."""
        return list(self.lists[split])

    def can_validate(self, names: Iterable[str]) -> list[str]:
        """Return those of `names` that may be held out for validation."""
        return list(names)

    @cached_property
    def groups(self) -> dict[str, str]:
        """{id: its group}, such as its patient, of the images that `groups.txt` names."""
        return read_groups(self.root / GROUPS, self.pictures())

    def group(self, name: str) -> str:
        """Return what an image belongs to, which no split parts: by default to itself alone."""
        return self.groups.get(name, name)

    def pictures(self) -> dict[str, Path]:
        """Return {id: path} of all images of the lists."""
        return {name: self.image_path(name) for names in self.lists.values() for name in names}

    @property
    def picture_folder(self) -> Path:
        """The folder that all photographs lie below."""
        return self.root

    def set_ids(self, parts: Mapping[str, Collection[str]]) -> None:
        """Keep the ids whose image is there; a split that must have some is refused without."""
        self._ids = {
            split: sorted(name for name in part if self.image_path(name).exists())
            for split, part in parts.items()
        }
        self.absent = sum(map(len, parts.values())) - sum(map(len, self._ids.values()))
        for split, names in self._ids.items():
            may_lack = split == "val" or (split == "test" and self.may_lack_test)
            if may_lack and not parts[split]:
                continue
            if not parts[split]:
                groups = f" or other groups to {GROUPS}," if self.groups else ","
                raise UserError(
                    f"--data_dir {self.root}: no image is left for the {split} split; "
                    f"add some to the lists{groups} or choose other --classes"
                )
            if not names:
                raise UserError(
                    f"--data_dir {self.root}: of {len(parts[split])} images of the {split} split "
                    f"none is there, the first {self.image_path(min(parts[split]))}; "
                    "mend the lists, or run python download_data.py"
                )

    def ids(self, split: str) -> list[str]:
        """Return the sorted ids of 'train', 'val', 'test', or 'trainval'."""
        if split == "trainval":
            return sorted(self._ids["train"] + self._ids["val"])
        return self._ids[split]

    def notes(self, unopened: Collection[str] = ()) -> list[str]:
        """Return lines for people: what of the data set is missing, or looks like a mistake.

        unopened: ids of images whose masks are not opened for that
        """
        notes = group_notes(self.root / GROUPS, self.pictures())
        if self.absent:
            notes.append(
                f"{self.root}: {self.absent} listed images are absent; the split of the others is "
                "unchanged"
            )
        return [*notes, *pair_notes(self, unopened)]

    def part(self, names: Collection[str]) -> Self:
        """Return a data set of these images alone, without splits, to send to another process."""
        part = copy.copy(self)
        vars(part)["reading"] = self.reading
        part.lists, part._ids = {}, {}
        vars(part).pop("known_contents", None)
        for key in self.by_image:
            whole = getattr(self, key)
            setattr(part, key, {name: whole[name] for name in names if name in whole})
        return part

    @cached_property
    def reading(self) -> Reading:
        """How all photographs are read: as chosen; those to train on decide the range of values."""
        names = () if self.chosen.value_range else self.ids("trainval")
        photographs = [Photograph(self.image_path(name), self.chosen) for name in names]
        measured = value_range(photographs, self.cache_dir)
        return replace(self.chosen, value_range=measured or self.chosen.value_range)

    def photograph(self, name: str) -> Photograph:
        """Return the file of a photograph, and how it is read."""
        return Photograph(self.image_path(name), self.reading)

    def image(self, name: str) -> Image.Image:
        """Return the photograph, upright, in RGB."""
        return read_image(self.photograph(name))

    def image_size(self, name: str) -> tuple[int, int]:
        """Return (width, height) of the original image, upright."""
        return image_size(self.image_path(name))

    def mask(self, name: str) -> np.ndarray:
        """Return [H, W] uint8 classes, 255 = ignore; another size than the image's is refused."""
        values = read_class_numbers(self.mask_path(name), self.mask_values)
        self.check_size(name, values.shape)
        return self.to_classes(name, values)

    def instances(self, name: str) -> np.ndarray | None:
        """Return [H, W] uint16, the number of the object at each pixel of an image, 0 = none.

        None where nobody told objects of one class apart.
        """
        path = self.instances_path(name)
        if path is None or not path.exists():
            return None
        numbers = read_instances(path)
        self.check_size(name, numbers.shape, path)
        return numbers

    def instances_path(self, name: str) -> Path | None:
        """Return where the numbers of an image's objects lie, or would lie; None: in no file."""
        return None

    def load(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return (image [H, W, 3] uint8, mask [H, W] uint8)."""
        return np.asarray(self.image(name)), self.mask(name)

    def resized_mask(self, name: str, cache: ResizedCache) -> np.ndarray:
        """Return [S, S] uint8 classes at the size of the cache, 255 = ignore."""
        return self.to_classes(name, cache.mask(self.mask_path(name), self.mask_values))

    def add_masks(self, paths: Mapping[str, Path]) -> None:
        """Take masks of class numbers {id: path} of images that have none; no split changes."""
        if paths:
            raise UserError(
                f"--data_dir {self.root}: is {self.name}, whose masks come with it, but that of "
                f"{min(paths)} is missing; only a folder of one's own takes masks of other tools"
            )

    def masked(self, names: Iterable[str]) -> list[str]:
        """Return those of `names` that have a mask."""
        return [name for name in names if self.mask_path(name).exists()]

    def with_own_masks(self, names: Iterable[str]) -> list[str]:
        """Return those of `names` whose mask comes with the data set."""
        return self.masked(names)

    def class_numbers(self, path: Path) -> np.ndarray:
        """Return the numbers of classes in a mask file [H, W] uint8, whichever are chosen."""
        return read_class_numbers(path, self.mask_values)

    def mask_numbers(
        self, names: Iterable[str], faults: dict[str, str] | None = None
    ) -> dict[str, list[int]]:
        """Return {id: class numbers in its mask file}, remembered in the cache folder.

        faults: as `cached_classes` takes it
        """
        paths = {name: self.mask_path(name) for name in names}
        return cached_classes(paths, self.cache_dir, self.mask_values, faults)

    def check_test_masks(self) -> list[str]:
        """Check the masks of the test split that are there, see `check_masks`."""
        return self.check_masks(self.ids("test"), "test")

    def check_masks(self, names: Collection[str], split: str) -> list[str]:
        """Check the masks of some images that are there -> lines on what they lack.

        A mask of another size than its image, one that holds a number of no class, palettes that
        differ, and masks in which every pixel is ignored are a `UserError`. split: what the images
        are, in words
        """
        numbers = self.mask_numbers(self.masked(names))
        for name in numbers:
            self.check_mask_size(name)
            self.check_palette(name, numbers[name])
            self.check_numbers(name, numbers[name])
        blank = [name for name in numbers if (self.lookup(name)[numbers[name]] == IGNORE).all()]
        if numbers and len(blank) == len(numbers):
            raise UserError(
                f"--data_dir {self.root}: all pixels of the {len(numbers)} {split} masks are "
                f"ignored (255), as in {self.mask_path(blank[0])}; label some, or list other images"
            )
        notes = []
        if blank:
            notes.append(
                f"{self.root}: {len(blank)} of {len(numbers)} {split} masks are ignored all over"
            )
        if len(numbers) < len(names):
            lacking = len(names) - len(numbers)
            notes.append(f"{self.root}: {lacking} of {len(names)} {split} images have no mask yet")
        return notes

    def check_unopened(self, names: Iterable[str]) -> None:
        """Refuse masks of some images by what is known of them before anybody opens them."""
        return

    def check_palette(self, name: str, numbers: Collection[int]) -> None:
        """Refuse a mask whose palette contradicts another's, where palettes may be any.

        numbers: of the classes that it shows
        """
        return

    def check_mask_size(self, name: str) -> None:
        """Refuse a mask, by its header alone, whose size is not the upright image's."""
        self.check_size(name, image_size(self.mask_path(name))[::-1])

    def check_size(self, name: str, shape: tuple[int, ...], path: Path | None = None) -> None:
        """Refuse a mask whose (height, width) is not the upright image's.

        path: of the file that holds it; None: the mask of classes
        """
        width, height = self.image_size(name)
        if (height, width) != tuple(shape):
            raise UserError(
                f"{path or self.mask_path(name)}: the mask is {shape[1]}x{shape[0]} but the "
                f"upright image is {width}x{height}; save the two in one size and orientation"
            )

    def to_classes(self, name: str, values: np.ndarray) -> np.ndarray:
        """Map a mask file's numbers to classes; a number that is no class is refused."""
        import cv2

        table = self.lookup(name)
        classes = cv2.LUT(values, np.where(table < 0, STRAY, table).astype(np.uint8))
        if (classes == STRAY).any():  # of strays, or of as many classes
            self.check_numbers(name, np.unique(values).tolist())
        return classes

    def check_numbers(self, name: str, numbers: Iterable[int]) -> None:
        """Refuse a mask that holds numbers which are no class."""
        table = self.lookup(name)
        strays = [number for number in numbers if table[number] < 0]
        if strays:
            raise UserError(
                f"{self.mask_path(name)}: holds the number {strays[0]}, which is no class of this "
                "data set; mend the mask, or say what it means (--mask_values, --mask_ignore)"
                f"{self.cause_of(strays)}"
            )

    def cause_of(self, strays: Sequence[int]) -> str:
        """Return what may have put numbers that are no class into masks, "" where nobody knows."""
        return averaged(strays)

    def images_digest(self, names: Iterable[str]) -> str:
        """Return a short hash of some images: their ids and the sizes of their files."""
        sizes = [(name, self.image_path(name).stat().st_size) for name in sorted(names)]
        return hashlib.sha256(repr(sizes).encode()).hexdigest()[:16]

    def file_sizes(self, names: Iterable[str]) -> dict[str, int]:
        """Return {id: bytes of its file} of some images, sorted."""
        return {name: self.image_path(name).stat().st_size for name in sorted(names)}

    def know_as(self, names: Sequence[str]) -> None:
        """Take the classes as a model knows them, by these names; others are a `UserError`."""
        if [*names] != self.class_names:
            raise UserError(
                f"--data_dir {self.root}: its classes are {shorten(self.class_names)}, the run "
                f"knows {shorten([*names])}; choose the run's data set and --classes"
            )

    def test_on(self, names: Iterable[str]) -> None:
        """Keep no other images in the test split; one without any is a `UserError`."""
        kept = sorted({*self.ids("test")} & {*names})
        if not self.ids("test"):
            raise UserError(
                f"--data_dir {self.root}: no picture has a mask to test on; add pictures that no "
                "run learns from with their masks, or write test.txt"
            )
        if not kept:
            raise UserError(
                f"--data_dir {self.root}: no test image is left that the run was not trained on; "
                "write trainval.txt and test.txt, and train again"
            )
        self._ids = self._ids | {"test": kept}

    def fingerprint(self, masks: bool = False) -> str:
        """Return a short hash of ids, splits, classes and sizes of image files.

        Runs with the same one, and the same `contents`, saw the same images. masks: the sizes of
        mask files count too, as they do for simulated annotators
        """
        return self._digest((self.name, self.class_names, self.tag_names), SPLITS, masks)

    def test_fingerprint(self, names: Sequence[str] | None = None) -> str:
        """Return that of the test split and its masks: runs with the same one, and the same
        `test_contents`, can be compared.

        names: of the classes, where they had others; None: as they are
        """
        classes = self.class_names if names is None else [*names]
        head = (self.name, classes, *(() if self.has_background else (NO_BACKGROUND,)))
        return self._digest(head, ("test",), masks=True)

    def mask_identity(self, name: str) -> str:
        """Return a text that changes when the mask of an image does, or what its values mean."""
        size = self.mask_path(name).stat().st_size
        return f"{size} {self.mask_values.key}" if self.mask_values else f"{size}"

    @cached_property
    def known_contents(self) -> Contents:
        """What the files of the data set hold, as far as anybody asked."""
        return Contents(self.cache_dir, self.root)

    def image_contents(self, names: Iterable[str]) -> dict[str, str]:
        """Return {id: a text that differs where the files of two photographs do}, sorted."""
        ids = sorted(names)
        return dict(zip(ids, self.known_contents.of(map(self.image_path, ids), False), strict=True))

    def mask_contents(self, names: Iterable[str]) -> dict[str, str]:
        """Return {id: a text that differs where the files of two masks do}, sorted."""
        ids = sorted(names)
        return dict(zip(ids, self.known_contents.of(map(self.mask_path, ids), True), strict=True))

    def contents(self) -> str:
        """Return a short hash of ids, splits, and what the files of images hold."""
        return short_hash((split, self.image_contents(self.ids(split))) for split in SPLITS)

    def test_contents(self) -> str:
        """Return a short hash of what the files of images and masks of the test split hold."""
        names = self.ids("test")
        return short_hash([self.image_contents(names), self.mask_contents(names)])

    def _digest(self, head: tuple[object, ...], splits: Iterable[str], masks: bool) -> str:
        head += (self.mask_values.key,) if self.mask_values else ()
        shown = replace(self.chosen, value_range=None).key
        head += (shown,) if shown else ()
        digest = hashlib.sha256(repr(head).encode())
        for split in splits:
            for name in self.ids(split):
                paths = self.image_path(name), *([self.mask_path(name)] if masks else [])
                sizes = [path.stat().st_size if path.exists() else 0 for path in paths]
                digest.update(repr((split, name, sizes)).encode())
        return digest.hexdigest()[:16]
