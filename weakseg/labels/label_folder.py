"""Weak labels in a folder of Parquet files, written in flat memory and read image by image.

A folder holds `00000-of-00004-<digest>.parquet` and so on, its shards, which share the images in
the order of their ids. `index.json` holds the header of the labels and names the shards with their
first ids. It is written last: a folder without it is unfinished, and until it is replaced the
labels that were there before are whole. The digest stands for all that a shard was drawn from, so
a shard that is there under its name is finished and can be kept.
"""

import bisect
import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from weakseg.common import UserError, write_json
from weakseg.labels.label_header import LabelHeader
from weakseg.labels.parquet_shard import DamagedShard, Row, ShardReader, decode, write_shard
from weakseg.validation import first_fault, shorten

INDEX, LOCK = "index.json", ".lock"
STEM = "[0-9]{5,}-of-[0-9]{5,}-[0-9a-f]{16}"
NAME = re.compile(rf"{STEM}\.parquet")
OLD_NAME = re.compile(rf"{STEM}\.pkl")  # of earlier versions, which wrote pickles
LEFT_OVER = re.compile(rf"\.(index|{STEM})\..*")  # temporary files of a killed generator

# A function (ids, count) -> generator of the rows of these `count` images, in the same order.
Draw = Callable[[Iterable[str], int], Generator[Row, None, None]]


class ShardEntry(BaseModel):
    """What the index says of a shard: its file, and the images in it."""

    model_config = ConfigDict(strict=True, frozen=True)

    file: Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
    bytes: Annotated[int, Field(ge=0)]
    count: Annotated[int, Field(ge=0)]
    first: str | None  # the smallest id, None in a shard without images

    def place(self) -> dict[str, Any]:
        """Return what the file's name says of it, as its header does."""
        number, _, shards, digest = self.file.removesuffix(".parquet").split("-")
        return {"shard": int(number), "shards": int(shards), "digest": digest}


class Index(LabelHeader):
    """The content of `index.json`."""

    shards: list[ShardEntry]


# ---- writing


@dataclass(frozen=True)
class PlannedShard:
    """A shard to be written, and the header that its file is to have."""

    folder: Path
    header: dict[str, Any]
    names: Sequence[str]
    images: range  # of the names

    @property
    def path(self) -> Path:
        number, shards, digest = (self.header[key] for key in ("shard", "shards", "digest"))
        return self.folder / f"{number:05d}-of-{shards:05d}-{digest}.parquet"

    def ids(self) -> Iterator[str]:
        """Return the ids of its images."""
        return (self.names[i] for i in self.images)

    def is_finished(self) -> bool:
        """Whether its file is there and whole, so that nothing need be drawn."""
        ids = self.ids()
        try:
            reader = ShardReader(self.path)
            for name, text in reader.rows():
                decode(name, text)
                if name != next(ids, None):
                    return False
        except (FileNotFoundError, DamagedShard):
            return False
        return reader.header == self.header and next(ids, None) is None

    def write(self, rows: Iterator[Row]) -> None:
        """Write its file from the next rows."""
        write_shard(self.path, self.header, self._checked(rows))

    def _checked(self, rows: Iterator[Row]) -> Iterator[Row]:
        ids = self.ids()
        for name, text in islice(rows, len(self.images)):
            if name != next(ids):
                raise RuntimeError(f"the labels of {name} were drawn, another image's were asked")
            yield name, text
        if next(ids, None) is not None:
            raise RuntimeError("fewer labels were drawn than there are images")

    def entry(self) -> dict[str, Any]:
        """Return what the index says of the file, which is there."""
        return {
            "file": self.path.name,
            "bytes": self.path.stat().st_size,
            "count": len(self.images),
            "first": next(self.ids(), None),
        }


def write_folder(
    folder: str | Path,
    header: dict[str, Any],
    names: Sequence[str],
    shards: int,
    source: Callable[[str], Any],
    draw: Draw,
) -> int:
    """Write the labels of `names` into a folder -> number of images whose shards were kept.

    header: of `label_header.header`
    names: ids, sorted and all different; taken from the sequence again and again, never copied
    source: function (id) -> what an image's labels are drawn from besides the header, a plain
        value; as long as it stays the same, a shard that is there is kept

    Raises `UserError` where another process is writing into the folder.
    """
    folder = Path(folder)
    with sole_writer(folder):
        plan = list(plan_shards(folder, header, names, shards, source))
        missing = [shard for shard in plan if not shard.is_finished()]
        count = sum(len(shard.images) for shard in missing)
        ids = (name for shard in missing for name in shard.ids())
        with contextlib.closing(draw(ids, count)) as rows:  # ends its processes, come what may
            for shard in missing:
                shard.write(rows)
            if next(rows, None) is not None:
                raise RuntimeError("more labels were drawn than there are images")
        index = {**header, "count": len(names), "shards": [shard.entry() for shard in plan]}
        write_json(folder / INDEX, index)
        for path in set(folder.iterdir()) - {shard.path for shard in plan}:
            if NAME.fullmatch(path.name):
                path.unlink()
    return len(names) - count


def plan_shards(
    folder: Path,
    header: dict[str, Any],
    names: Sequence[str],
    shards: int,
    source: Callable[[str], Any],
) -> Iterator[PlannedShard]:
    """Yield the shards of the images `names`: equal parts in their order."""
    before: str | None = None
    for number in range(shards):
        images = range(number * len(names) // shards, (number + 1) * len(names) // shards)
        digest = hashlib.blake2b(repr((header, number, shards)).encode(), digest_size=8)
        for i in images:
            name = names[i]
            if before is not None and name <= before:
                raise ValueError(f"{name}: ids must be sorted and all different")
            digest.update(repr((name, source(name))).encode())
            before = name
        place = {"shard": number, "shards": shards, "digest": digest.hexdigest()}
        yield PlannedShard(folder, {**header, "count": len(images), **place}, names, images)


@contextlib.contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Keep other generators out of the folder, and remove what a killed one left half written."""
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):
            for path in folder.iterdir():
                if LEFT_OVER.fullmatch(path.name):
                    path.unlink()
            yield
    except Timeout as error:
        raise UserError(
            f"{folder}: another process is writing labels there; wait for it, or name another"
        ) from error


# ---- reading


def shards_in(folder: str | Path) -> int:
    """Return how many shards the labels in a folder have, 0 where no shard is there."""
    names = [path.name for path in Path(folder).iterdir()] if Path(folder).is_dir() else []
    shards = [name for name in names if NAME.fullmatch(name) or OLD_NAME.fullmatch(name)]
    return max((int(name.split("-")[2]) for name in shards), default=0)


def holds_pickles(folder: Path) -> bool:
    """Whether a folder holds shards of an earlier version, which are no longer read."""
    return any(OLD_NAME.fullmatch(path.name) for path in folder.iterdir())


def only_shards(folder: Path) -> bool:
    """Whether a folder holds nothing but shards, whole or not, and what belongs to them."""
    return all(
        path.name in (INDEX, LOCK) or NAME.fullmatch(path.name) or LEFT_OVER.fullmatch(path.name)
        for path in folder.iterdir()
    )


def open_folder(folder: str | Path, remedy: str) -> dict[str, Any]:
    """Return what a single file would hold, but `images` reads each image when it is asked for.

    Raises `UserError` with `remedy`, here or when an image is read, where the index or a shard is
    missing, broken, or of other labels.
    """
    images = LabelFolder(folder, remedy)
    return {**images.header, "count": len(images), "images": images}


class LabelFolder(Mapping[str, Any]):
    """{id: labels} of a folder of shards, read one image at a time."""

    def __init__(self, folder: str | Path, remedy: str) -> None:
        self.folder, self.remedy = Path(folder), remedy
        self.index = self._read_index()
        self.header = self.index.model_dump(exclude={"count", "shards"}, exclude_unset=True)
        entries = enumerate(self.index.shards)
        firsts = [(entry.first, number) for number, entry in entries if entry.first is not None]
        self.firsts = [first for first, _ in firsts]  # of the shards that have images
        self.numbers = [number for _, number in firsts]
        self.opened: tuple[int, ShardReader] | None = None  # the shard that was read last
        self._check_index()

    def __len__(self) -> int:
        return self.index.count

    def __iter__(self) -> Iterator[str]:
        for number in self.numbers:
            with self._damage_named(number):
                for name, _ in self._open(number).rows():
                    yield name

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._text(name) is not None

    def __getitem__(self, name: str) -> Any:
        text = self._text(name)
        if text is None:
            raise KeyError(name)
        with self._damage_named(self._shard_of(name)):
            return decode(name, text)

    def _shard_of(self, name: str) -> int:
        """Return the number of the only shard that can have an image, -1 where none can."""
        place = bisect.bisect_right(self.firsts, name) - 1
        return self.numbers[place] if place >= 0 else -1

    def _text(self, name: str) -> str | None:
        """Return the labels of an image as JSON, None where the folder doesn't have it."""
        number = self._shard_of(name)
        if number < 0:
            return None
        with self._damage_named(number):
            return self._open(number).read(name)

    def _open(self, number: int) -> ShardReader:
        """Return a shard, having checked that it is the one that the index means."""
        if self.opened is None or self.opened[0] != number:
            reader, entry = ShardReader(self._path(number)), self.index.shards[number]
            if reader.header != {**self.header, "count": entry.count, **entry.place()}:
                raise DamagedShard("its header says that it is another shard, or of other labels")
            self.opened = number, reader
        return self.opened[1]

    def _path(self, number: int) -> Path:
        return self.folder / self.index.shards[number].file

    @contextlib.contextmanager
    def _damage_named(self, number: int) -> Iterator[None]:
        """Turn what is wrong with a shard into a `UserError` that names it."""
        file = self.index.shards[number].file
        try:
            yield
        except FileNotFoundError:
            self._refuse(file, "missing")
        except DamagedShard as error:
            self._refuse(file, f"damaged, or not a shard of these labels ({error})")

    def _refuse(self, file: str, fault: str) -> NoReturn:
        raise UserError(f"{self.folder / file}: {fault}; {self.remedy}")

    def _read_index(self) -> Index:
        path = self.folder / INDEX
        try:
            return Index.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            self._refuse_unfinished()
        except ValidationError as error:
            self._refuse(INDEX, f"not an index of weak labels ({first_fault(error, Index)})")
        except (OSError, ValueError, RecursionError) as error:
            self._refuse(INDEX, f"not an index of weak labels ({shorten(error)})")

    def _refuse_unfinished(self) -> NoReturn:
        """Say why the folder has no index."""
        if holds_pickles(self.folder):
            raise UserError(
                f"{self.folder}: holds pickles of an earlier version, which are no longer read; "
                f"delete the folder, then {self.remedy}"
            )
        kept = "with the flags of the first time: finished shards are kept; "
        self._refuse(
            INDEX,
            f"missing, the folder holds no whole labels; {kept if shards_in(self.folder) else ''}"
            f"{self.remedy}",
        )

    def _check_index(self) -> None:
        """Refuse an index that contradicts itself, or the sizes of the shards."""
        entries = self.index.shards
        for number, entry in enumerate(entries):
            if (number, len(entries)) != (entry.place()["shard"], entry.place()["shards"]):
                self._refuse(INDEX, "names shards that cannot be")
            try:
                size = self._path(number).stat().st_size
            except FileNotFoundError:
                self._refuse(entry.file, "missing")
            if size != entry.bytes:
                self._refuse(entry.file, f"has {size} bytes, but the index says {entry.bytes}")
        total = sum(entry.count for entry in entries)
        if not entries or total != self.index.count or self.firsts != sorted(set(self.firsts)):
            self._refuse(INDEX, "names shards that cannot be")
