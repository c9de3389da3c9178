"""How a command chooses its threads: the flag, then the environment; they wait passively."""

import argparse
import os
import subprocess
import sys

import pytest
from conftest import ROOT

from weakseg.threads import PASSIVE, add_threads_argument, thread_count

REPORT = """
import sys
from weakseg.threads import settle_threads
settle_threads(*[int(word) for word in sys.argv[1:]])
import os, torch
print(torch.get_num_threads(), os.environ["OMP_WAIT_POLICY"], os.environ["GOMP_SPINCOUNT"])
"""


def report(*words, **environment):
    """Return (threads of PyTorch, wait policy, spin count) of a process."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OMP", "GOMP"))}
    done = subprocess.run(
        [sys.executable, "-c", REPORT, *words],
        cwd=ROOT,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_the_flag_beats_the_environment_and_both_beat_the_default():
    passive = [PASSIVE["OMP_WAIT_POLICY"], PASSIVE["GOMP_SPINCOUNT"]]
    assert report("1", OMP_NUM_THREADS="2") == ["1", *passive]
    assert report()[1:] == passive
    own = report(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="ACTIVE")
    assert own == ["1", "ACTIVE", passive[1]]  # the user's own words


@pytest.mark.parametrize("word", ["0", "-1", "two", "1.5", ""])
def test_a_number_of_threads_is_at_least_one(word):
    with pytest.raises(argparse.ArgumentTypeError, match="write 1 or more"):
        thread_count(word)


def test_without_the_flag_there_is_no_number():
    parser = argparse.ArgumentParser()
    add_threads_argument(parser)
    assert parser.parse_args([]).threads is None
    assert parser.parse_args(["--threads", "4"]).threads == 4
