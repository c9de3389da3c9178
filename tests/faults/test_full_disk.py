"""Commands on a disk that fills up: one line, and with more room all files end as they should.

The disk is a small file system in memory, which needs the right to mount one.
"""

import contextlib
import os
import shutil
import subprocess

import pytest
from forked import LIMIT, finish, start
from test_kills import COMMANDS, compare, prepared  # noqa: F401, a fixture

pytestmark = pytest.mark.slow

READ = ("data", "labels.pkl", "done")  # what commands read, on a disk of its own
FREE = (0, 20, 100, 400, 40_000, 120_000)  # KB


@pytest.fixture
def disk(tmp_path):
    """A disk of 600 MB, for the checkpoints of a U-Net and their successors."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600m", "tmpfs", str(folder)]
    with contextlib.suppress(FileNotFoundError):
        if subprocess.run(mount, capture_output=True).returncode == 0:
            yield folder
            subprocess.run(["umount", "-l", str(folder)], check=True)
            return
    pytest.skip("mounting a small disk needs more rights")


def empty(folder):
    for path in folder.iterdir():
        if path.name not in READ:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def fill(folder, free):
    """Leave so many KB of a disk free."""
    room = shutil.disk_usage(folder).free - 1024 * free
    with (folder / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, room)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_one_line_and_loses_nothing(name, prepared, disk, tmp_path, tried):  # noqa: F811
    module, words, folders = COMMANDS[name]
    whole = shutil.copytree(prepared, tmp_path / "whole")
    finish(module, words, whole, whole / "out.log")
    for part in READ:
        (disk / part).symlink_to(whole / part)
    full = 0
    for free in FREE:
        empty(disk)
        fill(disk, free)
        log = tmp_path / f"{free}.log"
        process = start(module, words, disk, log)
        process.join(LIMIT)
        said = log.read_text().replace("\r", "\n").splitlines()
        if process.exitcode:
            full += 1
            errors = [line for line in said if line.startswith("error: ")]
            told = process.exitcode == 2 and len(errors) == 1 and "Traceback" not in "\n".join(said)
            assert told, (free, process.exitcode, said[-30:])
            assert "space" in errors[0] or "disk" in errors[0], errors
        (disk / "filler").unlink()
        finish(module, words, disk, log)
        compare(whole, disk, folders)
    assert full
    tried(f"full disks of {name}", len(FREE))
