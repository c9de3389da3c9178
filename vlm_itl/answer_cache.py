"""Answers of vision-language models, kept in an SQLite file, and the part of a judge that looks there first.

The file also holds what each budget has spent. Several processes may use one file, and a kill at any time loses
nothing that was stored.
"""

import json
import sqlite3
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from common import UserError
from vlm_itl.config import key
from vlm_itl.prompts import MEDIA, VIEWS, Look, pair_question, single_question
from vlm_itl.verdict import Judge, Preference, Verdict

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
    """What an answer depends on; `prompt` covers the words, the look and the way of asking (`Question.version`)."""

    model: str
    prompt: str
    image: str
    masks: str
    kind: str


class AnswerCache:
    """The file. Every error of SQLite is a `UserError` that names it; a file of another program is left as it is."""

    def __init__(self, path=None, must_exist=False):
        """path: the file, made where it is missing unless `must_exist`; None keeps everything in memory."""
        self.path = path
        if path is not None:
            if must_exist and not Path(path).is_file():
                raise UserError(f"{path}: there is no such answer cache (vlm_itl.vlm_options.cache), nothing to replay")
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path or ":memory:", WAIT, isolation_level=None, check_same_thread=False)
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
                raise UserError(f"{self.path}: another program's SQLite file; name another one in {_OPTION}")
            self._db.executescript(_SCHEMA)
        if self._db.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")

    def _broken(self, error):
        return UserError(f"{self.path}: not a usable answer cache ({error}); mend or move it, or change {_OPTION}")

    def _execute(self, statement, values):
        """Run one statement, which is one transaction; return its rows and the number of rows it changed."""
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
        """Store an answer and what it cost. Return what is stored now: the first answer to a question stays."""
        row = (*where, json.dumps(answer, allow_nan=False), json.dumps(usage))
        self._execute(f"INSERT OR IGNORE INTO answers VALUES ({', '.join('?' * len(row))})", row)
        return self.get(where)

    def spend(self, budget, tokens, call_limit=None, token_limit=None):
        """Take one call and `tokens` tokens from a budget, if that keeps it within its limits; return whether it did.

        Atomic over processes. A killed process leaves what it took as spent: the limits hold whatever happens.
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
        """Give back calls and tokens that were taken by `spend` but not used; negative where more was used."""
        statement = "UPDATE budgets SET calls = calls - ?, tokens = tokens - ? WHERE name = ?"
        self._execute(statement, (calls, tokens, budget))

    def spent(self, budget):
        """Return (calls, tokens) that a budget has spent."""
        rows, _ = self._execute("SELECT calls, tokens FROM budgets WHERE name = ?", (budget,))
        return rows[0] if rows else (0, 0)


@dataclass(frozen=True)
class Outcome:
    """What asking gave: an answer (a dict), or a failure and, where a server refused with one, its HTTP status."""

    answer: dict | None
    usage: dict = field(default_factory=_NOTHING.copy)
    failure: str | None = None
    status: int | None = None


@dataclass(frozen=True)
class AskOptions:
    """The options of every judge that asks a model."""

    model: str = key("", "the model, as its server or its hub names it, or its folder")
    cache: str | None = key("results/vlm_answers.sqlite", "the file of answers; null: memory only")
    replay: bool = key(False, "answer from the cache alone, without network or model; the rest are failures")
    views: tuple[str, ...] = key(("overlay", "contour", "crop"), f"pictures of a mask, from {', '.join(VIEWS)}")
    image_side: int = key(512, "longer side of one mask's picture, pixels", low=16, high=4096)
    image_format: str = key("png", "of the pictures", choices=list(MEDIA))


class CachedJudge(Judge):
    """A judge that puts `Question`s to a model and never asks one twice.

    Subclasses implement `_ask(question)`, and `_ask_all` where they ask several at once. Their options are
    `AskOptions` and more.
    """

    def __init__(self, iou_bar, seed, options, form="json", variant=""):
        """form: of each `Question`; variant: whatever else an answer depends on."""
        super().__init__(iou_bar, seed, options)
        self.form, self.variant = form, variant
        self.look = Look(options.views, options.image_side, options.image_format)
        if not options.model:
            raise UserError("vlm_itl.vlm_options.model is empty: name the vision-language model that judges")
        if options.replay and options.cache is None:
            raise UserError(f"vlm_itl.vlm_options.replay needs the answers: name their file in {_OPTION}")
        self.cache = AnswerCache(options.cache, must_exist=options.replay)

    def judge(self, cases):
        """Return one `Verdict` for each `Case` of a list."""
        questions = [single_question(case, self.iou_bar, self.look, self.form) for case in cases]
        return [_verdict(outcome) for outcome in self._outcomes(questions)]

    def compare(self, pairs):
        """Return one `Preference` for each (Case, Case) of a list; two equal masks are a tie that costs nothing."""
        questions = {
            index: pair_question(first, second, self.iou_bar, self.look, self.form)
            for index, (first, second) in enumerate(pairs)
            if first.mask_hash != second.mask_hash
        }
        preferences = [Preference(None, 0.5, _NOTHING) for _ in pairs]
        outcomes = self._outcomes(list(questions.values()))
        for (index, question), outcome in zip(questions.items(), outcomes, strict=True):
            preferences[index] = _preference(outcome, question.swapped)
        return preferences

    def _place(self, question):
        masks = "+".join(sorted(case.mask_hash for case in question.cases))
        return Key(
            self.options.model, question.version(self.variant), question.cases[0].image_hash, masks, question.kind
        )

    def _outcomes(self, questions):
        """Return an `Outcome` for each question: from the cache, else from the model, which gets each one only once."""
        places = [self._place(question) for question in questions]
        known = {place: self.cache.get(place) for place in places}
        outcomes = {place: Outcome(answer, _CACHED) for place, answer in known.items() if answer is not None}
        fresh = {place: question for place, question in zip(places, questions, strict=True) if place not in outcomes}
        if self.options.replay:
            outcomes |= {place: Outcome(None, failure="not in the cache") for place in fresh}
        else:
            outcomes |= zip(fresh, self._ask_all(list(fresh.values())), strict=True)
        results = []
        for place in places:
            results.append(outcomes[place])
            # The same question again, later in this list, costs no more.
            outcomes[place] = replace(outcomes[place], usage=_CACHED if outcomes[place].answer else _NOTHING)
        return results

    def _ask_all(self, questions):
        return [self._answer(question) for question in questions]

    def _answer(self, question, *how):
        """Ask one question and store its answer at once."""
        outcome = self._ask(question, *how)
        if outcome.answer is None:
            return outcome
        return Outcome(self.cache.put(self._place(question), outcome.answer, outcome.usage), outcome.usage)

    def _ask(self, question):
        """Return the `Outcome` of asking the model."""
        raise NotImplementedError


def _verdict(outcome):
    if outcome.answer is None:
        return Verdict("abstain", usage=outcome.usage, failure=outcome.failure)
    answer = outcome.answer
    errors = tuple(dict.fromkeys(answer["errors"]))
    return Verdict(answer["decision"], answer["probability"], answer["iou"], errors, outcome.usage)


def _preference(outcome, swapped):
    if outcome.answer is None:
        return Preference(None, usage=outcome.usage, failure=outcome.failure)
    choice = outcome.answer["better"]
    if choice == "tie":
        return Preference(None, 0.5, outcome.usage)
    better = int((choice == "B") != swapped)
    sure = outcome.answer["probability"]
    return Preference(better, sure if better == 0 else 1 - sure, outcome.usage)
