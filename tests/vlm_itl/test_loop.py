"""The three pipelines by their scripts on a tiny data set: budgets, costs, secrets, resuming."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import run
from made_streets import streets
from PIL import Image

from vlm_itl.training.trainer import logging_steps
from weakseg.common import UserError
from weakseg.labels.costs import LOOK, load_schedule
from weakseg.labels.signals import SIGNALS
from weakseg.planning.acquisition import STRATEGIES

ROOT = Path(__file__).parents[2]
LOOKS = load_schedule().prices[LOOK]["image"]  # seconds of a look at one image
opened = []  # paths of ground-truth masks, in the order in which any code opened them
sys.addaudithook(
    lambda event, args: (
        opened.append(Path(args[0]).stem)
        if event == "open" and isinstance(args[0], (str, os.PathLike)) and "trimaps" in str(args[0])
        else None
    )
)


@pytest.fixture
def tiny(pets_dir, tmp_path):
    """Overrides that make a shipped configuration tiny, with a cache of its own."""
    return [
        f"data.source={pets_dir}",
        f"data.cache_dir={tmp_path / 'cache'}",
        "data.image_size=64",
        "model.name=segformer-tiny",
        "training.steps=2",
        "training.batch_size=4",
    ]


AL = [
    "active_learning.initial_percentage=15",
    "active_learning.increment_percentage=15",
    "active_learning.max_percentage=30",
]


def start(script, folder, *overrides):
    """Run a script on its shipped configuration, below `folder` -> (run directory, results)."""
    module = importlib.import_module(f"scripts.{script}")
    kind = "baseline" if script == "train_baseline" else "active_learning"
    where = f"output_dir{'' if kind == 'baseline' else '_prefix'}={folder}"
    results = run(
        module, "--config", ROOT / "configs" / f"{kind}_config.yaml", "--set", where, *overrides
    )
    name = next((o.partition("=")[2] for o in overrides if o.startswith("run_name=")), None)
    if name is None:
        found = [path.parent for path in Path(folder).rglob("results.json")]
        assert len(found) == 1
        return found[0], results
    return Path(folder) / name, results


def ledger(folder):
    return [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]


def bought(folder):
    """Return {id: label} of everything a run bought, and check that nothing was bought twice."""
    labels = [item for line in ledger(folder) for item in line.get("bought", {}).items()]
    assert len(dict(labels)) == len(labels)
    return dict(labels)


def test_baseline_buys_everything_once(tiny, tmp_path, capsys):
    folder, results = start("train_baseline", tmp_path / "out", *tiny)
    (point,) = results["curve"]
    labels = bought(folder)
    assert point["images"] == results["pool"] == len(labels) and point["percent"] == 100
    assert point["seconds"] == sum(
        LOOKS + SIGNALS["full"].seconds(label["annotations"]["full"]) for label in labels.values()
    )
    assert (folder / "round_00" / "model_0.safetensors").exists()
    assert "cross-validation: a model of the other photographs agrees" in capsys.readouterr().out
    table = (folder / "round_00" / "cross_validation.csv").read_text().splitlines()[1:]
    assert {line.split(",")[0] for line in table} == {*labels}
    with np.load(folder / "round_00" / "test.npz") as file:
        confusion = torch.from_numpy(file["confusions"].sum(0)).double()
    union = confusion.sum(0) + confusion.sum(1) - confusion.diagonal()
    assert point["test_miou"] == pytest.approx(float((confusion.diagonal() / union).nanmean()))


def test_active_learning_keeps_its_budgets(tiny, tmp_path):
    folder, results = start("train_active_learning", tmp_path / "out", *tiny, *AL)
    pool = results["pool"]
    assert [point["images"] for point in results["curve"]] == [
        round(0.15 * pool),
        round(0.30 * pool),
    ]
    for axis in ("percent", "seconds"):
        assert (folder / f"curve_{axis}.png").exists()
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert {line.get("round") for line in log} == {0, 1} and any("loss" in line for line in log)


def test_seconds_are_the_budget_where_asked(tiny, tmp_path):
    """No round spends less than its budget, and none passes it by more than its last label."""
    budgets = [300, 700]
    folder, results = start(
        "train_active_learning",
        tmp_path / "out",
        *tiny,
        f"active_learning.budgets={budgets}",
        "active_learning.budget_unit=seconds",
    )
    dearest = max(label["seconds"] for label in bought(folder).values())
    for point, budget in zip(results["curve"], budgets, strict=True):
        assert budget <= point["seconds"] < budget + dearest


@pytest.mark.parametrize(
    "label",
    ["pixels", "hybrid_tags_points"]
    + [pytest.param(name, marks=pytest.mark.slow) for name in ("points", "tags", "boxes")],
)
def test_weak_labels_can_be_bought(label, tiny, tmp_path):
    folder, results = start(
        "train_active_learning", tmp_path / "out", *tiny, *AL, f"active_learning.label={label}"
    )
    wanted = set(label.removeprefix("hybrid_").split("_"))
    labels = bought(folder)
    assert all(
        set(entry["signals"]) == wanted and "full" not in entry["annotations"]
        for entry in labels.values()
    )
    price = sum(
        SIGNALS[s].seconds(entry["annotations"][s]) for entry in labels.values() for s in wanted
    )
    assert results["curve"][-1]["seconds"] == pytest.approx(price + LOOKS * len(labels))


def held_out(folder):
    """Return the ids whose masks may be opened unbought: validation and test."""
    from vlm_itl.config import Config
    from vlm_itl.settings import build
    from vlm_itl.training.data import open_images, splits_of

    data = build(Config, ledger(folder)[0]["config"]).data
    data = data.model_copy(update={"cache_dir": str(folder / "cache")})
    ids = splits_of(open_images(data), data)
    return {*ids["val"], *ids["test"]}


firsts = {}  # strategy -> the ids of its first purchase


# One of each kind; test_probe_loop.py has others with a probe.
QUICK = {"random", "disagreement", "badge"}


@pytest.mark.parametrize(
    "strategy",
    [
        pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
        for name in STRATEGIES
        if not name.endswith("_per_second")
    ],
)
def test_strategies_begin_alike_and_never_see_the_truth(strategy, tiny, tmp_path):
    """Only bought masks, and those of the validation and the test split, are ever opened."""
    opened.clear()
    members = 2 if strategy == "disagreement" else 1
    folder, results = start(
        "train_active_learning",
        tmp_path / "out",
        *tiny,
        *AL,
        "training.steps=1",
        f"active_learning.strategy={strategy}",
        f"active_learning.ensemble_size={members}",
    )
    assert set(opened) <= set(bought(folder)) | held_out(folder)
    assert len(bought(folder)) < results["pool"] / 2
    firsts[strategy] = sorted(ledger(folder)[1]["bought"])
    assert all(ids == firsts[strategy] for ids in firsts.values())


JUDGED = [*AL, "active_learning.strategy=random", "vlm_itl.iou_bar=0.05", "vlm_itl.examine=False"]
FREE = ["vlm_itl.risk=null", "vlm_itl.calibration=none", "vlm_itl.audit_share=0"]


@pytest.mark.parametrize(
    "handler",
    ["learned"]
    + [pytest.param(name, marks=pytest.mark.slow) for name in ("confidence", "accept_all")],
)
def test_judges_never_see_the_truth(handler, tiny, tmp_path):
    opened.clear()
    folder, results = start(
        "train_vlm_itl", tmp_path / "out", *tiny, *JUDGED, f"vlm_itl.vlm_handler={handler}"
    )
    assert set(opened) <= set(bought(folder)) | held_out(folder)
    assert len(bought(folder)) < results["pool"] / 2


def test_the_watch_on_the_truth_works(tiny, tmp_path):
    """A simulated judge and the report look at unbought masks, and the watch sees it."""
    opened.clear()
    folder, _ = start(
        "train_vlm_itl", tmp_path / "out", *tiny, *JUDGED, *FREE, "vlm_itl.vlm_handler=mock"
    )
    assert not set(opened) <= set(bought(folder)) | held_out(folder)


def test_unfiltered_pseudo_labels_cost_no_human_time(tiny, tmp_path):
    """Both arms buy equally many images; the judge's arm trains on all the others too."""
    alone, first = start("train_active_learning", tmp_path / "alone", *tiny, *AL)
    judged, second = start(
        "train_vlm_itl", tmp_path / "judged", *tiny, *AL, *FREE, "vlm_itl.vlm_handler=accept_all"
    )
    assert [p["images"] for p in first["curve"]] == [p["images"] for p in second["curve"]]
    last = second["curve"][-1]
    assert (
        last["pseudo_labels"] == second["pool"] - last["images"]
        and first["curve"][-1]["pseudo_labels"] == 0
    )
    assert set(bought(alone)) != set() and list((judged / "round_00" / "pseudo").glob("*.png"))


def test_the_oracle_gate_accepts_the_good_and_hands_the_bad_to_the_human(tiny, tmp_path):
    folder, results = start(
        "train_vlm_itl",
        tmp_path / "out",
        *tiny,
        *AL,
        *FREE,
        "vlm_itl.vlm_handler=mock",
        "vlm_itl.iou_bar=0.2",
        "vlm_itl.vlm_options={true_positive_rate: 1, false_positive_rate: 0}",
        "training.steps=12",
    )
    (judged,) = results["judge"]
    assert judged["realised_risk"] in (0, None) and judged["agreement"] == 1
    routes = {
        name: v["route"]
        for name, v in next(x for x in ledger(folder) if x["stage"] == "judge")["verdicts"].items()
    }
    chosen = [
        routes[name]
        for name in next(x for x in ledger(folder) if (x["round"], x["stage"]) == (1, "buy"))[
            "bought"
        ]
    ]
    assert chosen == ["reject"] * min(len(chosen), list(routes.values()).count("reject")) + [
        "accept"
    ] * max(0, len(chosen) - list(routes.values()).count("reject"))


def test_a_judge_that_never_answers_stops_the_run(tiny, tmp_path):
    """Nothing is written about its round, what was bought stays, and the address may change."""
    settings = [*tiny, *JUDGED, "vlm_itl.vlm_handler=openai", "run_name=run"]
    options = (
        "vlm_itl.vlm_options={{base_url: 'http://127.0.0.1:{}/v1', model: m, retries: 0, "
        "cache: {}}}"
    )
    for port in (9, 19):
        where = options.format(port, tmp_path / "answers.sqlite")
        with pytest.raises(UserError, match=r"none of the first .* masks was answered"):
            start("train_vlm_itl", tmp_path / "out", *settings, where)
    stages = [line["stage"] for line in ledger(tmp_path / "out" / "run")]
    assert stages == ["start", "buy", "train", "evaluate", "audit"]


def test_who_judges_does_not_matter_to_a_run_without_a_judge(tiny, tmp_path):
    """The section vlm_itl may change while an active-learning run is there."""
    folder, _ = start("train_active_learning", tmp_path / "out", *tiny, *AL)
    before = (folder / "ledger.jsonl").read_bytes()
    start(
        "train_active_learning",
        tmp_path / "out",
        *tiny,
        *AL,
        "vlm_itl.vlm_handler=mock",
        "vlm_itl.enabled=False",
    )
    assert (folder / "ledger.jsonl").read_bytes() == before


@pytest.mark.slow
def test_pairwise_keeps_the_better_of_two_rounds(tiny, tmp_path):
    """A judge that knows the truth keeps the older mask only where it is better."""
    folder, results = start(
        "train_vlm_itl",
        tmp_path / "out",
        *tiny,
        "active_learning.initial_percentage=15",
        "active_learning.increment_percentage=15",
        "active_learning.max_percentage=45",
        *FREE,
        "training.steps=6",
        "vlm_itl.vlm_handler=mock",
        "vlm_itl.vlm_options={iou_noise: 0.0001}",
        "vlm_itl.pairwise=True",
    )
    plain, alone = start(
        "train_vlm_itl",
        tmp_path / "plain",
        *tiny,
        "active_learning.initial_percentage=15",
        "active_learning.increment_percentage=15",
        "active_learning.max_percentage=45",
        *FREE,
        "training.steps=6",
        "vlm_itl.vlm_handler=mock",
        "vlm_itl.vlm_options={iou_noise: 0.0001}",
    )
    pairs = [
        next(x for x in ledger(f) if (x["round"], x["stage"]) == (1, "judge"))["verdicts"]
        for f in (folder, plain)
    ]
    assert results["judge"][1]["older_masks"] > 0 == alone["judge"][1]["older_masks"]
    assert all(pairs[0][name]["iou"] >= pairs[1][name]["iou"] - 0.01 for name in pairs[0])


def test_a_network_that_cannot_be_had_leaves_no_settings_behind(tiny, tmp_path):
    with pytest.raises(UserError, match=r"model\.name"):
        start(
            "train_active_learning",
            tmp_path / "out",
            *tiny,
            *AL,
            "model.name=efficientnet-lite9",
            "run_name=run",
        )
    start("train_active_learning", tmp_path / "out", *tiny, *AL, "run_name=run")


def test_rounds_without_a_ledger_are_refused(tiny, tmp_path):
    folder, _ = start("train_active_learning", tmp_path / "out", *tiny, *AL)
    (folder / "ledger.jsonl").unlink()
    with pytest.raises(UserError, match="holds rounds but no ledger"):
        start("train_active_learning", tmp_path / "out", *tiny, *AL)


@pytest.mark.parametrize(
    ("script", "enabled"), [("train_active_learning", True), ("train_vlm_itl", False)]
)
def test_enabled_decides_which_script_may_run(script, enabled, tiny, tmp_path):
    with pytest.raises(UserError, match=r"vlm_itl\.enabled"):
        start(script, tmp_path / "out", *tiny, f"vlm_itl.enabled={enabled}")
    assert not (tmp_path / "out").exists()


def test_a_finished_run_is_not_run_again(tiny, tmp_path):
    folder, _ = start("train_active_learning", tmp_path / "out", *tiny, *AL)
    before = (folder / "ledger.jsonl").read_bytes(), (folder / "results.json").read_bytes()
    start("train_active_learning", tmp_path / "out", *tiny, *AL)
    assert (
        (folder / "ledger.jsonl").read_bytes(),
        (folder / "results.json").read_bytes(),
    ) == before
    with pytest.raises(UserError, match="other settings"):
        start("train_active_learning", tmp_path / "out", *tiny, *AL, "training.steps=3")
    assert (folder / "ledger.jsonl").read_bytes() == before[0]


def test_the_first_round_can_be_shared(tiny, tmp_path):
    """A round taken over from another run is the round that the run would have computed."""
    donor, _ = start(
        "train_active_learning", tmp_path / "random", *tiny, *AL, "active_learning.strategy=random"
    )
    _, first = start(
        "train_active_learning", tmp_path / "own", *tiny, *AL, "active_learning.strategy=entropy"
    )
    share = f"active_learning.first_round_from={donor}"
    _, second = start(
        "train_active_learning",
        tmp_path / "shared",
        *tiny,
        *AL,
        "active_learning.strategy=entropy",
        share,
    )
    assert first["curve"] == second["curve"]
    for wrong in (
        "seed=1",
        "training.steps=3",
        "active_learning.label=points",
        "active_learning.initial_percentage=20",
    ):
        with pytest.raises(UserError, match="first_round_from"):
            start(
                "train_active_learning",
                tmp_path / "wrong",
                *tiny,
                *AL,
                share,
                wrong,
                f"run_name={wrong}",
            )


@pytest.mark.slow
def test_warm_restart_and_ensembles(tiny, tmp_path):
    """A warm start leads elsewhere than a cold one; the members of an ensemble differ."""
    cold, _ = start(
        "train_active_learning", tmp_path / "cold", *tiny, *AL, "active_learning.ensemble_size=2"
    )
    warm, _ = start(
        "train_active_learning",
        tmp_path / "warm",
        *tiny,
        *AL,
        "active_learning.ensemble_size=2",
        "active_learning.restart=warm",
    )
    trained = [
        [line["weights"] for line in ledger(folder) if line["stage"] == "train"]
        for folder in (cold, warm)
    ]
    assert trained[0][0] == trained[1][0] and trained[0][1] != trained[1][1]
    assert len({*trained[0][0], *trained[0][1]}) == 4


KILLS = ("lines 1", "lines 3", "checkpoint 1", "lines 5", "lines 6", "pseudo 1", "lines 9")


def reached(folder, moment):
    """Whether a run has come to a moment: lines in its ledger, or a file of a stage under way."""
    what, number = moment.split()
    if what == "lines":
        path = folder / "ledger.jsonl"
        return path.exists() and path.read_bytes().count(b"\n") >= int(number)
    pattern = {
        "checkpoint": f"round_{int(number):02d}/trainer_0/checkpoint-1/complete",
        "pseudo": f"round_{int(number):02d}/pseudo/*.png",
    }[what]
    return any(folder.glob(pattern))


def kill_at(moments, command, folder):
    """Start a command once for each moment of its run in `folder`, and kill it there.

    Returns how often it was killed: it may be over before.
    """
    killed = 0
    for moment in moments:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        while process.poll() is None and not reached(folder, moment):
            time.sleep(0.002)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        assert process.wait() in (0, -signal.SIGKILL), process.stderr.read().decode()
    return killed


@pytest.mark.slow
def test_killed_at_any_stage_it_ends_as_if_never_interrupted(tiny, tmp_path):
    """SIGKILL between stages and in the middle of them leaves ledger and results the same."""
    settings = [
        *tiny,
        "active_learning.initial_percentage=20",
        "active_learning.increment_percentage=20",
        "active_learning.max_percentage=60",
        "active_learning.strategy=bald",
        "training.steps=4",
        "training.eval_steps=1",
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
        "run_name=run",
        f"output_dir_prefix={tmp_path / 'killed'}",
    ]
    folder = tmp_path / "killed" / "run"
    killed = kill_at(KILLS, command, folder)
    assert killed >= len(KILLS) - 2, "the run was over before it could be killed"
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0
    assert ledger(folder) == ledger(whole)
    assert json.loads((folder / "results.json").read_text()) == json.loads(
        (whole / "results.json").read_text()
    )
    assert steps_logged(folder) == steps_logged(whole)
    assert any(line["pseudo_labels"] for line in results["curve"]), (
        "the judge accepted nothing: a weak test"
    )


def steps_logged(folder):
    """Return the lines of a run's log without what the clock says."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    clock = ("time", "eval_runtime", "eval_samples_per_second", "eval_steps_per_second")
    return [{key: line[key] for key in line if key not in clock} for line in lines]


def test_what_is_logged_does_not_depend_on_where_a_training_goes_on():
    """Means of the loss end at every checkpoint."""
    for steps in range(1, 400, 7):
        for every in {1, 50, steps // 3, steps} - {0}:
            number = logging_steps(steps, every)
            assert every % number == 0 and 1 <= number <= max(1, steps // 10)
    assert logging_steps(300, 50) == 25 and logging_steps(200, 200) == 20


@pytest.fixture(scope="module")
def street_folder(tmp_path_factory):
    """Drawn streets, whose line 1 of classes.txt is sky."""
    return streets(tmp_path_factory.mktemp("streets") / "data", count=30, line="")


@pytest.mark.parametrize(
    ("script", "overrides"),
    [
        ("train_baseline", []),
        pytest.param(
            "train_active_learning",
            ["active_learning.strategy=class_balanced"],
            marks=pytest.mark.slow,
        ),
        (
            "train_active_learning",
            ["active_learning.strategy=clasp_pe", "active_learning.label=points"],
        ),
        pytest.param("train_vlm_itl", ["vlm_itl.vlm_handler=mock"], marks=pytest.mark.slow),
        ("train_vlm_itl", ["vlm_itl.vlm_handler=learned"]),
    ],
)
def test_every_script_works_without_a_background(street_folder, tmp_path, script, overrides):
    tiny = [
        f"data.source={street_folder}",
        f"data.cache_dir={tmp_path / 'cache'}",
        "data.no_background=true",
        "data.image_size=64",
        "model.name=segformer-tiny",
        "training.steps=2",
        "training.batch_size=4",
    ]
    rounds = [] if script == "train_baseline" else AL
    if script == "train_vlm_itl":  # everything is accepted, and learned from
        rounds = [*AL, "vlm_itl.risk=null", "vlm_itl.iou_bar=0.01"]
    folder, results = start(script, tmp_path / "out", *tiny, *rounds, *overrides)
    assert results["curve"][-1]["test_miou"] > 0
    for label in bought(folder).values():
        if "full" in label["signals"]:
            assert label["annotations"]["full"] == {"objects": 4, "classes": 3}
        if "points" in label["signals"]:
            assert {point[2] for point in label["annotations"]["points"]} == {0, 1, 2}
    for path in folder.glob("round_*/pseudo/*.png"):
        with Image.open(path) as mask:
            assert set(np.unique(np.asarray(mask))) <= {0, 1, 2, 255}
    with np.load(sorted(folder.glob("round_*/test.npz"))[-1]) as file:
        assert file["confusions"].shape[1:] == (3, 3)
