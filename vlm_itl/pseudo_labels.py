"""Pseudo-labels: accepted masks, kept as PNG files until the next round trains on them."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from vlm_itl.judges.base import Case
from weakseg.common import IGNORE, atomic_path
from weakseg.data.contents import content_of, short_hash
from weakseg.data.image_io import read_mask
from weakseg.planning.oracle import confident_mask


class PseudoLabels(Mapping[str, np.ndarray]):
    """The masks {id: [S, S] uint8} of a folder; each is read from the disk when it is asked for."""

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self.paths = {name: folder / f"{name}.png" for name in names}

    def __getitem__(self, name: str) -> np.ndarray:
        return read_mask(self.paths[name])

    @property
    def digest(self) -> str:
        """A short hash of what the files hold."""
        return short_hash([(name, content_of(path, True)) for name, path in self.paths.items()])

    def __contains__(self, name: object) -> bool:
        return name in self.paths

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)


def write_pseudo_label(
    folder: Path, case: Case, threshold: float, disputed: np.ndarray | None = None
) -> None:
    """Write an accepted mask as a PNG of class numbers, 255 where it is not to be learned from.

    threshold  pixels whose softmax value is below it are left out
    disputed   [S, S] bool, pixels whose class the judge disputes: left out too; None: no pixel
    """
    if case.probabilities is None:
        raise ValueError(f"{case.id}: a pseudo-label needs the network's softmax")
    first = int(not case.has_background)  # where class 0 stands for no object, it is none
    mask = confident_mask(case.probabilities[first:], threshold)
    if disputed is not None:
        mask[disputed] = IGNORE
    with atomic_path(folder / f"{case.id}.png") as temporary:
        Image.fromarray(mask).save(temporary)
