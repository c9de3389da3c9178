"""A folder of one's own pictures, masks and classes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np

from weakseg.common import IGNORE, UserError, refuse_repeats, stable_seed
from weakseg.data.alike_names import alike_names
from weakseg.data.class_list import is_background, is_behind, is_void, read_classes
from weakseg.data.doubts.masks_among import doubtful_folders, masks_among
from weakseg.data.doubts.other_class_lists import FOLDERS, denied_notes, lists_in
from weakseg.data.doubts.other_instances import instance_notes
from weakseg.data.doubts.torn_instances import torn_notes
from weakseg.data.doubts.unread_lists import LISTS, PARTS, heading_notes, unread_lists
from weakseg.data.folder_files import (
    PICTURES,
    beside_masks,
    by_id,
    compared,
    files_below,
    folder_of_pictures,
    parted,
    without_predictions,
)
from weakseg.data.groups import FILE as GROUPS
from weakseg.data.groups import members_by_group, refuse_parted
from weakseg.data.lists import read_ids
from weakseg.data.mask_classes import MaskClasses
from weakseg.data.mask_lists import numbers_beside, refuse_renumbered, taken_as
from weakseg.data.mask_values import MaskValues
from weakseg.data.palettes import Palettes
from weakseg.data.split_folders import folder_lists, folder_notes
from weakseg.data.split_lists import TESTED, Lists, part_notes, split_lists


class Folder(MaskClasses):
    """Your own pictures: a folder with `images/`, `masks/` and `classes.txt`.

    A mask is a PNG of class numbers with the stem of its image; `classes.txt` has a name a line,
    that of number 0 first. With the comment `# no background` there, or with --no_background,
    number 0 is a class like any other. Optional `instances/` has PNGs of 16 bits with the number of
    the object at each pixel, 0 = none: objects of one class that touch are told apart.

    Pictures may also lie in the folder itself, without `images/`. Without `classes.txt` the classes
    are those of --class_names.

    Pictures may lie in folders below `images/`, their masks in folders of the same names. An id is
    an image's path below `images/` without its suffix.

    Optional `trainval.txt` and `test.txt` have an id a line; `train.txt` and `val.txt` may
    stand for the former, or for both. Without them folders that are called `train` and `test`
    say it. Else the test split is a fifth of the images that have a mask, each by a hash of its
    id, so that images that come later move no other; where none has a mask there is no test
    split. Training images may lack masks when weak labels come from elsewhere. Optional
    `groups.txt` names pictures that no split parts.

    Names are compared as `weakseg.data.folder_files` says. Values of masks may have other meanings,
    by --mask_values and --mask_ignore.

    files, masks, objects: {id: path of its image, its mask, its instances}
    drawn: those of the masks that labels of other tools make, whose names change with them
    shown_in: folder that all photographs lie below
    asides: lines for people: files that belong to no image
    """

    name = "folder"
    by_image = ("shown", "files", "masks", "objects", "drawn")
    may_lack_background = True
    may_be_named = True
    files: dict[str, Path]
    masks: dict[str, Path]
    objects: dict[str, Path]
    drawn: dict[str, Path]
    shown_in: Path
    asides: list[str]

    def check_palette(self, name: str, numbers: Collection[int]) -> None:
        self.palettes.add(self.mask_path(name), numbers)

    @cached_property
    def palettes(self) -> Palettes:
        """The palettes of the masks that were checked so far."""
        return Palettes(self.mask_values)

    def read_lists(self) -> None:
        names = self.root / "classes.txt"
        if self.named and not names.exists():
            self.all_classes, self.has_background = self.named, not self.without_background
        else:
            self.all_classes, self.has_background = read_classes(names, self.without_background)
        if self.named and self.named != self.all_classes:
            raise UserError(f"--class_names: {names} names others; leave it out, or mend the file")
        refuse_repeats(self.all_classes, f"{names}: the class")
        if not 2 <= len(self.all_classes) <= IGNORE:
            if not names.exists():
                raise UserError(
                    f"{self.root}: {len(self.all_classes)} classes are named; label objects of at "
                    f"least one, or name 2 to {IGNORE} with --class_names"
                )
            raise UserError(
                f"{names}: names {len(self.all_classes)} classes; write 2 to {IGNORE}, "
                "one a line, the background first, or with the line '# no background'"
            )
        where = names if names.exists() else self.root
        self.asides = [*self.alike(where), *self.like_any_other(where)]
        self.shown_in = folder_of_pictures(self.root)
        self.files = self.find_files()
        self.masks, self.drawn = self.find_masks(self.root / "masks"), {}
        self.objects = self.find_masks(self.root / "instances")
        given, lists = self.given_lists(split_lists(self.root))
        self.asides += unread_lists(self.root, given)
        by_folders = None if given else folder_lists(self.files, self.masked)
        self.lists = lists or by_folders or self.hashed_lists()
        self.asides += part_notes(self.root, given, len(self.lists["test"]))
        self.may_lack_test = not given.get("test") and by_folders is None
        if not given:
            self.asides += folder_notes(self.picture_folder, self.lists, by_folders is not None)
        listed = {name for names in self.lists.values() for name in names}
        spare = [name for name in self.files if name not in listed]
        if spare:
            self.asides.append(
                f"{self.root}: {len(spare)} of {len(self.files)} pictures are in neither list, the "
                f"first is {spare[0]}"
            )
        if self.groups:
            refuse_parted(self.root / GROUPS, self.lists, self.group, by_folders is not None)

    def alike(self, path: Path) -> list[str]:
        """Return a line on each two classes that may be one, a few at most; path: of their list."""
        pairs = islice(alike_names(self.all_classes), 3)
        return [f"{path}: the classes {other} and {name} {how}" for name, other, how in pairs]

    def like_any_other(self, path: Path) -> list[str]:
        """Return a line where a class is called as the background, but isn't; path: of the list."""
        first = self.all_classes[0]
        if self.has_background:
            if is_void(first):
                return [
                    f"{path}: {first} is the background, since it stands first; if it means that "
                    "nobody is to label there, add --mask_ignore 0 --no_background"
                ]
            if is_behind(first):
                return []
            return [
                f"{path}: {first} is the background, since it stands first; if masks show that as "
                "0, write background above it, and if there is none, '# no background'"
            ]
        if not is_background(first):
            return []
        return [
            f"{path}: {first} is a class like any other, as --no_background or the comment '# no "
            "background' says; if it is what no object covers, leave that out"
        ]

    def void_classes(self) -> list[str]:
        """Return a line for each class that is called as what nobody is to label."""
        told = {*self.mask_values.meaning} if self.mask_values else set[int]()
        return [
            f"{self.root}: {name} is a class like any other; if it means that nobody is to label "
            f"there, add --mask_ignore {number}"
            for number, name in enumerate(self.all_classes)
            if number >= int(self.has_background) and is_void(name) and number not in told
        ]

    @property
    def mask_folders(self) -> list[Path]:
        """`masks/`, and those below it that masks lie in."""
        every = {path.parent for name, path in self.masks.items() if name not in self.drawn}
        return [self.root / "masks", *sorted(every - {self.root / "masks"})]

    def notes(self, unopened: Collection[str] = ()) -> list[str]:
        doubts = self.other_instances()
        if not (self.root / "classes.txt").exists() and self.shown and not self.mask_values:
            doubts += taken_as(self.mask_folders, self.all_classes)
        return [*super().notes(unopened), *self.asides, *self.void_classes(), *doubts]

    def other_instances(self) -> list[str]:
        """Return lines where numbers of objects seem to be of other pictures, or are torn."""
        names = [name for name in self.shown if name in self.objects]
        torn = torn_notes(self.root / "instances", names, self.instances)
        if not self.has_background or torn:
            return torn

        def mask_of(name: str) -> np.ndarray:
            return self.class_numbers(self.mask_path(name))

        return instance_notes(self.root / "instances", names, mask_of, self.instances)

    def given_lists(self, given: Lists) -> tuple[Lists, dict[str, list[str]]]:
        """Return which lists are read, and the ids of each split that they name.

        A name is a stem, a file's or a path. Without a list to test on these are the other images
        that have a mask. Then lists that name no image here are another tool's, and not read.
        """
        known = {compared(f"{name}{path.suffix}"): name for name, path in self.files.items()}
        known |= {compared(name): name for name in self.files}
        known = {f"{self.picture_folder.name}/{name}": key for name, key in known.items()} | known
        lists = {split: list[str]() for split in given}
        headed = list[str]()
        for split, path in ((split, path) for split, paths in given.items() for path in paths):
            lines = read_ids(path, first_word=False)
            names = [known.get(compared(line), line) for line in lines]
            lists[split] += names
            if names[0] not in self.files:
                headed += heading_notes(path, lines)
        if given and self.root / TESTED not in given["test"]:
            if not self.files.keys() & {*lists["trainval"]}:
                return {}, {}
            if not given["test"]:
                lists["test"] = sorted(self.masked(self.files.keys() - {*lists["trainval"]}))
        self.asides += headed
        return given, lists

    def hashed_lists(self) -> dict[str, list[str]]:
        """Return the ids of each split, a fifth of those that have a mask for the test.

        A group goes there as a whole, with those of its images that have no mask.
        """
        masked = members_by_group(self.masked(self.files), self.group)
        chance = {group: stable_seed("test", group) / 2**63 for group in masked}
        tested = {group for group in masked if chance[group] < 0.2}
        tested = tested or {*sorted(masked, key=chance.__getitem__)[:1]}
        test = {name for name in self.files if self.group(name) in tested}
        return {"trainval": sorted(set(self.files) - test), "test": sorted(test)}

    def pictures(self) -> dict[str, Path]:
        return self.files

    def find_files(self) -> dict[str, Path]:
        """Return {id: path} of the images, in folders of their own too; note what is no picture."""
        folder = self.picture_folder
        files = beside_masks(folder) if folder == self.root else files_below(folder)
        files = [
            path for path in files if path.parent != self.root or path.name not in (*LISTS, *PARTS)
        ]
        given = without_predictions(files)
        if len(given) < len(files):
            self.asides.append(
                f"{folder}: {len(files) - len(given)} files that predict.py wrote are left out"
            )
        files = given
        pictures, others = parted(files)
        if not pictures:
            first = f"; the first of {len(others)} other files is {others[0]}" if others else ""
            raise UserError(f"{folder}: no image is there{first}")
        if others:
            self.asides.append(
                f"{folder}: {len(others)} files are no pictures and are left out, the first is "
                f"{others[0].name}"
            )
        found = by_id(pictures, folder)
        masks = self.root / "masks"
        self.asides += doubtful_folders({*found}, folder, masks)
        remedy = f"move them to {masks}, called as their photographs"
        self.asides += masks_among(found, folder, remedy)
        return found

    @property
    def picture_folder(self) -> Path:
        """`images/`, or without it the folder itself."""
        return self.shown_in

    def find_masks(self, folder: Path) -> dict[str, Path]:
        """Return {id: path} of the PNGs in a folder of masks.

        Those without an image are noted, and pictures that are no PNG and so no masks.
        """
        files = files_below(folder)
        paths = [path for path in files if path.suffix.casefold() == ".png"]
        masks = by_id(paths, folder)
        others = [path for path in files if path.suffix.casefold() in PICTURES - {".png"}]
        if others:
            self.asides.append(
                f"{folder}: {len(others)} files are no PNG and are left out, the first is "
                f"{others[0].name}; save them as PNG"
            )
        strays = [path for name, path in masks.items() if name not in self.files]
        if strays:
            self.asides.append(
                f"{folder}: {len(strays)} of {len(paths)} masks have the name of no image, the "
                f"first is {strays[0].relative_to(folder)}"
            )
        return masks

    def labelled(self) -> list[str]:
        return self.masked(super().labelled())

    def can_validate(self, names: Iterable[str]) -> list[str]:
        everything = list(names)
        return self.masked(everything) or everything

    def meaning_of_masks(self, words: Sequence[str], ignored: str | None) -> MaskValues | None:
        values = MaskValues.of_flags(words, ignored, self.all_classes)
        if not (values and values.are_colours):
            given = values.meaning if values else {}
            told = numbers_beside(self.mask_folders, self.without_background)
            refuse_renumbered(self.root, told, self.all_classes, given)
        lists = lists_in([self.root, *self.mask_folders][:FOLDERS])
        names = self.root / "classes.txt"
        where = names if names.exists() else self.root
        self.asides += denied_notes(lists, where, self.all_classes, [*self.masks.values()], values)
        return values

    def image_path(self, name: str) -> Path:
        return self.files.get(name, self.picture_folder / name)

    def mask_path(self, name: str) -> Path:
        return self.masks.get(name, self.root / "masks" / f"{name}.png")

    def add_masks(self, paths: Mapping[str, Path]) -> None:
        self.drawn = {**self.drawn, **paths}
        self.masks = {**paths, **self.masks}

    def mask_identity(self, name: str) -> str:
        return self.drawn[name].stem if self.is_drawn(name) else super().mask_identity(name)

    def mask_contents(self, names: Iterable[str]) -> dict[str, str]:
        held = super().mask_contents(names)
        return held | {name: self.drawn[name].stem for name in held if self.is_drawn(name)}

    def is_drawn(self, name: str) -> bool:
        """Whether the mask of an image is one that labels of other tools make."""
        return name in self.drawn and self.mask_path(name) == self.drawn[name]

    def instances_path(self, name: str) -> Path:
        return self.objects.get(name, self.root / "instances" / f"{name}.png")
