"""The runs of a study: commands one after another, in an environment of their own."""

import sys

import pytest

from weakseg.planning.runner import execute, last_line

PRINT = [sys.executable, "-c", "import os; print(os.environ['OMP_NUM_THREADS'])"]
FAIL = [sys.executable, "-c", "raise SystemExit(3)"]


@pytest.mark.parametrize(
    ("here", "chosen", "expected"), [(None, None, "2"), ("4", None, "4"), ("4", "3", "3")]
)
def test_a_run_gets_the_threads_that_the_user_or_the_worker_says(
    here, chosen, expected, tmp_path, monkeypatch
):
    if here is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", here)
    log = tmp_path / "logs" / "run.log"
    code = execute([PRINT], log, tmp_path / "runs" / ".run.lock", str(tmp_path), chosen, 2)
    assert code == 0 and last_line(log) == expected


def test_the_first_failure_ends_a_run(tmp_path):
    log = tmp_path / "run.log"
    assert execute([FAIL, PRINT], log, tmp_path / ".lock", str(tmp_path), "7", 1) == 3
    assert last_line(log) == "its log is empty"
