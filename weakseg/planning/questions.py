"""Questions about single pixels, and what a person answered."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from weakseg.training.pixel_sample import LabelledPixels

EXAMPLE = "example"  # how a pixel was drawn, besides `RANDOM` and by a strategy


@dataclass(frozen=True)
class Question:
    """A pixel to be named: its picture, by number, its place (x, y), and how it was drawn.

    drawn: `RANDOM`, `EXAMPLE`, or the strategy; fit: the number of the fit that chose it
    repeated: whether the person has answered it before, so that it is not shown
    """

    picture: int
    place: tuple[float, float]
    drawn: str
    fit: int
    repeated: bool = False


@dataclass(frozen=True)
class Answer:
    """A question and the class that a person gave it, `IGNORE` where they could not tell."""

    question: Question
    label: int

    @property
    def record(self) -> dict[str, Any]:
        """The answer as a label file holds it, see `weakseg.labels.answers`."""
        x, y = self.question.place
        drawn, fit = self.question.drawn, self.question.fit
        return {"x": x, "y": y, "class": self.label, "drawn": drawn, "fit": fit}


@dataclass
class Answers:
    """What a person answered, in order, with the features [N, D] float16 of the pixels.

    depth: D
    """

    depth: int
    rows: list[Answer] = field(default_factory=list)
    features: list[np.ndarray] = field(default_factory=list)
    known: dict[tuple[int, float, float], int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, answer: Answer, features: np.ndarray) -> None:
        """Take in an answer; of two to one pixel the later one holds."""
        question = answer.question
        self.rows.append(answer)
        self.features.append(features)
        self.known[question.picture, *question.place] = answer.label

    def label_of(self, picture: int, place: Sequence[float]) -> int | None:
        """Return the answer to a pixel; None where nobody was asked."""
        return self.known.get((picture, float(place[0]), float(place[1])))

    def last_of_each(self, first: int | None = None) -> np.ndarray:
        """Return the number of the last answer to each pixel, in order, of the first answers.

        first: how many; None: all
        """
        last: dict[tuple[int, float, float], int] = {}
        for number, row in enumerate(self.rows[:first]):
            last[row.question.picture, *row.question.place] = number
        return np.array(sorted(last.values()), int)

    def pixels(self, chosen: np.ndarray) -> LabelledPixels:
        """Return some answers, by number, as pixels of weight 1; *cannot tell* is of class 255."""
        rows = [self.rows[number] for number in chosen]
        return LabelledPixels(
            np.array([self.features[number] for number in chosen], np.float16).reshape(
                len(rows), self.depth
            ),
            np.array([row.label for row in rows], np.int64),
            np.ones(len(rows)),
            np.array([row.question.picture for row in rows], np.int64),
        )
