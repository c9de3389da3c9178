"""The pixels that a person may be asked about: a pool of candidates, and the random questions.

Places are (x, y) in original pixels, the centres of pixels.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from weakseg.common import atomic_path, stable_seed
from weakseg.labels.pixels import random_places
from weakseg.learners.features import FeatureMaps
from weakseg.learners.probe import Standard

PER_PICTURE = 60  # candidates of each picture
POOL_VERSION = 1  # raise it when the same photographs give other candidates than before
STANDARD_ROWS = 50_000  # candidates, at most, whose features standardise all others
BLOCK = 1024  # random questions that one stream of random numbers draws
FEW_PICTURES = 50  # below it no progress bar is shown


@dataclass(frozen=True)
class Pool:
    """The candidate pixels of I pictures, K of each, drawn uniformly from it.

    names     [I]
    sizes     [I, 2] int64: width and height of each picture, original pixels
    places    [I, K, 2] float32
    features  [I, K, D] float16, of these places; it may be a file that is mapped into memory
    """

    names: Sequence[str]
    sizes: np.ndarray
    places: np.ndarray
    features: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    @property
    def areas(self) -> np.ndarray:
        """Pixels of each picture [I] float64: what its candidates stand for."""
        areas: np.ndarray = self.sizes.prod(1).astype(float)
        return areas

    def standard(self) -> Standard:
        """Return what standardises features: that of an even part of the candidates."""
        rows = self.features.reshape(-1, self.features.shape[-1])
        return Standard.of(rows[:: -(-len(rows) // STANDARD_ROWS)])


def make_pool(
    names: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    features_of: Callable[[str], FeatureMaps],
    folder: Path,
    key: str,
    seed: int = 0,
    per_picture: int = PER_PICTURE,
) -> Pool:
    """Return the pool of pictures; their features are in a file that is mapped into memory.

    names, sizes: of the pictures, the latter (width, height) in original pixels
    features_of: id -> features of the picture
    folder: where the file lies, or is made; safe to delete
    key: says which pictures these are, and how features are made of them: two pools with the same
        key, seed and number of candidates are the same
    """
    words = POOL_VERSION, key, seed, per_picture, list(names)
    path = folder / f"{hashlib.sha256(repr(words).encode()).hexdigest()[:24]}.npy"
    places = np.stack(
        [
            random_places(size, per_picture, np.random.default_rng(stable_seed(seed, "pool", name)))
            for name, size in zip(names, sizes, strict=True)
        ]
    ).astype(np.float32)
    features = read_features(path, places.shape[:2])
    if features is None:
        with atomic_path(path) as temporary:
            write_features(temporary, names, places, features_of)
        features = np.load(path, mmap_mode="r")
    return Pool(list(names), np.array(sizes, np.int64).reshape(-1, 2), places, features)


def read_features(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return features [I, K, D] in a file; None where it is not there, or damaged.

    shape: (I, K)
    """
    try:
        features: np.ndarray = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return features if features.ndim == 3 and features.shape[:2] == shape else None


def write_features(
    path: Path,
    names: Sequence[str],
    places: np.ndarray,
    features_of: Callable[[str], FeatureMaps],
) -> None:
    """Write the features [I, K, D] float16 of places [I, K, 2] into an .npy file, one by one."""
    features: Any = None  # a memory map, once its shape is known
    few = len(names) < FEW_PICTURES
    for number, name in enumerate(tqdm(names, "candidates", unit="img", disable=few)):
        own = features_of(name).at(places[number])
        if features is None:
            shape = (len(names), *own.shape)
            features = np.lib.format.open_memmap(path, "w+", np.float16, shape)
        features[number] = own
    if features is not None:
        features.flush()


class RandomQuestions:
    """The random questions: one sequence that the seed fixes before the first answer.

    Each is a picture with a probability proportional to its area, and a pixel drawn uniformly in
    it, with replacement, whatever a model thinks: so their answers are a fair sample of all pixels.
    A picture may join later; from then on the sequence goes over it as well.

    sizes   [I, 2]: (width, height) of each picture, original pixels
    joined  [I]: how many questions had been drawn when a picture joined; None: all were there
    """

    def __init__(self, seed: int, sizes: np.ndarray, joined: np.ndarray | None = None) -> None:
        self.seed, self.sizes = seed, np.asarray(sizes, np.int64).reshape(-1, 2)
        self.joined = np.zeros(len(self.sizes), int) if joined is None else np.asarray(joined)
        self.areas = self.sizes.prod(1).astype(float)
        if not len(self.sizes) or self.joined.min() > 0:
            raise ValueError("there must be a picture before the first question")

    def drawn(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the pictures [N] and places [N, 2] of the questions first to first + count - 1."""
        numbers = np.arange(first, first + count)
        shares = np.empty((count, 3))
        for block in np.unique(numbers // BLOCK):
            rng = np.random.default_rng(stable_seed(self.seed, "random questions", block))
            inside = numbers // BLOCK == block
            shares[inside] = rng.random((BLOCK, 3))[numbers[inside] % BLOCK]
        pictures = np.empty(count, np.int64)
        for start in np.unique(self.joined):
            later = numbers >= start
            there = np.flatnonzero(self.joined <= start)
            ends = np.cumsum(self.areas[there])
            pictures[later] = there[
                np.searchsorted(ends, shares[later, 0] * ends[-1], side="right").clip(
                    max=len(there) - 1
                )
            ]
        pixels = np.floor(shares[:, 1:] * self.sizes[pictures])
        return pictures, np.minimum(pixels, self.sizes[pictures] - 1) + 0.5

    def weights(self, pictures: np.ndarray, count: int) -> np.ndarray:
        """Return how much the answers to the first `count` questions weigh [N], 1 on average.

        pictures [N]: of these questions. A picture that joined later was asked about less: its
        answers weigh as much more (Horvitz & Thompson, 1952).
        """
        starts = np.unique([*self.joined[self.joined < count], count])
        exposure = np.zeros(len(self.sizes))
        for start, end in pairwise(starts):
            there = self.joined <= start
            exposure[there] += (end - start) / self.areas[there].sum()
        weights = 1 / exposure[pictures]
        scaled: np.ndarray = weights / weights.mean() if len(weights) else weights
        return scaled


def pool_key(parts: Iterable[object]) -> str:
    """Return a short digest of what makes the features of a pool what they are."""
    return hashlib.sha256(repr(list(parts)).encode()).hexdigest()[:24]
