"""NumPy's numbers, texts and arrays in a pickle, read as Python's own without any code of NumPy's.

A pickle of them names functions of NumPy. Those that `STAND_INS` lists are replaced by these, which
make nothing but numbers, texts, truths and lists of them; no other function is ever found.
"""

import math
import re
from typing import Any

PLAIN = re.compile(r"[biuf][1248]|U\d{1,6}")  # kinds of values that become plain ones


class Kind:
    """What NumPy calls a dtype: its code, and the order of its bytes."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]

    def values(self, content: bytes) -> Any:
        """Return the values [N] in bytes; kinds without a plain value are a `ValueError`."""
        import numpy as np

        if not PLAIN.fullmatch(self.code) or self.order not in ("<", ">", "|", "="):
            raise ValueError(f"it holds values of NumPy's kind {self.code}, which are not plain")
        if self.code == "U0":  # of an empty text, which has no bytes
            return np.array([""])
        return np.frombuffer(content, np.dtype(f"{self.order}{self.code}"))


class Values(list[Any]):
    """An array as nested lists."""

    __slots__ = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, is_fortran, content = state
        self.fill(kind, content, shape, "F" if is_fortran else "C")

    def fill(self, kind: Kind, content: bytes, shape: tuple[int, ...], order: str) -> None:
        """Take in the values of an array of a shape."""
        values = kind.values(content)
        if not shape or math.prod(shape) != len(values):
            raise ValueError("it holds an array of NumPy's without axes, or of another size")
        self[:] = values.reshape(shape, order=order).tolist()


class MakeKind:
    """Stands for `numpy.dtype`."""

    __slots__ = ()

    def __call__(self, code: str, *_: object) -> Kind:
        return Kind(code)


class MakeNumber:
    """Stands for the function that makes one number or text."""

    __slots__ = ()

    def __call__(self, kind: Kind, content: bytes) -> Any:
        (value,) = kind.values(content).tolist()
        return value


class MakeArray:
    """Stands for the functions that make an array, of its bytes or to be filled afterwards."""

    __slots__ = ()

    def __call__(self, content: Any, kind: Any, shape: Any = None, order: str = "C") -> Values:
        made = Values()
        if isinstance(kind, Kind):
            made.fill(kind, content, shape, order)
        return made


class ArrayType:
    """Stands for `numpy.ndarray`, which is only named."""

    __slots__ = ()


STAND_INS: dict[str, type] = {"numpy.dtype": MakeKind, "numpy.ndarray": ArrayType}
for core in ("numpy.core", "numpy._core"):
    STAND_INS |= {
        f"{core}.multiarray.scalar": MakeNumber,
        f"{core}.multiarray._reconstruct": MakeArray,
        f"{core}.numeric._frombuffer": MakeArray,
    }
