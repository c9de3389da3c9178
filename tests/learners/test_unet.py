"""The network: its outputs, coarse logits, the decoder, finer activation maps."""

import pytest
import torch

from model import build_model
from weakseg.inference.fast_cpu import folded
from weakseg.learners.unet import decode, log_sum_exp_pool


@pytest.fixture(scope="module")
def lite():
    torch.manual_seed(0)
    return build_model("efficientnet-lite0", 3, 2).eval()


@pytest.fixture
def images():
    return torch.randint(
        0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def test_the_output_is_always_the_same_dict(lite, images):
    outputs = lite(images)
    assert set(outputs) == {"seg", "tags", "cam", "features", "decoded"}
    assert outputs["seg"].shape == (2, 3, 64, 96)
    assert outputs["tags"].shape == (2, 2)
    assert outputs["cam"].shape[:2] == (2, 2)
    assert torch.equal(lite.segment(images), outputs["seg"])


def test_features_can_be_had_alone(lite, images):
    x = lite.normalised(images)
    stages = lite.encode(x)
    assert [stage.shape[-2:] for stage in stages] == [(64 >> k, 96 >> k) for k in range(6)]
    assert torch.equal(stages[0], x)
    assert torch.equal(lite.deep_features(x), lite(images)["features"])


@pytest.fixture
def coarse():
    torch.manual_seed(0)
    return build_model("efficientnet-lite0", 3, 2, "none", coarse=True).double()


def test_coarse_logits_begin_at_zero_and_learn_from_the_first_step(coarse, images):
    outputs = coarse(images)
    assert torch.equal(outputs["seg"], coarse.classify(outputs["decoded"], (64, 96)))
    outputs["seg"].square().sum().backward()
    assert coarse.coarse_head[1].weight.grad.abs().max() > 0


def test_coarse_logits_are_a_line_in_the_normalised_features(coarse, images):
    coarse(images)  # so that means and variances are no longer 0 and 1
    norm, convolution = coarse.eval().coarse_head
    with torch.no_grad():
        for tensor in (*norm.parameters(), *convolution.parameters()):
            tensor.normal_()
        outputs = coarse(images)
        x = outputs["features"].permute(0, 2, 3, 1)
        x = (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
        cells = (x @ convolution.weight[:, :, 0, 0].T + convolution.bias).permute(0, 3, 1, 2)
        added = outputs["seg"] - coarse.classify(outputs["decoded"], (64, 96))
        # bilinear: the square between the centres of four cells has their mean, the image's corner
        # that of its cell
        assert torch.allclose(added[..., 8:24, 8:24].mean((2, 3)), cells[..., :2, :2].mean((2, 3)))
        assert torch.allclose(added[..., :8, :8], cells[..., :1, :1].expand(-1, -1, 8, 8))
        assert torch.equal(coarse.segment(images), outputs["seg"])
        assert torch.allclose(
            folded(coarse, 64).segment(images), outputs["seg"], rtol=1e-8, atol=1e-10
        )


@pytest.mark.parametrize("encoder", ["efficientnet-lite0", "resnet18"])
def test_the_decoder_is_that_of_smp(encoder):
    """The same output and gradients, in float64, where only a wrong formula could make a
    difference.
    """
    torch.manual_seed(0)
    model = build_model(encoder, 3, 2, "none").double().train()
    x = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    found = []
    for way in (
        lambda stages: model.unet.decoder(stages),
        lambda stages: decode(model.unet.decoder, stages),
    ):
        model.zero_grad()
        y = way(model.unet.encoder(x))
        (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
        found.append(
            {"y": y.detach()}
            | {n: p.grad for n, p in model.unet.named_parameters() if p.grad is not None}
        )
    assert len(found[0]) > 50
    torch.testing.assert_close(*found, rtol=1e-8, atol=1e-8)


def test_larger_maps_leave_batch_norm_and_gradients_alone(images):
    torch.manual_seed(0)
    model = build_model("efficientnet-lite0", 2, 2, "none").train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    x, model.cam_scale = torch.rand(2, 3, 64, 64), 1.5
    assert not model.activation_maps(x).requires_grad
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert model.unet.encoder.training


def test_log_sum_exp_pooling_lies_between_mean_and_maximum():
    maps = torch.randn(3, 4, 5, 6, dtype=torch.float64)
    mean, top = maps.mean((2, 3)), maps.amax((2, 3))
    pooled = log_sum_exp_pool(maps)
    assert ((mean <= pooled) & (pooled <= top)).all()
    torch.testing.assert_close(log_sum_exp_pool(maps, 1e-6), mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(log_sum_exp_pool(maps, 1e4), top, atol=1e-3, rtol=0)
    torch.testing.assert_close(log_sum_exp_pool(maps + 2), pooled + 2)
