"""The table of weak signals: how each kind of label is annotated, drawn for a network, and priced.

To add a signal, add a row to `SIGNALS`, its loss to losses.py and its prices to costs.yaml: the
generator, the data set, the command line and the cost axis all iterate the table.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from weakseg.common import IGNORE, UserError, suggestion
from weakseg.labels.annotators import (
    Box,
    Point,
    Scene,
    Tags,
    annotate_boxes,
    annotate_points,
    annotate_tags,
)
from weakseg.labels.answers import Answer, annotate_pixels, count_answers
from weakseg.labels.checks import (
    Check,
    check_answers,
    check_boxes,
    check_objects,
    check_outlines,
    check_points,
    check_strokes,
    check_tags,
)
from weakseg.labels.costs import load_schedule
from weakseg.labels.outlines import Outline, annotate_outlines, draw_outlines
from weakseg.labels.scribbles import Stroke, annotate_scribbles
from weakseg.labels.targets import (
    View,
    crop_mask,
    draw_boxes,
    draw_pixels,
    draw_points,
    draw_scribbles,
    tag_vector,
)

Annotation = TypeVar("Annotation")


class Target(Protocol):
    """Draws an annotation for the network; only what is closed has a background around it."""

    def __call__(
        self, annotation: Any, view: View, tag_names: Sequence[str], closed: bool = True, /
    ) -> np.ndarray: ...


@dataclass(frozen=True)
class Signal(Generic[Annotation]):
    """One kind of label.

    extract   an annotator: (scene, rng) -> annotation, plain Python values in original pixels
    target    (annotation, view, tag names, whether what lies outside of it is background, see
              `is_closed`) -> array for the network; for `full`, which a person draws pixel by
              pixel, the first argument is the resized mask [S, S] itself
    actions   (annotation, number of classes to choose from, the background included) ->
              {action: number}: what the annotator did, priced by costs.yaml
    shown     annotation -> the classes that it claims, the background included, or their number
    check     (annotation, `Picture`) -> the annotation, or `ValueError` for what makes no sense
    nothing   the annotation that says nothing
    is_list   whether it lists objects: all of them, or some
    """

    name: str
    extract: Callable[[Scene, np.random.Generator], Annotation]
    target: Target
    actions: Callable[[Annotation, int], dict[str, int]]
    shown: Callable[[Annotation], set[int] | int]
    check: Check
    nothing: Annotation | None = None
    is_list: bool = False

    def seconds(self, annotation: Annotation, num_classes: int = 2) -> float:
        """Return what one label takes by the default schedule, without a look, in seconds."""
        return load_schedule().price(self.name, self.actions(annotation, num_classes))

    def count_shown(self, annotation: Annotation, has_background: bool) -> int:
        """Return the number of object classes that a label claims."""
        shown = self.shown(annotation)
        return shown if isinstance(shown, int) else len(shown - {0} if has_background else shown)


def count_objects(scene: Scene, rng: np.random.Generator) -> dict[str, int]:
    """Return {"objects", "classes"}: what a person outlines who draws the mask."""
    classes = {region.label for region in scene.objects}
    return {"objects": len(scene.objects), "classes": len(classes)}


def classes_of_mask(annotation: Mapping[str, int]) -> int:
    """Return the number of classes in a mask; older files state its objects alone."""
    return annotation.get("classes", min(annotation["objects"], 1))


def mask_actions(annotation: Mapping[str, int]) -> dict[str, int]:
    """Count outlines, and the strokes that corrected masks of a model."""
    corrections = annotation.get("corrections", 0)
    return {"object": annotation["objects"]} | ({"correction": corrections} if corrections else {})


def point_actions(annotation: Sequence[Point], num_classes: int) -> dict[str, int]:
    """Count clicks: the first on each class, the background being one, and the further ones."""
    classes = {point[2] for point in annotation}
    return {"first_point": len(classes), "further_point": len(annotation) - len(classes)}


SIGNALS: dict[str, Signal[Any]] = {
    "full": Signal[dict[str, int]](
        name="full",
        extract=count_objects,
        target=lambda mask, view, tag_names, closed=True: crop_mask(mask, view),
        actions=lambda annotation, num_classes: mask_actions(annotation),
        shown=classes_of_mask,
        check=check_objects,
    ),
    "tags": Signal[Tags](
        name="tags",
        extract=annotate_tags,
        target=lambda annotation, view, tag_names, closed=True: tag_vector(annotation, tag_names),
        actions=lambda annotation, num_classes: {
            answer: len(names) for answer, names in annotation.items()
        },
        shown=lambda annotation: len(annotation["present"]),
        check=check_tags,
        nothing={"present": [], "absent": []},
    ),
    "points": Signal[list[Point]](
        name="points",
        extract=annotate_points,
        target=lambda annotation, view, tag_names, closed=True: draw_points(annotation, view),
        actions=point_actions,
        shown=lambda annotation: {int(point[2]) for point in annotation} - {IGNORE},
        check=check_points,
        nothing=[],
        is_list=True,
    ),
    "scribbles": Signal[list[Stroke]](
        name="scribbles",
        extract=annotate_scribbles,
        target=lambda annotation, view, tag_names, closed=True: draw_scribbles(annotation, view),
        actions=lambda annotation, num_classes: {"stroke": len(annotation)},
        shown=lambda annotation: {stroke["class"] for stroke in annotation} - {IGNORE},
        check=check_strokes,
        nothing=[],
        is_list=True,
    ),
    "boxes": Signal[list[Box]](
        name="boxes",
        extract=annotate_boxes,
        target=lambda annotation, view, tag_names, closed=True: draw_boxes(
            annotation, view, 0 if closed else IGNORE
        ),
        actions=lambda annotation, num_classes: {"box": len(annotation)},
        shown=lambda annotation: {int(box[4]) for box in annotation},
        check=check_boxes,
        nothing=[],
        is_list=True,
    ),
    "outlines": Signal[list[Outline]](
        name="outlines",
        extract=annotate_outlines,
        target=lambda annotation, view, tag_names, closed=True: draw_outlines(
            annotation, view, 0 if closed else IGNORE
        ),
        actions=lambda annotation, num_classes: {"outline": len(annotation)},
        shown=lambda annotation: {outline["class"] for outline in annotation},
        check=check_outlines,
        nothing=[],
        is_list=True,
    ),
    "pixels": Signal[list[Answer]](
        name="pixels",
        extract=annotate_pixels,
        target=lambda annotation, view, tag_names, closed=True: draw_pixels(annotation, view),
        actions=count_answers,
        shown=lambda annotation: {one["class"] for one in annotation} - {IGNORE},
        check=check_answers,
        nothing=[],
    ),
}
TERMS = (*SIGNALS, "cam")  # every loss term there is; `cam` comes with `tags`
LISTS = tuple(name for name, signal in SIGNALS.items() if signal.is_list)


def is_complete(label: Mapping[str, Any], signal: str) -> bool:
    """Return whether an image's list of annotations holds all that there is to annotate.

    label: {"size", signal: annotation, ...}. Without the key "complete", the names of its complete
    lists, all are: simulated annotators miss no object.
    """
    return signal in label.get("complete", LISTS)


def is_closed(label: Mapping[str, Any], signals: Iterable[str], has_background: bool) -> bool:
    """Return whether what no annotation of these signals shows is background.

    That takes a list that is complete; of one with some objects, the rest is unlabelled.
    """
    return has_background and any(
        name in label and is_complete(label, name) for name in signals if name in LISTS
    )


def annotations_of(label: Mapping[str, Any], signals: Iterable[str]) -> dict[str, Any]:
    """Return {signal: annotation} of those signals that a label has, with its key "complete"."""
    annotations = {signal: label[signal] for signal in signals if signal in label}
    said = "complete" in label and bool(annotations)
    return annotations | ({"complete": label["complete"]} if said else {})


def is_labelled(label: Mapping[str, Any], signal: str) -> bool:
    """Return whether an annotation says anything; a complete list does so even when it is empty."""
    row = SIGNALS[signal]
    if signal not in label or row.nothing is None:
        return signal in label
    return label[signal] != row.nothing or (row.is_list and is_complete(label, signal))


def kinds_of(label: Mapping[str, Any], signals: Collection[str]) -> list[str]:
    """Return those of a run's signals by which an image is known: none of an unlabelled image.

    In a run of one kind of weak label every image is one of that kind, whether it says anything.
    """
    if len(signals) == 1:
        return [signal for signal in signals if signal in label]
    return [signal for signal in signals if is_labelled(label, signal)]


def count_actions(
    annotations: Mapping[str, Any],
    signals: Iterable[str],
    classes: int,
    has_background: bool = True,
) -> dict[str, dict[str, int]]:
    """Count what an annotator did in one image -> {signal: {action: number}}.

    has_background: whether class 0 is one
    classes: number of classes that the annotator looks for, the background not counted. One that
    isn't there is looked for once: tags, which ask for it, take the count, and other signals only
    what is left. Who names pixels, or marks some of the objects, looks for no class; where there is
    no label nobody has looked. A kind that an image lacks counts nothing.
    """
    counts: dict[str, dict[str, int]] = {}
    ruled_out = 0
    given = [name for name in signals if name in annotations]
    for name in sorted(given, key=lambda name: name != "tags"):
        signal, annotation = SIGNALS[name], annotations[name]
        actions = signal.actions(annotation, classes + has_background)
        shown = signal.count_shown(annotation, has_background)
        looks = not signal.is_list or is_complete(annotations, name)
        absent = actions.get("absent", max(0, classes - shown)) if looks else 0
        looked = int(is_labelled(annotations, name))
        counts[name] = {"image": looked, **actions, "absent": max(0, absent - ruled_out)}
        ruled_out = max(ruled_out, absent)
    return counts


def was_looked_at(counts: Mapping[str, Mapping[str, int]]) -> bool:
    """Return whether a person has looked at an image, by its counts {signal: {action: number}}."""
    return any(actions["image"] for actions in counts.values())


def image_seconds(
    annotations: Mapping[str, Any],
    signals: Iterable[str],
    classes: int,
    has_background: bool = True,
) -> float:
    """Return what a person needs for the labels of one image, the look at it included, in seconds.

    By the default schedule; classes, has_background: as `count_actions` takes them
    """
    counts = count_actions(annotations, signals, classes, has_background)
    costs = load_schedule().price_all(counts, was_looked_at(counts))
    assert costs is not None  # the default schedule prices all signals
    return sum(costs.values())


def parse_modes(words: Iterable[str]) -> tuple[str, ...]:
    """Return the signals that mode words name, in the order of the table, each once.

    words: ["points", "boxes"], ["points+boxes"], ["hybrid_points_boxes"], or any of them together;
    one that is unknown is a `UserError` with the nearest signal
    """
    chosen = set()
    for word in words:
        is_hybrid = word.startswith("hybrid_")
        names = word.removeprefix("hybrid_").split("_") if is_hybrid else word.split("+")
        for name in names:
            if name not in SIGNALS:
                hint = suggestion(name, SIGNALS, "did you mean {}? ")
                raise UserError(
                    f"unknown supervision '{name}': {hint}choose from {', '.join(SIGNALS)}, "
                    "or a mix: A+B"
                )
            chosen.add(name)
    return tuple(name for name in SIGNALS if name in chosen)
