"""What the parser of every command says of a mistake: one line, with the way out."""

import re

import pytest
from conftest import ROOT
from hypothesis import assume, given
from hypothesis import strategies as st

from weakseg.command_line import Parser, parse_with_rest


def parser():
    made = Parser(prog="train.py", description="text")
    made.add_argument("--run_name")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--lr", type=float)
    made.add_argument("--learner", choices=["unet", "probe"])
    made.add_argument("--budgets", nargs="+")
    one = made.add_mutually_exclusive_group(required=True)
    one.add_argument("--supervision_mode")
    one.add_argument("--supervision_modes", nargs="+")
    return made


def said(words, capsys, made=None):
    with pytest.raises(SystemExit) as caught:
        (made or parser()).parse_args(words)
    lines = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2 and len(lines) == 1 and lines[0].startswith("error: ")
    assert len(lines[0]) < 320
    return lines[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--suprevision_mode points", "--suprevision_mode: no such flag; did you mean --superv"),
        ("--supervision_mode points --run-name x", "--run-name: .*did you mean --run_name"),
        ("-run_name x --supervision_mode points", "-run_name: .*did you mean --run_name"),
        ("--supervision_mode points --xyzzy=3", "--xyzzy: no such flag; --help lists all"),
        ("--supervision_mode points --learner prob", "--learner: .*'prob': did you mean probe"),
        ("--supervision_mode points --seed 1.5", "--seed: '1.5' is no whole number"),
        ("--supervision_mode points --lr fast", "--lr: 'fast' is no number"),
        ("--supervision_mode points --lr", "--lr: needs a value"),
        ("--supervision_mode points --budgets", "--budgets: needs a value"),
        ("--run_name x", "one of the arguments --supervision_mode"),
        ("--supervision_mode points rest", "unrecognized arguments: rest"),
    ],
)
def test_a_mistake_is_one_line(words, message, capsys):
    assert re.search(message, said(words.split(), capsys))


def test_numbers_too_long_to_read_and_names_of_bytes_are_told_too(capsys):
    words = ["--supervision_mode", "points"]
    assert "no whole number" in said([*words, "--seed", "9" * 5000], capsys)
    assert "not UTF-8" in said([*words, "--run_name", "a\udcff"], capsys)


@pytest.mark.parametrize("number", [10**30, -(10**30), 2**65])
def test_numbers_that_no_machine_can_serve_are_refused(number, capsys):
    words = ["--supervision_mode", "points"]
    assert "must be at most" in said([*words, f"--seed={number}"], capsys)
    made = Parser()
    made.add_argument("--num_workers", type=int)
    made.add_argument("--at", type=int, nargs="+")
    assert "--num_workers 5000: must be at most 1024" in said(["--num_workers=5000"], capsys, made)
    assert "--at" in said(["--at", "5", str(abs(number))], capsys, made)
    assert made.parse_args(["--at", "5", "6", "--num_workers", "8"]).at == [5, 6]


PRINTABLE = st.characters(exclude_categories=["C", "Z"]) | st.just(" ")


@given(st.text(PRINTABLE, min_size=1))
def test_a_word_is_taken_or_refused_in_one_line(word):
    assume(word != "--")  # argparse takes that one for an end
    try:
        args = parser().parse_args(["--supervision_mode", "points", f"--run_name={word}"])
        assert args.run_name == word
    except SystemExit as end:
        assert end.code == 2


def test_what_is_right_is_taken(capsys):
    words = "--supervision_mode points --lr -1e-3 --seed -5 --budgets 1h 2h"
    args = parser().parse_args(words.split())
    assert (args.lr, args.seed, args.budgets) == (-1e-3, -5, ["1h", "2h"])
    assert parser().parse_args(["--supervision_mode=points"]).supervision_mode == "points"


def test_flags_of_commands_below_a_command_are_known_there_alone(capsys):
    made = Parser(prog="study.py")
    below = made.add_subparsers(dest="command")
    below.add_parser("ask").add_argument("--answers", type=int)
    below.add_parser("plan").add_argument("file")
    assert made.parse_args(["ask", "--answers", "3"]).answers == 3
    assert "did you mean --answers" in said(["ask", "--answer_s", "3"], capsys, made)
    assert "did you mean plan" in said(["plam"], capsys, made)
    args = parse_with_rest(made, ["ask", "--", "--unknown"])
    assert args.rest == ["--unknown"] and args.command == "ask"


COMMANDS = sorted([*ROOT.glob("*.py"), *(ROOT / "scripts").glob("*.py")])


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.name)
def test_every_command_uses_it(path):
    assert "ArgumentParser(" not in path.read_text(encoding="utf-8")
