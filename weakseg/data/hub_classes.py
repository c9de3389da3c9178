"""The classes of a hub's masks: their numbers, and the names that its features or colours tell."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from weakseg.common import IGNORE, UserError
from weakseg.data.datasets import Voc

OPTION = "data.hub_classes"
GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")  # modes of class numbers


class HubClasses:
    """The names of the classes of one data set, held against each of its masks.

    They are those that the user gave. Else a feature that lists the classes of each image tells
    them; a class of the whole image, such as a scene's, does not. Else masks in VOC's colours show
    VOC's classes. Where nothing tells them, the data set is refused: a wrong name is worse.
    """

    def __init__(self, id: str, given: Sequence[str], features: Mapping[str, Any]) -> None:
        """id: of the data set; features: of a table, as 🤗 datasets describes them."""
        self.id, self.given = id, list(given)
        listed = {} if given else dict(listed_classes(features))
        self.path: tuple[str, ...] = next(iter(listed)) if len(listed) == 1 else ()
        self.told: list[str] = listed[self.path] if self.path else []
        self.in_colours = False

    def refuse_others(self, splits: Mapping[str, Any]) -> None:
        """Refuse tables whose features list other classes than the first one's.

        splits: {name: table}
        """
        for split, table in splits.items():
            listed = {} if self.given else dict(listed_classes(table.features))
            if self.told and listed.get(self.path, self.told) != self.told:
                raise UserError(
                    f"{self.id}: the feature {'.'.join(self.path)} of {split} lists other classes "
                    f"than that of {next(iter(splits))}; give {OPTION}: [name of 0, name of 1, ...]"
                )

    def check(
        self, row: Mapping[str, Any], mask: Image.Image, numbers: np.ndarray, name: str
    ) -> None:
        """Refuse a mask that the names don't fit.

        row: of the table; mask, numbers [H, W]: the mask as it is stored, and its classes; name:
        for messages
        """
        self.in_colours |= is_coloured(mask)
        shown = set(np.unique(numbers).tolist()) - {IGNORE}
        if self.told and not shown - {0} <= set(values_at(row, self.path)):
            raise UserError(
                f"{self.id}: the classes that the feature {'.'.join(self.path)} lists are not the "
                f"numbers in the mask of {name}; give {OPTION}: [name of 0, name of 1, ...]"
            )
        names = self.given or self.told or Voc.all_classes
        if max(shown, default=0) >= len(names):
            raise UserError(
                f"{self.id}: the mask of {name} holds the number {max(shown)}, but there are "
                f"{len(names)} names of classes; give {OPTION}: [name of 0, name of 1, ...]"
            )

    def names(self) -> list[str]:
        """Return the names, from that of 0, once all masks were checked."""
        if not (self.given or self.told or self.in_colours):
            raise UserError(
                f"{self.id}: no feature names the classes of its masks; give {OPTION}: "
                "[name of 0, name of 1, ...]"
            )
        names = self.given or self.told or Voc.all_classes
        return [" ".join(str(name).split()) for name in names]


def listed_classes(
    features: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Yield (path, names) of each list of classes in features."""
    from datasets import ClassLabel

    if isinstance(features, Mapping):
        for key, inner in features.items():
            yield from listed_classes(inner, (*path, key))
        return
    inner = features[0] if isinstance(features, list) else getattr(features, "feature", None)
    if isinstance(inner, ClassLabel):
        yield path, list(inner.names)
    elif inner is not None:
        for deeper, feature in inner.items() if isinstance(inner, Mapping) else ():
            if isinstance(feature, ClassLabel):
                yield (*path, deeper), list(feature.names)


def values_at(row: Any, path: Sequence[str]) -> list[int]:
    """Return the class numbers at a path in a row, whether lists of tables or tables of lists."""
    for key in path:
        row = [item[key] for item in row] if isinstance(row, list) else row[key]
    return [number for number in row or () if number is not None]


def voc_colours() -> np.ndarray:
    """Return VOC's colour map [256, 3] uint8.

    The bits of a class number go by turns to red, green and blue, from their top bits down.
    """
    numbers = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            set_bits = (numbers >> (3 * bit + channel)) & 1
            colours[:, channel] |= (set_bits << (7 - bit)).astype(np.uint8)
    return colours


def is_coloured(mask: Image.Image) -> bool:
    """Whether a mask's classes have VOC's colours: by its pixels or by its palette."""
    if mask.mode in GREY:
        return False
    if mask.mode != "P":
        return bool(np.ptp(np.asarray(mask.convert("RGB")), axis=2).any())
    palette = np.array(mask.getpalette() or [], np.uint8).reshape(-1, 3)
    count = len(Voc.all_classes)
    return len(palette) >= count and np.array_equal(palette[:count], voc_colours()[:count])


def class_numbers(mask: Image.Image, name: str) -> np.ndarray:
    """Return [H, W] uint8 classes (255 = void) of a mask of class numbers or of VOC's colours."""
    if mask.mode in GREY or mask.mode == "P":
        values = np.asarray(mask.getchannel(0) if mask.mode == "LA" else mask)
        if values.min() < 0 or values.max() > IGNORE:
            raise UserError(f"{name}: its mask holds numbers outside 0 to {IGNORE}")
        return values.astype(np.uint8)
    values = np.asarray(mask.convert("RGB")).astype(np.int64) @ (1 << 16, 1 << 8, 1)
    keys = voc_colours().astype(np.int64) @ (1 << 16, 1 << 8, 1)
    class_of = {int(keys[number]): number for number in (*range(len(Voc.all_classes)), IGNORE)}
    colours, inverse = np.unique(values, return_inverse=True)
    strange = [colour for colour in colours.tolist() if colour not in class_of]
    if strange and not is_coloured(mask):  # a grey picture of numbers, saved in colours
        return np.asarray(mask.convert("RGB"))[..., 0]
    if strange:
        raise UserError(
            f"{name}: its mask holds the colour #{strange[0]:06x}, which is none of VOC's classes"
        )
    classes = np.array([class_of[colour] for colour in colours.tolist()], np.uint8)
    return classes[inverse].reshape(values.shape)
