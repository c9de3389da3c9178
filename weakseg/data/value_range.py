"""The range of values that pictures deeper than 8 bits are shown in: one for a whole data set.

Each picture's own maximum would make a dim picture as bright as a bright one, and one hot pixel
would blacken the rest. So the range is that of all pictures to train on together, but for a
thousandth at both ends, and a run remembers it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from weakseg.common import UserError, stable_seed
from weakseg.data.cache import source_key, write
from weakseg.data.image_io import is_deep_file, read_shown
from weakseg.data.reading import Photograph, is_range

PERCENTILES = (0.1, 99.9)
VALUES = 4_000_000  # of all pictures together that the percentiles are taken from
# How files begin whose depth needs no decoder: a JPEG has 8 bits, a PNG tells them in byte 25.
JPEG, PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"


def value_range(
    photographs: Sequence[Photograph], cache_dir: str | Path
) -> tuple[float, float] | None:
    """Return the range of the values of those photographs that are deeper than 8 bits.

    None where there is none. The range is remembered in the cache folder until a file changes.
    """
    deep = [photograph for photograph in photographs if is_deep_photograph(photograph)]
    if not deep:
        return None
    keys = [source_key(photograph) for photograph in deep]
    stored = Path(cache_dir) / f"range-{stable_seed(PERCENTILES, VALUES, *keys):016x}.json"
    try:
        low, high = json.loads(stored.read_text(encoding="utf-8"))
        if is_range((low, high)):
            return low, high
    except (OSError, ValueError, TypeError, RecursionError):  # not there yet, or damaged
        pass
    low, high = measured(deep)
    write(stored, lambda file: file.write(json.dumps([low, high]).encode()))
    return low, high


def is_deep_photograph(photograph: Photograph) -> bool:
    """Return whether a file has more than 8 bits; one that is missing or damaged has not.

    Whoever reads such a file says what is wrong with it.
    """
    try:
        if not photograph.path.is_file():  # opening a pipe waits for whoever writes into it
            return False
        with photograph.path.open("rb") as file:
            head = file.read(25)
        is_shallow = head.startswith(JPEG) or (head.startswith(PNG) and head[-1] <= 8)
        return not is_shallow and is_deep_file(photograph)
    except (OSError, UserError):
        return False


def measured(photographs: Sequence[Photograph]) -> tuple[float, float]:
    """Return the percentiles of the values of deep photographs, of evenly spread pixels of each.

    Raises `UserError` where some hold whole numbers and others fractions.
    """
    from tqdm import tqdm

    share = max(1, VALUES // len(photographs))
    values: list[np.ndarray] = []
    first: tuple[Photograph, str] | None = None
    bar = tqdm(photographs, "range of values", unit="img", disable=len(photographs) < 50)
    for photograph in bar:
        shown = read_shown(photograph)
        assert not isinstance(shown, Image.Image)
        flat = shown.reshape(-1)
        values.append(flat[:: -(-len(flat) // share)].astype(np.float64))
        kind = kind_of(shown.dtype.kind, values[-1])
        first = first or (photograph, kind) if kind else first
        if first and kind not in ("", first[1]):
            raise UserError(
                f"{photograph}: holds {kind}, {first[0]} {first[1]}; convert one to the other"
            )
    together = np.concatenate(values)
    together = together[np.isfinite(together)]
    low, high = np.percentile(together, PERCENTILES).tolist() if len(together) else (0.0, 1.0)
    return low, high if high > low else low + 1


def kind_of(letter: str, values: np.ndarray) -> str:
    """Return what values are in words; "" where none is a fraction, but some stand for no data.

    letter: of the type of numbers that they were read as, which is wider beside no data
    """
    if letter != "f":
        return "whole numbers"
    numbers = values[np.isfinite(values)]
    return "" if np.isneginf(values).any() and not (numbers % 1).any() else "fractions"
