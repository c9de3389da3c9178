"""Predictions as labels for other tools: within the tolerance, scored, and read back."""

import json
import shutil

import cv2
import numpy as np
import pytest
from conftest import run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import predict
import train
from weakseg.common import UserError
from weakseg.inference.journal import FORMATS_OUT
from weakseg.inference.objects import object_scores
from weakseg.inference.preannotations import polygons, simplified
from weakseg.labels.formats.files import Files
from weakseg.labels.formats.geometry import area_pixels
from weakseg.labels.formats.records import Dropped, Shape
from weakseg.labels.formats.table import FORMATS

ANGLES = np.linspace(0, 2 * np.pi, 120, endpoint=False)


def distance(place, ring):
    """How far a place lies from the closed line through a ring."""
    a, b = np.array(ring), np.roll(np.array(ring), -1, 0)
    along = ((place - a) * (b - a)).sum(1) / np.maximum(((b - a) ** 2).sum(1), 1e-12)
    nearest = a + np.clip(along, 0, 1)[:, None] * (b - a)
    return np.hypot(*(place - nearest).T).min()


@given(
    st.lists(st.floats(5, 30), min_size=3, max_size=8),
    st.sampled_from([0.0, 0.5, 1.0, 3.0]),
)
def test_no_vertex_that_goes_lay_further_off_than_the_tolerance(radii, tolerance):
    radius = np.interp(ANGLES, np.linspace(0, 2 * np.pi, len(radii), endpoint=False), radii)
    ring = np.stack([40 + radius * np.cos(ANGLES), 40 + radius * np.sin(ANGLES)], 1).tolist()
    (kept,) = simplified([ring], tolerance)
    assert 3 <= len(kept) <= len(ring)
    assert max(distance(np.array(place), kept) for place in ring) <= tolerance + 1e-3


@given(st.integers(0, 2**32 - 1))
def test_polygons_cover_their_objects_holes_are_none_of_them(seed):
    rng = np.random.default_rng(seed)
    mask = cv2.GaussianBlur(rng.random((40, 50)).astype(np.float32), (0, 0), 3) > 0.5
    count, numbers = cv2.connectedComponents(mask.astype(np.uint8))
    for number, parts in enumerate(polygons(numbers, count - 1, 0.0), 1):
        found = area_pixels(Shape("polygon", "a", parts), (50, 40))
        assert np.array_equal(found, numbers == number)


def test_a_score_is_the_mean_chance_of_the_objects_own_class():
    numbers = np.array([[1, 1, 0], [0, 2, 3]])
    chances = np.arange(18, dtype=np.float32).reshape(3, 2, 3) / 18
    expected = [(chances[1, 0, 0] + chances[1, 0, 1]) / 2, chances[2, 1, 1], chances[1, 1, 2]]
    assert object_scores(numbers, [1, 2, 1], chances) == pytest.approx(expected)
    assert object_scores(np.zeros((2, 3), int), [], chances) == []


@pytest.fixture(scope="module")
def trained(pets_dir, pets_labels, tmp_path_factory):
    root = tmp_path_factory.mktemp("preannotated")
    data = ["--data_dir", pets_dir, "--weak_label_path", pets_labels]
    own = ["--supervision_mode", "full", "--learner", "probe", "--run_name", "probe"]
    where = ["--checkpoint_dir", root / "checkpoints", "--cache_dir", root / "cache"]
    run(train, *own, *data, *where, "--device", "cpu")
    (root / "photographs/sub").mkdir(parents=True)
    for place, path in zip(
        ("a.jpg", "sub/a.jpg"), sorted((pets_dir / "images").glob("*.jpg")), strict=False
    ):
        shutil.copy(path, root / "photographs" / place)
    return root


def call(root, out, *more):
    where = ["--run_name", "probe", "--checkpoint_dir", root / "checkpoints", "--device", "cpu"]
    run(predict, *where, "--images", root / "photographs", "--output_dir", out, *more)


def read_back(path, tool):
    """What a tool's reader finds; what is for correction in Label Studio is taken as done."""
    if tool == "labelstudio":
        tasks = json.loads(path.read_text())
        assert all(not task["annotations"] for task in tasks)
        for task in tasks:
            (guess,) = task["predictions"]
            assert 0 < guess["score"] <= 1
            task["annotations"] = [guess]
        path.write_text(json.dumps(tasks))
    return {one.name: one for one in FORMATS[tool].read(Files(path), Dropped())}


def keep_what_somebody_changed(root, out, path, tool, held, capsys):
    """A further call leaves a file that a person corrected as it is."""
    corrected = path if path.is_file() else path / "a.json"
    corrected.write_bytes(held + b"\n")
    if path.is_file():
        with pytest.raises(UserError, match="was changed by somebody since"):
            call(root, out, "--format", tool)
    else:
        call(root, out, "--format", tool)
        assert "1 files that somebody changed stay as they are" in capsys.readouterr().out
    assert corrected.read_bytes() == held + b"\n"
    corrected.unlink()  # moved away
    call(root, out, "--format", tool, "--tolerance", 1.5, "--min_area", 9)
    assert corrected.read_bytes() == held


@pytest.mark.parametrize("tool", FORMATS_OUT)
def test_what_a_tool_loads_shows_the_masks_within_the_tolerance(tool, trained, tmp_path, capsys):
    out = tmp_path / "out"
    for _ in range(2):  # a second call replaces its own file
        call(trained, out, "--format", tool, "--tolerance", 1.5, "--min_area", 9)
    printed = capsys.readouterr().out
    path = next(out.glob("annotations*"))
    assert f"{path}: " in printed and f" objects for {tool}" in printed
    held = path.read_bytes() if path.is_file() else (path / "a.json").read_bytes()
    records = read_back(path, tool)
    keep_what_somebody_changed(trained, out, path, tool, held, capsys)
    names = {"a.jpg", "sub/a.jpg"}
    assert {name.removeprefix("./") for name in records} >= (
        names if tool != "labelme" else {"a.jpg"}
    )
    for name, record in records.items():
        mask = np.asarray(Image.open((out / "masks" / name).with_suffix(".png"))) == 1
        covered = np.zeros_like(mask)
        for shape in record.shapes:
            assert shape.label == "pet"
            if tool == "coco":
                assert 0.5 < shape.score <= 1
            covered |= area_pixels(shape, mask.shape[::-1])
        edge = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3))) > 0
        to_edge = cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, 5)
        off = covered != mask
        labels = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
        small = np.isin(labels[1], np.flatnonzero(labels[2][:, 4] < 9))  # --min_area
        assert (to_edge[off & ~small] <= 3).all()


def test_a_tolerance_that_means_nothing_is_refused(trained, tmp_path):
    with pytest.raises(UserError, match=r"--tolerance -1\.0: must lie between 0 and 100 pixels"):
        call(trained, tmp_path / "out", "--format", "coco", "--tolerance", -1)


def test_a_file_of_anybody_else_is_not_replaced(trained, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/annotations.xml").write_text("mine")
    with pytest.raises(UserError, match=r"annotations\.xml: is there"):
        call(trained, tmp_path / "out", "--format", "cvat")
