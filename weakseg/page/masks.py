"""Masks of six pictures, which change as one answers; never of one with an open question."""

import io
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
from PIL import Image

from weakseg.inference.predict import probe_mask
from weakseg.learners.probe import Probe
from weakseg.page.asker import Asker
from weakseg.page.classes import shown_classes
from weakseg.planning.ask_estimate import LARGEST_RADIUS
from weakseg.planning.asking import Asking
from weakseg.training.probe import smaller_radius

SHOWN = 6
SIDE = 320  # pixels of the longer side
SOME = 10  # pictures that say how large things are
GROWTH = 1.5  # that is found again when there are so many times as many answers


class Masks:
    """What the panel's thread draws, and requests take.

    drawn: {index of a picture: (number of the fit, PNG)}
    """

    def __init__(self, asker: Asker) -> None:
        self.asker = asker
        self.drawn: dict[int, tuple[int, bytes]] = {}
        self.version = 0  # of what is drawn: a browser keeps a picture by its address
        self.edges, self.edges_at = LARGEST_RADIUS, 0

    def state(self) -> list[dict[str, int]]:
        """Return which masks may be shown, each with its place among the six."""
        closed, version = self.asker.open_pictures(), self.version
        return [
            {"picture": picture, "fit": fit, "version": version, "slot": slot}
            for slot, (picture, (fit, _)) in enumerate(self.drawn.items())
            if picture not in closed
        ]

    def content(self, picture: int) -> bytes | None:
        """Return the PNG of a mask; None where none may be shown."""
        if picture not in self.drawn or picture in self.asker.open_pictures():
            return None
        return self.drawn[picture][1]

    def forget(self) -> None:
        """Show none until they are drawn anew."""
        self.drawn, self.edges_at, self.version = {}, 0, self.version + 1

    def update(self, asking: Asking) -> None:
        """Draw the masks by a session's model."""
        if asking.model.head is None:
            return
        asker, version = self.asker, self.version
        closed = asker.open_pictures() | {*asker.pool.unusable}
        pictures = in_place([*self.drawn], range(len(asking.pool)), closed)
        if len(asking.answers) >= GROWTH * self.edges_at:
            start = Probe(asking.model.standard, asking.model.head, LARGEST_RADIUS)
            names, self.edges_at = asker.photographs.names[:SOME], len(asking.answers)
            usable = [n for n in names if asker.photographs.index[n] not in asker.pool.unusable]
            self.edges = smaller_radius(asker.dataset, usable, asker.store, start, as_of_masks=True)
        probe = Probe(asking.model.standard, asking.model.head, self.edges)
        drawn = {}
        for picture in pictures:
            image = Image.fromarray(asker.photographs.pixels(picture))
            image.thumbnail((SIDE, SIDE))
            maps = asker.features_of(asker.photographs.names[picture])
            mask = probe_mask(probe, maps, np.asarray(image))
            drawn[picture] = asking.model.fits, self.png(mask)
        if version == self.version:  # of the same classes and colours
            self.drawn, self.version = drawn, version + 1

    def png(self, mask: np.ndarray) -> bytes:
        """Return a mask [H, W] as a PNG in the colours of the classes; no background is seen."""
        with self.asker.lock:
            log = self.asker.log
            rows: list[dict[str, Any]] = shown_classes(log.classes, log.colours, log.keys)
        image, file = Image.fromarray(mask, "P"), io.BytesIO()
        image.putpalette(b"".join(bytes.fromhex(row["colour"][1:]) for row in rows))
        seen = bytes(0 if row["is_background"] else 255 for row in rows)
        image.save(file, "PNG", transparency=seen)
        return file.getvalue()


def in_place(before: list[int], pictures: Iterable[int], closed: Collection[int]) -> list[int]:
    """Return the pictures to show: those that may stay keep their place, others fill the gaps.

    closed: which may not be shown
    """
    new = (picture for picture in pictures if picture not in {*closed, *before})
    kept = [None if picture in closed else picture for picture in before]
    filled = [next(new, None) if picture is None else picture for picture in kept]
    filled += [next(new, None) for _ in range(SHOWN - len(before))]
    return [picture for picture in filled if picture is not None]
