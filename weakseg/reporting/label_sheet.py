"""A tile of a contact sheet: a photograph with what a store says of it."""

from pathlib import Path
from typing import Any

import numpy as np

from weakseg.common import UserError
from weakseg.data.image_io import read_image
from weakseg.labels.carried import Carried, label_record
from weakseg.labels.formats.painting import mask_of
from weakseg.labels.formats.records import Classes
from weakseg.reporting.pictures import overlay


def label_tile(path: Path, title: str, carried: Carried, classes: Classes) -> dict[str, Any]:
    """Return a tile for `pictures.label_preview`, with masks laid over the photograph.

    Labels that don't fit the classes are a `UserError`.
    """
    image = np.asarray(read_image(path))
    size, has_background = (image.shape[1], image.shape[0]), classes.has_background
    tags = [shape.label for shape in carried.shapes if shape.kind == "tag" and shape.label]
    try:
        annotation = label_record(carried, classes.names, tags, has_background)
    except ValueError as error:
        raise UserError(f"{title}: {error}") from error
    if "full" in annotation:
        mask = mask_of(carried.shapes, size, classes, "full" in carried.complete)
        image = overlay(image, mask, has_background=has_background)
    return {"title": title, "image": image, "annotation": annotation}
