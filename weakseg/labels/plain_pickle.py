"""Pickles of plain values: dict, list, tuple, str, int, float, bool and None.

A pickle is a small program, and Python's own reader lets it call any function: whoever opens a
stranger's file runs the stranger's code. `read_plain` reads the same files, but a program that asks
for a function or a class is refused; NumPy's numbers and arrays become plain ones (`plain_numpy`).
`write_plain_dict` writes a dict that may exceed the memory.
"""

import pickle
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, NoReturn

from weakseg.labels.plain_numpy import STAND_INS, Values
from weakseg.validation import shorten

SCALARS = (str, int, float, bool, type(None))
PROTOCOL = 3  # the last one whose values can be put one after another, without frames around them


class NotPlain(ValueError):
    """The bytes are no pickle of plain values; the message says why on one line."""


class PlainUnpickler(pickle.Unpickler):
    """An unpickler that finds no function and no class, so that nothing can be called.

    Only what NumPy's numbers and arrays are made by is found: stand-ins that make plain values.
    """

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" in STAND_INS:
            return STAND_INS[f"{module}.{name}"]()  # anew: a pickle may spoil what it was given
        function = shorten(f"{module}.{name}")
        raise pickle.UnpicklingError(f"it asks for {function}, but weak labels are plain values")

    def persistent_load(self, pid: object) -> NoReturn:
        raise pickle.UnpicklingError("it refers to objects outside the file")


def read_plain(file: BinaryIO) -> Any:
    """Return the value that is pickled in an open binary file.

    Raises `NotPlain` for anything but a pickle of plain values.
    """
    try:
        value = PlainUnpickler(file).load()
    except (  # what bytes that are no pickle make the unpickler raise
        pickle.UnpicklingError,
        EOFError,
        OSError,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
        OverflowError,
        MemoryError,
        RecursionError,
    ) as error:
        raise NotPlain(shorten(error)) from error
    if not is_plain(
        value
    ):  # the unpickler makes bytes, sets and complex numbers without a function
        raise NotPlain("it holds more than dict, list, tuple, str, int, float, bool and None")
    return value


def is_plain(value: object) -> bool:
    """Whether a value consists of plain values all through."""
    rest, seen = [value], set()
    while rest:
        value = rest.pop()
        if type(value) in SCALARS:
            continue
        if id(value) in seen:  # a hostile file can put a list into itself
            continue
        seen.add(id(value))
        if type(value) is dict:
            rest += [*value.keys(), *value.values()]
        elif type(value) is list or type(value) is tuple or type(value) is Values:
            rest += value
        else:
            return False
    return True


def write_plain_dict(
    file: BinaryIO, head: Mapping[str, Any], key: str, items: Iterable[tuple[str, Any]]
) -> None:
    """Pickle {**head, key: dict(items)} into an open binary file, one item at a time.

    The file's program reads: make a dict; for each entry push key and value, then put them in.
    """
    file.write(pickle.PROTO + bytes([PROTOCOL]))
    file.write(pickle.EMPTY_DICT)
    for name, value in head.items():
        file.write(program(name) + program(value) + pickle.SETITEM)
    file.write(program(key) + pickle.EMPTY_DICT)  # the inner dict stays on top while it is filled
    for name, value in items:
        file.write(program(name) + program(value) + pickle.SETITEM)
    file.write(pickle.SETITEM + pickle.STOP)


def program(value: Any) -> bytes:
    """Return the part of a pickle that pushes one value, without what begins and ends a file."""
    begin, end = len(pickle.PROTO) + 1, len(pickle.STOP)
    return pickle.dumps(value, PROTOCOL)[begin:-end]
