"""Uncertainties, embeddings and predicted prices of a pool's images, from a network's predictions.

Nothing here sees a label. What stays of an image is a few numbers, its embeddings and the share of
each class in its prediction. So memory grows with the number of images, not with their pixels.

A network is called as `network(image [B, 3, S, S] uint8) -> dict` with "seg" [B, C, S, S] logits,
"features" [B, F, h, w] of the encoder and "decoded" [B, D, h2, w2], what the last classifier sees
before dropout. `network.classify(decoded, size) -> [B, C, *size] logits` applies the module
`network.dropout` and then that classifier.
"""

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from weakseg.common import UserError, stable_seed
from weakseg.metrics import largest
from weakseg.planning.scores import Scores

Price = Callable[[np.ndarray], float]  # predicted mask [S, S] uint8 -> seconds of a person's work


def score(
    network: nn.Module,
    batches: Iterable[tuple[Sequence[str], torch.Tensor]],
    wanted: Collection[str],
    passes: int = 10,
    seed: int = 0,
    members: Sequence[nn.Module] = (),
    price: Price | None = None,
) -> Scores:
    """Return the `Scores` of a pool, of which one batch is in memory at a time.

    batches: (ids, image [B, 3, S, S] uint8); the other parameters are those of `score_batch`. An
    empty pool gives empty `Scores` without names.
    """
    return Scores.join(
        [
            score_batch(network, image, ids, wanted, passes, seed, members, price)
            for ids, image in batches
        ]
    )


@torch.no_grad()
def score_batch(
    network: nn.Module,
    image: torch.Tensor,
    ids: Sequence[str],
    wanted: Collection[str],
    passes: int = 10,
    seed: int = 0,
    members: Sequence[nn.Module] = (),
    price: Price | None = None,
) -> Scores:
    """Return the `Scores` of one batch; they don't depend on how the pool is cut into batches.

    image    [B, 3, S, S] uint8
    wanted   names of `NUMBERS` and `VECTORS`; nothing else is computed but `class_share`, which may
             be named too
    passes   dropout samples for "bald", at least 2
    seed     of those samples; each image has its own stream
    members  the networks of an ensemble, for "disagreement"; `network` counts as one whether it is
             listed or not
    price    for "seconds": what a person would need for a predicted mask

    All networks are put in eval mode and back. `UserError`: "bald" without dropout, "disagreement"
    without an ensemble.
    """
    names = set(wanted) - {"class_share"}
    if unknown := names - NUMBERS.keys() - VECTORS.keys():
        raise ValueError(f"no such scores: {sorted(unknown)}")
    networks = [network, *(member for member in members if member is not network)]
    with contextlib.ExitStack() as stack:
        for each in networks:
            stack.enter_context(_eval_mode(each))
        batch = _Batch(networks, image, list(ids), passes, seed, price)
        numbers = {
            name: _array(measure(batch), np.float64)
            for name, measure in NUMBERS.items()
            if name in names
        }
        vectors = {
            name: _array(measure(batch), np.float32)
            for name, measure in VECTORS.items()
            if name in names
        }
        return Scores(batch.ids, numbers, vectors, _array(batch.class_share, np.float64))


def _array(values: torch.Tensor, dtype: type[np.floating]) -> np.ndarray:
    # A copy: a view would keep a tensor of pixels alive.
    return np.array(values.cpu().numpy(), dtype=dtype)


@contextlib.contextmanager
def _eval_mode(network: nn.Module, dropout: nn.Module | None = None) -> Iterator[None]:
    """Put a network in eval mode, its module `dropout` in train mode, and all back at the end."""
    before = [(module, module.training) for module in network.modules()]
    network.eval()
    if dropout is not None:
        dropout.train()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


@runtime_checkable
class _HasClassifier(Protocol):
    """A network whose last classifier, behind its dropout, can be called alone."""

    def classify(self, decoded: torch.Tensor, size: Sequence[int]) -> torch.Tensor: ...


def _classify(network: nn.Module, decoded: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Return the logits [B, C, *size] of decoded features [B, D, h, w]."""
    if not isinstance(network, _HasClassifier):
        raise TypeError(f"{type(network).__name__} has no classify(decoded, size)")
    return network.classify(decoded, size)


def _dropout(network: nn.Module) -> nn.Module:
    """Return the module `dropout` of a network; one that drops nothing is a `UserError`."""
    dropout = network.dropout
    if not isinstance(dropout, nn.Module) or getattr(dropout, "p", 0) <= 0:
        raise UserError(
            "model.dropout 0: the strategy bald needs dropout; "
            "set it above 0, or choose another strategy"
        )
    return dropout


class _Batch:
    """One batch and what several scores share, each part computed when first asked for."""

    def __init__(
        self,
        networks: Sequence[nn.Module],
        image: torch.Tensor,
        ids: list[str],
        passes: int,
        seed: int,
        price: Price | None,
    ) -> None:
        self.network, self.networks, self.ids = networks[0], networks, ids
        self.image = image.to(next(self.network.parameters()).device)
        self.passes, self.seed, self.price = passes, seed, price

    @cached_property
    def outputs(self) -> dict[str, torch.Tensor]:
        """What the network returns for the images."""
        return self.network(self.image)

    @cached_property
    def probabilities(self) -> torch.Tensor:
        """The softmax [B, C, S, S], float32 also under mixed precision."""
        return _softmax(self.outputs["seg"])

    @cached_property
    def entropy(self) -> torch.Tensor:
        """The predictive entropy [B, S, S] in nats."""
        return torch.special.entr(self.probabilities).sum(1)

    @cached_property
    def top_two(self) -> torch.Tensor:
        """The two largest probabilities, [B, 2, S, S]."""
        return self.probabilities.topk(2, dim=1).values

    @cached_property
    def mask(self) -> torch.Tensor:
        """The predicted classes [B, S, S]."""
        return largest(self.outputs["seg"], 1)

    @cached_property
    def class_share(self) -> torch.Tensor:
        """The share of the pixels that are predicted as each class, [B, C]."""
        return self.sum_by_class(torch.ones_like(self.mask)) / self.mask[0].numel()

    def sum_by_class(self, values: torch.Tensor) -> torch.Tensor:
        """Return [B, C]: the sums of values [B, S, S] over the pixels predicted as each class."""
        classes = self.outputs["seg"].shape[1]
        return torch.stack([_total(values * (self.mask == c)) for c in range(classes)], dim=1)


def _softmax(logits: torch.Tensor) -> torch.Tensor:
    return logits.float().softmax(1)


def _with_float64(values: torch.Tensor) -> torch.Tensor:
    """Return values where float64 can be computed: Apple's GPUs have none."""
    return values.cpu() if values.device.type == "mps" else values


def _total(values: torch.Tensor) -> torch.Tensor:
    return _with_float64(values).flatten(1).sum(1, dtype=torch.float64)


def _mean(values: torch.Tensor) -> torch.Tensor:
    return _with_float64(values).flatten(1).mean(1, dtype=torch.float64)


# ---- numbers, [B]


def _mutual_information(draws: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return the mean over pixels of H(mean p) - mean H(p) in nats, [B].

    draws: softmaxes [B, C, S, S], taken one at a time. With equal weights this is the Jensen-
    Shannon divergence of the draws. It can't be negative but for rounding.
    """
    draws = map(_with_float64, draws)
    total = next(draws).double()
    entropy, count = torch.special.entr(total).sum(1), 1
    for draw in draws:
        probabilities = draw.double()
        total = total + probabilities
        entropy = entropy + torch.special.entr(probabilities).sum(1)
        count += 1
    return _mean(torch.special.entr(total / count).sum(1) - entropy / count).clamp(min=0)


def _bald(batch: _Batch) -> torch.Tensor:
    """BALD (Houlsby et al. 2011) by Monte Carlo dropout (Gal & Ghahramani, ICML 2016).

    Batch norm stays in eval mode. Image by image, so that each has a random stream of its own and
    the batch it comes in doesn't matter.
    """
    dropout = _dropout(batch.network)
    if batch.passes < 2:
        raise ValueError(f"{batch.passes} dropout samples can't disagree; take at least 2")
    size, decoded = batch.image.shape[-2:], batch.outputs["decoded"]
    devices = [decoded.device] if decoded.is_cuda else []
    values = []
    with _eval_mode(batch.network, dropout), torch.random.fork_rng(devices):
        for name, one in zip(batch.ids, decoded.split(1), strict=True):
            torch.manual_seed(stable_seed(batch.seed, "dropout", name))
            samples = (_classify(batch.network, one, size) for _ in range(batch.passes))
            values.append(_mutual_information(map(_softmax, samples)))
    return torch.cat(values)


def _disagreement(batch: _Batch) -> torch.Tensor:
    """Jensen-Shannon divergence of an ensemble (McCallum & Nigam, ICML 1998).

    Ensembles of networks: Lakshminarayanan et al., NeurIPS 2017.
    """
    if len(batch.networks) < 2:
        raise UserError(
            "active_learning.ensemble_size 1: the strategy disagreement compares networks; "
            "set 2 or more"
        )

    def softmaxes() -> Iterator[torch.Tensor]:
        yield batch.probabilities
        for member in batch.networks[1:]:
            yield _softmax(member(batch.image)["seg"])

    return _mutual_information(softmaxes())


def _seconds(batch: _Batch) -> torch.Tensor:
    """The price of the predicted masks: the truth is not known when an image is chosen."""
    if batch.price is None:
        raise ValueError("seconds: needs a price")
    masks = batch.mask.byte().cpu().numpy()
    return torch.tensor([float(batch.price(mask)) for mask in masks], dtype=torch.float64)


# ---- vectors, [B, D]


def _class_entropy(batch: _Batch) -> torch.Tensor:
    """The mean predictive entropy over the pixels predicted as each class, [B, C]; 0 of none."""
    pixels = batch.sum_by_class(torch.ones_like(batch.mask))
    return batch.sum_by_class(batch.entropy) / pixels.clamp(min=1)


def _features(batch: _Batch) -> torch.Tensor:
    """The global average of the encoder's features, of length 1, [B, F]."""
    return F.normalize(batch.outputs["features"].float().mean((2, 3)), dim=1)


def _gradient(batch: _Batch) -> torch.Tensor:
    """BADGE's gradient embedding (Ash et al., ICLR 2020) for segmentation, [B, C * D].

    The gradient of the mean cross-entropy in the last classifier's weights if the prediction were
    the truth: the mean over pixels of (softmax - one-hot argmax) times the feature. On the grid of
    "decoded", where it is exact for a 1x1 classifier; of a wider one it is the part of the centre.
    """
    decoded = batch.outputs["decoded"]
    error = _softmax(_classify(batch.network, decoded, decoded.shape[-2:]))
    error.scatter_add_(1, error.argmax(1, keepdim=True), -torch.ones_like(error[:, :1]))
    return torch.einsum("bchw,bdhw->bcd", error, decoded.float()).flatten(1) / decoded[0, 0].numel()


Measure = Callable[[_Batch], torch.Tensor]

# The larger, the less certain, but for "seconds". Means over the pixels; entropies in nats, not
# divided by log C: the same order, and values that can be checked against SciPy.
NUMBERS: dict[str, Measure] = {
    "entropy": lambda batch: _mean(batch.entropy),
    "margin": lambda batch: _mean(1 - (batch.top_two[:, 0] - batch.top_two[:, 1])),
    "least_confidence": lambda batch: _mean(1 - batch.top_two[:, 0]),
    "bald": _bald,
    "disagreement": _disagreement,
    "seconds": _seconds,
}
VECTORS: dict[str, Measure] = {
    "class_entropy": _class_entropy,
    "features": _features,
    "gradient": _gradient,
}
