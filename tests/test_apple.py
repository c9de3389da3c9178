"""Nothing that runs on an accelerator asks Apple's GPU for float64, which it has not."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from apple import MPS, Apple, AppleTensor, on_apple
from conftest import run

import evaluate
import train
import vlm_itl.run

sys.path += [str(Path(__file__).parent / folder) for folder in ("planning", "vlm_itl")]
from test_loop import AL, start
from test_uncertainty import EVERYTHING, Tiny, images

from weakseg.metrics import confusion_matrix, scores
from weakseg.planning.uncertainty import score_batch


def test_the_stand_in_refuses_what_the_device_refuses():
    with Apple():
        values = torch.ones(3).to("mps")
        assert isinstance(values, AppleTensor) and values.device == MPS
        assert isinstance(torch.zeros(2, device=values.device) + 1, AppleTensor)
        for wrong in (
            lambda: values.double(),
            lambda: values.sum(dtype=torch.float64),
            lambda: torch.from_numpy(np.ones(2)).to(MPS),
            lambda: values.numpy(),
        ):
            with pytest.raises(TypeError):
                wrong()
        assert values.cpu().double().numpy().tolist() == [1, 1, 1]


def test_scores_of_a_pool_are_those_of_the_cpu(monkeypatch):
    some, ids = images(3), list("abc")
    options = {"members": [Tiny(1)], "price": lambda mask: float(mask.sum()), "passes": 3}
    usual = score_batch(Tiny(), some, ids, EVERYTHING, **options)
    with on_apple(monkeypatch):
        options["members"] = [Tiny(1).to(MPS)]
        there = score_batch(Tiny().to(MPS), some.to(MPS), ids, EVERYTHING, **options)
    for kind in ("numbers", "vectors"):
        for name, values in getattr(usual, kind).items():
            assert np.allclose(getattr(there, kind)[name], values, atol=1e-6), name
    assert np.allclose(there.class_share, usual.class_share)


def test_confusions_are_counted_there_and_scored_here():
    rng = np.random.default_rng(0)
    prediction, truth = torch.from_numpy(rng.integers(0, 3, (2, 50)))
    with Apple():
        there = confusion_matrix(prediction.to(MPS), truth.to(MPS), 3)
        assert isinstance(there, AppleTensor)
        assert scores(there)["miou"] == scores(confusion_matrix(prediction, truth, 3))["miou"]


def test_the_loop_runs_there(pets_dir, tmp_path, monkeypatch):
    data = [f"data.source={pets_dir}", f"data.cache_dir={tmp_path / 'cache'}"]
    size = ["data.image_size=64", "training.steps=2", "training.batch_size=4"]
    how = [
        "model.name=segformer-tiny",
        "active_learning.strategy=badge",
        "vlm_itl.vlm_handler=mock",
    ]
    with on_apple(monkeypatch, vlm_itl.run):
        _, results = start("train_vlm_itl", tmp_path / "out", *data, *size, *AL, *how)
    assert len(results["curve"]) == 2


def test_a_network_is_trained_and_evaluated_there(pets_dir, pets_labels, tmp_path, monkeypatch):
    data = ["--data_dir", pets_dir, "--checkpoint_dir", tmp_path, "--cache_dir", tmp_path / "cache"]
    words = ["--weak_label_path", pets_labels, "--encoder_weights", "none", "--img_size", 64]
    words += ["--epochs", 1, "--batch_size", 8, *data]
    losses = ["--lambda_crf", 0.1, "--lambda_teacher", 1, "--augment"]
    hybrid = ["--supervision_mode", "hybrid_tags_points", "--run_name", "there", *losses]
    with on_apple(monkeypatch):
        run(train, *hybrid, *words)
    assert (tmp_path / "there" / "best.pt").exists()
    # What the stand-in saves is of its own kind: a checkpoint of the CPU is evaluated.
    run(train, "--supervision_mode", "boxes", "--run_name", "here", *words)
    with on_apple(monkeypatch):
        run(evaluate, "--results_dir", tmp_path / "results", "--run_name", "here", *data)
    assert (tmp_path / "results" / "here.json").exists()
