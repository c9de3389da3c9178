"""What a drawing may say: shapes of known kinds and classes, in the picture, which agree.

Whatever is refused here would be refused by training, when nobody sees the picture any more.
"""

from collections.abc import Sequence
from typing import Any

from weakseg.data.base import SegmentationDataset
from weakseg.labels.carried import label_record, merged
from weakseg.labels.checks import EDGE, Picture
from weakseg.labels.formats.geometry import reach
from weakseg.labels.formats.plain import checked
from weakseg.labels.formats.records import AREAS, MALFORMED, SIGNAL, Classes, Shape
from weakseg.labels.label_record import read_record
from weakseg.labels.signals import LISTS, SIGNALS
from weakseg.labels.store import Given
from weakseg.page.access import Refused

DRAWABLE = ("click", "stroke", "box", "outline", "polygon", "mask", "accepted", "tag")
FRAMES = ("box", "outline")
COMPLETE = (*LISTS, "full")  # kinds of label whose list may hold all objects


def tag_names(dataset: SegmentationDataset, classes: Classes) -> list[str]:
    """Return the tags that a person may give: those of the data set, which may be breeds.

    Where they are its classes, they are those of the page, which may have more by now.
    """
    own = [*dataset.tag_names]
    return classes.objects if own == [*dataset.object_names] else own


def shape_of(given: Any, classes: Classes, tags: Sequence[str], size: tuple[int, int]) -> Shape:
    """Return a shape that the page sent; what makes no sense raises `Refused`.

    size: (width, height) of the picture
    """
    try:
        kind, label = given["kind"], given["class"]
        if kind not in DRAWABLE:
            raise ValueError("nobody draws such a shape")
        shape = checked(kind, label, given["geometry"])
        if kind in AREAS:
            left, top, right, bottom = reach(shape)
            if min(left, top) < -EDGE or right > size[0] + EDGE or bottom > size[1] + EDGE:
                raise ValueError("it lies outside of the picture")
    except MALFORMED as error:
        raise Refused(400, f"a shape can't be read ({str(error)[:100]})") from error
    if shape.label not in (tags if kind == "tag" else classes.names):
        raise Refused(409, f"{str(shape.label)[:60]} is no class here; choose another")
    if kind in FRAMES and classes.has_background and shape.label == classes.names[0]:
        raise Refused(409, f"a {kind} is drawn around an object; choose its class")
    return shape


def refuse_nonsense(
    shapes: Sequence[Shape],
    complete: Sequence[str],
    size: tuple[int, int],
    classes: Classes,
    tags: Sequence[str],
) -> None:
    """Refuse shapes of one picture that training would refuse together."""
    kinds = {SIGNAL[shape.kind] for shape in shapes}
    for kind in complete:
        if shapes and kind not in kinds:
            raise Refused(400, f"{kind[:20]} is no kind of label that is drawn here")
    try:
        record_of(Given(dict(enumerate(shapes)), size, tuple(complete)), size, classes, tags)
    except ValueError as error:
        raise Refused(409, str(error)) from error


def record_of(
    given: Given, size: tuple[int, int], classes: Classes, tags: Sequence[str]
) -> dict[str, Any]:
    """Return the labels of a picture as training reads them; a `ValueError` where it would not."""
    carried = merged({"": given})
    record = label_record(carried, classes.names, tags, classes.has_background)
    return checked_record(record, size, classes, tags)


def checked_record(
    record: dict[str, Any], size: tuple[int, int], classes: Classes, tags: Sequence[str]
) -> dict[str, Any]:
    """Return a record as `read_record` does, of the page's classes, with all kinds of label."""
    picture = Picture(size, classes.names, tags, classes.has_background, in_pixels=True)
    return read_record(record, picture, [*SIGNALS], complete=(), may_lack=True)
