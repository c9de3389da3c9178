"""The probe keeps the contract of the loop's networks, and its state is all that it is."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from model import NewEncoder
from vlm_itl.training.checkpoints import load_strictly, packed
from vlm_itl.training.probe import ProbeNetwork, weigh_images
from weakseg.common import UserError
from weakseg.learners.feature_store import FeatureStore
from weakseg.learners.features import FrameSize
from weakseg.learners.logistic import LinearHead
from weakseg.learners.probe import Probe, Standard
from weakseg.learners.small_network import SmallNetwork
from weakseg.planning.uncertainty import NUMBERS, VECTORS, score_batch

CLASSES, SIDE = 3, 64


def new_store(folder, weights="none", encoder="efficientnet-lite0"):
    return FeatureStore(NewEncoder(encoder, weights, FrameSize(SIDE)), folder)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return new_store(tmp_path_factory.mktemp("cache"))


def random_probe(width, kind, classes=CLASSES):
    random = torch.Generator().manual_seed(0)

    def drawn(*shape):
        return torch.randn(shape, generator=random) * 0.1

    standard = Standard(drawn(width).numpy(), drawn(width).abs().numpy() + 1)
    if kind == "linear":
        return Probe(standard, LinearHead(drawn(width, classes), drawn(classes)))
    head = SmallNetwork(drawn(width, 8), drawn(8), drawn(8, classes), drawn(classes))
    return Probe(standard, head)


@pytest.fixture(params=["linear", "small"])
def network(request, store):
    network = ProbeNetwork(store, CLASSES)
    network.take(random_probe(network.width, request.param))
    return network.eval()


@pytest.fixture
def images():
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, SIDE, SIDE), dtype=torch.uint8, generator=random)


def maps_of(network, images):
    return [network.store.of_pixels(one.permute(1, 2, 0).numpy()) for one in images]


def test_its_logits_are_those_of_the_probe(network, images):
    seg = network(images)["seg"]
    for logits, maps in zip(seg, maps_of(network, images), strict=True):
        assert torch.allclose(logits, network.probe.logits(maps), atol=1e-4)


def test_the_last_layer_classifies_what_it_decodes(network, images):
    """Of a small network exactly; of a linear head on average over cells of 16 pixels."""
    outputs = network(images)
    assert set(outputs) == {"seg", "features", "decoded"}
    assert outputs["features"].shape[:1] + outputs["features"].shape[2:] == (2, 4, 4)
    logits = network.classify(outputs["decoded"], (SIDE, SIDE))
    if "hidden_weights" in network.values:
        assert torch.equal(logits, outputs["seg"])
    else:
        assert torch.allclose(logits.mean((2, 3)), outputs["seg"].mean((2, 3)), atol=0.1)


def test_dropout_is_random_while_it_trains_and_only_then(network, images):
    decoded = network(images)["decoded"]
    size = (SIDE, SIDE)
    assert torch.equal(network.classify(decoded, size), network.classify(decoded, size))
    network.dropout.train()
    assert not torch.equal(network.classify(decoded, size), network.classify(decoded, size))


def test_an_image_is_predicted_alike_alone_and_in_a_batch(network, images):
    together, alone = network(images), network(images[1:])
    for name, value in alone.items():
        assert torch.equal(together[name][1:], value)


def test_cached_features_predict_alike(network, images, tmp_path):
    before = network(images)["seg"]
    network.store = new_store(tmp_path)
    assert torch.equal(network(images)["seg"], before)  # computed anew
    assert torch.equal(network(images)["seg"], before)  # and read again


def test_mixed_precision_changes_nothing(network, images):
    before = network(images)["seg"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(network(images)["seg"], before)


def test_every_score_can_be_had(network, images):
    scores = score_batch(
        network,
        images,
        ["a", "b"],
        {*NUMBERS, *VECTORS},
        members=[network, network_like(network)],
        price=lambda mask: 1.0,
    )
    for values in (*scores.numbers.values(), *scores.vectors.values()):
        assert len(values) == 2 and np.isfinite(values).all()
    assert scores.numbers["disagreement"].max() > 0 and scores.numbers["bald"].max() > 0


def network_like(network):
    other = ProbeNetwork(network.store, CLASSES)
    return other.eval()


def test_the_state_is_all_that_it_is(network, images, tmp_path):
    save_file(packed(network.state_dict()), tmp_path / "a.safetensors")
    read = network_like(network)
    assert not torch.equal(read(images)["seg"], network(images)["seg"])
    load_strictly(read, tmp_path / "a.safetensors")
    for name, value in network(images).items():
        assert torch.equal(read(images)[name], value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("values.mean"), "lacks 'mean'"),
        (lambda state: state["encoder"].add_(1), "encoder has other weights"),
        (lambda state: state.update(more=torch.zeros(1)), "Unexpected key"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(change, words, network, tmp_path):
    state = {name: value.clone() for name, value in network.state_dict().items()}
    change(state)
    save_file(packed(state), tmp_path / "a.safetensors")
    with pytest.raises(UserError, match=words):
        load_strictly(network_like(network), tmp_path / "a.safetensors")


def test_a_probe_of_other_classes_is_refused(network, store, tmp_path):
    save_file(packed(network.state_dict()), tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="3 classes, not"):
        load_strictly(ProbeNetwork(store, 2), tmp_path / "a.safetensors")


def test_before_a_fit_all_classes_are_as_likely(store, images):
    network = ProbeNetwork(store, CLASSES).eval()
    assert not network(images)["seg"].any()


counts = st.integers(1, 40)


@given(labelled=counts, pseudo=st.integers(0, 40), share=st.floats(0.01, 8), seed=st.integers(0, 9))
def test_pseudo_labels_weigh_their_share_and_no_more_than_bought_ones(
    labelled, pseudo, share, seed
):
    weights = weigh_images(labelled, pseudo, share, seed, member=0)
    assert (weights[:labelled] == 1).all() and (weights > 0).all() and (weights <= 1).all()
    assert weights[labelled:].sum() == pytest.approx(min(share * labelled, pseudo))


@given(labelled=counts, pseudo=st.integers(0, 40), seed=st.integers(0, 9))
def test_members_weigh_images_at_random_but_repeatably(labelled, pseudo, seed):
    one, same, other = (
        weigh_images(labelled, pseudo, 0.5, number, member=1) for number in (seed, seed, seed + 1)
    )
    assert (one == same).all() and (one != other).any() and (one > 0).all()
