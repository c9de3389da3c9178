"""The append-only ledger of a run, `ledger.jsonl`: one line for each completed stage.

Nothing is ever rewritten, and a stage's result is computed once. A run that starts again goes on
behind the lines that are there. All randomness follows from (seed, round, stage), so it ends as if
it had never stopped. Each line ends in a seal, a hash of it and of all before it, so that one which
somebody changed is told; ledgers of earlier versions have none.
"""

import hashlib
import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from weakseg.common import UserError
from weakseg.data.ids import check_ids

# Settings that may differ between a run and its continuation, or its donor: where things are, who
# watches, and how patiently a server is asked; and what the images' fingerprint tells.
FREE = {
    "no_background",
    "log_with",
    "project",
    "output_dir",
    "output_dir_prefix",
    "run_name",
    "data_dir",
    "cache_dir",
    "cache_limit",
    "num_workers",
    "first_round_from",
    "enabled",
    "base_url",
    "api_key_env",
    "limit_name",
    "cache",
    "replay",
    "budget_name",
    "call_budget",
    "token_budget",
    "tokens_per_call",
    "timeout",
    "retries",
    "concurrency",
}


WITH_IDS = ("bought", "verdicts")  # parts of a line that have something for each image
SEAL = "seal"  # the key of a line's seal, in the file alone


class Ledger:
    """The lines of one run, and the file that they stand in.

    Opening takes a lock: two processes can't write one run.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.path.with_suffix(".lock"), timeout=0)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise UserError(
                f"{self.path}: another process is writing this run; wait for it, or stop it"
            ) from error
        try:
            self.lines, whole = read_ledger(self.path)
        except UserError:
            self._lock.release()
            raise
        self.seal = ""
        for line in self.lines:
            self.seal = seal_of(line, self.seal)
        self._file = self.path.open("ab")
        self._file.truncate(whole)

    def find(self, round_: int, stage: str) -> dict[str, Any] | None:
        """Return the line of a stage, or None."""
        return find_line(self.lines, round_, stage)

    def once(
        self, round_: int, stage: str, compute: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Return the stage's line; where there is none yet, compute it and write it."""
        line = self.find(round_, stage)
        if line is None:
            line = json.loads(
                json.dumps({"round": round_, "stage": stage, **compute()}, allow_nan=False)
            )
            self.seal = seal_of(line, self.seal)
            self._file.write(json.dumps({**line, SEAL: self.seal}).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
            self.lines.append(line)
        return line

    def close(self) -> None:
        """Release the file."""
        self._file.close()
        self._lock.release()


def read_ledger(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the complete lines of a ledger, and their length in bytes.

    A last line that a kill cut short is left out. A damaged one, and one that is not as it was
    written, is a `UserError`.
    """
    lines: list[dict[str, Any]] = []
    whole, seal, is_sealed = 0, "", False
    if not path.exists():
        return lines, whole
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if not raw.endswith(b"\n"):
                break
            try:
                line = json.loads(raw)
            except (ValueError, RecursionError):
                line = None
            if not is_line(line):
                raise UserError(
                    f"{path}: line {number} is damaged; restore the file, or delete the run"
                )
            for part in WITH_IDS:
                check_ids(line.get(part) or (), f"{path}, line {number}", "restore the file")
            told = line.pop(SEAL, None)
            seal, is_sealed = seal_of(line, seal), is_sealed or told is not None
            if is_sealed and told != seal:
                raise UserError(
                    f"{path}: line {number} is not as the run wrote it, or lines before it are "
                    "not; restore the file, or delete the run"
                )
            lines.append(line)
            whole += len(raw)
    return lines, whole


def seal_of(line: Mapping[str, Any], before: str) -> str:
    """Return the seal of a line of a ledger; before: that of the line above it, "" of none."""
    return settings_hash([before, line])


def is_line(line: object) -> bool:
    """Return whether the content of a line says which round and stage it is about."""
    return (
        isinstance(line, dict)
        and type(line.get("round")) is int
        and isinstance(line.get("stage"), str)
    )


def find_line(lines: Sequence[dict[str, Any]], round_: int, stage: str) -> dict[str, Any] | None:
    """Return the line of a stage, or None."""
    return next((line for line in lines if (line["round"], line["stage"]) == (round_, stage)), None)


def digest(path: Path | str) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def settings_hash(plain: Any) -> str:
    """Return a short hash of nested plain values."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def without(plain: Any, keys: Collection[str]) -> Any:
    """Return nested plain values without the entries called `keys`."""
    if not isinstance(plain, dict):
        return plain
    return {key: without(value, keys) for key, value in plain.items() if key not in keys}
