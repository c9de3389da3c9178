"""Classes that complete lists never show, so that they are background there."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from math import comb
from typing import Any

from weakseg.data.class_list import is_background
from weakseg.labels.agreement import FRAMES
from weakseg.labels.carried import Carried
from weakseg.labels.formats.records import Classes
from weakseg.labels.store import Given, Store
from weakseg.validation import shorten

FEWEST = 10  # pictures without a class that are told
SHOWN, SHARE = 3, 0.2  # pictures that show a class, and their share of those that know it
CHANCE = 0.01  # up to which it is no chance that pictures lack a class
RENAMED = 0.5  # share of the shapes of a class that had another one, from which on it is a new name
PAGE = "drawing"  # begins the sources of the page, where people see all classes that are known


class Times:
    """When the classes of a store became known, and when its pictures were labelled last.

    late     {class: when it came} of those that an earlier list of classes lacks, but for new names
    touched  {(source, picture): when it was labelled last}
    """

    def __init__(self, store: Store) -> None:
        store.classes()  # refuses a list that is not of the documented form
        self.late: dict[str, float] = {}
        self.touched: dict[tuple[str, str], float] = {}
        known, lists = set[str](), {n: one for n, _, one in store.events("classes")}
        first = min(lists, default=0)
        for number, moment, source, picture, label in store.moments("classes", "shape", "looked"):
            names = lists[number].geometry["names"] if number in lists else [label or ""]
            if lists and number > first:
                self.late |= {name: moment for name in names if name not in known}
            known.update(names)
            if number not in lists:
                self.touched[source, picture] = moment
        if self.late:
            self._leave_out_new_names(store)

    def _leave_out_new_names(self, store: Store) -> None:
        """Take no class for a late one whose shapes had another class before."""
        drawn: dict[tuple[str, str, int], str | None] = {}
        shapes, renamed = Counter[str](), Counter[str]()
        for _, _, one in store.events("shape"):
            place = one.source, one.picture, hash(f"{one.kind} {one.geometry}")
            before = drawn.setdefault(place, one.label)
            shapes[one.label or ""] += 1
            renamed[one.label or ""] += before != one.label
        new = {name for name, number in shapes.items() if renamed[name] >= RENAMED * number}
        self.late = {name: moment for name, moment in self.late.items() if name not in new}

    def is_before(self, source: str, key: str, name: str) -> bool:
        """Return whether a source labelled a picture before a class was known."""
        return self.touched.get((source, key), 0.0) < self.late.get(name, 0.0)


def unshown_in_sources(
    given: Mapping[str, Mapping[str, Given]],
    carried: Mapping[str, Carried],
    classes: Classes,
    times: Times,
) -> Iterator[str]:
    """Yield a line for each source that never shows a class which other pictures often show.

    So for each annotator, where a source has several. given: of `Store.given`; carried: {id: what
    it carries}; classes: those that the store knows
    """
    lists = makes_background(carried, classes)
    told: dict[str, list[str]] = defaultdict(list)
    given, source_of = by_annotator(given)
    named, shows = labelled(carried), shown_by(given)
    sources = {source for one in given.values() for source in one}
    behind = classes.names[:1] if classes.has_background else ()
    for name, shown in shows.items():
        knowing = {source for source in sources if source in shown or source.split()[:1] == [PAGE]}
        is_known = knowing == sources and name not in times.late
        if is_known or name in behind or is_background(name):
            continue
        looked: set[str] = set()
        lacking: dict[str, set[str]] = defaultdict(set)
        for key, given_here in given.items():
            for source, one in given_here.items():
                if source in knowing and not times.is_before(source_of[source], key, name):
                    looked |= {key} if one.placed or one.complete else set()
                elif one.complete and key in lists and key not in named[name]:
                    lacking[source].add(key)
        seen = looked & {key for keys in shown.values() for key in keys}
        for source, keys in lacking.items():
            bare = keys - looked
            if is_no_chance(len(bare), len(seen), len(looked)):
                when = ", labelled before it was known" if source in knowing else ""
                told[source].append(
                    f"{name} is in {len(seen)} of {len(looked)} pictures of "
                    f"{shorten(' and '.join(sorted(shown)), 80)}, and in none of {len(bare)} of "
                    f"{source}{when}"
                )
    for lines in told.values():
        others = f" ({len(lines) - 1} more classes likewise)" if lines[1:] else ""
        yield (
            f"{lines[0]}{others}, whose complete lists make it background; look for it there, or "
            "import those with --complete none"
        )


def by_annotator(
    given: Mapping[str, Mapping[str, Given]],
) -> tuple[dict[str, dict[str, Given]], dict[str, str]]:
    """Return (what is given, by annotator where a source has several, {these: their source})."""
    people: dict[str, set[str]] = defaultdict(set)
    for sources in given.values():
        for source, one in sources.items():
            people[source].add(one.annotator)
    source_of: dict[str, str] = {}
    parted: dict[str, dict[str, Given]] = {}
    for key, sources in given.items():
        parted[key] = {}
        for source, one in sources.items():
            whose = f" by {one.annotator or 'nobody'}" if people[source] - {one.annotator} else ""
            source_of[source + whose] = source
            parted[key][source + whose] = one
    return parted, source_of


def labelled(carried: Mapping[str, Carried]) -> dict[str, set[str]]:
    """Return {class: pictures of which a label names it}."""
    named: dict[str, set[str]] = defaultdict(set)
    for key, one in carried.items():
        for shape in one.shapes:
            named[shape.label or ""].add(key)
    return named


def shown_by(given: Mapping[str, Mapping[str, Given]]) -> dict[str, dict[str, set[str]]]:
    """Return {class: {source: pictures in which it places the class}}."""
    shows: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for key, sources in given.items():
        for source, one in sources.items():
            for shape in one.placed:
                if shape.label:
                    shows[shape.label][source].add(key)
    return shows


def is_no_chance(bare: int, seen: int, looked: int) -> bool:
    """Return whether pictures lack a class by no chance, as frequent as it is where it is known.

    bare: pictures without it; seen: pictures with it, of those, `looked`, where it is known
    """
    if bare < FEWEST or seen < SHOWN or seen < SHARE * looked:
        return False
    return comb(looked, seen) < CHANCE * comb(looked + bare, seen)  # Fisher's exact test


def makes_background(carried: Mapping[str, Carried], classes: Classes) -> set[str]:
    """Return the pictures where what no shape shows is background.

    carried: {id: what it carries}
    """
    kinds = {*FRAMES, *(["full"] if classes.has_background else [])}
    return {key for key, one in carried.items() if kinds & {*one.complete}}


def unshown_lines(
    carried: Mapping[str, Carried], classes: Classes, listed: Mapping[Any, Sequence[str]]
) -> Iterator[str]:
    """Yield a line where no label shows classes that somebody listed, while lists are complete.

    carried: {id: what it carries}; classes: those that are known; listed: {who lists them: names}
    """
    lists = makes_background(carried, classes)
    if len(lists) < FEWEST:
        return
    shown = {shape.label for one in carried.values() for shape in one.shapes}
    for where, names in listed.items():
        objects = [name for name in dict.fromkeys(names) if not is_background(name)]
        lacking = [name for name in objects if name not in shown]
        shown.update(lacking)
        if 0 < len(lacking) < len(objects):
            told = shorten(", ".join(lacking), 120)
            yield (
                f"no label shows {told}, which {where} lists, and the lists of {len(lists)} "
                "pictures are complete, so that it is background there; look for it, or import "
                "with --complete none"
            )
