"""The parser of every command: a mistake is one line, with the nearest flag or choice."""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from weakseg.common import suggestion

LONGEST = 300  # characters of a line about a mistake
NEGATIVE = r"^-(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"  # number
# Flags of whole numbers -> the most that means anything: beyond it a machine only runs out of
# memory or of processes. Of others it is what a file can hold.
MOST = {
    **dict.fromkeys(("jobs", "num_workers", "threads", "rounds"), 1024),
    **dict.fromkeys(("img_size", "size", "max_side", "tile"), 32768),
    **dict.fromkeys(("seeds", "examples", "questions_per_picture"), 10_000),
    **dict.fromkeys(("epochs", "resamples", "batch_size", "count_trainval"), 1_000_000),
    **dict.fromkeys(("count_test", "pixels", "answers", "at"), 1_000_000),
}
MOST_OF_ALL = 2**64


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose mistakes are one line and exit code 2, without a list of flags.

    A misspelt flag is told before all else, since a required one then lacks as well. Descriptions
    and epilogs are shown as they are written.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **options)
        self._negative_number_matcher = re.compile(NEGATIVE)  # argparse's own knows no -1e-3

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse words, None for those of this process; all flags among them must be known."""
        words = list(sys.argv[1:] if args is None else args)
        flag = "the command line"
        for word in words:
            flag = word if is_flag(word) else flag
            if not is_text(word):
                self.error(f"{flag}: {word!a} is not UTF-8; rename the file or folder")
        if self._subparsers is None:  # else the flags are those of the commands below
            self.refuse_unknown(words)
        found = namespace or argparse.Namespace()
        found, rest = super().parse_known_args(words, found)
        for action in self._actions:
            self.refuse_huge(action, getattr(found, action.dest, None))
        return found, rest

    def refuse_unknown(self, words: Sequence[str]) -> None:
        """End with the first flag that is unknown, before a `--`, and the one nearest to it."""
        known = [flag for action in self._actions for flag in action.option_strings]
        for word in words:
            name = word.partition("=")[0]
            if word == "--":
                return
            if not is_flag(word) or any(flag.startswith(name) for flag in known):
                continue
            near = suggestion(f"--{name.lstrip('-')}", known, "did you mean {}? ")
            self.error(f"{name}: no such flag; {near}--help lists all")

    def refuse_huge(self, action: argparse.Action, value: Any) -> None:
        """End where a whole number is so large that a machine could only fail at it."""
        most = MOST.get(action.dest, MOST_OF_ALL)
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int) and abs(number) > most:
                flag = action.option_strings[0] if action.option_strings else action.dest
                self.error(f"{flag} {number}: must be at most {most}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse what is none of an action's choices, with the nearest one."""
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            near = suggestion(value, choices, "did you mean {}? ")
            words = f"invalid choice {value!r}: {near}choose from {', '.join(choices)}"
            raise argparse.ArgumentError(action, words)

    def error(self, message: str) -> NoReturn:
        """End with one line on stderr and exit code 2."""
        line = message.removeprefix("argument ")
        line = re.sub(r"invalid int value: (.*)", r"\1 is no whole number", line)
        line = re.sub(r"invalid float value: (.*)", r"\1 is no number", line)
        line = re.sub(r"expected one argument$", r"needs a value", line)
        line = re.sub(r"expected at least one argument$", r"needs a value, or several", line)
        self.exit(2, f"error: {cut(line)}\n")


def is_flag(word: str) -> bool:
    """Return whether a word of the command line stands where only a flag can."""
    return word.startswith("-") and word != "-" and " " not in word and not re.match(NEGATIVE, word)


def is_text(word: str) -> bool:
    """Return whether a word can be written to files: bytes that are not UTF-8 can't."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def cut(line: str) -> str:
    """Return a line's beginning and end, where it is too long to be read."""
    if len(line) <= LONGEST:
        return line
    return f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"


def parse_with_rest(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """Parse the words before `--`, and keep the list of those after it as `rest`."""
    rest = words.index("--") if "--" in words else len(words)
    args = parser.parse_args(words[:rest])
    args.rest = words[rest + 1 :]
    return args
