"""What files hold, told by a short text: files of equal size need not be equal.

A mask is read whole. Of a photograph its size is taken and three blocks, as it may be large, and
two photographs differ nearly everywhere. What was read is remembered in the cache folder until a
file's size or times change.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import blake2b
from pathlib import Path

from weakseg.common import UserError, stable_seed
from weakseg.data.cache import write

BLOCK = 4096  # bytes
FEW = 100  # files that are read again sooner than remembered
ABSENT = ""  # what a file holds that is not there


def content_of(path: Path, is_whole: bool) -> str:
    """Return a text of 16 letters that differs where files do, `ABSENT` without a file.

    is_whole: whether all bytes are read, as of a mask, or the size and three blocks
    """
    digest = blake2b(digest_size=8)
    try:
        with path.open("rb", buffering=0) as file:
            if is_whole:
                digest.update(file.read())
            else:
                size = os.fstat(file.fileno()).st_size
                digest.update(f"{size} ".encode())
                for place in (0, max(0, size - BLOCK) // 2, max(0, size - BLOCK)):
                    file.seek(place)
                    digest.update(file.read(BLOCK))
    except FileNotFoundError:
        return ABSENT
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); mend or remove it") from error
    return digest.hexdigest()


def known_and_changed(
    held: Mapping[str, object],
    names: Iterable[str],
    contents_of: Callable[[Collection[str]], Mapping[str, str]],
) -> tuple[list[str], list[str]]:
    """Return (the names of which it is known what their files held, those that changed since).

    held: {name: what its file held}, where that is known; contents_of: returns what files hold now
    """
    known = [name for name in names if isinstance(held.get(name), str)]
    now = contents_of(known)
    return known, [name for name in known if now[name] != held[name]]


class Contents:
    """The contents of many files, read once and remembered in the cache folder.

    folder: of the data set, for the name of the file in which they are remembered
    """

    def __init__(self, cache_dir: str | Path, folder: Path) -> None:
        self.store = Path(cache_dir) / f"contents-{stable_seed(folder.resolve()):016x}.json"
        self.known: dict[str, str] | None = None

    def of(self, paths: Iterable[Path], is_whole: bool) -> list[str]:
        """Return what `content_of` says of each file."""
        if self.known is None:
            self.known = self.remembered()
        found, read = [], 0
        for path in paths:
            key, stamp = f"{path}{' whole' if is_whole else ''}", stamp_of(path)
            before, _, content = self.known.get(key, "").rpartition(" ")
            if before != stamp or not stamp:
                content = content_of(path, is_whole)
                self.known[key] = f"{stamp} {content}"
                read += 1
            found.append(content)
        if read > FEW:
            text = json.dumps(self.known).encode()
            with contextlib.suppress(UserError):  # it is read again then
                write(self.store, lambda file: file.write(text))
        return found

    def remembered(self) -> dict[str, str]:
        """Return what is in the cache folder; nothing where that is damaged."""
        try:
            known = json.loads(self.store.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        is_whole = isinstance(known, dict) and all(isinstance(one, str) for one in known.values())
        return known if is_whole else {}


def stamp_of(path: Path) -> str:
    """Return a text that changes when somebody writes or moves a file, "" without one."""
    try:
        stat = path.stat()
    except OSError:
        return ""
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"


def short_hash(parts: Iterable[object]) -> str:
    """Return a hash of 16 letters of some values, by how they are written."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part).encode())
    return digest.hexdigest()[:16]
