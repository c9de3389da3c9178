"""Judges that ask a model: a question is asked once, and its answer is kept in a file."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from pydantic import Field

from vlm_itl.judges.answer_cache import OPTION, AnswerCache, AnswerKey
from vlm_itl.judges.base import NO_USAGE, Case, Judge, Preference, Usage, Verdict
from vlm_itl.judges.prompts import Form, Question, pair_question, single_question
from vlm_itl.judges.views import ALL_VIEWS, Look
from vlm_itl.settings import Section
from weakseg.common import UserError

FROM_CACHE: Usage = NO_USAGE | {"cached": 1}


class AskOptions(Section):
    """The options of every judge that asks a model."""

    model: str = Field(
        default="", description="the model, as its server or its hub names it, or its folder"
    )
    cache: str | None = Field(
        default="results/vlm_answers.sqlite",
        description="the file of answers; null: memory only",
    )
    replay: bool = Field(
        default=False,
        description="answer from the cache alone, without network or model; the rest are failures",
    )
    views: tuple[str, ...] = Field(
        default=ALL_VIEWS,
        description=f"pictures of a mask, from {', '.join(ALL_VIEWS)}",
    )
    image_side: int = Field(
        default=512, ge=16, le=4096, description="longer side of one mask's picture, pixels"
    )
    image_format: Literal["png", "jpeg"] = Field(default="png", description="of the pictures")


AskOptionsT = TypeVar("AskOptionsT", bound=AskOptions)


@dataclass(frozen=True)
class Outcome:
    """What became of one question.

    answer   the fields of `SingleAnswer` or `PairAnswer`; None where there is none
    usage    what was spent on it, whether it is answered or not; see `Verdict`
    failure  why it has no answer
    status   the HTTP status by which a server refused it
    """

    answer: dict[str, Any] | None
    usage: Usage = field(default_factory=NO_USAGE.copy)
    failure: str | None = None
    status: int | None = None


class CachedJudge(Judge[AskOptionsT]):
    """A judge that puts `Question`s to a model and never asks one twice.

    A subclass implements `_ask_all`, which calls `_store` as soon as an answer is there.
    """

    def __init__(
        self,
        iou_bar: float,
        seed: int,
        options: AskOptionsT,
        form: Form = "json",
        variant: str = "",
    ) -> None:
        """form: in which each answer is wanted; variant: whatever else an answer depends on."""
        super().__init__(iou_bar, seed, options)
        self.form, self.variant = form, variant
        self.look = Look(options.views, options.image_side, options.image_format)
        if not options.model:
            raise UserError(
                "vlm_itl.vlm_options.model is empty: name the vision-language model that judges"
            )
        if options.replay and options.cache is None:
            raise UserError(
                f"vlm_itl.vlm_options.replay needs the answers: name their file in {OPTION}"
            )
        self.cache = AnswerCache(options.cache, must_exist=options.replay)

    def judge(self, cases: Sequence[Case]) -> list[Verdict]:
        """Return one `Verdict` for each `Case`; a question without an answer is a failed one."""
        questions = [single_question(case, self.iou_bar, self.look, self.form) for case in cases]
        return [as_verdict(outcome) for outcome in self._outcomes(questions)]

    def compare(self, pairs: Sequence[tuple[Case, Case]]) -> list[Preference]:
        """Return one `Preference` for each two masks of one image.

        Two equal masks are a tie that costs nothing.
        """
        questions = {
            index: pair_question(first, second, self.iou_bar, self.look, self.form)
            for index, (first, second) in enumerate(pairs)
            if first.mask_hash != second.mask_hash
        }
        preferences = [Preference(None, 0.5, NO_USAGE) for _ in pairs]
        outcomes = self._outcomes(list(questions.values()))
        for (index, question), outcome in zip(questions.items(), outcomes, strict=True):
            preferences[index] = as_preference(outcome, question.swapped)
        return preferences

    def _key(self, question: Question) -> AnswerKey:
        """Return the key under which the answer is cached."""
        return AnswerKey(
            self.options.model,
            question.version(self.variant),
            question.cases[0].image_hash,
            "+".join(sorted(case.mask_hash for case in question.cases)),
            question.kind,
        )

    def _outcomes(self, questions: Sequence[Question]) -> list[Outcome]:
        """Return the `Outcome` of each question, in order."""
        # 1. Take from the cache what was answered before.
        keys = [self._key(question) for question in questions]
        outcomes: dict[AnswerKey, Outcome] = {}
        open_questions: dict[AnswerKey, Question] = {}
        for key, question in zip(keys, questions, strict=True):
            answer = self.cache.get(key)
            if answer is None:
                open_questions[key] = question
            else:
                outcomes[key] = Outcome(self._checked(answer, question), FROM_CACHE)
        # 2. Ask the model the rest, an equal question only once.
        if self.options.replay:
            outcomes |= {key: Outcome(None, failure="not in the cache") for key in open_questions}
        else:
            asked = self._ask_all(list(open_questions.values()))
            outcomes |= zip(open_questions, asked, strict=True)
        # 3. Hand them out. An equal question later in the list costs no more.
        results = []
        for key in keys:
            outcome = outcomes[key]
            results.append(outcome)
            outcomes[key] = replace(outcome, usage=FROM_CACHE if outcome.answer else NO_USAGE)
        return results

    def _checked(self, answer: Any, question: Question) -> dict[str, Any]:
        """Return an answer of the cache; one that no model was asked for is a `UserError`."""
        try:
            return question.checked(answer)
        except ValueError as error:
            raise UserError(
                f"{self.options.cache}: holds an answer that is none ({error}); move the file, or "
                f"change {OPTION}"
            ) from error

    @abstractmethod
    def _ask_all(self, questions: Sequence[Question]) -> list[Outcome]:
        """Ask the model each of some different questions; return their outcomes in order."""

    def _store(self, question: Question, outcome: Outcome) -> Outcome:
        """Keep an answer; return it, or the one that another process has kept meanwhile."""
        if outcome.answer is None:
            return outcome
        stored = self.cache.put(self._key(question), outcome.answer, outcome.usage)
        return replace(outcome, answer=stored)


def as_verdict(outcome: Outcome) -> Verdict:
    """Return the outcome of a question about one mask as a `Verdict`."""
    answer, usage = outcome.answer, outcome.usage
    if answer is None:
        return Verdict("abstain", usage=usage, failure=outcome.failure)
    errors = tuple(dict.fromkeys(answer["errors"]))
    return Verdict(answer["decision"], answer["probability"], answer["iou"], errors, usage)


def as_preference(outcome: Outcome, swapped: bool) -> Preference:
    """Return the outcome of a question about two masks as a `Preference`.

    swapped: whether candidate A is the second mask
    """
    answer, usage = outcome.answer, outcome.usage
    if answer is None:
        return Preference(None, usage=usage, failure=outcome.failure)
    if answer["better"] == "tie":
        return Preference(None, 0.5, usage)
    better = int((answer["better"] == "B") != swapped)
    confidence = answer["probability"]
    return Preference(better, confidence if better == 0 else 1 - confidence, usage)
