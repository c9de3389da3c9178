"""A run's file names an encoder: nothing is fetched for it unless the user gave the same name."""

import pytest
import timm
import torch
from conftest import run

import evaluate
import train
from model import NewEncoder, model_from, refuse_unfit
from weakseg.common import UserError
from weakseg.learners.downloads import (
    HUB_FILES,
    is_remote,
    stored_weights,
)
from weakseg.learners.features import FrameSize

REMOTE = ["tu-hf-hub:owner/model", "hf-hub:owner/model", "tu-hf_hub:a/b", "tu-local-dir:/tmp/a"]


@pytest.fixture
def no_network(monkeypatch):
    """Fail whoever asks for a host."""
    import socket

    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: pytest.fail(f"asks for {a[0]}"))


@pytest.mark.parametrize("name", REMOTE)
def test_a_hub_encoder_of_a_checkpoint_is_refused_before_the_network(name, no_network):
    task = {"classes": ["a", "b"], "tag_names": ["b"]}
    checkpoint = {"model": {}, "args": {"encoder": name, "run_name": "r"}, "task": task}
    for load in (model_from, lambda run: refuse_unfit("best.pt", run)):
        with pytest.raises(UserError, match=f"run r: .*add --encoder {name}"):
            load(checkpoint)
    with pytest.raises(UserError, match=f"run r: .*add --encoder {name}"):
        NewEncoder(name, "none", FrameSize(64), of_run="r")()


@pytest.mark.parametrize("name", ["resnet18", "efficientnet-lite0", "tu-resnet18.a1_in1k"])
def test_names_of_this_code_are_no_downloads(name):
    assert not is_remote(name)


def test_weights_that_are_not_here_are_not_fetched_for_a_run(no_network, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match=r"run r: the weights of tu-resnet18 are not on this mach"):
        NewEncoder("tu-resnet18", "imagenet", FrameSize(64), of_run="r")()


@pytest.mark.parametrize("place", ["hub", "torch"])
def test_weights_that_an_earlier_download_left_are_used(no_network, monkeypatch, tmp_path, place):
    from safetensors.torch import save_file

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    settings = timm.models.get_pretrained_cfg("resnet18")
    torch.manual_seed(3)
    state = timm.create_model("resnet18").state_dict()
    if place == "hub":
        file = tmp_path / HUB_FILES[0]
        save_file(state, file)
        monkeypatch.setattr(
            "huggingface_hub.try_to_load_from_cache",
            lambda repository, name, revision: str(file) if name == file.name else None,
        )
    else:
        monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *a, **k: None)
        file = tmp_path / "torch" / "checkpoints" / settings.url.rsplit("/", 1)[-1]
        file.parent.mkdir(parents=True)
        torch.save(state, file)
    assert stored_weights("resnet18") == file
    encoder = NewEncoder("tu-resnet18", "imagenet", FrameSize(64), of_run="r")()
    assert encoder.digest == NewEncoder("tu-resnet18", str(file), FrameSize(64))().digest


def test_evaluate_takes_a_hub_encoder_only_from_the_command_line(
    pets_dir, pets_labels, tmp_path, no_network, monkeypatch
):
    data = ["--data_dir", pets_dir, "--cache_dir", tmp_path / "cache", "--device", "cpu"]
    tiny = "--epochs 1 --img_size 64 --batch_size 4 --encoder_weights none".split()
    where = ["--weak_label_path", pets_labels, "--checkpoint_dir", tmp_path / "runs"]
    run(train, *data, *where, *tiny, "--supervision_mode", "points", "--run_name", "r")
    best = tmp_path / "runs" / "r" / "best.pt"
    content = torch.load(best, weights_only=True)
    content["args"]["encoder"] = "tu-hf-hub:owner/model"
    torch.save(content, best)
    asked = []
    monkeypatch.setattr(
        "segmentation_models_pytorch.Unet",
        lambda name, **_: asked.append(name) or (_ for _ in ()).throw(ValueError("no such model")),
    )
    words = ["--checkpoint_dir", tmp_path / "runs", "--results_dir", tmp_path / "results"]
    with pytest.raises(UserError, match="add --encoder tu-hf-hub:owner/model"):
        run(evaluate, *words)
    assert not asked
    with pytest.raises(UserError):
        run(evaluate, *words, "--encoder", "tu-hf-hub:owner/model")
    assert asked == ["tu-hf-hub:owner/model"]
