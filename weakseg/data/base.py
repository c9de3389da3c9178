"""What all data sets share: lists, deterministic splits, reading, and checks that name the
offending file.
"""

import copy
import hashlib
import math
from pathlib import Path

import numpy as np

from weakseg.common import UserError, stable_seed
from weakseg.data.image_io import image_size, read_image, read_mask

STRAY = 254  # stands for a number that is no class while a mask is read
SPLITS = ("train", "val", "test")


def hold_out(strata, fraction, seed):
    """Choose `fraction` of the ids, within one of the exact share in every stratum, and at least
    one id -> set.

    strata: {id: sortable label}; with tuples, every group of equal first parts gets its share to
    within one as well. Each stratum is ordered by a hash of (seed, id), so the order of the ids
    doesn't matter.
    """
    groups = {}
    for name, stratum in strata.items():
        groups.setdefault(stratum, []).append(name)
    held, before = set(), 0
    for stratum in sorted(groups):
        names = sorted(groups[stratum], key=lambda name: stable_seed(seed, name))
        after = before + len(names)
        # Shares are rounded along the sum over all strata, so that many small strata together give
        # up their part.
        held.update(
            names[: math.floor(fraction * after + 0.5) - math.floor(fraction * before + 0.5)]
        )
        before = after
    return held or set(sorted(strata, key=lambda name: stable_seed(seed, name))[:1])


def read_list(path):
    """Return the stripped lines of a list file that are neither empty nor comments; none at all is
    a `UserError`.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: cannot be read ({error}); mend it, or run python download_data.py"
        ) from error
    lines = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not lines:
        raise UserError(f"{path}: lists nothing; mend it, or run python download_data.py")
    return lines


class SegmentationDataset:
    """The contract of a data set; see data_utils.py for what a subclass adds.

    `flags` are the words of a command line that opens it alike; `absent` is the number of listed
    images that are not there: they are left out, and the split of the others is what it would be
    with them.
    """

    name = None
    by_image = ()  # attributes that hold something for each image, {id: ...}

    def __init__(
        self,
        root,
        classes=(),
        tag_set="default",
        cache_dir="./data/.cache",
        val_fraction=0.1,
        split_seed=0,
    ):
        if not 0 < val_fraction < 1:
            raise UserError(f"--val_fraction {val_fraction}: must lie between 0 and 1")
        self.root, self.cache_dir, self.split_seed = Path(root), cache_dir, split_seed
        self.flags = [
            *(["--classes", *classes] if classes else []),
            *(["--tag_set", tag_set] * (tag_set != "default")),
        ]
        self.flags += ["--split_seed", split_seed] if split_seed else []
        self.read_lists()
        self.set_classes(list(classes), tag_set)
        strata = {name: self.stratum(name) for name in self.listed("trainval")}
        test = set(self.listed("test"))
        twice = set(strata) & test
        if twice:
            raise UserError(
                f"{self.root}: {min(twice)} is listed for training and for the test; mend the lists"
            )
        held = hold_out(
            {name: strata[name] for name in self.can_validate(strata)}, val_fraction, split_seed
        )
        self.set_ids({"train": set(strata) - held, "val": held, "test": test})

    def set_ids(self, parts):
        """Keep the ids whose image is there; a split without any is refused."""
        self._ids = {
            split: sorted(i for i in part if self.image_path(i).exists())
            for split, part in parts.items()
        }
        self.absent = sum(map(len, parts.values())) - sum(map(len, self._ids.values()))
        for split, names in self._ids.items():
            if not parts[split]:
                raise UserError(
                    f"--data_dir {self.root}: no image is left for the {split} split; "
                    "add some to the lists, or choose other --classes"
                )
            if not names:
                raise UserError(
                    f"--data_dir {self.root}: of {len(parts[split])} images of the {split} split none is there, the "
                    f"first {self.image_path(min(parts[split]))}; mend the lists, or run python download_data.py"
                )

    def can_validate(self, names):
        """Return those of `names` that may be held for validation."""
        return names

    def ids(self, split):
        """Return the sorted ids of 'train', 'val', 'test', or 'trainval'."""
        if split == "trainval":
            return sorted(self._ids["train"] + self._ids["val"])
        return self._ids[split]

    def part(self, names):
        """Return a data set that knows these images alone and has no splits: what is sent to
        another process.
        """
        part = copy.copy(self)
        part.lists = part._ids = {}
        for key in self.by_image:
            known = getattr(self, key)
            setattr(part, key, {name: known[name] for name in names if name in known})
        return part

    def image(self, name):
        """Return the photograph, upright, as a `PIL.Image` in RGB."""
        return read_image(self.image_path(name))

    def image_size(self, name):
        """Return (width, height) of the original image, upright."""
        return image_size(self.image_path(name))

    def mask(self, name):
        """Return [H, W] uint8 classes at the original size, 255 = ignore."""
        return self.to_classes(name, read_mask(self.mask_path(name)))

    def load(self, name):
        """Return (image [H, W, 3] uint8, mask [H, W] uint8)."""
        image, mask = np.asarray(self.image(name)), self.mask(name)
        self.check_size(name, mask.shape)
        return image, mask

    def resized_mask(self, name, cache):
        """Return [S, S] uint8 classes at the size of an `image_io.ResizedCache`, 255 = ignore."""
        return self.to_classes(name, cache.mask(self.mask_path(name)))

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
        import cv2

        table = self.lookup(name)
        classes = cv2.LUT(values, np.where(table < 0, STRAY, table).astype(np.uint8))
        if (classes == STRAY).any():  # of strays, or of as many classes
            strays = [number for number in np.unique(values) if table[number] < 0]
            if strays:
                raise UserError(
                    f"{self.mask_path(name)}: holds the number {strays[0]}, which is no class of this data set"
                )
        return classes

    def fingerprint(self):
        """Return a short hash over ids, splits, classes and file sizes: runs with the same one saw
        the same data.
        """
        return self._digest((self.name, self.class_names, self.tag_names), SPLITS)

    def test_fingerprint(self):
        """Return that of the test split alone: runs with the same one can be compared."""
        return self._digest((self.name, self.class_names), ("test",))

    def _digest(self, head, splits):
        digest = hashlib.sha256(repr(head).encode())
        for split in splits:
            for name in self.ids(split):
                sizes = [
                    p.stat().st_size if p.exists() else 0
                    for p in (self.image_path(name), self.mask_path(name))
                ]
                digest.update(repr((split, name, sizes)).encode())
        return digest.hexdigest()[:16]
