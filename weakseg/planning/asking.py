"""Asked pixels: the machine chooses a pixel, a person names the class under it or can't tell.

A share of the questions is drawn at random (`candidates.RandomQuestions`): they say how good the
model is. The others ask where the model is least sure (`strategies`). The model is a linear head on
frozen features, fitted anew from its last weights as answers come in; every answer weighs the same.
The method follows PixelPick (Shin et al., "All you need are a few pixels", ICCV workshops 2021),
with a model that is refitted in a fraction of a second.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from weakseg.common import IGNORE, stable_seed
from weakseg.labels.answers import RANDOM
from weakseg.learners.logistic import Axes, LinearHead, axes_of, fit_linear
from weakseg.learners.penalty import PENALTIES, choose_penalty, folds_of
from weakseg.learners.probe import Probe
from weakseg.planning.candidates import Pool, RandomQuestions
from weakseg.planning.questions import Answer, Answers, Question
from weakseg.planning.strategies import (
    FEW_OF_CLASS,
    MANY_TIMES,
    SERVED,
    STRATEGIES,
    Outlook,
    best_candidates,
    different,
    likeliest,
    usual_strategy,
)
from weakseg.training.pixel_sample import LabelledPixels, merged

TOLERANCE = 1e-4  # of the gradient: chances then differ by less than a hundredth of their spread
GROWTH = 1.25  # the penalty is chosen again when there are so many times more answers
FEW_UNTOLD = 10  # answers of *cannot tell* from which on their chance is learned
TELL_PENALTY = 0.1  # of the head that learns it
BAND = 200  # pictures whose candidates are looked at together
# Labels that were there weigh as many answers as held-out answers like best, of these numbers.
WEIGHTS_OF_LABELS = (0.0, 30.0, 100.0, 400.0)
FEW_ANSWERS = 20  # below it nothing is held out, and they weigh `USUAL_WEIGHT`
USUAL_WEIGHT = 100.0

FeaturesAt = Callable[[int, np.ndarray], np.ndarray]  # picture, places [N, 2] -> [N, D]


@dataclass(frozen=True)
class AskingOptions:
    """How questions are chosen.

    random_share  of the questions that are drawn at random, in [0, 1]
    strategy      of the others, a name of `STRATEGIES`; None: `usual_strategy`
    per_picture   questions on one picture in a row, at most
    looked_at     pictures that are looked at for one question, drawn anew each time
    seconds       of an answer, and of a look at a new picture
    """

    seed: int = 0
    random_share: float = 0.25
    strategy: str | None = None
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
    head         of the last fit, on features that `standard` standardises; None before any
    fits         how many there were
    """

    def __init__(
        self,
        pool: Pool,
        features_at: FeaturesAt,
        num_classes: int,
        options: AskingOptions,
        labels: LabelledPixels | None = None,
        questions: RandomQuestions | None = None,
    ) -> None:
        self.pool, self.features_at, self.num_classes = pool, features_at, num_classes
        self.options, self.labels = options, labels
        self.strategy = options.strategy or usual_strategy(num_classes)
        self.random = questions or RandomQuestions(options.seed, pool.sizes)
        self.standard = pool.standard()
        self.answers = Answers(pool.features.shape[-1])
        self.asked = np.zeros(pool.features.shape[:2], bool)
        self.seen = np.zeros(len(pool), bool)
        self.drawn = 0  # random questions so far, answered or waiting
        self.placed = 0  # questions so far, of any kind but examples
        self.head: LinearHead | None = None
        self.tell: LinearHead | None = None
        self.fits, self.penalty, self.weight, self.chosen_at = 0, PENALTIES[4], USUAL_WEIGHT, 0
        self.axes: Axes | None = None  # of the features, which speed fits up
        self.axes_at = 0  # answers that they were found of

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
        share = self.options.random_share if self.head else 1.0
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
                self.fits,
                self.answers.label_of(picture, (x, y)) is not None,
            )
            for picture, (x, y) in zip(pictures.tolist(), places.tolist(), strict=True)
        ]

    def chosen(self, count: int) -> list[Question]:
        """Return up to `count` questions that the strategy chooses."""
        if not count or self.head is None:
            return []
        served = self.served(count) if STRATEGIES[self.strategy].serves else []
        return served + self.doubtful(count - len(served))

    def served(self, count: int) -> list[Question]:
        """Return the questions, a part of `count`, for classes that few answers have named.

        Those with the fewest come first, each where the model finds it likeliest.
        """
        due = int((self.placed + count) * SERVED) - int(self.placed * SERVED)
        counts = self.counts()
        poor = np.flatnonzero((counts > 0) & (counts < FEW_OF_CLASS))
        left = np.flatnonzero(~self.asked.all(1))
        if not due or not len(poor) or not len(left):
            return []
        rng = np.random.default_rng(stable_seed(self.options.seed, "served", self.fits))
        looked = np.sort(rng.choice(left, min(BAND, len(left)), replace=False))
        assert self.head is not None
        classes = np.resize(poor[np.argsort(counts[poor], kind="stable")], due)
        return self.asks(
            looked, likeliest(self.chances(looked, self.head), self.asked[looked], classes)
        )

    def doubtful(self, count: int) -> list[Question]:
        """Return up to `count` questions where the strategy's score is the largest."""
        options, strategy = self.options, STRATEGIES[self.strategy]
        looked = self.looked_at(count) if count else np.empty(0, int)
        if not len(looked):
            return []
        scores, asked = strategy.score(self.outlook(looked)), self.asked[looked]
        if strategy.spreads:  # pictures whose best candidates are unlike each other
            pictures = -(-count // options.per_picture)
            rows, candidates = best_candidates(scores, asked, MANY_TIMES * pictures, 1)
            features = self.standard(self.pool.features[looked[rows], candidates])
            seed = stable_seed(options.seed, "spread", self.fits) % 2**32
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
            questions.append(Question(picture, (x, y), self.strategy, self.fits))
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
        rng = np.random.default_rng(stable_seed(self.options.seed, "looked at", self.fits))
        return np.sort(rng.choice(left, wanted, replace=False))

    def outlook(self, looked: np.ndarray) -> Outlook:
        """Return what is known of the candidates of some pictures [I]."""
        answer, look = self.options.seconds
        tells = np.ones((len(looked), self.pool.features.shape[1]), np.float32)
        if self.tell is not None:
            tells = self.chances(looked, self.tell)[..., 1]
        assert self.head is not None
        return Outlook(
            self.chances(looked, self.head),
            self.counts(),
            tells,
            answer + look * ~self.seen[looked],
        )

    def chances(self, pictures: np.ndarray, head: LinearHead) -> np.ndarray:
        """Return class probabilities [I, K, C] float32 of the candidates of pictures [I]."""
        logits = [
            self.logits(self.pool.features[pictures[first : first + BAND]], head)
            for first in range(0, len(pictures), BAND)
        ]
        found: np.ndarray = torch.from_numpy(np.concatenate(logits)).softmax(-1).numpy()
        return found

    def logits(self, features: np.ndarray, head: LinearHead) -> np.ndarray:
        """Return the logits [..., C] float32 that a head gives features [..., D]."""
        weights, bias = Probe(self.standard, head).folded(head.weights, head.bias)
        found: np.ndarray = (torch.from_numpy(features).float() @ weights + bias).numpy()
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
        self.fit()

    def keep(self, answer: Answer, features: np.ndarray) -> None:
        """Take in one answer, with the features [D] of its pixel, without a fit."""
        picture = answer.question.picture
        self.answers.add(answer, features)
        self.seen[picture] = True
        self.asked[picture] |= (self.pool.places[picture] == answer.question.place).all(1)

    def fit(self) -> None:
        """Fit the model to all answers and labels so far, from its last weights."""
        if not len(self.answers) and self.labels is None:
            return
        self.fits += 1
        rows = self.answers.pixels(self.answers.last_of_each())
        told = rows.part(rows.classes != IGNORE)
        if len(rows) >= self.chosen_at * GROWTH or self.axes is None:
            self.choose(told)
            self.chosen_at, self.axes_at = len(rows), len(self.answers)
            self.find_axes()
        head = self.fitted(told, self.head)
        self.head = head or self.head
        if np.count_nonzero(rows.classes == IGNORE) >= FEW_UNTOLD:
            can = (rows.classes != IGNORE).astype(np.int64)
            x = self.standard(rows.features)
            self.tell = fit_linear(
                x, can, rows.weights, TELL_PENALTY, 2, self.tell, self.axes, TOLERANCE
            )

    def find_axes(self) -> None:
        """Find the axes of the pixels that fits learn from, of the first `axes_at` answers."""
        rows = self.answers.pixels(self.answers.last_of_each(self.axes_at))
        rows = with_labels(rows, self.labels, self.weight)
        x, weights = torch.from_numpy(self.standard(rows.features)), torch.from_numpy(rows.weights)
        self.axes = axes_of(x, weights)

    def fitted(
        self, told: LabelledPixels, start: LinearHead | None, unseen: np.ndarray | None = None
    ) -> LinearHead | None:
        """Return the head that answers and labels give; None while they show only one class.

        told: answers with a class; start: the head that the fit begins from; unseen: pictures whose
        labels it must not learn from
        """
        labels = self.labels if unseen is None else without_pictures(self.labels, unseen)
        rows = with_labels(told, labels, self.weight)
        if len(np.unique(rows.classes)) < 2:
            return None
        x = self.standard(rows.features)
        return fit_linear(
            x,
            rows.classes,
            rows.weights,
            self.penalty,
            self.num_classes,
            start,
            self.axes,
            TOLERANCE,
        )

    def choose(self, told: LabelledPixels) -> None:
        """Choose the penalty, and the weight of other labels, by cross-validation over pictures."""
        if self.labels is not None and len(told) >= FEW_ANSWERS:
            losses = {w: self.held_out_loss(told, w) for w in WEIGHTS_OF_LABELS}
            self.weight = min(losses, key=losses.__getitem__)
        rows = with_labels(told, self.labels, self.weight)
        if len(np.unique(rows.classes)) > 1:
            x = self.standard(rows.features)
            parts = x, rows.classes, rows.weights, rows.images
            self.penalty = choose_penalty(*parts, self.num_classes, seed=self.options.seed).penalty

    def held_out_loss(self, told: LabelledPixels, weight: float) -> float:
        """Return the cross-entropy of answers on held-out pictures.

        weight: of other labels, in answers
        """
        folds, loss = folds_of(told.images, 3, self.options.seed).numpy(), 0.0
        for fold in np.unique(folds):
            held = told.part(folds == fold)
            held_pictures = np.unique(held.images)
            labels = without_pictures(self.labels, held_pictures)
            rows = with_labels(told.part(folds != fold), labels, weight)
            if len(np.unique(rows.classes)) < 2:
                return np.inf
            x = self.standard(rows.features)
            head = fit_linear(
                x, rows.classes, rows.weights, self.penalty, self.num_classes, tolerance=1e-3
            )
            log_p = head.logits(torch.from_numpy(self.standard(held.features))).log_softmax(1)
            log_p = log_p.clamp(min=-7)  # a class that nobody has named yet is no catastrophe
            loss -= float(log_p[torch.arange(len(log_p)), torch.from_numpy(held.classes)].sum())
        return loss


def without_pictures(labels: LabelledPixels | None, pictures: np.ndarray) -> LabelledPixels | None:
    """Return the labels of all other pictures."""
    return None if labels is None else labels.part(~np.isin(labels.images, pictures))


def with_labels(
    told: LabelledPixels, labels: LabelledPixels | None, weight: float
) -> LabelledPixels:
    """Return answers together with other labels, which weigh as much as `weight` answers."""
    if labels is None or not weight or not len(labels):
        return told
    share = weight / labels.weights.sum()
    scaled = LabelledPixels(labels.features, labels.classes, labels.weights * share, labels.images)
    return merged([told, scaled], labels.features)
