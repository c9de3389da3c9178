"""The U-Net that begins as a probe: its head is the probe, its decoder begins at zero."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model import build_model
from weakseg.inference.edges import mask_along_edges, working_size
from weakseg.inference.fast_cpu import folded
from weakseg.inference.predict import at_size
from weakseg.learners.features import FeatureMaps, stages_of
from weakseg.learners.logistic import LinearHead
from weakseg.learners.probe import Probe, Standard
from weakseg.learners.probe_unet import PREFIX, ProbeHead, ProbeUnet
from weakseg.learners.small_network import SmallNetwork

CHANNELS = (24, 40, 80, 112, 192, 320)  # of efficientnet-lite0's stages from stride 4 on
STRIDES = (4, 8, 16, 16, 32, 32)


def random_probe(channels, classes, hidden, seed=0):
    """Return a probe with random weights; `hidden` 0: a linear one."""
    random, width = np.random.default_rng(seed), sum(channels)

    def drawn(*shape):
        return torch.from_numpy(random.normal(size=shape).astype(np.float32) / 8)

    standard = Standard(random.normal(size=width).astype(np.float32), np.full(width, 1.5, "f4"))
    if not hidden:
        return Probe(standard, LinearHead(drawn(width, classes), drawn(classes)))
    parts = drawn(width, hidden), drawn(hidden), drawn(hidden, classes), drawn(classes)
    return Probe(standard, SmallNetwork(*parts))


@settings(max_examples=20)
@given(
    hidden=st.sampled_from([0, 5]),
    classes=st.integers(2, 4),
    cells=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    seed=st.integers(0, 99),
)
def test_the_head_of_a_probe_says_what_the_probe_does(hidden, classes, cells, seed):
    channels, strides = (3, 2, 4), (4, 8, 8)
    random = np.random.default_rng(seed)
    height, width = (8 * count for count in cells)
    maps = [
        random.normal(size=(each, height // stride, width // stride)).astype(np.float16)
        for each, stride in zip(channels, strides, strict=True)
    ]
    probe = random_probe(channels, classes, hidden, seed)
    wanted = probe.logits(FeatureMaps(tuple(maps), strides, (width, height), (width, height)))
    stages = [torch.from_numpy(each.astype(np.float32))[None] for each in maps]
    finer = torch.zeros(1, 7, height // 2, width // 2)  # a stage that the probe doesn't see
    head = ProbeHead.of_probe(probe, channels)
    found = head([finer, *stages], (height, width))[0]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.fixture(params=[0, 16], ids=["linear", "small"])
def network(request):
    torch.manual_seed(0)
    model = build_model("efficientnet-lite0", 3, 2)
    return ProbeUnet(model, ProbeHead.of_probe(random_probe(CHANNELS, 3, request.param), CHANNELS))


@pytest.fixture
def images():
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=random)


def test_the_network_begins_with_the_predictions_of_the_probe(network, images):
    x = network.normalised(images)
    stages = stages_of(network.unet.encoder.model.eval(), x)
    wanted = network.probe_head(stages, (64, 96))
    for mode in (True, False):
        outputs = network.train(mode)(images)
        assert torch.equal(outputs["seg"], wanted) and wanted.std() > 0
        assert torch.equal(network.segment(images), wanted)
    assert outputs["tags"].shape == (2, 2) and outputs["cam"].shape[:2] == (2, 2)


def test_the_decoder_sees_the_stages_that_smp_gives_it(network, images):
    x = network.normalised(images)
    network.eval()
    stages, _ = network.encode_with_logits(x)
    for found, wanted in zip(stages, network.encode(x), strict=True):
        assert torch.equal(found, wanted)


def test_the_encoder_learns_unless_it_is_frozen_and_keeps_its_statistics(network, images):
    network.train()
    before = {name: value.clone() for name, value in network.unet.encoder.named_buffers()}
    for frozen in (True, False):
        network.frozen = frozen
        network.zero_grad()
        network(images)["seg"].square().mean().backward()
        gradients = [p.grad for p in network.unet.encoder.parameters() if p.grad is not None]
        assert bool(gradients) is not frozen
        assert all(p.grad is not None for p in network.probe_head.parameters())
        assert network.unet.segmentation_head[0].weight.grad.abs().max() > 0
    for name, value in network.unet.encoder.named_buffers():
        assert torch.equal(value, before[name])
    assert network.unet.decoder.training and network.tag_head.training


def test_its_predictions_follow_edges_where_its_probe_s_do():
    """A blurred boundary moves to the edge of the photograph, at the photograph's own size."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, 33:] = 200
    blurred = torch.linspace(-2, 2, 32).expand(32, 32)
    logits = torch.stack([-blurred, blurred])
    small = at_size(logits, working_size(60, 40), antialias=True).softmax(0).numpy()
    mask = mask_along_edges(small, image, 0.2)
    assert mask.shape == (40, 60)
    assert abs(int(np.median(mask.argmax(1))) - 33) <= 1  # in place of 30, the middle
    plain = mask_along_edges(small, image, 0.0)
    assert abs(int(np.median(plain.argmax(1))) - 30) <= 1


def test_its_state_says_its_shape(network):
    state = network.state_dict()
    head = ProbeHead.of_state(state, 3)
    own = {name.removeprefix(PREFIX): t for name, t in state.items() if name.startswith(PREFIX)}
    head.load_state_dict(own)  # strictly


def test_it_is_folded_for_cpus(network, images):
    torch.nn.init.normal_(network.unet.segmentation_head[0].weight)
    network.double().eval()
    faster = folded(network, 64)
    assert faster is not network
    torch.testing.assert_close(
        faster.segment(images), network.segment(images), rtol=1e-8, atol=1e-8
    )
