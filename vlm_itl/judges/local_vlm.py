"""A judge that is a local image-text-to-text model of 🤗 transformers, from a hub or from a folder.

In the configuration:

    vlm_itl:
      vlm_handler: transformers
      vlm_options: {model: folder-or-hub-id}
"""

import math
from dataclasses import dataclass

from vlm_itl.judges.answer_cache import USAGE
from vlm_itl.judges.cached_judge import AskOptions, CachedJudge, Outcome
from vlm_itl.settings import key
from weakseg.common import UserError

# The first word is what a yes means: the mask is good enough, or candidate A is better. Spellings
# share its likelihood.
WORDS = {"single": (("yes", "Yes", "YES"), ("no", "No", "NO")), "pair": (("A",), ("B",))}
FORMS = {"likelihood": "word", "json": "json"}


@dataclass(frozen=True)
class Options(AskOptions):
    """The options of this judge, besides those of every judge that asks a model.

    `likelihood` always gives an answer, but neither an IoU nor errors. Answers are cached under the
    name of the model: a model that changed needs another name or another cache.
    """

    revision: str | None = key(None, "of a model on a hub")
    answer: str = key(
        "likelihood",
        "compare the likelihoods of yes and no (A and B), or let the model write json",
        choices=list(FORMS),
    )
    device: str | None = key(None, "as PyTorch names it; null: a GPU where there is one")
    dtype: str = key(
        "auto",
        "of the weights; auto: as stored",
        choices=["auto", "float32", "bfloat16", "float16"],
    )
    answer_tokens: int = key(512, "limit of one written answer", low=1)


class TransformersJudge(CachedJudge):
    """Asks a local model, greedily and one question at a time: padding a batch would change its
    numbers.
    """

    Options = Options

    def __init__(self, iou_bar, seed, options):
        variant = f"greedy {options.revision} {options.dtype}"
        super().__init__(iou_bar, seed, options, FORMS[options.answer], variant)
        if not options.replay:
            self._load()

    def _load(self):
        try:
            import torch
            from transformers import AutoModelForImageTextToText, AutoProcessor
        except ImportError as error:
            raise UserError(
                "the judge `transformers` needs the package: pip install transformers"
            ) from error
        o = self.options
        device = o.device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            # Loading may draw random numbers; the run that goes on afterwards mustn't notice.
            with torch.random.fork_rng(devices=[]):
                self._processor = AutoProcessor.from_pretrained(o.model, revision=o.revision)
                model = AutoModelForImageTextToText.from_pretrained(
                    o.model, revision=o.revision, dtype=o.dtype
                )
        except (OSError, ValueError, ImportError) as error:
            line = next(iter(str(error).split("\n")), "")
            raise UserError(
                f"vlm_itl.vlm_options.model: {o.model!r} can't be loaded as an image-text-to-text model: {line} Name a "
                "folder that holds one, or a hub id that this machine can reach or has downloaded before."
            ) from error
        try:
            self._model = model.eval().to(device)
        except (
            RuntimeError,
            AssertionError,
        ) as error:  # no such device, or a PyTorch that was built without it
            line = next(iter(str(error).split("\n")), "")
            raise UserError(
                f"vlm_itl.vlm_options.device: {device!r} can't be used: {line}"
            ) from error
        if not getattr(self._processor, "chat_template", None):
            raise UserError(
                f"vlm_itl.vlm_options.model: {o.model!r} has no chat template; take an instruction-tuned one"
            )
        self._tokens = {kind: self._first_tokens(*words) for kind, words in WORDS.items()}

    def _first_tokens(self, *words):
        """Return, for each of two words, the token ids that begin its spellings, with and without a
        space before.

        A token that may begin either (a space of its own, an unknown character) tells nothing and
        is left out.
        """
        tokenizer = self._processor.tokenizer
        firsts = [
            {
                tokenizer.encode(space + word, add_special_tokens=False)[0]
                for word in spellings
                for space in ("", " ")
            }
            for spellings in words
        ]
        shared = firsts[0] & firsts[1]
        tokens = [sorted(first - shared - {tokenizer.unk_token_id}) for first in firsts]
        if not all(tokens):
            raise UserError(
                f"vlm_itl.vlm_options.answer: the tokenizer of {self.options.model!r} can't tell {words[0][0]!r} from "
                f"{words[1][0]!r}; set it to json"
            )
        return tokens

    def _ask(self, question):
        import torch
        from PIL import Image

        content = [{"type": "text", "text": question.text}]
        for title, image in question.images():
            content += [
                {"type": "text", "text": title},
                {"type": "image", "image": Image.fromarray(image)},
            ]
        inputs = self._processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        inputs = inputs.to(self._model.device, dtype=self._model.dtype)
        with torch.inference_mode():
            answer, failure, written = _ANSWERS[self.options.answer](self, question, inputs)
        prompt = inputs["input_ids"].shape[1]
        usage = dict.fromkeys(USAGE, 0) | {
            "calls": 1,
            "prompt_tokens": prompt,
            "completion_tokens": written,
        }
        return Outcome(answer, usage, failure)

    def _likelihood(self, question, inputs):
        """Compare the probabilities that the answer begins with either word."""
        output = self._model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=1,
            output_logits=True,
            return_dict_in_generate=True,
        )
        logits = output.logits[0][0].double()
        first, second = (
            logits[tokens].logsumexp(0).item() for tokens in self._tokens[question.kind]
        )
        if not math.isfinite(first - second):
            return None, "the model's logits aren't finite; try dtype float32", 1
        return _FROM_LIKELIHOOD[question.kind](_sigmoid(first - second)), None, 1

    def _written(self, question, inputs):
        """Let the model write its answer."""
        tokens = self._model.generate(
            **inputs, do_sample=False, max_new_tokens=self.options.answer_tokens
        )
        written = tokens[0, inputs["input_ids"].shape[1] :]
        text = self._processor.tokenizer.decode(written, skip_special_tokens=True)
        try:
            return question.read(text), None, len(written)
        except ValueError as problem:
            return None, f"not the answer that was asked for: {problem}", len(written)


def _sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _single(yes):
    decision = "accept" if yes >= 0.5 else "reject"
    return {"decision": decision, "probability": yes, "iou": None, "errors": [], "reason": ""}


def _pair(first):
    better = "tie" if first == 0.5 else "A" if first > 0.5 else "B"
    return {"better": better, "probability": max(first, 1 - first)}


_FROM_LIKELIHOOD = {"single": _single, "pair": _pair}
_ANSWERS = {"likelihood": TransformersJudge._likelihood, "json": TransformersJudge._written}
