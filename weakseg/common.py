"""What every command needs: errors for people, atomic files, stable random streams, seeds."""

import argparse
import contextlib
import ctypes
import difflib
import fcntl
import hashlib
import io
import itertools
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from weakseg.parent import PARENT, end_with
from weakseg.shortage import explained, last_line
from weakseg.threads import settle_threads

Item = TypeVar("Item")

IGNORE = 255  # of masks: nobody labelled the pixel, or it doesn't count


class UserError(Exception):
    """A mistake the user can mend; the message names the file or flag and says what to do."""


def run_cli(
    main: Callable[[argparse.Namespace], object], parse_args: Callable[[], argparse.Namespace]
) -> None:
    """Run ``main(parse_args())`` as a command.

    A `UserError`, or what the machine refuses, becomes one line on stderr and exit code 2. SIGTERM,
    by which clusters stop a job, behaves as Ctrl-C: what is half written goes. A command that
    another one started ends with it.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    if PARENT in os.environ:
        end_with(int(os.environ[PARENT]))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may hold any bytes
    try:
        args = parse_args()
        settle_threads(getattr(args, "threads", None))
        main(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(_fail("interrupted; files that were complete are kept", 130))
    except BrokenPipeError:  # whoever reads the output, `head` for instance, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        line = last_line(error) if isinstance(error, UserError) else explained(error)
        if line is None:
            raise
        sys.exit(_fail(f"error: {line}", 2))


def reason(error: Exception, length: int = 100) -> str:
    """Return the first line of an error's message, cut to so many characters, or else its type."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:length]


def printable(text: str) -> str:
    """Return a text with `?` for all that would steer a terminal or end the line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _fail(line: str, code: int) -> int:
    if "tqdm" in sys.modules:  # whose bars have no end of line yet
        sys.modules["tqdm"].tqdm.write(printable(line), file=sys.stderr)
    else:
        print(printable(line), file=sys.stderr)
    return code


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which is renamed over it on success, else removed.

    The next to write the same file takes over what a killed process left. Only a file is replaced:
    a link, a pipe or a device is a `UserError`.
    """
    path = Path(path)
    refuse_special(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = _reserve(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:  # only then: the name may be another writer's meanwhile
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)  # which a full disk doesn't say
        raise
    finally:
        os.close(handle)
    _sweep(path)


def refuse_special(path: Path) -> None:
    """Refuse to write a file in place of a link, a pipe, a device or a socket."""
    if path.is_symlink():
        raise UserError(f"{path}: is a link, which is not replaced; name the file it leads to")
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"{path}: is a pipe, a device or a socket, and no file; name another")


def _temporary(path: Path, number: int) -> Path:
    return path.with_name(f".{path.stem}.{number}{path.suffix}")


def _reserve(path: Path) -> tuple[int, Path]:
    """Return (open handle, path) of an empty temporary file beside `path` that is ours alone.

    Its number is 0, or the next while another process or thread writes the same file. A lock on it,
    which goes with its process, tells one that is being written from one that was left.
    """
    for number in itertools.count():
        temporary = _temporary(path, number)
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT, 0o666)
        if _lock(handle) and _is_at(handle, temporary):
            os.ftruncate(handle, 0)
            return handle, temporary
        os.close(handle)
    raise AssertionError


def _sweep(path: Path) -> None:
    """Delete what several processes that were killed at the same file left, from number 1."""
    for number in itertools.count(1):
        temporary = _temporary(path, number)
        try:
            handle = os.open(temporary, os.O_RDWR)
        except FileNotFoundError:
            return
        if _lock(handle) and _is_at(handle, temporary):
            os.unlink(temporary)
        os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open file unless another has; where a file system has no locks, it counts as ours."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _is_at(handle: int, path: Path) -> bool:
    """Return whether an open file is still at its path: its writer may have renamed it."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON, atomically; NaN is refused."""
    text = json.dumps(value, indent=1, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file; a damaged one, or one with NaN, is a `UserError` that names it."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        return json.loads(text, parse_float=finite, parse_constant=finite)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a readable JSON file ({reason(error)})") from error


def finite(text: str) -> float:
    """Return a number of a JSON file; NaN and what is endless, no numbers of JSON, are refused."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is no finite number")
    return value


def stable_seed(*parts: object) -> int:
    """Return a 63-bit seed that depends on `parts` alone, whatever machine or process asks."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch (CPU and every GPU)."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def keep_freed_memory() -> None:
    """Let the C library keep the memory of large tensors for the next ones.

    Fetching pages anew takes a tenth of a training step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:  # glibc's; the numbers are those of malloc.h
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        mallopt(-4, 0)  # M_MMAP_MAX: no pages of its own for a large tensor


def commit() -> str | None:
    """Return the commit that runs, with ``+`` when files differ; None outside a repository."""
    root = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short=10", "HEAD"], cwd=root, capture_output=True, text=True
        )
        diff = subprocess.run(
            ["git", "status", "--porcelain", "-uno"], cwd=root, capture_output=True, text=True
        )
    except FileNotFoundError:
        return None
    return head.stdout.strip() + "+" * bool(diff.stdout.strip()) if head.returncode == 0 else None


def choose(wanted: Sequence[str], known: Collection[str], flag: str) -> list[str]:
    """Return `wanted`; a word that is not among `known` is a `UserError` with the nearest one."""
    for word in wanted:
        if word not in known:
            hint = suggestion(word, known, "did you mean {}? ")
            raise UserError(f"{flag} {word!r}: {hint}choose from {', '.join(known)}")
    return list(wanted)


def suggestion(word: object, known: Iterable[str], wording: str = "did you mean {}?") -> str:
    """Return "did you mean NEAR?" for the known word nearest to a misspelt one, "" without any."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return wording.format(near[0]) if near else ""


def evenly(items: Sequence[Item], most: int) -> Sequence[Item]:
    """Return `most` items at most, from all over a sequence at equal distances."""
    return items[:: math.ceil(len(items) / most) or 1]


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """Return `most` items, or all where there are fewer, from the first to the last of a sequence.

    Unlike `evenly` it takes as many as it may; their distances differ by one.
    """
    number = min(len(items), most)
    step = (len(items) - 1) / max(number - 1, 1)
    return [items[round(place * step)] for place in range(number)]


def refuse_repeats(words: Sequence[str], what: str) -> None:
    """Raise `UserError` where a word occurs twice.

    what: names the words in the error, as in "--classes: the class"
    """
    for word in words:
        if words.count(word) > 1:
            raise UserError(f"{what} {word!r} occurs twice; keep one")


def remove(path: Path) -> None:
    """Delete a file or folder of a run; one that is gone already is fine."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
