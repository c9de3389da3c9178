"""benchmarks/threads.py measures every setting beside processes that it ends."""

import os
import re

import pytest

from benchmarks import threads


@pytest.mark.slow
def test_every_setting_is_measured_beside_busy_processes(capsys, monkeypatch):
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 1)
    for name in threads.VARIABLES:
        monkeypatch.setenv(name, os.environ.get(name, "1"))  # and put back at the end
    words = "--busy 1 --img_size 64 --batch_size 4 --steps 1 --epochs 2 --turns 1"
    threads.main(threads.parse_args([*words.split(), "--encoder_weights", "none"]))
    rows = re.findall(r"^\| ([^|]+) \| ([\d.]+) \| ([\d.]+) \|$", capsys.readouterr().out, re.M)
    assert [name for name, *_ in rows] == ["spinning", "by its own choice", "--threads 1"]
    assert all(float(seconds) > 0 for _, seconds, _ in rows) and float(rows[-1][2]) == 1


def test_busy_processes_end_with_their_context():
    with threads.busy_processes(2) as loops:
        assert len(loops) == 2 and all(loop.poll() is None for loop in loops)
    assert all(loop.poll() is not None for loop in loops)
