"""What *Finish* does: the run, masks of all pictures, and the commands that go on."""

import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weakseg.common import UserError, atomic_path
from weakseg.parent import PARENT
from weakseg.planning import runner

BAR = re.compile(r"(\d+)/(\d+) \[")  # of tqdm


@dataclass
class Finish:
    """Two commands that run while the page is open, and what is said of them.

    train, predict  words of the commands
    run             folder of the run, whose card.md says where it comes from
    masks           folder of the masks
    log             file for what the commands print
    next            commands that a person may give then
    """

    train: Sequence[str]
    predict: Sequence[str]
    run: Path
    masks: Path
    log: Path
    next: Sequence[str]
    stage: str = "no"
    line: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)
    thread: threading.Thread | None = None

    def state(self) -> dict[str, Any]:
        """Return what the page shows of it."""
        commands = [*self.next] if self.stage == "done" else []
        line = f"{self.line}{self.progress()}" if self.stage == "running" else self.line
        return {"state": self.stage, "line": line, "commands": commands}

    def progress(self) -> str:
        """Return how far the command at work is, as its bar says; "" where it has none."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        bars = BAR.findall(text)
        return f", {bars[-1][0]} of {bars[-1][1]}" if bars else ""

    def start(self, card: Sequence[str]) -> None:
        """Begin, unless it runs already. card: lines about the session."""
        with self.lock:
            if self.stage == "running":
                return
            self.stage, self.line = "running", "fitting the model"
        self.thread = threading.Thread(target=self.work, args=(card,), daemon=True)
        self.thread.start()

    def work(self, card: Sequence[str]) -> None:
        """Run both commands, then write the card."""
        try:
            self.call(self.train)
            self.line = "predicting masks of all photographs"
            self.call(self.predict)
            self.write_card(card)
        except (UserError, OSError) as error:
            self.stage, self.line = "failed", str(error)
            return
        self.line, self.stage = f"the run {self.run}, masks in {self.masks}", "done"
        print("finished; go on with", *self.next, sep="\n  ", flush=True)

    def call(self, words: Sequence[str]) -> None:
        """Run a command; one that fails is a `UserError` with its last line."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, PARENT: str(os.getpid())}
        with self.log.open("wb") as file:
            code = runner.run_command(words, file, os.getcwd(), environment)
        if code:
            raise UserError(runner.last_line(self.log).removeprefix("error: "))

    def write_card(self, card: Sequence[str]) -> None:
        """Write what the run is, beside it."""
        lines = [
            f"# {self.run.name}",
            "",
            "A probe, fitted to labels of `annotate.py`.",
            "",
            *card,
        ]
        lines += ["", "Go on with", "", "```bash", *self.next, "```", ""]
        with atomic_path(self.run / "card.md") as temporary:
            temporary.write_text("\n".join(lines), encoding="utf-8")
