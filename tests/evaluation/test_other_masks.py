"""Masks of predict.py are scored by the classes that their record names."""

import json

import numpy as np
import pytest
from PIL import Image

import evaluate
from weakseg.common import UserError, run_cli
from weakseg.data.contents import content_of
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.evaluation.other_masks import OtherMasks

CLASSES = ["background", "cat", "dog"]


@pytest.fixture
def folder(tmp_path):
    """A data set of 8 pictures, and masks that predict.py may have written: (data, predictions)."""
    data, there = tmp_path / "data", tmp_path / "predictions"
    for place in (data / "images", data / "masks", there / "masks"):
        place.mkdir(parents=True)
    for number in range(8):
        mask = np.zeros((20, 24), np.uint8)
        mask[2:9, 2 + number : 9 + number], mask[12:18, 3:11] = 1, 2
        Image.new("RGB", (24, 20), (number, 9, 9)).save(data / f"images/p{number}.png")
        for place in (data, there):
            Image.fromarray(mask).save(place / f"masks/p{number}.png")
    (data / "classes.txt").write_text("\n".join(CLASSES))
    return data, there


def record(there, **facts):
    content = {"run": "r", "classes": CLASSES, "has_background": True, **facts}
    (there / "predictions.json").write_text(json.dumps(content))


@pytest.mark.parametrize("name", ["", "masks"])
def test_predictions_know_their_classes_by_name(folder, name, tmp_path, capsys):
    data, there = folder
    dataset = open_dataset(DataOptions(str(data), cache_dir=str(tmp_path / "cache")))
    OtherMasks(there / name).know_classes(dataset)  # nobody says what they are of
    record(there)
    OtherMasks(there / name).know_classes(dataset)
    assert dataset.class_names == CLASSES and not dataset.changes
    for wrong in (["background", "dog", "cat"], [*CLASSES, "cow"], ["background", "Dogs", "Cats"]):
        record(there, classes=wrong)
        with pytest.raises(UserError, match=r"predictions\.json: .*restore the order"):
            OtherMasks(there / name).know_classes(dataset)
    record(there, has_background=False)
    with pytest.raises(UserError, match="background for one of"):
        OtherMasks(there / name).know_classes(dataset)
    for damage in ("{}", "[]", '{"classes": [1]}'):
        (there / "predictions.json").write_text(damage)
        OtherMasks(there / name).know_classes(dataset)
    table = there / "masks" / "_classes.csv"
    table.write_text("Pixel Value, Class\n0, background\n1, cat\n2, dog\n")
    OtherMasks(there / name).know_classes(dataset)
    table.write_text("Pixel Value, Class\n0, background\n1, dog\n2, cat\n")
    with pytest.raises(UserError, match=r"_classes\.csv: .*restore the order"):
        OtherMasks(there / name).know_classes(dataset)
    table.write_text("Pixel Value, Class\n0, background\n2, cat\n")
    with pytest.raises(UserError, match="leave some out; write classes"):
        OtherMasks(there / name).know_classes(dataset)
    (there / "masks" / "classes.txt").write_text("background\ndog\ncat\n")
    with pytest.raises(UserError, match=r"classes\.txt: .*restore the order"):
        OtherMasks(there / name).know_classes(dataset)


@pytest.mark.parametrize(
    ("kind", "is_told"), [("L", True), ("P", True), ("RGB", False), ("grey", False)]
)
def test_masks_beside_those_that_are_scored_are_told_and_photographs_are_not(kind, is_told, folder):
    _, there = folder
    ids = [f"p{number}" for number in range(8)]
    assert OtherMasks(there).passed_over(ids, 3) == []
    for number in (3, 4):
        with Image.open(there / f"masks/p{number}.png") as mask:
            shown = mask.convert("L" if kind == "grey" else kind)
            if kind == "RGB":
                shown.putpixel((0, 0), (1, 2, 3))
            elif kind == "grey":
                shown = Image.linear_gradient("L").resize(shown.size)
            shown.save(there / f"p{number}.png")
    lines = OtherMasks(there).passed_over(ids, 3)
    assert ["2 masks beside that folder, the first p3.png" in line for line in lines] == (
        [True] * is_told
    )
    assert OtherMasks(there / "masks").passed_over(ids, 3) == []
    assert OtherMasks(there).passed_over(ids[:3], 3) == []


def test_predictions_of_fewer_classes_are_scored_on_those(folder, tmp_path, capsys, monkeypatch):
    data, there = folder
    record(there)
    (data / "classes.txt").write_text("\n".join([*CLASSES[:2], "Dog", "cow"]))
    words = ["--predictions", there, "--data_dir", data, "--results_dir", tmp_path / "results"]
    words += ["--cache_dir", tmp_path / "cache", "--resamples", 10]
    monkeypatch.setattr("sys.argv", ["evaluate.py", *map(str, words)])
    run_cli(evaluate.main, evaluate.parse_args)
    said = capsys.readouterr().out
    assert "the run knows Dog as dog" in said and "doesn't know cow" in said
    result = json.loads((tmp_path / "results" / "predictions.json").read_text())
    assert result["task"]["classes"] == ["background", "cat", "Dog"]
    assert result["aggregate"]["miou"] == 1


def scored(folder, tmp_path, monkeypatch, capsys, *more):
    """Return what evaluate.py says of the masks, and their mIoU."""
    data, there = folder
    words = ["--predictions", there, "--data_dir", data, "--results_dir", tmp_path / "results"]
    words += ["--cache_dir", tmp_path / "cache", "--resamples", 10, *more]
    monkeypatch.setattr("sys.argv", ["evaluate.py", *map(str, words)])
    evaluate.main(evaluate.parse_args())
    result = json.loads((tmp_path / "results" / "predictions.json").read_text())
    return capsys.readouterr().out, result["aggregate"]["miou"]


def test_masks_and_photographs_that_changed_since_they_were_predicted_are_told(
    folder, tmp_path, monkeypatch, capsys
):
    data, there = folder
    record(there)
    photographs = sorted((data / "images").iterdir())
    lines = [{"id": path.stem, "held": content_of(path, is_whole=False)} for path in photographs]
    for line in lines:
        line["mask"] = content_of(there / f"masks/{line['id']}.png", is_whole=True)
        line["learnt"] = line["id"] in "p1 p2"
    (there / "predictions.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (data / "trainval.txt").write_text("p2\np3\n")
    (data / "test.txt").write_text("p0\np1\n")
    told = scored(folder, tmp_path, monkeypatch, capsys)[0]
    assert "1 of 2 masks to score are of photographs that the model learnt from" in told
    assert "since their masks" not in told and "than predict.py wrote" not in told
    Image.new("RGB", (24, 20), (99, 9, 9)).save(photographs[1])
    told = scored(folder, tmp_path, monkeypatch, capsys)[0]
    assert "2 of 2 predicted masks are copies of the true ones, the first p0.png" in told
    Image.open(there / "masks/p0.png").save(there / "masks/p0.png", compress_level=0)
    told = scored(folder, tmp_path, monkeypatch, capsys)[0]
    assert "copies of the true ones" not in told  # half of them
    assert "1 of 2 masks to score are others than predict.py wrote, the first of p0;" in told
    assert "1 of 2 photographs to test on changed since their masks were predicted" in told


@pytest.mark.parametrize("order", [(0, 2, 1), (1, 2, 0), (2, 0, 1), (1, 0, 2)])
def test_masks_that_number_the_classes_otherwise_are_told_with_the_way_out(
    folder, tmp_path, monkeypatch, capsys, order
):
    """The words that the line proposes give the masks the scores that it promises."""
    _, there = folder
    (there / "classes.txt").unlink(missing_ok=True)
    for path in (there / "masks").iterdir():
        Image.fromarray(np.array(order, np.uint8)[np.array(Image.open(path))]).save(path)
    said, miou = scored(folder, tmp_path, monkeypatch, capsys)
    line = next(line for line in said.splitlines() if "other numbers for the classes" in line)
    assert miou < 0.8 and "100.0 %" in line
    words = line.partition("say so: --prediction_values ")[2].split()
    said, miou = scored(folder, tmp_path, monkeypatch, capsys, "--prediction_values", *words)
    assert miou == 1 and "other numbers" not in said


@pytest.mark.parametrize("lacking", [1, 2, None])
def test_a_number_of_no_class_means_the_one_that_is_missing_or_that_a_model_abstains(
    folder, tmp_path, monkeypatch, capsys, lacking
):
    _, there = folder
    for path in (there / "masks").iterdir():
        mask = np.array(Image.open(path))
        mask[mask == (9 if lacking is None else lacking)] = 255
        mask[0] = 255
        Image.fromarray(mask).save(path)
    way_out = "if it means one, .* 255=" + CLASSES[lacking or 0]
    with pytest.raises(UserError, match=way_out if lacking else "255 means none, and each pixel"):
        scored(folder, tmp_path, monkeypatch, capsys)


def test_bad_masks_by_the_right_numbers_are_no_question(folder, tmp_path, monkeypatch, capsys):
    """Nor are those whose classes are named: whatever they show is meant."""
    _, there = folder
    for path in (there / "masks").iterdir():
        mask = np.array(Image.open(path))
        Image.fromarray(np.where(mask == 2, 0, np.roll(mask, 4))).save(path)
    said, _ = scored(folder, tmp_path, monkeypatch, capsys)
    assert "other numbers" not in said
    record(there)
    for path in (there / "masks").iterdir():
        mask = np.array(Image.open(path))
        Image.fromarray(np.where(mask == 1, 2, mask)).save(path)
    said, _ = scored(folder, tmp_path, monkeypatch, capsys)
    assert "other numbers" not in said


def test_masks_whose_palettes_differ_and_in_colours_name_their_own_flag(
    folder, tmp_path, monkeypatch, capsys
):
    data, there = folder
    for number, path in enumerate(sorted((there / "masks").iterdir())):
        image = Image.fromarray(np.array(Image.open(path))).convert("P")
        image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
        if number % 2:
            image.putpalette([0, 0, 0, 0, 255, 0, 255, 0, 0])
        image.save(path)
    (data / "test.txt").write_text("\n".join(f"p{number}" for number in range(4)))
    (data / "trainval.txt").write_text("\n".join(f"p{number}" for number in range(4, 8)))
    with pytest.raises(UserError, match=r"shows 1 as #.*, with --prediction_values"):
        scored(folder, tmp_path, monkeypatch, capsys)
    for path in (there / "masks").iterdir():
        Image.open(path).convert("RGB").save(path)
    with pytest.raises(UserError, match=r"--prediction_values says"):
        scored(folder, tmp_path, monkeypatch, capsys)
