"""Score a pool image by image: uncertainties, embeddings and predicted prices, never more than one
batch of pixels.

Nothing here sees a label. What stays of an image is a few numbers, its embeddings and the share of
each class in its prediction, so memory grows with the number of images and not with their pixels.

A network is called as `network(image [B, 3, S, S] uint8) -> dict` with "seg" [B, C, S, S] logits,
"features" [B, F, h, w] of the encoder and "decoded" [B, D, h2, w2], what the last classifier sees
before dropout. `network.classify(decoded, size) -> [B, C, *size] logits` applies the module
`network.dropout` and then that classifier.
"""

import contextlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F

from weakseg.common import UserError, stable_seed
from weakseg.metrics import largest


@dataclass
class Scores:
    """What is known of N images.

    ids          [N] str
    numbers      {name: float64 [N]}; see `NUMBERS`
    vectors      {name: float32 [N, D]}; see `VECTORS`
    class_share  float64 [N, C], the share of the pixels that are predicted as each class
    """

    ids: list
    numbers: dict = field(default_factory=dict)
    vectors: dict = field(default_factory=dict)
    class_share: np.ndarray = None

    def __post_init__(self):
        if self.class_share is None:
            self.class_share = np.zeros((len(self.ids), 0))
        for values in (self.class_share, *self.numbers.values(), *self.vectors.values()):
            if len(values) != len(self.ids):
                raise ValueError(f"{len(values)} values for {len(self.ids)} ids")

    def __len__(self):
        return len(self.ids)

    def take(self, indices):
        """Return the `Scores` of the images at `indices`, in that order."""
        indices = np.asarray(indices, dtype=int)
        return Scores(
            [self.ids[i] for i in indices],
            {name: values[indices] for name, values in self.numbers.items()},
            {name: values[indices] for name, values in self.vectors.items()},
            self.class_share[indices],
        )

    @classmethod
    def join(cls, parts):
        """Return the `Scores` of all images of a list of `Scores` with the same names; of none,
        empty ones.
        """
        if not parts:
            return cls([])
        return cls(
            [name for part in parts for name in part.ids],
            {
                name: np.concatenate([part.numbers[name] for part in parts])
                for name in parts[0].numbers
            },
            {
                name: np.concatenate([part.vectors[name] for part in parts])
                for name in parts[0].vectors
            },
            np.concatenate([part.class_share for part in parts]),
        )


def score(network, batches, wanted, **options):
    """Return the `Scores` of a pool. batches: an iterable of (ids, image [B, 3, S, S] uint8), read
    one at a time.

    options: the others of `score_batch`. An empty pool gives empty `Scores` without names.
    """
    return Scores.join(
        [score_batch(network, image, ids, wanted, **options) for ids, image in batches]
    )


@torch.no_grad()
def score_batch(network, image, ids, wanted, passes=10, seed=0, members=(), price=None):
    """Return the `Scores` of one batch; they don't depend on how the pool is cut into batches.

    image    [B, 3, S, S] uint8
    wanted   names of `NUMBERS` and `VECTORS`; nothing else is computed but `class_share`, which may be named too
    passes   dropout samples for "bald", at least 2
    seed     of those samples; each image has its own stream
    members  the networks of an ensemble, for "disagreement"; `network` counts as one whether it is listed or not
    price    for "seconds": mask [S, S] uint8 -> seconds that a human would need for it

    All networks are put in eval mode and back. `UserError`: "bald" without dropout, "disagreement"
    without an ensemble.
    """
    wanted = set(wanted) - {"class_share"}
    unknown = wanted - NUMBERS.keys() - VECTORS.keys()
    if unknown:
        raise ValueError(f"no such scores: {sorted(unknown)}")
    networks = [network, *(member for member in members if member is not network)]
    with contextlib.ExitStack() as stack:
        for each in networks:
            stack.enter_context(_modes(each))
        batch = _Batch(networks, image, list(ids), passes, seed, price)
        numbers = {
            name: _array(NUMBERS[name](batch), np.float64) for name in NUMBERS if name in wanted
        }
        vectors = {
            name: _array(VECTORS[name](batch), np.float32) for name in VECTORS if name in wanted
        }
        return Scores(batch.ids, numbers, vectors, _array(batch.class_share, np.float64))


def _array(values, dtype):
    # A copy: a view would keep a tensor of pixels alive.
    return np.array(values.cpu().numpy() if torch.is_tensor(values) else values, dtype=dtype)


@contextlib.contextmanager
def _modes(network, dropout=False):
    """Put `network` in eval mode, its dropout alone in train mode where wished, and all as before
    at the end.
    """
    before = [(module, module.training) for module in network.modules()]
    network.eval()
    if dropout:
        network.dropout.train()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


class _Batch:
    """One batch and what several scores share, each part computed when first asked for."""

    def __init__(self, networks, image, ids, passes, seed, price):
        self.network, self.networks, self.ids = networks[0], networks, ids
        self.image = image.to(next(self.network.parameters()).device)
        self.passes, self.seed, self.price = passes, seed, price

    @cached_property
    def outputs(self):
        return self.network(self.image)

    @cached_property
    def probabilities(self):
        """The softmax [B, C, S, S], float32 also under mixed precision."""
        return _softmax(self.outputs["seg"])

    @cached_property
    def entropy(self):
        """The predictive entropy [B, S, S] in nats."""
        return torch.special.entr(self.probabilities).sum(1)

    @cached_property
    def top_two(self):
        """The two largest probabilities, [B, 2, S, S]."""
        return self.probabilities.topk(2, dim=1).values

    @cached_property
    def mask(self):
        """The predicted classes [B, S, S]."""
        return largest(self.outputs["seg"], 1)

    def over_classes(self, values):
        """Return [B, C]: the sums of values [B, S, S] over the pixels predicted as each class."""
        classes = self.outputs["seg"].shape[1]
        return torch.stack([_total(values * (self.mask == c)) for c in range(classes)], dim=1)

    @cached_property
    def class_share(self):
        return self.over_classes(torch.ones_like(self.mask)) / self.mask[0].numel()


def _softmax(logits):
    return logits.float().softmax(1)


def _total(values):
    return values.flatten(1).sum(1, dtype=torch.float64)


def _mean(values):
    return values.flatten(1).mean(1, dtype=torch.float64)


def _mutual_information(draws):
    """Return the mean over pixels of H(mean p) - mean H(p) in nats, [B]; draws: softmaxes [B, C, S,
    S], one at a time.

    With equal weights this is the Jensen-Shannon divergence of the draws. It can't be negative but
    for rounding.
    """
    mean, entropy, count = 0, 0, 0
    for probabilities in draws:
        probabilities = probabilities.double()
        mean, entropy, count = (
            mean + probabilities,
            entropy + torch.special.entr(probabilities).sum(1),
            count + 1,
        )
    return _mean(torch.special.entr(mean / count).sum(1) - entropy / count).clamp(min=0)


def _bald(batch):
    """BALD (Houlsby et al. 2011) by Monte Carlo dropout (Gal & Ghahramani, ICML 2016); batch norm
    stays in eval mode.

    Image by image, so that each has a random stream of its own and the batch it comes in doesn't
    matter.
    """
    if getattr(batch.network.dropout, "p", 0) <= 0:
        raise UserError(
            "model.dropout 0: the strategy bald needs dropout; set it above 0, or choose another strategy"
        )
    if batch.passes < 2:
        raise ValueError(f"{batch.passes} dropout samples can't disagree; take at least 2")
    size, decoded = batch.image.shape[-2:], batch.outputs["decoded"]
    devices = [decoded.device] if decoded.is_cuda else []
    values = []
    with _modes(batch.network, dropout=True), torch.random.fork_rng(devices):
        for name, one in zip(batch.ids, decoded.split(1), strict=True):
            torch.manual_seed(stable_seed(batch.seed, "dropout", name))
            draws = (_softmax(batch.network.classify(one, size)) for _ in range(batch.passes))
            values.append(_mutual_information(draws))
    return torch.cat(values)


def _disagreement(batch):
    """Jensen-Shannon divergence of an ensemble (McCallum & Nigam, ICML 1998; Lakshminarayanan et
    al., NeurIPS 2017).
    """
    if len(batch.networks) < 2:
        raise UserError(
            "active_learning.ensemble_size 1: the strategy disagreement compares networks; set 2 or more"
        )
    others = (_softmax(member(batch.image)["seg"]) for member in batch.networks[1:])
    return _mutual_information(p for draws in ([batch.probabilities], others) for p in draws)


def _class_entropy(batch):
    """[B, C]: the mean predictive entropy over the pixels predicted as each class, 0 where there
    are none.
    """
    pixels = batch.over_classes(torch.ones_like(batch.mask))
    return batch.over_classes(batch.entropy) / pixels.clamp(min=1)


def _features(batch):
    """[B, F]: the global average of the encoder's features, of length 1."""
    return F.normalize(batch.outputs["features"].float().mean((2, 3)), dim=1)


def _gradient(batch):
    """[B, C * D]: BADGE's gradient embedding (Ash et al., ICLR 2020), carried over to segmentation.

    The gradient of the mean cross-entropy in the last classifier's weights if the prediction were
    the truth: the mean over pixels of (softmax - one-hot argmax) times the feature. On the grid of
    "decoded", where it is exact for a 1x1 classifier; of a wider one it is the part of the centre.
    """
    decoded = batch.outputs["decoded"]
    error = _softmax(batch.network.classify(decoded, decoded.shape[-2:]))
    error.scatter_add_(1, error.argmax(1, keepdim=True), -torch.ones_like(error[:, :1]))
    return torch.einsum("bchw,bdhw->bcd", error, decoded.float()).flatten(1) / decoded[0, 0].numel()


def _seconds(batch):
    """The price of the predicted masks: the truth is not known when an image is chosen."""
    return [float(batch.price(mask)) for mask in batch.mask.byte().cpu().numpy()]


# name -> (_Batch -> [B]); the larger, the less certain (but for "seconds"). Means over the pixels;
# entropies in nats, not divided by log C: the same order, and values that can be checked against
# SciPy.
NUMBERS = {
    "entropy": lambda batch: _mean(batch.entropy),
    "margin": lambda batch: _mean(1 - (batch.top_two[:, 0] - batch.top_two[:, 1])),
    "least_confidence": lambda batch: _mean(1 - batch.top_two[:, 0]),
    "bald": _bald,
    "disagreement": _disagreement,
    "seconds": _seconds,
}
# name -> (_Batch -> [B, D])
VECTORS = {"class_entropy": _class_entropy, "features": _features, "gradient": _gradient}
