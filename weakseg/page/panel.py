"""The numbers beside the questions: answers, minutes, and how good the masks are, with an interval.

How good is said by the random answers alone (`weakseg.planning.estimate`), and only where there are
enough of them; before, how often held-out predictions and answers agree.
"""

import statistics
from dataclasses import dataclass
from typing import Any

import numpy as np

from weakseg.common import IGNORE
from weakseg.page.answer_log import AGAIN, FIRST
from weakseg.page.asker import Asker
from weakseg.page.masks import Masks
from weakseg.planning.ask_estimate import as_dict
from weakseg.planning.asking import Asking
from weakseg.planning.gain import ENOUGH, OPEN, SMALL
from weakseg.planning.out_of_fold import gain, out_of_fold, quality

GROWTH = 1.1  # the estimate is made again when there are so many times as many answers
SLOW_GROWTH = 1.3  # and so is what takes longer
DOUBTFUL = 0.05  # chance of an answer below which it may be a slip


@dataclass(frozen=True)
class Outlook:
    """What twice as many answers gain: whether it is less than a point, else nobody can tell.

    answers: how many there were when that was found
    """

    answers: int
    is_small: bool

    def sentence(self, answers: int, seconds: float) -> str:
        """Return what a person is told who has given so many answers in so many seconds."""
        left = 2 * self.answers - answers
        if not self.is_small or left <= 0:
            return OPEN
        minutes = max(1, round(left * seconds / answers / 60))
        time = "a minute" if minutes == 1 else f"{minutes} minutes"
        number = "answer" if left == 1 else f"{left} answers"
        return f"Less than a point to gain in the next {number}, about {time} at your pace."


class Panel:
    """What the panel shows; a thread of the session keeps it up to date.

    classes: those that it is about
    """

    def __init__(self, asker: Asker, masks: Masks) -> None:
        self.asker, self.masks = asker, masks
        self.classes = asker.log.classes
        self.fit = 0
        self.estimated_at = self.slow_at = 0
        self.agreement: dict[str, Any] | None = None
        self.outlook: Outlook | None = None

    def work(self) -> None:
        """Draw masks and estimate after each fit, until the session is closed."""
        asker = self.asker
        while not asker.closed.wait(0.3):
            with asker.lock:
                asking, classes = asker.snapshot(), asker.log.classes
            if asking is None or asking.model.fits == self.fit or asking.model.head is None:
                continue
            self.fit = asking.model.fits
            if self.classes != classes:  # all is to be found anew
                self.classes, self.outlook, self.agreement = classes, None, None
                self.estimated_at = self.slow_at = 0
            self.masks.update(asking)
            if len(asking.answers) >= GROWTH * self.estimated_at:
                self.estimated_at = len(asking.answers)
                self.estimate(asking)

    def estimate(self, asking: Asking) -> None:
        """Find what the random answers say of a session's model."""
        log = self.asker.log
        found = out_of_fold(asking)
        if found is None:
            return
        classes, told = self.classes, found.answers != IGNORE
        same = int((found.predicted == found.answers)[told].sum())
        kept: dict[str, Any] = {}
        unscored, is_enough = list[str](), False
        if told.sum() >= ENOUGH:
            content = as_dict(quality(found, classes.has_background, self.asker.seed))
            kept = {key: content[key] for key in ("miou", "pixel_accuracy", "cannot_tell")}
            unscored = [classes.names[number] for number in content["unscored"]]
            # How well the background alone is found says nothing of a class.
            is_enough = content["scored"] != ([0] if classes.has_background else [])
        self.agreement = {"same": same, "answers": int(told.sum()), "unscored": unscored}
        if len(asking.answers) >= SLOW_GROWTH * self.slow_at:
            self.slow_at, answers = len(asking.answers), log.answers
            self.doubt(asking)
            doubling = gain(asking) if is_enough else None
            is_small = doubling is not None and doubling.sentence == SMALL
            self.outlook = Outlook(answers, is_small) if doubling else None
        with self.asker.lock:
            if is_enough and classes == log.classes:  # which a person may have changed meanwhile
                facts = {"answers": log.answers, "seconds": log.seconds, "unscored": unscored}
                facts |= {"random": int(told.sum()), "fit": asking.model.fits}
                log.estimate(facts | kept)

    def doubt(self, asking: Asking) -> None:
        """Find the answers that may be slips: models of other pictures gainsay them."""
        rows = asking.answers.last_of_each()
        labels = np.array([asking.answers.rows[number].label for number in rows])
        rows = rows[labels != IGNORE]
        losses = asking.model.held_out_losses(asking.answers.pixels(rows), asking.model.weight)
        doubtful = [n for n in np.argsort(-losses) if losses[n] > -np.log(DOUBTFUL)]
        questions = [asking.answers.rows[rows[number]].question for number in doubtful]
        names = self.asker.photographs.names
        self.asker.second.doubted = [(names[q.picture], *q.place) for q in questions]

    def state(self) -> dict[str, Any]:
        """Return what the panel shows."""
        log = self.asker.log
        own = [one for one in log.told if one.way in (FIRST, AGAIN)]
        seconds = [one.seconds for one in own if one.seconds > 0]
        outlook, last = self.outlook, log.estimates[-1] if log.estimates else None
        # Of the same classes: another mean is no step of the curve.
        alike = [one for one in log.estimates if last and one["unscored"] == last["unscored"]]
        return {
            "answers": len(own),
            "seconds": log.seconds,
            "typical": statistics.median(seconds[-50:]) if seconds else None,
            "cannot_tell": sum(one.label is None and not one.other for one in own),
            "agreement": self.agreement,
            "enough": ENOUGH,
            "estimate": last,
            "curve": [[one["seconds"], *one["miou"]] for one in alike if one.get("miou")],
            "sentence": outlook.sentence(len(own), log.seconds) if outlook else "",
            "consistency": self.asker.second.consistency(),
        }

    def card(self) -> list[str]:
        """Return lines about the session, for the card of its run."""
        shown = self.state()
        lines = [
            f"- {shown['answers']} answers of one key each, in {shown['seconds'] / 60:.1f} minutes",
            f"- {shown['cannot_tell']} of them: can't tell",
        ]
        estimate, consistency = shown["estimate"], shown["consistency"]
        if estimate and estimate.get("miou"):
            point, low, high = estimate["miou"]
            without = ", ".join(estimate["unscored"])
            lines.append(
                f"- estimated mIoU with the person's own answers {point:.1f} % (95 %: {low:.1f} to "
                f"{high:.1f}), from {estimate['random']} answers about random pixels"
                + (f"; without {without}, which too few show" if without else "")
            )
        if consistency:
            lines.append(
                f"- asked twice, the person said the same {consistency['same']} of "
                f"{consistency['pairs']} times"
            )
        return lines
