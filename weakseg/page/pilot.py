"""The pilot: a dozen pictures of each kind of label, in a balanced order, which give one's prices.

Its plan is stored as an act, so that it goes on where it stopped. Each kind has pictures of its
own, which the person has not looked at before; they come in blocks. In each round all kinds have a
block, in the order of a row of a Latin square: each kind is once the first, once the second, and so
on, so that neither practice nor weariness favours one. Nothing of a model is shown.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from weakseg.common import UserError, stable_seed
from weakseg.labels.costs import LOOK, load_schedule
from weakseg.labels.store import opened_store
from weakseg.page.answer_log import PILOT, AnswerLog, Asked

PICTURES = 12  # of each kind
LEAST = 3  # below which a kind says nothing
QUESTIONS = 4  # about each picture
MOST_KINDS = 3
BESIDE = "One more on what is none of the classes."
ACT = "pilot"


@dataclass(frozen=True)
class PilotKind:
    """A kind of label that a pilot can measure.

    signal  as price schedules name it
    tool    of the drawing view; "" of questions
    task    what the person is asked to do
    action  the same, as price schedules name it
    number  how many of them a picture takes, roughly
    beside  whether one of them is beside all objects, where there is a background
    """

    signal: str
    tool: str
    task: str
    action: str
    number: int = 1
    beside: bool = False

    @property
    def seconds(self) -> float:
        """What one picture takes by the usual prices, roughly."""
        prices = load_schedule()
        return prices.price(LOOK, {"image": 1}) + prices.price(
            self.signal, {self.action: self.number}
        )


KINDS: dict[str, PilotKind] = {
    "questions": PilotKind(
        "pixels",
        "",
        "Name the class in the ring, as always: four pixels of each picture.",
        "answer",
        QUESTIONS,
    ),
    "clicks": PilotKind("points", "click", "Click once on each object.", "first_point", 2, True),
    "strokes": PilotKind("scribbles", "stroke", "Draw a stroke on each object.", "stroke", 2, True),
    "boxes": PilotKind("boxes", "box", "Draw a tight box around each object.", "box"),
    "outlines": PilotKind(
        "outlines",
        "outline",
        "Draw a coarse outline around each object, of a few points.",
        "outline",
    ),
    "masks": PilotKind(
        "full",
        "polygon",
        "Draw each object as exactly as a mask needs it.",
        "object",
    ),
    "tags": PilotKind(
        "tags",
        "tag",
        "Say of each class whether it is in the picture.",
        "present",
        2,
    ),
}


@dataclass(frozen=True)
class Block:
    """Pictures of one kind, one after another."""

    kind: str
    pictures: tuple[str, ...]


def latin_square(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a random square [size, size] of 0..size - 1: each once in each row and column."""
    cyclic = np.add.outer(np.arange(size), np.arange(size)) % size
    mixed = cyclic[rng.permutation(size)][:, rng.permutation(size)]
    square: np.ndarray = rng.permutation(size)[mixed]
    return square


def plan(kinds: Sequence[str], names: Sequence[str], seed: int) -> list[Block]:
    """Return the blocks of a pilot in their order.

    names: ids of the pictures that may be shown, of which a dozen for each kind are drawn, or fewer
    where there are not so many; too few are a `UserError`
    """
    count = min(PICTURES, len(names) // len(kinds))
    if count < LEAST:
        raise UserError(
            f"--pilot {' '.join(kinds)}: needs {LEAST * len(kinds)} photographs that you have not "
            f"labelled, there are {len(names)}; name fewer kinds, or more photographs"
        )
    rng = np.random.default_rng(stable_seed(seed, ACT))
    drawn = rng.permutation(sorted(names))[: count * len(kinds)].reshape(len(kinds), count)
    blocks = []
    rounds = [np.array_split(own, len(kinds)) for own in drawn]
    for number, row in enumerate(latin_square(len(kinds), rng)):
        for kind in row:
            pictures = tuple(map(str, rounds[kind][number]))
            blocks.append(Block(kinds[kind], pictures))
    return blocks


class Pilot:
    """The pilot of one person.

    log       what was asked and answered
    drawn_on  ids of the pictures that were drawn on or skipped: changes while the page runs
    finished  set once all of it is done
    """

    def __init__(
        self,
        log: AnswerLog,
        sizes: Mapping[str, tuple[int, int]],
        drawn_on: Mapping[str, str],
        kinds: Sequence[str],
        seed: int = 0,
    ) -> None:
        self.log, self.sizes, self.drawn_on, self.seed = log, sizes, drawn_on, seed
        self.finished = threading.Event()
        last = self.stored()
        self.blocks = [] if last is None or self.kinds_of(last) != {*kinds} else last
        if not self.blocks or self.current is None:
            free = [name for name in sizes if name not in log.looked and name not in drawn_on]
            self.blocks = plan(kinds, free, seed)
            content = [{"kind": one.kind, "pictures": [*one.pictures]} for one in self.blocks]
            log.append([log.event(ACT, geometry={"seed": seed, "blocks": content})])

    @staticmethod
    def kinds_of(blocks: Sequence[Block]) -> set[str]:
        """Return the kinds of a plan."""
        return {one.kind for one in blocks}

    def stored(self) -> list[Block] | None:
        """Return the last plan of this person, with the pictures that are there; None without."""
        found = None
        with opened_store(self.log.folder) as store:
            for number, _, event in store.events(ACT):
                if event.source != self.log.source:
                    continue
                try:
                    found = [
                        Block(str(one["kind"]), tuple(map(str, one["pictures"])))
                        for one in event.geometry["blocks"]
                    ]
                    usable = self.kinds_of(found) <= KINDS.keys()
                except (KeyError, TypeError) as error:
                    raise UserError(
                        f"{store.path}: event {number} is not of the documented form ({error!r})"
                    ) from error
                found = found if usable else None
        return found and [
            Block(one.kind, tuple(name for name in one.pictures if name in self.sizes))
            for one in found
        ]

    # ---- how far it is

    @property
    def current(self) -> int | None:
        """The number of the block that is not done; None where all are."""
        return next((n for n, one in enumerate(self.blocks) if self.left(one)), None)

    def left(self, block: Block) -> list[str]:
        """Return the pictures of a block that are not done."""
        if KINDS[block.kind].tool:
            return [name for name in block.pictures if name not in self.drawn_on]
        answered = [one.asked.picture for one in self.log.told if one.asked.drawn == PILOT]
        return [name for name in block.pictures if answered.count(name) < self.count(name)]

    def next_after(self, picture: str) -> str | None:
        """Return the picture to be drawn on after one; None where the block ends."""
        number = self.current
        if number is None or not KINDS[self.blocks[number].kind].tool:
            return None
        return next((name for name in self.left(self.blocks[number]) if name != picture), None)

    def begin(self) -> None:
        """Ask the questions of the block that is not done, unless they are asked already."""
        number = self.current
        if number is None or KINDS[self.blocks[number].kind].tool:
            return
        asked = {one.picture for one in self.log.asked.values() if one.drawn == PILOT}
        questions: list[Asked] = []
        for name in self.left(self.blocks[number]):
            if name in asked:
                continue
            first = len(self.log.asked) + len(questions) + 1
            questions += [
                Asked(first + row, name, place, PILOT, 0, known=self.log.answers)
                for row, place in enumerate(self.places(name))
            ]
        if questions:
            self.log.ask(questions)

    def count(self, name: str) -> int:
        """Return the number of questions about a picture."""
        width, height = self.sizes[name]
        return min(QUESTIONS, width * height)

    def places(self, name: str) -> list[tuple[float, float]]:
        """Return random pixels of a picture, no two alike, (x, y)."""
        width, height = self.sizes[name]
        rng = np.random.default_rng(stable_seed(self.seed, ACT, name))
        drawn = rng.choice(width * height, self.count(name), replace=False)
        return [(int(at) % width + 0.5, int(at) // width + 0.5) for at in drawn]

    def task(self, kind: PilotKind) -> str:
        """Return what the person is asked to do."""
        beside = kind.beside and self.log.classes.has_background
        words = [kind.task, BESIDE * beside, "Enter goes on." if kind.tool else ""]
        return " ".join(filter(None, words))

    @property
    def minutes(self) -> float:
        """What all of it takes, roughly."""
        return sum(KINDS[one.kind].seconds * len(one.pictures) for one in self.blocks) / 60

    def state(
        self, index: Mapping[str, int], table: Callable[[], list[list[str]]]
    ) -> dict[str, Any]:
        """Return how far it is, see `pilot_routes`. index: of pictures, by name"""
        current = self.current
        if current is None:
            self.finished.set()
        blocks = [
            {
                "kind": one.kind,
                "signal": KINDS[one.kind].signal,
                "tool": KINDS[one.kind].tool,
                "task": self.task(KINDS[one.kind]),
                "pictures": len(one.pictures),
                "left": [index[name] for name in self.left(one)],
            }
            for one in self.blocks
        ]
        rows = table() if current is None else None
        return {"blocks": blocks, "current": current, "minutes": self.minutes, "table": rows}
