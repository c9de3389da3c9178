"""Files of equal content, found without reading most of them."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from hashlib import blake2b
from pathlib import Path

SAMPLE = 2**14  # bytes in the middle of a file, which differ in nearly all files of one size


def equal_files(some: Iterable[Path], others: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Return pairs (one of some, one of others) of equal bytes, one for each of some that has any.

    Sizes are compared, then a few bytes, then all of them. What can't be read is equal to nothing.
    """
    mine, theirs = alike(some, others, size)
    for key in (sample, digest):
        mine, theirs = alike(mine, theirs, key)
    first = {digest(path): path for path in reversed(theirs)}
    return [(path, first[digest(path)]) for path in mine]


def copies(paths: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Return pairs (path, the first one of equal bytes) of the files that another one is equal to.

    What can't be read is equal to nothing.
    """
    groups = [[*paths]]
    for key in (size, sample, digest):
        groups = [one for group in groups for one in keyed(group, key).values() if len(one) > 1]
    return sorted((path, min(group)) for group in groups for path in group if path != min(group))


def alike(
    mine: Iterable[Path], theirs: Iterable[Path], key: Callable[[Path], Hashable]
) -> tuple[list[Path], list[Path]]:
    """Return those of each list whose key some path of the other list has too, sorted."""
    one, other = keyed(mine, key), keyed(theirs, key)
    shared = one.keys() & other.keys()
    first, second = ([path for value in shared for path in side[value]] for side in (one, other))
    return sorted(first), sorted(second)


def keyed(paths: Iterable[Path], key: Callable[[Path], Hashable]) -> dict[Hashable, list[Path]]:
    """Return {key: paths that have it}."""
    found: dict[Hashable, list[Path]] = defaultdict(list)
    for path in paths:
        with contextlib.suppress(OSError):  # whoever needs the file says what is wrong
            found[key(path)].append(path)
    return found


def size(path: Path) -> int:
    """Return the bytes of a file."""
    return path.stat().st_size


def sample(path: Path) -> tuple[int, bytes]:
    """Return the size of a file and a digest of some bytes in its middle."""
    length = size(path)
    with path.open("rb") as file:
        file.seek(max(0, length - SAMPLE) // 2)
        return length, blake2b(file.read(SAMPLE), digest_size=16).digest()


def digest(path: Path) -> bytes:
    """Return a digest of all bytes of a file."""
    summed = blake2b(digest_size=16)
    with path.open("rb") as file:
        while part := file.read(2**20):
            summed.update(part)
    return summed.digest()
