"""How far labels agree with a model of others', as a table and in words.

A class or a source of labels that agrees little is named where its photographs are enough to tell.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from weakseg.reporting.tables import write_csv

NAME = "cross_validation.csv"  # in the folder of a run
HEAD = ("image", "class", "pixels", "agreed", "instead")
FEW = 0.25  # share of a photograph's labels below which what agrees is told as little
NAMED = 3  # photographs, or classes, in the line
MOST_CLASSES = 4  # which are all named
ENOUGH = 4  # photographs that show a class, or are of a source, from which on it is judged
A_GUESS = 1.1  # times the share of a guess, up to which a class is no better than one
# By how much the labels of a source agree less than others before it is told: the difference of
# their shares, and how many standard errors it has.
LESS, ERRORS = 0.1, 3.5
SPREAD = 0.05  # of photographs, the least that these are taken of
# Two classes have each other's names where each is mostly found to be the other, in as many of the
# photographs that show both, and in such a share of them: of right labels in 2 of 22 at most.
MOSTLY, EXCHANGED, EXCHANGED_SHARE = 0.5, 3, 0.15


class Agreed(NamedTuple):
    """How far others agree with the labels of one class in one photograph.

    pixels   how many were looked at
    agreed   share of them, by their weights, that a model of other photographs gives this class
    instead  the class that it gives most of the others, "" where there are none
    taken    share of them that it gives this one
    """

    image: str
    label: str
    pixels: int
    agreed: float
    instead: str
    taken: float = 0.0


@dataclass(frozen=True)
class Agreement:
    """How far the labels of photographs agree: one row for each class of each of them.

    sources  {image: who labelled it}, as `TrainingLabels` has it
    notes    further lines for people
    """

    rows: tuple[Agreed, ...]
    sources: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def of_images(self) -> dict[str, float]:
        """Return {image: share of its labels that agrees, each of its classes alike}."""
        return means([(row.image, row.agreed) for row in self.rows])

    def of_classes(self) -> dict[str, float]:
        """Return {class: share of its labels that agrees, each photograph alike}."""
        return means([(row.label, row.agreed) for row in self.rows])

    def no_better_than_a_guess(self) -> dict[str, float]:
        """Return {class: share} of the classes that agree as a guess would, or less.

        So many photographs show each that more of them would hardly say otherwise: twice the
        standard error above its share is less than half-way from a guess to all.
        """
        classes, found = self.of_classes(), {}
        guess = 1 / max(len(classes), 2)
        for label, share in classes.items():
            own = [row.agreed for row in self.rows if row.label == label]
            if len(own) >= ENOUGH and share <= A_GUESS * guess:
                error = float(np.std(own, ddof=1)) / len(own) ** 0.5
                if share + 2 * error < (1 + guess) / 2:
                    found[label] = share
        return found

    def lines(self, path: Path) -> list[str]:
        """Return all that is to be told of it; path: of the table that `write` makes."""
        return [
            self.in_words(path),
            *self.exchanged_lines(),
            *self.source_lines(),
            *self.notes,
        ]

    def in_words(self, path: Path) -> str:
        """Return a line of it; path: of the table that `write` makes."""
        images, classes = self.of_images(), self.of_classes()
        wrong, subject = self.no_better_than_a_guess(), "a model of the other photographs"
        line = "cross-validation: "
        if wrong:
            more = f" and {len(wrong) - NAMED} more classes" if len(wrong) > NAMED + 1 else ""
            named = worst(wrong, NAMED if more else NAMED + 1)
            line += f"{subject} is no better than a guess with {named}{more}: "
            line += "too few or too hard, or labelled wrong; "
            subject = "it"
        everything = float(np.mean([*classes.values()]))
        line += f"{subject} agrees with {percent(everything)} of the labels, a guess would with "
        line += percent(1 / len(classes))
        if len(classes) <= MOST_CLASSES:
            line += f"; of classes with {worst(classes, MOST_CLASSES)}"
        elif not wrong:
            line += f"; of classes least with {worst(classes)}"
        line += f"; of photographs least with {worst(images)}"
        little = sum(share < FEW for share in images.values())
        if little:
            line += f", with less than {percent(FEW)} in {little} of {len(images)}"
        return f"{line}: {path}"

    def exchanged_lines(self) -> list[str]:
        """Return a line for each two classes that have each other's names in some photographs."""
        taken: dict[str, dict[str, str]] = defaultdict(dict)  # {image: {class: which it seems}}
        shown: dict[str, set[str]] = defaultdict(set)
        for row in self.rows:
            shown[row.image].add(row.label)
            if row.taken > MOSTLY:
                taken[row.image][row.label] = row.instead
        images: dict[tuple[str, str], list[str]] = defaultdict(list)
        for image, own in sorted(taken.items()):
            for label, other in own.items():
                if label < other and own.get(other) == label:
                    images[label, other].append(image)
        lines = []
        for (label, other), found in sorted(images.items()):
            both = sum({label, other} <= own for own in shown.values())
            if len(found) >= max(EXCHANGED, EXCHANGED_SHARE * both):
                lines.append(
                    f"cross-validation: {label} and {other} seem to have each other's names in "
                    f"{len(found)} of the {both} photographs that show both: "
                    f"{', '.join(found[:NAMED])}; look at them"
                )
        return lines

    def source_lines(self) -> list[str]:
        """Return a line for each source whose labels agree clearly less than those of others."""
        images, plain = self.of_images(), beyond_classes(self.rows, self.rows)
        lines = []
        for source in sorted({one for own in self.sources.values() for one in own}):
            own = {name for name in images if source in self.sources.get(name, ())}
            others = {*images} - own
            if min(len(own), len(others)) >= ENOUGH and all(
                is_clearly_less(part(shares, own), part(shares, others), LESS, ERRORS)
                for shares in (images, plain)
            ):
                share, rest = (float(part(images, one).mean()) for one in (own, others))
                lines.append(
                    f"cross-validation: it agrees with {percent(share)} of the labels of {source}, "
                    f"but with {percent(rest)} of all others; look at those of {source} first"
                )
        return lines

    def write(self, path: Path) -> None:
        """Write the table atomically, the least first; of several sources one column tells."""
        several = len({one for own in self.sources.values() for one in own}) > 1
        rows = (
            (*row[:3], f"{row.agreed:.3f}", row.instead)
            + (("; ".join(self.sources.get(row.image, ())),) if several else ())
            for row in self.rows
        )
        write_csv(path, HEAD + ("source",) * several, rows)


def beyond_classes(rows: Collection[Agreed], usual: Collection[Agreed]) -> dict[str, float]:
    """Return {image: how much more of its labels agrees than usual for the classes that it shows}.

    usual: rows that say what is usual; classes that they lack don't count
    """
    classes = means([(row.label, row.agreed) for row in usual])
    return means(
        [(row.image, row.agreed - classes[row.label]) for row in rows if row.label in classes]
    )


def is_clearly_less(own: np.ndarray, others: np.ndarray, less: float, errors: float) -> bool:
    """Return whether shares [N] are less than others [M] by more than photographs differ.

    less, errors: the least difference of their means, and how many standard errors it must have
    """
    freedom = max(len(own) + len(others) - 2, 1)
    squares = sum(float(((one - one.mean()) ** 2).sum()) for one in (own, others))
    spread = max((squares / freedom) ** 0.5, SPREAD)
    error = spread * (1 / len(own) + 1 / len(others)) ** 0.5
    return float(others.mean() - own.mean()) >= max(less, errors * error)


def part(shares: Mapping[str, float], names: Collection[str]) -> np.ndarray:
    """Return the shares [N] of some of {name: share}, in its order."""
    return np.array([share for name, share in shares.items() if name in names])


def means(values: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Return {name: mean of its values}, the least first."""
    lists: dict[str, list[float]] = defaultdict(list)
    for name, value in values:
        lists[name].append(value)
    found = {name: float(np.mean(own)) for name, own in lists.items()}
    return dict(sorted(found.items(), key=lambda item: (item[1], item[0])))


def worst(shares: Mapping[str, float], most: int = NAMED) -> str:
    """Return the first of {name: share} in words."""
    return ", ".join(f"{name} ({percent(share)})" for name, share in [*shares.items()][:most])


def percent(share: float) -> str:
    """Return a share in whole percent."""
    return f"{100 * share:.0f} %"
