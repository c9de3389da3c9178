"""The SQLite file of a store: its table, and how it is opened.

A folder that can't be written, as on a cluster, can be read.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from weakseg.common import UserError, reason

FILE, VERSION = "store.sqlite", 1
APPLICATION = 0x77656B73  # marks the file as a store
PATIENCE = 30.0  # seconds to wait while another process writes
# What SQLite may lack that says nothing of the file, and the way out.
WAYS_OUT = {
    sqlite3.SQLITE_FULL: "make room on its disk",
    sqlite3.SQLITE_IOERR: "make room on its disk",
    sqlite3.SQLITE_CANTOPEN: "make room on its disk, and let its folder be written",
    sqlite3.SQLITE_READONLY: "let its folder be written",
    sqlite3.SQLITE_BUSY: "end what else writes there",
}

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS events (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  time REAL NOT NULL,
  annotator TEXT NOT NULL,
  source TEXT NOT NULL,
  picture TEXT NOT NULL,
  act TEXT NOT NULL,
  kind TEXT,
  class TEXT,
  geometry TEXT,
  seconds REAL,
  replaced INTEGER REFERENCES events(number)
);
CREATE INDEX IF NOT EXISTS by_picture ON events(picture);
CREATE INDEX IF NOT EXISTS by_replaced ON events(replaced) WHERE replaced IS NOT NULL;
CREATE VIEW IF NOT EXISTS shapes AS SELECT * FROM events WHERE act = 'shape' AND number NOT IN
  (SELECT replaced FROM events WHERE replaced IS NOT NULL);
CREATE TRIGGER IF NOT EXISTS never_changed BEFORE UPDATE ON events
  BEGIN SELECT RAISE(ABORT, 'events are never rewritten'); END;
CREATE TRIGGER IF NOT EXISTS never_deleted BEFORE DELETE ON events
  BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
"""


def is_store(path: str | Path) -> bool:
    """Return whether a path is the folder of a store."""
    return (Path(path) / FILE).is_file()


def refuse_inner_file(path: str | Path) -> None:
    """Refuse the file in the folder of a store, where the folder is to be named."""
    if Path(path).name == FILE and is_store(Path(path).parent):
        raise UserError(f"{path}: lies in a store; name its folder, {Path(path).parent}")


@contextlib.contextmanager
def connected(
    folder: str | Path, create: bool = False
) -> Iterator[tuple[sqlite3.Connection, Path]]:
    """Yield the open base of the store in a folder, and the path of its file.

    create: make it where it isn't there, which is a `UserError` otherwise
    """
    refuse_inner_file(folder)
    path = Path(folder) / FILE
    if not create and not path.is_file():
        raise UserError(f"{folder}: holds no store; make one with python labels.py import")
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
    mode = "mode=rwc" if create else "mode=rw"
    if not create and not (os.access(path.parent, os.W_OK) and os.access(path, os.W_OK)):
        mode = "mode=ro&immutable=1"
    try:
        uri = f"{path.absolute().as_uri()}?{mode}"
        connection = sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None)
    except sqlite3.Error as error:
        raise fault_of(path, error, f"can't be opened ({reason(error)})") from error
    with contextlib.closing(connection):
        try:
            prepare(connection, path)
        except sqlite3.Error as error:
            line = f"is no store of labels ({reason(error)}); name another folder"
            raise fault_of(path, error, line) from error
        yield connection, path


def fault_of(path: Path, error: sqlite3.Error, otherwise: str) -> UserError:
    """Return an error of SQLite for people, with its way out.

    otherwise: what it says where the disk has room, may be written, and nobody else writes
    """
    way_out = WAYS_OUT.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    line = f"can't be written ({reason(error)}); {way_out}" if way_out else otherwise
    return UserError(f"{path}: {line}")


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the table of a file that is empty; one of another kind or version is a `UserError`."""
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA foreign_keys = ON")
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
    (kind,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if (kind, version) != (APPLICATION, VERSION):
        raise UserError(f"{path}: is no store of labels of this version; name another folder")
