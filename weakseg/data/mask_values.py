"""Masks of other tools: what their numbers or colours mean, by --mask_values and --mask_ignore.

--mask_values 255=blob                 255 is the class blob; 0 stays what classes.txt says
--mask_values 1000=road 2000=car       numbers up to 65535
--mask_values '#ff0000=road' '#000000=background' --mask_ignore '#ffffff'
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from weakseg.common import IGNORE, UserError, choose
from weakseg.data.doubts.rims import averaged
from weakseg.data.doubts.stretched import CAUSE, FEWEST, WHITE, are_stretched
from weakseg.data.image_io import opened_mask, read_mask, stored_values

COLOUR, NUMBER = re.compile(r"#[0-9a-fA-F]{6}"), re.compile(r"[0-9]{1,5}")
MOST = 65535  # number that a mask may hold
FEW_BITS = 15  # the largest of 4 bits
IGNORED = "nothing (ignored)"


@dataclass(frozen=True)
class MaskValues:
    """What the values in mask files mean.

    meaning     {number, or colour 0xrrggbb: number of the class, or 255}
    are_colours whether the values are colours, of which no other may occur
    classes     how many there are: a number below it that has no other meaning is a class's own
    ignores     whether 255 is ignored where it has no other meaning
    flag        that says it
    """

    meaning: Mapping[int, int]
    are_colours: bool
    classes: int
    ignores: bool
    flag: str = "--mask_values"

    @classmethod
    def of_flags(
        cls,
        words: Sequence[str],
        ignored: str | None,
        names: Sequence[str],
        flag: str = "--mask_values",
    ) -> "MaskValues | None":
        """Return what the words VALUE=CLASS of --mask_values and the value of --mask_ignore mean.

        names: of the classes, in the order of their numbers; flag: that has the words. None where
        no flag is given; what means nothing is a `UserError`.
        """
        given: dict[str, int] = {}
        for word in words:
            value, _, name = word.partition("=")
            if not name:
                raise UserError(f"{flag} {word}: write NUMBER=CLASS or '#rrggbb=CLASS'")
            choose([name], names, f"{flag} {word}:")
            add(given, value, names.index(name), f"{flag} {word}")
        if ignored is not None:
            add(given, ignored, IGNORE, f"--mask_ignore {ignored}")
        if not given:
            return None
        kinds = {bool(COLOUR.fullmatch(value)) for value in given}
        if len(kinds) > 1:
            raise UserError(
                f"{flag}{', --mask_ignore' if ignored else ''}: name numbers or colours, not both; "
                "masks hold one of them"
            )
        are_colours = kinds == {True}
        base = 16 if are_colours else 10
        meaning = {int(value.lstrip("#"), base): label for value, label in given.items()}
        return cls(meaning, are_colours, len(names), ignored is None, flag)

    @property
    def key(self) -> str:
        """A short text that differs where the meaning does, for names of files."""
        described = repr((sorted(self.meaning.items()), self.are_colours, self.classes))
        text = f"{described}{self.ignores}"
        return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()

    def read(self, path: str | Path) -> np.ndarray:
        """Read a mask as class numbers, [H, W] uint8, upright; 255 is ignored.

        A value without a meaning is a `UserError`.
        """
        # Whoever gives 85 a meaning looked at two bits with a program that shows them as eight.
        as_shown = any(n > FEW_BITS and label != IGNORE for n, label in self.meaning.items())
        values = read_colours(path) if self.are_colours else read_numbers(path, as_shown)
        present, places = np.unique(values, return_inverse=True)
        strays = [value for value in present.tolist() if self.class_of(value) is None]
        if strays:
            self.refuse(path, strays)
        classes = [self.class_of(value) for value in present.tolist()]
        return np.array(classes, np.uint8)[places].reshape(values.shape)

    def class_of(self, value: int) -> int | None:
        """Return the number of the class that a value means; None where it means nothing."""
        if value in self.meaning:
            return self.meaning[value]
        if not self.are_colours and (value < self.classes or (value == IGNORE and self.ignores)):
            return value
        return None

    def refuse(self, path: str | Path, strays: Sequence[int]) -> NoReturn:
        """Refuse a mask that holds values which mean nothing."""
        shown = f"'#{strays[0]:06x}'" if self.are_colours else str(strays[0])
        kind = "colour" if self.are_colours else "number"
        ignore = f", or --mask_ignore {shown}" if self.flag == "--mask_values" else ""
        known, others = {*self.meaning} - {0}, {*strays, WHITE}
        is_stretched = not self.are_colours and len(known) > 1
        is_stretched = is_stretched and are_stretched(FEWEST * [known, others], self.classes)
        raise UserError(
            f"{path}: holds the {kind} {shown}, which means nothing; add {shown}=CLASS to "
            f"{self.flag}{ignore}{CAUSE if is_stretched else averaged(strays, kind)}"
        )


def described(values: MaskValues | None, names: Sequence[str]) -> dict[str, str]:
    """Return {value in mask files: name of its class, or `IGNORED`}, as headers of labels hold it.

    values: what those in the files mean; None: they are class numbers. names: of the classes
    """
    are_colours = values is not None and values.are_colours
    table = {} if are_colours else dict(enumerate(names))
    if not are_colours and (values is None or values.ignores):
        table[IGNORE] = IGNORED
    if values:
        table |= {
            value: IGNORED if label == IGNORE else names[label]
            for value, label in values.meaning.items()
        }
    return {f"#{value:06x}" if are_colours else str(value): table[value] for value in sorted(table)}


def read_class_numbers(
    path: str | Path, values: MaskValues | None = None, flag: str = "--mask_values"
) -> np.ndarray:
    """Read a mask as class numbers, [H, W] uint8, upright.

    values: what those in the file mean; None: they are class numbers. flag: that says it
    """
    return values.read(path) if values else read_mask(path, flag)


def add(given: dict[str, int], value: str, label: int, flag: str) -> None:
    """Take in what a value means; one that is no value, or has a meaning already, is refused."""
    is_number = NUMBER.fullmatch(value) and int(value) <= MOST
    if not is_number and not COLOUR.fullmatch(value):
        raise UserError(f"{flag}: {value!r} is neither a number up to {MOST} nor a colour #rrggbb")
    value = str(int(value)) if is_number else value.lower()
    if value in given:
        raise UserError(f"{flag}: {value} has a meaning already; keep one")
    given[value] = label


def read_colours(path: str | Path) -> np.ndarray:
    """Read the colours 0xrrggbb of a mask, [H, W] int64, upright; palettes are applied."""
    with opened_mask(path) as image:
        channels = np.asarray(image.convert("RGB")).astype(np.int64)
    return channels @ np.array([1 << 16, 1 << 8, 1])


def read_numbers(path: str | Path, as_shown: bool = False) -> np.ndarray:
    """Read the numbers of a mask, [H, W], upright; a grey picture may be stored in colours.

    as_shown: whether those of 2 or 4 bits are meant as of 8, see `weakseg.data.image_io`
    """
    values, mode = stored_values(path, as_shown)
    if mode == "LA":
        values = values[..., 0]
    if values.ndim == 3:
        raise UserError(
            f"{path}: is a colour picture; say what its colours mean: --mask_values '#rrggbb=CLASS'"
        )
    if values.dtype.kind not in "biu" or values.min() < 0 or values.max() > MOST:
        raise UserError(f"{path}: a mask must hold whole numbers up to {MOST}, not {mode}")
    return values.astype(np.int64)
