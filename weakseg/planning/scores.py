"""What is measured of a pool's images, one number or vector an image, to choose by."""

from collections.abc import Iterable, Sequence

import numpy as np


class Scores:
    """The measured values of N images, under their names.

    ids          [N]
    numbers      {name: float64 [N]}, see `weakseg.planning.uncertainty.NUMBERS`
    vectors      {name: float32 [N, D]}, see `weakseg.planning.uncertainty.VECTORS`
    class_share  float64 [N, C], the share of the pixels that are predicted as each class; C is 0
                 where nothing was predicted
    """

    def __init__(
        self,
        ids: Sequence[str],
        numbers: dict[str, np.ndarray] | None = None,
        vectors: dict[str, np.ndarray] | None = None,
        class_share: np.ndarray | None = None,
    ) -> None:
        self.ids = list(ids)
        self.numbers, self.vectors = numbers or {}, vectors or {}
        self.class_share = np.zeros((len(self.ids), 0)) if class_share is None else class_share
        for values in (self.class_share, *self.numbers.values(), *self.vectors.values()):
            if len(values) != len(self.ids):
                raise ValueError(f"{len(values)} values for {len(self.ids)} ids")

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: Iterable[int] | np.ndarray) -> "Scores":
        """Return the `Scores` of the images at `indices`, in that order."""
        places = np.array(list(indices), dtype=int)
        return Scores(
            [self.ids[i] for i in places],
            {name: values[places] for name, values in self.numbers.items()},
            {name: values[places] for name, values in self.vectors.items()},
            self.class_share[places],
        )

    @classmethod
    def join(cls, parts: Sequence["Scores"]) -> "Scores":
        """Return the `Scores` of all images of `parts`, which have the same names.

        Of no parts they are empty, without any name.
        """
        if not parts:
            return cls([])
        first = parts[0]
        return cls(
            [name for part in parts for name in part.ids],
            {
                name: np.concatenate([part.numbers[name] for part in parts])
                for name in first.numbers
            },
            {
                name: np.concatenate([part.vectors[name] for part in parts])
                for name in first.vectors
            },
            np.concatenate([part.class_share for part in parts]),
        )
