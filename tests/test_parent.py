"""Processes end with the one that started them, by whatever signal that one ends."""

import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT

WORKERS = """
import os, sys, time
from joblib import delayed
from weakseg.parallel import Workers, backend, stream
from weakseg.common import run_cli

def slow(folder):
    open(f"{folder}/{os.getpid()}", "w").close()
    time.sleep(100)

def main(args):
    workers = Workers("loky", jobs=2)
    with backend(workers):
        list(stream((delayed(slow)(sys.argv[1]) for _ in range(4)), workers))

run_cli(main, lambda: None)
"""
COMMAND = """
import os, sys, time
sys.path.insert(0, {root!r})
from weakseg.common import run_cli

def main(args):
    open(f"{folder}/{{os.getpid()}}", "w").close()
    time.sleep(100)

run_cli(main, lambda: None)
"""
STUDY = """
import sys
from pathlib import Path
from weakseg.common import run_cli
from weakseg.planning.runner import execute

folder = Path(sys.argv[1])
def main(args):
    command = [sys.executable, str(folder / ".command.py")]
    execute([command, command], folder / ".log", folder / ".lock", str(folder), None, 1)

run_cli(main, lambda: None)
"""


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks for processes in /proc")
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize(("code", "count"), [(WORKERS, 2), (STUDY, 1)])
def test_what_a_command_started_ends_with_it(code, count, stop, tmp_path):
    (tmp_path / ".command.py").write_text(COMMAND.format(root=str(ROOT), folder=str(tmp_path)))
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )

    def started():
        return [int(path.name) for path in tmp_path.glob("[0-9]*")]

    wait_for(lambda: len(started()) == count)
    children = started()
    process.send_signal(stop)
    _, error = process.communicate(timeout=30)
    if stop == signal.SIGTERM:
        assert process.returncode == 130 and error.endswith("complete are kept\n")
    wait_for(lambda: not any(map(is_alive, children)), 10)
    if code == STUDY:
        assert "interrupted" in (tmp_path / ".log").read_text()
    assert started() == children  # nothing was started after the first
