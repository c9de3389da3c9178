"""predict.py on tiny runs of both learners: its files, what it resumes, what it refuses."""

import csv
import json
import pickle
import shutil

import cv2
import numpy as np
import pytest
import torch
from conftest import run
from outcomes import assert_refused, outcome
from PIL import ExifTags, Image

import evaluate
import predict
import train
from weakseg import load
from weakseg.common import UserError
from weakseg.data.class_list import read_classes
from weakseg.data.contents import content_of
from weakseg.data.predictions import journal_of
from weakseg.labels.formats.records import Shape
from weakseg.labels.label_file import load_labels, save_labels
from weakseg.labels.seen_photographs import note_photographs
from weakseg.labels.store import Given, opened_store
from weakseg.reporting.style import palette

LEARNERS = {"probe": [], "unet": ["--epochs", 1, "--img_size", 64, "--lr", 1e-3]}


@pytest.fixture(scope="module")
def runs(pets_dir, pets_labels, tmp_path_factory):
    """A tiny run of each learner, `probe` and `unet`, and the result files of both."""
    root = tmp_path_factory.mktemp("predict")
    for learner, flags in LEARNERS.items():
        data = ["--data_dir", pets_dir, "--weak_label_path", pets_labels]
        words = ["--supervision_mode", "points", "--learner", learner, "--run_name", learner]
        where = ["--checkpoint_dir", root / "checkpoints", "--cache_dir", root / "cache"]
        run(train, *words, *flags, *data, *where, "--device", "cpu")
    words = ["--results_dir", root / "results", "--batch_size", 1, "--device", "cpu"]
    run(evaluate, "--checkpoint_dir", root / "checkpoints", *words)
    return root


@pytest.fixture
def photographs(pets_dir, tmp_path):
    """A folder of four pictures, one of them in a folder of its own."""
    folder = tmp_path / "photographs"
    paths = sorted((pets_dir / "images").glob("*.jpg"))[:4]
    for place, path in zip(("a.jpg", "b.jpg", "c.jpg", "sub/a.jpg"), paths, strict=True):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / place)
    (folder / "notes.txt").write_text("no picture")
    return folder


def words(runs, photographs, *more, learner="probe"):
    """Return the words of a command line that predicts into `out` beside the photographs."""
    own = ["--run_name", learner, "--checkpoint_dir", runs / "checkpoints", "--device", "cpu"]
    out = ["--images", photographs, "--output_dir", photographs.parent / "out"]
    return [*own, *out, *more]


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("learner", LEARNERS)
def test_masks_are_those_of_evaluate(learner, runs, pets_dir, tmp_path):
    own = ["--run_name", learner, "--checkpoint_dir", runs / "checkpoints", "--device", "cpu"]
    run(predict, *own, "--images", pets_dir / "images", "--output_dir", tmp_path)
    masks = sorted((runs / "results" / learner).glob("*.png"))
    assert len(masks) == 6
    assert read_classes(tmp_path / "masks" / "classes.txt") == (["background", "pet"], True)
    learnt = {name for name, line in journal_of(tmp_path).items() if line["learnt"]}
    checkpoint = torch.load(runs / "checkpoints" / learner / "best.pt", weights_only=True)
    assert learnt == {*checkpoint["seen"]} and not learnt & {path.stem for path in masks}
    for path in masks:
        found, wanted = (Image.open(p) for p in (tmp_path / "masks" / path.name, path))
        assert found.mode == "P" and bytes(found.getpalette()[:6]) == palette(2).tobytes()
        assert np.array_equal(np.asarray(found), np.asarray(wanted))


@pytest.mark.parametrize("learner", LEARNERS)
def test_files_and_tables_of_everything_that_can_be_asked_for(learner, runs, photographs):
    asked = ["--overlay", "--probabilities", "--instances", "--table"]
    run(predict, *words(runs, photographs, *asked, learner=learner))
    out = photographs.parent / "out"
    model, rows = load(runs / "checkpoints" / learner, "cpu"), table(out / "predictions.csv")
    assert [float(row["confidence"]) for row in rows] == sorted(
        float(row["confidence"]) for row in rows
    )
    assert {row["picture"] for row in rows} == {"a.jpg", "b.jpg", "c.jpg", "sub/a.jpg"}
    objects = table(out / "objects.csv")
    for row in rows:
        stem = row["picture"].removesuffix(".jpg")
        picture = Image.open(photographs / row["picture"])
        mask = np.asarray(Image.open(out / row["mask"]))
        assert row["mask"] == f"masks/{stem}.png" and mask.shape == picture.size[::-1]
        assert np.array_equal(mask, model.predict(photographs / row["picture"]))
        assert float(row["share pet"]) == pytest.approx((mask == 1).mean(), abs=1e-5)
        chances = np.load(out / "probabilities" / f"{stem}.npy")
        assert chances.dtype == np.float16 and chances.shape == (2, *mask.shape)
        sums = chances.astype(float).sum(0)
        assert sums == pytest.approx(np.ones(mask.shape), abs=2e-3)
        assert (chances.argmax(0) == mask).mean() > 0.999  # halves may be equal
        overlay = Image.open(out / "overlays" / f"{stem}.jpg")
        assert overlay.size == picture.size
        numbers = np.asarray(Image.open(out / "instances" / f"{stem}.png"))
        assert np.array_equal(numbers > 0, mask > 0)
        own = [one for one in objects if one["picture"] == row["picture"]]
        assert len(own) == int(row["objects pet"]) == numbers.max()
        for one in own:
            where = numbers == int(one["object"])
            assert int(one["area"]) == where.sum() and one["class"] == "pet"
            y, x = np.nonzero(where)
            box = [int(one[key]) for key in ("x0", "y0", "x1", "y1")]
            assert box == [x.min(), y.min(), x.max() + 1, y.max() + 1]
            assert float(one["x"]) == pytest.approx(x.mean() + 0.5, abs=0.01)
            grey = np.asarray(picture.convert("L"))[where].mean()
            assert float(one["intensity"]) == pytest.approx(grey, abs=0.01)


def test_a_second_run_does_only_what_is_missing(runs, photographs, capsys):
    run(predict, *words(runs, photographs))
    out = photographs.parent / "out"
    before = {path: path.stat().st_mtime_ns for path in (out / "masks").rglob("*.png")}
    (out / "masks" / "b.png").unlink()
    shutil.copy(photographs / "b.jpg", photographs / "c.jpg")  # another picture under its name
    with (out / "predictions.jsonl").open("ab") as file:
        file.write(b'{"id": "a", "fi')  # as a kill leaves it
    capsys.readouterr()
    run(predict, *words(runs, photographs))
    assert "2 of 4 pictures are done" in capsys.readouterr().out
    after = {path: path.stat().st_mtime_ns for path in before}
    changed = {path.relative_to(out / "masks").as_posix() for path in before} - {
        path.relative_to(out / "masks").as_posix() for path in before if before[path] == after[path]
    }
    assert changed == {"b.png", "c.png"}
    same = [np.asarray(Image.open(out / "masks" / f"{name}.png")) for name in "bc"]
    assert np.array_equal(*same)
    run(predict, *words(runs, photographs, "--overlay"))  # asks for more: all are seen again
    assert len(list((out / "overlays").rglob("*.jpg"))) == 4
    capsys.readouterr()
    run(predict, *words(runs, photographs))
    assert "4 of 4 pictures are done" in capsys.readouterr().out


def test_another_model_or_other_flags_are_refused_without_overwrite(runs, photographs, capsys):
    run(predict, *words(runs, photographs))
    out = photographs.parent / "out"
    for line, other in [
        ("by another run", words(runs, photographs, learner="unet")),
        ("from other photographs", words(runs, photographs / "sub")),
    ]:
        other[other.index("--output_dir") + 1] = out
        assert line in assert_refused(predict, other, capsys)
    other = words(runs, photographs / "sub", "--overwrite", learner="unet")
    other[other.index("--output_dir") + 1] = out
    assert outcome(predict, other, capsys).code == 0
    assert [path.name for path in (out / "masks").rglob("*.png")] == ["a.png"]
    assert json.loads((out / "predictions.json").read_text())["run_name"] == "unet"


def test_masks_that_somebody_changed_are_counted_where_overwrite_ends_them(
    runs, photographs, capsys
):
    out = photographs.parent / "out"
    for number in (0, 1, 2):
        run(predict, *words(runs, photographs, *["--overwrite"] * (number > 0)))
        said = capsys.readouterr().out
        assert ("--overwrite ended" in said) == (number == 2)
        mask = min((out / "masks").rglob("*.png"))
        if number == 1:
            Image.fromarray(np.array(Image.open(mask)) ** 0).save(mask)
    assert f"{out}: --overwrite ended 1 mask that somebody changed since, the first a.png" in said


@pytest.mark.parametrize("why", ["photograph", "--overlay"])
def test_masks_that_somebody_changed_are_not_predicted_anew_unasked(why, runs, photographs, capsys):
    out, more = photographs.parent / "out", ["--overlay"] if why == "--overlay" else []
    run(predict, *words(runs, photographs))
    mask = out / "masks" / "a.png"
    Image.fromarray(np.array(Image.open(mask)) ** 0).save(mask)
    held = mask.read_bytes()
    run(predict, *words(runs, photographs))
    if why == "photograph":
        Image.open(photographs / "a.jpg").rotate(180).save(photographs / "a.jpg")
    line = assert_refused(predict, words(runs, photographs, *more), capsys)
    assert "1 mask that somebody changed would be predicted anew, the first a.png" in line
    assert mask.read_bytes() == held
    mask.rename(out / "a.png")
    run(predict, *words(runs, photographs, *more))
    assert mask.read_bytes() != held


def test_masks_of_anybody_else_are_never_touched(runs, photographs, capsys):
    mask = photographs.parent / "out" / "masks" / "a.png"
    mask.parent.mkdir(parents=True)
    mask.write_bytes(b"drawn by hand")
    for flags in ([], ["--overwrite"]):
        line = assert_refused(predict, words(runs, photographs, *flags), capsys)
        assert "did not write" in line and mask.read_bytes() == b"drawn by hand"
    mask.rename(mask.parents[1] / "predictions.csv")
    assert "predictions.csv" in assert_refused(predict, words(runs, photographs), capsys)


def test_a_broken_picture_is_named_and_the_others_go_on(runs, photographs, capsys):
    content = (photographs / "b.jpg").read_bytes()
    (photographs / "b.jpg").write_bytes(content[:200])
    (photographs / "z.png").symlink_to("nowhere")
    line = assert_refused(predict, words(runs, photographs), capsys)
    assert "2 pictures without a mask" in line
    masks = photographs.parent / "out" / "masks"
    assert {path.stem for path in masks.rglob("*.png")} == {"a", "c"}
    assert len(table(masks.parent / "predictions.csv")) == 3
    (photographs / "b.jpg").write_bytes(content)
    (photographs / "z.png").unlink()
    assert outcome(predict, words(runs, photographs), capsys).code == 0
    assert (masks / "b.png").exists()


def test_a_stack_is_read_as_it_is_told_and_deep_values_as_in_the_range(runs, photographs, capsys):
    pages = [Image.open(photographs / f"{name}.jpg").convert("RGB") for name in "ab"]
    pages[1] = pages[1].resize(pages[0].size)
    pages[0].save(photographs / "stack.tif", save_all=True, append_images=[pages[1]])
    deep = np.asarray(pages[0].convert("L")).astype(np.uint16) * 200
    Image.fromarray(deep).save(photographs / "deep.png")
    line = assert_refused(predict, words(runs, photographs), capsys)
    assert "2 pictures without a mask" in line
    for path in photographs.glob("?.jpg"):
        path.unlink()
    flags = ["--page", 2, "--value_range", 0, 51000, "--overwrite"]
    assert "deep" in assert_refused(predict, words(runs, photographs, *flags), capsys)
    model = load(runs / "checkpoints" / "probe", "cpu")
    mask = np.asarray(Image.open(photographs.parent / "out" / "masks" / "stack.png"))
    assert np.array_equal(mask, model.predict(pages[1]))
    (photographs / "stack.tif").unlink()
    shutil.rmtree(photographs / "sub")
    again = words(runs, photographs, "--value_range", 0, 51000, "--overwrite", "--table")
    assert outcome(predict, again, capsys).code == 0
    mask = np.asarray(Image.open(photographs.parent / "out" / "masks" / "deep.png"))
    assert np.array_equal(mask, model.predict(pages[0].convert("L")))


def test_two_pictures_of_one_name_are_shown_both(runs, photographs, capsys):
    shutil.copy(photographs / "a.jpg", photographs / "a.png")
    line = assert_refused(predict, words(runs, photographs), capsys)
    assert "a.jpg" in line and "a.png" in line


def test_what_is_no_photograph_is_told_or_left_out(runs, photographs, capsys):
    inside = photographs / "predicted"
    run(predict, *words(runs, photographs, "--output_dir", inside, "--overlay"))
    assert "look like masks" not in capsys.readouterr().out
    run(predict, *words(runs, photographs))
    assert "photographs: 9 files that predict.py wrote are left out" in capsys.readouterr().out
    run(predict, *words(runs, inside / "masks", "--overwrite"))
    told = capsys.readouterr().out
    assert "masks: 4 pictures, the first a.png, look like masks: they show numbers" in told


@pytest.mark.parametrize("kind", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
def test_workers_give_the_same_files(kind, runs, photographs):
    """In other threads or processes, with the journal and the tables of one."""
    run(predict, *words(runs, photographs, "--table"))
    out, other = photographs.parent / "out", photographs.parent / "other"
    again = words(runs, photographs, "--table", "--backend", kind, "--jobs", 2)
    again[again.index("--output_dir") + 1] = other
    run(predict, *again)
    for name in ("predictions.csv", "objects.csv", "masks/a.png", "masks/sub/a.png"):
        assert (out / name).read_bytes() == (other / name).read_bytes()


def test_windows_show_a_large_picture_in_parts(runs, photographs):
    run(predict, *words(runs, photographs, "--tile", 40, "--probabilities", learner="unet"))
    out = photographs.parent / "out"
    for path in (out / "masks").rglob("*.png"):
        name = path.relative_to(out / "masks").with_suffix(".npy")
        chances = np.load(out / "probabilities" / name)
        assert (chances.argmax(0) == np.asarray(Image.open(path))).mean() > 0.99


@pytest.mark.parametrize("in_store", [False, True])
def test_one_click_an_object_decides_their_number(
    in_store, runs, photographs, pets_labels, tmp_path
):
    """Two clicks on one connected part of the mask make two objects of it."""
    mask = load(runs / "checkpoints" / "probe", "cpu").predict(photographs / "a.jpg")
    _, numbers = cv2.connectedComponents((mask == 1).astype(np.uint8))
    y, x = np.nonzero(numbers == 1)
    clicks = [[int(x[k]), int(y[k]), 1] for k in (0, -1)]
    head = {key: value for key, value in load_labels(pets_labels).items() if key != "images"}
    path = tmp_path / "clicks.pkl"
    save_labels(path, head | {"count": 1}, 1, [("a", {"size": mask.shape[::-1], "points": clicks})])
    if in_store:
        path = tmp_path / "store"
        shapes = [Shape("click", "pet", place[:2]) for place in clicks] + [
            Shape("tag", "cat", True)
        ]
        with opened_store(path, create=True) as store:
            store.update("me", {"a": Given(dict(enumerate(shapes)), mask.shape[::-1])})
    run(predict, *words(runs, photographs, "--instances", "--clicks", path))
    found = np.asarray(Image.open(tmp_path / "out" / "instances" / "a.png"))
    assert found[y[0], x[0]] != found[y[-1], x[-1]]
    assert len(np.unique(found[numbers == 1])) == 2
    # Further clicks in the same file are not taken for those that were there.
    if in_store:
        with opened_store(path) as store:
            store.update(
                "you", {"a": Given({0: Shape("click", "pet", (1.0, 1.0))}, mask.shape[::-1])}
            )
    else:
        more = {"size": mask.shape[::-1], "points": [*clicks, [1, 1, 1]]}
        save_labels(path, head | {"count": 1}, 1, [("a", more)])
    with pytest.raises(UserError, match="with other clicks"):
        run(predict, *words(runs, photographs, "--instances", "--clicks", path))


@pytest.mark.parametrize("in_store", [False, True])
def test_clicks_on_another_photograph_of_the_same_name_are_told(
    in_store, runs, photographs, pets_labels, tmp_path, capsys
):
    size, path = Image.open(photographs / "a.jpg").size, tmp_path / "clicks"
    held = content_of(photographs / "a.jpg", is_whole=False)
    head = {key: value for key, value in load_labels(pets_labels).items() if key != "images"}
    if in_store:
        with opened_store(path, create=True) as store:
            store.update("me", {"a": Given({0: Shape("click", "pet", (3.0, 3.0))}, size)})
            note_photographs(store, "me", {"a": photographs / "a.jpg"})
    else:
        record = {"size": size, "points": [[3, 3, 1]], "files": ["", held]}
        save_labels(path, head | {"count": 1}, 1, [("a", record)])
    ask = words(runs, photographs, "--instances", "--clicks", path, "--overwrite")
    run(predict, *ask)
    assert "changed since" not in capsys.readouterr().out
    Image.open(photographs / "a.jpg").rotate(180).save(photographs / "a.jpg")
    run(predict, *ask)
    assert "1 photograph changed since the labels" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("clicks", "message"),
    [
        ([["a", "b", 1]], "click 1"),
        ([[10, 10]], "click 1"),
        ([[float("nan"), 1, 1]], "click 1"),
        ([[1000, 1, 1]], "click 1"),
        ([[5, 5, 7]], "click 1"),
        ([[5, 5, "pet"]], "click 1"),
    ],
)
def test_clicks_that_make_no_sense_part_nothing(
    clicks, message, runs, photographs, pets_labels, tmp_path
):
    content = load_labels(pets_labels)
    head = {key: value for key, value in content.items() if key != "images"}
    with Image.open(photographs / "a.jpg") as image:
        size = image.size
    path = tmp_path / "clicks.pkl"
    path.write_bytes(
        pickle.dumps({**head, "count": 1, "images": {"a": {"size": [*size], "points": clicks}}})
    )
    with pytest.raises(UserError, match=rf"--clicks .*clicks\.pkl, a: .*{message}"):
        run(predict, *words(runs, photographs, "--instances", "--clicks", path))
    assert not (tmp_path / "out" / "masks").exists()


def test_clicks_of_other_classes_or_pictures_are_said(
    runs, photographs, pets_labels, tmp_path, capsys
):
    with opened_store(tmp_path / "store", create=True) as store:
        store.update("me", {"a": Given({0: Shape("click", "blob", [5.0, 5.0])})})
    with pytest.raises(UserError, match="store: a: the class 'blob' is none of background, pet"):
        run(predict, *words(runs, photographs, "--instances", "--clicks", tmp_path / "store"))
    head = {key: value for key, value in load_labels(pets_labels).items() if key != "images"}
    path = tmp_path / "clicks.pkl"
    names = {"classes": ["background", "blob"], "count": 1, "images": {"a": {"points": []}}}
    path.write_bytes(pickle.dumps({**head, **names}))
    with pytest.raises(UserError, match="is of the classes background, blob, but the model"):
        run(predict, *words(runs, photographs, "--instances", "--clicks", path))
    path.write_bytes(pickle.dumps({**head, "count": 1, "images": {"elsewhere": {"points": []}}}))
    run(predict, *words(runs, photographs, "--instances", "--clicks", path))
    assert "1 names are of no picture" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--run_name", "../x"], "--run_name"),
        (["--run_name", "nowhere"], "no such checkpoint"),
        (["--images", "nowhere"], "--images nowhere"),
        (["--tile", "8"], "--tile 8"),
        (["--tile", "64"], "the probe"),
        (["--tile_overlap", "0.5"], "add --tile"),
        (["--jobs", "0"], "--jobs 0"),
        (["--min_area", "0"], "--min_area 0"),
        (["--min_area", "5"], "add --instances, --table or --format"),
        (["--clicks", "x.pkl"], "add --instances"),
        (["--clicks", "x.pkl", "--instances"], "x.pkl: no such weak-label file"),
        (["--value_range", "5", "1"], "--value_range 5"),
        (["--channels", "1", "2"], "--channels 1 2"),
        (["--output_dir", "."], "holds the pictures"),
    ],
)
def test_flags_that_mean_nothing_are_one_line(
    flags, message, runs, photographs, capsys, monkeypatch
):
    monkeypatch.chdir(photographs)
    assert message in assert_refused(predict, words(runs, photographs, *flags), capsys)


def test_a_model_takes_files_images_and_arrays(runs, photographs):
    for learner in LEARNERS:
        model = load(runs / "checkpoints" / learner / "best.pt", device="cpu")
        path = photographs / "a.jpg"
        image = Image.open(path).convert("RGB")
        masks = [model.predict(one) for one in (path, str(path), image, np.asarray(image))]
        assert all(np.array_equal(masks[0], mask) for mask in masks[1:])
        assert model.classes == ["background", "pet"] and model.has_background
        assert model.probabilities(path).shape == (2, *masks[0].shape)
        grey = model.predict(np.asarray(image.convert("L")))
        assert grey.shape == masks[0].shape
        with pytest.raises(UserError, match="no picture"):
            model.predict(np.zeros((4, 4, 3)))
    with pytest.raises(UserError, match="no such checkpoint"):
        load(runs / "nowhere")


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_model_sees_an_image_of_pillow_upright(runs, photographs, tmp_path, turn):
    model = load(runs / "checkpoints" / "probe" / "best.pt", device="cpu")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    for path in (tmp_path / "a.jpg", tmp_path / "a.png"):
        with Image.open(photographs / "a.jpg") as image:
            image.save(path, exif=exif)
        with Image.open(path) as image:
            size = image.size
            assert np.array_equal(model.pixels(image), model.pixels(path))
            assert image.size == size  # the caller's own is as it was


def test_a_model_does_not_guess_what_deep_images_of_pillow_show(runs):
    model = load(runs / "checkpoints" / "probe" / "best.pt", device="cpu")
    for mode in ("I;16", "I", "F"):
        with pytest.raises(UserError, match="give the name of its file"):
            model.predict(Image.new(mode, (8, 8)))


def test_a_table_takes_the_place_of_no_other_file(runs, photographs):
    kept = photographs / "classes.txt"
    kept.write_text("background\npet\n")
    with pytest.raises(UserError, match=r"--table .*classes\.txt: is there and is no table"):
        run(predict, *words(runs, photographs, "--table", kept))
    assert kept.read_text() == "background\npet\n" and not (photographs.parent / "out").exists()
    for _ in range(2):  # its own table is written anew
        run(predict, *words(runs, photographs, "--table", photographs.parent / "objects.csv"))
