"""Answers of vision-language models and what they cost, in an SQLite file.

The table `answers` has one row a question, with the answer and its usage as JSON, under everything
that the answer depends on (`AnswerKey`). The table `budgets` has one row a budget, with the calls
and tokens that all runs and processes have taken from it so far. Several processes may use one
file, and a kill at any time loses nothing that was stored.
"""

import json
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from weakseg.common import UserError

APPLICATION_ID = 0x564C4D31  # "VLM1": tells this project's files from other programs' SQLite files
OPTION = "vlm_itl.vlm_options.cache"  # the key of the configuration that names the file
UNLIMITED = 2**62
WAIT = 30.0  # seconds that a process waits for another one's write

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS answers (
    model TEXT, prompt TEXT, image TEXT, masks TEXT, kind TEXT,
    answer TEXT NOT NULL, usage TEXT NOT NULL,
    PRIMARY KEY (model, prompt, image, masks, kind)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS budgets (
    name TEXT PRIMARY KEY, calls INTEGER NOT NULL, tokens INTEGER NOT NULL);
PRAGMA application_id = {APPLICATION_ID};
COMMIT;
"""


class AnswerKey(NamedTuple):
    """What an answer depends on; the fields are the key columns of the table `answers`.

    model   the model's name
    prompt  the words, the pictures and the way of asking (`Question.version`)
    image   hash of the image
    masks   hashes of the masks in ascending order, joined by +
    kind    of the question: "single" or "pair"
    """

    model: str
    prompt: str
    image: str
    masks: str
    kind: str


class AnswerCache:
    """The open file.

    Every error of SQLite is a `UserError` that names the file. A file of another program is left
    as it is.
    """

    def __init__(self, path: str | Path | None = None, must_exist: bool = False) -> None:
        """Open the file, which is made where it is missing unless it `must_exist`.

        path: of the file; None keeps everything in memory
        """
        self.path = path
        if path is not None:
            if must_exist and not Path(path).is_file():
                raise UserError(
                    f"{path}: there is no such answer cache ({OPTION}), nothing to replay"
                )
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(
                path or ":memory:", WAIT, isolation_level=None, check_same_thread=False
            )
            self._prepare()
        except sqlite3.DatabaseError as error:
            raise self._broken(error) from error

    def _prepare(self) -> None:
        """Check whose file it is before anything is written to it; make the tables in a new one."""
        # Tables first: a process that is making this very file writes both in one transaction.
        (tables,) = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (application,) = self._database.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION_ID:
            if application or tables:
                raise UserError(
                    f"{self.path}: another program's SQLite file; name another one in {OPTION}"
                )
            self._database.executescript(_SCHEMA)
        # A write-ahead log lets others read while one writes. FULL survives a power cut.
        if self._database.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")

    def _broken(self, error: Exception) -> UserError:
        return UserError(
            f"{self.path}: not a usable answer cache ({error}); mend or move it, or change {OPTION}"
        )

    def _execute(self, statement: str, values: tuple[Any, ...]) -> tuple[list[Any], int]:
        """Run one statement, which is one transaction.

        Returns its rows, and the number of rows that it changed.
        """
        try:
            with self._lock:
                cursor = self._database.execute(statement, values)
                return cursor.fetchall(), cursor.rowcount
        except sqlite3.DatabaseError as error:
            raise self._broken(error) from error

    def close(self) -> None:
        """Close the file; nothing else needs it."""
        self._database.close()

    # ---- answers

    def get(self, key: AnswerKey) -> dict[str, Any] | None:
        """Return the answer that is stored under a key, or None."""
        condition = " AND ".join(f"{column} = ?" for column in AnswerKey._fields)
        rows, _ = self._execute(f"SELECT answer FROM answers WHERE {condition}", key)
        if not rows:
            return None
        try:
            return json.loads(rows[0][0])
        except ValueError as error:
            raise self._broken(error) from error

    def put(
        self, key: AnswerKey, answer: Mapping[str, Any], usage: Mapping[str, int]
    ) -> dict[str, Any] | None:
        """Store an answer and what it cost.

        Returns what is stored now: the first answer to a question stays, whoever else asked it.
        """
        row = (*key, json.dumps(answer, allow_nan=False), json.dumps(usage))
        self._execute(f"INSERT OR IGNORE INTO answers VALUES ({', '.join('?' * len(row))})", row)
        return self.get(key)

    # ---- budgets

    def spend(
        self,
        budget: str,
        tokens: int,
        call_limit: int | None = None,
        token_limit: int | None = None,
    ) -> bool:
        """Take one call and `tokens` tokens from a budget; return whether its limits allow it.

        Atomic over processes. What a killed process took stays spent, so the limits hold whatever
        happens.
        """
        self._execute("INSERT OR IGNORE INTO budgets VALUES (?, 0, 0)", (budget,))
        limits = [UNLIMITED if limit is None else limit for limit in (call_limit, token_limit)]
        _, changed = self._execute(
            "UPDATE budgets SET calls = calls + 1, tokens = tokens + ?1 "
            "WHERE name = ?2 AND calls + 1 <= ?3 AND tokens + ?1 <= ?4",
            (tokens, budget, *limits),
        )
        return changed == 1

    def give_back(self, budget: str, calls: int, tokens: int) -> None:
        """Give back what was taken by `spend` but not used; negative where more was used."""
        statement = "UPDATE budgets SET calls = calls - ?, tokens = tokens - ? WHERE name = ?"
        self._execute(statement, (calls, tokens, budget))

    def spent(self, budget: str) -> tuple[int, int]:
        """Return the calls and tokens that were taken from a budget."""
        rows, _ = self._execute("SELECT calls, tokens FROM budgets WHERE name = ?", (budget,))
        return rows[0] if rows else (0, 0)
