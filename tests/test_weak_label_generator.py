"""The generator from the command line: determinism, options, summary, preview, refusals."""

import pickle
import shutil
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
from conftest import ROOT, run
from PIL import Image

import weak_label_generator
from weakseg import common
from weakseg.common import UserError
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels import annotators, simulate
from weakseg.labels.label_file import load_labels
from weakseg.labels.signals import SIGNALS

REAL = ROOT.parent / "shared" / "data" / "oxford-iiit-pet"
NUCLEI = REAL.parent / "nuclei"


def generate(data_dir, path, *argv):
    """Run the generator in one process -> its images."""
    run(weak_label_generator, "--data_dir", data_dir, "--output_file", path, "--jobs", 1, *argv)
    return load_labels(path)["images"]


def opened(data_dir, cache_dir):
    return open_dataset(
        DataOptions(
            data_dir=data_dir,
            dataset="auto",
            classes=[],
            tag_set="default",
            cache_dir=cache_dir,
            val_fraction=0.1,
            split_seed=0,
        )
    )


def linked(source, target):
    """Copy a data set as hard links, but its lists as files that may be changed."""
    shutil.copytree(
        source,
        target,
        copy_function=lambda a, b: (shutil.copy if a.endswith(".txt") else shutil.os.link)(a, b),
    )
    return target


def check_against_masks(dataset, images):
    """Assert that noise-free labels agree with the masks -> number of points checked."""
    checked = 0
    for name, labels in images.items():
        mask = dataset.mask(name)
        assert labels["size"] == [mask.shape[1], mask.shape[0]]
        for x, y, label in labels["points"]:
            assert mask[int(y), int(x)] == label
            checked += 1
        covered = np.zeros(mask.shape, bool)
        for x0, y0, x1, y1, label in labels["boxes"]:
            inside = mask[int(y0) : int(y1), int(x0) : int(x1)] == label
            assert all(inside[edge].any() for edge in (0, -1, (slice(None), 0), (slice(None), -1)))
            covered[int(y0) : int(y1), int(x0) : int(x1)] = True
        assert covered[mask == 1].mean() > 0.9
        assert tuple(labels["tags"]["present"]) == dataset.tags(name)
        assert {s["class"] for s in labels["scribbles"]} == set(np.unique(mask)) - {255}
        for scribble in labels["scribbles"]:
            x, y = np.array(scribble["path"]).astype(int).T
            assert (mask[y, x] == scribble["class"]).all()
    return checked


def test_labels_agree_with_the_masks(pets_dir, pets_labels, tmp_path):
    content = load_labels(pets_labels)
    dataset = opened(pets_dir, tmp_path)
    assert list(content["images"]) == dataset.ids("trainval")
    assert check_against_masks(dataset, content["images"]) >= 48


def test_labels_do_not_depend_on_processes_or_order(pets_dir, pets_labels, tmp_path, monkeypatch):
    path = tmp_path / "two.pkl"
    monkeypatch.setattr(simulate, "CHUNK", 12)  # so that both processes get work
    run(weak_label_generator, "--data_dir", pets_dir, "--output_file", path, "--jobs", 2)
    assert load_labels(path) == load_labels(pets_labels)
    data = linked(pets_dir, tmp_path / "reversed")
    listed = data / "annotations" / "trainval.txt"
    listed.write_text("\n".join(reversed(listed.read_text().splitlines())))
    assert generate(data, path) == load_labels(pets_labels)["images"]


def test_labels_of_an_image_do_not_depend_on_the_other_images(pets_dir, pets_labels, tmp_path):
    data = linked(pets_dir, tmp_path / "some")
    listed = data / "annotations" / "trainval.txt"
    listed.write_text("\n".join(listed.read_text().splitlines()[::3]))
    everything, some = load_labels(pets_labels)["images"], generate(data, tmp_path / "some.pkl")
    assert len(some) == 8
    assert all(labels == everything[name] for name, labels in some.items())


def test_one_signals_options_and_the_seed_leave_the_others_alone(pets_dir, pets_labels, tmp_path):
    first = load_labels(pets_labels)["images"]
    again, other = (
        generate(pets_dir, tmp_path / "a.pkl"),
        generate(pets_dir, tmp_path / "b.pkl", "--seed", 1),
    )
    assert again == first
    assert other != first
    assert all(other[name]["boxes"] == first[name]["boxes"] for name in first)
    clicks = generate(pets_dir, tmp_path / "c.pkl", "--background_points", 5)
    assert all(clicks[name]["scribbles"] == first[name]["scribbles"] for name in first)


def test_every_seed_image_and_signal_has_its_own_stream(pets_dir, tmp_path, monkeypatch):
    draw = replace(SIGNALS["tags"], extract=lambda scene, rng: rng.random())
    monkeypatch.setattr(simulate, "SIGNALS", {"a": draw, "b": draw})
    dataset = opened(pets_dir, tmp_path)
    values = [
        simulate.annotate(dataset, name, annotators.Options(), seed, "ab")[signal]
        for seed in (0, 1)
        for name in dataset.ids("val")
        for signal in "ab"
    ]
    assert len(set(values)) == len(values) == 4 * len(dataset.ids("val"))


def test_options_reach_the_annotators_and_the_header(pets_dir, tmp_path):
    argv = [
        "--points_per_object",
        3,
        "--background_points",
        4,
        "--random_points",
        "--scribble_width",
        1,
        "--noise",
        1,
        "--classes",
        "species",
        "--tag_set",
        "breed",
    ]
    images = generate(pets_dir, tmp_path / "labels.pkl", *argv)
    content = load_labels(tmp_path / "labels.pkl")
    drawn_with = annotators.Options(3, 4, True, scribble_width=1, noise=1.0)
    assert content["options"] == asdict(drawn_with)
    assert annotators.Options.of(content["options"]) == drawn_with
    assert content["classes"] == ["background", "cat", "dog"]
    for labels in images.values():
        assert len(labels["points"]) == 3 * labels["full"]["objects"] + 4
        assert {s["width"] for s in labels["scribbles"]} == {1}
        assert len(labels["tags"]["present"]) == 3  # of four breeds all answers are wrong


def test_it_prints_coverage_and_draws_a_preview(pets_dir, tmp_path, capsys):
    generate(pets_dir, tmp_path / "labels.pkl", "--preview", 3)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[: len(SIGNALS)]] == list(SIGNALS)
    points, scribbles = (
        next(line for line in lines if line.split()[0] == name) for name in ("points", "scribbles")
    )
    assert 0.001 < float(points.split(",")[1].split()[0]) < 0.01
    assert 1 < float(scribbles.split(",")[1].split()[0]) < 20
    assert lines[-1].endswith("labels.pkl: 24 images of pets (background, pet)")
    with Image.open(tmp_path / "labels_preview.png") as figure:
        assert min(figure.size) > 200


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--noise", 1.5], "--noise 1.5: must lie between 0 and 1"),
        (["--noise", "nan"], "--noise nan"),
        (["--points_per_object", -1], "--points_per_object -1: must lie between 0 and 1000"),
        (["--background_points", -2], "--background_points -2: must lie between -1 and 1000"),
        (["--scribble_length", 0], "--scribble_length 0.0: must lie between 0.01 and 1"),
        (["--scribble_width", 0], "--scribble_width 0"),
        (["--min_area", 0.9], "--min_area 0.9"),
        (["--jobs", 0], "--jobs 0"),
        (["--preview", 1000], "--preview 1000"),
        (["--seed", -1], "--seed -1: must lie between 0 and"),
        (["--classes", "speceis"], "--classes 'speceis': did you mean species"),
        (["--output_file", "."], "--output_file .: is a folder"),
    ],
)
def test_bad_flags_are_refused_before_anything_is_written(pets_dir, tmp_path, argv, message):
    with pytest.raises(UserError, match=message):
        run(
            weak_label_generator,
            "--data_dir",
            pets_dir,
            "--output_file",
            tmp_path / "labels.pkl",
            *argv,
        )
    assert not list(tmp_path.iterdir())


def test_there_may_be_as_many_clicks_on_the_background_as_on_objects(pets_dir, tmp_path, capsys):
    images = generate(pets_dir, tmp_path / "c.pkl", "--background_points", "match")
    for labels in images.values():
        behind = sum(point[2] == 0 for point in labels["points"])
        assert behind == max(1, labels["full"]["objects"])
    with pytest.raises(SystemExit):
        generate(pets_dir, tmp_path / "c.pkl", "--background_points", "many")
    assert "'many': write a number, or match" in capsys.readouterr().err


def test_a_spoilt_mask_stops_with_one_line_and_keeps_the_old_file(
    pets_dir, pets_labels, tmp_path, monkeypatch, capsys
):
    data = linked(pets_dir, tmp_path / "spoilt")
    path = tmp_path / "labels.pkl"
    shutil.copy(pets_labels, path)
    trimap = data / "annotations" / "trimaps" / "cobbled_hound_1.png"
    trimap.unlink()
    trimap.write_bytes(b"no image")
    monkeypatch.setattr(simulate, "CHUNK", 12)
    argv = [
        "weak_label_generator.py",
        "--data_dir",
        str(data),
        "--output_file",
        str(path),
        "--jobs",
        "2",
    ]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as stopped:
        common.run_cli(weak_label_generator.main, weak_label_generator.parse_args)
    assert stopped.value.code == 2
    assert f"error: {trimap}: not a readable image" in capsys.readouterr().err.splitlines()[-1]
    assert path.read_bytes() == pets_labels.read_bytes()


def test_the_test_split_is_never_read(pets_dir, pets_labels, tmp_path):
    data = linked(pets_dir, tmp_path / "blind")
    for name in opened(data, tmp_path / "cache").ids("test"):
        (data / "annotations" / "trimaps" / f"{name}.png").unlink()
    generate(data, tmp_path / "labels.pkl")
    assert (tmp_path / "labels.pkl").read_bytes() == pets_labels.read_bytes()


def test_the_file_can_be_read_with_plain_pickle(pets_labels):
    assert pickle.loads(pets_labels.read_bytes()) == load_labels(pets_labels)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real photographs are not at {REAL}")
def test_labels_of_real_photographs_hit_their_pets(tmp_path):
    dataset = opened(REAL, tmp_path)
    names = dataset.ids("trainval")[::8]
    options = annotators.Options(points_per_object=2, background_points=2)
    images = dict(simulate.annotate_many(dataset, dict.fromkeys(names), options, seed=0))
    assert check_against_masks(dataset, images) >= 4 * len(names)


@pytest.mark.skipif(not NUCLEI.is_dir(), reason=f"the real nuclei are not at {NUCLEI}")
def test_every_real_nucleus_is_labelled_however_small_and_those_that_touch_apart(tmp_path):
    dataset = opened(NUCLEI, tmp_path)
    names = dataset.ids("trainval")[::16]
    labelled, without = 0, 0
    for name in names:
        nuclei = len(np.unique(dataset.instances(name))) - 1
        labels = simulate.annotate(dataset, name, annotators.Options(), 0, ("full", "boxes"))
        assert labels["full"]["objects"] == len(labels["boxes"]) == nuclei
        labelled += nuclei
        without += len(annotators.Scene(dataset.mask(name)).objects)
    assert without < 0.75 * labelled
