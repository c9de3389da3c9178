"""Frozen features kept on disk: a photograph is shown to the encoder once."""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from PIL import Image

from weakseg.common import UserError, reason
from weakseg.data.cache import NPY_HEADER, Room, write
from weakseg.data.image_io import image_size, read_image
from weakseg.data.reading import Photograph, Source, as_photograph
from weakseg.learners.features import FeatureMaps, FrozenEncoder
from weakseg.parallel import Workers, WorkersDied, backend, stream

if TYPE_CHECKING:
    from torch import device

FEATURES_VERSION = 1  # raise it when the same weights give other features than before
ATTEMPTS = 3  # to start workers anew where some died

NewEncoder = Callable[[], FrozenEncoder]
S = TypeVar("S", Path, Photograph)


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
        return cached_encoder(self.new_encoder, str(self.device))

    def __call__(self, source: Source) -> FeatureMaps:
        """Return the features of a photograph; an unreadable one is a `UserError`."""
        return self.kept(self.path(source), image_size(source), lambda: read_image(source))

    def of_pixels(self, pixels: np.ndarray) -> FeatureMaps:
        """Return the features of an image [H, W, 3] uint8 that is in no file."""
        name = hashlib.sha256(pixels.tobytes()).hexdigest()[:32]
        height, width = pixels.shape[:2]
        stored = self.folder / f"{name}_{width}x{height}.npy"
        return self.kept(stored, (width, height), lambda: Image.fromarray(pixels))

    def kept(
        self, stored: Path, size: tuple[int, int], image: Callable[[], Image.Image]
    ) -> FeatureMaps:
        """Return the features in a file; what is not there is computed, and kept where it fits.

        size: (width, height) of the image; image: returns it
        """
        maps = self.read(stored, size)
        if maps is None:
            maps = self.encoder(image())
            if self.room.take(sum(stage.nbytes for stage in maps.maps) + NPY_HEADER):
                self.save(stored, maps)
        return maps

    def path(self, source: Source) -> Path:
        """Return where the features of a photograph lie, or would lie."""
        photograph = as_photograph(source)
        try:
            content = photograph.path.read_bytes()
        except OSError as error:
            raise UserError(
                f"{photograph}: cannot be read ({reason(error)}); mend the list that names it"
            ) from error
        content += photograph.reading.key.encode()
        return self.folder / f"{hashlib.sha256(content).hexdigest()[:32]}.npy"

    def read(self, stored: Path, size: tuple[int, int]) -> FeatureMaps | None:
        """Return the features in a file, None where it is not there yet or damaged.

        size: (width, height) of the photograph
        """
        encoder = self.encoder
        shapes = encoder.shapes(size)
        counts = [math.prod(shape) for shape in shapes]
        header = np.frombuffer(npy_header(sum(counts)), np.float16)
        try:
            flat = np.fromfile(stored, np.float16)
        except OSError:
            return None
        first = len(header)
        if len(flat) != first + sum(counts) or flat[:first].tobytes() != header.tobytes():
            return None
        parts = np.split(flat[first:], np.cumsum(counts)[:-1])
        maps = tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))
        return FeatureMaps(maps, encoder.strides, size, encoder.size.of(size))

    def save(self, stored: Path, maps: FeatureMaps) -> None:
        """Write features to a file."""
        flat = np.concatenate([stage.ravel() for stage in maps.maps])
        write(stored, lambda file: np.save(file, flat))

    def missing(self, photographs: Iterable[S]) -> list[S]:
        """Return the photographs whose features are not on disk yet, each once."""
        return [one for one in dict.fromkeys(photographs) if not self.path(one).exists()]

    def compute(self, photographs: Iterable[S], workers: Workers) -> Iterator[S]:
        """Compute what is missing on disk of the features of photographs; yield each when done.

        Those that find no room on disk are left out. A worker that is killed costs its own
        photograph's time: the others' features are on disk, and further workers go on. Raises
        `WorkersDied` where `ATTEMPTS` sets of workers die.
        """
        from joblib import delayed

        left = dict.fromkeys(self.that_fit(self.missing(photographs)))
        for attempt in range(ATTEMPTS):
            try:
                with backend(workers):
                    tasks = (delayed(self.store)(one) for one in tuple(left))
                    for one in stream(tasks, workers, in_order=False):
                        del left[one]
                        yield one
                return
            except WorkersDied:
                if attempt == ATTEMPTS - 1:
                    raise
                # What was done has no report where the workers died before it was read.
                for one in set(left) - set(self.missing(left)):
                    del left[one]
                    yield one

    def that_fit(self, photographs: list[S]) -> list[S]:
        """Return the photographs, from the first, whose features find room on disk."""
        sizes = (2 * sum(map(math.prod, self.encoder.shapes(image_size(p)))) for p in photographs)
        return photographs[: self.room.number(size + NPY_HEADER for size in sizes)]

    def store(self, photograph: S) -> S:
        """Compute the features of a photograph, keep them on disk, and return it.

        To be called where there is room.
        """
        self.save(self.path(photograph), self.encoder(read_image(photograph)))
        return photograph


@lru_cache(maxsize=64)
def npy_header(count: int) -> bytes:
    """Return what an .npy file of so many features begins with."""
    file = BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": np.dtype(np.float16).str, "fortran_order": False, "shape": (count,)}
    )
    return file.getvalue()


@lru_cache(maxsize=4)
def cached_encoder(new_encoder: NewEncoder, device: str) -> FrozenEncoder:
    """Return the encoder that a function makes, on a device; each process makes it once.

    new_encoder: equal functions with equal arguments are the same
    """
    return new_encoder().to(device)
