"""Frozen features kept on disk: a photograph is shown to the encoder once."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from weakseg.common import UserError, reason
from weakseg.data.cache import NPY_HEADER, Room, write
from weakseg.data.image_io import image_size, read_image
from weakseg.learners.features import FeatureMaps, FrozenEncoder
from weakseg.parallel import Workers, WorkersDied, backend, stream

if TYPE_CHECKING:
    from torch import device

FEATURES_VERSION = 1  # raise it when the same weights give other features than before
ATTEMPTS = 3  # to start workers anew where some died

NewEncoder = Callable[[], FrozenEncoder]


class FeatureStore:
    """The frozen features of photographs, one .npy file each, made on first use.

    A file's name holds the content of the photograph, its folder's name the encoder, its weights
    and the size of frames: a photograph that changes, or is copied, is treated as it should be.
    The folder is safe to delete. Files appear by rename, so processes may share it.

    new_encoder  makes the encoder; it can be pickled, so that workers make their own
    folder       of all caches
    limit        gigabytes that the folder may hold, see `weakseg.data.cache.Room`
    """

    def __init__(
        self,
        new_encoder: NewEncoder,
        folder: str | Path,
        limit: float | None = None,
        device: "str | device" = "cpu",
    ) -> None:
        self.new_encoder, self.device = new_encoder, device
        self.room = Room(Path(folder), limit, "are computed")
        encoder = self.encoder
        size = encoder.size
        words = FEATURES_VERSION, encoder.name, encoder.digest, size, encoder.strides
        key = hashlib.sha256(repr(words).encode()).hexdigest()[:16]
        self.folder = Path(folder) / "features" / key

    @property
    def encoder(self) -> FrozenEncoder:
        """The encoder itself, made once in each process."""
        return cached_encoder(self.new_encoder).to(self.device)

    def __call__(self, path: str | Path) -> FeatureMaps:
        """Return the features of a photograph; an unreadable one is a `UserError`."""
        stored = self.path(path)
        size = image_size(path)
        maps = self.read(stored, size)
        if maps is None:
            maps = self.encoder(read_image(path))
            self.keep(stored, maps)
        return maps

    def path(self, path: str | Path) -> Path:
        """Return where the features of a photograph lie, or would lie."""
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise UserError(
                f"{path}: cannot be read ({reason(error)}); mend the list that names it"
            ) from error
        return self.folder / f"{hashlib.sha256(content).hexdigest()[:32]}.npy"

    def read(self, stored: Path, size: tuple[int, int]) -> FeatureMaps | None:
        """Return the features in a file, None where it is not there yet or damaged.

        size: (width, height) of the photograph
        """
        shapes = self.encoder.shapes(size)
        try:
            with stored.open("rb") as file:
                flat = np.lib.format.read_array(file, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        ends = np.cumsum([np.prod(shape) for shape in shapes])
        if flat.dtype != np.float16 or flat.shape != (ends[-1],):
            return None
        parts = np.split(flat, ends[:-1])
        maps = tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))
        return FeatureMaps(maps, self.encoder.strides, size, self.encoder.size.of(size))

    def keep(self, stored: Path, maps: FeatureMaps) -> None:
        """Write features to a file, if there is room."""
        flat = np.concatenate([stage.ravel() for stage in maps.maps])
        if self.room.take(flat.nbytes + NPY_HEADER):
            write(stored, lambda file: np.save(file, flat))

    def missing(self, paths: Iterable[Path]) -> list[Path]:
        """Return the photographs whose features are not on disk yet."""
        return [path for path in paths if not self.path(path).exists()]

    def compute(self, paths: Iterable[Path], workers: Workers) -> Iterator[Path]:
        """Compute what is missing on disk of the features of photographs; yield each when done.

        A worker that is killed costs its own photograph's time: the others' features are on disk,
        and new workers go on. Raises `WorkersDied` where that happens `ATTEMPTS` times.
        """
        from joblib import delayed

        left = self.missing(paths)
        for attempt in range(ATTEMPTS):
            try:
                with backend(workers):
                    tasks = (delayed(self.store)(path) for path in left)
                    yield from stream(tasks, workers, in_order=False)
                return
            except WorkersDied:
                left = self.missing(left)
                if attempt == ATTEMPTS - 1:
                    raise

    def store(self, path: Path) -> Path:
        """Compute the features of a photograph, keep them on disk, and return its path."""
        self(path)
        return path


@lru_cache(maxsize=4)
def cached_encoder(new_encoder: NewEncoder) -> FrozenEncoder:
    """Return the encoder that a function makes; each process makes it once.

    new_encoder: equal functions with equal arguments are the same
    """
    return new_encoder()
