"""benchmarks/probe_ladder.py and probe_mixes.py fit the probe that train.py fits, once each."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import run
from hypothesis import given, settings
from hypothesis import strategies as st

import evaluate
import train
from benchmarks import fitted_probes, probe_ladder, probe_mixes, probe_table
from weakseg.common import read_json
from weakseg.labels.signals import SIGNALS

TINY = {"img_size": 64, "encoder_weights": "none", "pixels": 20, "rounds": 1, "penalty": 0.1}
CHANGES = {
    "no edges": [{"edges": 0}],
    "256 px": [{"img_size": 96}],
    "two scales": [{"img_size": 64}, {"img_size": 96}],
}


@pytest.fixture
def tiny(pets_dir, pets_labels, monkeypatch):
    """Put tiny photographs into the table, and small fits into each benchmark."""
    real = fitted_probes.Bench.of_flags
    monkeypatch.setitem(probe_table.TABLE, "tiny", ("tiny", {}, {}, ("points", "full"), None))
    monkeypatch.setattr(probe_ladder, "ROWS", {"tiny": ("points",)})
    monkeypatch.setattr(probe_ladder, "CHANGES", CHANGES)
    monkeypatch.setattr(fitted_probes.Bench, "of_flags", lambda **values: real(**(TINY | values)))
    for module in (probe_ladder, probe_mixes):
        monkeypatch.setattr(module, "labels", lambda *_: pets_labels)
    return pets_dir


def arguments(folder, data, **more):
    return SimpleNamespace(data=data, folder=folder, **more)


@settings(max_examples=25)
@given(images=st.integers(1, 6), classes=st.integers(2, 4), seed=st.integers(0, 99))
def test_a_gain_is_paired_over_images(images, classes, seed):
    rng = np.random.default_rng(seed)
    one, other = rng.integers(1, 50, (2, images, classes, classes))

    def miou(confusion):
        hits = np.diag(confusion)
        return 100 * np.mean(hits / (confusion.sum(0) + confusion.sum(1) - hits))

    found, low, high = probe_ladder.gain(one, other)
    assert found == pytest.approx(miou(one.sum(0)) - miou(other.sum(0)))
    assert low <= high and (images > 1 or low == pytest.approx(high))
    back, least, most = probe_ladder.gain(other, one)
    assert (back, least, most) == pytest.approx((-found, -high, -low), abs=0.05)
    assert probe_ladder.gain(one, one) == (0, 0, 0)
    # The same resamples, drawn one by one.
    draws = np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), 1000)
    gains = [
        miou((one * w[:, None, None]).sum(0)) - miou((other * w[:, None, None]).sum(0))
        for w in draws
    ]
    assert (low, high) == pytest.approx(tuple(np.percentile(gains, [2.5, 97.5])))


def test_the_ladder_s_changes_are_flags_of_training_and_change_each_row():
    for name, modes in probe_ladder.ROWS.items():
        for mode in modes:
            usual = [c for c in probe_ladder.CHANGES if probe_ladder.is_usual(name, mode, c)]
            heads = [change for change in usual if "head" in change]
            assert len(heads) == 1 and mode in probe_table.TABLE[name][3]
            assert ("no self-training" in usual) == (mode == "full")


def test_fits_are_kept_and_the_table_compares_them(tiny, tmp_path, monkeypatch, capsys):
    args = arguments(tmp_path, tiny, only=["tiny"], changes=[*CHANGES], seed=0)
    probe_ladder.main(args)
    table = (tmp_path / "table.md").read_text()
    assert table.count("\n") == 3 and all(change in table for change in CHANGES)
    assert len([*(tmp_path / "fits").iterdir()]) == 4
    monkeypatch.setattr(probe_ladder, "fitted", None)
    capsys.readouterr()
    probe_ladder.main(args)
    assert (tmp_path / "table.md").read_text() == table == capsys.readouterr().out


def test_a_fit_is_the_one_of_the_command(tiny, tmp_path, pets_labels):
    """With a penalty, which no cross-validation chooses."""
    words = ["--data_dir", tiny, "--weak_label_path", pets_labels, "--cache_dir", tmp_path / "c"]
    own = [word for name, value in TINY.items() for word in (f"--{name}", value)]
    run(train, "--learner", "probe", *words, *own, "--supervision_mode", "points",
        "--checkpoint_dir", tmp_path, "--run_name", "r", "--device", "cpu")  # fmt: skip
    run(evaluate, "--checkpoint_dir", tmp_path, "--run_name", "r", "--results_dir", tmp_path / "e")
    bench = fitted_probes.Bench.of_flags(
        data_dir=tiny,
        supervision_modes=["points"],
        weak_label_path=pets_labels,
        cache_dir=tmp_path / "c",
    )
    names = probe_ladder.training_ids(bench.dataset, 0, None)
    one = bench, bench.probe(bench.labels(names), 0)
    confusions = fitted_probes.confusions([one], "test")
    result = read_json(tmp_path / "e" / "r.json")
    assert probe_ladder.miou(confusions.sum(0)) / 100 == pytest.approx(result["aggregate"]["miou"])
    assert torch.equal(fitted_probes.confusions([one, one], "test"), confusions)


def test_of_several_probes_the_mean_probability_counts(tiny, tmp_path):
    """As if each photograph were predicted by hand, whatever the order of the probes."""
    args = arguments(tmp_path, tiny, seed=0)
    probes = [probe_ladder.fitted(args, "tiny", "points", own) for own in CHANGES["two scales"]]
    found = fitted_probes.confusions(probes, "val")
    assert torch.equal(fitted_probes.confusions(probes[::-1], "val"), found)
    (bench, probe), (larger, other) = probes
    for name, matrix in zip(bench.dataset.ids("val"), found, strict=True):
        one, two = bench.probabilities(probe, name), larger.probabilities(other, name)
        assert not np.array_equal(one, two)
        mask, truth = (one + two).argmax(0), bench.dataset.mask(name)
        for true, row in enumerate(matrix.tolist()):
            assert row == [np.sum(mask[truth == true] == label) for label in range(len(row))]


def test_a_mix_has_each_picture_s_own_kind_and_is_fitted_once(tiny, tmp_path, monkeypatch, capsys):
    counts = {"full": 3, "points": 5}
    monkeypatch.setattr(probe_mixes, "MIXES", [("tiny", counts)])
    args = arguments(tmp_path, tiny, seeds=[0, 1], mixes=[0], split="val")
    probe_mixes.main(args)
    table = (tmp_path / "table-val.md").read_text()
    assert "3 masks + 5 clicks" in table
    files = [*(tmp_path / "val").iterdir()]
    assert len(files) == 6 and all(0 <= read_json(path)["miou"] <= 100 for path in files)
    monkeypatch.setattr(probe_mixes, "learned", None)
    capsys.readouterr()
    probe_mixes.main(args)
    assert capsys.readouterr().out.strip() == table.strip()


@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=3))
def test_the_pieces_of_a_mix_follow_one_another(counts):
    kinds = dict(zip(("full", "points", "tags"), counts, strict=False))
    pieces = probe_mixes.pieces_of(kinds)
    assert [(kind, end - first) for kind, first, end in pieces] == [*kinds.items()]
    assert [first for _, first, _ in pieces] == [0, *(end for *_, end in pieces[:-1])]


def test_every_mix_is_of_two_kinds_of_labels_of_data_in_the_table():
    assert len(probe_mixes.MIXES) == 10
    for name, counts in probe_mixes.MIXES:
        assert name in probe_table.TABLE and len(counts) == 2
        assert {*counts} <= {*SIGNALS} and all(count > 0 for count in counts.values())
