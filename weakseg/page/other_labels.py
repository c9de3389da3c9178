"""Labels that are there already, drawn or imported: questions begin from them, and learn with them.

How much they weigh beside answers is found by `weakseg.planning.answer_model`, down to nothing.
"""

import time
from dataclasses import replace

import numpy as np

from weakseg.data.cache import ResizedCache
from weakseg.labels.formats.records import Classes
from weakseg.labels.store import opened_store
from weakseg.page.asker import Asker
from weakseg.page.drawing_fit import evidence_of, sample
from weakseg.page.drawing_labels import DrawnLabels, as_on_page
from weakseg.planning.ask import MOST_LABELS
from weakseg.pseudo_masks.from_features import SIDE
from weakseg.training.pixel_sample import LabelledPixels
from weakseg.training.probe_fit import rows_of

PAUSE = 3.0  # seconds between two looks at whether there are other labels than before
REST = 5.0  # times as long as they took to read the next look waits
LAST = "SELECT max(number) FROM events WHERE act IN ('shape', 'removed', 'looked') AND source != ?"


class OtherLabels:
    """Keeps the labels that a session of questions learns from besides its answers."""

    def __init__(self, asker: Asker) -> None:
        self.asker = asker
        self.read: tuple[int | None, Classes] | None = None  # the last event, and the classes

    def work(self) -> None:
        """Read labels where they have changed, until the session is closed."""
        asker, pause = self.asker, 0.0
        while not asker.closed.wait(pause):
            pause = PAUSE
            if asker.joined < len(asker.photographs):  # their features are computed first
                continue
            pause = max(PAUSE, REST * self.update())

    def update(self) -> float:
        """Read labels if others are there than before -> seconds that this took."""
        asker, began = self.asker, time.perf_counter()
        with opened_store(asker.log.folder) as store:
            (last,) = store.connection.execute(LAST, (asker.log.source,)).fetchone()
        state = last, asker.log.classes
        if state == self.read:
            return 0.0
        self.read, found = state, self.pixels(state[1])
        with asker.changed:
            if asker.log.classes != state[1]:
                self.read = None
            elif found is not None or asker.labels is not None:
                asker.labels = found
                asker.forget()
        return time.perf_counter() - began

    def pixels(self, classes: Classes) -> LabelledPixels | None:
        """Return the pixels of all labels but this person's answers, a part of them if many."""
        asker, log = self.asker, self.asker.log
        with opened_store(log.folder) as store:
            given = store.given()
        index = asker.photographs.index
        labels = DrawnLabels(as_on_page(asker.dataset, classes), classes)
        for name, sources in given.items():
            others = {source: one for source, one in sources.items() if source != log.source}
            if others and name in index and index[name] not in asker.pool.unusable:
                labels.add(name, others)
        if not labels.signals:
            return None
        cache = ResizedCache(asker.store.room.folder, SIDE)
        evidence = evidence_of(labels, asker.store, cache)
        boxed = "boxes" in labels.signals and classes.has_background
        rows, _ = rows_of(evidence, evidence.first, len(classes.names), doubt_is_object=boxed)
        rows = sample(rows, MOST_LABELS)
        numbers = np.array([index[name] for name in labels.records], int)
        return replace(rows, images=numbers[rows.images]) if len(rows) else None
