"""A session of questions that a simulated person answers, on data that have masks.

Ground truth reaches the session through the person alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from weakseg.common import IGNORE
from weakseg.data.base import SegmentationDataset
from weakseg.inference.predict import probe_mask
from weakseg.labels.answers import RANDOM
from weakseg.labels.person import Person, whole
from weakseg.learners.feature_store import FeatureStore
from weakseg.learners.logistic import LinearHead
from weakseg.learners.probe import Probe
from weakseg.planning.asking import Asking
from weakseg.planning.asking_state import load_session, save_session
from weakseg.planning.candidates import Pool
from weakseg.planning.questions import EXAMPLE, Question

KEPT = 256  # masks that stay in memory
REFIT_EVERY = 5, 20  # answers, of two classes and of many: a person who answers fast waits for none


class Annotator:
    """A simulated person in front of the pictures of a data set.

    names: of the pictures, in the order of the pool
    """

    def __init__(self, dataset: SegmentationDataset, names: Sequence[str], person: Person) -> None:
        self.dataset, self.names, self.person = dataset, list(names), person
        self._masks = lru_cache(KEPT)(self._read)

    def _read(self, picture: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the mask of a picture, and the mask whose void is filled."""
        mask = self.dataset.mask(self.names[picture])
        return mask, whole(mask)

    def answers(self, questions: Sequence[Question]) -> list[int]:
        """Return the classes that the person names, `IGNORE` where they can't tell."""
        labels = []
        for question in questions:
            mask, filled = self._masks(question.picture)
            name = self.names[question.picture]
            labels.append(self.person.answer(name, mask, question.place, 0, filled))
        return labels

    def examples(self, num_classes: int) -> list[Question]:
        """Return a pixel of an example of each class, the first that comes up.

        Pictures come in the order of the pool; of a class that none shows there is no example. The
        pixel is the one farthest from other classes: a person shows what is plain to see.
        """
        import cv2

        found: dict[int, Question] = {}
        for picture in range(len(self.names)):
            mask = self.dataset.mask(self.names[picture])
            for label in {*np.unique(mask).tolist()} - {IGNORE, *found}:
                inside = np.pad((mask == label).astype(np.uint8), 1)
                depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
                row, column = np.unravel_index(int(depth.argmax()), depth.shape)
                place = float(column) + 0.5, float(row) + 0.5
                found[label] = Question(picture, place, EXAMPLE, 0)
            if len(found) == num_classes:
                break
        return [found[label] for label in sorted(found)]

    def answers_to_candidates(self, pool: Pool, picture: int) -> list[int]:
        """Return what the person would answer at all candidates of a picture."""
        places = [(float(x), float(y)) for x, y in pool.places[picture]]
        return self.answers([Question(picture, place, RANDOM, 0) for place in places])


@dataclass
class Simulation:
    """A session, the person who answers it, and where its state is kept.

    refit_every: answers between two fits
    contents: a text that says what the files of photographs and masks hold
    """

    asking: Asking
    annotator: Annotator
    path: Path
    key: str
    refit_every: int
    contents: str = ""

    def begin(self, with_examples: bool) -> None:
        """Take up the session where its file ends, or begin it."""
        if load_session(self.path, self.asking, self.key, self.contents):
            return
        if with_examples:
            examples = self.annotator.examples(self.asking.num_classes)
            self.asking.take(examples, self.annotator.answers(examples))

    def until(self, answers: int) -> Iterator[int]:
        """Answer questions until there are so many answers; yield how many there are, again and
        again. What has been answered is on disk whenever it yields."""
        while len(self.asking.answers) < answers:
            left = answers - len(self.asking.answers)
            questions = self.asking.next(min(self.refit_every, left))
            if not questions:
                return
            self.asking.take(questions, self.annotator.answers(questions))
            save_session(self.path, self.asking, self.key, self.contents)
            yield len(self.asking.answers)


def mask_of(asking: Asking, store: FeatureStore, dataset: SegmentationDataset, edges: float) -> Any:
    """Return the function (picture, head) -> mask [H, W] that follows the edges of photographs."""

    def mask(picture: int, head: LinearHead) -> np.ndarray:
        name = asking.pool.names[picture]
        maps = store(dataset.photograph(name))
        probe = Probe(asking.model.standard, head, edges)
        return probe_mask(probe, maps, np.asarray(dataset.image(name)))

    return mask
