"""Data sets whose masks hold class numbers: which classes they have, and which masks show them."""

import difflib
import shlex
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from weakseg.common import IGNORE, UserError, choose, refuse_repeats
from weakseg.data.base import SegmentationDataset
from weakseg.data.doubts.counted import CountedTally
from weakseg.data.doubts.ignored_objects import IgnoredTally
from weakseg.data.doubts.inverted import FEWEST as FEWEST_INVERTED
from weakseg.data.doubts.inverted import InvertedTally
from weakseg.data.doubts.late_classes import late_class_notes
from weakseg.data.doubts.mask_shapes import ShapeTally
from weakseg.data.doubts.mask_tally import Reader, tally_notes
from weakseg.data.doubts.rims import inner, rim_notes
from weakseg.data.doubts.shifted import shifted_note
from weakseg.data.doubts.stretched import CAUSE, are_stretched
from weakseg.data.mask_values import described, read_class_numbers
from weakseg.validation import shorten

FEWEST, MANY = 5, 0.2  # masks without an object, and their share, that may be undrawn
FEWEST_TESTED = 3  # of masks to test on, each of which counts more
ANEW = "; divide the images so that some do"
ALIKE = 0.8  # likeness of two names, by difflib, that may be one name written in two ways


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
    faults: {id: why its mask can't be read}
    changes: lines for people: which classes have changed since a model learnt them
    """

    by_image: ClassVar[tuple[str, ...]] = ("shown",)
    all_classes: list[str]
    is_whole: bool
    shown: dict[str, list[int]]
    faults: dict[str, str]
    changes: list[str]

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
        self.faults, self.changes = {}, []
        self.shown = self.mask_numbers(self.labelled(), self.faults)
        self.check_shown(first)

    def check_shown(self, first: int) -> None:
        """Refuse masks none of which shows an object.

        What is wrong with single ones is told by `check_masks` to those who use them, and noted.
        first: number of the first class that is an object
        """
        if self.faults and not self.shown:
            raise UserError(next(iter(self.faults.values())))
        every = {number for numbers in self.shown.values() for number in numbers}
        if self.shown and not any(first <= number < len(self.all_classes) for number in every):
            for name, numbers in self.shown.items():
                self.check_numbers(name, numbers)
            path = self.mask_path(min(self.shown)).parent
            name = self.all_classes[first]
            remedy = f"if it is {name}, add --mask_values {IGNORE}={name}"
            if every == {0, IGNORE} and self.is_behind(IGNORE):
                behind = self.all_classes[0]
                words = shlex.join([f"0={name}", f"{IGNORE}={behind}"])
                remedy = (
                    f"since it lies around the rest, as {behind} does, add --mask_values {words}"
                )
            raise UserError(
                f"{path}: the {len(self.shown)} masks show no object, they hold "
                f"{' and '.join(map(str, sorted(every)))} alone"
                + (f", and {IGNORE} is ignored; {remedy}" if IGNORE in every else "; mend them")
            )

    def is_behind(self, value: int) -> bool:
        """Return whether a value that is no class lies in most masks where a background would."""
        if not self.has_background:
            return False

        def read(path: Path) -> np.ndarray:
            numbers = read_class_numbers(path, self.mask_values)
            return np.where(numbers == value, 1, numbers).astype(np.uint8)

        paths = [self.mask_path(name) for name, shown in self.shown.items() if len(shown) > 1]
        return bool(tally_notes("", paths, read, InvertedTally(self.all_classes)))

    def check_unopened(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self.faults:
                raise UserError(self.faults[name])
            self.check_numbers(name, self.shown.get(name, []))

    def cause_of(self, strays: Sequence[int]) -> str:
        is_stretched = not self.mask_values and are_stretched(
            self.shown.values(), len(self.all_classes)
        )
        return CAUSE if is_stretched else super().cause_of(strays)

    def know_as(self, names: Sequence[str]) -> None:
        """Take the classes as a model knows them; pixels of classes behind those don't count.

        names: the model's own. A class may have got another name, but not another number.
        """
        ours, theirs = self.class_names, [*names]
        renamed = [pair for pair in zip(theirs, ours, strict=False) if pair[0] != pair[1]]
        others = [*(new for _, new in renamed), *ours[len(theirs) :]]
        moved = [
            new
            for old, new in renamed
            if old in ours or new in theirs or is_moved(old, new, others)
        ]
        if moved or len(ours) < len(theirs):
            raise UserError(
                f"--data_dir {self.root}: the classes are {shorten(ours)}, the run knows "
                f"{shorten(theirs)}; restore the order of classes.txt, later classes come last"
            )
        later = ours[len(theirs) :]
        self.changes = [f"{self.root}: the run knows {new} as {old}" for old, new in renamed]
        if not later:
            return
        self.changes.append(
            f"{self.root}: the run doesn't know {shorten(', '.join(later), 120)}; their pixels "
            "don't count"
        )
        self.class_names = ours[: len(theirs)]
        self.table[(self.table >= len(theirs)) & (self.table != IGNORE)] = IGNORE
        kept = [n for n, label in enumerate(self.tag_class) if label < len(theirs)]
        self.tag_names = [self.tag_names[n] for n in kept]
        self.tag_class = [self.tag_class[n] for n in kept]

    @property
    def mask_meaning(self) -> dict[str, str]:
        return described(self.mask_values, self.all_classes)

    def with_own_masks(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name in self.shown]

    def notes(self, unopened: Collection[str] = ()) -> list[str]:
        notes = [*super().notes(unopened), *self.changes, *self.unfit(), *self.bare()]
        mixed = [name for name, numbers in self.shown.items() if len({*numbers} - {IGNORE}) > 1]
        several = [name for name in mixed if inner(self.shown[name])] or mixed
        read = partial(read_class_numbers, values=self.mask_values)
        notes += [*self.mixture(read), *self.shifted(read)]
        notes += rim_notes(self.root, [*map(self.mask_path, several)], read)
        inverted = self.inverted(read)
        notes += [*inverted, *self.counted(read)]
        first = int(self.has_background)
        notes += late_class_notes(self.root, self.shown, self.all_classes, first)
        shapeless = [] if inverted else self.shapeless(read)  # a border then is a ring
        return [*notes, *shapeless, *self.unseen()]

    def unseen(self) -> list[str]:
        """Return lines on classes that no mask shows, or none of those on one side of the split."""
        expected = (
            [*self.class_names[:1], *self.tag_names] if self.has_background else self.tag_names
        )
        numbers = {self.all_classes.index(name) for name in expected if name in self.all_classes}
        lines, lacking = list[str](), set[int]()
        for kind, names, effect in (
            ("", [*self.shown], ""),
            (" to train on", self.ids("trainval"), ", so it is tested but not learnt" + ANEW),
            (" to test on", self.ids("test"), ", so it counts 0 in mIoU if predicted" + ANEW),
        ):
            masked = [self.shown[name] for name in names if name in self.shown]
            seen = {number for shown in masked for number in shown}
            unseen = sorted(numbers - seen - lacking)
            if unseen and masked and 2 * len(masked) >= len(names):
                told = shorten(", ".join(self.all_classes[number] for number in unseen), 120)
                lines.append(f"{self.root}: none of {len(masked)} masks{kind} shows {told}{effect}")
            lacking |= {*unseen} if not kind else set()
        return lines

    def unfit(self) -> list[str]:
        """Return a line where some masks can't be used, which may be nobody's business."""
        reasons = dict(self.faults)
        for name, numbers in self.shown.items():
            try:
                self.check_numbers(name, numbers)
            except UserError as error:
                reasons[name] = str(error)
        if not reasons:
            return []
        count, first = len(self.shown) + len(self.faults), min(reasons.items())[1]
        return [f"{len(reasons)} of {count} masks can't be used, the first: {first}"]

    def inverted(self, read: Reader) -> list[str]:
        """Return a line where most masks may show the background as the object."""
        if not self.has_background:
            return []
        one, two = (
            [self.mask_path(n) for n, shown in self.shown.items() if len({*shown} - {IGNORE}) == k]
            for k in (2, 3)
        )
        paths = one if len(one) >= FEWEST_INVERTED else two  # of which one may be a border
        tally = InvertedTally(self.all_classes, self.mask_values)
        return tally_notes(self.root, paths, read, tally)

    def shifted(self, read: Reader) -> list[str]:
        """Return a line where some masks may count classes from 1, if nobody says what they do."""
        if self.mask_values or not self.has_background or len(self.all_classes) < 3:
            return []
        shown = {self.mask_path(name): numbers for name, numbers in self.shown.items()}
        return shifted_note(self.root, shown, read, (self.all_classes[0], self.all_classes[1]))

    def counted(self, read: Reader) -> list[str]:
        """Return a line where numbers in masks may count objects, if nobody says what they mean."""
        if self.mask_values or not self.has_background or len(self.all_classes) < 3:
            return []
        counts = {name: {*numbers} - {0, IGNORE} for name, numbers in self.shown.items()}
        if any(shown and max(shown) > len(shown) for shown in counts.values()):
            return []
        paths = [self.mask_path(name) for name, shown in counts.items() if shown]
        return tally_notes(self.root, paths, read, CountedTally(self.all_classes))

    def shapeless(self, read: Reader) -> list[str]:
        """Return a line where masks may show something of objects, but not their shapes."""
        if not self.has_background:
            return []
        paths = [
            self.mask_path(name) for name, shown in self.shown.items() if {*shown} - {0, IGNORE}
        ]
        return tally_notes(self.root, paths, read, ShapeTally())

    def bare(self) -> list[str]:
        """Return a line where many masks show the background alone: nobody may have drawn them."""
        tested = [name for name in self.lists["test"] if name in self.shown]
        for kind, names, fewest in (
            ("masks", [*self.shown], FEWEST),
            ("masks to test on", tested, FEWEST_TESTED),
        ):
            bare = [name for name in names if [*self.shown[name]] == [0]]
            if self.has_background and len(bare) >= max(fewest, MANY * len(names)):
                return [
                    f"{self.root}: {len(bare)} of {len(names)} {kind}, the first "
                    f"{self.mask_path(min(bare)).name}, show {self.all_classes[0]} alone; take out "
                    "those that nobody has drawn yet"
                ]
        return []

    def mixture(self, read: Reader) -> list[str]:
        """Return a line where some masks show objects as 255, which the others don't hold."""
        if self.mask_values or not self.has_background:
            return []
        white = [name for name, numbers in self.shown.items() if {*numbers} == {0, IGNORE}]
        objects = [numbers for numbers in self.shown.values() if {*numbers} - {0, IGNORE}]
        if not white or not objects:
            return []
        if any(IGNORE in numbers for numbers in objects):  # which may be borders
            tally = IgnoredTally(self.all_classes, len(white))
            return tally_notes(self.root, map(self.mask_path, white), read, tally)
        names = self.all_classes[1:]
        name = names[0] if len(names) == 1 else "CLASS"
        return [
            f"{self.root}: {len(white)} of {len(self.shown)} masks, the first "
            f"{self.mask_path(min(white)).name}, hold only 0 and {IGNORE}, which is ignored and in "
            f"no other mask; if objects are {IGNORE} there, add --mask_values {IGNORE}={name}"
        ]

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


def is_moved(old: str, new: str, others: Iterable[str]) -> bool:
    """Return whether a class seems to stand elsewhere: "cat" where "Cats" is, and not at "Dogs".

    old, new: names of one number; others: names that have got a number
    """

    def likeness(name: str) -> float:
        return difflib.SequenceMatcher(None, old.casefold(), name.casefold()).ratio()

    nearest = max(map(likeness, others))
    return nearest >= ALIKE and nearest > likeness(new)


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
