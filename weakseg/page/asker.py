"""Who asks: fits the model to the answers so far, and chooses the next questions by it.

A worker's thread does so whenever few questions are left, so that the next one lies ready before a
key is pressed; another computes features. Both share one lock with the requests. What is asked and
answered goes to the store first; a session that begins again is rebuilt from there.
"""

import copy
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from weakseg.common import IGNORE, UserError, stable_seed
from weakseg.data.base import SegmentationDataset
from weakseg.data.groups import group_numbers
from weakseg.labels.answers import RANDOM
from weakseg.labels.costs import DEFAULT
from weakseg.labels.training_labels import training_ids
from weakseg.learners.feature_store import FeatureStore
from weakseg.page.answer_log import FIRST, MENDED, REPEAT, AnswerLog, Asked, Place, Told
from weakseg.page.growing_pool import GrowingPool
from weakseg.page.photographs import Photographs
from weakseg.page.second_asking import SecondAsking
from weakseg.planning.ask import question_seconds
from weakseg.planning.asking import Asking, AskingOptions
from weakseg.planning.candidates import RandomQuestions, pool_key
from weakseg.planning.questions import Answer, Answers, Question
from weakseg.training.pixel_sample import LabelledPixels

# Of two classes, and of more: questions that are left when the next are chosen, besides the one on
# show, and how many these are. So a question is at most their sum behind the answers.
LEFT, CHOSEN = (2, 5), (3, 15)
NICE = 10  # of 19: how far other work stands behind the next question
QUICK = 0.7  # seconds: while a fit and a choice take less, many classes are served as two are


class Asker:
    """The questions of one session, which a person answers while it works.

    dataset  the photographs
    store    their features
    log      what was asked and answered
    caches   folder of what can be made again
    names    ids of the photographs; None: all that a run would learn from
    joined   pictures that questions are about: the first ones
    asking   the questions and the model as `weakseg.planning` has them; None until pictures joined
    labels   pixels of other labels that are there, see `other_labels`; None: without any
    pixels   features of the pixels that were asked, by picture and place
    fault    what could not be stored, in words
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        features: FeatureStore,
        log: AnswerLog,
        caches: Path,
        seed: int = 0,
        names: Sequence[str] | None = None,
    ) -> None:
        self.dataset, self.store, self.log, self.seed = dataset, features, log, seed
        names = training_ids(dataset, seed, None, None) if names is None else names
        self.photographs = Photographs(dataset, order(log, names, seed))
        if not len(self.photographs):
            first = next(iter(self.photographs.unreadable.values()))
            raise UserError(f"no photograph can be read; the first: {first}")
        held = dataset.chosen.key, dataset.image_contents(self.photographs.names)
        self.pool = GrowingPool(
            self.photographs,
            self.features_of,
            sum(features.encoder.channels),
            caches / "pools",
            pool_key([features.folder.name, *held]),
            seed,
        )
        self.joined = sum(name in self.photographs.index for part, _ in log.joined for name in part)
        # A photograph may be gone since.
        log.open = [n for n in log.open if log.asked[n].picture in self.photographs.index]
        self.second = SecondAsking(log, seed)
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.closed = threading.Event()
        self.asking: Asking | None = None
        self.labels: LabelledPixels | None = None
        self.generation = 0  # of `asking`, which is built anew when classes change
        self.pixels: dict[tuple[int, Place], np.ndarray] = {}
        self.known_by: dict[int, int] = {}  # number of a fit -> answers that it knew
        self.seconds_of_fit = 0.0
        self.fault = ""
        self.threads: list[threading.Thread] = []

    # ---- life

    def start(self, *further: Callable[[], None]) -> None:
        """Begin to work in threads, and do further work in others."""
        for work in (self.work, self.compute, *further):
            is_urgent = work == self.work
            thread = threading.Thread(target=self.guarded, args=(work, is_urgent), daemon=True)
            self.threads.append(thread)
            thread.start()

    def close(self) -> None:
        """End the threads."""
        self.closed.set()
        with self.changed:
            self.changed.notify_all()
        for thread in self.threads:
            thread.join()

    def guarded(self, work: Callable[[], None], is_urgent: bool) -> None:
        """Do some work; what can't be done is shown on the page, and tried again."""
        if not is_urgent and sys.platform == "linux":  # where a thread has a priority of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while not self.closed.is_set():
            try:
                work()
                return
            except (UserError, OSError) as error:
                self.fault = str(error)
                if is_urgent:
                    self.forget()  # what was chosen and not stored is chosen anew
                self.closed.wait(1.0)
            except BaseException as error:  # a fault of ours: it ends the thread, and is shown
                self.fault = f"something broke ({error!r}); start the same command again"
                raise

    def features_of(self, name: str) -> Any:
        """Return the features of a picture."""
        return self.store(self.dataset.photograph(name))

    def compute(self) -> None:
        """Compute features of all pictures."""

        def tell() -> None:
            with self.changed:
                self.changed.notify_all()

        self.pool.compute(self.closed, tell)

    # ---- the model

    def build(self) -> Asking:
        """Return what the log says, as a session of questions without a fit."""
        classes, log = self.log.classes, self.log
        pool = self.pool.first(self.joined)
        number = len(classes.names)
        options = AskingOptions(self.seed, seconds=question_seconds(DEFAULT, number))
        index = self.photographs.index
        starts = np.array([at for names, at in log.joined for name in names if name in index])
        questions = RandomQuestions(self.seed, pool.sizes, starts - starts.min())
        asking = Asking(pool, self.features_at, number, options, self.labels, questions)
        asking.groups = asking.model.groups = self.groups(self.joined)
        for told in log.told:
            self.keep(asking, told)
        for one in map(log.asked.__getitem__, log.open):
            self.mark(asking, one)
        asking.drawn, asking.placed = log.drawn, log.placed
        asking.model.fits = max([log.fits, *self.known_by])  # numbers go on
        self.leave_out(asking)
        return asking

    def groups(self, count: int) -> np.ndarray | None:
        """Return the groups of the first pictures, that no fold parts; None without any."""
        if not self.dataset.groups:
            return None
        return group_numbers(self.photographs.names[:count], self.dataset.group)

    def features_at(self, picture: int, places: np.ndarray) -> np.ndarray:
        """Return the features [N, D] of places of a picture."""
        found: np.ndarray = self.features_of(self.photographs.names[picture]).at(places)
        return found

    def pixel_features(self, asked: Asked) -> np.ndarray:
        """Return the features [D] float16 of the pixel of a question."""
        picture = self.photographs.index[asked.picture]
        key = picture, asked.place
        if key not in self.pixels:
            same = (self.pool.places[picture] == asked.place).all(1)
            if picture < self.pool.ready and same.any():
                own = np.array(self.pool.features[picture, int(same.argmax())])
            else:
                own = self.features_at(picture, np.array([asked.place]))[0].astype(np.float16)
            self.pixels[key] = own
        return self.pixels[key]

    def keep(self, asking: Asking, told: Told) -> None:
        """Let a session of questions know an answer; one to a picture that is gone says nothing."""
        asked, classes = told.asked, self.log.classes
        picture = self.photographs.index.get(asked.picture)
        if picture is None or picture >= len(asking.pool):
            return
        if told.other and not classes.has_background:  # of no class, which is no "can't tell"
            self.mark(asking, asked)
            return
        label = IGNORE if told.label is None else [*classes.names].index(told.label)
        if told.way == MENDED:
            rows, wanted = asking.answers.rows, (picture, asked.place)
            for number, row in enumerate(rows):
                if (row.question.picture, row.question.place) == wanted:
                    rows[number] = Answer(row.question, label)
                    asking.answers.known[picture, *asked.place] = label
                    return
        # Only first answers are those of the random sequence; later ones are learned from.
        drawn = asked.drawn if told.way in (FIRST, MENDED, REPEAT) else told.way
        question = Question(picture, asked.place, drawn, asked.fit, told.way == REPEAT)
        asking.keep(Answer(question, label), self.pixel_features(asked))

    def mark(self, asking: Asking, asked: Asked) -> None:
        """Let a session of questions know that a pixel was asked about."""
        picture = self.photographs.index.get(asked.picture, len(asking.pool))
        if picture < len(asking.pool):
            asking.asked[picture] |= (asking.pool.places[picture] == asked.place).all(1)

    def leave_out(self, asking: Asking) -> None:
        """Let nobody be asked about pictures that turned out to be damaged."""
        damaged = [number for number in self.pool.unusable if number < len(asking.pool)]
        asking.asked[damaged] = True

    def grow(self) -> None:
        """Take in the pictures whose features are there, if they are enough."""
        due = self.pool.due(self.joined)
        if due == self.joined:
            return
        self.log.join(self.photographs.names[self.joined : due])
        self.joined = due
        if due == len(self.pool):
            self.asking = None  # built anew: now all pictures say what the usual features are
        if self.asking is not None:
            self.asking.join(self.pool.first(due))
            self.asking.groups = self.asking.model.groups = self.groups(due)
            self.leave_out(self.asking)

    # ---- the worker: fits, and chooses

    def work(self) -> None:
        """Fit and choose, again and again, when few questions are left."""
        import_module("sklearn.cluster")  # some seconds that the first choice would take else
        while True:
            with self.changed:
                while not self.closed.is_set() and not self.is_due():
                    self.changed.wait(1.0)
            if self.closed.is_set():
                return
            began = time.perf_counter()
            if self.asking is None:
                self.recall()
            with self.changed:
                self.grow()
                if self.asking is None:
                    self.asking = self.build()
            self.fit()
            self.choose()
            self.seconds_of_fit, self.fault = time.perf_counter() - began, ""

    def recall(self) -> None:
        """Find the features of all answers, while requests go on."""
        with self.lock:
            asked = [told.asked for told in self.log.told]
        for one in asked:
            if one.picture in self.photographs.index:
                self.pixel_features(one)

    def is_due(self) -> bool:
        """Return whether there is work: the session begins, pictures join, questions run out."""
        if self.pool.ready < self.joined:  # of a session that goes on
            return False
        if self.pool.due(self.joined) != self.joined:
            return True
        if not self.joined or not self.log.begun:
            return False
        return self.asking is None or len(self.log.open) <= self.left + 1

    @property
    def is_many(self) -> bool:
        """Whether questions are chosen many at a time: more than two classes, and slow fits."""
        return len(self.log.classes.names) > 2 and self.seconds_of_fit > QUICK

    @property
    def left(self) -> int:
        """Questions that are left, besides the one on show, when the next are chosen."""
        return LEFT[self.is_many]

    def fit(self) -> None:
        """Fit the model to the answers so far; requests go on meanwhile."""
        with self.lock:
            if self.asking is None:
                return
            generation, model = self.generation, copy.copy(self.asking.model)
            answers, count = copied(self.asking.answers), self.log.answers
        model.fit(answers)
        with self.lock:
            if generation == self.generation:
                self.asking.model = model
                self.known_by[model.fits] = count

    def choose(self) -> None:
        """Choose the next questions by the last fit; drawn ones that were answered count again."""
        with self.lock:
            asking, generation = self.asking, self.generation
            if asking is None or not self.log.begun or len(self.log.open) > self.left + 1:
                return
            known = self.known_by.get(asking.model.fits, 0)
            behind = self.log.answers - known + len(self.log.open)
            if asking.model.head is not None and behind > self.left + 1:
                return  # of an older fit, which was made for another reason
            again = self.second.due(self.photographs.index)[:1]
            chosen = asking.next(CHOSEN[self.is_many] - len(again))
            names = self.photographs.names
            asked = [
                (Asked(0, names[q.picture], q.place, q.drawn, q.fit, known=known), q.repeated)
                for q in chosen
            ]
        repeated = [one for one, is_repeated in asked if is_repeated]
        rows = [one for one, is_repeated in asked if not is_repeated]
        for one in [*repeated, *rows, *again]:
            self.pixel_features(one)
        with self.changed:
            if generation != self.generation:  # of other classes: they are drawn anew
                return
            first = len(self.log.asked) + 1
            rows = [*repeated, *mixed(rows + again, stable_seed(self.seed, "order", first))]
            numbered = [replace(one, number=first + k) for k, one in enumerate(rows)]
            self.log.ask(numbered)
            for one in numbered[: len(repeated)]:
                label, other = self.log.last_label(one.pixel) or (None, False)
                self.store_answer(Told(one, label, other, REPEAT), {})
            self.changed.notify_all()

    def snapshot(self) -> Asking | None:
        """Return the session of questions as it is, for what takes long; None before the first."""
        with self.lock:
            if self.asking is None:
                return None
            one = copy.copy(self.asking)
            one.answers, one.model = copied(one.answers), copy.copy(one.model)
            return one

    def store_answer(self, told: Told, more: Mapping[str, Any]) -> None:
        """Store an answer, then let the model know it. more: its times"""
        with self.changed:
            picture = self.photographs.index[told.asked.picture]
            held = self.photographs.held(told.asked.picture)
            self.log.tell(told, self.photographs.sizes[picture], more, held)
            if self.asking is not None:
                self.keep(self.asking, told)
            self.changed.notify_all()

    def forget(self) -> None:
        """Let the worker build the session of questions anew."""
        with self.changed:
            self.generation += 1
            self.asking = None
            self.changed.notify_all()

    def open_pictures(self) -> set[int]:
        """Return the pictures with an open question, of which nothing may be shown."""
        with self.lock:
            names = {self.log.asked[number].picture for number in self.log.open}
        return {self.photographs.index.get(name, -1) for name in names}


def order(log: AnswerLog, names: Iterable[str], seed: int) -> list[str]:
    """Return ids in the order of a session: as they joined, the others in an order by the seed."""
    there, joined = {*names}, [name for part, _ in log.joined for name in part]
    left = sorted(there - {*joined}, key=lambda name: stable_seed(seed, "page", name))
    return [name for name in joined if name in there] + left


def mixed(rows: list[Asked], seed: int) -> list[Asked]:
    """Return questions in an order that tells nothing of who chose them.

    Random ones keep theirs.
    """
    places = np.random.default_rng(seed).permutation(len(rows))
    drawn = iter([row for row in rows if row.drawn == RANDOM])
    return [
        next(drawn) if row.drawn == RANDOM else row for row in (rows[place] for place in places)
    ]


def copied(answers: Answers) -> Answers:
    """Return answers that stay as they are."""
    known = dict(answers.known)
    return Answers(answers.depth, [*answers.rows], [*answers.features], known)
