"""A judge that is a local image-text-to-text model of 🤗 transformers, from a hub or from a folder.

In the configuration:

    vlm_itl:
      vlm_handler: transformers
      vlm_options: {model: folder-or-hub-id}
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from vlm_itl.judges.base import NO_USAGE
from vlm_itl.judges.cached_judge import AskOptions, CachedJudge, Outcome
from vlm_itl.judges.prompts import Kind, Question
from vlm_itl.judges.server_words import CUT_OFF, plain_words
from weakseg.common import UserError
from weakseg.hub_access import quick_download

# The spellings of both words that may answer; they share a word's likelihood. The first word means
# that the mask is good enough, or that candidate A is better.
WORDS: Mapping[Kind, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "single": (("yes", "Yes", "YES"), ("no", "No", "NO")),
    "pair": (("A",), ("B",)),
}


class TransformersOptions(AskOptions):
    """The options of this judge, besides those of every judge that asks a model.

    `likelihood` always gives an answer, but neither an IoU nor errors. Answers are cached under the
    name of the model: a model that changed needs another name or another cache.
    """

    revision: str | None = Field(default=None, description="of a model on a hub")
    answer: Literal["likelihood", "json"] = Field(
        default="likelihood",
        description=(
            "compare the likelihoods of yes and no (A and B), or let the model write json"
        ),
    )
    device: str | None = Field(
        default=None, description="as PyTorch names it; null: a GPU where there is one"
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="of the weights; auto: as stored"
    )
    answer_tokens: int = Field(default=512, ge=1, description="limit of one written answer")


class TransformersJudge(CachedJudge[TransformersOptions]):
    """Asks a local model, greedily and one question at a time.

    A batch would be padded, and padding changes the model's numbers.
    """

    Options = TransformersOptions

    def __init__(self, iou_bar: float, seed: int, options: TransformersOptions) -> None:
        form: Literal["json", "word"] = "json" if options.answer == "json" else "word"
        variant = f"greedy {options.revision} {options.dtype}"
        super().__init__(iou_bar, seed, options, form, variant)
        if not options.replay:
            self._processor, self._model = load(options)
            self._tokens = {kind: self._first_tokens(*words) for kind, words in WORDS.items()}

    def _first_tokens(self, *words: Sequence[str]) -> list[list[int]]:
        """Return, for each of two words, the ids of the tokens that begin its spellings.

        Spellings count with and without a space before them. A token that may begin either word (a
        space of its own, an unknown character) tells nothing and is left out.
        """
        tokenizer = self._processor.tokenizer
        begins = [
            {
                tokenizer.encode(space + spelling, add_special_tokens=False)[0]
                for spelling in spellings
                for space in ("", " ")
            }
            for spellings in words
        ]
        useless = begins[0] & begins[1] | {tokenizer.unk_token_id}
        tokens = [sorted(ids - useless) for ids in begins]
        if not all(tokens):
            raise UserError(
                f"vlm_itl.vlm_options.answer: the tokenizer of {self.options.model!r} can't tell "
                f"{words[0][0]!r} from {words[1][0]!r}; set it to json"
            )
        return tokens

    def _ask_all(self, questions: Sequence[Question]) -> list[Outcome]:
        return [self._store(question, self._ask(question)) for question in questions]

    def _ask(self, question: Question) -> Outcome:
        """Ask the model one question."""
        import torch
        from PIL import Image

        # 1. Words and pictures become tokens and pixels.
        content: list[dict[str, Any]] = [{"type": "text", "text": question.text}]
        for title, image in question.images():
            content.append({"type": "text", "text": title})
            content.append({"type": "image", "image": Image.fromarray(image)})
        inputs = self._processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        inputs = inputs.to(self._model.device, dtype=self._model.dtype)
        usage = NO_USAGE | {"calls": 1, "prompt_tokens": inputs["input_ids"].shape[1]}
        # 2. The model answers, by the likelihood of two words or in its own words.
        with torch.inference_mode():
            if self.options.answer == "likelihood":
                usage["completion_tokens"] = 1
                probability = self._likelihood(question.kind, inputs)
                if probability is None:
                    failure = "the model's logits aren't finite; try dtype float32"
                    return Outcome(None, usage, failure)
                return Outcome(answer_of_likelihood(question.kind, probability), usage)
            text, usage["completion_tokens"] = self._write(inputs)
        # 3. Words are read.
        try:
            return Outcome(question.read(text), usage)
        except ValueError as problem:
            if usage["completion_tokens"] >= self.options.answer_tokens:
                failure = f"{CUT_OFF} [vlm_itl.vlm_options: raise answer_tokens]"
                return Outcome(None, usage, failure)
            failure = f"not the answer that was asked for: {problem}"
            return Outcome(None, usage, plain_words(failure))

    def _likelihood(self, kind: Kind, inputs: Mapping[str, Any]) -> float | None:
        """Return the probability that the answer begins with the first word and not the second.

        None where the model's numbers aren't finite.
        """
        output = self._model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=1,
            output_logits=True,
            return_dict_in_generate=True,
        )
        logits = output.logits[0][0].float().cpu().double()
        first, second = (logits[tokens].logsumexp(0) for tokens in self._tokens[kind])
        difference = (first - second).item()
        return sigmoid(difference) if math.isfinite(difference) else None

    def _write(self, inputs: Mapping[str, Any]) -> tuple[str, int]:
        """Return the text that the model writes, and its length in tokens."""
        tokens = self._model.generate(
            **inputs, do_sample=False, max_new_tokens=self.options.answer_tokens
        )
        written = tokens[0, inputs["input_ids"].shape[1] :]
        return self._processor.tokenizer.decode(written, skip_special_tokens=True), len(written)


def load(options: TransformersOptions) -> tuple[Any, Any]:
    """Return the processor and the model, on its device; what can't be used is a `UserError`."""
    try:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor
    except ImportError as error:
        raise UserError(
            "the judge `transformers` needs the package: pip install transformers"
        ) from error
    name, revision = options.model, options.revision
    try:
        # Loading may draw random numbers; the run that goes on afterwards mustn't notice.
        with quick_download(), torch.random.fork_rng(devices=[]):
            processor = AutoProcessor.from_pretrained(name, revision=revision)
            model = AutoModelForImageTextToText.from_pretrained(
                name, revision=revision, dtype=options.dtype
            )
    except (OSError, ValueError, ImportError) as error:
        raise UserError(
            f"vlm_itl.vlm_options.model: {name!r} can't be loaded as an image-text-to-text model: "
            f"{first_line(error)} Name a folder that holds one, or a hub id that this machine can "
            "reach or has downloaded before."
        ) from error
    if not getattr(processor, "chat_template", None):
        raise UserError(
            f"vlm_itl.vlm_options.model: {name!r} has no chat template; take an instruction-tuned "
            "one"
        )
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return processor, model.eval().to(device)
    except (RuntimeError, AssertionError) as error:  # no such device, or a PyTorch without it
        raise UserError(
            f"vlm_itl.vlm_options.device: {device!r} can't be used: {first_line(error)}"
        ) from error


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return str(error).partition("\n")[0]


def sigmoid(x: float) -> float:
    """Return 1 / (1 + exp(-x)), without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def answer_of_likelihood(kind: Kind, probability: float) -> dict[str, Any]:
    """Return the fields of `SingleAnswer` or `PairAnswer` for the probability of the first word."""
    if kind == "single":
        decision = "accept" if probability >= 0.5 else "reject"
        return {
            "decision": decision,
            "probability": probability,
            "iou": None,
            "errors": [],
            "reason": "",
        }
    better = "tie" if probability == 0.5 else "A" if probability > 0.5 else "B"
    return {"better": better, "probability": max(probability, 1 - probability)}
