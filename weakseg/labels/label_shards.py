"""Weak labels in many files: shards that are written in flat memory, and an index to read one image
alone.

A folder holds `00000-of-00004-<digest>.pkl` and so on. Each is a sequence of pickles: a header
(that of a single file, with this shard's `count`, its place `shard` of `shards`, and `digest`),
then (id, labels) of each image, in the order of the ids. `index.sqlite` says where each image lies.
It is written last: a folder without it is unfinished, and the labels that were there before are
whole until then. The digest stands for all that a shard was drawn from, so one that is there under
its name is finished and can be kept.
"""

import contextlib
import hashlib
import io
import os
import pickle
import re
import sqlite3
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from weakseg.common import UserError, atomic_path
from weakseg.labels.plain_pickle import NotPlain, read_plain
from weakseg.labels.validation import shorten

INDEX, LOCK = "index.sqlite", ".lock"
NAME = re.compile(r"\d{5,}-of-(\d{5,})-[0-9a-f]{16}\.pkl")
LEFT_OVER = re.compile(
    r"\.(index|\d{5,}-of-\d{5,}-[0-9a-f]{16})\..*"
)  # temporary files of a killed generation
PLACE = ("count", "shard", "shards", "digest")  # what a shard's header says of itself
SCHEMA = """
create table shards (shard integer primary key, file text not null, bytes integer not null);
create table images (id text primary key, shard integer not null, offset integer not null, length integer not null)
without rowid;
pragma journal_mode = off;
"""
FLAT = "pragma cache_size = -256"  # KiB: the index is written and mostly read in order, one page after another


@dataclass(frozen=True)
class Shard:
    """A shard to be written: its header, and the `images` of `names` that it holds, a range."""

    folder: Path
    head: dict
    names: object
    images: range

    @property
    def path(self):
        return (
            self.folder
            / f"{self.head['shard']:05d}-of-{self.head['shards']:05d}-{self.head['digest']}.pkl"
        )

    def ids(self):
        return (self.names[i] for i in self.images)

    def write(self, records):
        """Write the file, taking its records from an iterator -> rows of the index, one by one."""
        with atomic_path(self.path) as temporary, temporary.open("wb") as file:
            pickle.dump(self.head, file, protocol=4)
            for name in self.ids():
                record = next(records)
                yield name, self.head["shard"], file.tell(), len(record)
                file.write(record)
            file.flush()
            os.fsync(file.fileno())  # one that is there is whole, even after a power cut

    def read(self):
        """Read the file that is there -> rows of the index, one by one; `NotPlain` where it isn't
        whole.
        """
        with self.path.open("rb") as file:
            if read_plain(file) != self.head:
                raise NotPlain("its header is another shard's")
            for name in self.ids():
                offset = file.tell()
                labels_in(read_plain(file), name)
                yield name, self.head["shard"], offset, file.tell() - offset
            if file.read(1):
                raise NotPlain("it goes on after its last image")


def record(name, labels):
    """Return the bytes of one image in a shard."""
    return pickle.dumps((name, labels), protocol=4)


def labels_in(value, name):
    """Return the labels in a record; that of another image is `NotPlain`."""
    if not isinstance(value, tuple) or len(value) != 2 or value[0] != name:
        raise NotPlain(f"it does not hold {shorten(name)} where it should")
    return value[1]


def plan_shards(folder, head, names, shards, source):
    """Yield the `Shard`s of the images `names`, equal parts in their order; `source` as in
    `write_shards`.
    """
    for number in range(shards):
        images = range(number * len(names) // shards, (number + 1) * len(names) // shards)
        digest = hashlib.blake2b(repr((head, number, shards)).encode(), digest_size=8)
        for i in images:
            digest.update(repr((names[i], source(names[i]))).encode())
        place = dict(zip(PLACE, (len(images), number, shards, digest.hexdigest()), strict=True))
        yield Shard(Path(folder), {**head, **place}, names, images)


def write_shards(folder, head, names, shards, source, draw):
    """Write the labels of `names` into a folder -> number of images whose shards were there
    already.

    head: of `weak_labels.header`; names: a sequence of ids source: function (id) -> what an image's
    labels are drawn from besides `head`, plain; if it is as it was, they are draw: function (ids,
    count) -> generator of their `record`s, in the same order

    Raises UserError where another process is writing into the folder.
    """
    folder = Path(folder)
    with sole_writer(folder):
        plan, missing = list(plan_shards(folder, head, names, shards, source)), []
        with new_index(folder / INDEX) as index:
            for shard in plan:
                try:
                    add(index, shard, shard.read())
                except (FileNotFoundError, NotPlain):
                    index.execute("delete from images where shard = ?", [shard.head["shard"]])
                    missing.append(shard)
            count = sum(len(shard.images) for shard in missing)
            with contextlib.closing(
                draw((name for shard in missing for name in shard.ids()), count)
            ) as records:
                for shard in missing:
                    add(index, shard, shard.write(records))
                if next(records, None):
                    raise RuntimeError("more labels were drawn than there are images")
        for path in set(folder.iterdir()) - {shard.path for shard in plan}:
            if NAME.fullmatch(path.name):
                path.unlink()
    return len(names) - count


@contextlib.contextmanager
def new_index(path):
    """Yield an empty index, an SQLite connection; it is put in its place when all went well."""
    try:
        with atomic_path(path) as temporary:
            place = f"{temporary.absolute().as_uri()}?nolock=1"  # nobody else knows it, and network folders lack locks
            with contextlib.closing(sqlite3.connect(place, uri=True)) as index:
                index.executescript(SCHEMA + FLAT)
                yield index
                index.commit()
    except sqlite3.Error as error:
        raise UserError(
            f"{path}: cannot be written ({error}); is the disk full? Run the same command again"
        ) from error


def add(index, shard, rows):
    """Add a shard and the rows of its images to the index."""
    index.executemany("insert into images values (?, ?, ?, ?)", rows)
    index.execute(
        "insert into shards values (?, ?, ?)",
        [shard.head["shard"], shard.path.name, shard.path.stat().st_size],
    )


@contextlib.contextmanager
def sole_writer(folder):
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


def shards_in(folder):
    """Return how many shards the labels in a folder have, 0 where no shard is there."""
    found = (
        [NAME.fullmatch(path.name) for path in Path(folder).iterdir()]
        if Path(folder).is_dir()
        else []
    )
    return max((int(match[1]) for match in found if match), default=0)


def only_shards(folder):
    """Whether a folder holds nothing but shards, whole or not, and what belongs to them."""
    return all(
        path.name in (INDEX, LOCK) or NAME.fullmatch(path.name) or LEFT_OVER.fullmatch(path.name)
        for path in Path(folder).iterdir()
    )


def open_shards(folder, remedy):
    """Return what a single file would hold, but `images` reads each image when it is asked for.

    Raises UserError with `remedy` where the index or a shard is missing, broken, or of other
    labels.
    """
    images = ShardedLabels(folder, remedy)
    return {**images.head, "count": len(images), "images": images}


class ShardedLabels(Mapping):
    """{id: labels} of a folder of shards, read one image at a time; `head` is what the shards'
    headers share.
    """

    def __init__(self, folder, remedy):
        self.folder, self.remedy = Path(folder), remedy
        if not (self.folder / INDEX).exists():
            unfinished = "with the flags of the first time: finished shards are kept; " * bool(
                shards_in(folder)
            )
            raise UserError(
                f"{self.folder / INDEX}: missing, the folder holds no whole labels; {unfinished}{remedy}"
            )
        place = f"{(self.folder / INDEX).absolute().as_uri()}?mode=ro&immutable=1"
        self.index = sqlite3.connect(place, uri=True)
        self.close = weakref.finalize(self, self.index.close)
        self.ask(FLAT)
        self.shards = self.ask("select shard, file, bytes from shards order by shard")
        if not self.shards:
            self.refuse(INDEX, "names no shards")
        heads = [self.header(number, *row) for number, row in enumerate(self.shards)]
        self.count = sum(head["count"] for head in heads)
        self.head, *others = [
            {key: value for key, value in head.items() if key not in PLACE} for head in heads
        ]
        for head, (_, name, _) in zip(others, self.shards[1:], strict=True):
            if head != self.head:
                self.refuse(name, "belongs to other labels than the first shard")

    def header(self, number, listed, name, size):
        """Return the header of a shard, having checked that it is the one that the index means, and
        as long.
        """
        if (
            (type(listed), type(name), type(size)) != (int, str, int)
            or not NAME.fullmatch(name)
            or listed != number
        ):
            self.refuse(INDEX, "names shards that cannot be")
        path = self.folder / name
        if not path.exists():
            self.refuse(name, "missing")
        if path.stat().st_size != size:
            self.refuse(name, f"has {path.stat().st_size} bytes, but the index says {size}")
        try:
            with path.open("rb") as file:
                head = read_plain(file)
        except NotPlain as error:
            self.refuse(name, f"not a shard of weak labels ({error})")
        if (
            not isinstance(head, dict)
            or not all(key in head for key in PLACE)
            or type(head["count"]) is not int
        ):
            self.refuse(name, "not a shard of weak labels (it has no header)")
        own = {
            "shard": number,
            "shards": len(self.shards),
            "digest": name[-20:-4],
            "count": head["count"],
        }
        if {key: head[key] for key in PLACE} != own:
            self.refuse(name, "its header says that it is another shard")
        return head

    def ask(self, question, values=()):
        """Return the rows of the index that answer a question in SQL."""
        try:
            return self.index.execute(question, values).fetchall()
        except sqlite3.Error as error:
            self.refuse(INDEX, f"not an index of weak labels ({shorten(error)})")

    def refuse(self, name, fault):
        raise UserError(f"{self.folder / name}: {fault}; {self.remedy}")

    def __len__(self):
        return self.count

    def __iter__(self):
        for (name,) in self.index.execute("select id from images order by id"):
            yield name

    def __contains__(self, name):
        return bool(self.ask("select 1 from images where id = ?", [name]))

    def __getitem__(self, name):
        rows = self.ask("select shard, offset, length from images where id = ?", [name])
        if not rows:
            raise KeyError(name)
        shard, offset, length = rows[0]
        if not all(type(value) is int and value >= 0 for value in rows[0]) or shard >= len(
            self.shards
        ):
            self.refuse(INDEX, f"puts {shorten(name)} where nothing can be")
        _, file_name, size = self.shards[shard]
        if offset + length > size:
            self.refuse(INDEX, f"puts {shorten(name)} beyond the end of {file_name}")
        try:
            with (self.folder / file_name).open("rb") as file:
                file.seek(offset)
                return labels_in(read_plain(io.BytesIO(file.read(length))), name)
        except FileNotFoundError:
            self.refuse(file_name, "missing")
        except NotPlain as error:
            self.refuse(file_name, f"damaged, or not what the index was made for ({error})")
