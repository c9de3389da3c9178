"""What every judge of predicted masks sees, answers and does.

It sees a `Case`, answers by a `Verdict`, or by a `Preference` between two, and is a `Judge`.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeVar, get_args

import numpy as np

from vlm_itl.settings import Section
from weakseg.data.image_io import read_image
from weakseg.data.reading import Source, as_photograph

Decision = Literal["accept", "reject", "abstain"]
DECISIONS: tuple[str, ...] = get_args(Decision)
ErrorType = Literal["missing_part", "extra_part", "boundary", "wrong_class"]
ERRORS: tuple[str, ...] = get_args(ErrorType)

# What an answer cost: requests, tokens, and 1 under "cached" where it was there before.
Usage = dict[str, int]
NO_USAGE: Usage = dict.fromkeys(("calls", "prompt_tokens", "completion_tokens", "cached"), 0)


@dataclass(frozen=True, eq=False)
class Case:
    """One predicted mask to be judged.

    image          [S, S, 3] uint8, the photograph as the network sees it
    mask           [S, S] uint8, the predicted classes
    class_names    the background first; where there is none, what stands for no object, which no
                   pixel has
    probabilities  [C, S, S] float, the network's softmax; None where only the mask is known
    members        [M, S, S] uint8, the masks of the other members of an ensemble; None without one
    has_background whether the data set has one, so that the network may predict class 0
    path           the photograph's file; None where there is but the image
    """

    id: str
    image: np.ndarray
    mask: np.ndarray
    class_names: tuple[str, ...]
    probabilities: np.ndarray | None = None
    members: np.ndarray | None = None
    has_background: bool = True
    path: Source | None = None

    @cached_property
    def mask_hash(self) -> str:
        """A short hash of the predicted mask."""
        return hashlib.sha256(self.mask.tobytes()).hexdigest()[:16]

    @cached_property
    def image_hash(self) -> str:
        """A short hash of the photograph's file, or of the image."""
        if self.path is None:
            data = self.image.tobytes()
        else:
            photograph = as_photograph(self.path)
            data = photograph.path.read_bytes() + photograph.reading.key.encode()
        return hashlib.sha256(data).hexdigest()[:16]

    def photograph(self) -> np.ndarray:
        """Return the photograph [H, W, 3] uint8 as it was taken; the image where there is none."""
        return np.asarray(read_image(self.path)) if self.path else self.image


class Example(NamedTuple):
    """A predicted mask with its bought truth, for a judge to learn from.

    truth   [S, S] uint8, 255 where it is not known
    unseen  whether the network predicted the mask before it was trained on that image
    """

    case: Case
    truth: np.ndarray
    unseen: bool


@dataclass(frozen=True)
class Verdict:
    """A judge's answer about one mask.

    decision     accept, reject, or abstain: what the judge would do, before any calibration
    probability  that the mask is good enough, in [0, 1]; None where the judge could not say
    iou          estimate of the mask's IoU, in [0, 1]; None where the judge gives none
    errors       which of `ERRORS` it saw
    usage        what the answer cost, the keys of `NO_USAGE`; empty for a judge that costs nothing
    failure      why there is no answer (a transport error, a refusal, an exhausted budget), else
                 None. A failure is an abstention, never a rejection, and is kept out of calibration
                 and metrics.
    """

    decision: str
    probability: float | None = None
    iou: float | None = None
    errors: tuple[str, ...] = ()
    usage: Usage = field(default_factory=dict)
    failure: str | None = None

    def __post_init__(self) -> None:
        if self.decision not in DECISIONS:
            raise ValueError(f"decision {self.decision!r} is none of {DECISIONS}")
        if self.failure and self.decision != "abstain":
            raise ValueError("a failure is an abstention")
        _check_share("probability", self.probability)
        _check_share("iou", self.iou)
        unknown = set(self.errors) - set(ERRORS)
        if unknown:
            raise ValueError(f"unknown error types {sorted(unknown)}")
        object.__setattr__(self, "errors", tuple(self.errors))

    @property
    def score(self) -> float | None:
        """The probability, None where there is no answer."""
        return None if self.failure else self.probability

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON line; `Verdict(**values)` is the inverse."""
        return asdict(self) | {"errors": list(self.errors)}


@dataclass(frozen=True)
class Preference:
    """A judge's answer about two masks of one image.

    better       0 for the first mask, 1 for the second, None for a tie or a failure
    probability  that the first is better, in [0, 1]
    usage, failure  as in `Verdict`
    """

    better: int | None
    probability: float | None = None
    usage: Usage = field(default_factory=dict)
    failure: str | None = None

    def __post_init__(self) -> None:
        if self.better not in (0, 1, None):
            raise ValueError(f"better {self.better!r} is none of 0, 1, None")
        if self.failure and self.better is not None:
            raise ValueError("a failure prefers nothing")
        _check_share("probability", self.probability)


def _check_share(name: str, value: float | None) -> None:
    """Refuse a number outside [0, 1]."""
    if value is not None and not 0 <= value <= 1:
        raise ValueError(f"{name} {value} is outside [0, 1]")


class NoOptions(Section):
    """The options of a judge that has none."""


OptionsT = TypeVar("OptionsT", bound=Section)


class Judge(ABC, Generic[OptionsT]):
    """What all judges do. Calling them in another order or in other batches changes no answer.

    A judge with options is a `Judge[ItsOptions]` and names that class as `Options` too: the keys of
    `vlm_itl.vlm_options` are checked against its fields.
    """

    Options: ClassVar[type[Section]] = NoOptions

    def __init__(self, iou_bar: float, seed: int, options: OptionsT) -> None:
        """iou_bar: the IoU from which a mask is good enough."""
        self.iou_bar, self.seed, self.options = iou_bar, seed, options

    def fit(self, examples: Iterable[Example]) -> None:
        """Learn from bought labels, which may be read once; most judges learn nothing."""

    @abstractmethod
    def judge(self, cases: Sequence[Case]) -> list[Verdict]:
        """Return one `Verdict` for each `Case`."""

    def doubts(self, case: Case) -> np.ndarray | None:
        """Return the pixels [S, S] bool whose class the judge disputes.

        Pseudo-labels leave them out. None from a judge that looks at masks as a whole.
        """
        return None

    def compare(self, pairs: Sequence[tuple[Case, Case]]) -> list[Preference]:
        """Return one `Preference` for each two masks of one image, by their estimated IoU."""
        preferences = []
        for first, second in pairs:
            one, two = self.judge([first, second])
            usage = {
                key: one.usage.get(key, 0) + two.usage.get(key, 0) for key in one.usage | two.usage
            }
            value, other = (v.iou if v.iou is not None else v.probability for v in (one, two))
            failure = one.failure or two.failure
            if failure or value is None or other is None:
                preferences.append(Preference(None, None, usage, failure or "no estimate"))
            else:
                better = None if value == other else int(other > value)
                preferences.append(Preference(better, 0.5 + (value - other) / 2, usage))
        return preferences
