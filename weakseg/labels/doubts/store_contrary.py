"""What is doubtful of a store: names, classes that nobody shows, labels that deny one another."""

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from weakseg.common import evenly
from weakseg.labels.agreement import gainsaid, refuse_contradictions
from weakseg.labels.carried import Carried, label_record
from weakseg.labels.doubts.contrary import Contrary
from weakseg.labels.doubts.lacking import Lacking, lacking_lines, lists_that_lack
from weakseg.labels.doubts.source_sizes import source_size_lines
from weakseg.labels.doubts.store_check import name_lines
from weakseg.labels.doubts.two_sources import two_sources_lines
from weakseg.labels.doubts.unshown import Times, unshown_in_sources, unshown_lines
from weakseg.labels.formats.painting import mask_of
from weakseg.labels.formats.records import AREAS, Classes
from weakseg.labels.store import Given
from weakseg.labels.store_masks import COMPARED


class Doubts:
    """What labels say against one another, over all pictures of a store.

    everything: {id: what it carries}; known: the classes that the store knows
    carried, classes: of the pictures with shapes, and with the classes of these
    """

    def __init__(self, carried: Mapping[str, Carried], classes: Classes) -> None:
        self.everything, self.known = carried, classes
        self.carried = {key: one for key, one in carried.items() if one.shapes and one.size}
        labels = [(one.kind == "tag", one.label or "") for _, one in shapes_in(carried)]
        self.tags = [*dict.fromkeys(name for is_tag, name in labels if is_tag)]
        placed = [name for is_tag, name in labels if name and not is_tag]
        known = classes.names or ["background"][: classes.has_background]
        self.classes = Classes(tuple(dict.fromkeys([*known, *placed])), classes.has_background)

    @cached_property
    def records(self) -> dict[str, dict[str, Any]]:
        """The labels of each picture as a label file holds them; without those of no sense."""
        records = {}
        names = self.classes.names, self.tags, self.classes.has_background
        for key, one in self.carried.items():
            with contextlib.suppress(ValueError):  # which is told where somebody learns from it
                records[key] = label_record(one, *names)
        return records

    @cached_property
    def lacking(self) -> Lacking:
        """{boxes or outlines: {id: what shows an object that their complete list lacks}}."""
        return lists_that_lack(self.carried, self.records, self.classes)

    def all_lines(
        self,
        given: Mapping[str, Mapping[str, Given]],
        times: Times,
        listed: Mapping[str, Sequence[str]],
        meant: Collection[str],
    ) -> Iterator[str]:
        """Yield a line for each kind of doubt, with the first picture and the way out.

        given: of `Store.given`; listed: {list, for people: its classes}; meant: classes that
        somebody listed
        """
        yield from name_lines(self.everything, meant)
        yield from self.lines()
        yield from two_sources_lines(given)
        yield from source_size_lines(given)
        yield from unshown_in_sources(given, self.everything, self.known, times)
        yield from unshown_lines(self.everything, self.known, listed)

    def lines(self) -> Iterator[str]:
        """Yield a line for each kind of labels that deny one another."""
        yield from self.refused_lines()
        yield from lacking_lines(self.lacking)
        found = Contrary(self.classes.names, self.classes.has_background)
        for key, record in self.records.items():
            found.add(key, record, areas_of(self.carried[key]))
        yield from found.lines()
        yield from self.area_lines()

    def refused_lines(self) -> Iterator[str]:
        """Yield a line on pictures whose labels make no sense together, if any."""
        refused = []
        for key, record in self.records.items():
            try:
                refuse_contradictions(record, self.classes.names, self.classes.has_background)
            except ValueError as error:
                refused.append((key, error))
        if refused:
            key, fault = refused[0]
            yield f"training will refuse {len(refused)} pictures, the first {key}: {fault}"

    def area_lines(self) -> Iterator[str]:
        """Yield a line on labels that lie where a polygon or mask shows another class."""
        denied = []
        several = [key for key in self.records if len({*self.carried[key].signals} - {"tags"}) > 1]
        for key in evenly([key for key in several if areas_of(self.carried[key])], COMPARED):
            one, size = self.carried[key], self.carried[key].size or (1, 1)
            mask = mask_of(one.shapes, size, self.classes, "full" in one.complete)
            denied += [(key, name) for name in gainsaid(self.records[key], mask)]
        if denied:
            key, name = denied[0]
            yield (
                f"{len(denied)} labels lie where a polygon or mask shows another class, the first "
                f"is {name} of {key}; mend one of the two"
            )


def shapes_in(carried: Mapping[str, Carried]) -> Iterator[tuple[str, Any]]:
    """Yield (id, shape) of all pictures."""
    for key, one in carried.items():
        yield from ((key, shape) for shape in one.shapes)


def areas_of(one: Carried) -> list[str]:
    """Return the classes of the polygons and masks of a picture."""
    return [shape.label for shape in one.shapes if shape.kind in AREAS and shape.label]
