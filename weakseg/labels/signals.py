"""The table of weak signals: how each is annotated, drawn for the network, scored by a loss, and
priced.

To add a signal, add a row to `SIGNALS`: the generator, the data set, the losses, the command line
and the cost axis all iterate it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from weakseg.common import UserError, suggestion
from weakseg.labels import annotators, scribbles
from weakseg.labels.costs import load_schedule
from weakseg.labels.targets import crop_mask, draw_boxes, draw_points, draw_scribbles, tag_vector


def point_actions(annotation):
    """Count clicks: the first on each class, the background being one, and the further ones."""
    classes = {p[2] for p in annotation}
    return {"first_point": len(classes), "further_point": len(annotation) - len(classes)}


@dataclass(frozen=True)
class Signal:
    """One kind of label.

    extract(scene, rng) -> annotation       plain Python, original pixels
    target(annotation, view, tag_names)     array for the network; `full` takes the resized mask as its annotation
    actions(annotation) -> {action: number} what the annotator did, priced by the schedules of costs.yaml
    shown(annotation) -> number             of classes that it says are there, the background not counted
    """

    name: str
    extract: Callable
    target: Callable
    actions: Callable
    shown: Callable

    def seconds(self, annotation):
        """Return what a person needs for one label by the default schedule, seconds."""
        return load_schedule().price(self.name, self.actions(annotation))


SIGNALS = {
    "full": Signal(
        name="full",
        extract=lambda scene, rng: {
            "objects": len(scene.objects),
            "classes": len({region.label for region in scene.objects}),
        },
        target=lambda annotation, view, tag_names: crop_mask(annotation, view),
        actions=lambda annotation: {"object": annotation["objects"]},
        shown=lambda annotation: annotation.get("classes", min(annotation["objects"], 1)),
    ),
    "tags": Signal(
        name="tags",
        extract=annotators.annotate_tags,
        target=lambda annotation, view, tag_names: tag_vector(annotation, tag_names),
        actions=lambda annotation: {answer: len(names) for answer, names in annotation.items()},
        shown=lambda annotation: len(annotation["present"]),
    ),
    "points": Signal(
        name="points",
        extract=annotators.annotate_points,
        target=lambda annotation, view, tag_names: draw_points(annotation, view),
        actions=point_actions,
        shown=lambda annotation: len({p[2] for p in annotation} - {0}),
    ),
    "scribbles": Signal(
        name="scribbles",
        extract=scribbles.annotate_scribbles,
        target=lambda annotation, view, tag_names: draw_scribbles(annotation, view),
        actions=lambda annotation: {"stroke": len(annotation)},
        shown=lambda annotation: len({stroke["class"] for stroke in annotation} - {0}),
    ),
    "boxes": Signal(
        name="boxes",
        extract=annotators.annotate_boxes,
        target=lambda annotation, view, tag_names: draw_boxes(annotation, view),
        actions=lambda annotation: {"box": len(annotation)},
        shown=lambda annotation: len({box[4] for box in annotation}),
    ),
}


def count_actions(annotations, signals, classes):
    """Count what an annotator did in one image -> {signal: {action: number}}.

    classes: number of classes the annotator looks for, the background not counted. One that isn't
    there is looked for once: tags, which ask for it, take the count, and other signals only what is
    left.
    """
    counts, ruled_out = {}, 0
    for signal in sorted(signals, key=lambda name: name != "tags"):
        done = SIGNALS[signal].actions(annotations[signal])
        absent = done.get("absent", max(0, classes - SIGNALS[signal].shown(annotations[signal])))
        counts[signal] = {"image": 1, **done, "absent": max(0, absent - ruled_out)}
        ruled_out = max(ruled_out, absent)
    return counts


TERMS = (*SIGNALS, "cam")  # every loss term there is; `cam` comes with `tags`


def parse_modes(words):
    """Turn mode words (["points", "boxes"], ["hybrid_tags_points"]) into signal names in table
    order, each once.
    """
    chosen = set()
    for word in words:
        names = word.removeprefix("hybrid_").split("_") if word.startswith("hybrid_") else [word]
        for name in names:
            if name not in SIGNALS:
                hint = suggestion(name, SIGNALS, "did you mean {}? ")
                raise UserError(
                    f"unknown supervision '{name}': {hint}choose from {', '.join(SIGNALS)}, "
                    "several after --supervision_modes, or hybrid_A_B"
                )
            chosen.add(name)
    return tuple(name for name in SIGNALS if name in chosen)
