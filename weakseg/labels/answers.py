"""Answers: what a person said of single pixels, which were drawn at random or chosen by a model.

One answer is {"x", "y", "class", "drawn", "fit"}: the centre of a pixel in original pixels; the
class, or 255 where the person can't tell; `RANDOM`, "example" or the name of the strategy that
chose the pixel; the number of the fit that it chose by, 0 for none. A pixel may occur again: it is
paid once, and its last answer holds.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from weakseg.common import IGNORE
from weakseg.labels.annotators import Scene
from weakseg.labels.person import Person, whole
from weakseg.labels.pixels import Pixels, pixels_of_points, random_places

RANDOM = "random"  # how a pixel was drawn, where no strategy chose it
MANY_CLASSES = 10  # the background counts; among more of them an answer takes longer

Answer = dict[str, Any]


class AnswerModel(BaseModel):
    """One answer as a file holds it."""

    model_config = ConfigDict(strict=True, extra="forbid")

    x: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    y: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    label: Annotated[int, Field(ge=0, le=IGNORE, alias="class")]
    drawn: Annotated[str, StringConstraints(pattern=r"^[\w .+-]{1,40}$")]
    fit: Annotated[int, Field(ge=0)]


def annotate_pixels(scene: Scene, rng: np.random.Generator) -> list[Answer]:
    """Return what the person answers to `pixels_per_image` pixels, drawn uniformly from a picture.

    A pixel that is drawn again has the same answer again.
    """
    height, width = scene.mask.shape
    places = random_places((width, height), scene.options.pixels_per_image, rng)
    person = Person(scene.seed, scene.options.faults, num_classes=scene.num_classes)
    filled = whole(scene.mask)
    return [
        {
            "x": x,
            "y": y,
            "class": person.answer(scene.name, scene.mask, (x, y), filled=filled),
            "drawn": RANDOM,
            "fit": 0,
        }
        for x, y in places.tolist()
    ]


def pixel_of(answer: Answer) -> tuple[int, int]:
    """Return the (column, row) of the pixel that was asked."""
    return int(answer["x"]), int(answer["y"])


def last_answers(annotation: Sequence[Answer]) -> list[Answer]:
    """Return the last answer to each pixel that was asked, in the order of their first."""
    return list({pixel_of(one): one for one in annotation}.values())


def pixels_of_answers(annotation: Sequence[Answer]) -> Pixels:
    """Return the pixels that a person named, each of weight 1; the last answer to each holds."""
    told = last_answers(annotation)
    return pixels_of_points([[one["x"], one["y"], one["class"]] for one in told])


def count_answers(annotation: Sequence[Answer], num_classes: int) -> dict[str, int]:
    """Count the pixels that were asked; nobody looks for absent classes meanwhile.

    A picture that no question was about has not been looked at.
    num_classes: that a person chooses among, the background included
    """
    action = "answer" if num_classes <= MANY_CLASSES else "answer_of_many"
    return {action: len(last_answers(annotation)), "absent": 0, "image": int(len(annotation) > 0)}
