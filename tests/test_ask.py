"""study.py ask: a simulated person answers, runs are scored, and a killed session goes on.

Runs are made in this process: one of their own would mostly import PyTorch.
"""

import json
import shutil
import sys
from unittest.mock import patch

import numpy as np
import pytest
from conftest import run
from made_streets import streets
from test_study import call

import evaluate
import study
from weakseg.common import UserError
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.label_file import load_labels
from weakseg.labels.person import Faults, Person
from weakseg.labels.training_labels import training_ids
from weakseg.planning import runner
from weakseg.planning.ask import usual_points
from weakseg.planning.ask_report import table
from weakseg.planning.candidates import Pool, RandomQuestions
from weakseg.planning.simulated_asking import Annotator
from weakseg.planning.strategies import STRATEGIES
from weakseg.reporting.asking_chart import asking_plot

TINY = ["--", "--img_size", "64", "--encoder_weights", "none", "--views", "1", "--device", "cpu"]


@pytest.fixture(autouse=True, scope="module")
def quick():
    """Run train.py and evaluate.py in this process."""
    with patch.object(runner, "run_command", call):
        yield


@pytest.fixture(scope="module")
def flags(pets_dir, tmp_path_factory):
    cache = tmp_path_factory.mktemp("ask") / "cache"
    return ["ask", "--simulate", "--data_dir", pets_dir, "--cache_dir", cache, "--refit_every", 10]


@pytest.fixture(scope="module")
def done(flags, quick, tmp_path_factory):
    """A finished session of 40 answers, scored after 20 and 40."""
    folder = tmp_path_factory.mktemp("done") / "ask"
    run(study, *flags, "--answers", 40, "--at", 20, "--study_dir", folder, *TINY)
    return folder


def content(folder):
    return json.loads((folder / "ask.json").read_text())


def test_a_session_is_scored_estimated_and_drawn(done):
    rows = content(done)["rows"]
    assert [row["answers"] for row in rows] == [20, 40]
    for row in rows:
        low, point, high = row["low"], row["miou"], row["high"]
        assert 0 <= low <= point <= high <= 100
        assert 0 <= row["truth"] <= 100 and len(row["estimate"]["miou"]) == 3
    assert table(rows).strip() == (done / "table.md").read_text().strip()
    assert (done / "ask.png").stat().st_size > 5000
    assert (done / "strip.png").stat().st_size > 5000
    with np.load(done / "out_of_fold.npz") as file:
        assert len(file["predicted"]) == len(file["answers"]) == len(file["areas"])


def test_minutes_are_those_of_answers_and_looks(done):
    for row in content(done)["rows"]:
        labels = load_labels(done / "labels" / f"answers_{row['answers']}.pkl")["images"]
        asked = {
            (name, pixel["x"], pixel["y"])
            for name, label in labels.items()
            for pixel in label["pixels"]
        }
        looks = sum(bool(label["pixels"]) for label in labels.values())
        assert row["pictures"] == looks
        assert 60 * row["minutes"] == pytest.approx(2 * len(asked) + 1.5 * looks)


def test_the_label_file_says_how_each_pixel_was_drawn(done, pets_dir):
    labels = load_labels(done / "labels" / "answers_40.pkl")["images"]
    pixels = [pixel for label in labels.values() for pixel in label["pixels"]]
    assert {pixel["drawn"] for pixel in pixels} == {"random", "combined"}
    assert all((pixel["fit"] > 0) or pixel["drawn"] == "random" for pixel in pixels)
    # The random ones are the sequence of the seed.
    drawn = [pixel for pixel in pixels if pixel["drawn"] == "random"]
    sizes = np.array([label["size"] for label in labels.values()])
    pictures, places = RandomQuestions(0, sizes).drawn(0, len(drawn))
    names = list(labels)
    expected = sorted((names[p], x, y) for p, (x, y) in zip(pictures, places, strict=True))
    found = sorted(
        (name, pixel["x"], pixel["y"])
        for name, label in labels.items()
        for pixel in label["pixels"]
        if pixel["drawn"] == "random"
    )
    assert found == expected


def test_the_last_model_is_a_run_that_evaluate_takes(done, flags, tmp_path):
    last = content(done)["rows"][-1]
    where = ["--checkpoint_dir", done / "runs", "--results_dir", tmp_path, "--device", "cpu"]
    run(evaluate, "--run_name", last["run"], *where)
    result = json.loads((tmp_path / f"{last['run']}.json").read_text())
    assert 100 * result["aggregate"]["miou"] == pytest.approx(last["miou"])
    assert 60 * sum(result["cost"]["seconds"].values()) / 3600 == pytest.approx(last["minutes"])


def test_a_finished_session_is_not_run_again(done, flags, tmp_path, capsys):
    folder = shutil.copytree(done, tmp_path / "ask")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.pt")}
    run(study, *flags, "--answers", 40, "--at", 20, "--study_dir", folder, *TINY)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.pt")} == before
    assert content(folder) == content(done)


def stopped_before_evaluation(command, *rest):
    """Stand for the running of a command that is stopped when a run is trained, not evaluated."""
    if "evaluate.py" in command[1]:
        raise KeyboardInterrupt
    return call(command, *rest)


@pytest.mark.parametrize(
    "place, stop",
    [
        ("weakseg.planning.runner.run_command", stopped_before_evaluation),
        pytest.param("weakseg.planning.ask.estimated", KeyboardInterrupt, marks=pytest.mark.slow),
    ],
)
def test_a_session_that_was_stopped_ends_the_same(place, stop, done, flags, tmp_path):
    """Stopped after 20 answers: with a run that is not evaluated, and not estimated."""
    folder = tmp_path / "ask"
    common = [*flags, "--study_dir", folder]
    with patch(place, side_effect=stop), pytest.raises(KeyboardInterrupt):
        run(study, *common, "--answers", 40, "--at", 20, *TINY)
    assert not (folder / "ask.json").exists()
    run(study, *common, "--answers", 40, "--at", 20, *TINY)
    ours, theirs = (content(each)["rows"] for each in (folder, done))
    for one, other in zip(ours, theirs, strict=True):
        assert {k: v for k, v in one.items() if k != "commit"} == {
            k: v for k, v in other.items() if k != "commit"
        }


def test_more_answers_go_on_where_the_session_ended(done, flags, tmp_path):
    folder = shutil.copytree(done, tmp_path / "ask")
    run(study, *flags, "--answers", 50, "--at", 50, "--study_dir", folder, *TINY)
    rows = content(folder)["rows"]
    assert rows[:2] == content(done)["rows"] and rows[2]["answers"] == 50


def test_points_that_are_past_are_said_to_be(done, flags, tmp_path, capsys):
    folder = shutil.copytree(done, tmp_path / "ask")
    for _ in range(2):
        run(study, *flags, "--answers", 40, "--at", 30, "--study_dir", folder, *TINY)
        assert "--at 30: the session has 40 answers" in capsys.readouterr().out
        assert content(folder) == content(done)


def test_a_session_whose_file_was_deleted_begins_anew(done, flags, tmp_path):
    folder = shutil.copytree(done, tmp_path / "ask")
    (folder / "session.npz").unlink()
    run(study, *flags, "--answers", 40, "--at", 20, "--study_dir", folder, *TINY)
    ours, theirs = (content(each)["rows"] for each in (folder, done))
    assert [row["miou"] for row in ours] == [row["miou"] for row in theirs]


def test_other_flags_are_refused(done, flags, tmp_path):
    folder = shutil.copytree(done, tmp_path / "ask")
    with pytest.raises(UserError, match=r"ask\.json: is of a session with other flags"):
        run(study, *flags, "--answers", 40, "--seed", 1, "--study_dir", folder, *TINY)
    (folder / "ask.json").unlink()
    with pytest.raises(UserError, match=r"session\.npz: is a session of other"):
        run(study, *flags, "--answers", 40, "--seed", 1, "--study_dir", folder, *TINY)


def test_it_begins_from_examples_or_from_labels(flags, pets_labels, tmp_path):
    folder = tmp_path / "examples"
    common = [*flags, "--answers", 12, "--at", 12]
    run(study, *common, "--start", "examples", "--study_dir", folder, *TINY)
    labels = load_labels(folder / "labels" / "answers_12.pkl")["images"]
    drawn = [pixel for label in labels.values() for pixel in label["pixels"]]
    examples = [pixel["class"] for pixel in drawn if pixel["drawn"] == "example"]
    assert sorted(examples) == [0, 1]

    folder = tmp_path / "labels"
    own = ["--labels", "points", "--weak_label_path", pets_labels, "--study_dir", folder]
    run(study, *common, *own, *TINY)
    row = content(folder)["rows"][0]
    assert row["run"].startswith("points_pixels")
    labels = load_labels(folder / "labels" / "answers_12.pkl")["images"]
    given = load_labels(pets_labels)["images"]
    assert all(label["points"] == given[name]["points"] for name, label in labels.items())
    # The clicks begin the model: not all of the first questions are random.
    drawn = [pixel["drawn"] for label in labels.values() for pixel in label["pixels"]]
    assert "combined" in drawn


def test_without_a_background(tmp_path):
    """CamVid's kind of data: several classes, the first of which is one like any other."""
    folder = streets(tmp_path / "streets")
    common = ["ask", "--simulate", "--data_dir", folder, "--no_background", "--refit_every", 10]
    own = ["--cache_dir", tmp_path / "cache", "--study_dir", tmp_path / "ask"]
    words = [*common, *own, "--answers", 30, "--at", 30, "--strategy", "rare"]
    run(study, *words, *TINY, "--head", "linear")
    row = content(tmp_path / "ask")["rows"][0]
    assert row["answers"] == 30 and row["estimate"]["foreground_iou"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--answers", 0], "must be at least 1"),
        (["--at", 0], "must be at least 1"),
        (["--random_share", 1.5], "--random_share 1.5: must lie between 0 and 1"),
        (["--refit_every", 0], "--refit_every 0"),
        (["--seed", -1], "--seed -1"),
        (["--faults", -1], "--faults"),
        (["--faults", 1, 2], "--faults"),
        (["--labels", "boxs"], "did you mean boxes"),
        (["--labels", "pixels"], "--labels pixels"),
        (["--train_limit", 99], "--train_limit 99"),
        (["--cost_schedule", "relative"], "hours are needed"),
        (["--labels", "points", "--weak_label_path", "nowhere.pkl"], "nowhere.pkl: no such"),
    ],
)
def test_what_means_nothing_is_refused(flags, tmp_path, words, message):
    with pytest.raises(UserError) as caught:
        run(study, *flags, "--study_dir", tmp_path / "ask", *words, *TINY)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_the_flag_knows_all_strategies():
    for name in STRATEGIES:
        with patch.object(sys, "argv", ["study.py", "ask", "--strategy", name]):
            assert study.parse_args().strategy == name


def test_a_misspelt_command_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        run(study, "aks", "--simulate")
    assert caught.value.code == 2
    assert "invalid choice 'aks': did you mean ask? choose from" in capsys.readouterr().err


def test_a_person_is_needed(flags, tmp_path):
    with pytest.raises(UserError, match="--simulate"):
        run(study, "ask", *flags[2:], "--study_dir", tmp_path)


def test_points_double(done):
    assert usual_points(800) == (50, 100, 200, 400, 800)
    assert usual_points(30) == (30,) and usual_points(120) == (50, 100, 120)


# ---- the simulated person in front of the pictures


@pytest.fixture(scope="module")
def annotator(pets_dir, tmp_path_factory):
    cache = tmp_path_factory.mktemp("annotator")
    dataset = open_dataset(DataOptions.of({"data_dir": pets_dir, "cache_dir": cache}))
    names = training_ids(dataset, 0)
    return Annotator(dataset, names, Person(1, Faults(), num_classes=2))


def test_examples_show_what_is_plain_to_see(annotator):
    for label, question in enumerate(annotator.examples(2)):
        mask = annotator.dataset.mask(annotator.names[question.picture])
        x, y = map(int, question.place)
        around = mask[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        assert (around == label).all()


def test_the_answers_to_candidates_are_those_to_questions(annotator):
    names = annotator.names[:1]
    width, height = annotator.dataset.image_size(names[0])
    rng = np.random.default_rng(0)
    places = (rng.integers(0, (width, height), (1, 30, 2)) + 0.5).astype(np.float32)
    pool = Pool(names, np.array([[width, height]]), places, np.zeros((1, 30, 1)))
    mask = annotator.dataset.mask(names[0])
    expected = [annotator.person.answer(names[0], mask, (float(x), float(y))) for x, y in places[0]]
    assert annotator.answers_to_candidates(pool, 0) == expected


def test_a_figure_needs_rows(tmp_path):
    with pytest.raises(ValueError, match="no rows"):
        asking_plot(tmp_path / "a.png", [])
