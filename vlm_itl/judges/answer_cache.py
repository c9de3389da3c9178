"""Answers of vision-language models, kept in an SQLite file, and the part of a judge that looks
there first.

The file also holds what each budget has spent. Several processes may use one file, and a kill at
any time loses nothing that was stored.
"""

import json
import sqlite3
import threading
from pathlib import Path
from typing import NamedTuple

from weakseg.common import UserError

APPLICATION_ID = 0x564C4D31  # "VLM1": tells this project's files from other programs' SQLite files
USAGE = ("calls", "prompt_tokens", "completion_tokens", "cached")
_NOTHING = dict.fromkeys(USAGE, 0)
_CACHED = _NOTHING | {"cached": 1}
_OPTION = "vlm_itl.vlm_options.cache"
UNLIMITED = 2**62
WAIT = 30.0  # seconds that a process waits for another one's write

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS answers (
    model TEXT, prompt TEXT, image TEXT, masks TEXT, kind TEXT, answer TEXT NOT NULL, usage TEXT NOT NULL,
    PRIMARY KEY (model, prompt, image, masks, kind)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS budgets (name TEXT PRIMARY KEY, calls INTEGER NOT NULL, tokens INTEGER NOT NULL);
PRAGMA application_id = {APPLICATION_ID};
COMMIT;
"""


class Key(NamedTuple):
    """What an answer depends on; `prompt` covers the words, the look and the way of asking
    (`Question.version`).
    """

    model: str
    prompt: str
    image: str
    masks: str
    kind: str


class AnswerCache:
    """The file. Every error of SQLite is a `UserError` that names it; a file of another program is
    left as it is.
    """

    def __init__(self, path=None, must_exist=False):
        """path: the file, made where it is missing unless `must_exist`; None keeps everything in
        memory.
        """
        self.path = path
        if path is not None:
            if must_exist and not Path(path).is_file():
                raise UserError(
                    f"{path}: there is no such answer cache (vlm_itl.vlm_options.cache), nothing to replay"
                )
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(
                path or ":memory:", WAIT, isolation_level=None, check_same_thread=False
            )
            self._prepare()
        except sqlite3.DatabaseError as error:
            raise self._broken(error) from error

    def _prepare(self):
        """Check whose file it is before anything is written to it; make the tables in a new one."""
        # Tables first: a process that is making this very file writes both in one transaction.
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION_ID:
            if application or tables:
                raise UserError(
                    f"{self.path}: another program's SQLite file; name another one in {_OPTION}"
                )
            self._db.executescript(_SCHEMA)
        if self._db.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")

    def _broken(self, error):
        return UserError(
            f"{self.path}: not a usable answer cache ({error}); mend or move it, or change {_OPTION}"
        )

    def _execute(self, statement, values):
        """Run one statement, which is one transaction; return its rows and the number of rows it
        changed.
        """
        try:
            with self._lock:
                cursor = self._db.execute(statement, values)
                return cursor.fetchall(), cursor.rowcount
        except sqlite3.DatabaseError as error:
            raise self._broken(error) from error

    def close(self):
        self._db.close()

    def get(self, where):
        """Return the answer (a dict) stored under the `Key` `where`, or None."""
        condition = " AND ".join(f"{name} = ?" for name in Key._fields)
        rows, _ = self._execute(f"SELECT answer FROM answers WHERE {condition}", where)
        if not rows:
            return None
        try:
            return json.loads(rows[0][0])
        except ValueError as error:
            raise self._broken(error) from error

    def put(self, where, answer, usage):
        """Store an answer and what it cost. Return what is stored now: the first answer to a
        question stays.
        """
        row = (*where, json.dumps(answer, allow_nan=False), json.dumps(usage))
        self._execute(f"INSERT OR IGNORE INTO answers VALUES ({', '.join('?' * len(row))})", row)
        return self.get(where)

    def spend(self, budget, tokens, call_limit=None, token_limit=None):
        """Take one call and `tokens` tokens from a budget, if that keeps it within its limits;
        return whether it did.

        Atomic over processes. A killed process leaves what it took as spent: the limits hold
        whatever happens.
        """
        self._execute("INSERT OR IGNORE INTO budgets VALUES (?, 0, 0)", (budget,))
        limits = [UNLIMITED if limit is None else limit for limit in (call_limit, token_limit)]
        _, changed = self._execute(
            "UPDATE budgets SET calls = calls + 1, tokens = tokens + ?1 "
            "WHERE name = ?2 AND calls + 1 <= ?3 AND tokens + ?1 <= ?4",
            (tokens, budget, *limits),
        )
        return changed == 1

    def give_back(self, budget, calls, tokens):
        """Give back calls and tokens that were taken by `spend` but not used; negative where more
        was used.
        """
        statement = "UPDATE budgets SET calls = calls - ?, tokens = tokens - ? WHERE name = ?"
        self._execute(statement, (calls, tokens, budget))

    def spent(self, budget):
        """Return (calls, tokens) that a budget has spent."""
        rows, _ = self._execute("SELECT calls, tokens FROM budgets WHERE name = ?", (budget,))
        return rows[0] if rows else (0, 0)
