"""What judges with paid answers share: no question is asked twice, and budgets hold."""

from dataclasses import dataclass, field, replace

from vlm_itl.judges.answer_cache import _CACHED, _NOTHING, _OPTION, AnswerCache, Key
from vlm_itl.judges.base import Judge, Preference, Verdict
from vlm_itl.judges.prompts import MEDIA, VIEWS, Look, pair_question, single_question
from vlm_itl.settings import key
from weakseg.common import UserError


@dataclass(frozen=True)
class Outcome:
    """What asking gave: an answer (a dict), or a failure and, where a server refused with one, its
    HTTP status.
    """

    answer: dict | None
    usage: dict = field(default_factory=_NOTHING.copy)
    failure: str | None = None
    status: int | None = None


@dataclass(frozen=True)
class AskOptions:
    """The options of every judge that asks a model."""

    model: str = key("", "the model, as its server or its hub names it, or its folder")
    cache: str | None = key("results/vlm_answers.sqlite", "the file of answers; null: memory only")
    replay: bool = key(
        False, "answer from the cache alone, without network or model; the rest are failures"
    )
    views: tuple[str, ...] = key(
        ("overlay", "contour", "crop"), f"pictures of a mask, from {', '.join(VIEWS)}"
    )
    image_side: int = key(512, "longer side of one mask's picture, pixels", low=16, high=4096)
    image_format: str = key("png", "of the pictures", choices=list(MEDIA))


class CachedJudge(Judge):
    """A judge that puts `Question`s to a model and never asks one twice.

    Subclasses implement `_ask(question)`, and `_ask_all` where they ask several at once. Their
    options are `AskOptions` and more.
    """

    def __init__(self, iou_bar, seed, options, form="json", variant=""):
        """form: of each `Question`; variant: whatever else an answer depends on."""
        super().__init__(iou_bar, seed, options)
        self.form, self.variant = form, variant
        self.look = Look(options.views, options.image_side, options.image_format)
        if not options.model:
            raise UserError(
                "vlm_itl.vlm_options.model is empty: name the vision-language model that judges"
            )
        if options.replay and options.cache is None:
            raise UserError(
                f"vlm_itl.vlm_options.replay needs the answers: name their file in {_OPTION}"
            )
        self.cache = AnswerCache(options.cache, must_exist=options.replay)

    def judge(self, cases):
        """Return one `Verdict` for each `Case` of a list."""
        questions = [single_question(case, self.iou_bar, self.look, self.form) for case in cases]
        return [_verdict(outcome) for outcome in self._outcomes(questions)]

    def compare(self, pairs):
        """Return one `Preference` for each (Case, Case) of a list; two equal masks are a tie that
        costs nothing.
        """
        questions = {
            index: pair_question(first, second, self.iou_bar, self.look, self.form)
            for index, (first, second) in enumerate(pairs)
            if first.mask_hash != second.mask_hash
        }
        preferences = [Preference(None, 0.5, _NOTHING) for _ in pairs]
        outcomes = self._outcomes(list(questions.values()))
        for (index, question), outcome in zip(questions.items(), outcomes, strict=True):
            preferences[index] = _preference(outcome, question.swapped)
        return preferences

    def _place(self, question):
        masks = "+".join(sorted(case.mask_hash for case in question.cases))
        return Key(
            self.options.model,
            question.version(self.variant),
            question.cases[0].image_hash,
            masks,
            question.kind,
        )

    def _outcomes(self, questions):
        """Return an `Outcome` for each question: from the cache, else from the model, which gets
        each one only once.
        """
        places = [self._place(question) for question in questions]
        known = {place: self.cache.get(place) for place in places}
        outcomes = {
            place: Outcome(answer, _CACHED) for place, answer in known.items() if answer is not None
        }
        fresh = {
            place: question
            for place, question in zip(places, questions, strict=True)
            if place not in outcomes
        }
        if self.options.replay:
            outcomes |= {place: Outcome(None, failure="not in the cache") for place in fresh}
        else:
            outcomes |= zip(fresh, self._ask_all(list(fresh.values())), strict=True)
        results = []
        for place in places:
            results.append(outcomes[place])
            # The same question again, later in this list, costs no more.
            outcomes[place] = replace(
                outcomes[place], usage=_CACHED if outcomes[place].answer else _NOTHING
            )
        return results

    def _ask_all(self, questions):
        return [self._answer(question) for question in questions]

    def _answer(self, question, *how):
        """Ask one question and store its answer at once."""
        outcome = self._ask(question, *how)
        if outcome.answer is None:
            return outcome
        return Outcome(
            self.cache.put(self._place(question), outcome.answer, outcome.usage), outcome.usage
        )

    def _ask(self, question):
        """Return the `Outcome` of asking the model."""
        raise NotImplementedError


def _verdict(outcome):
    if outcome.answer is None:
        return Verdict("abstain", usage=outcome.usage, failure=outcome.failure)
    answer = outcome.answer
    errors = tuple(dict.fromkeys(answer["errors"]))
    return Verdict(answer["decision"], answer["probability"], answer["iou"], errors, outcome.usage)


def _preference(outcome, swapped):
    if outcome.answer is None:
        return Preference(None, usage=outcome.usage, failure=outcome.failure)
    choice = outcome.answer["better"]
    if choice == "tie":
        return Preference(None, 0.5, outcome.usage)
    better = int((choice == "B") != swapped)
    sure = outcome.answer["probability"]
    return Preference(better, sure if better == 0 else 1 - sure, outcome.usage)
