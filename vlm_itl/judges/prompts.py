"""What a vision-language model is shown and asked about a mask, and how its answer is read.

A `Question` is about one mask ("single") or two masks of one image ("pair", Label Critic, Bassi et
al. 2024). Change `PROMPT_VERSION` with any change of words or pictures: answers are cached under
it.
"""

import base64
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import cv2
import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from vlm_itl.judges.base import DECISIONS, ERRORS, Case
from weakseg.common import IGNORE, UserError, stable_seed
from weakseg.reporting import pictures, style

PROMPT_VERSION = "1"
# Words for the first colours of `plots.PALETTE`: a model knows them better than hexadecimal
# numbers.
COLOUR_WORDS = (None, "orange", "blue", "green", "pink", "light blue", "red-orange", "yellow")
CROP_MARGIN, CROP_MINIMUM = 0.15, 16  # share of the object's longer side, on each side; pixels
MEDIA = {
    "png": ("image/png", ".png", []),
    "jpeg": ("image/jpeg", ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 92]),
}


def contour(image, mask):
    """Outline the classes of `mask` uint8 [H, W] on a copy of `image` uint8 [H, W, 3], in colour
    with a white rim.
    """
    drawn, width = image.copy(), max(2, round(max(mask.shape) / 170))
    lines = {}
    for label in foreground(mask):
        lines[label], _ = cv2.findContours(
            np.uint8(mask == label), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(drawn, lines[label], -1, (255, 255, 255), width + 2)
    for label, line in lines.items():
        cv2.drawContours(drawn, line, -1, style.palette(label + 1)[label].tolist(), width)
    return drawn


def foreground(*masks):
    """Return the foreground classes that occur in any of `masks`, ascending."""
    return [int(label) for label in np.unique(np.stack(masks)) if label not in (0, IGNORE)]


def crop_box(*masks):
    """Return a box (x0, y0, x1, y1) around the foreground of all `masks` [H, W]: with a margin, and
    square where the image has room. It is the whole image where there is no foreground.
    """
    height, width = masks[0].shape
    seen = np.any([(mask != 0) & (mask != IGNORE) for mask in masks], axis=0)
    if not seen.any():
        return 0, 0, width, height
    ys, xs = (np.flatnonzero(seen.any(axis)) for axis in (1, 0))
    side = max(np.ptp(xs) + 1, np.ptp(ys) + 1)
    side = max(CROP_MINIMUM, round(side * (1 + 2 * CROP_MARGIN)))

    def interval(positions, length):
        size = min(side, length)
        start = min(max(0, (positions[0] + positions[-1] + 1 - size) // 2), length - size)
        return int(start), int(start + size)

    (x0, x1), (y0, y1) = interval(xs, width), interval(ys, height)
    return x0, y0, x1, y1


def _whole(*masks):
    return 0, 0, masks[0].shape[1], masks[0].shape[0]


# For each view: what it is called in the prompt, the part of the image it shows, and how the mask
# is drawn.
VIEWS = {
    "photo": ("the photograph without any mask", _whole, lambda image, mask: image),
    "overlay": ("the photograph tinted with the predicted mask", _whole, pictures.overlay),
    "contour": ("the photograph with the outlines of the predicted mask", _whole, contour),
    "crop": ("the outlines, enlarged around the predicted foreground", crop_box, contour),
}


@dataclass(frozen=True)
class Look:
    """How masks are shown: which `VIEWS`, how long (px) the longer side of one mask's picture is,
    and the format.
    """

    views: tuple[str, ...] = ("overlay", "contour", "crop")
    side: int = 512
    format: str = "png"

    def __post_init__(self):
        unknown = [view for view in self.views if view not in VIEWS]
        if unknown or not self.views:
            raise UserError(
                f"vlm_itl.vlm_options.views: {unknown or 'empty'}; choose from {', '.join(VIEWS)}"
            )


def _unit(value, low=0):
    if not low <= value <= 1:
        raise ValueError(f"{value} is outside [{low}, 1]")
    return value


# The bounds are checked here and are not in the JSON schema: several servers refuse `minimum` in
# strict schemas.
Unit = Annotated[float, AfterValidator(_unit)]
Confidence = Annotated[float, AfterValidator(lambda value: _unit(value, 0.5))]


class SingleAnswer(BaseModel):
    """The answer about one mask. The reason comes first, so that a model thinks before it
    decides.
    """

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})
    reason: str
    errors: list[Literal[ERRORS]]
    iou: Unit
    probability: Unit
    decision: Literal[DECISIONS]


class PairAnswer(BaseModel):
    """The answer about two masks; `probability` that this choice is right, at least one half."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})
    better: Literal["A", "B", "tie"]
    probability: Confidence


_TASK = {
    "single": "Judge a segmentation mask that a neural network predicted for one photograph.",
    "pair": "Compare two candidate segmentation masks, A and B, that were predicted for the same photograph. "
    "In each picture candidate A is on the left and candidate B on the right.",
}
_JSON = {
    "single": """Answer with one JSON object and nothing else, with exactly these keys:
"reason": one sentence on what is right and wrong;
"errors": a list with any of "missing_part" (an object or a part of one isn't covered), "extra_part" (something is \
covered that isn't the object), "boundary" (the outline is ragged or shifted), "wrong_class"; empty if there is none;
"iou": your estimate of the mean IoU with a careful human's mask, from 0 to 1;
"probability": the probability, from 0 to 1, that the mask is good enough;
"decision": "accept" if the mask is good enough, "reject" if it isn't, "abstain" if the pictures can't tell.""",
    "pair": """Answer with one JSON object and nothing else, with exactly these keys:
"better": "A" or "B", whichever is closer to a careful human's mask, or "tie";
"probability": the probability, from 0.5 (a guess) to 1 (certain), that this choice is right.""",
}
_WORD = {
    "single": "Is this mask good enough? Answer with one word, yes or no.",
    "pair": "Which candidate is closer to a careful human's mask? Answer with one letter, A or B.",
}
FORMS = {"json": _JSON, "word": _WORD}


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
    form: str = "json"
    swapped: bool = False

    @property
    def kind(self):
        return "single" if len(self.cases) == 1 else "pair"

    @property
    def answer_model(self):
        return {"single": SingleAnswer, "pair": PairAnswer}[self.kind]

    @cached_property
    def text(self):
        """The words of the prompt; the pictures of `images` follow them."""
        return "\n".join(
            [_TASK[self.kind], *self._legend(), self._bar(), FORMS[self.form][self.kind]]
        )

    def _bar(self):
        return (
            "A mask is good enough if its mean IoU with a careful human's mask, over the foreground classes that occur "
            f"in either, is at least {self.iou_bar:g}."
        )

    def _legend(self):
        names = self.cases[0].class_names
        yield f"Classes that the network knows: {', '.join(names[1:])}."
        seen = foreground(*(case.mask for case in self.cases))
        if not seen:
            yield "The network predicts no object at all: everything is background."
            return
        yield "Colours of the predicted classes:"
        for label in seen:
            word = COLOUR_WORDS[label] + " " if label < len(COLOUR_WORDS) else ""
            yield f"- {names[label]}: {word}({style.hex_colour(label)})"
        yield "Everything else is predicted to be background."

    def images(self):
        """Return a list of (title, picture uint8 [h, w, 3]): one for each view, a pair's candidates
        side by side.
        """
        masks = [case.mask for case in self.cases]
        pictures = []
        for number, view in enumerate(self.look.views, 1):
            title, box, draw = VIEWS[view]
            x0, y0, x1, y1 = box(*masks)
            panels = [
                draw(*_enlarge(case.image[y0:y1, x0:x1], case.mask[y0:y1, x0:x1], self.look.side))
                for case in self.cases
            ]
            picture = panels[0] if self.kind == "single" else _side_by_side(panels)
            pictures.append((f"Picture {number}: {title}.", picture))
        return pictures

    def version(self, variant=""):
        """Return a short text that differs where the words, the look, or the `variant` of asking
        differ.
        """
        return f"{PROMPT_VERSION}.{stable_seed(self.text, self.look, variant):016x}"

    def read(self, text):
        """Return the answer in `text` as a dict that fits `answer_model`.

        The last fitting JSON object counts, so words, fences and thoughts around it do no harm.
        ValueError, in one line, where there is none.
        """
        problem = "it holds no JSON object"
        for candidate in reversed(list(_json_objects(text))):
            try:
                return self.answer_model.model_validate(candidate).model_dump()
            except ValidationError as error:
                problem = "; ".join(
                    f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()
                )
        raise ValueError(problem)


def single_question(case, iou_bar, look, form="json"):
    """Return the Question whether the mask of `case` is good enough."""
    return Question((case,), iou_bar, look, form)


def pair_question(first, second, iou_bar, look, form="json"):
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


def schema(model):
    """Return the JSON schema of an answer model: strict, without titles and descriptions."""

    def plain(node):
        if isinstance(node, dict):
            return {
                key: plain(value)
                for key, value in node.items()
                if key not in ("title", "description")
            }
        return node

    return plain(model.model_json_schema())


def encode(image, format="png"):
    """Return `image` uint8 [H, W, 3] RGB as the bytes of a PNG or JPEG file."""
    _, suffix, parameters = MEDIA[format]
    done, data = cv2.imencode(suffix, np.ascontiguousarray(image[..., ::-1]), parameters)
    if not done:
        raise ValueError(f"an image of shape {image.shape} can't be written as {format}")
    return data.tobytes()


def data_url(image, format="png"):
    """Return `image` uint8 [H, W, 3] RGB as a base64 data URL."""
    return f"data:{MEDIA[format][0]};base64,{base64.b64encode(encode(image, format)).decode()}"


def _enlarge(image, mask, side):
    """Scale both so that the longer side is `side` px; the image smoothly, the mask without new
    labels.
    """
    scale = side / max(mask.shape)
    size = [max(1, round(length * scale)) for length in mask.shape[::-1]]
    smooth = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    return cv2.resize(image, size, interpolation=smooth), cv2.resize(
        mask, size, interpolation=cv2.INTER_NEAREST
    )


def _side_by_side(panels):
    """Join two pictures of one size, with a gap between them and a letter above each."""
    height, width = panels[0].shape[:2]
    gap, head = max(2, width // 32), max(12, width // 16)
    sheet = np.full((head + height, 2 * width + gap, 3), 255, np.uint8)
    for letter, left, panel in zip("AB", (0, width + gap), panels, strict=True):
        sheet[head:, left : left + width] = panel
        cv2.putText(
            sheet,
            letter,
            (left + 2, head - head // 4),
            cv2.FONT_HERSHEY_SIMPLEX,
            head / 32,
            (0, 0, 0),
            max(1, head // 16),
            cv2.LINE_AA,
        )
    return sheet


def _json_objects(text):
    """Yield each JSON object in `text` that is in no other."""
    decoder, start = json.JSONDecoder(), text.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
            yield value
        except (ValueError, RecursionError):
            end = start + 1
        start = text.find("{", end)
