"""What a machine refuses, a full disk or too little memory, told to a person in one line.

Libraries raise such errors in types of their own, so many are known by their words alone.
"""

import errno
import re

# Number of an operating system's error -> the way out. Others keep the system's own words.
WAYS_OUT = {
    errno.ENOSPC: "free some space, then give the same command again",
    errno.EDQUOT: "free some space, then give the same command again",
    errno.EFBIG: "raise the limit (ulimit -f), or name a folder on another disk",
    errno.EACCES: "mend its permissions, or name another",
    errno.EPERM: "mend its permissions, or name another",
    errno.EROFS: "name a folder that can be written",
    errno.ENOENT: "mend the name",
    errno.ENOTDIR: "a file stands where a folder is needed; name another",
    errno.EISDIR: "a folder stands where a file is needed; name another",
    errno.EEXIST: "a file stands where a folder is needed; name another",
    errno.ENAMETOOLONG: "take a shorter name",
    errno.EMFILE: "raise the limit (ulimit -n), or lower --num_workers or --jobs",
    errno.EIO: "the disk or its connection is broken; copy what is there to another",
}
DISK = "the disk is full; free some space, then give the same command again"
MEMORY = "out of memory; lower --batch_size, --img_size, --num_workers or --jobs"
LOADERS = (
    "--num_workers: a loader process died, perhaps for want of memory or of shared memory "
    "(/dev/shm); lower it, 0 needs neither"
)
# What an error's text holds -> what a person reads. The first that fits counts.
WORDS = {
    r"shared memory|</torch_|Bus error|DataLoader worker": LOADERS,
    r"No space left on device|disk is full|[Dd]isk quota": DISK,
    r"PytorchStreamWriter failed writing|inline_container.*(write|writing)": DISK,
    r"inline_container.*unexpected pos|\d+ requested and \d+ written": DISK,
    r"File too large": f"File too large; {WAYS_OUT[errno.EFBIG]}",
    r"can't allocate memory|not enough memory|out of memory|Insufficient memory": MEMORY,
    r"Unable to allocate|bad_alloc|Cannot allocate memory": MEMORY,
    r"can't start new thread": "too many threads; lower --threads, --num_workers or --jobs",
}
REMOTE = "Original Traceback"  # in the text of an error that comes from a loader process


def explained(error: BaseException) -> str | None:
    """Return what an error of the machine says to a person, on one line; None for any other.

    error: of any type; of the `OSError`s all are the machine's
    """
    if isinstance(error, OSError) and error.errno is not None:
        return system_words(error)
    text = last_line(error)
    for pattern, words in WORDS.items():
        if re.search(pattern, str(error)):
            return words
    if isinstance(error, MemoryError):
        return MEMORY
    return text if isinstance(error, OSError) else None


def system_words(error: OSError) -> str:
    """Return what the operating system says of a file, and the way out."""
    name = "" if error.filename is None else f"{error.filename}: "
    words = error.strerror or type(error).__name__
    way_out = WAYS_OUT.get(error.errno or 0)
    return f"{name}{words}{'; ' * bool(way_out)}{way_out or ''}"


def last_line(error: BaseException) -> str:
    """Return an error's text on one line.

    One that a loader process raised has its traceback in the text, whose last line is the message.
    """
    text = str(error).rstrip()
    if REMOTE in text:
        text = text.splitlines()[-1].partition(": ")[2]
    return " ".join(text.split())
