"""Asked pixels: the machine chooses a pixel, a person names the class under it or can't tell.

A share of the questions is drawn at random (`candidates.RandomQuestions`): they say how good the
model is. The others ask where the model (`answer_model`) is least sure (`strategies`). The method
follows PixelPick (Shin et al., "All you need are a few pixels", ICCV workshops 2021),
with a model that is refitted in a fraction of a second.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from weakseg.common import IGNORE, stable_seed
from weakseg.labels.answers import RANDOM
from weakseg.learners.logistic import LinearHead
from weakseg.planning.answer_model import AnswerModel
from weakseg.planning.candidates import Pool, RandomQuestions
from weakseg.planning.questions import Answer, Answers, Question
from weakseg.planning.strategies import (
    FEW_OF_CLASS,
    IN_VAIN,
    MANY_TIMES,
    SERVED,
    STRATEGIES,
    USUAL_STRATEGY,
    Outlook,
    best_candidates,
    different,
    likeliest,
)
from weakseg.training.pixel_sample import LabelledPixels

BAND = 200  # pictures whose candidates are looked at together

FeaturesAt = Callable[[int, np.ndarray], np.ndarray]  # picture, places [N, 2] -> [N, D]


@dataclass(frozen=True)
class AskingOptions:
    """How questions are chosen.

    random_share  of the questions that are drawn at random, in [0, 1]
    strategy      of the others, a name of `STRATEGIES`
    per_picture   questions on one picture in a row, at most
    looked_at     pictures that are looked at for one question, drawn anew each time
    seconds       of an answer, and of a look at a new picture
    """

    seed: int = 0
    random_share: float = 0.25
    strategy: str = USUAL_STRATEGY
    per_picture: int = 1
    looked_at: int = 3
    seconds: tuple[float, float] = (2.0, 1.5)


class Asking:
    """Chooses the questions of one session, and fits the model to the answers.

    pool         candidates
    features_at  (picture, places [N, 2]) -> features [N, D] of pixels that are no candidates
    num_classes  C
    labels       pixels of other labels that are there, whose weights are comparable with each other
    questions    the random ones; None: over all pictures of the pool from the start
    groups       [I] int, of each picture of the pool, such as its patient, that no fold parts;
                 None: each is its own
    """

    def __init__(
        self,
        pool: Pool,
        features_at: FeaturesAt,
        num_classes: int,
        options: AskingOptions,
        labels: LabelledPixels | None = None,
        questions: RandomQuestions | None = None,
        groups: np.ndarray | None = None,
    ) -> None:
        self.pool, self.features_at, self.num_classes = pool, features_at, num_classes
        self.options = options
        self.random = questions or RandomQuestions(options.seed, pool.sizes)
        self.groups = groups
        self.model = AnswerModel(pool.standard(), num_classes, options.seed, labels, groups=groups)
        self.answers = Answers(pool.features.shape[-1])
        self.asked = np.zeros(pool.features.shape[:2], bool)
        self.seen = np.zeros(len(pool), bool)
        self.drawn = 0  # random questions so far, answered or waiting
        self.placed = 0  # questions so far, of any kind but examples
        self.sought = np.zeros(num_classes, int)  # questions that served a class so far

    def join(self, pool: Pool) -> None:
        """Take in further pictures: `pool` begins with those that were there.

        From here on questions are about all of them; what puts features to one scale stays. Raises
        ValueError for a pool that begins otherwise.
        """
        before, new = len(self.pool), len(pool) - len(self.pool)
        if new < 0 or [*pool.names[:before]] != [*self.pool.names]:
            raise ValueError("a pool that joins must begin with the pictures that are there")
        self.pool = pool
        joined = np.concatenate([self.random.joined, np.full(new, self.drawn)])
        self.random = RandomQuestions(self.random.seed, pool.sizes, joined)
        self.asked = np.pad(self.asked, ((0, new), (0, 0)))
        self.seen = np.pad(self.seen, (0, new))

    @property
    def seconds_spent(self) -> float:
        """What the person has spent: an answer for each pixel, a look at each picture."""
        answer, look = self.options.seconds
        return answer * len(self.answers.known) + look * int(self.seen.sum())

    # ---- questions

    def next(self, count: int) -> list[Question]:
        """Return the next `count` questions; fewer where the pool has no further candidates.

        Where it has none, random questions take their place, if any are asked. A random question
        whose pixel was asked about before is `repeated`.
        """
        share = self.options.random_share if self.model.head else 1.0
        numbers = self.placed + np.arange(count)
        is_random = np.floor((numbers + 1) * share) > np.floor(numbers * share)
        chosen = self.chosen(count - int(is_random.sum()))
        drawn = self.next_drawn(count - len(chosen) if share else 0)
        self.drawn += len(drawn)
        turns = iter(chosen), iter(drawn)
        issued = []
        for own in is_random:
            question = next(turns[int(own)], None) or next(turns[1 - int(own)], None)
            issued += [question] if question else []
        self.placed += len(issued)
        return issued

    def next_drawn(self, count: int) -> list[Question]:
        """Return the next `count` random questions."""
        pictures, places = self.random.drawn(self.drawn, count)
        return [
            Question(
                picture,
                (x, y),
                RANDOM,
                self.model.fits,
                self.answers.label_of(picture, (x, y)) is not None,
            )
            for picture, (x, y) in zip(pictures.tolist(), places.tolist(), strict=True)
        ]

    def chosen(self, count: int) -> list[Question]:
        """Return up to `count` questions that the strategy chooses."""
        if not count or self.model.head is None:
            return []
        served = self.served(count) if STRATEGIES[self.options.strategy].serves else []
        return served + self.doubtful(count - len(served))

    def served(self, count: int) -> list[Question]:
        """Return the questions, a part of `count`, for classes that few answers have named.

        Those with the fewest come first, each where the model finds it likeliest. A class that was
        sought long in vain is sought every other time in the pictures that have shown it.
        """
        due = int((self.placed + count) * SERVED) - int(self.placed * SERVED)
        counts = self.counts()
        poor = np.flatnonzero((counts > 0) & (counts < FEW_OF_CLASS))
        left = np.flatnonzero(~self.asked.all(1))
        if not due or not len(poor) or not len(left):
            return []
        anywhere: list[int] = []
        questions: list[Question] = []
        for label in np.resize(poor[np.argsort(counts[poor], kind="stable")], due).tolist():
            is_home = self.sought[label] >= IN_VAIN * counts[label] and self.sought[label] % 2
            home = self.home(label) if is_home else left[:0]
            if len(home):
                questions += self.likeliest(home, [label])
            else:
                anywhere.append(label)
            self.sought[label] += 1
        if anywhere:
            rng = np.random.default_rng(stable_seed(self.options.seed, "served", self.model.fits))
            looked = np.sort(rng.choice(left, min(BAND, len(left)), replace=False))
            questions += self.likeliest(looked, anywhere)
        return questions

    def home(self, label: int) -> np.ndarray:
        """Return the pictures with candidates left in which an answer has named a class."""
        rows = self.answers.rows
        shown = np.unique([row.question.picture for row in rows if row.label == label])
        return shown[~self.asked[shown].all(1)]

    def likeliest(self, looked: np.ndarray, classes: Sequence[int]) -> list[Question]:
        """Return a question for each of some classes where, in some pictures, it is likeliest."""
        assert self.model.head is not None
        chances = self.chances(looked, self.model.head)
        return self.asks(looked, likeliest(chances, self.asked[looked], np.array(classes)))

    def doubtful(self, count: int) -> list[Question]:
        """Return up to `count` questions where the strategy's score is the largest."""
        options, strategy = self.options, STRATEGIES[self.options.strategy]
        looked = self.looked_at(count) if count else np.empty(0, int)
        if not len(looked):
            return []
        scores, asked = strategy.score(self.outlook(looked)), self.asked[looked]
        if strategy.spreads:  # pictures whose best candidates are unlike each other
            pictures = -(-count // options.per_picture)
            rows, candidates = best_candidates(scores, asked, MANY_TIMES * pictures, 1)
            features = self.model.standard(self.pool.features[looked[rows], candidates])
            seed = stable_seed(options.seed, "spread", self.model.fits) % 2**32
            values = np.maximum(scores[rows, candidates], 1e-6)
            kept = np.sort(rows[different(features, values, pictures, seed)])
            looked, scores, asked = looked[kept], scores[kept], asked[kept]
        rows, candidates = best_candidates(scores, asked, count, options.per_picture)
        return self.asks(looked, [*zip(rows.tolist(), candidates.tolist(), strict=True)])

    def asks(self, looked: np.ndarray, chosen: list[tuple[int, int]]) -> list[Question]:
        """Return the questions about (row of `looked`, candidate), which are asked from here on."""
        questions = []
        for row, candidate in chosen:
            picture = int(looked[row])
            self.asked[picture, candidate] = True
            x, y = self.pool.places[picture, candidate].tolist()
            questions.append(Question(picture, (x, y), self.options.strategy, self.model.fits))
        return questions

    def counts(self) -> np.ndarray:
        """Return the answers of each class so far, [C]."""
        labels = [row.label for row in self.answers.rows]
        return np.bincount(labels, minlength=IGNORE + 1)[: self.num_classes]

    def looked_at(self, count: int) -> np.ndarray:
        """Return the pictures that are looked at for `count` questions, in order.

        They are drawn among those that have candidates left.
        """
        left = np.flatnonzero(~self.asked.all(1))
        wanted = -(-count // self.options.per_picture) * self.options.looked_at
        if wanted >= len(left):
            return left
        rng = np.random.default_rng(stable_seed(self.options.seed, "looked at", self.model.fits))
        return np.sort(rng.choice(left, wanted, replace=False))

    def outlook(self, looked: np.ndarray) -> Outlook:
        """Return what is known of the candidates of some pictures [I]."""
        answer, look = self.options.seconds
        tells = np.ones((len(looked), self.pool.features.shape[1]), np.float32)
        if self.model.tell is not None:
            tells = self.chances(looked, self.model.tell)[..., 1]
        assert self.model.head is not None
        return Outlook(
            self.chances(looked, self.model.head),
            self.counts(),
            tells,
            answer + look * ~self.seen[looked],
        )

    def chances(self, pictures: np.ndarray, head: LinearHead) -> np.ndarray:
        """Return class probabilities [I, K, C] float32 of the candidates of pictures [I]."""
        logits = [
            self.model.logits(self.pool.features[pictures[first : first + BAND]], head)
            for first in range(0, len(pictures), BAND)
        ]
        found: np.ndarray = torch.from_numpy(np.concatenate(logits)).softmax(-1).numpy()
        return found

    # ---- answers

    def take(self, questions: Sequence[Question], labels: Sequence[int]) -> None:
        """Take in a person's answers [N], classes or `IGNORE`, and fit the model anew."""
        by_picture: dict[int, list[int]] = {}
        for number, question in enumerate(questions):
            by_picture.setdefault(question.picture, []).append(number)
        features: dict[int, np.ndarray] = {}
        for picture, numbers in by_picture.items():
            places = np.array([questions[number].place for number in numbers])
            own = self.features_at(picture, places).astype(np.float16)
            features |= dict(zip(numbers, own, strict=True))
        for number, (question, label) in enumerate(zip(questions, labels, strict=True)):
            self.keep(Answer(question, int(label)), features[number])
        self.model.fit(self.answers)

    def keep(self, answer: Answer, features: np.ndarray) -> None:
        """Take in one answer, with the features [D] of its pixel, without a fit."""
        picture = answer.question.picture
        self.answers.add(answer, features)
        self.seen[picture] = True
        self.asked[picture] |= (self.pool.places[picture] == answer.question.place).all(1)
