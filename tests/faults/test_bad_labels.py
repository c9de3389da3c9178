"""Labels that make no sense, by every way in: one line with file and image, and nothing trains."""

import copy
import json
import math
import pickle

import numpy as np
import pytest
from conftest import run
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import study
import train
from weakseg.common import IGNORE, UserError
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.checks import Picture
from weakseg.labels.label_file import labels_for, load_labels
from weakseg.labels.label_folder import write_folder
from weakseg.labels.label_record import read_record
from weakseg.labels.parquet_shard import encode
from weakseg.labels.signals import SIGNALS, image_seconds, is_closed
from weakseg.labels.targets import View

NAN, INF, HUGE = float("nan"), float("inf"), 10**400
ANSWER = {"x": 5.5, "y": 5.5, "class": 1, "drawn": "random", "fit": 0}
STROKE = {"class": 1, "width": 2, "path": [[5, 5], [9, 9]]}
OUTLINE = {"class": 1, "polygon": [[5, 5], [30, 5], [30, 40]]}
LOOP = []
LOOP.append(LOOP)

# {what is wrong: annotation} of each kind, on a picture of 57x80 pixels with classes 0 and 1.
BAD = {
    "points": {
        "no list": 7,
        "text": "5 5 1",
        "a table": {"x": 5},
        "nothing": None,
        "a flat list": [5, 5, 1],
        "two numbers": [[5, 5]],
        "four numbers": [[5, 5, 1, 1]],
        "a looped list": LOOP,
        "right of it": [[58, 5, 1]],
        "below it": [[5, 81, 1]],
        "left of it": [[-0.6, 5, 1]],
        "turned": [[70, 30, 1]],
        "far away": [[1e300, 5, 1]],
        "further away": [[HUGE, 5, 1]],
        "nowhere": [[NAN, 5, 1]],
        "endless": [[5, INF, 1]],
        "text for a number": [["5", 5, 1]],
        "true for a number": [[True, 5, 1]],
        "a class as text": [[5, 5, "1"]],
        "a class by name": [[5, 5, "pet"]],
        "half a class": [[5, 5, 1.5]],
        "a class below": [[5, 5, -1]],
        "a class above": [[5, 5, 2]],
        "a class as truth": [[5, 5, True]],
        "no class": [[5, 5, None]],
        "a class that is nowhere": [[5, 5, NAN]],
        "shares": [[0.2, 0.9, 1], [0.5, 0.5, 0]],
        "the last of many": [[5, 5, 1]] * 9 + [[5, 5, 9]],
    },
    "scribbles": {
        "no list": {"class": 1},
        "no table": [[[5, 5], [9, 9]]],
        "no class": [{"width": 2, "path": [[5, 5]]}],
        "no width": [{"class": 1, "path": [[5, 5]]}],
        "no path": [{"class": 1, "width": 2}],
        "an empty path": [STROKE | {"path": []}],
        "a path of text": [STROKE | {"path": "abc"}],
        "a path of numbers": [STROKE | {"path": [5, 5, 9, 9]}],
        "a vertex of three": [STROKE | {"path": [[5, 5, 5]]}],
        "outside": [STROKE | {"path": [[5, 5], [58, 9]]}],
        "nowhere": [STROKE | {"path": [[5, NAN]]}],
        "too wide": [STROKE | {"width": 58}],
        "endlessly wide": [STROKE | {"width": INF}],
        "a negative width": [STROKE | {"width": -1}],
        "a width of text": [STROKE | {"width": "2"}],
        "a width that is nowhere": [STROKE | {"width": NAN}],
        "a class as text": [STROKE | {"class": "1"}],
        "a class above": [STROKE | {"class": 2}],
        "a list for a class": [STROKE | {"class": [1]}],
        "shares": [STROKE | {"path": [[0.1, 0.1], [0.9, 0.9]]}],
    },
    "boxes": {
        "no list": "1 1 9 9",
        "four numbers": [[1, 1, 9, 9]],
        "six numbers": [[1, 1, 9, 9, 1, 1]],
        "width and height of none": [[5, 5, 5, 9, 1]],
        "a line": [[5, 5, 30, 5.1, 1]],
        "a point": [[5, 5, 5, 5, 1]],
        "beyond": [[40, 5, 70, 9, 1]],
        "outside": [[60, 5, 70, 9, 1]],
        "of a larger picture": [[0, 0, 570, 800, 1]],
        "turned": [[5, 5, 70, 9, 1]],
        "negative": [[-9, 5, 9, 9, 1]],
        "shares": [[0.1, 0.1, 0.9, 0.9, 1]],
        "shares of all": [[0, 0, 1, 1, 1]],
        "of the background": [[1, 1, 9, 9, 0]],
        "of what is ignored": [[1, 1, 9, 9, IGNORE]],
        "a class above": [[1, 1, 9, 9, 2]],
        "a class as text": [[1, 1, 9, 9, "1"]],
        "nowhere": [[1, 1, NAN, 9, 1]],
        "endless": [[1, 1, INF, 9, 1]],
        "text for a number": [[1, 1, "9", 9, 1]],
        "a list for a number": [[1, 1, [9], 9, 1]],
        "a table": [{"x": 1, "y": 1, "w": 8, "h": 8, "class": 1}],
    },
    "outlines": {
        "no list": OUTLINE,
        "no table": [[[5, 5], [30, 5], [30, 40]]],
        "no class": [{"polygon": OUTLINE["polygon"]}],
        "no polygon": [{"class": 1}],
        "an empty polygon": [OUTLINE | {"polygon": []}],
        "a line": [OUTLINE | {"polygon": [[5, 5], [30, 40]]}],
        "a flat polygon": [OUTLINE | {"polygon": [[5, 5], [30, 5], [40, 5]]}],
        "a polygon of numbers": [OUTLINE | {"polygon": [5, 5, 30, 5, 30, 40]}],
        "outside": [OUTLINE | {"polygon": [[5, 5], [58, 5], [30, 40]]}],
        "nowhere": [OUTLINE | {"polygon": [[5, 5], [NAN, 5], [30, 40]]}],
        "text for a number": [OUTLINE | {"polygon": [[5, 5], ["30", 5], [30, 40]]}],
        "of the background": [OUTLINE | {"class": 0}],
        "of what is ignored": [OUTLINE | {"class": IGNORE}],
        "a class as text": [OUTLINE | {"class": "1"}],
        "a class above": [OUTLINE | {"class": 2}],
        "shares": [OUTLINE | {"polygon": [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]}],
    },
    "tags": {
        "a list": ["cat"],
        "text": "cat",
        "nothing at all": {},
        "unknown": {"present": ["cow"], "absent": []},
        "otherwise spelt": {"present": ["Cat"], "absent": []},
        "misspelt": {"present": [], "absent": ["dgo"]},
        "both": {"present": ["cat"], "absent": ["cat"]},
        "numbers": {"present": [1], "absent": []},
        "text for a list": {"present": "cat", "absent": []},
        "another key": {"present": [], "absent": [], "maybe": ["cat"]},
        "a list in a list": {"present": [["cat"]], "absent": []},
    },
    "full": {
        "a number": 3,
        "nothing at all": {},
        "no objects": {"classes": 1},
        "negative": {"objects": -1},
        "nowhere": {"objects": NAN},
        "half an object": {"objects": 0.5},
        "text": {"objects": "1"},
        "true": {"objects": True},
        "more than pixels": {"objects": 10**9},
        "endless": {"objects": INF},
        "more classes than objects": {"objects": 1, "classes": 2},
        "more classes than there are": {"objects": 9, "classes": 3},
        "negative classes": {"objects": 1, "classes": -1},
        "another key": {"objects": 1, "clases": 1},
    },
    "pixels": {
        "a table": ANSWER,
        "a list of lists": [[5.5, 5.5, 1]],
        "no class": [{"x": 5.5, "y": 5.5, "drawn": "random", "fit": 0}],
        "outside": [ANSWER | {"x": 57.0}],
        "above": [ANSWER | {"y": -0.5}],
        "nowhere": [ANSWER | {"x": NAN}],
        "a class above": [ANSWER | {"class": 2}],
        "a class as text": [ANSWER | {"class": "1"}],
        "half a fit": [ANSWER | {"fit": 0.5}],
        "a story": [ANSWER | {"drawn": "a" * 41}],
        "a line break": [ANSWER | {"drawn": "a\nb"}],
        "shares": [ANSWER | {"x": 0.3, "y": 0.4}],
        "another key": [ANSWER | {"z": 1}],
    },
}
RECORDS = {
    "a list": [1],
    "text": "labels",
    "nothing": None,
    "another size": {"size": [30, 20]},
    "a turned size": {"size": [80, 57]},
    "a size of text": {"size": "57x80"},
    "a size of three": {"size": [57, 80, 3]},
    "a misspelt key": {"size": [57, 80], "point": [[5, 5, 1]]},
    "a misspelt list": {"size": [57, 80], "complete": ["point"]},
    "complete as text": {"size": [57, 80], "complete": "points"},
    "complete of nothing": {"size": [57, 80], "complete": None},
}
CASES = [(signal, case) for signal, cases in BAD.items() for case in cases]
CASES += [("record", case) for case in RECORDS]
ONLY_PEOPLE = {"shares", "shares of all"}  # a program that draws labels knows what pixels are


def test_every_kind_of_label_is_tried():
    assert BAD.keys() == SIGNALS.keys() == rows.keys()


def opened(data_dir, cache_dir):
    return open_dataset(DataOptions(str(data_dir), cache_dir=str(cache_dir)))


@pytest.fixture(scope="module")
def dataset(pets_dir, tmp_path_factory):
    return opened(pets_dir, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def whole(pets_labels):
    return load_labels(pets_labels)


def spoilt(whole, signal, case):
    """Return (content of a file with one bad record, its image)."""
    name = next(iter(whole["images"]))
    images = dict(whole["images"])
    good = copy.deepcopy(images[name])
    images[name] = RECORDS[case] if signal == "record" else good | {signal: BAD[signal][case]}
    if signal == "record" and isinstance(images[name], dict):
        images[name] = {**good, **images[name]}
    return {**whole, "images": images}, name


def as_one_line(error, path, name):
    line = str(error)
    assert line.startswith(f"{path}: {name}: ") and line.isprintable()
    assert len(line) < len(str(path)) + 500
    return line


@pytest.mark.parametrize(("signal", "case"), CASES)
def test_a_bad_label_is_refused_with_file_and_image(signal, case, whole, dataset, tmp_path, tried):
    content, name = spoilt(whole, signal, case)
    signals = ("points",) if signal == "record" else (signal,)
    ways = {"people.pkl": {"options": {}}, "simulated.pkl": {}}
    for file, change in ways.items():
        if change == {} and case in ONLY_PEOPLE:
            continue
        path = tmp_path / file
        path.write_bytes(pickle.dumps(content | change))
        with pytest.raises(UserError) as caught:
            labels_for(path, dataset, [name], signals, "data")
        line = as_one_line(caught.value, path, name)
        assert ("weak_label_generator" in line) == (change == {})
        # An image that is not used may hold what it likes.
        others = [other for other in dataset.ids("train") if other != name][:2]
        assert len(labels_for(path, dataset, others, signals, "data")) == 2
        tried("bad labels in a file")


def as_json_can(value):
    """Return whether JSON gives a value back as it is."""
    try:
        return json.dumps(value) is not None and HUGE not in np.ravel(np.array(value, object))
    except (TypeError, ValueError):
        return False


@pytest.mark.parametrize("signal", [*BAD, "record"])
def test_bad_labels_in_shards_are_refused_alike(signal, whole, dataset, tmp_path, tried):
    head = {key: value for key, value in whole.items() if key not in ("images", "count")}
    head["options"] = {}

    def draw(names, count):
        yield from (encode(one, images[one]) for one in names)

    for number, (_, case) in enumerate(one for one in CASES if one[0] == signal):
        content, name = spoilt(whole, signal, case)
        if not as_json_can(content["images"][name]):
            continue
        folder = tmp_path / str(number)
        images = {one: content["images"][one] for one in sorted(content["images"])[:3]}
        images = dict(sorted({**images, name: content["images"][name]}.items()))
        write_folder(folder, head, list(images), 2, lambda one: 0, draw)
        with pytest.raises(UserError) as caught:
            labels_for(
                folder, dataset, [name], ("points",) if signal == "record" else (signal,), "data"
            )
        as_one_line(caught.value, folder, name)
        tried("bad labels in shards")


TINY = "--img_size 64 --device cpu --encoder_weights none".split()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (train, ["--supervision_mode", "points", *TINY]),
        (train, ["--supervision_mode", "points", "--learner", "probe", *TINY]),
        (train, ["--supervision_modes", "boxes", "points", "--recipe", "strong", *TINY]),
        (study, ["--modes", "points", "--budgets", "0.1h", "--seeds", "1"]),
        (study, ["ask", "--simulate", "--labels", "points", "--answers", "10"]),
    ],
)
def test_every_command_that_learns_from_labels_refuses_them(
    command, words, whole, dataset, pets_dir, tmp_path
):
    content, _ = spoilt(whole, "points", "right of it")
    name = dataset.ids("train")[0]
    bad = {**whole["images"], name: content["images"][next(iter(whole["images"]))]}
    bad[name] = {**whole["images"][name], "points": [[500, 5, 1]]}
    path = tmp_path / "labels.pkl"
    path.write_bytes(pickle.dumps({**whole, "images": bad}))
    where = ["--data_dir", pets_dir, "--cache_dir", tmp_path / "cache", "--weak_label_path", path]
    out = "--checkpoint_dir" if command is train else "--study_dir"
    begin, rest = (words[:1], words[1:]) if words[0] == "ask" else ([], words)
    with pytest.raises(UserError) as caught:
        run(command, *begin, *where, out, tmp_path / "out", *rest)
    as_one_line(caught.value, path, name)
    assert not list((tmp_path / "out").rglob("*.pt"))


# ---- what nobody thought of

numbers = st.one_of(
    st.integers(-3, 90),
    st.floats(-3, 90),
    st.sampled_from([NAN, INF, -INF, HUGE, True, False, 0.5, 255, 1e308]),
)
scraps = st.recursive(
    numbers | st.none() | st.text(max_size=3) | st.sampled_from(["cat", "present", "1"]),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(
                ["class", "width", "path", "x", "y", "drawn", "fit", "present", "objects"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
rows = {
    "points": st.lists(st.lists(numbers, min_size=3, max_size=3), max_size=3),
    "boxes": st.lists(st.lists(numbers, min_size=5, max_size=5), max_size=3),
    "scribbles": st.lists(
        st.fixed_dictionaries(
            {
                "class": numbers,
                "width": numbers,
                "path": st.lists(st.lists(numbers, min_size=2, max_size=2), max_size=3),
            }
        ),
        max_size=2,
    ),
    "outlines": st.lists(
        st.fixed_dictionaries(
            {
                "class": numbers,
                "polygon": st.lists(st.lists(numbers, min_size=2, max_size=2), max_size=4),
            }
        ),
        max_size=2,
    ),
    "pixels": st.lists(
        st.fixed_dictionaries(
            {"x": numbers, "y": numbers, "class": numbers, "drawn": st.just("a"), "fit": numbers}
        ),
        max_size=2,
    ),
    "tags": st.fixed_dictionaries({"present": st.lists(scraps, max_size=2)}),
    "full": st.fixed_dictionaries({"objects": numbers, "classes": numbers}),
}


@settings(max_examples=300)
@given(data=st.data(), has_background=st.booleans(), is_simulated=st.booleans())
def test_what_is_read_can_be_drawn_and_priced_and_all_else_is_one_line(
    data, has_background, is_simulated
):
    """And all that is drawn are classes of the data set."""
    signal = data.draw(st.sampled_from([*SIGNALS]))
    annotation = data.draw(scraps | rows[signal])
    classes, tags = ["background", "cat", "dog"], ["cat", "dog"]
    picture = Picture((57, 80), classes, tags, has_background, is_simulated)
    record = {"size": [57, 80], signal: annotation}
    try:
        label = read_record(record, picture, [signal])
    except ValueError as error:
        assert str(error).isprintable() and len(str(error)) < 400
        return
    assert math.isfinite(image_seconds(label, [signal], 2, has_background))
    if signal == "full":
        return
    closed = is_closed(label, [signal], has_background)
    target = SIGNALS[signal].target(label[signal], View(57, 80, 32), tags, closed)
    if signal == "tags":
        assert {*target} <= {-1.0, 0.0, 1.0}
    else:
        assert {*np.unique(target)} <= {0, 1, 2, IGNORE}


# ---- masks and lists


def own(root, masks, classes=("background", "blob"), names=None):
    """Lay out a folder with these masks: {id: [H, W] array, or a function that writes the file}."""
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    (root / "classes.txt").write_text("\n".join(classes))
    for name, mask in masks.items():
        Image.new("RGB", (8, 6), 9).save(root / "images" / f"{name}.png")
        path = root / "masks" / f"{name}.png"
        if callable(mask):
            mask(path)
        elif mask is not None:
            Image.fromarray(np.asarray(mask, np.uint8)).save(path)
    return root


def even(value):
    return np.full((6, 8), value)


def halves(one=0, other=1):
    mask = even(one)
    mask[:3] = other
    return mask


GOOD = {f"p{k}": halves() for k in range(6)}
MASKS = {
    "0 and 255": ({n: halves(0, 255) for n in GOOD}, "show no object, they hold 0 and 255 alone"),
    "255 alone": ({n: even(255) for n in GOOD}, "show no object, they hold 255 alone"),
    "0 alone": ({n: even(0) for n in GOOD}, "show no object, they hold 0 alone; mend them"),
    "a stray number": (GOOD | {"p3": halves(0, 7)}, r"p3\.png: holds the number 7, which is no"),
    "0, 128 and 255": ({n: halves(128, 255) for n in GOOD}, "holds the number 128"),
    "colours": (
        GOOD | {"p3": lambda path: Image.new("RGB", (8, 6), "#ff0000").save(path)},
        r"p3\.png: .*--mask_values",
    ),
    "16 bits": (
        GOOD | {"p3": lambda path: Image.fromarray(np.full((6, 8), 999, np.uint16)).save(path)},
        r"p3\.png: ",
    ),
    "no picture": (
        GOOD | {"p3": lambda path: path.write_text("hello")},
        r"p3\.png: not a readable",
    ),
    "an empty file": (
        GOOD | {"p3": lambda path: path.write_bytes(b"")},
        r"p3\.png: not a readable",
    ),
}


@pytest.mark.parametrize("case", MASKS)
def test_masks_that_make_no_sense_are_refused_by_those_who_use_them(case, tmp_path, tried):
    masks, message = MASKS[case]
    root = own(tmp_path / "data", masks)
    with pytest.raises(UserError, match=message) as caught:
        data = opened(root, tmp_path / "cache")
        data.check_masks([*data.ids("trainval"), *data.ids("test")], "own")
    assert "\n" not in str(caught.value) and str(root) in str(caught.value)
    tried("masks that make no sense")
