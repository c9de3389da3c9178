"""Runs a command in this process as `run_cli` does, and says how it ended."""

import sys
from typing import NamedTuple
from unittest.mock import patch

from weakseg.common import run_cli


class Outcome(NamedTuple):
    """How a command ended: its exit code, 0 for success, and the lines that begin with error."""

    code: int
    errors: list[str]


def outcome(module, words, capsys):
    """Run a command with the words of a command line; a traceback is an exception of the test."""
    capsys.readouterr()
    argv = [f"{module.__name__.rpartition('.')[2]}.py", *map(str, words)]
    with patch.object(sys, "argv", argv):
        try:
            run_cli(module.main, module.parse_args)
            code = 0
        except SystemExit as end:
            code = end.code or 0
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    return Outcome(code, [line for line in lines if line.startswith("error: ")])


def assert_refused(module, words, capsys):
    """The command ends with exit code 2 and one line of a length that people read."""
    ended = outcome(module, words, capsys)
    assert ended.code == 2 and len(ended.errors) == 1, (words, ended)
    line = ended.errors[0]
    assert line.isprintable() and 15 < len(line) < 600 and "Traceback" not in line, line
    return line
