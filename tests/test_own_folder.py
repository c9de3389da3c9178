"""Somebody's own pictures, from the folder to the table."""

import json

import numpy as np
import pytest
from conftest import run
from made_streets import skies, streets
from PIL import Image

import analyze
import evaluate
import train
import weak_label_generator
from weakseg.common import UserError
from weakseg.data.datasets import Folder
from weakseg.labels.label_file import load_labels, save_labels
from weakseg.labels.label_header import header


def own_folder(pets_dir, root):
    """Lay out 20 drawn pictures as images/, masks/ and classes.txt, two image formats among
    them.
    """
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    (root / "classes.txt").write_text("background\nanimal\n")
    for k, path in enumerate(sorted((pets_dir / "images").glob("*.jpg"))[:20]):
        suffix = "png" if k % 2 else "jpg"
        Image.open(path).save(root / "images" / f"{path.stem}.{suffix}")
        trimap = np.array(Image.open(pets_dir / "annotations" / "trimaps" / f"{path.stem}.png"))
        mask = np.choose(trimap, [0, 1, 0, 255]).astype(np.uint8)
        Image.fromarray(mask).save(root / "masks" / f"{path.stem}.png")
    return root


def test_from_own_pictures_to_the_table(pets_dir, tmp_path):
    data = [
        "--data_dir",
        own_folder(pets_dir, tmp_path / "mine"),
        "--cache_dir",
        tmp_path / "cache",
    ]
    labels = tmp_path / "mine.pkl"
    run(weak_label_generator, *data, "--output_file", labels, "--jobs", 1, "--preview", 2)
    assert Image.open(tmp_path / "mine_preview.png").width > 100
    assert load_labels(labels)["classes"] == ["background", "animal"]
    run(
        train,
        "--supervision_modes",
        "points",
        "boxes",
        "--run_name",
        "mix",
        "--epochs",
        1,
        "--img_size",
        64,
        "--weak_label_path",
        labels,
        "--checkpoint_dir",
        tmp_path / "runs",
        "--device",
        "cpu",
        *data,
    )
    run(
        evaluate,
        "--checkpoint_dir",
        tmp_path / "runs",
        "--results_dir",
        tmp_path / "results",
        "--device",
        "cpu",
    )
    result = json.loads((tmp_path / "results" / "mix.json").read_text())
    assert result["supervision"] == ["points", "boxes"]
    assert list(result["images"]) == Folder(tmp_path / "mine", cache_dir=tmp_path / "cache").ids(
        "test"
    )
    assert result["cost"]["seconds"].keys() == {"points", "boxes", "look"}


def test_simulated_labels_need_every_mask_and_never_replace_drawn_ones(pets_dir, tmp_path):
    root = own_folder(pets_dir, tmp_path / "mine")
    drawn = tmp_path / "drawn.pkl"
    save_labels(
        drawn,
        header(Folder(root, cache_dir=tmp_path / "cache"), 0, {}),
        1,
        [("a", {"size": [4, 4]})],
    )
    before = drawn.read_bytes()
    with pytest.raises(UserError, match="not written by this script"):
        run(weak_label_generator, "--data_dir", root, "--output_file", drawn)
    assert drawn.read_bytes() == before
    name = Folder(root, cache_dir=tmp_path / "cache").ids("train")[0]
    (root / "masks" / f"{name}.png").unlink()
    assert name in Folder(root, cache_dir=tmp_path / "cache").ids("train")
    with pytest.raises(UserError, match=f"{name}.*simulated from masks"):
        run(weak_label_generator, "--data_dir", root, "--output_file", tmp_path / "new.pkl")


# ---- without a background, and with instances


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """Drawn streets and their weak labels: {"data", "labels", "root"}."""
    root = tmp_path_factory.mktemp("streets")
    data, labels = streets(root / "data"), root / "labels.pkl"
    flags = ["--data_dir", data, "--cache_dir", root / "cache"]
    run(weak_label_generator, *flags, "--output_file", labels, "--jobs", 1, "--preview", 2)
    return {"data": flags, "labels": labels, "root": root}


def test_labels_of_streets_name_every_class_and_each_car(street):
    content = load_labels(street["labels"])
    assert content["classes"] == content["tag_names"] == ["sky", "road", "car"]
    assert (street["root"] / "labels_preview.png").exists()
    for labels in content["images"].values():
        assert labels["full"] == {"objects": 4, "classes": 3}
        assert labels["tags"] == {"present": ["sky", "road", "car"], "absent": []}
        for signal, place in (("points", 2), ("boxes", 4)):
            assert sorted(one[place] for one in labels[signal]) == [0, 1, 2, 2]
        assert sorted(stroke["class"] for stroke in labels["scribbles"]) == [0, 1, 2, 2]


def trained(street, name, *flags):
    """Train a run of one epoch, evaluate it, and return its result."""
    root = street["root"]
    tiny = "--epochs 1 --img_size 64 --batch_size 4 --encoder_weights none --device cpu".split()
    where = ["--weak_label_path", street["labels"], "--checkpoint_dir", root / "runs"]
    run(train, *street["data"], *where, *tiny, "--run_name", name, *flags)
    where = ["--checkpoint_dir", root / "runs", "--results_dir", root / "results"]
    run(evaluate, *where, "--run_name", name, "--device", "cpu")
    return json.loads((root / "results" / f"{name}.json").read_text())


ALL_MODES = [
    ("full", "plain"),
    pytest.param("tags", "plain", marks=pytest.mark.slow),
    pytest.param("boxes", "plain", marks=pytest.mark.slow),
    ("tags", "strong"),
    pytest.param("points", "strong", marks=pytest.mark.slow),
    pytest.param("scribbles", "strong", marks=pytest.mark.slow),
    pytest.param("boxes", "strong", marks=pytest.mark.slow),
    ("hybrid_points_boxes", "strong"),
]


@pytest.mark.parametrize(("mode", "recipe"), ALL_MODES)
def test_streets_train_and_are_scored_by_every_class(street, mode, recipe):
    result = trained(street, f"{mode}_{recipe}", "--supervision_mode", mode, "--recipe", recipe)
    assert result["task"]["classes"] == ["sky", "road", "car"]
    assert result["task"]["has_background"] is False
    aggregate = result["aggregate"]
    assert len(aggregate["boundary_f_classes"]) == len(aggregate["iou"]) == 3
    if mode not in ("full", "tags"):  # no class is looked for in vain
        signals = result["supervision"]
        assert all(result["cost"]["counts"][signal]["absent"] == 0 for signal in signals)
    table = (street["root"] / "results" / "table.md").read_text()
    assert "All sky" in table or "All road" in table
    assert "ackground" not in table


@pytest.mark.parametrize("mode", ["boxes", "hybrid_points_boxes"])
def test_boxes_teach_a_probe_the_class_behind_everything(mode, tmp_path):
    """Its boxes are whole pictures; what the other boxes leave is of it."""
    root = skies(tmp_path / "skies")
    data = ["--data_dir", root, "--cache_dir", tmp_path / "cache"]
    labels = tmp_path / "labels.pkl"
    run(weak_label_generator, *data[:2], "--output_file", labels, "--jobs", 1)
    street = {"root": root, "data": data, "labels": labels}
    words = ["--learner", "probe", "--head", "linear", "--supervision_mode", mode]
    result = trained(street, "r", *words)
    assert result["aggregate"]["miou"] > 0.7  # sky everywhere: below 0.5


def test_streets_are_compared_by_every_class(street):
    for seed in (0, 1):
        trained(street, f"plain{seed}", "--supervision_mode", "points", "--seed", seed)
    root = street["root"]
    flags = ["--results_dir", root / "results", "--resamples", 100, "--examples", 1]
    run(analyze, "--a", "plain0", "--b", "plain1", *flags)
    folder = root / "results" / "analysis" / "plain0_vs_plain1"
    analysis = json.loads((folder / "analysis.json").read_text())
    assert analysis["has_background"] is False
    assert analysis["overall"]["background"] is None and analysis["overall"]["right"] is not None
    modes = dict(zip(analysis["definitions"]["modes"], analysis["overall"]["modes"], strict=True))
    assert not any(modes[mode]["a"] for mode in ("spill", "hallucinated", "swap"))
    text = (folder / "analysis.md").read_text()
    assert "given to background" not in text and "IoU sky" in text
    run(analyze, "--report", root / "results")
    assert "IoU sky" in (root / "results" / "report.html").read_text()


def test_open_boxes_say_nothing_without_a_background(street):
    with pytest.raises(UserError, match="--open_boxes: says nothing where there is no background"):
        trained(street, "open", "--supervision_mode", "boxes", "--open_boxes")


def test_some_classes_of_streets_stand_before_the_others(street, tmp_path):
    labels = tmp_path / "cars.pkl"
    chosen = [*street["data"], "--classes", "car"]
    run(weak_label_generator, *chosen, "--output_file", labels, "--jobs", 1)
    content = load_labels(labels)
    assert content["classes"] == ["background", "car"] and content["tag_names"] == ["car"]
    for image in content["images"].values():
        assert sorted(point[2] for point in image["points"]) == [0, 1, 1]
    with pytest.raises(UserError, match=r"made for classes sky, road, car, the data has backgr"):
        trained(street, "cars", "--supervision_mode", "points", "--classes", "car")


def test_a_run_goes_on_without_a_background(street):
    flags = ["--supervision_mode", "points", "--resume", "auto"]
    first = trained(street, "again", *flags)
    assert trained(street, "again", *flags, "--epochs", 1)["aggregate"] == first["aggregate"]
    with pytest.raises(UserError, match="no_background = False, not True"):
        trained(street, "again", *flags, "--no_background")
