"""What a vision-language model is asked about a mask, and how its answer is read.

A `Question` is about one mask ("single") or two masks of one image ("pair", Label Critic, Bassi et
al. 2024). Change `PROMPT_VERSION` with any change of words or pictures: answers are cached under
it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from vlm_itl.judges.base import Case, Decision, ErrorType
from vlm_itl.judges.colours import Paint, paints
from vlm_itl.judges.views import VIEWS, Look, draw_panel, foreground, side_by_side
from weakseg.common import stable_seed

PROMPT_VERSION = "2"
# Letters at the end of a text in which an answer is looked for. What opens brackets all along would
# take the square of its length to read.
LONGEST_TEXT = 20_000

Kind = Literal["single", "pair"]
Form = Literal["json", "word"]


# ---- answers


def _within(value: float, low: float) -> float:
    if not low <= value <= 1:
        raise ValueError(f"{value} is outside [{low:g}, 1]")
    return value


# The bounds are checked here and are not in the JSON schema: several servers refuse `minimum` in
# strict schemas.
Unit = Annotated[float, AfterValidator(lambda value: _within(value, 0))]
Confidence = Annotated[float, AfterValidator(lambda value: _within(value, 0.5))]


class SingleAnswer(BaseModel):
    """The answer about one mask. The reason comes first, so that a model thinks before it decides.

    iou, probability: in [0, 1]
    """

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})
    reason: str
    errors: list[ErrorType]
    iou: Unit
    probability: Unit
    decision: Decision


class PairAnswer(BaseModel):
    """The answer about two masks.

    probability: that this choice is right, at least one half
    """

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})
    better: Literal["A", "B", "tie"]
    probability: Confidence


ANSWERS: Mapping[Kind, type[SingleAnswer] | type[PairAnswer]] = {
    "single": SingleAnswer,
    "pair": PairAnswer,
}


def schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of an answer model: strict, without titles and descriptions."""

    def plain(node: Any) -> Any:
        if isinstance(node, dict):
            return {
                key: plain(value)
                for key, value in node.items()
                if key not in ("title", "description")
            }
        return node

    return plain(model.model_json_schema())


def read_answer(text: str, model: type[BaseModel]) -> dict[str, Any]:
    """Return the answer in a model's text as a dict that fits `model`.

    The last fitting JSON object counts, so words, fences and thoughts around it do no harm.
    ValueError, in one line, where there is none.
    """
    problem = ValueError("it holds no JSON object")
    for candidate in reversed(list(_json_objects(text))):
        try:
            return checked_answer(candidate, model)
        except ValueError as error:
            problem = error
    raise problem


def checked_answer(content: Any, model: type[BaseModel]) -> dict[str, Any]:
    """Return a JSON value as an answer; ValueError, in one line, where it doesn't fit."""
    try:
        return model.model_validate(content).model_dump()
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in error.errors()]
        raise ValueError("; ".join(faults)) from error


def _json_objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield each JSON object in `text` that is in no other."""
    text = text[-LONGEST_TEXT:]
    decoder, start = json.JSONDecoder(), text.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
            yield value
        except (ValueError, RecursionError):
            end = start + 1
        start = text.find("{", end)


# ---- questions

_TASK: Mapping[Kind, str] = {
    "single": "Judge a segmentation mask that a neural network predicted for one photograph.",
    "pair": (
        "Compare two candidate segmentation masks, A and B, that were predicted for the same "
        "photograph. In each picture candidate A is on the left and candidate B on the right."
    ),
}
_JSON: Mapping[Kind, str] = {
    "single": """Answer with one JSON object and nothing else, with exactly these keys:
"reason": one sentence on what is right and wrong;
"errors": a list with any of "missing_part" (an object or a part of one isn't covered), \
"extra_part" (something is covered that isn't the object), "boundary" (the outline is ragged or \
shifted), "wrong_class"; empty if there is none;
"iou": your estimate of the mean IoU with a careful human's mask, from 0 to 1;
"probability": the probability, from 0 to 1, that the mask is good enough;
"decision": "accept" if the mask is good enough, "reject" if it isn't, "abstain" if the pictures \
can't tell.""",
    "pair": """Answer with one JSON object and nothing else, with exactly these keys:
"better": "A" or "B", whichever is closer to a careful human's mask, or "tie";
"probability": the probability, from 0.5 (a guess) to 1 (certain), that this choice is right.""",
}
_WORD: Mapping[Kind, str] = {
    "single": "Is this mask good enough? Answer with one word, yes or no.",
    "pair": (
        "Which candidate is closer to a careful human's mask? Answer with one letter, A or B."
    ),
}
FORMS: Mapping[Form, Mapping[Kind, str]] = {"json": _JSON, "word": _WORD}


@dataclass(frozen=True, eq=False)
class Question:
    """One question to a model.

    cases    one Case, or candidates A and B in the order they are shown
    iou_bar  the IoU from which a mask is good enough
    form     "json": a JSON object (`schema`); "word": yes or no, A or B
    swapped  whether candidate A is the second mask that was asked about
    """

    cases: tuple[Case, ...]
    iou_bar: float
    look: Look
    form: Form = "json"
    swapped: bool = False

    @property
    def kind(self) -> Kind:
        """Whether it is about one mask or about two."""
        return "single" if len(self.cases) == 1 else "pair"

    @property
    def answer_model(self) -> type[SingleAnswer] | type[PairAnswer]:
        """What an answer in JSON must fit."""
        return ANSWERS[self.kind]

    @cached_property
    def text(self) -> str:
        """The words of the prompt; the pictures of `images` follow them."""
        bar = (
            "A mask is good enough if its mean IoU with a careful human's mask, over the "
            f"foreground classes that occur in either, is at least {self.iou_bar:g}."
        )
        return "\n".join([_TASK[self.kind], *self._legend(), bar, FORMS[self.form][self.kind]])

    def _legend(self) -> Iterator[str]:
        """Yield the lines that name the classes and their colours."""
        names = self.cases[0].class_names
        yield f"Classes that the network knows: {', '.join(names[1:])}."
        if not self._shown:
            yield "The network predicts no object at all: everything is background."
            return
        yield "Colours of the predicted classes:"
        for label, paint in self._shown.items():
            yield f"- {names[label]}: {paint.words}"
        if self.cases[0].has_background:
            yield "Everything else is predicted to be background."

    @cached_property
    def _shown(self) -> dict[int, Paint]:
        """How each predicted class is shown."""
        return paints(foreground(*(case.mask for case in self.cases)))

    def images(self) -> list[tuple[str, np.ndarray]]:
        """Return (title, picture [h, w, 3] uint8) of each view; a pair is shown side by side."""
        photograph = self.cases[0].photograph()
        masks = [case.mask for case in self.cases]
        size = photograph.shape[1], photograph.shape[0]
        shown = []
        for number, name in enumerate(self.look.views, 1):
            view, side = VIEWS[name], self.look.side
            box = view.box(size, *masks)
            panels = [draw_panel(view, photograph, mask, box, side, self._shown) for mask in masks]
            picture = panels[0] if self.kind == "single" else side_by_side(*panels)
            shown.append((f"Picture {number}: {view.title}.", picture))
        return shown

    def version(self, variant: str = "") -> str:
        """Return a short text that is another one for other words, looks or ways of asking.

        Cached answers lie under it. The look goes in as its `repr`, so renaming `Look` or one of
        its fields would throw them away.

        variant: the way of asking
        """
        return f"{PROMPT_VERSION}.{stable_seed(self.text, self.look, variant):016x}"

    def read(self, text: str) -> dict[str, Any]:
        """Return the answer in a model's text; ValueError where none fits (`read_answer`)."""
        return read_answer(text, self.answer_model)

    def checked(self, answer: Any) -> dict[str, Any]:
        """Return an answer that was kept; ValueError where it is none.

        An answer by one word has no IoU.
        """
        is_word = (
            self.kind == "single" and isinstance(answer, dict) and answer.get("iou", 0) is None
        )
        filled = answer | {"iou": 0.0} if is_word else answer
        checked = checked_answer(filled, self.answer_model)
        return checked | {"iou": None} if is_word else checked

    def is_answered_by(self, text: str) -> bool:
        """Whether a text holds an answer that fits."""
        try:
            self.read(text)
        except ValueError:
            return False
        return True


def single_question(case: Case, iou_bar: float, look: Look, form: Form = "json") -> Question:
    """Return the Question whether the mask of `case` is good enough."""
    return Question((case,), iou_bar, look, form)


def pair_question(
    first: Case, second: Case, iou_bar: float, look: Look, form: Form = "json"
) -> Question:
    """Return the Question which of two masks is better.

    Which one is shown as A depends on a hash of the image and both masks: half of all pairs are
    swapped, so a model's taste for a position averages out, and asking (b, a) is the same question
    as asking (a, b). Raises ValueError where the two Cases show different images.
    """
    if first.image_hash != second.image_hash:
        raise ValueError(f"{first.id} and {second.id}: a pair is two masks of one image")
    one, two = sorted((first, second), key=lambda case: case.mask_hash)
    if stable_seed("pair order", one.image_hash, one.mask_hash, two.mask_hash) % 2:
        one, two = two, one
    return Question((one, two), iou_bar, look, form, swapped=one is not first)
