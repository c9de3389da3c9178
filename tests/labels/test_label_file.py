"""The weak-label file: round trips, hostile bytes, and labels that don't fit."""

import copy
import os
import pickle
import pickletools
import shlex
import shutil
import struct

import made_folders
import numpy as np
import pytest
from conftest import run
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import weak_label_generator
from weakseg.common import IGNORE, UserError
from weakseg.data.ids import fault_of_id
from weakseg.labels.label_file import command, labels_for, load_labels, save_labels
from weakseg.labels.label_header import header
from weakseg.labels.plain_pickle import is_plain
from weakseg.labels.signals import SIGNALS
from weakseg.validation import shorten

HEAD = {
    "format": "weak-labels",
    "version": 1,
    "dataset": "pets",
    "classes": [],
    "tag_names": [],
    "seed": 0,
    "options": {},
}
WEAK = [signal for signal in SIGNALS if signal != "full"]
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)

ids = st.text().filter(lambda name: fault_of_id(name) is None)


def opened(data_dir, cache_dir, **changes):
    return made_folders.opened(data_dir, cache_dir=cache_dir, **changes)


@pytest.fixture(scope="module")
def dataset(pets_dir, tmp_path_factory):
    return opened(pets_dir, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def content(pets_labels):
    """The content of the tiny data set's file, to be spoilt."""
    return copy.deepcopy(load_labels(pets_labels))


def store(path, content):
    path.write_bytes(pickle.dumps(content))
    return path


@settings(max_examples=40)
@given(st.dictionaries(ids, plain, min_size=1, max_size=4))
def test_what_is_saved_is_read_back(tmp_path_factory, images):
    path = tmp_path_factory.mktemp("labels") / "new folder" / "labels.pkl"
    save_labels(path, HEAD, len(images), images.items())
    found = load_labels(path)
    assert found == {**HEAD, "count": len(images), "images": images}
    assert is_plain(found)


def test_the_generated_file_is_plain_and_has_its_header(pets_labels, dataset):
    found = load_labels(pets_labels)
    names = {op.name for op, _, _ in pickletools.genops(pets_labels.read_bytes())}
    assert not names & {
        "GLOBAL",
        "STACK_GLOBAL",
        "REDUCE",
        "BUILD",
        "INST",
        "OBJ",
        "NEWOBJ",
        "NEWOBJ_EX",
        "BINBYTES",
    }
    assert found["dataset"] == "pets"
    assert (found["version"], found["seed"], found["count"]) == (1, 0, 24)
    assert set(found["options"]) == {
        "points_per_object",
        "background_points",
        "random_points",
        "scribble_length",
        "scribble_width",
        "min_area",
        "outline_iou",
        "noise",
        "pixels_per_image",
        "faults",
    }
    assert list(found["images"]) == dataset.ids("trainval")


class Boobytrap:
    """Creates a file when it is unpickled."""

    def __init__(self, path, function=os.system):
        self.path, self.function = path, function

    def __reduce__(self):
        return self.function, (f"touch {self.path}",)


def nested(depth):
    """A pickle of a list in a list in a list ..."""
    return b"\x80\x04" + b"]" * depth + b"a" * (depth - 1) + b"."


def looped():
    images = []
    images.append(images)
    return {**HEAD, "count": 1, "images": {"a": images}}


def spoilt_files(target):
    """Return {what: bytes} of files that are no weak labels."""
    whole = pickle.dumps({**HEAD, "count": 1, "images": {"a": {}}})

    class Persistent(pickle.Pickler):
        def persistent_id(self, value):
            return "outside" if isinstance(value, Boobytrap) else None

    import io

    buffer = io.BytesIO()
    Persistent(buffer).dump([Boobytrap(target)])
    trap = {**HEAD, "count": 1, "images": {"a": Boobytrap(target)}}
    return {
        "os.system": pickle.dumps(trap),
        "os.system, old protocol": pickle.dumps(trap, protocol=0),
        "eval": pickle.dumps(Boobytrap(target, eval)),
        "instance": b"(S'touch " + os.fsencode(str(target)) + b"'\nios\nsystem\n.",
        "name with line breaks": b"\x80\x04\x8c\x03os\n\x8c\x07sys\n\x1b[2\x93.",
        "persistent id": buffer.getvalue(),
        "extension registry": b"\x80\x02\x82\x01.",
        "build on a dict": b"\x80\x02}}X\x01\x00\x00\x00aK\x01sb.",
        "numpy complex": pickle.dumps({**HEAD, "count": 1, "images": {"a": np.complex64(1)}}),
        "bytes": pickle.dumps({**HEAD, "count": 1, "images": {"a": b"bytes"}}),
        "set": pickle.dumps({**HEAD, "count": 1, "images": {"a": {1, 2}}}),
        "complex": pickle.dumps({**HEAD, "count": 1, "images": {"a": 1j}}),
        "empty": b"",
        "text": b"hello, this is no pickle",
        "truncated": whole[: len(whole) // 2],
        "no end": whole[:-1],
        "huge nesting": nested(300_000),
        "huge frame": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"]",
        "huge text": b"\x80\x04\x8d" + struct.pack("<Q", 2**63 - 1) + b"a.",
        "huge memo": b"\x80\x04]r\xff\xff\xff\xff.",
        "unhashable key": b"\x80\x04}]K\x01s.",
        "stack underflow": b"\x80\x04s.",
        "future protocol": b"\x80\x63].",
        "other pickle": pickle.dumps([1, 2]),
        "no header": pickle.dumps({"a": 1}),
        "images of another type": pickle.dumps({**HEAD, "count": 1, "images": [1]}),
        "no images": pickle.dumps({**HEAD, "count": 0, "images": {}}),
        "wrong count": pickle.dumps({**HEAD, "count": 5, "images": {"a": {}}}),
        "an id that leads out": pickle.dumps({**HEAD, "count": 1, "images": {"../a": {}}}),
        "an id of control characters": pickle.dumps({**HEAD, "count": 1, "images": {"\x1b[2J": 0}}),
        "a number as id": pickle.dumps({**HEAD, "count": 1, "images": {7: {}}}),
        "next version": pickle.dumps({**HEAD, "version": 2, "count": 1, "images": {"a": {}}}),
    }


@pytest.mark.parametrize("case", spoilt_files("x"))
def test_spoilt_files_run_nothing_and_give_one_line(tmp_path, case):
    target, path = tmp_path / "boom", tmp_path / "labels.pkl"
    path.write_bytes(spoilt_files(target)[case])
    with pytest.raises(UserError) as caught:
        load_labels(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "weak_label_generator.py" in line
    assert line.isprintable()
    assert len(line) < len(str(path)) + 250
    assert not target.exists()


def test_damaged_bytes_are_refused(tmp_path, pets_labels):
    rng = np.random.default_rng(0)
    whole, path = pets_labels.read_bytes()[:4000], tmp_path / "labels.pkl"
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(damaged), 4):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        with pytest.raises(UserError):
            load_labels(path)


def test_values_inside_themselves_are_read_to_an_end(tmp_path, dataset):
    load_labels(store(tmp_path / "labels.pkl", looped()))
    with pytest.raises(UserError, match="made for classes"):
        labels_for(tmp_path / "labels.pkl", dataset, ["a"], ["points"], "data")


def test_a_missing_file_and_a_folder_name_the_command(tmp_path, dataset):
    for path in (tmp_path / "nowhere.pkl", tmp_path):
        with pytest.raises(
            UserError,
            match=r"run python weak_label_generator\.py --data_dir 'my data' --output_file ",
        ):
            labels_for(path, dataset, ["a"], ["points"], "my data")


def test_a_failing_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "labels.pkl"
    save_labels(path, HEAD, 1, [("a", 1)])
    before = path.read_bytes()
    with pytest.raises((AttributeError, pickle.PicklingError, TypeError)):
        save_labels(path, HEAD, 2, [("a", 1), ("b", lambda: 1)])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_labels_that_fit_are_returned_for_the_ids(pets_labels, dataset):
    names = dataset.ids("val")
    found = labels_for(pets_labels, dataset, names, WEAK, "data")
    assert list(found) == names
    assert all(set(found[name]) == {"size", *SIGNALS} for name in names)


def answer(x=5.5, y=5.5, label=1, drawn="random", fit=0, **more):
    return {"x": x, "y": y, "class": label, "drawn": drawn, "fit": fit, **more}


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [answer(), answer(label=0), answer(label=IGNORE)],
        [answer(x=0, y=0.0, drawn="margin + spread", fit=12)],
        [answer(x=56.9, y=79.99)],
    ],
)
def test_answers_that_people_can_have_given_are_read(answers, tmp_path, pets_labels, dataset):
    content = load_labels(pets_labels)
    first(content).update(pixels=answers)
    store(tmp_path / "labels.pkl", content)
    name = next(iter(content["images"]))
    found = labels_for(tmp_path / "labels.pkl", dataset, [name], ["pixels"], "data")
    assert found[name]["pixels"] == answers


def test_a_file_from_before_there_were_answers_is_read_for_the_others(
    tmp_path, pets_labels, dataset
):
    content = load_labels(pets_labels)
    for option in ("pixels_per_image", "faults"):
        del content["options"][option]
    for labels in content["images"].values():
        del labels["pixels"]
    path = store(tmp_path / "labels.pkl", content)
    names, others = dataset.ids("train"), [signal for signal in SIGNALS if signal != "pixels"]
    assert set(labels_for(path, dataset, names, others, "data")) == set(names)
    with pytest.raises(UserError, match="has no pixels; run python weak_label_generator") as caught:
        labels_for(path, dataset, names, ["points", "pixels"], "data")
    assert "\n" not in str(caught.value)


def first(content):
    return next(iter(content["images"].values()))


MISFITS = {
    "dataset": (lambda c: c.update(dataset="voc"), "made for dataset voc, the data has pets"),
    "no dataset": (lambda c: c.pop("dataset"), "not a weak-label file .has no 'dataset'."),
    "classes": (
        lambda c: c.update(classes=["background", "cat", "dog"]),
        "made for classes background, cat, dog, the data",
    ),
    "tags": (
        lambda c: c.update(tag_names=["cat"]),
        "made for tag_names cat, the data has cat, dog",
    ),
    "ids": (
        lambda c: c["images"].pop("Harbour_tuxedo_1") and c.update(count=23),
        "1 of 24 images have no labels, the first",
    ),
    "signal": (lambda c: first(c).pop("boxes"), "Harbour_tuxedo_1: has no boxes"),
    "size": (
        lambda c: first(c).update(size=[30, 20]),
        r"Harbour_tuxedo_1: was labelled at size \[30, 20\], but the upright picture has 57x80",
    ),
    "swapped size": (
        lambda c: first(c).update(size=first(c)["size"][::-1]),
        r"was labelled at size \[80, 57\]",
    ),
    "no size": (
        lambda c: first(c).pop("size"),
        "has no 'size'; write the .width, height. that it was labelled at",
    ),
    "not a dict": (
        lambda c: c["images"].update(Harbour_tuxedo_1=[1]),
        r"Harbour_tuxedo_1: its labels are \[1\]; write a table",
    ),
    "strange class": (
        lambda c: first(c).update(points=[[5, 5, 2]]),
        "points: the class of click 1 is 2; classes are 0 background, 1 pet",
    ),
    "class below zero": (
        lambda c: first(c).update(points=[[5, 5, -1]]),
        "points: the class of click 1 is -1; classes are",
    ),
    "not a number": (
        lambda c: first(c).update(points=[[float("nan"), 5, 1]]),
        "points: a coordinate of click 1 is nan; write a finite number",
    ),
    "endless box": (
        lambda c: first(c).update(boxes=[[0, 0, float("inf"), 9, 1]]),
        "boxes: a coordinate of box 1 is inf",
    ),
    "short box": (
        lambda c: first(c).update(boxes=[[0, 0, 9, 1]]),
        r"boxes: box 1 is \[0, 0, 9, 1\]; write \[left, top, right, bottom, class\]",
    ),
    "text for a path": (
        lambda c: first(c).update(scribbles=[{"class": 1, "width": 1, "path": "x"}]),
        "scribbles: the path of stroke 1 is 'x'; write a list",
    ),
    "stroke without class": (
        lambda c: first(c).update(scribbles=[{"width": 1, "path": [[1, 1]]}]),
        "scribbles: stroke 1 is .*; write {.class.: class",
    ),
    "answer outside": (
        lambda c: first(c).update(pixels=[answer(x=57.0)]),
        r"pixels: answer 1 lies at \(57.0, 5.5\), outside of the picture of 57x80 pixels",
    ),
    "answer above": (
        lambda c: first(c).update(pixels=[answer(y=-0.5)]),
        "pixels: answer 1: y: must not be negative",
    ),
    "answer nowhere": (
        lambda c: first(c).update(pixels=[answer(x=float("nan"))]),
        "pixels: answer 1: x: must be a number, not nan",
    ),
    "answer of no class": (
        lambda c: first(c).update(pixels=[answer(label=2)]),
        "pixels: the class of answer 1 is 2; classes are",
    ),
    "hidden answer of no class": (
        lambda c: first(c).update(pixels=[answer(label=2), answer(label=0)]),
        "pixels: the class of answer 1 is 2",
    ),
    "answer drawn by a line": (
        lambda c: first(c).update(pixels=[answer(drawn="a\nb")]),
        "pixels: answer 1: drawn: ",
    ),
    "answer drawn by a story": (
        lambda c: first(c).update(pixels=[answer(drawn="a" * 41)]),
        "pixels: answer 1: drawn: ",
    ),
    "answer of no fit": (
        lambda c: first(c).update(pixels=[answer(fit=-1)]),
        "pixels: answer 1: fit: must not be negative",
    ),
    "answer of half a fit": (
        lambda c: first(c).update(pixels=[answer(fit=0.5)]),
        "pixels: answer 1: fit: must be a whole number",
    ),
    "answer with more": (
        lambda c: first(c).update(pixels=[answer(z=1)]),
        "pixels: answer 1: unknown key 'z'",
    ),
    "answer without a class": (
        lambda c: first(c).update(pixels=[{"x": 1.5, "y": 1.5, "drawn": "random", "fit": 0}]),
        "pixels: answer 1: has no 'class'",
    ),
    "pixels as a table": (
        lambda c: first(c).update(pixels=answer()),
        "pixels: the list of answers is {.*; write a list",
    ),
    "tags as a list": (lambda c: first(c).update(tags=["cat"]), r"tags: is \['cat'\]; write {"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_labels_that_do_not_fit_are_refused_with_the_command(tmp_path, content, dataset, case):
    spoil, message = MISFITS[case]
    spoil(content)
    path = store(tmp_path / "labels.pkl", content)
    with pytest.raises(UserError, match=message) as caught:
        labels_for(path, dataset, dataset.ids("trainval"), WEAK, "data")
    assert str(caught.value).endswith(
        f"; run python weak_label_generator.py --data_dir data --output_file {path}"
    )


def test_masks_of_another_size_than_their_images_are_refused(tmp_path, content, pets_dir):
    """Once for all learners, before any of them resizes a mask."""
    shutil.copytree(pets_dir, tmp_path / "pets")
    dataset = opened(tmp_path / "pets", tmp_path / "cache")
    path, name = store(tmp_path / "labels.pkl", content), dataset.ids("train")[0]
    width, height = dataset.image_size(name)
    Image.new("L", (width + 1, height), 1).save(dataset.mask_path(name))
    size = rf"{name}\.png: the mask is {width + 1}x{height} but"
    with pytest.raises(UserError, match=size) as caught:
        labels_for(path, dataset, dataset.ids("train"), ["points", "full"], "data")
    assert "\n" not in str(caught.value)
    for names, signals in ((dataset.ids("train"), WEAK), (dataset.ids("val"), ["full"])):
        assert set(labels_for(path, dataset, names, signals, "data")) == set(names)


def test_only_what_a_run_uses_must_fit(tmp_path, content, dataset):
    first(content)["boxes"] = "spoilt"
    path = store(tmp_path / "labels.pkl", content)
    names = dataset.ids("trainval")
    assert set(labels_for(path, dataset, names, ["points"], "data")) == set(names)
    assert set(labels_for(path, dataset, names[1:], WEAK, "data")) == set(names[1:])


@pytest.mark.parametrize("behind", [3, "match"])
def test_the_command_that_is_printed_makes_labels_that_fit(tmp_path, pets_dir, behind):
    """Labels drawn with every option, for other classes: the remedy repeats the options."""
    path = tmp_path / "my labels.pkl"
    chosen = [
        "--points_per_object",
        2,
        "--background_points",
        behind,
        "--random_points",
        "--scribble_length",
        0.5,
        "--scribble_width",
        2,
        "--min_area",
        0.01,
        "--noise",
        0.1,
        "--seed",
        5,
    ]
    rest = ["--jobs", 1, "--cache_dir", tmp_path / "cache"]
    run(weak_label_generator, "--data_dir", pets_dir, "--output_file", path, *chosen, *rest)
    before = load_labels(path)
    data = opened(
        pets_dir, tmp_path / "cache", classes=["species"], tag_set="breed", dataset="pets"
    )
    with pytest.raises(UserError, match="; run python weak_label_generator") as caught:
        labels_for(path, data, data.ids("train"), WEAK, pets_dir)
    words = shlex.split(str(caught.value).rsplit("; run ", 1)[1])
    assert words[:2] == ["python", "weak_label_generator.py"]
    run(weak_label_generator, *words[2:], *rest)
    assert set(labels_for(path, data, data.ids("train"), WEAK, pets_dir)) == set(data.ids("train"))
    after = load_labels(path)
    assert (after["options"], after["seed"]) == (before["options"], before["seed"])


def test_the_command_takes_nothing_but_numbers_from_the_file(dataset):
    for options in (
        {"flags": "; rm -rf ~", "noise": "0; rm -rf ~", "points_per_object": [1]},
        "rm",
        None,
    ):
        text = command("labels.pkl", dataset, "data", {"options": options, "seed": "; rm"})
        assert text == "python weak_label_generator.py --data_dir data --output_file labels.pkl"


def test_the_header_says_what_labels_fit(dataset):
    head = header(dataset, 3, {"noise": 0.0})
    assert head["classes"] == ["background", "pet"]
    assert head["tag_names"] == ["cat", "dog"]
    assert (head["dataset"], head["seed"], head["options"]) == ("pets", 3, {"noise": 0.0})
    assert is_plain(head)


def test_texts_are_shortened_to_one_line():
    assert shorten(["a", "b"]) == "a, b"
    assert shorten("x" * 100) == "x" * 57 + "..."
    assert shorten("a\nb\x1b[31m") == "a?b?[31m"
