"""Masks that were given to one another's photographs, in any order, told where few are looked at.

Of right masks, giving them to one another gains nothing. Of exchanged ones, another order fits far
better than theirs, and than chance lets the best of all orders fit.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

FEWEST = 5  # masks of one size of which an order can be told
CERTAIN, EACH = 8.0, 0.25  # deviations by which it fits better, and more of them for each mask


@dataclass
class ExchangeTally:
    """Where photographs change and where their masks do, by their size.

    names: of the files; edges, borders: [pixels] float32 of copies of one size
    """

    names: dict[tuple[int, int], list[str]] = field(default_factory=lambda: defaultdict(list))
    edges: dict[tuple[int, int], list[np.ndarray]] = field(
        default_factory=lambda: defaultdict(list)
    )
    borders: dict[tuple[int, int], list[np.ndarray]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def add(
        self, path: Path, size: tuple[int, int], edges: np.ndarray, borders: np.ndarray
    ) -> None:
        """Take in the edges [S, S] of a photograph, and where its mask changes [S, S] bool."""
        if borders.any():
            self.names[size].append(path.name)
            self.edges[size].append(edges.ravel().astype(np.float32))
            self.borders[size].append(borders.ravel().astype(np.float32))

    def line(self, what: str) -> str:
        """Return that masks fit other photographs, in words; "" where not. what: they are."""
        for size, names in self.names.items():
            edges, borders = np.array(self.edges[size]), np.array(self.borders[size])
            order = better_order(edges @ borders.T / borders.sum(1))
            moved = [place for place, other in enumerate(order) if place != other]
            if moved:
                return (
                    f"{len(moved)} {what} fit the edges in their photographs worse than one "
                    f"another's do, as {names[order[moved[0]]]} in the place of {names[moved[0]]}; "
                    "unless that is as it should be, mend their names"
                )
        return ""


def better_order(fits: np.ndarray) -> list[int]:
    """Return which mask fits each photograph in the best order; [] where that may be chance.

    fits [photographs, masks]: how well each mask fits each photograph
    """
    from scipy.optimize import linear_sum_assignment

    number = len(fits)
    if number < FEWEST:
        return []
    # What one photograph, or one mask, has more of than others tells nothing.
    fits = fits - fits.mean(1, keepdims=True) - fits.mean(0) + fits.mean()
    own, best = np.arange(number), linear_sum_assignment(fits, maximize=True)[1]
    others = np.ones_like(fits, bool)
    others[own, own] = others[own, best] = False
    moved = best != own
    unit = float(fits[others].std()) * math.sqrt(moved.sum())
    if not unit:
        return []
    better = fits[own, best][moved]
    gain = (better - fits[own, own][moved]).sum() / unit
    above = (better - fits[others].mean()).sum() / unit
    return best.tolist() if min(gain, above) >= CERTAIN + EACH * number else []
