"""A folder of photographs, and labels of them in a store: no mask anywhere, no list of classes."""

import json

import numpy as np
import pytest
import torch
from conftest import run
from PIL import Image, ImageDraw

import evaluate
import labels
import predict
import study
import train
from weakseg.common import UserError
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.class_names import with_classes

NAMES = [f"p{number}" for number in range(10)]
UNET = ["--epochs", 1, "--img_size", 64, "--encoder_weights", "none", "--batch_size", 4]
PROBE = ["--learner", "probe", "--img_size", 64, "--encoder_weights", "none", "--rounds", 1]


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    """Ten photographs of a disc in `photos/`; the first four are boxed, the next four clicked."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    rows = ["image,kind,class,x,y"]
    for number, name in enumerate(NAMES):
        image = Image.new("RGB", (90, 70), (20, 40, 20 + number))
        left = 10 + 3 * number
        ImageDraw.Draw(image).ellipse([left, 20, left + 30, 50], (220, 180, 40))
        image.save(f"photos/{name}.png")
        if number < 4:
            rows.append(f"{name}.png,box,disc,{left},20,{left + 30},50")
        elif number < 8:
            rows.append(f"{name}.png,click,disc,{left + 15},35")
            rows.append(f"{name}.png,click,background,2,2")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    words = ["--images", "photos", "--output", "labels/mine", "--complete", "boxes"]
    run(labels, "import", "labels.csv", *words)
    return tmp_path


def trained(*words, name="mine"):
    where = ["--labels", "labels/mine", "--data_dir", "photos", "--cache_dir", "cache"]
    run(train, "--supervision_mode", "any", *where, "--run_name", name, "--device", "cpu", *words)
    return torch.load(f"checkpoints/{name}/best.pt", weights_only=True)


@pytest.mark.parametrize(
    "words",
    [PROBE, UNET],
    ids=["probe", "unet"],
)
def test_pictures_alone_are_learnt_from_and_predicted(words, photographs, capsys):
    checkpoint = trained(*words)
    out = capsys.readouterr().out
    assert "2 of 10 training images have no label" in out
    assert "next: python predict.py --checkpoint_dir ./checkpoints --run_name mine --images" in out
    assert checkpoint["task"]["classes"] == ["background", "disc"]
    assert checkpoint["selection"]["by"] is None and not checkpoint["selection"]["images"]
    assert checkpoint["cost"]["images"] == 8  # every label counts, the validation split's too
    assert checkpoint["cost"]["counts"]["boxes"]["box"] == 4
    run(predict, "--run_name", "mine", "--images", "photos", "--device", "cpu")
    mask = np.asarray(Image.open("predictions/masks/p9.png"))
    assert mask.shape == (70, 90) and mask.max() <= 1
    with pytest.raises(UserError, match="no picture has a mask to test on"):
        run(evaluate, "--run_name", "mine")
    with pytest.raises(UserError, match="no picture has a mask to test on"):
        run(study, "--data_dir", "photos", "--labels", "labels/mine", "--modes", "boxes")


def test_the_loss_of_held_out_labels_chooses_where_it_is_asked_to(photographs):
    checkpoint = trained(*UNET, "--select_by", "weak_val_loss", "--val_fraction", 0.4)
    assert checkpoint["selection"]["by"] == "weak_val_loss"
    assert checkpoint["cost"]["images"] + checkpoint["selection"]["images"] == 8
    with pytest.raises(UserError, match="no validation image has a mask; take last"):
        trained(*UNET, "--select_by", "val_loss", name="other")


def test_pictures_that_come_later_with_their_masks_are_tested_on(photographs):
    trained(*PROBE)
    (photographs / "photos/masks").mkdir()
    for number in range(12):
        if number > 9:
            Image.new("RGB", (90, 70)).save(f"photos/q{number}.png")
        mask = np.zeros((70, 90), np.uint8)
        mask[20:50, 10:40] = 1
        Image.fromarray(mask).save(f"photos/masks/{'pq'[number > 9]}{number}.png")
    names = open_dataset(DataOptions("photos", class_names=("background", "disc"))).ids("test")
    fresh = [name for name in names if name not in NAMES]
    if not fresh:
        with pytest.raises(UserError, match="no test image is left"):
            run(evaluate, "--run_name", "mine", "--device", "cpu")
        return
    run(evaluate, "--run_name", "mine", "--device", "cpu")
    result = json.loads((photographs / "results/mine.json").read_text())
    assert [*result["images"]] == fresh


def test_the_folder_may_have_its_pictures_below_images(photographs):
    (photographs / "my/images").parent.mkdir()
    (photographs / "photos").rename(photographs / "my/images")
    options = with_classes(DataOptions("my"), "labels/mine")
    assert options.class_names == ("background", "disc")
    dataset = open_dataset(options)
    assert dataset.ids("trainval") == NAMES and dataset.ids("test") == []
    assert dataset.picture_folder == dataset.root / "images"


def test_without_labels_or_classes_a_folder_of_pictures_is_no_data_set(photographs):
    assert with_classes(DataOptions("photos"), "nowhere.pkl") == DataOptions("photos")
    with pytest.raises(UserError, match="of pictures alone --labels or --class_names says the cl"):
        open_dataset(DataOptions("photos"))
    with pytest.raises(UserError, match=r"--class_names: .*is pets, whose classes are known"):
        (photographs / "x/annotations/trimaps").mkdir(parents=True)
        for split in ("trainval", "test"):
            (photographs / f"x/annotations/{split}.txt").write_text("a_1 1 1 1\n")
        open_dataset(DataOptions("x", class_names=("background", "disc")))


def test_a_list_of_classes_comes_before_those_of_labels(photographs):
    (photographs / "photos/classes.txt").write_text("nothing\ndisc\nsquare\n")
    (photographs / "photos/images").mkdir()
    for path in (photographs / "photos").glob("*.png"):
        path.rename(photographs / "photos/images" / path.name)
    options = with_classes(DataOptions("photos"), "labels/mine")
    assert options.class_names == ()
    assert open_dataset(options).class_names == ["nothing", "disc", "square"]
    with pytest.raises(UserError, match=r"--class_names: .*classes\.txt names others"):
        open_dataset(DataOptions("photos", class_names=("background", "disc")))
