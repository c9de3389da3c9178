"""One file of a label folder: a Parquet table of image ids and their labels as JSON, sorted by id.

The rows lie in groups of `GROUP`, of which each can be read alone. The file's metadata hold a
header and the first id of each group, both as JSON. JSON gives Python's numbers and texts back
exactly. What a stranger's file holds is only ever data: neither Parquet nor JSON can name code.
"""

import bisect
import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weakseg.common import atomic_path
from weakseg.data.ids import fault_of_id
from weakseg.validation import shorten

if TYPE_CHECKING:  # pyarrow takes 0.2 s to import, and a single label file doesn't need it
    import pyarrow as pa

GROUP = 128  # rows that are read at once: reading one image alone takes 0.2 ms
HEADER, FIRST_IDS = b"weak_labels", b"first_ids"  # keys of the file's metadata
SCALARS = (str, int, float, bool, type(None))

Row = tuple[str, str]  # an image's id, its labels as JSON


class DamagedShard(ValueError):
    """A file is no shard of weak labels, or a damaged one; the message says why on one line."""


@contextlib.contextmanager
def damage_in_one_line() -> Iterator[None]:
    """Turn whatever bytes that are no shard make Parquet and JSON raise into a `DamagedShard`."""
    from pyarrow import ArrowException

    try:
        yield
    except DamagedShard:
        raise
    except (
        ArrowException,
        OSError,
        ValueError,
        LookupError,
        TypeError,
        MemoryError,
        RecursionError,
    ) as error:
        raise DamagedShard(shorten(str(error))) from error


def encode(name: str, labels: Any) -> Row:
    """Return the row of one image. Raises `TypeError` for what JSON wouldn't give back as it is."""
    rest = [labels]
    while rest:
        value = rest.pop()
        if type(value) is dict and all(type(key) is str for key in value):
            rest.extend(value.values())
        elif type(value) is list:
            rest.extend(value)
        elif type(value) not in SCALARS:
            raise TypeError(f"{name}: labels hold {shorten(repr(value))}, which JSON would change")
    return name, json.dumps(labels, separators=(",", ":"))


def decode(name: str, text: str) -> Any:
    """Return the labels in a row; `DamagedShard` where it holds no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedShard(f"the labels of {shorten(name)} are no JSON") from error


def schema() -> "pa.Schema":
    """Return the columns of a shard."""
    import pyarrow as pa

    return pa.schema([("id", pa.string()), ("labels", pa.string())])


def write_shard(path: Path, header: dict[str, Any], rows: Iterable[Row]) -> None:
    """Write a shard in memory that doesn't grow with the rows, which must be sorted by id.

    The file appears when it is whole, also after a power cut.
    """
    import pyarrow as pa
    from pyarrow import parquet

    rows, columns, first_ids = iter(rows), schema(), []
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        with parquet.ParquetWriter(
            file,
            columns,
            compression="zstd",
            use_dictionary=False,  # no two rows are alike
            write_statistics=False,
            sorting_columns=[parquet.SortingColumn(0)],
            write_page_checksum=True,
            store_schema=False,
        ) as writer:
            while group := list(islice(rows, GROUP)):
                ids, texts = zip(*group, strict=True)
                first_ids.append(ids[0])
                writer.write_batch(pa.record_batch([list(ids), list(texts)], schema=columns))
            writer.add_key_value_metadata(
                {HEADER: json.dumps(header), FIRST_IDS: json.dumps(first_ids)}
            )
        file.flush()
        os.fsync(file.fileno())


def is_list_of_text(value: object, length: int) -> bool:
    """Whether a value is a list of so many texts."""
    return (
        isinstance(value, list)
        and len(value) == length
        and all(isinstance(text, str) for text in value)
    )


class ShardReader:
    """An open shard, of which one group of rows at a time is in memory.

    Raises `DamagedShard`, here and when rows are read, for anything that `write_shard` wouldn't
    write.
    """

    def __init__(self, path: Path) -> None:
        from pyarrow import parquet

        with path.open("rb"):  # a missing file is a FileNotFoundError, not a damaged one
            pass
        with damage_in_one_line():
            self.file = parquet.ParquetFile(
                path, page_checksum_verification=True, pre_buffer=False, memory_map=False
            )
            if not self.file.schema_arrow.equals(schema()):
                raise DamagedShard("it has other columns than id and labels")
            metadata = self.file.metadata.metadata or {}
            self.header = json.loads(metadata[HEADER])
            # Parquet's own statistics hold them too, but in a damaged file pyarrow's access to
            # these ends the process.
            self.first_ids = json.loads(metadata[FIRST_IDS])
            if not is_list_of_text(self.first_ids, self.file.num_row_groups):
                raise DamagedShard("it doesn't say where its images lie")
        self.group, self.ids, self.texts = -1, [""], [""]

    def read(self, name: str) -> str | None:
        """Return the labels of an image as JSON, None where the shard doesn't have it."""
        group = bisect.bisect_right(self.first_ids, name) - 1
        if group < 0:
            return None
        with damage_in_one_line():
            self._load(group)
        row = bisect.bisect_left(self.ids, name)
        there = row < len(self.ids) and self.ids[row] == name
        return self.texts[row] if there else None

    def rows(self) -> Iterator[Row]:
        """Yield all rows in their order."""
        for group in range(self.file.num_row_groups):
            with damage_in_one_line():
                self._load(group)
            yield from zip(self.ids, self.texts, strict=True)

    def _load(self, group: int) -> None:
        """Read a group of rows, unless it is the one in memory."""
        if group != self.group:
            table = self.file.read_row_group(group, use_threads=False)
            ids, texts = table.column("id").to_pylist(), table.column("labels").to_pylist()
            if None in ids or None in texts:
                raise DamagedShard("it has rows without an id or labels")
            for name in ids:
                if fault := fault_of_id(name):
                    raise DamagedShard(f"{shorten(name)!r} can't be a name, it {fault}")
            if ids[0] != self.first_ids[group]:
                raise DamagedShard("it doesn't say where its images lie")
            self.group, self.ids, self.texts = group, ids, texts
