"""What a model thinks of the picture that somebody draws on, anew after each shape.

The full fit (`drawing_fit`) learns from all labels in the store, and runs behind in a thread. Each
shape then moves its linear head: from where it is, with its penalty, to the labels of all pictures
and to what is drawn on this one, which weighs a fixed share. That takes a fraction of a second.
"""

import hashlib
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from weakseg.common import UserError
from weakseg.data.base import SegmentationDataset
from weakseg.data.cache import ResizedCache
from weakseg.inference.predict import probe_mask
from weakseg.labels.formats.records import Classes, Shape
from weakseg.labels.formats.runs import mask_geometry
from weakseg.labels.store import Given, opened_store
from weakseg.learners.features import FeatureMaps
from weakseg.learners.logistic import fit_linear
from weakseg.learners.probe import Probe, Standard
from weakseg.page.access import Refused
from weakseg.page.asker import Asker
from weakseg.page.drawing_fit import Fit, evidence_of, full_fit, linear
from weakseg.page.drawing_labels import DrawnLabels, as_on_page
from weakseg.page.drawing_log import DrawingLog
from weakseg.pseudo_masks.from_features import SIDE as CUT
from weakseg.training.probe_evidence import Evidence
from weakseg.training.probe_fit import rows_of

OWN = 0.2  # share of the weight that the picture in view has, at least
PENALTY = 0.03  # while there is no full fit
TOLERANCE = 2e-4  # of the gradient
STEPS = 60  # of a quick fit, at most
SIDE = 800  # pixels of the longer side of a mask on show
STANDARD = 300  # pictures, about, whose features standardise those of all
PAUSE = 0.3  # seconds between two looks at whether labels have changed
KEPT = 4  # pictures whose features, and models that were shown, stay in memory
REST = 2.0  # times as long as a full fit took the next one waits
MOMENT = "A moment: the model learns from what is labelled already."
NOTHING = "Mark two classes first, such as a click on an object and one beside it."
OPEN = "A question about this photograph is open; answer it first, since nothing may hint at it."


@dataclass(frozen=True)
class Thought:
    """A mask of a picture: a PNG, or the reason why there is none; and the mark of its model."""

    line: str
    png: bytes | None = None
    mark: str = ""


class DrawingModel:
    """The model of the drawing view.

    png     draws a mask [H, W] as a PNG in the colours of the classes
    full    the last full fit; None before any
    fits    number of full fits that came to an end, with a model or without
    known   version of the labels that the last of them knew
    wanted  whether anybody has asked for a mask: before, nothing is fitted
    """

    def __init__(
        self, asker: Asker, drawings: DrawingLog, png: Callable[[np.ndarray], bytes]
    ) -> None:
        self.asker, self.drawings, self.png = asker, drawings, png
        self.cache = ResizedCache(asker.store.room.folder, CUT)
        self.full: Fit | None = None
        self.fits = 0
        self.known: tuple[int, int, Classes] | None = None
        self.wanted = threading.Event()
        self.lock = threading.Lock()  # of quick fits
        self.maps: OrderedDict[str, FeatureMaps] = OrderedDict()
        self.shown: OrderedDict[tuple[int, str], Probe] = OrderedDict()

    # ---- what is asked

    def think(self, index: int, shapes: Sequence[Shape], complete: Sequence[str] = ()) -> Thought:
        """Return a mask of a picture on which shapes are drawn."""
        if index in self.asker.open_pictures():
            return Thought(OPEN)
        self.wanted.set()
        with self.lock:
            name = self.asker.photographs.names[index]
            maps, full = self.features(name), self.current()
            own = DrawnLabels(self.dataset(), self.asker.log.classes)
            _, others = self.drawings.given(name)
            size = self.asker.photographs.sizes[index]
            mine = Given(dict(enumerate(shapes)), size, tuple(complete))
            own.add(name, {**others, self.drawings.source: mine})
            if own.faults:
                return Thought(own.faults[name])
            probe = self.moved(full, name, own, maps)
            if probe is None:
                return Thought(NOTHING if self.known == self.version else MOMENT)
            image = Image.fromarray(self.asker.photographs.pixels(index))
            image.thumbnail((SIDE, SIDE))
            png, mark = self.png(probe_mask(probe, maps, np.asarray(image))), mark_of(probe)
            self.shown[index, mark] = probe
            while len(self.shown) > KEPT:
                self.shown.popitem(last=False)
        return Thought("", png, mark)

    def accepted(self, index: int, mark: str) -> list[Shape]:
        """Return the mask of a model that was shown, as shapes of the picture's own pixels."""
        if index in self.asker.open_pictures():
            raise Refused(409, OPEN)
        probe = self.shown.get((index, mark))
        if probe is None:
            raise Refused(409, "this mask is out of date; look at it once more")
        photographs, classes = self.asker.photographs, self.asker.log.classes
        mask = probe_mask(probe, self.features(photographs.names[index]), photographs.pixels(index))
        return [
            Shape("accepted", name, {**mask_geometry(mask == number), "model": mark})
            for number, name in enumerate(classes.names)
            if (mask == number).any() and not (number == 0 and classes.has_background)
        ]

    # ---- quick fits

    def features(self, name: str) -> FeatureMaps:
        """Return the features of a picture, of which the last few stay in memory."""
        if name not in self.maps:
            self.maps[name] = self.asker.features_of(name)
            while len(self.maps) > KEPT:
                self.maps.popitem(last=False)
        return self.maps[name]

    def dataset(self) -> SegmentationDataset:
        """Return the data set with the classes of the page."""
        return as_on_page(self.asker.dataset, self.asker.log.classes)

    def current(self) -> Fit | None:
        """Return the last full fit, unless it is of other classes."""
        full = self.full
        return full if full and full.classes == self.asker.log.classes else None

    def moved(
        self, full: Fit | None, name: str, own: DrawnLabels, maps: FeatureMaps
    ) -> Probe | None:
        """Return the probe of a full fit, moved to the labels of one picture; None without any."""
        if not own.signals:
            return full.probe if full else None
        classes = len(own.classes.names)
        evidence = evidence_of(own, lambda source: maps, self.cache)
        rows, _ = rows_of(evidence, evidence.first, classes)
        if full is None:
            if len(np.unique(rows.classes)) < 2:
                return None
            standard = self.standard(evidence)
            x = standard(rows.features)
            head = fit_linear(x, rows.classes, rows.weights, PENALTY, classes, tolerance=TOLERANCE)
            return Probe(standard, head, evidence.edges)
        others = np.ones(len(full.rows), bool)
        if name in full.names:
            others = full.rows.images != full.names.index(name)
        weights = full.rows.weights[others]
        share = OWN / (1 - OWN) * weights.sum() / rows.weights.sum()
        x = np.concatenate([full.x[others], full.probe.standard(rows.features)])
        head = fit_linear(
            x,
            np.concatenate([full.rows.classes[others], rows.classes]),
            np.concatenate([weights, rows.weights * max(1.0, share)]),
            full.penalty,
            classes,
            linear(full.probe),
            full.axes,
            TOLERANCE,
            STEPS,
        )
        return replace(full.probe, head=head)

    def standard(self, evidence: Evidence) -> Standard:
        """Return what standardises features: that of all pictures that are read, or of these."""
        pool = self.asker.pool
        every = -(-pool.ready // STANDARD)
        features = pool.features[: pool.ready : every] if pool.ready else evidence.pool
        return Standard.of(np.asarray(features).reshape(-1, features.shape[2]))

    # ---- the full fit

    def work(self) -> None:
        """Fit to all labels when they have changed, until the session is closed."""
        closed, rest = self.asker.closed, 0.0
        while not closed.wait(PAUSE):
            if not self.wanted.is_set() or self.version == self.known or time.monotonic() < rest:
                continue
            version, began = self.version, time.monotonic()
            try:
                self.refit()
            except UserError as error:
                print(f"the full fit of what is drawn failed: {error}", file=sys.stderr)
            self.known = version
            self.fits += 1
            rest = time.monotonic() + REST * (time.monotonic() - began)

    @property
    def version(self) -> tuple[int, int, Classes]:
        """What changes with the labels."""
        return self.drawings.version, len(self.asker.log.told), self.asker.log.classes

    def refit(self) -> None:
        """Fit to all labels of the store."""
        full = full_fit(self.labels(), self.asker.store, self.cache)
        if full:
            self.full = full

    def labels(self) -> DrawnLabels:
        """Return the labels of all sources in the store, of the pictures that are there."""
        labels = DrawnLabels(self.dataset(), self.asker.log.classes)
        with opened_store(self.drawings.log.folder) as store:
            given = store.given()
        for name, sources in given.items():
            if name in self.asker.photographs.index:
                labels.add(name, sources)
        return labels


def mark_of(probe: Probe) -> str:
    """Return a mark that tells a model from others."""
    digest = hashlib.sha256(repr(probe.edges).encode())
    for _, tensor in sorted(probe.state().items()):
        digest.update(tensor.numpy().tobytes())
    return f"probe {digest.hexdigest()[:12]}"
