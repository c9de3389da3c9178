"""How many threads a command computes with, and how they wait for each other.

OpenMP's threads spin while they wait, by default. On a machine that does other work they then take
each other's cores, and a step can take ten times as long. Waiting passively costs next to nothing
on an idle machine.
"""

import argparse
import os
import sys

# Read by the OpenMP libraries of GCC and Intel when they are loaded, with PyTorch.
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}


def add_threads_argument(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add the flag --threads."""
    parser.add_argument(
        "--threads",
        type=thread_count,
        metavar="N",
        help="threads of each process (default: OMP_NUM_THREADS, else one a core)",
    )


def thread_count(word: str) -> int:
    """Return the number of threads that a word of the command line names, at least 1."""
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is no number of threads; write 1 or more")
    return int(word)


def settle_threads(threads: int | None = None) -> None:
    """Set the environment that PyTorch reads when it is imported: to be called before that.

    threads: of --threads; None leaves the number to OMP_NUM_THREADS or to the libraries. What the
    user has set in the environment stays.
    """
    for name, value in PASSIVE.items():
        os.environ.setdefault(name, value)
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        if "torch" in sys.modules:  # it has read the environment already
            sys.modules["torch"].set_num_threads(threads)
