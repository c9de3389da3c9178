"""What every script needs: errors for people, atomic files, stable random streams, one seed for
all.
"""

import contextlib
import ctypes
import difflib
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from weakseg.threads import settle_threads

IGNORE = 255  # of masks: nobody labelled the pixel, or it doesn't count


class UserError(Exception):
    """A mistake the user can mend; the message names the file or flag and says what to do."""


def run_cli(main, parse_args):
    """Run ``main(parse_args())``; a `UserError`, or a disk that fails, becomes one line on stderr
    and exit code 2.
    """
    try:
        args = parse_args()
        settle_threads(getattr(args, "threads", None))
        main(args)
    except (UserError, OSError) as error:
        sys.exit(_fail(f"error: {error}", 2))
    except KeyboardInterrupt:
        sys.exit(_fail("interrupted; files that were complete are kept", 130))


def parse_with_rest(parser, words):
    """Return the arguments that the words before `--` give, with those after it, a list, as
    `rest`.
    """
    cut = words.index("--") if "--" in words else len(words)
    args = parser.parse_args(words[:cut])
    args.rest = words[cut + 1 :]
    return args


def _fail(line, code):
    print(line, file=sys.stderr)
    return code


@contextlib.contextmanager
def atomic_path(path):
    """Yield a temporary path beside `path`; rename it over `path` on success, remove it on
    failure.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path, value):
    """Write `value` as indented JSON, atomically; NaN is refused."""
    text = json.dumps(value, indent=1, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path):
    """Read a JSON file; a damaged one is a `UserError` that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable JSON file ({error})") from error


def stable_seed(*parts):
    """Return a 63-bit seed that depends on `parts` alone: the same on every machine and in every
    process.
    """
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def seed_everything(seed):
    """Seed Python, NumPy and PyTorch (CPU and every GPU)."""

    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def keep_freed_memory():
    """Let the C library keep what large tensors free for the next ones: fetching pages anew takes a
    tenth of a step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:  # glibc's; the numbers are those of malloc.h
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        mallopt(-4, 0)  # M_MMAP_MAX: no pages of its own for a large tensor


def commit():
    """Return the commit this code runs from, with ``+`` when files differ from it; None outside a
    repository.
    """
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


def choose(wanted, known, flag):
    """Return `wanted`; a word that is not among `known` is a `UserError` with the nearest one."""
    for word in wanted:
        if word not in known:
            hint = suggestion(word, known, "did you mean {}? ")
            raise UserError(f"{flag} {word!r}: {hint}choose from {', '.join(known)}")
    return wanted


def suggestion(word: object, known: Iterable[str], wording: str = "did you mean {}?") -> str:
    """Return "did you mean NEAR?" for the known word nearest to a misspelt one, "" without any."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return wording.format(near[0]) if near else ""


def refuse_repeats(words, what):
    """Raise `UserError` where a word occurs twice."""
    for word in words:
        if words.count(word) > 1:
            raise UserError(f"{what} {word!r} occurs twice; keep one")


def remove(path):
    """Delete a file or folder of a run; one that is gone already is fine."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
