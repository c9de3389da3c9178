"""Pickles of plain values, read without running anything that a stranger's file may hold."""

import pickle

from weakseg.labels.validation import shorten

PROTOCOL = 3  # the last without frames, which would span values
PLAIN = (str, int, float, bool, type(None))


class NotPlain(ValueError):
    """The bytes are no pickle of plain values; the message says why on one line."""


class PlainUnpickler(pickle.Unpickler):
    """An unpickler that looks up no class and no function, so that nothing from the file can
    run.
    """

    def find_class(self, module, name):
        raise pickle.UnpicklingError(
            f"it asks for {shorten(f'{module}.{name}')}, but weak labels are plain values"
        )

    def persistent_load(self, pid):
        raise pickle.UnpicklingError("it refers to objects outside the file")


def read_plain(file):
    """Return the next value in an open binary file; anything but a pickle of plain values is
    `NotPlain`.
    """
    try:
        value = PlainUnpickler(file).load()
    # Bytes that are no pickle derail the unpickler in any of these ways.
    except (
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
    if not is_plain(value):
        raise NotPlain("it holds more than dict, list, tuple, str, int, float, bool and None")
    return value


def write_plain_dict(file, head, key, items):
    """Pickle {**head, key: dict(items)} into an open binary file, taking `items` from an iterator,
    one at a time.
    """
    file.write(pickle.PROTO + bytes([PROTOCOL]) + pickle.EMPTY_DICT)
    for name, value in head.items():
        file.write(opcodes(name) + opcodes(value) + pickle.SETITEM)
    file.write(opcodes(key) + pickle.EMPTY_DICT)
    for name, value in items:
        file.write(opcodes(name) + opcodes(value) + pickle.SETITEM)
    file.write(pickle.SETITEM + pickle.STOP)


def opcodes(value):
    """Return a value's pickle without what starts and ends a file, to be put among others."""
    return pickle.dumps(value, PROTOCOL)[2:-1]


def is_plain(value):
    """Whether `value` is made of dict, list, tuple, str, int, float, bool and None only."""
    rest, seen = [value], set()
    while rest:
        value = rest.pop()
        if type(value) in (dict, list, tuple):
            if (
                id(value) not in seen
            ):  # a container may occur twice, in a hostile file even inside itself
                seen.add(id(value))
                rest.extend([*value.keys(), *value.values()] if type(value) is dict else value)
        elif type(value) not in PLAIN:
            return False
    return True
