"""The probe: a classifier of single pixels on frozen features, fitted in seconds.

Linear probes of frozen features are Alain & Bengio, "Understanding intermediate layers using
linear classifier probes" (2016). With a linear head the logits are the sum of the resized
projections of all stages. A small network's first layer is linear too, so it costs little more:
its hidden units are computed at the finest stage's cells, and its logits are resized.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from weakseg.learners.features import FeatureMaps, interpolation
from weakseg.learners.logistic import LinearHead
from weakseg.learners.small_network import SmallNetwork

BAND = 2**22  # hidden values, about, that exist at a time
Head = LinearHead | SmallNetwork


@dataclass(frozen=True)
class Standard:
    """What puts features [N, D] to mean 0 and deviation 1: mean [D] and deviation [D], float32."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> "Standard":
        """Return that of features [N, D] of any pixels, labelled or not."""
        values = features.astype(np.float32)
        deviation = values.std(0)
        return cls(values.mean(0), np.where(deviation > 0, deviation, 1).astype(np.float32))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return standardised features [N, D] float32."""
        standardised: np.ndarray = (features.astype(np.float32) - self.mean) / self.deviation
        return standardised


@dataclass(frozen=True)
class Probe:
    """A head on standardised features: features of a photograph -> class logits.

    edges   within which radius its predictions follow the edges of a photograph, in longer sides
    shares  float32, of the classes in what it predicts of the photographs it learned from, [C], or
            [C - 1] without the background; predictions of a photograph then follow its own shares,
            see `weakseg.inference.shares`. None: they do not
    """

    standard: Standard
    head: Head
    edges: float = 0.0
    shares: np.ndarray | None = None

    @property
    def num_classes(self) -> int:
        """Number of classes, C."""
        return len(self.head.bias)

    def logits(self, maps: FeatureMaps, size: tuple[int, int] | None = None) -> torch.Tensor:
        """Return class logits [C, H, W] float32 of a photograph.

        size: (width, height) of the result, which covers the whole photograph; None: its own
        """
        width, height = size or maps.size
        rows = (np.arange(height) + 0.5) * (maps.size[1] / height)
        columns = (np.arange(width) + 0.5) * (maps.size[0] / width)
        if isinstance(self.head, LinearHead):
            weights, bias = self.folded(self.head.weights, self.head.bias)
            return maps.project(weights, rows, columns) + bias[:, None, None]
        return self.small_logits(self.head, maps, rows, columns)

    def small_logits(
        self, head: SmallNetwork, maps: FeatureMaps, rows: np.ndarray, columns: np.ndarray
    ) -> torch.Tensor:
        """Return the logits [C, R, C'] of a small network at a grid of places.

        rows [R], columns [C']: y and x in original pixels
        """
        down, across = finest_cells(maps)
        coarse = head.weights.new_empty(self.num_classes, len(down), len(across))
        lines = max(1, BAND // (len(head.hidden_bias) * len(across)))
        for first in range(0, len(down), lines):
            hidden = self.hidden(head, maps, down[first : first + lines], across)
            logits = torch.einsum("hrc,hk->krc", hidden, head.weights)
            coarse[:, first : first + lines] = logits + head.bias[:, None, None]
        vertical = interpolation(rows / (2 * down[0]) - 0.5, len(down))
        horizontal = interpolation(columns / (2 * across[0]) - 0.5, len(across))
        return vertical @ coarse @ horizontal.T

    def hidden(
        self, head: SmallNetwork, maps: FeatureMaps, rows: np.ndarray, columns: np.ndarray
    ) -> torch.Tensor:
        """Return the hidden units [H, R, C'] of a small network at a grid of places.

        rows [R], columns [C']: y and x in original pixels
        """
        weights, bias = self.folded(head.hidden_weights, head.hidden_bias)
        return (maps.project(weights, rows, columns) + bias[:, None, None]).relu_()

    def folded(
        self, weights: torch.Tensor, bias: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weights [D, K] and bias [K] for features that are not standardised."""
        mean, deviation = map(torch.from_numpy, (self.standard.mean, self.standard.deviation))
        scaled = weights / deviation[:, None]
        return scaled, bias - mean @ scaled

    def linear_head(self, standard: Standard) -> LinearHead | None:
        """Return the head with this probe's logits on features that `standard` standardises.

        None for a small network.
        """
        if not isinstance(self.head, LinearHead):
            return None
        mean, deviation, new_mean, new_deviation = (
            torch.from_numpy(values).double()
            for each in (self.standard, standard)
            for values in (each.mean, each.deviation)
        )
        weights = self.head.weights.double() / deviation[:, None]
        bias = self.head.bias + (new_mean - mean) @ weights
        return LinearHead((weights * new_deviation[:, None]).float(), bias.float())

    def at(self, features: np.ndarray) -> np.ndarray:
        """Return class probabilities [N, C] float32 of features [N, D] of single pixels."""
        x = torch.from_numpy(self.standard(features))
        probabilities: np.ndarray = self.head.logits(x).softmax(1).numpy()
        return probabilities

    def state(self) -> dict[str, torch.Tensor]:
        """Return all that the probe is, as tensors by name."""
        names = FIELDS[type(self.head)]
        standard = {"mean": self.standard.mean, "deviation": self.standard.deviation}
        return {
            **{name: torch.from_numpy(value) for name, value in standard.items()},
            **{name: getattr(self.head, name) for name in names},
            "edges": torch.tensor(self.edges, dtype=torch.float64),
            **({} if self.shares is None else {SHARES: torch.from_numpy(self.shares)}),
        }

    @classmethod
    def of_state(cls, state: Mapping[str, torch.Tensor]) -> "Probe":
        """Return the probe of a state.

        One that lacks something raises KeyError; one that is damaged ValueError, which says where.
        """
        is_small = {"hidden_weights", "hidden_bias"} & state.keys()
        kind: type[Head] = SmallNetwork if is_small else LinearHead
        dimensions = STANDARD | FIELDS[kind] | {"edges": ""}
        dimensions |= {SHARES: "S"} if SHARES in state else {}
        refuse_damage({name: state[name] for name in dimensions}, dimensions)
        mean, deviation = (state[name].float().numpy() for name in STANDARD)
        tensors: dict[str, Any] = {name: state[name].float() for name in FIELDS[kind]}
        if state["edges"] < 0:
            raise ValueError("the tensor edges is negative")
        shares = state[SHARES].float().numpy() if SHARES in state else None
        if shares is not None and not (shares > 0).all():
            raise ValueError(f"the tensor {SHARES} holds a number that is not above 0")
        if shares is not None and len(state["bias"]) - len(shares) not in (0, 1):
            raise ValueError(f"the tensor {SHARES} holds {len(shares)} shares, which fits no head")
        return cls(Standard(mean, deviation), kind(**tensors), float(state["edges"]), shares)


def refuse_damage(state: Mapping[str, Any], dimensions: Mapping[str, str]) -> None:
    """Raise ValueError, which names a tensor, unless all are finite and fit each other.

    dimensions: {name: a letter for each}; a letter stands for one length everywhere
    """
    lengths: dict[str, int] = {}
    for name, letters in dimensions.items():
        tensor = state[name]
        if not torch.is_tensor(tensor) or not tensor.isfinite().all():
            raise ValueError(f"the tensor {name} holds something that is no finite number")
        if name == "deviation" and not (tensor > 0).all():
            raise ValueError("the tensor deviation holds a number that is not above 0")
        shape = tuple(tensor.shape)
        expected = tuple(map(lengths.setdefault, letters, shape))
        if len(shape) != len(letters) or shape != expected:
            raise ValueError(f"the tensor {name} has the shape {shape}, which fits no other tensor")


def finest_cells(maps: FeatureMaps) -> tuple[np.ndarray, np.ndarray]:
    """Return y [h] and x [w], in original pixels, of the centres of the finest stage's cells."""
    stride = min(maps.strides)
    y, x = (
        (np.arange(-(-frame // stride)) + 0.5) * (stride * length / frame)
        for frame, length in zip(maps.frame[::-1], maps.size[::-1], strict=True)
    )
    return y, x


SHARES = "shares"  # name of the tensor of `Probe.shares`, which not every probe has
# Name of a tensor -> its dimensions: D features, H hidden units, C classes.
STANDARD = {"mean": "D", "deviation": "D"}
FIELDS: dict[type[Head], dict[str, str]] = {
    LinearHead: {"weights": "DC", "bias": "C"},
    SmallNetwork: {"hidden_weights": "DH", "hidden_bias": "H", "weights": "HC", "bias": "C"},
}
