"""evaluate.py on tiny trained runs: the numbers against an independent computation, the files, the
refusals.
"""

import json
import shutil

import numpy as np
import pytest
import torch
from conftest import run
from PIL import Image, ImageOps
from scipy import stats
from sklearn.metrics import accuracy_score, jaccard_score
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

import evaluate
import train
from model import model_from
from weakseg.common import UserError
from weakseg.data.datasets import Pets
from weakseg.evaluation import summary
from weakseg.evaluation.groups import seed_groups
from weakseg.evaluation.results import mask_name
from weakseg.evaluation.scoring import aggregate, score_image
from weakseg.learners.checkpoint_file import load_checkpoint
from weakseg.reporting.style import palette


@pytest.fixture(scope="module")
def trained(pets_dir, pets_labels, tmp_path_factory):
    """Two tiny runs and their results: {"checkpoints": folder, "results": folder, "cache":
    folder}.
    """
    root = tmp_path_factory.mktemp("runs")
    for mode in ("full", "points"):
        run(
            train,
            "--supervision_mode",
            mode,
            "--run_name",
            mode,
            "--epochs",
            1,
            "--img_size",
            64,
            "--data_dir",
            pets_dir,
            "--weak_label_path",
            pets_labels,
            "--cache_dir",
            root / "cache",
            "--checkpoint_dir",
            root / "checkpoints",
            "--lr",
            1e-3,
            "--device",
            "cpu",
        )
    run(
        evaluate,
        "--checkpoint_dir",
        root / "checkpoints",
        "--results_dir",
        root / "results",
        "--device",
        "cpu",
    )
    return {
        "checkpoints": root / "checkpoints",
        "results": root / "results",
        "cache": root / "cache",
    }


def result(trained, name):
    return json.loads((trained["results"] / f"{name}.json").read_text())


def test_the_numbers_are_those_of_a_plain_loop_and_another_library(trained, pets_dir):
    """Predict one image at a time with PIL and torch alone, score all pixels with scikit-learn."""
    dataset = Pets(pets_dir, cache_dir=trained["cache"])
    model = model_from(load_checkpoint(trained["checkpoints"] / "points" / "best.pt"))
    found, wanted = [], []
    for name in dataset.ids("test"):
        image = (
            Image.open(dataset.image_path(name))
            .convert("RGB")
            .resize((64, 64), Image.Resampling.BILINEAR)
        )
        trimap = np.array(Image.open(dataset.mask_path(name)))
        with torch.no_grad():
            logits = model(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None])["seg"]
        larger = torch.nn.functional.interpolate(
            logits, size=trimap.shape, mode="bilinear", align_corners=False
        )
        known = trimap != 3
        found.append(larger[0].argmax(0).numpy()[known])
        wanted.append((trimap == 1)[known].astype(int))
    found, wanted = np.concatenate(found), np.concatenate(wanted)
    scores = result(trained, "points")["aggregate"]
    assert scores["pixel_accuracy"] == pytest.approx(accuracy_score(wanted, found), abs=1e-6)
    assert scores["iou"] == pytest.approx(jaccard_score(wanted, found, average=None), abs=1e-6)
    assert scores["miou"] == pytest.approx(jaccard_score(wanted, found, average="macro"), abs=1e-6)


def test_the_numbers_are_those_of_torchmetrics_on_the_same_predictions(trained, pets_dir):
    dataset, scores = Pets(pets_dir, cache_dir=trained["cache"]), result(trained, "points")
    jaccard = MulticlassJaccardIndex(2, ignore_index=255)
    accuracy = MulticlassAccuracy(2, average="micro", ignore_index=255)
    for name, image in scores["images"].items():
        mask = torch.from_numpy(np.array(Image.open(trained["results"] / image["mask"])))
        for metric in (jaccard, accuracy):
            metric.update(mask, torch.from_numpy(dataset.mask(name)).long())
    assert scores["aggregate"]["miou"] == pytest.approx(float(jaccard.compute()), abs=1e-6)
    assert scores["aggregate"]["pixel_accuracy"] == pytest.approx(
        float(accuracy.compute()), abs=1e-6
    )


def test_the_benchmarks_plain_loop_measures_the_same(trained, pets_dir):
    """Its transforms round in another place, which may move a pixel at a boundary, and no more."""
    from benchmarks.evaluation import tutorial

    best = trained["checkpoints"] / "points" / "best.pt"
    _, miou = tutorial(best, str(pets_dir), str(trained["cache"]), 64)
    assert result(trained, "points")["aggregate"]["miou"] == pytest.approx(miou, abs=1e-3)


def test_predicted_masks_are_kept_at_full_size_in_colour_and_say_what_was_scored(trained, pets_dir):
    dataset = Pets(pets_dir, cache_dir=trained["cache"])
    for name, image in result(trained, "points")["images"].items():
        mask = Image.open(trained["results"] / image["mask"])
        assert mask.mode == "P" and bytes(mask.getpalette()[:6]) == palette(2).tobytes()
        assert mask.size == dataset.image_size(name) and image["tags"] == list(dataset.tags(name))
        known = dataset.mask(name) != 255
        pairs = 2 * dataset.mask(name)[known].astype(int) + np.array(mask)[known]
        assert np.bincount(pairs, minlength=4).reshape(2, 2).tolist() == image["confusion"]


def test_aggregates_follow_from_the_images(trained):
    for name in ("full", "points"):
        found = result(trained, name)
        total = np.sum([image["confusion"] for image in found["images"].values()], axis=0)
        iou = np.diag(total) / (total.sum(0) + total.sum(1) - np.diag(total))
        assert found["aggregate"]["miou"] == pytest.approx(iou.mean())
        low, high = found["aggregate"]["miou_interval"]
        assert low <= found["aggregate"]["miou"] <= high


def test_all_files_are_there_and_the_table_has_every_run(trained):
    text = (trained["results"] / "table.md").read_text()
    assert len({len(line) for line in text.splitlines()}) == 1
    for word in ("full", "points", "All background"):
        assert f"| {word} " in text
    for figure in ("comparison.png", "cost.png"):
        assert Image.open(trained["results"] / figure).width > 200


def test_the_background_row_is_that_of_a_real_all_background_prediction(trained, pets_dir):
    dataset = Pets(pets_dir, cache_dir=trained["cache"])
    truth = np.concatenate([dataset.mask(name).ravel() for name in dataset.ids("test")])
    truth = truth[truth != 255]
    expected = jaccard_score(truth, np.zeros_like(truth), average="macro", zero_division=0)
    name, metrics = summary.one_class([result(trained, "full")])
    assert name == "background" and metrics["miou"] == pytest.approx(expected)


def test_without_a_background_the_last_row_is_that_of_the_largest_class():
    images = {"a": {"confusion": [[1, 0, 1], [0, 5, 0], [3, 0, 0]]}}
    task = {"classes": ["sky", "road", "car"], "has_background": False}
    name, metrics = summary.one_class([{"task": task, "images": images}])
    assert name == "road" and metrics["pixel_accuracy"] == pytest.approx(0.5)
    assert metrics["iou"] == [0, 0.5, 0]


@pytest.mark.parametrize("has_background", [True, False])
def test_boundaries_of_all_objects_count_and_of_no_background(has_background):
    truth = np.zeros((20, 20), np.uint8)
    truth[5:15, 5:15] = 1
    image = score_image(np.zeros_like(truth), truth, 2)
    edges = aggregate({"a": image}, 10, has_background)["boundary_f_classes"]
    assert edges == image["boundary_f"][int(has_background) :]


def test_images_are_chosen_by_their_rule():
    values = {"a": (0.9, 0.9), "b": (0.5, 0.5), "c": (0.1, 0.1), "d": (0.2, 0.9), "e": (0.6, 0.7)}
    results = [
        {"images": {name: {"miou": pair[k]} for name, pair in values.items()}} for k in (0, 1)
    ]
    chosen = summary.choose_images(results)
    assert chosen["a"] == "best" and chosen["c"] == "worst"
    assert "largest spread between runs" in chosen.values() or chosen["d"]
    assert summary.choose_images(results[::-1]) == chosen


def test_seeds_of_one_run_are_shown_together(trained):
    """A table of their means, and one point with the t-interval of the mean; other runs stay as
    they are.
    """
    points, full = result(trained, "points"), result(trained, "full")
    values = {0: 0.5, 1: 0.6, 2: 0.7}
    seeds = [
        points
        | {
            "run": f"points_{seed}",
            "args": points["args"]
            | {"seed": seed, "run_name": f"points_{seed}"}
            | ({"a_flag_of_another_version": None} if seed == 1 else {}),
            "aggregate": points["aggregate"] | {"miou": value},
        }
        for seed, value in values.items()
    ]
    again, longer = points | {"run": "again"}, points | {"epochs_done": 100}
    results = [seeds[2], full, *seeds[:2], again, longer]
    groups = seed_groups(results)
    assert [[r["run"] for r in group] for group in groups] == [
        ["points_0", "points_1", "points_2"],
        ["full"],
        ["again"],
        ["points"],
    ]
    rows = summary.seeds_table(results).splitlines()
    assert len(rows) == 3 and "| 0, 1, 2 " in rows[2] and "| 60.0 ± 10.0 |" in rows[2]
    assert summary.seeds_table([full, seeds[0]]) == ""
    found = summary.mean_and_interval(groups[0])
    low, high = stats.ttest_1samp(list(values.values()), 0).confidence_interval()
    assert found == pytest.approx({"miou": 0.6, "low": low, "high": high})
    assert summary.mean_and_interval([full])["low"] == full["aggregate"]["miou_interval"][0]


def test_relative_costs_leave_out_what_has_no_unit(trained, tmp_path, capsys):
    run(
        evaluate,
        "--checkpoint_dir",
        trained["checkpoints"],
        "--results_dir",
        tmp_path,
        "--cost",
        "relative",
        "--device",
        "cpu",
    )
    assert "not in cost.png: full" in capsys.readouterr().out


def copied(trained, folder):
    """Copy the result files to a folder of their own."""
    folder.mkdir()
    for path in trained["results"].glob("*.json"):
        shutil.copy(path, folder)
    return folder


def test_another_schedule_prices_finished_runs_and_touches_nothing_else(trained, tmp_path, capsys):
    folder = copied(trained, tmp_path / "results")
    mine = tmp_path / "mine.yaml"
    mine.write_text("unit: seconds\npoints: {image: 10}\nfull: {object: 158, absent: 0}\n")
    (folder / "notes.json").write_text("{}")
    run(
        evaluate,
        "--results_dir",
        folder,
        "--reprice",
        "--cost_schedule",
        mine,
        "--cost_band",
        "bearman2016",
    )
    for name in ("full", "points"):
        before, after = result(trained, name), json.loads((folder / f"{name}.json").read_text())
        priced = "cost", "selection", "testing"
        assert {k: v for k, v in before.items() if k not in priced} == {
            k: v for k, v in after.items() if k not in priced
        }
        assert before["testing"]["images"] == len(before["images"])
        assert after["testing"]["seconds"]["full"] == 2 * before["testing"]["seconds"]["full"] > 0
        assert before["cost"]["counts"] == after["cost"]["counts"]
        assert after["selection"]["seconds"]["full"] == 2 * before["selection"]["seconds"]["full"]
        assert (
            after["cost"]["schedule"] == str(mine)
            and before["cost"]["schedule"] == "extreme_clicking"
        )
    assert after["cost"]["seconds"] == {"points": 10 * after["cost"]["images"]}
    assert Image.open(folder / "cost.png").width > 200 and "mine.yaml" in capsys.readouterr().out
    run(evaluate, "--results_dir", folder, "--reprice")
    assert all(
        json.loads((folder / f"{n}.json").read_text()) == result(trained, n)
        for n in ("full", "points")
    )


def test_nothing_is_repriced_where_the_runs_can_not_share_a_table(trained, tmp_path):
    folder = copied(trained, tmp_path / "results")
    other = result(trained, "points") | {"run": "other", "test_fingerprint": "another"}
    (folder / "other.json").write_text(json.dumps(other))
    with pytest.raises(UserError, match="different test images"):
        run(evaluate, "--results_dir", folder, "--reprice", "--cost_schedule", "bearman2016")
    assert json.loads((folder / "full.json").read_text()) == result(trained, "full")


def test_results_from_before_counts_were_kept_are_refused(trained, tmp_path):
    folder = copied(trained, tmp_path / "results")
    old = result(trained, "points")
    del old["cost"]["counts"], old["cost"]["schedule"]
    (folder / "points.json").write_text(json.dumps(old))
    with pytest.raises(
        UserError, match=r"run points: .*train\.py and .*evaluate\.py anew"
    ) as caught:
        run(evaluate, "--results_dir", folder, "--reprice", "--cost_schedule", "bearman2016")
    assert "\n" not in str(caught.value)
    assert json.loads((folder / "full.json").read_text()) == result(trained, "full")
    assert json.loads((folder / "points.json").read_text()) == old


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cost_schedule", "relativ"], "did you mean relative"),
        (["--cost_schedule", "bearman2016", "--cost", "relative"], "bearman2016.*--cost relative"),
        (["--cost_band", "relative"], "--cost_band relative"),
        (["--run_name", "nowhere"], r"nowhere\.json"),
    ],
)
def test_a_mistake_in_pricing_gets_one_line(arguments, message, trained, tmp_path):
    with pytest.raises(UserError, match=message):
        run(
            evaluate,
            "--results_dir",
            copied(trained, tmp_path / "results"),
            "--reprice",
            *arguments,
        )
    with pytest.raises(UserError, match="evaluate"):
        run(evaluate, "--results_dir", tmp_path / "none", "--reprice")


@pytest.mark.parametrize(
    ("flag", "prices", "message"),
    [
        ("--cost_schedule", "points: {image: 10}", "no price for 'full'"),
        ("--cost_band", "points: {image: 10}", "no price for 'full'"),
        ("--cost_band", None, "neither a file"),
    ],
)
def test_prices_that_are_missing_are_missed_before_anything_is_predicted(
    flag, prices, message, trained, tmp_path
):
    mine = tmp_path / "mine.yaml"
    if prices:
        mine.write_text(f"unit: seconds\n{prices}\n")
    with pytest.raises(UserError, match=message):
        run(
            evaluate,
            "--checkpoint_dir",
            trained["checkpoints"],
            "--results_dir",
            tmp_path / "results",
            flag,
            mine,
        )
    assert not (tmp_path / "results").exists()


def test_foreign_data_and_missing_runs_are_refused(trained, tmp_path):
    from weakseg.data.synthetic import draw_shapes

    with pytest.raises(UserError, match="train one"):
        run(evaluate, "--checkpoint_dir", tmp_path / "none")
    with pytest.raises(UserError, match="nowhere"):
        run(evaluate, "--checkpoint_dir", trained["checkpoints"], "--run_name", "nowhere")
    draw_shapes(tmp_path / "other", trainval=24, test=6, size=80, seed=1)
    with pytest.raises(UserError, match="not the data"):
        run(
            evaluate,
            "--checkpoint_dir",
            trained["checkpoints"],
            "--data_dir",
            tmp_path / "other",
            "--device",
            "cpu",
        )


def probe_of_clicks(folder, labels, data, *flags):
    """Return functions that train a tiny probe, and evaluate it, in a folder."""
    where = ["--cache_dir", folder / "cache", "--device", "cpu", "--checkpoint_dir", folder]
    tiny = ["--learner", "probe", "--img_size", 64, "--rounds", 0, "--run_name", "r", *where]
    mode = ["--supervision_mode", "points", "--weak_label_path", labels, "--data_dir", data]
    return (
        lambda: run(train, *mode, *tiny, *flags),
        lambda: run(evaluate, "--results_dir", folder / "results", *where),
    )


@pytest.mark.parametrize("spoilt", ["ignored", "of another size", "of no class", "gone"])
def test_bad_test_masks_are_told_before_training_and_before_predicting(
    spoilt, pets_dir, pets_labels, tmp_path, capsys, monkeypatch
):
    data = tmp_path / "pets"
    shutil.copytree(pets_dir, data)
    dataset = Pets(data, cache_dir=tmp_path / "cache")
    train_it, evaluate_it = probe_of_clicks(tmp_path, pets_labels, data, "--overwrite")
    train_it()
    first = dataset.mask_path(dataset.ids("test")[0])
    for name in dataset.ids("test"):
        width, height = dataset.image_size(name)
        value, wide = {"ignored": (3, 0), "of another size": (1, 5)}.get(spoilt, (7, 0))
        Image.new("L", (width + wide, height), value).save(dataset.mask_path(name))
        if spoilt == "gone":
            dataset.mask_path(name).unlink()
    words = {
        "ignored": "all pixels of the 6 test masks are ignored",
        "of another size": "the mask is",
        "of no class": "holds the number 7, which is no class",
        "gone": "no such mask, nor those of 5 other test images",
    }[spoilt]
    monkeypatch.setattr(evaluate, "predictions", None)  # what would be used next
    for command in (evaluate_it, train_it)[: 1 if spoilt == "gone" else 2]:
        with pytest.raises(UserError, match=words) as caught:
            command()
        assert str(first) in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.glob("results/*.json"))
    if spoilt == "gone":  # they may be drawn after the training
        train_it()
        assert "6 of 6 test images have no mask yet" in capsys.readouterr().out


def test_a_finished_run_is_scored_when_masks_and_images_have_changed(
    pets_dir, pets_labels, tmp_path
):
    """Test masks may be drawn, and training masks mended, after the training."""
    data = tmp_path / "pets"
    shutil.copytree(pets_dir, data)
    dataset = Pets(data, cache_dir=tmp_path / "cache")
    masks = {name: dataset.mask_path(name).read_bytes() for name in dataset.ids("test")}
    for name in masks:
        dataset.mask_path(name).unlink()
    train_it, evaluate_it = probe_of_clicks(tmp_path, pets_labels, data)
    train_it()
    for name, content in masks.items():
        dataset.mask_path(name).write_bytes(content)
    for name in dataset.ids("trainval"):
        dataset.mask_path(name).unlink()
    evaluate_it()
    result = json.loads((tmp_path / "results" / "r.json").read_text())
    assert [*result["images"]] == dataset.ids("test")
    assert result["test_fingerprint"] == dataset.test_fingerprint()
    # An image that it was trained on may not come into the test.
    lists = data / "annotations"
    lines = (lists / "trainval.txt").read_text().splitlines()
    seen = dataset.ids("train")[0]
    moved = [line for line in lines if line.split()[0] == seen]
    (lists / "trainval.txt").write_text("\n".join(line for line in lines if line not in moved))
    (lists / "test.txt").write_text((lists / "test.txt").read_text() + moved[0] + "\n")
    evaluate_it()
    again = json.loads((tmp_path / "results" / "r.json").read_text())
    assert again["images"].keys() == result["images"].keys()
    # Other images are no data of the run.
    for name in (*masks, *dataset.ids("trainval")):
        path = dataset.image_path(name)
        with Image.open(path) as image:
            image.load()
        ImageOps.invert(image.convert("RGB")).save(path)
        if name == seen:
            evaluate_it()
    with pytest.raises(UserError, match="not the data that run r was trained on"):
        evaluate_it()


def test_runs_that_are_left_out_are_named_with_the_reason(trained, tmp_path, capsys):
    for name in ("ready", "begun", ".hidden", "pictures"):
        (tmp_path / name).mkdir()
        if name != "pictures":
            (tmp_path / name / "log.jsonl").touch()
    (tmp_path / "ready" / "best.pt").touch()
    evaluate.report_left_out(tmp_path)
    line = capsys.readouterr().out.strip()
    assert line.startswith("left out: begun, of which no epoch") and "\n" not in line
    evaluate.report_left_out(trained["checkpoints"])
    assert not capsys.readouterr().out


def test_a_hostile_checkpoint_runs_no_code(trained, tmp_path):
    import os
    import pickle

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "best.pt").write_bytes(
        pickle.dumps({"model": Evil(), "args": {}, "task": {}})
    )
    with pytest.raises(UserError, match=r"evil.*best\.pt"):
        run(evaluate, "--checkpoint_dir", tmp_path)
    assert not (tmp_path / "ran").exists()


# ---- masks of any model


def test_masks_in_a_folder_score_as_the_run_that_predicted_them(trained, pets_dir, tmp_path):
    """Beside the run, and alone; in the table, the files, the page and a comparison."""
    import analyze

    others = tmp_path / "theirs"
    shutil.copytree(trained["results"] / "points", others / "masks")
    data = ["--data_dir", pets_dir, "--cache_dir", trained["cache"], "--device", "cpu"]
    beside = ["--run_name", "points", "--checkpoint_dir", trained["checkpoints"]]
    for name, flags in {"alone": [], "beside": beside}.items():
        folder = tmp_path / name
        run(evaluate, "--predictions", others, *flags, *data, "--results_dir", folder)
        found = json.loads((folder / "theirs.json").read_text())
        for key in ("aggregate", "test_fingerprint", "task"):
            assert found[key] == result(trained, "points")[key], key
        for image, one in result(trained, "points")["images"].items():
            mine = found["images"][image]
            assert {**one, "mask": ""} == {**mine, "mask": ""}
            masks = [
                Image.open(folder / mine["mask"]),
                Image.open(trained["results"] / one["mask"]),
            ]
            assert np.array_equal(*map(np.asarray, masks))
        row = next(
            line for line in (folder / "table.md").read_text().splitlines() if "theirs" in line
        )
        assert row.split("|")[1].strip() == "-" and "nothing" not in row
        assert (folder / "cost.png").exists() == bool(flags)
        run(analyze, "--report", folder)
    run(analyze, "--a", "points", "--b", "theirs", "--results_dir", folder, "--resamples", 100)
    run(evaluate, "--reprice", "--results_dir", folder, "--cost_schedule", "bearman2016")


def test_black_and_white_masks_score_as_those_of_class_numbers(trained, pets_dir, tmp_path):
    others = tmp_path / "theirs"
    shutil.copytree(trained["results"] / "points", others)
    for path in others.glob("*.png"):
        Image.fromarray(255 * (np.asarray(Image.open(path)) > 0).astype(np.uint8)).save(path)
    name = result(trained, "points")["task"]["classes"][1]
    words = ["--predictions", others, "--data_dir", pets_dir, "--cache_dir", trained["cache"]]
    words += ["--device", "cpu", "--results_dir", tmp_path / "results"]
    with pytest.raises(UserError, match=f"255; .*--prediction_values 255={name}"):
        run(evaluate, *words)
    run(evaluate, *words, "--prediction_values", f"255={name}")
    found = json.loads((tmp_path / "results" / "theirs.json").read_text())
    assert found["aggregate"] == result(trained, "points")["aggregate"]
    with pytest.raises(UserError, match="--prediction_values 255=nobody"):
        run(evaluate, *words, "--prediction_values", "255=nobody")
    with pytest.raises(UserError, match="add --predictions"):
        run(evaluate, "--prediction_values", f"255={name}")


def test_the_images_that_have_both_masks_are_scored_and_the_others_counted(
    trained, pets_dir, tmp_path, capsys
):
    data, others = tmp_path / "pets", tmp_path / "theirs"
    shutil.copytree(pets_dir, data)
    shutil.copytree(trained["results"] / "points", others)
    dataset = Pets(data, cache_dir=tmp_path / "cache")
    first, second, *rest = dataset.ids("test")
    dataset.mask_path(first).unlink()
    (others / f"{second}.png").unlink()
    words = ["--predictions", others, "--run_name", "full", "--results_dir", tmp_path / "results"]
    where = ["--checkpoint_dir", trained["checkpoints"], "--data_dir", data, "--device", "cpu"]
    run(evaluate, *words, *where, "--cache_dir", tmp_path / "cache")
    printed = capsys.readouterr().out
    assert "1 of 6 test images have no mask yet" in printed
    assert "1 of 5 test images have no predicted mask" in printed
    for name in ("full", "theirs"):
        found = json.loads((tmp_path / "results" / f"{name}.json").read_text())
        assert [*found["images"]] == rest


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        ("size", "is 5x5, the image"),
        ("class", "holds the number 2; a predicted mask holds 0 to 1"),
        ("none", "no such mask, nor of another test image"),
        ("folder", "no such folder"),
        ("flags", "--classes: a run knows its own"),
        ("reprice", "leave out --predictions"),
        ("name", "results have this name"),
        ("twice", "two folders have the same name"),
    ],
)
def test_unfit_masks_of_another_model_are_refused(spoilt, message, trained, pets_dir, tmp_path):
    others = tmp_path / "theirs"
    shutil.copytree(trained["results"] / "points", others)
    first = min(others.glob("*.png"))
    size = (5, 5) if spoilt == "size" else Image.open(first).size
    if spoilt in ("size", "class"):
        Image.new("L", size, 2).save(first)
    if spoilt == "none":
        shutil.rmtree(others)
        others.mkdir()
    folders = [tmp_path / "nowhere" if spoilt == "folder" else others]
    folders += [others] if spoilt == "twice" else []
    flags = {
        "flags": ["--classes", "species", "--run_name", "full"],
        "reprice": ["--reprice"],
        "name": ["--results_dir", tmp_path],
    }.get(spoilt, [])
    data = [
        "--data_dir",
        pets_dir,
        "--cache_dir",
        trained["cache"],
        "--results_dir",
        tmp_path / "r",
    ]
    with pytest.raises(UserError, match=message) as caught:
        run(evaluate, "--predictions", *folders, *data, *flags)
    assert "\n" not in str(caught.value)


def test_a_run_that_cannot_be_scored_is_left_out_by_name(pets_dir, pets_labels, tmp_path, capsys):
    train_it, evaluate_it = probe_of_clicks(tmp_path, pets_labels, pets_dir)
    train_it()
    gone = tmp_path / "gone"
    shutil.copytree(tmp_path / "r", gone)
    content = torch.load(gone / "best.pt", weights_only=True)
    content["args"]["data_dir"] = str(tmp_path / "moved away")
    torch.save(content, gone / "best.pt")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "best.pt").write_bytes(b"junk")
    capsys.readouterr()
    evaluate_it()
    lines = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert [line.split(":")[1].strip() for line in lines] == ["damaged", "gone"]
    assert "moved away" in lines[1]
    assert [path.name for path in (tmp_path / "results").glob("*.json")] == ["r.json"]
    for name in ("gone", "damaged"):
        with pytest.raises(UserError):
            run(evaluate, "--run_name", name, "--checkpoint_dir", tmp_path, "--device", "cpu")


@pytest.mark.parametrize("theirs", ["points/{mask}", "points.json", "table.md", "cost.png"])
def test_results_replace_nothing_of_a_person(trained, pets_dir, tmp_path, monkeypatch, theirs):
    """Such as the masks of a data set, whose folder is named as a run; a killed call goes on."""
    words = ["--checkpoint_dir", trained["checkpoints"], "--results_dir", tmp_path, "--device"]
    words += ["cpu", "--run_name", "points"]
    mask = mask_name(min(Pets(pets_dir, cache_dir=trained["cache"]).ids("test")))
    path = tmp_path / theirs.format(mask=mask)
    path.parent.mkdir(exist_ok=True)
    path.write_text("[7]")
    (tmp_path / "points" / "note.txt").parent.mkdir(exist_ok=True)
    (tmp_path / "points" / "note.txt").write_text("mine")
    with pytest.raises(UserError, match=r"is there, and evaluate\.py did not write it; take"):
        run(evaluate, *words)
    assert path.read_text() == "[7]"
    path.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "write_json", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(evaluate, *words)
    assert (tmp_path / "points" / mask).exists()
    run(evaluate, *words)
    run(evaluate, *words)
    assert (tmp_path / "points" / "note.txt").read_text() == "mine"
