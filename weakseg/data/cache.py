"""An on-disk cache of decoded and resized images and masks."""

import contextlib
import json
import sys
from pathlib import Path
from stat import S_ISREG

import numpy as np
from PIL import Image

from weakseg.common import UserError, atomic_path, stable_seed
from weakseg.data.image_io import read_image, read_mask, to_square

NPY_HEADER = 128  # bytes of an .npy file before the array
ALLOWANCE = 1 / 64  # of a limited cache's room that a process fills before it looks again
CACHE_VERSION = 2  # raise it when reading or resizing gives other pixels than before


class ResizedCache:
    """Images and masks as square uint8 arrays, one .npy file each, made on first use.

    A file's name holds the source's path, size and time, so a changed source is read anew; files
    appear by rename, so any number of processes may share the folder. limit: gigabytes that the
    folder may hold, with all that is in it; then what is missing is made every time. None: any
    number. Each process counts for itself, so many together may exceed the limit by a little.
    """

    def __init__(self, folder, size, limit=None):
        self.root, self.size, self.limit = Path(folder), size, limit
        self.folder = self.root / str(size)
        self.allowance, self.full = 0, False

    def image(self, path):
        """Return [3, size, size] uint8, resized with antialiasing."""
        return self._get(path, "image", (3, self.size, self.size))

    def mask(self, path):
        """Return [size, size] uint8, the file's own numbers, nearest neighbour."""
        return self._get(path, "mask", (self.size, self.size))

    def _make(self, path, kind):
        if kind == "mask":
            return np.asarray(
                Image.fromarray(read_mask(path)).resize(
                    (self.size, self.size), Image.Resampling.NEAREST
                )
            )
        return to_square(read_image(path), self.size)

    def _get(self, path, kind, shape):
        stored = self.folder / f"{source_key(path)}.{kind}.npy"
        try:
            with stored.open("rb") as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
            if array.shape == shape and array.dtype == np.uint8:
                return array
        except (OSError, ValueError, EOFError):  # not there yet, or damaged: it is made anew
            pass
        array = self._make(path, kind)
        if self._has_room(array.nbytes + NPY_HEADER):
            write(stored, lambda file: np.save(file, array))
        return array

    def _has_room(self, size):
        """Take `size` bytes of what this process may still write; look how full the folder is when
        that is used up.
        """
        if self.limit is None:
            return True
        if self.allowance < size and not self.full:
            room = self.limit * 1e9 - sum(map(file_size, self.root.rglob("*")))
            self.allowance, self.full = max(room * ALLOWANCE, size), room < size
            if self.full:
                print(
                    f"{self.root}: full (--cache_limit); other images are decoded every time",
                    file=sys.stderr,
                )
        self.allowance -= size
        return not self.full


def file_size(path):
    """Return the bytes of a file, 0 for a folder and for what another process has just renamed."""
    with contextlib.suppress(FileNotFoundError):
        stat = path.stat()
        return stat.st_size if S_ISREG(stat.st_mode) else 0
    return 0


def write(path, save):
    """Write a file of the cache atomically by `save(binary file)`."""
    try:
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            save(file)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); choose another --cache_dir"
        ) from error


def source_key(path):
    """Return a name that changes when the file does."""
    try:
        stat = Path(path).stat()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); run python download_data.py"
        ) from error
    return (
        f"{stable_seed(CACHE_VERSION, Path(path).resolve(), stat.st_size, stat.st_mtime_ns):016x}"
    )


def cached_classes(paths, cache_dir):
    """Return {id: class numbers in its mask}, read once and remembered in one file of the cache
    folder.

    paths: {id: mask path}. A mask that changed is read anew.
    """
    from tqdm import tqdm

    keys = {name: source_key(path) for name, path in paths.items()}
    root = stable_seed(*sorted({str(Path(path).parent.resolve()) for path in paths.values()}))
    store = Path(cache_dir) / f"classes-{root:016x}.json"
    try:
        known = dict(json.loads(store.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):  # not there yet, or damaged
        known = {}
    missing = [name for name, key in keys.items() if key not in known]
    for name in tqdm(missing, desc="reading masks for their classes", disable=len(missing) < 200):
        known[keys[name]] = np.flatnonzero(
            np.bincount(read_mask(paths[name]).ravel(), minlength=256)
        ).tolist()
    if missing:
        write(store, lambda file: file.write(json.dumps(known).encode()))
    return {name: known[key] for name, key in keys.items()}
