"""train.py --start probe: it begins where the probe ends, resumes, and says what it can't."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import run
from hypothesis import given
from hypothesis import strategies as st
from killed_runs import killed_after, lines, same
from made_streets import skies

import evaluate
import train
import weak_label_generator
from weakseg.common import IGNORE, UserError
from weakseg.data.image_io import read_mask
from weakseg.labels.signals import SIGNALS, parse_modes
from weakseg.pseudo_masks.from_labels import Knowledge
from weakseg.training import checkpoints, loop, probe_fit, probe_start, recipes


@pytest.fixture(autouse=True)
def short_fits(monkeypatch):
    for size in ("SMALL", "SMALL_OF_MANY", "SMALL_OF_FEW"):
        monkeypatch.setattr(probe_fit, size, {"hidden": 8, "steps": 20})


@pytest.fixture
def flags(pets_dir, pets_labels, tmp_path):
    words = "--start probe --recipe strong --img_size 64 --batch_size 8 --device cpu".split()
    words += "--encoder_weights none --augment --run_name r --epochs 3 --frozen 0.3".split()
    words += ["--data_dir", pets_dir, "--weak_label_path", pets_labels]
    return [*words, "--checkpoint_dir", tmp_path, "--cache_dir", tmp_path / "cache"]


QUICK = {"full", "points", "hybrid_boxes_points"}


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param(mode, marks=[] if mode in QUICK else pytest.mark.slow)
        for mode in [*SIGNALS, "hybrid_boxes_points", "hybrid_full_points"]
    ],
)
def test_every_kind_of_label_starts_from_a_probe(mode, flags, tmp_path):
    run(train, "--supervision_mode", mode, *flags, "--epochs", 1, "--rounds", 0)
    first, last = lines(tmp_path / "r")
    assert (first["epoch"], first["loss"], first["terms"]) == (0, None, {})
    assert last["epoch"] == 1 and ("probe" in last["terms"]) == ("full" not in mode)
    assert not {*last["terms"]} & ({*recipes.ADDED_TERMS} - {"probe"})
    assert (tmp_path / "r" / "pseudo_masks").exists() == ("full" not in mode)
    words = ["--checkpoint_dir", tmp_path, "--results_dir", tmp_path / "results"]
    run(evaluate, *words, "--resamples", 10)
    result = json.loads((tmp_path / "results" / "r.json").read_text())
    assert result["args"]["start"] == "probe" and 0 <= result["aggregate"]["miou"] <= 1


def test_the_first_line_is_the_score_of_the_probe(flags, tmp_path, monkeypatch):
    """And what it says of every image is kept for the network to learn."""
    starts = []
    real = probe_start.ProbeStart.fit
    monkeypatch.setattr(
        probe_start.ProbeStart, "fit", lambda self: (starts.append(self), real(self))[1]
    )
    run(train, "--supervision_mode", "points", *flags, "--epochs", 1, "--select_by", "val_miou")
    (start,), (line, _) = starts, lines(tmp_path / "r")
    hits = np.zeros((3, 2))  # of each class: where both are it, predicted, true
    for name in start.dataset.ids("val"):
        maps = start.features(start.dataset.image_path(name))
        predicted = start.probe.logits(maps, (64, 64)).argmax(0).numpy()
        truth = start.dataset.resized_mask(name, start.cache)
        known = truth != IGNORE
        for label in range(2):
            one, other = (predicted == label) & known, truth == label
            hits[:, label] += (one & other).sum(), one.sum(), other.sum()
    miou = (hits[0] / (hits[1] + hits[2] - hits[0])).mean()
    assert line["val_miou"] == pytest.approx(miou, abs=2e-3)
    for name in start.labels.train_ids:
        kept = read_mask(tmp_path / "r" / "pseudo_masks" / "probe" / "1" / f"{name}.png")
        assert np.array_equal(kept, start.chances(name)) and kept.shape == (2 * 32, 32)


def known(classes, where=None, is_closed=True):
    where = np.ones((len(classes), 1, 1), bool) if where is None else where
    return Knowledge(np.array(classes, np.uint8), where, None, is_closed)


WITH, WITHOUT = SimpleNamespace(has_background=True), SimpleNamespace(has_background=False)


@given(
    classes=st.sets(st.integers(1, 4), min_size=1),
    is_closed=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_probe_s_chances_are_those_that_the_labels_leave(classes, is_closed, seed):
    random = np.random.default_rng(seed)
    shown = sorted(classes)
    logits = torch.from_numpy(random.normal(size=(5, 2, 3)).astype(np.float32))
    where, image = random.random((len(shown), 8, 12)) < 0.5, np.zeros((8, 12, 3), np.uint8)
    chances = probe_start.possible_chances(logits, known(shown, where, is_closed), WITH, image)
    assert (chances >= 0).all() and (chances.sum(0) < 1 + 1e-5).all()
    if is_closed:
        torch.testing.assert_close(chances.sum(0), torch.ones(8, 12))
    else:  # what is most likely none of them stays open
        total = chances.sum(0)
        assert ((total == 0) | (total >= 0.5)).all()
    out = [label for label in range(1, 5) if label not in classes]
    assert not chances[out].any()
    assert not chances[shown][~torch.from_numpy(where)].any()
    everywhere = probe_start.possible_chances(logits, known(range(1, 5)), WITH, image[:2, :3])
    torch.testing.assert_close(everywhere, logits.softmax(0))


def test_without_a_class_on_show_all_is_background_or_nothing_is_known():
    logits = torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(0))
    image = np.zeros((2, 2, 3), np.uint8)
    closed = probe_start.possible_chances(logits, known([]), WITH, image)
    assert (closed[0] == 1).all() and not closed[1:].any()
    assert not probe_start.possible_chances(logits, known([], is_closed=False), WITH, image).any()
    rivals = probe_start.possible_chances(logits, known([0, 2], is_closed=False), WITHOUT, image)
    torch.testing.assert_close(rivals[[0, 2]], logits[[0, 2]].softmax(0))
    assert not rivals[1].any()


@given(seed=st.integers(0, 99), far=st.floats(0, 30))
def test_without_a_background_the_classes_of_a_pixel_s_boxes_share_all_chances(seed, far):
    """Also where a class without a box there is by far the likeliest."""
    random = np.random.default_rng(seed)
    logits = torch.from_numpy(random.normal(size=(3, 8, 12)).astype(np.float32))
    logits[0] += far
    where, image = random.random((3, 8, 12)) < 0.5, np.zeros((8, 12, 3), np.uint8)
    chances = probe_start.possible_chances(logits, known(range(3), where, False), WITHOUT, image)
    assert not chances[~torch.from_numpy(where)].any()
    torch.testing.assert_close(chances.sum(0), torch.from_numpy(where.any(0)).float())


def test_without_a_background_a_run_from_boxes_learns_a_class_behind_everything(flags, tmp_path):
    root, labels = skies(tmp_path / "skies"), tmp_path / "labels.pkl"
    run(weak_label_generator, "--data_dir", root, "--output_file", labels, "--jobs", 1)
    words = ["--supervision_mode", "boxes", *flags, "--epochs", 1, "--rounds", 1, "--head"]
    words += ["linear", "--data_dir", root, "--weak_label_path", labels]
    run(train, *words, "--select_by", "val_miou")
    first, last = lines(tmp_path / "r")
    assert first["val_miou"] > 0.6 and last["terms"]["probe"] > 0


@pytest.mark.parametrize(
    ("warm", "select_by", "expected"),
    [
        (0, "weak_val_loss", [True, True, True, True]),
        (2, "val_loss", [True, False, False, True]),
        (2, "weak_val_loss", [False, False, False, True]),
    ],
)
def test_what_a_probe_gave_may_be_the_best_unless_its_loss_lacks_a_term(warm, select_by, expected):
    training = SimpleNamespace(warm=warm)
    assert [loop.Training.counts(training, epoch, select_by) for epoch in range(4)] == expected


@pytest.mark.parametrize(
    "mode, module, name, calls",
    [
        pytest.param("points", checkpoints, "save_checkpoint", 1, marks=pytest.mark.slow),
        ("boxes", checkpoints, "save_checkpoint", 2),
        pytest.param("full", checkpoints, "save_checkpoint", 3, marks=pytest.mark.slow),
        pytest.param("points", loop, "validate", 1, marks=pytest.mark.slow),
        pytest.param("points", loop, "validate", 2, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_ends_with_the_same_weights(mode, module, name, calls, flags, tmp_path):
    words = ["--supervision_mode", mode, *flags, "--resume", "auto"]
    run(train, *words)
    log = lines(tmp_path / "r")
    expected = torch.load(tmp_path / "r" / "last.pt", weights_only=True)
    best = torch.load(tmp_path / "r" / "best.pt", weights_only=True)
    (tmp_path / "r").rename(tmp_path / "alone")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        killed_after(patch, module, name, calls)
        run(train, *words)
    run(train, *words)
    found = torch.load(tmp_path / "r" / "last.pt", weights_only=True)
    for part in ("model", "optimizer", "schedule", "criterion", "best", "epoch"):
        assert same(found.get(part), expected.get(part)), part
    assert same(torch.load(tmp_path / "r" / "best.pt", weights_only=True)["model"], best["model"])
    times = {"seconds", "images_per_second"}
    for one, other in zip(lines(tmp_path / "r"), log, strict=True):
        assert {k: v for k, v in one.items() if k not in times} == {
            k: v for k, v in other.items() if k not in times
        }


def test_a_plain_run_may_start_from_a_probe_and_so_may_more_classes(pets_dir, flags, tmp_path):
    data = ["--data_dir", pets_dir, "--classes", "species"]
    labels = ["--weak_label_path", tmp_path / "species.pkl"]
    run(weak_label_generator, *data, "--output_file", labels[1], "--jobs", 1)
    words = [*flags, *data, *labels, "--recipe", "plain", "--epochs", 1, "--rounds", 0]
    run(train, "--supervision_mode", "points", *words)
    assert {*lines(tmp_path / "r")[-1]["terms"]} == {"points"}
    head = torch.load(tmp_path / "r" / "last.pt", weights_only=True)["model"]
    assert head["probe_head.classify.bias"].shape == (3,)  # of many classes the head is small


def test_an_encoder_of_timm_is_taken(flags, tmp_path):
    run(train, "--supervision_mode", "full", *flags, "--encoder", "tu-resnet18", "--epochs", 1)
    assert len(lines(tmp_path / "r")) == 2


@pytest.mark.parametrize(
    "words, message",
    [
        (["--learner", "probe"], "--start probe: is for --learner unet"),
        (["--scale", 0.5], "--scale 0.5: --start probe sees squares of --img_size"),
        (["--coarse_logits"], "--coarse_logits True: with --start probe the probe gives"),
        (["--frozen", 1.5], "--frozen 1.5: must lie between 0 and 1"),
        (["--confidence", 0.3], "--confidence 0.3: must lie between 0.5 and 1"),
        (["--encoder", "resnet18"], "--encoder resnet18: --start probe takes"),
    ],
)
def test_what_it_cannot_be_combined_with_is_said_in_one_line(words, message, flags, tmp_path):
    with pytest.raises(UserError) as error:
        run(train, "--supervision_mode", "points", *flags, *words)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
    assert not (tmp_path / "r").exists()


def test_the_masks_of_a_probe_need_one(flags):
    words = [*flags[2:], "--lambda_probe", 1]
    with pytest.raises(UserError, match=r"--lambda_probe 1\.0: there is no probe; add --start"):
        run(train, "--supervision_mode", "points", *words)


@pytest.mark.parametrize("signals", [("points",), ("tags",), ("boxes", "points"), ("full",)])
def test_the_masks_of_a_probe_replace_all_that_the_strong_recipe_adds(signals):
    weights = recipes.term_weights("strong", signals, 2, {}, start="probe")
    added = {term for term in recipes.ADDED_TERMS if weights.get(term)}
    assert added == (set() if "full" in signals else {"probe"})
    assert parse_modes(["_".join(("hybrid", *signals))]) if len(signals) > 1 else True
