"""What a judge of predicted masks sees (`Case`), what it answers (`Verdict`, `Preference`), and its
interface.
"""

import hashlib
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

DECISIONS = ("accept", "reject", "abstain")
ERRORS = ("missing_part", "extra_part", "boundary", "wrong_class")


@dataclass(frozen=True, eq=False)
class Case:
    """One predicted mask to be judged.

    image          [S, S, 3] uint8
    mask           [S, S] uint8, the predicted classes
    class_names    the background first
    probabilities  [C, S, S] float, the network's softmax; None where only the mask is known
    members        [M, S, S] uint8, the masks of the other members of an ensemble; None without one
    """

    id: str
    image: np.ndarray
    mask: np.ndarray
    class_names: tuple
    probabilities: np.ndarray | None = None
    members: np.ndarray | None = None

    @cached_property
    def mask_hash(self):
        """A short hash of the predicted mask."""
        return hashlib.sha256(np.ascontiguousarray(self.mask)).hexdigest()[:16]

    @cached_property
    def image_hash(self):
        """A short hash of the image."""
        return hashlib.sha256(np.ascontiguousarray(self.image)).hexdigest()[:16]


class Example(NamedTuple):
    """A predicted mask with its bought truth [S, S] uint8 (255 = ignore), for a judge to learn
    from.

    unseen: whether the network predicted it before it was trained on that image
    """

    case: Case
    truth: np.ndarray
    unseen: bool


@dataclass(frozen=True)
class Verdict:
    """A judge's answer about one mask.

    decision     accept, reject, or abstain: what the judge itself would do, before any calibration
    probability  that the mask is good enough, in [0, 1]; None where the judge could not say
    iou          estimate of the mask's IoU, in [0, 1]; None where the judge gives none
    errors       which of `ERRORS` it saw
    usage        {"calls", "prompt_tokens", "completion_tokens", "cached"}; empty for a judge that costs nothing
    failure      why there is no answer (a transport error, a refusal, an exhausted budget), else None. A failure is an
                 abstention, never a rejection, and is kept out of calibration and metrics.
    """

    decision: str
    probability: float | None = None
    iou: float | None = None
    errors: tuple = ()
    usage: dict = field(default_factory=dict)
    failure: str | None = None

    def __post_init__(self):
        if self.decision not in DECISIONS:
            raise ValueError(f"decision {self.decision!r} is none of {DECISIONS}")
        if self.failure and self.decision != "abstain":
            raise ValueError("a failure is an abstention")
        check_share("probability", self.probability)
        check_share("iou", self.iou)
        unknown = set(self.errors) - set(ERRORS)
        if unknown:
            raise ValueError(f"unknown error types {sorted(unknown)}")
        object.__setattr__(self, "errors", tuple(self.errors))

    @property
    def score(self):
        """The probability, None where there is no answer."""
        return None if self.failure else self.probability

    def as_dict(self):
        """Return plain values for a JSON line; `Verdict(**d)` is the inverse."""
        return asdict(self) | {"errors": list(self.errors)}


@dataclass(frozen=True)
class Preference:
    """A judge's answer about two masks of one image: `better` is 0, 1, or None (a tie, or a
    failure).
    """

    better: int | None
    probability: float | None = None  # that the first is better
    usage: dict = field(default_factory=dict)
    failure: str | None = None

    def __post_init__(self):
        if self.better not in (0, 1, None):
            raise ValueError(f"better {self.better!r} is none of 0, 1, None")
        if self.failure and self.better is not None:
            raise ValueError("a failure prefers nothing")
        check_share("probability", self.probability)


def check_share(name, value):
    """Refuse a number outside [0, 1]; None is none."""
    if value is not None and not 0 <= value <= 1:
        raise ValueError(f"{name} {value} is outside [0, 1]")


class Judge:
    """The interface of all judges. Calling them in another order or in other batches changes no
    answer.

    Options: a dataclass; the keys of `vlm_itl.vlm_options` are checked against its fields
    """

    @dataclass(frozen=True)
    class Options:
        pass

    def __init__(self, iou_bar, seed, options):
        """iou_bar: the IoU from which a mask is good enough; options: an instance of `Options`."""
        self.iou_bar, self.seed, self.options = iou_bar, seed, options

    def fit(self, examples):
        """Learn from bought labels, given as an iterable of `Example`s that may be read once."""

    def judge(self, cases):
        """Return one `Verdict` for each `Case` of a list."""
        raise NotImplementedError

    def doubts(self, case):
        """Return the pixels [S, S] bool of a mask whose class the judge disputes: pseudo-labels
        leave them out.

        None from a judge that looks at masks as a whole.
        """
        return None

    def compare(self, pairs):
        """Return one `Preference` for each (Case, Case) of a list: two masks of one image, by their
        estimated IoU.
        """
        preferences = []
        for first, second in pairs:
            one, two = self.judge([first, second])
            usage = {
                key: one.usage.get(key, 0) + two.usage.get(key, 0) for key in one.usage | two.usage
            }
            values = [v.iou if v.iou is not None else v.probability for v in (one, two)]
            failure = one.failure or two.failure or ("no estimate" if None in values else None)
            if failure:
                preferences.append(Preference(None, usage=usage, failure=failure))
            else:
                better = None if values[0] == values[1] else int(values[1] > values[0])
                preferences.append(Preference(better, 0.5 + (values[0] - values[1]) / 2, usage))
        return preferences
