"""A trained model as an ONNX file: its network gives what the model sees, and so does the file."""

import json

import numpy as np
import pytest
import torch
from conftest import run
from PIL import Image

import predict
import train
from weakseg import load
from weakseg.common import UserError
from weakseg.inference import onnx_export
from weakseg.inference.onnx_export import export, graph_of

LEARNERS = {"probe": ["--edges", 0, "--rounds", 0], "unet": ["--epochs", 1, "--img_size", 64]}


@pytest.fixture(scope="module")
def runs(pets_dir, pets_labels, tmp_path_factory):
    """A tiny run of each learner; the probe's predictions follow no edges."""
    root = tmp_path_factory.mktemp("export")
    for learner, flags in LEARNERS.items():
        data = ["--data_dir", pets_dir, "--weak_label_path", pets_labels, "--train_limit", 8]
        words = ["--supervision_mode", "points", "--learner", learner, "--run_name", learner]
        where = ["--checkpoint_dir", root, "--cache_dir", root / "cache", "--device", "cpu"]
        run(train, *words, *flags, *data, *where)
    return root


def picture(shape, seed=0):
    """Return a picture [H, W, 3] uint8 with colours that change slowly."""
    small = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return np.kron(small, np.ones((-(-shape[0] // 3), -(-shape[1] // 4), 1), np.uint8))[
        : shape[0], : shape[1]
    ]


@pytest.mark.parametrize("learner", LEARNERS)
def test_the_network_gives_what_the_model_sees(learner, runs, monkeypatch):
    """To rounding, where it keeps a probe's features in half precision, as the model does."""
    whole = onnx_export.stages_of
    halves = lambda *given: [stage.half().float() for stage in whole(*given)]  # noqa: E731
    monkeypatch.setattr(onnx_export, "stages_of", halves)
    model = load(runs / learner, "cpu")
    network, shape = graph_of(model)
    image = picture(shape)
    with torch.no_grad():
        found = network(torch.from_numpy(image.transpose(2, 0, 1).copy())[None])[0].numpy()
    assert np.abs(found - model.probabilities(image)).max() < 1e-4


@pytest.mark.parametrize("learner", ["probe", pytest.param("unet", marks=pytest.mark.slow)])
def test_the_file_gives_what_the_network_does(learner, runs, tmp_path, capsys):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    words = ["--run_name", learner, "--checkpoint_dir", runs]
    run(predict, *words, "--export", tmp_path / "model.onnx")
    if learner == "unet":
        run(predict, *words, "--export", tmp_path / "model.onnx")  # its own is replaced
    theirs = tmp_path / "photograph.png"
    Image.fromarray(picture((8, 8))).save(theirs)
    with pytest.raises(UserError, match="name another --export"):
        run(predict, *words, "--export", theirs)
    model = load(runs / learner, "cpu")
    network, shape = graph_of(model)
    assert f"[1, 3, {shape[0]}, {shape[1]}]" in capsys.readouterr().out
    session = runtime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for seed in range(3):
        image = picture(shape, seed).transpose(2, 0, 1)[None].copy()
        with torch.no_grad():
            expected = network(torch.from_numpy(image)).numpy()
        assert np.abs(session.run(None, {"image": image})[0] - expected).max() < 1e-4
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["classes"]) == model.classes


def test_packages_that_lack_are_named(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="--export: needs onnx and onnxscript; pip install"):
        export(load(runs / "unet", "cpu"), tmp_path / "model.onnx")


def test_an_export_predicts_nothing(runs):
    words = ["--run_name", "unet", "--checkpoint_dir", runs]
    for flags, message in ([["--export", "x", "--images", "."], "leave out"], [[], "--images"]):
        with pytest.raises(UserError, match=message):
            run(predict, *words, *flags)
