"""An on-disk cache of resized images and masks, and of the classes that masks show."""

import contextlib
import functools
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

import numpy as np
from PIL import Image

from weakseg.common import UserError, atomic_path, stable_seed
from weakseg.data.image_io import read_image, to_square
from weakseg.data.mask_values import MaskValues, read_class_numbers
from weakseg.data.reading import Source, as_photograph

NPY_HEADER = 128  # bytes of an .npy file before the array
ALLOWANCE = 1 / 64  # of a limited cache's room that a process fills before it looks again
CACHE_VERSION = 3  # raise it when reading or resizing gives other pixels than before
NUMBERS_VERSION = 1  # raise it when the numbers in masks are read otherwise than before
FULL = "the disk is full"  # where numpy wrote less than it should and says no more


class ResizedCache:
    """Images and masks as square uint8 arrays, one .npy file each, made on first use.

    A file's name holds the source's path, size and times, so a changed source is read anew. Files
    appear by rename, so any number of processes may share the folder.

    size: of the square's side, in pixels
    limit: gigabytes that the folder may hold, with all that is in it, see `Room`
    """

    def __init__(self, folder: str | Path, size: int, limit: float | None = None) -> None:
        self.root, self.size = Path(folder), size
        self.folder = self.root / str(size)
        self.room = Room(self.root, limit, "are decoded")

    def at(self, size: int) -> "ResizedCache":
        """Return the cache of another size, in the same folder and the same room."""
        other = ResizedCache(self.root, size)
        other.room = self.room
        return other

    def image(self, source: Source) -> np.ndarray:
        """Return [3, size, size] uint8, resized with antialiasing."""
        shape = (3, self.size, self.size)
        return self._get(source, "image", shape, lambda: to_square(read_image(source), self.size))

    def mask(self, path: str | Path, values: MaskValues | None = None) -> np.ndarray:
        """Return [size, size] uint8, class numbers, nearest neighbour.

        values: what those in the file mean; None: they are class numbers
        """

        def make() -> np.ndarray:
            mask = Image.fromarray(read_class_numbers(path, values))
            return np.asarray(mask.resize((self.size, self.size), Image.Resampling.NEAREST))

        kind = f"mask-{values.key}" if values else "mask"
        return self._get(path, kind, (self.size, self.size), make)

    def _get(
        self, source: Source, kind: str, shape: tuple[int, ...], make: Callable[[], np.ndarray]
    ) -> np.ndarray:
        """Return an array of a kind and shape that is made of a file, from its own file if any."""
        stored = self.folder / f"{source_key(source)}.{kind}.npy"
        header = npy_header(np.dtype(np.uint8).str, shape)
        with contextlib.suppress(OSError):  # not there yet; what is damaged is made anew too
            content = stored.read_bytes()
            if content.startswith(header) and len(content) == len(header) + math.prod(shape):
                numbers = np.frombuffer(bytearray(content), np.uint8, offset=len(header))
                return numbers.reshape(shape)
        array = make()
        if self.room.take(array.nbytes + NPY_HEADER):
            write(stored, lambda file: np.save(file, array))
        return array


@functools.lru_cache(maxsize=64)
def npy_header(kind: str, shape: tuple[int, ...]) -> bytes:
    """Return what an .npy file of an array begins with; kind: of its numbers, as "|u1".

    Whole headers are compared: one that is damaged may still be read, and shift the numbers.
    """
    file = io.BytesIO()
    description = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, description)
    return file.getvalue()


class Room:
    """What a process may still write to a folder of caches.

    folder  of all caches
    limit   gigabytes that it may hold; None: any number. Each process counts for itself, so many
            together may exceed the limit by a little.
    lost    what happens to images that find no room, in words: "are decoded"
    """

    def __init__(self, folder: Path, limit: float | None, lost: str) -> None:
        self.folder, self.limit, self.lost = folder, limit, lost
        self.allowance, self.full = 0.0, False

    def take(self, size: int) -> bool:
        """Take `size` bytes of what this process may still write, and tell whether they were there.

        How full the folder is, it looks up when the process has used up its allowance.
        """
        if self.limit is None:
            return True
        if self.allowance < size and not self.full:
            room = self.left()
            self.allowance = max(room * ALLOWANCE, size)
            if room < size:
                self.close()
        self.allowance -= size
        return not self.full

    def number(self, sizes: Iterable[int]) -> int:
        """Return how many files of given sizes, from the first, find room together."""
        number, total, room = 0, 0, self.left()
        for size in sizes:
            total += size
            if total > room:
                self.close()
                break
            number += 1
        return number

    def left(self) -> float:
        """Return the bytes that the folder has room for."""
        if self.limit is None:
            return math.inf
        files = (Path(at, name) for at, _, names in os.walk(self.folder) for name in names)
        return self.limit * 1e9 - sum(map(file_size, files))

    def close(self) -> None:
        """Write nothing more, and say so once."""
        if not self.full:
            print(
                f"{self.folder}: full (--cache_limit); other images {self.lost} every time",
                file=sys.stderr,
            )
        self.full = True


def file_size(path: Path) -> int:
    """Return the bytes of a file, 0 for a folder and for what another process has just renamed."""
    with contextlib.suppress(FileNotFoundError):
        stat = path.stat()
        return stat.st_size if S_ISREG(stat.st_mode) else 0
    return 0


def write(path: Path, save: Callable[[BinaryIO], object]) -> None:
    """Write a file of the cache atomically by `save(binary file)`."""
    try:
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            save(file)
    except OSError as error:
        raise NotKept(
            f"{path}: cannot be written ({error.strerror or FULL}); choose another --cache_dir"
        ) from error


class NotKept(UserError):
    """A file of the cache that can't be written: the fault is the disk's, not the photograph's."""


def source_key(source: Source) -> str:
    """Return a name for a file that changes when the file does, or how it is read."""
    photograph = as_photograph(source)
    path, special = photograph.path, [photograph.reading.key] if photograph.reading.key else []
    try:
        stat = path.stat()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); run python download_data.py"
        ) from error
    # Files that were swapped have their own size and time of writing, but another time of the move.
    of_file = path.resolve(), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
    seed = stable_seed(CACHE_VERSION, *of_file, *special)
    return f"{seed:016x}"


def cached_classes(
    paths: Mapping[str, Path],
    cache_dir: str | Path,
    values: MaskValues | None = None,
    faults: dict[str, str] | None = None,
) -> dict[str, list[int]]:
    """Return {id: class numbers in its mask}, read once and remembered in the cache folder.

    paths: {id: mask path}; a mask that changed is read anew
    values: what those in the files mean; None: they are class numbers
    faults: takes {id: why} of masks that can't be read, which are left out; None: they are refused
    """
    from tqdm import tqdm

    own = f"-{values.key}" if values else ""
    keys = {name: f"{source_key(path)}.{NUMBERS_VERSION}{own}" for name, path in paths.items()}
    folders = sorted({str(Path(path).parent.resolve()) for path in paths.values()})
    store = Path(cache_dir) / f"classes-{stable_seed(*folders):016x}.json"
    try:
        known = dict(json.loads(store.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError, RecursionError):  # not there yet, or damaged
        known = {}
    missing = [name for name, key in keys.items() if not are_numbers(known.get(key))]
    for name in tqdm(missing, desc="reading masks for their classes", disable=len(missing) < 200):
        try:
            numbers = read_class_numbers(paths[name], values)
        except UserError as error:
            if faults is None:
                raise
            known.pop(keys[name], None)
            faults[name] = str(error)
            continue
        counts = np.bincount(numbers.ravel(), minlength=256)
        known[keys[name]] = np.flatnonzero(counts).tolist()
    if len(missing) > len(faults or ()):
        write(store, lambda file: file.write(json.dumps(known).encode()))
    return {name: known[key] for name, key in keys.items() if key in known}


def are_numbers(value: object) -> bool:
    """Return whether a value is a list of numbers that masks can hold."""
    return isinstance(value, list) and all(type(n) is int and 0 <= n <= 255 for n in value)
