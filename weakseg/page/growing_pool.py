"""Candidate pixels of more and more pictures: their features are computed while people answer."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from weakseg.common import UserError, stable_seed
from weakseg.data.cache import NotKept
from weakseg.labels.pixels import random_places
from weakseg.learners.features import FeatureMaps
from weakseg.page.photographs import Photographs
from weakseg.planning.candidates import PER_PICTURE, Pool, pool_key

FIRST = 10  # pictures with which a session begins
GROWTH = 1.5  # pictures join when there are so many times as many


class GrowingPool:
    """The candidates of the first pictures of a session, in its order.

    features_of  id -> features of the picture
    path         of the file that holds features, mapped into memory; safe to delete
    ready        pictures whose features are there
    unusable     {index: why} of pictures that turn out to be damaged; nobody is asked about them
    """

    def __init__(
        self,
        photographs: Photographs,
        features_of: Callable[[str], FeatureMaps],
        width: int,
        folder: Path,
        key: str,
        seed: int,
    ) -> None:
        self.photographs, self.features_of = photographs, features_of
        names = photographs.names
        self.places = np.stack(
            [
                random_places(size, PER_PICTURE, rng_of(seed, name))
                for name, size in zip(names, photographs.sizes, strict=True)
            ]
        ).astype(np.float32)
        path = folder / f"page_{pool_key([key, seed, PER_PICTURE, names])}.npy"
        self.features = mapped(path, (len(names), PER_PICTURE, width))
        self.sizes = np.array(photographs.sizes, np.int64)
        self.ready = 0
        self.unusable: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.photographs)

    def compute(self, closed: threading.Event, progress: Callable[[], None]) -> None:
        """Compute features, picture by picture, until all are there or the session is closed.

        Called again where the disk had no room, it goes on.
        """
        for index in range(self.ready, len(self)):
            name = self.photographs.names[index]
            if closed.is_set():
                return
            if not self.features[index, -1].any():  # of a file that holds it already
                try:
                    maps = self.features_of(name)
                    self.features[index] = maps.at(self.places[index])
                except NotKept:
                    raise
                except UserError as error:
                    self.unusable[index] = str(error)
                    self.sizes[index] = 0
            self.ready = index + 1
            progress()

    def first(self, count: int) -> Pool:
        """Return the pool of the first pictures."""
        names = self.photographs.names[:count]
        sizes = self.sizes[:count].copy()
        return Pool(names, sizes, self.places[:count], self.features[:count])

    def due(self, joined: int) -> int:
        """Return how many pictures should be in the session, of which some are there."""
        everything = len(self)
        if self.ready == everything:
            return everything
        wanted = max(min(FIRST, everything), int(joined * GROWTH))
        return self.ready if self.ready >= wanted and self.ready > joined else joined


def rng_of(seed: int, name: str) -> np.random.Generator:
    """Return what draws the candidates of a picture."""
    return np.random.default_rng(stable_seed(seed, "pool", name))


def mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Return features [I, K, D] float16 in a file; a new one, or one of another shape, holds 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        found: np.ndarray = np.load(path, mmap_mode="r+")
        is_whole = found.shape == shape and found.dtype == np.float16
    except (OSError, ValueError, EOFError):
        is_whole = False
    if not is_whole:
        found = np.lib.format.open_memmap(path, "w+", np.float16, shape)
    take_room(path)
    return found


def take_room(path: Path) -> None:
    """Take the room that a file needs on its disk; where there is none it is a `NotKept`.

    A process that writes to a mapped file for which there is no room ends at once.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EINVAL):  # of file systems that can't promise
            return
        path.unlink(missing_ok=True)
        raise NotKept(
            f"{path}: cannot be written ({error.strerror}); choose another --cache_dir"
        ) from error
