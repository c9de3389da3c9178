"""The probe as the network of the loop: strategies, judges, kills, and what is refused."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT
from made_streets import streets
from test_loop import AL, bought, held_out, kill_at, ledger, opened, start

from vlm_itl.config import Config
from vlm_itl.settings import build
from vlm_itl.start import LATER, look_up, recorded
from weakseg.common import UserError
from weakseg.training import probe_fit
from weakseg.training.probe_options import ProbeOptions

RANDOM = "active_learning.strategy=random"
ENTROPY = "active_learning.strategy=entropy"
POINTS = "active_learning.label=points"


@pytest.fixture(scope="module")
def settings(pets_dir, tmp_path_factory):
    """Overrides that make a shipped configuration tiny; all runs share a cache."""
    return [
        f"data.source={pets_dir}",
        f"data.cache_dir={tmp_path_factory.mktemp('cache')}",
        "data.image_size=64",
        "model.network=probe",
        "model.head=linear",
    ]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Let the small head end early."""
    for size in ("SMALL", "SMALL_OF_MANY", "SMALL_OF_FEW"):
        short = getattr(probe_fit, size) | {"steps": 40}
        monkeypatch.setattr(probe_fit, size, short)


@pytest.mark.parametrize(
    "overrides",
    [
        [RANDOM],
        [ENTROPY, POINTS],
        ["active_learning.strategy=kcenter", "active_learning.label=hybrid_tags_boxes"],
        ["active_learning.strategy=badge", "active_learning.label=tags"],
        ["active_learning.strategy=badge", "active_learning.initial_strategy=typiclust"],
        ["active_learning.strategy=bald_per_second", "model.head=small", POINTS],
        ["active_learning.strategy=disagreement", "active_learning.ensemble_size=2", POINTS],
    ],
    ids=lambda overrides: "-".join(o.partition("=")[2] for o in overrides),
)
def test_every_strategy_keeps_its_budget_and_never_sees_the_truth(overrides, settings, tmp_path):
    opened.clear()
    folder, results = start("train_active_learning", tmp_path / "out", *settings, *AL, *overrides)
    pool = results["pool"]
    assert [p["images"] for p in results["curve"]] == [round(0.15 * pool), round(0.3 * pool)]
    assert set(opened) <= set(bought(folder)) | held_out(folder)
    weights = [digest for line in ledger(folder) for digest in line.get("weights", [])]
    assert len(set(weights)) == len(weights)  # members and rounds differ
    floor = 0.1 if "active_learning.label=tags" in overrides else 0.2
    assert all(point["test_miou"] > floor for point in results["curve"])
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert {line["round"] for line in log if "pixels" in line} == {0, 1}


def test_with_all_masks_it_draws_the_animals_well(settings, tmp_path):
    _, results = start("train_baseline", tmp_path / "out", *settings)
    assert results["curve"][0]["test_miou"] > 0.7


@pytest.mark.parametrize(
    ("handler", "label"), [("confidence", "points"), ("learned", "mask"), ("accept_all", "boxes")]
)
def test_judges_see_its_masks_and_accepted_ones_teach_it(handler, label, settings, tmp_path):
    opened.clear()
    folder, results = start(
        "train_vlm_itl",
        tmp_path / "out",
        *settings,
        *AL,
        RANDOM,
        f"active_learning.label={label}",
        f"vlm_itl.vlm_handler={handler}",
        "vlm_itl.iou_bar=0.05",
        "vlm_itl.risk=null",
        "vlm_itl.examine=False",
    )
    assert set(opened) <= set(bought(folder)) | held_out(folder)
    assert results["curve"][0]["pseudo_labels"] == 0
    if handler == "accept_all":
        last = results["curve"][-1]
        assert last["pseudo_labels"] == results["pool"] - last["images"]
        assert last["test_miou"] > 0.2
    # Beside pseudo-labels, which are masks, weakly labelled images label themselves as before.
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    fits = [line["round"] for line in log if "pixels" in line]
    rounds = len(results["curve"])
    assert fits == sorted([*range(rounds)] * (1 if label == "mask" else 1 + ProbeOptions().rounds))


KILLS = ("lines 2", "pseudo 0", "lines 6", "lines 7")


@pytest.mark.slow
def test_killed_at_any_stage_it_ends_as_if_never_interrupted(settings, tmp_path):
    """SIGKILL between stages and within them leaves ledger, weights and results the same."""
    settings = [
        *settings,
        *AL,
        ENTROPY,
        "vlm_itl.vlm_handler=confidence",
        "vlm_itl.iou_bar=0.02",
        "vlm_itl.risk=0.6",
        "vlm_itl.confidence=0.5",
    ]
    whole, results = start("train_vlm_itl", tmp_path / "whole", *settings, "run_name=run")
    command = [
        sys.executable,
        ROOT / "scripts" / "train_vlm_itl.py",
        "--config",
        ROOT / "configs" / "active_learning_config.yaml",
        "--set",
        *settings,
        f"data.cache_dir={tmp_path / 'fresh'}",  # features are computed anew, and some are lost
        "run_name=run",
        f"output_dir_prefix={tmp_path / 'killed'}",
    ]
    folder = tmp_path / "killed" / "run"
    killed = kill_at(KILLS, command, folder)
    assert killed >= len(KILLS) - 1, "the run was over before it could be killed"
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0
    ends = [
        [{key: value for key, value in line.items() if key != "commit"} for line in ledger(run)]
        for run in (folder, whole)
    ]
    assert ends[0] == ends[1]
    for name in ("results.json", "round_01/model_0.safetensors"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    assert any(line["pseudo_labels"] for line in results["curve"]), "a weak test"


def test_a_first_round_is_shared_and_other_heads_are_refused(settings, tmp_path):
    donor, _ = start("train_active_learning", tmp_path / "random", *settings, *AL, RANDOM)
    share = f"active_learning.first_round_from={donor}"
    _, own = start("train_active_learning", tmp_path / "own", *settings, *AL, ENTROPY)
    _, shared = start("train_active_learning", tmp_path / "shared", *settings, *AL, ENTROPY, share)
    assert own["curve"] == shared["curve"]
    with pytest.raises(UserError, match="another model"):
        start("train_active_learning", tmp_path, *settings, *AL, share, "model.head=auto")


def test_it_works_without_a_background(tmp_path):
    _, results = start(
        "train_active_learning",
        tmp_path / "out",
        f"data.source={streets(tmp_path / 'streets', count=20, line='')}",
        f"data.cache_dir={tmp_path / 'cache'}",
        "data.no_background=true",
        "data.image_size=64",
        "model.network=probe",
        "model.head=linear",
        "active_learning.strategy=class_balanced",
        POINTS,
        *AL,
    )
    assert results["curve"][-1]["test_miou"] > 0.3


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("active_learning.restart=warm", r"active_learning\.restart warm: .* set it to cold"),
        ("training.select=best", r"training\.select best: .* set it to last"),
        ("active_learning.strategy=bald", r"model\.head linear: the strategy bald needs dropout"),
        ("active_learning.strategy=disagreement", r"active_learning\.ensemble_size 1"),
        ("model.name=segformer-tiny", r"model\.name segformer-tiny: no encoder of the probe"),
        ("model.name=tu-nothing", r"model\.name tu-nothing: timm has no stages of it"),
        ("model.weights=nowhere.pth", r"model\.weights nowhere\.pth: no such file"),
        ("model.network=prob", r"model\.network: .*did you mean probe\?"),
    ],
)
def test_what_it_cannot_do_is_refused_in_one_line(override, words, settings, tmp_path):
    with pytest.raises(UserError, match=words) as caught:
        start("train_active_learning", tmp_path / "out", *settings, *AL, override)
    assert "\n" not in str(caught.value) and not list(tmp_path.rglob("round_*"))


def test_ledgers_of_other_networks_are_as_before():
    """What a run without a probe writes of its settings says nothing of one."""
    usual = recorded(Config(), ())
    for name in LATER:
        section, _, key = name.partition(".")
        assert key not in usual[section] and look_up(usual, name) == LATER[name]
    asked = build(Config, {"active_learning": {"pixels_per_image": 9}})
    assert look_up(recorded(asked, ()), "active_learning.pixels_per_image") == 9
    probe = build(Config, {"model": {"network": "probe", "head": "small"}})
    assert recorded(probe, ())["model"].items() >= {"network": "probe", "head": "small"}.items()
