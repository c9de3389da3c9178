"""Laws of the pool's scores: formulas in float64, independence of batches, untouched networks,
bounded memory.
"""

import gc
import tracemalloc

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from torch import nn

from weakseg.common import UserError, stable_seed
from weakseg.planning.scores import Scores
from weakseg.planning.uncertainty import NUMBERS, VECTORS, score, score_batch

SIDE, CLASSES = 16, 4
EVERYTHING = NUMBERS.keys() | VECTORS.keys()
LAWS = settings(max_examples=15)


class Tiny(nn.Module):
    """A network of the contract with batch norm, dropout and a 1x1 classifier at a quarter of the
    size.
    """

    def __init__(self, seed=0, dropout=0.5, sharpness=4.0):
        super().__init__()
        torch.manual_seed(seed)
        self.encoder = nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.BatchNorm2d(6), nn.ReLU())
        self.decoder = nn.Conv2d(6, 5, 1)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(5, CLASSES, 1)
        with torch.no_grad():
            self.classifier.weight *= sharpness

    def forward(self, image):
        features = self.encoder(image.float() / 255 - 0.5)
        decoded = self.decoder(features)
        seg = self.classify(decoded, image.shape[-2:])
        return {"seg": seg, "features": features, "decoded": decoded}

    def classify(self, decoded, size):
        logits = self.classifier(self.dropout(decoded))
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def images(count, seed=0, side=SIDE):
    """Random photographs of different contrast."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (count, 3, side, side)) * rng.uniform(0.1, 1, (count, 1, 1, 1))
    return torch.from_numpy(noise.astype(np.uint8))


def price(mask):
    assert mask.dtype == np.uint8 and mask.ndim == 2
    return 10 + np.count_nonzero(mask)


def names(count):
    return [f"image{i}" for i in range(count)]


@pytest.fixture(scope="module")
def scored():
    """(image, softmax [B, C, S, S] float64, the network, all scores of one batch)."""
    network, image = Tiny(), images(5)
    members = [network, Tiny(1), Tiny(2)]
    scores = score_batch(
        network, image, names(5), EVERYTHING, passes=4, seed=3, members=members, price=price
    )
    logits = network.eval()(image)["seg"].detach().double().numpy()
    return image, scipy.special.softmax(logits, axis=1), network, scores


def test_uncertainties_equal_scipy(scored):
    _, softmax, _, scores = scored
    ordered = np.sort(softmax, axis=1)
    expected = {
        "entropy": scipy.stats.entropy(softmax, axis=1),
        "margin": 1 - (ordered[:, -1] - ordered[:, -2]),
        "least_confidence": 1 - ordered[:, -1],
    }
    for name, maps in expected.items():
        assert scores.numbers[name].dtype == np.float64
        assert np.allclose(scores.numbers[name], maps.mean((1, 2)), atol=1e-6), name


def test_class_share_class_entropy_and_price_follow_the_prediction(scored):
    _, softmax, _, scores = scored
    predicted, entropy = softmax.argmax(1), scipy.stats.entropy(softmax, axis=1)
    for i, mask in enumerate(predicted):
        assert np.array_equal(
            scores.class_share[i], np.bincount(mask.ravel(), minlength=CLASSES) / mask.size
        )
        for c in range(CLASSES):
            expected = entropy[i][mask == c].mean() if (mask == c).any() else 0
            assert scores.vectors["class_entropy"][i, c] == pytest.approx(expected, abs=1e-5)
        assert scores.numbers["seconds"][i] == price(mask.astype(np.uint8))
    assert (scores.class_share == 0).any(), "the case of an absent class must occur"


def test_bald_is_the_mutual_information_of_seeded_dropout_samples(scored):
    image, _, network, scores = scored
    network.eval().dropout.train()
    for i, name in enumerate(names(5)):
        torch.manual_seed(stable_seed(3, "dropout", name))
        with torch.no_grad():
            decoded = network.decoder(network.encoder(image[i : i + 1].float() / 255 - 0.5))
            draws = [network.classify(decoded, (SIDE, SIDE))[0].double().numpy() for _ in range(4)]
        draws = scipy.special.softmax(draws, axis=1)  # [passes, C, S, S]
        information = scipy.stats.entropy(draws.mean(0), axis=0) - scipy.stats.entropy(
            draws, axis=1
        ).mean(0)
        assert scores.numbers["bald"][i] == pytest.approx(information.mean(), rel=1e-4)
    network.eval()


def test_bald_sees_disagreement_and_not_noise():
    network = Tiny()
    network.decoder = nn.Identity()
    network.encoder = nn.Sequential(nn.AvgPool2d(4))
    network.classifier = nn.Conv2d(3, 2, 1, bias=False)
    network.classifier.weight.data = torch.tensor([[8.0, 0, 0], [0, 7.9, 0]]).view(2, 3, 1, 1)
    image = torch.full((2, 3, SIDE, SIDE), 127, dtype=torch.uint8)
    image[1, :2] = (
        255  # two strong witnesses for opposite classes: dropout silences one or the other
    )
    scores = score_batch(network, image, ["noisy", "disputed"], {"entropy", "bald"}, passes=20)
    assert scores.numbers["entropy"][0] > scores.numbers["entropy"][1] > 0.69
    assert scores.numbers["bald"][0] < 1e-3 < 0.05 < scores.numbers["bald"][1]


def test_disagreement_is_the_jensen_shannon_divergence():
    pair, image = [Tiny(0), Tiny(7)], images(3)
    scores = score_batch(pair[0], image, names(3), {"disagreement"}, members=pair)
    with torch.no_grad():
        first, second = (member.eval()(image)["seg"].double().softmax(1).numpy() for member in pair)
    expected = (jensenshannon(first, second, axis=1) ** 2).mean((1, 2))
    assert np.allclose(scores.numbers["disagreement"], expected, rtol=1e-4)
    others = score_batch(pair[0], image, names(3), {"disagreement"}, members=pair[1:])
    assert np.array_equal(others.numbers["disagreement"], scores.numbers["disagreement"])


def test_the_gradient_embedding_is_autograd_s(scored):
    image, _, network, scores = scored
    for i in range(5):
        decoded = network.eval()(image[i : i + 1])["decoded"].detach()
        logits = network.classifier(decoded)
        (gradient,) = torch.autograd.grad(
            F.cross_entropy(logits, logits.argmax(1)), network.classifier.weight
        )
        assert np.allclose(scores.vectors["gradient"][i], gradient.flatten().numpy(), atol=1e-6)


def test_features_are_the_global_average_of_length_one(scored):
    image, _, network, scores = scored
    with torch.no_grad():
        mean = network.eval()(image)["features"].double().mean((2, 3)).numpy()
    assert np.allclose(
        scores.vectors["features"], mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-6
    )


@LAWS
@given(st.permutations(range(7)), st.lists(st.integers(1, 6), max_size=5))
def test_batches_and_their_order_change_no_score(order, cuts):
    network, image, ids = Tiny(), images(7, seed=1), names(7)
    options = {"passes": 3, "seed": 5, "members": [Tiny(1)], "price": price}
    whole = score_batch(network, image, ids, EVERYTHING, **options)
    torch.manual_seed(len(cuts))  # the global stream must not matter
    parts = [list(part) for part in np.split(np.array(order), sorted(set(cuts)))]
    streamed = score(
        network, (([ids[i] for i in part], image[part]) for part in parts), EVERYTHING, **options
    )
    expected = whole.take(order)
    assert streamed.ids == expected.ids
    assert np.allclose(streamed.class_share, expected.class_share)
    for kind in ("numbers", "vectors"):
        for name, values in getattr(expected, kind).items():
            assert np.allclose(getattr(streamed, kind)[name], values, atol=1e-5), name


def test_scoring_leaves_networks_and_the_random_stream_as_they_were():
    networks = [Tiny(), Tiny(1)]
    networks[0].train()
    networks[0].encoder.eval()
    networks[1].eval()
    before = [
        {name: value.clone() for name, value in network.state_dict().items()}
        for network in networks
    ]
    modes = [[module.training for module in network.modules()] for network in networks]
    stream = torch.get_rng_state()
    score_batch(
        networks[0], images(4), names(4), EVERYTHING, passes=3, members=networks, price=price
    )
    assert torch.equal(torch.get_rng_state(), stream)
    assert [[module.training for module in network.modules()] for network in networks] == modes
    for network, state in zip(networks, before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_only_dropout_is_random_in_the_dropout_samples():
    network, image = Tiny(), images(4)
    network.classifier = nn.Sequential(nn.BatchNorm2d(5), network.classifier)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    alone = score_batch(network, image[:1], ["a"], {"bald"}, passes=3).numbers["bald"]
    beside = score_batch(network.train(), image, ["a", "b", "c", "d"], {"bald"}, passes=3).numbers[
        "bald"
    ]
    assert beside[0] == pytest.approx(alone[0], rel=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_only_what_is_wanted_is_computed():
    def refuse(mask):
        raise AssertionError("not wanted")

    scores = score_batch(
        Tiny(dropout=0), images(2), names(2), {"margin", "class_share"}, price=refuse
    )
    assert (
        scores.numbers.keys() == {"margin"}
        and not scores.vectors
        and scores.class_share.shape == (2, CLASSES)
    )
    with pytest.raises(ValueError, match="entropi"):
        score_batch(Tiny(), images(2), names(2), {"entropi"})


def test_what_the_configuration_lacks_is_named():
    with pytest.raises(UserError, match=r"model\.dropout"):
        score_batch(Tiny(dropout=0), images(1), ["a"], {"bald"})
    network = Tiny()
    with pytest.raises(UserError, match=r"active_learning\.ensemble_size"):
        score_batch(network, images(1), ["a"], {"disagreement"}, members=[network])


def test_half_precision_logits_are_scored_in_single_precision():
    network, image, logits = Tiny(), images(3), []
    forward = network.forward

    def half(image):
        outputs = {name: value.bfloat16() for name, value in forward(image).items()}
        logits.append(outputs["seg"].double().numpy())
        return outputs

    network.forward = half
    scores = score_batch(network, image, names(3), {"entropy"})
    expected = scipy.stats.entropy(scipy.special.softmax(logits[0], axis=1), axis=1).mean((1, 2))
    assert np.allclose(scores.numbers["entropy"], expected, atol=1e-6)


def test_take_and_join_are_inverse(scored):
    scores = scored[-1]
    again = Scores.join([scores.take([0, 1]), scores.take([2]), scores.take([3, 4])])
    assert again.ids == scores.ids and np.array_equal(again.class_share, scores.class_share)
    for kind in ("numbers", "vectors"):
        for name, values in getattr(scores, kind).items():
            assert np.array_equal(getattr(again, kind)[name], values)
    assert len(Scores.join([])) == 0 and len(scores.take([])) == 0
    with pytest.raises(ValueError, match="1 values for 2 ids"):
        Scores(["a", "b"], {"entropy": np.zeros(1)})


def live_bytes():
    """Bytes of all tensors that Python can reach, each storage once."""
    tensors = [item for item in gc.get_objects() if type(item) in (torch.Tensor, nn.Parameter)]
    return sum(
        {
            tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
            for tensor in tensors
        }.values()
    )


def test_memory_grows_neither_with_the_pool_s_pixels_nor_with_their_number():
    side, network = 64, Tiny()
    pixels = 2 * 3 * side * side  # one batch of photographs, the smallest thing that may pile up

    def peak(batches):
        """Return the most (tensor bytes, traced bytes) at the moments when the next batch is asked
        for.
        """
        live, traced = [], []

        def stream():
            for number in range(batches):
                live.append(live_bytes())
                traced.append(tracemalloc.get_traced_memory()[0])
                yield [f"{number}a", f"{number}b"], images(2, seed=number, side=side)

        gc.collect()
        gc.freeze()  # what is there already need not be searched
        tracemalloc.start()
        score(network, stream(), EVERYTHING, passes=2, members=[Tiny(1)], price=price)
        tracemalloc.stop()
        gc.unfreeze()
        return max(live) - live[0], max(traced) - traced[0]

    peak(2)
    (few, _), (many, traced) = peak(4), peak(24)
    assert many == few <= 2 * pixels
    assert traced < 24 * pixels / 2
