"""What is printed of labels that were just drawn: their number, their pixels, their hours."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from weakseg.common import IGNORE, evenly
from weakseg.data.base import SegmentationDataset
from weakseg.labels.signals import SIGNALS, image_seconds
from weakseg.labels.targets import View

SAMPLE = 5000  # images at most whose annotations and seconds are averaged
DRAWN = 200  # images, about, whose labelled pixels are counted
SIDE = 256  # of the square on which they are counted, pixels


class LabelSummary:
    """Means over a sample of images, evenly spaced in the list, and the labels for a preview.

    The images are shown to it one by one, so that not all labels need be in memory. `previews` are
    the labels {id: labels} of the images that are to be drawn for a person.
    """

    def __init__(self, dataset: SegmentationDataset, names: Sequence[str], previewed: int) -> None:
        self.dataset, self.names = dataset, names
        sample = evenly(names, SAMPLE)
        few = min(previewed, len(names))
        self.sampled, self.counted = set(sample), set(sample[:: max(1, len(sample) // DRAWN)])
        self.previewed = {names[k * (len(names) - 1) // max(1, few - 1)] for k in range(few)}
        self.previews: dict[str, dict[str, Any]] = {}
        self.seconds: dict[str, list[float]] = {signal: [] for signal in SIGNALS}
        self.numbers: dict[str, list[int]] = {signal: [] for signal in SIGNALS}
        self.shares: dict[str, list[float]] = {signal: [] for signal in SIGNALS}

    def wanted(self) -> list[str]:
        """Return the ids of the images whose labels are needed, in their order."""
        return [name for name in self.names if name in self.sampled or name in self.previewed]

    def add(self, name: str, labels: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Take in the labels of an image, and return both as they are."""
        if name in self.previewed:
            self.previews[name] = labels
        classes = len(self.dataset.object_names)
        if name in self.sampled:
            for signal, row in SIGNALS.items():
                annotation = labels[signal]
                seconds = image_seconds(labels, [signal], classes, self.dataset.has_background)
                self.seconds[signal].append(seconds)
                if isinstance(annotation, list):  # things that are drawn; tags and masks are none
                    self.numbers[signal].append(len(annotation))
                    if name in self.counted:
                        width, height = labels["size"]
                        view = View(width, height, SIDE)
                        tag_names = self.dataset.tag_names
                        has_background = self.dataset.has_background
                        target = row.target(annotation, view, tag_names, has_background)
                        self.shares[signal].append((target != IGNORE).mean())
        return name, labels

    def lines(self) -> list[str]:
        """Return one line a signal: annotations and labelled pixels if it is drawn, and seconds."""
        lines = []
        for signal in SIGNALS:
            seconds, drawn = fmean(self.seconds[signal]), ""
            if self.numbers[signal]:
                number, percent = fmean(self.numbers[signal]), 100 * fmean(self.shares[signal])
                drawn = f"{number:5.1f} an image, {percent:7.3f} % of pixels,"
            hours = seconds * len(self.names) / 3600
            lines.append(
                f"  {signal:<10}{drawn:<38}{seconds:7.1f} s an image, {hours:7.2f} h in all"
            )
        return lines
