"""What every command shares: how it ends, and how a file is written."""

import errno
import multiprocessing
import os
import re
import signal
import subprocess
import sys

import pytest
from conftest import ROOT
from tqdm import tqdm

from weakseg.common import UserError, atomic_path, read_json, run_cli, suggestion

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


def write_and_die(path):
    """Let a process be killed in the middle of a write."""
    with atomic_path(path) as temporary:
        temporary.write_text("a half that is longer than the whole")
        os.kill(os.getpid(), signal.SIGKILL)


def write_in_turn(path, letter):
    for _ in range(200):
        with atomic_path(path) as temporary:
            temporary.write_text(letter * 1000)


def in_process(function, *args):
    process = multiprocessing.get_context("fork").Process(target=function, args=args)
    process.start()
    return process


def test_the_next_write_takes_over_what_a_killed_process_left(tmp_path):
    path = tmp_path / "file.txt"
    with atomic_path(path) as first:  # the killed ones write beside a living writer
        for _ in range(2):
            in_process(write_and_die, path).join()
        assert first.read_text() == "" and len(list(tmp_path.iterdir())) == 2
        first.write_text("whole")
    assert path.read_text() == "whole" and list(tmp_path.iterdir()) == [path]
    in_process(write_and_die, path).join()
    assert len(list(tmp_path.iterdir())) == 2
    with atomic_path(path) as temporary:
        temporary.write_text("anew")
    assert path.read_text() == "anew" and list(tmp_path.iterdir()) == [path]


def test_processes_that_write_the_same_file_do_not_meet(tmp_path):
    path = tmp_path / "file.txt"
    writers = [in_process(write_in_turn, path, letter) for letter in "abc"]
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    text = path.read_text()
    assert len(text) == 1000 and len(set(text)) == 1 and list(tmp_path.iterdir()) == [path]


def worker_error(kind, text):
    """Return an error as a loader process hands it on, with its traceback in the text."""
    return kind(
        f"Caught {kind.__name__} in DataLoader worker process 0.\nOriginal Traceback (most recent "
        f"call last):\n  File x, line 1\n{kind.__module__}.{kind.__name__}: {text}"
    )


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("--seed 1: wrong"), "--seed 1: wrong"),
        (worker_error(UserError, "a.png: no image: it"), "a.png: no image: it"),
        (OSError(errno.ENOSPC, "No space left on device", "x/a.pt"), "x/a.pt: No space left"),
        (OSError(errno.EACCES, "Permission denied", "x"), "x: Permission denied; mend its"),
        (OSError("something\nelse"), "something else"),
        (RuntimeError("unable to write to file </torch_1_2>: No space left"), "--num_workers: "),
        (RuntimeError("[enforce fail at inline_container.cc:664] . write error"), "the disk is"),
        (RuntimeError("[..] DefaultCPUAllocator: can't allocate memory: 12 bytes"), "out of mem"),
        (MemoryError(), "out of memory; lower --batch_size"),
    ],
)
def test_what_the_machine_refuses_is_one_line(error, line, capsys):
    def main(args):
        raise error

    with pytest.raises(SystemExit) as caught:
        run_cli(main, lambda: None)
    lines = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2 and len(lines) == 1 and lines[0].startswith(f"error: {line}")


def test_an_error_has_a_line_of_its_own_beside_a_progress_bar(capsys):
    def main(_args):
        for _ in tqdm(range(3), desc="working"):
            raise UserError("pictures: no such folder")

    with pytest.raises(SystemExit):
        run_cli(main, lambda: None)
    assert "error: pictures: no such folder" in re.split("[\r\n]", capsys.readouterr().err)


def test_a_fault_of_the_code_keeps_its_traceback():
    def main(args):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        run_cli(main, lambda: None)


def test_the_nearest_word_is_proposed_where_one_is_near():
    assert "points" in suggestion("pionts", ["points", "boxes"])
    assert suggestion("xyz", ["points", "boxes"]) == ""


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_file_of_json_holds_finite_numbers(tmp_path, number):
    path = tmp_path / "file.json"
    path.write_text(f'{{"a": [1, 2.5, {number}]}}')
    with pytest.raises(UserError, match=r"file\.json: not a readable JSON file .*no finite number"):
        read_json(path)
    path.write_text('{"a": [1, -2.5, 1e3]}')
    assert read_json(path) == {"a": [1, -2.5, 1000.0]}
