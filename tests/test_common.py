"""What every command shares: how it ends, and how a file is written."""

import signal
import subprocess
import sys

import pytest
from conftest import ROOT

from weakseg.common import atomic_path, suggestion

STOPPED = """
import time
from pathlib import Path
from weakseg.common import atomic_path, run_cli

def main(args):
    with atomic_path(Path({path!r})) as temporary:
        temporary.write_text("half")
        print("writing", flush=True)
        time.sleep(60)

run_cli(main, lambda: None)
"""


def ignore_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.parametrize(
    ("stop", "in_background"),
    [(signal.SIGTERM, False), (signal.SIGINT, False), (signal.SIGTERM, True)],
)
def test_a_stopped_command_says_so_and_leaves_no_half_written_file(tmp_path, stop, in_background):
    """A job that a script starts in the background ignores SIGINT, but still hears SIGTERM."""
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED.format(path=str(tmp_path / "file.txt"))],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=ignore_interrupts if in_background else None,
    )
    assert process.stdout.readline() == "writing\n"
    process.send_signal(stop)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert error == "interrupted; files that were complete are kept\n"
    assert not list(tmp_path.iterdir())


def test_a_failed_write_keeps_what_was_there(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        temporary.write_text("after")
        raise ZeroDivisionError
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_the_nearest_word_is_proposed_where_one_is_near():
    assert "points" in suggestion("pionts", ["points", "boxes"])
    assert suggestion("xyz", ["points", "boxes"]) == ""
