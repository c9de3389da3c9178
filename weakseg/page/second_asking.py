"""Which pixels are asked about a second time, blindly: the person sees a question like any other.

A random tenth of the random answers shows how often this person says the same twice. Answers that
the model of other pictures gainsays may be slips. What was called *another object* may be of a
class that was added since.
"""

from collections.abc import Collection, Mapping
from typing import Any

from weakseg.common import stable_seed
from weakseg.labels.answers import RANDOM
from weakseg.page.answer_log import AGAIN, FIRST, AnswerLog, Asked, Pixel, Told

TENTH = 10  # one of so many random answers
LATER = 15  # answers, at least, that come in between
MOST = 12  # one of so many questions, at most, is a second one
TESTED, DOUBTED, RENEWED = "tested", "doubted", "renewed"  # why it is asked again


class SecondAsking:
    """Chooses the pixels that are asked about again.

    doubted: those whose answers the model gainsays, the least likely first
    """

    def __init__(self, log: AnswerLog, seed: int) -> None:
        self.log, self.seed = log, seed
        self.doubted: list[Pixel] = []

    def due(self, known: Collection[str]) -> list[Asked]:
        """Return what may be asked again at present, the most urgent first, without numbers.

        known: ids of the pictures that are there
        """
        log = self.log
        asked = [one.pixel for one in log.asked.values() if one.way == AGAIN]
        if log.answers < MOST * (len(asked) + 1):
            return []
        told = [one for one in log.told if one.way == FIRST][:-LATER]
        firsts = {one.asked.pixel: one for one in told if one.asked.picture in known}
        left = {pixel: one for pixel, one in firsts.items() if pixel not in {*asked}}
        reasons = {pixel: TESTED for pixel, one in left.items() if self.is_tested(one)}
        reasons |= {pixel: DOUBTED for pixel in self.doubted if pixel in left}
        renewed = {pixel: RENEWED for pixel in log.renewed if pixel in left}
        return [
            Asked(0, pixel[0], (pixel[1], pixel[2]), why, 0, AGAIN, log.answers)
            for pixel, why in {**renewed, **reasons}.items()
        ]

    def is_tested(self, told: Told) -> bool:
        """Return whether a random answer is one of the tenth that is asked again."""
        is_random = told.asked.drawn == RANDOM
        return is_random and stable_seed(self.seed, "again", *told.asked.pixel) % TENTH == 0

    def consistency(self) -> Mapping[str, Any] | None:
        """Return how often the person said the same twice: {"same", "pairs"}; None without any."""
        firsts = {one.asked.pixel: one.label for one in self.log.told if one.way == FIRST}
        pairs = [
            (firsts.get(one.asked.pixel), one.label)
            for one in self.log.told
            if one.way == AGAIN and one.asked.drawn == TESTED
        ]
        if not pairs:
            return None
        return {"same": sum(one == other for one, other in pairs), "pairs": len(pairs)}
