"""What looks wrong of photographs, their masks and their split, in whatever layout they lie."""

import contextlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from weakseg.common import IGNORE, UserError, evenly
from weakseg.data.contents import content_of
from weakseg.data.doubts.bars import bar_notes
from weakseg.data.doubts.films import film_notes
from weakseg.data.doubts.misplaced import misplaced_notes
from weakseg.data.doubts.mixed_ranges import LOOKED, mixed_range_notes
from weakseg.data.doubts.named_tiles import parted_tiles
from weakseg.data.doubts.slices import slice_notes
from weakseg.data.doubts.tested_twins import twin_notes
from weakseg.data.doubts.turned import turned_notes
from weakseg.data.doubts.unread_tables import table_notes
from weakseg.data.groups import FILE as GROUPS
from weakseg.data.predictions import folder_of_predictions, journal_of, masks_as_written
from weakseg.data.reading import Photograph, Reading
from weakseg.data.twins import copies, equal_files

PARTED = 0.1  # share of pixels in which two masks of one photograph may differ
COMPARED = 5000  # images, or masks, at most whose files are compared with others

Pair = tuple[Path, Path]  # a photograph, its mask


class DataSet(Protocol):
    """What is asked of a data set to look at its photographs and masks.

    It is a `SegmentationDataset`, which describes all of these.
    """

    root: Path
    chosen: Reading
    may_lack_test: bool

    @property
    def groups(self) -> dict[str, str]: ...
    def ids(self, split: str) -> list[str]: ...
    def pictures(self) -> dict[str, Path]: ...
    def masked(self, names: Iterable[str]) -> list[str]: ...
    def with_own_masks(self, names: Iterable[str]) -> list[str]: ...
    def image_path(self, name: str) -> Path: ...
    def mask_path(self, name: str) -> Path: ...
    def image(self, name: str) -> Image.Image: ...
    def mask(self, name: str) -> np.ndarray: ...
    def class_numbers(self, path: Path) -> np.ndarray: ...


def pair_notes(data: DataSet, unopened: Collection[str] = ()) -> list[str]:
    """Return lines on photographs, masks and tables of a data set that may be wrong.

    unopened: ids of images whose masks are not to be looked at
    """
    used = sorted([*data.ids("trainval"), *data.ids("test")])
    open_ones = data.with_own_masks(sorted({*used} - {*unopened}))
    pairs = {name: (data.image_path(name), data.mask_path(name)) for name in open_ones}
    compared = {name: pairs[name] for name in evenly([*pairs], COMPARED)}
    deep = [Photograph(data.image_path(name), data.chosen) for name in evenly(used, LOOKED)]
    split = data.root, data.ids, data.groups, data.image_path
    parted = tile_notes(data) or film_notes(*split) or slice_notes(*split, data.image)
    has_groups, has_splits = (data.root / GROUPS).exists(), not data.may_lack_test
    return [
        *table_notes(data.root, data.pictures(), has_groups, has_splits),
        *twin_notes(*split),
        *trained_twins(data, pairs),
        *copied_masks(data, compared),
        *parted,
        *predicted_masks(data, compared),
        *turned_notes(data.root, compared.values()),
        *bar_notes(data.root, [*compared.values()], data.class_numbers),
        *misplaced_masks(data, pairs),
        *mixed_range_notes(data.root, deep),
    ]


def misplaced_masks(data: DataSet, pairs: Mapping[str, Pair]) -> list[str]:
    """Return lines where masks to train on, or to test on, fit edges better in another way."""
    lines = []
    for split, words in (("trainval", "to train on"), ("test", "to test on")):
        own = [pairs[name] for name in data.ids(split) if name in pairs]
        lines += misplaced_notes(data.root, words, own, data.class_numbers)
    return lines


def trained_twins(data: DataSet, opened: Collection[str]) -> list[str]:
    """Return a line on images to train on whose file is that of another one, if any.

    opened: ids of those whose masks may be looked at
    """
    trained = data.ids("trainval")
    pairs = copies([*map(data.image_path, evenly(trained, COMPARED))])
    if not pairs:
        return []
    one, other = (path.relative_to(data.root) for path in pairs[0])
    lines = [
        f"{data.root}: {len(pairs)} images to train on are copies of another one, the first "
        f"{one} of {other}; what their masks show of it counts more than once"
    ]
    names = {data.image_path(name): name for name in trained}
    named = {pair: (names[pair[0]], names[pair[1]]) for pair in pairs}
    open_ones = [pair for pair in pairs if {*named[pair]} <= {*opened}]
    denied = [pair for pair in open_ones if differ(data, *named[pair])]
    if denied:
        one, other = (path.relative_to(data.root) for path in denied[0])
        lines.append(
            f"{data.root}: {len(denied)} of these have masks that deny one another, the first "
            f"{one} and {other}; remove the wrong one"
        )
    return lines


def differ(data: DataSet, one: str, other: str) -> bool:
    """Return whether masks of two equal photographs show other classes, or not alike.

    They do if of the pixels that both label, more than a tenth are of another class, or if one
    shows a class that the other shows nowhere. Masks that make no sense are told elsewhere.
    """
    if len(data.masked((one, other))) < 2:
        return False
    with contextlib.suppress(UserError):
        first, second = data.mask(one), data.mask(other)
        shown = [{*np.unique(mask).tolist()} - {IGNORE} for mask in (first, second)]
        both = (first != IGNORE) & (second != IGNORE)
        parted = both & (first != second)
        return shown[0] != shown[1] or bool(parted.sum() > PARTED * both.sum())
    return False


def copied_masks(data: DataSet, drawn: Mapping[str, Pair]) -> list[str]:
    """Return a line on masks with objects that are one file, of pictures that are not, if any.

    Masks of one class all over may well be equal.
    """
    photographs = {mask: photograph for photograph, mask in drawn.values()}
    pairs = copies(photographs)
    telling = {other for other in {other for _, other in pairs} if shows_several(data, other)}
    pairs = [
        (one, other)
        for one, other in pairs
        if other in telling and not equal_files([photographs[one]], [photographs[other]])
    ]
    if not pairs:
        return []
    one, other = (path.relative_to(data.root) for path in pairs[0])
    return [
        f"{data.root}: {len(pairs)} masks are copies of the mask of another picture, the first "
        f"{one} of {other}"
    ]


def shows_several(data: DataSet, mask: Path) -> bool:
    """Return whether a mask file shows more than one class; one that can't be read shows none."""
    with contextlib.suppress(UserError):
        return len({*np.unique(data.class_numbers(mask)).tolist()} - {IGNORE}) > 1
    return False


def tile_notes(data: DataSet) -> list[str]:
    """Return a line on test images that are tiles of a photograph that is trained on, if any.

    Two that `groups.txt` names in two groups are known not to be.
    """

    def in_grey(name: str) -> np.ndarray:
        return np.asarray(data.image(name).convert("L"))

    tested = data.ids("test")
    tiles = parted_tiles(tested, data.ids("trainval"), in_grey)
    tiles = [tile for tile in tiles if not all(name in data.groups for name in tile[:2])]
    if not tiles:
        return []
    one, other, photograph = tiles[0]
    return [
        f"{data.root}: {len(tiles)} of {len(tested)} test images are, by their names, tiles of "
        f"photographs of which others are trained on, the first {one} beside {other}, so "
        f"scores are too good; give those of one photograph one group in {GROUPS}, a line "
        f"'{one}, {photograph}' for each"
    ]


def predicted_masks(data: DataSet, drawn: Mapping[str, Pair]) -> list[str]:
    """Return a line on masks that are a model's own, in a folder that predict.py wrote."""
    folders = {mask.parent for _, mask in drawn.values()}
    written = dict[str, str]()
    for folder in {*map(folder_of_predictions, folders)}:
        written |= masks_as_written(journal_of(folder) if folder else {})
    own = [
        name
        for name, (_, mask) in drawn.items()
        if name in written and content_of(mask, is_whole=True) == written[name]
    ]
    if not own:
        return []
    return [
        f"{data.root}: {len(own)} masks are as predict.py wrote them, the first of {own[0]}; "
        "what learns from them, or is scored on them, repeats a model; keep those alone that "
        "somebody checked"
    ]
