"""Masks of other tools: their numbers and colours become classes, or get one line."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import run
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import evaluate
import train
import weak_label_generator
from weakseg.common import IGNORE, UserError
from weakseg.data.cache import ResizedCache, cached_classes
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.data.mask_values import MaskValues

NAMES = ["background", "road", "car"]
COLOURS = {"#000000": 0, "#ff0000": 1, "#00ff7f": 2, "#ffffff": IGNORE}
NUMBERS = {"0": 0, "7": 1, "250": 2, "9": IGNORE}


def meaning(values):
    """Return the `MaskValues` of {value: class number or 255}."""
    words = [f"{value}={NAMES[label]}" for value, label in values.items() if label != IGNORE]
    ignored = next((value for value, label in values.items() if label == IGNORE), None)
    return MaskValues.of_flags(words, ignored, NAMES)


def stored(path, classes, values, kind):
    """Write a mask of classes [H, W] with other values, in one of the ways of other tools."""
    value_of = {label: value for value, label in values.items()}
    if kind.startswith("colour"):
        colour_of = {label: int(value[1:], 16) for label, value in value_of.items()}
        codes = np.vectorize(colour_of.get)(classes)
        rgb = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], -1).astype(np.uint8)
        image = Image.fromarray(rgb)
        image = image.quantize(4) if kind == "colour palette" else image
        image = image.convert("RGBA") if kind == "colour with alpha" else image
    else:
        numbers = np.vectorize(lambda label: int(value_of[label]))(classes)
        if kind == "16 bits":
            image = Image.fromarray(numbers.astype(np.uint16))
        else:
            image = Image.fromarray(numbers.astype(np.uint8))
            image = image.convert({"grey": "L", "grey in colours": "RGB"}[kind])
    image.save(path)


KINDS = {
    "colour": COLOURS,
    "colour palette": COLOURS,
    "colour with alpha": COLOURS,
    "grey": NUMBERS,
    "grey in colours": NUMBERS,
    "16 bits": {"1000": 0, "7": 1, "65535": 2, "9": IGNORE},
}


@settings(max_examples=10)
@given(seed=st.integers(0, 99))
@pytest.mark.parametrize("kind", KINDS)
def test_other_values_are_read_as_the_classes_that_they_mean(kind, seed, tmp_path_factory):
    folder, values = tmp_path_factory.mktemp("mask"), KINDS[kind]
    labels = np.array([0, 1, 2, IGNORE], np.uint8)
    classes = np.random.default_rng(seed).choice(labels, (6, 5)).astype(np.uint8)
    classes[0, :4] = labels
    stored(folder / "a.png", classes, values, kind)
    read = meaning(values).read(folder / "a.png")
    assert read.dtype == np.uint8 and np.array_equal(read, classes)
    cache = ResizedCache(folder / "cache", 32)
    resized = cache.mask(folder / "a.png", meaning(values))
    assert {*np.unique(resized)} == {*np.unique(classes)}
    seen = cached_classes({"a": folder / "a.png"}, folder / "cache", meaning(values))
    assert seen == {"a": [0, 1, 2, IGNORE]}


def test_numbers_that_nobody_names_stay_what_they_are(tmp_path):
    Image.fromarray(np.array([[0, 1, 2, 255, 7]], np.uint8)).save(tmp_path / "a.png")
    values = MaskValues.of_flags(["7=car"], None, NAMES)
    assert values.read(tmp_path / "a.png").tolist() == [[0, 1, 2, IGNORE, 2]]
    values = MaskValues.of_flags(["255=car", "7=road"], "0", NAMES)
    assert values.read(tmp_path / "a.png").tolist() == [[IGNORE, 1, 2, 2, 1]]
    assert MaskValues.of_flags([], None, NAMES) is None
    keys = [MaskValues.of_flags(words, None, NAMES).key for words in (["7=car"], ["7=road"])]
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    ("words", "ignored", "message"),
    [
        (["255"], None, "--mask_values 255: write NUMBER=CLASS"),
        (["255="], None, "--mask_values 255=: write NUMBER=CLASS"),
        (["255=cra"], None, "--mask_values 255=cra: 'cra': did you mean car"),
        (["x=car"], None, "--mask_values x=car: 'x' is neither a number up to 65535 nor a colour"),
        (["-1=car"], None, "'-1' is neither a number"),
        (["65536=car"], None, "'65536' is neither a number"),
        (["1.5=car"], None, "'1.5' is neither a number"),
        (["#ff00=car"], None, "'#ff00' is neither a number"),
        (["=car"], None, "'' is neither a number"),
        (["1=car", "01=road"], None, "--mask_values 01=road: 1 has a meaning already"),
        (["#ff0000=car", "#FF0000=road"], None, "#ff0000 has a meaning already"),
        (["1=car", "#ff0000=road"], None, "name numbers or colours, not both"),
        (["1=car"], "#ffffff", "name numbers or colours, not both"),
        (["1=car"], "1", "--mask_ignore 1: 1 has a meaning already"),
        ([], "none", "--mask_ignore none: 'none' is neither"),
    ],
)
def test_flags_that_mean_nothing_are_named(words, ignored, message):
    with pytest.raises(UserError) as caught:
        MaskValues.of_flags(words, ignored, NAMES)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("picture", "values", "message"),
    [
        (Image.new("L", (3, 3), 77), NUMBERS, "holds the number 77, which means nothing; add 77="),
        (Image.new("L", (3, 3), 255), NUMBERS, "holds the number 255, which means nothing"),
        (Image.new("RGB", (3, 3), "#102030"), COLOURS, "holds the colour '#102030', which means"),
        (Image.new("RGB", (3, 3), "#102030"), NUMBERS, "is a colour picture; say what its colours"),
        (Image.new("F", (3, 3), 0.5), NUMBERS, "a mask must hold whole numbers"),
        (Image.new("I", (3, 3), 70000), NUMBERS, "a mask must hold whole numbers up to 65535"),
    ],
)
def test_values_that_mean_nothing_are_named_with_the_flag(picture, values, message, tmp_path):
    picture.save(tmp_path / "a.tif")
    with pytest.raises(UserError) as caught:
        meaning(values).read(tmp_path / "a.tif")
    assert str(caught.value).startswith(f"{tmp_path / 'a.tif'}: {message}")


# ---- a folder of them, from the labels to the table


def blobs(root, value=255):
    """Draw a folder of photographs whose masks hold 0 and another value."""
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    (root / "classes.txt").write_text("background\nblob\n")
    for k in range(12):
        mask = np.zeros((40, 48), np.uint8)
        mask[10 : 20 + k, 8 : 30 + k] = value
        mask[np.add.outer(np.arange(40), np.arange(48)) < 24] = 0  # no box
        photo = np.where(mask[..., None] > 0, (200, 60, 40), (30, 90, 160)).astype(np.uint8)
        Image.fromarray(photo).save(root / "images" / f"{k:02d}.png")
        Image.fromarray(mask).save(root / "masks" / f"{k:02d}.png")
    return root


def test_masks_of_0_and_255_are_refused_until_a_flag_says_what_they_show(tmp_path):
    data = blobs(tmp_path / "data")
    where = ["--data_dir", data, "--cache_dir", tmp_path / "cache"]
    out, runs = ["--output_file", tmp_path / "labels.pkl"], tmp_path / "runs"
    with pytest.raises(UserError) as caught:
        run(weak_label_generator, *where, *out)
    assert "the 12 masks show no object, they hold 0 and 255 alone" in str(caught.value)
    assert str(caught.value).endswith("if it is blob, add --mask_values 255=blob")
    inverted = blobs(tmp_path / "inverted")
    for path in (inverted / "masks").iterdir():
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    with pytest.raises(UserError, match=r"the rest, as .* --mask_values 0=blob 255=background$"):
        run(weak_label_generator, "--data_dir", inverted, *where[2:], *out)
    flags = ["--mask_values", "255=blob"]
    run(weak_label_generator, *where, *out, *flags, "--jobs", 1)
    run(
        train,
        *(*where, *flags, "--learner", "probe", "--supervision_mode", "full", "--rounds", 0),
        *("--weak_label_path", tmp_path / "labels.pkl", "--checkpoint_dir", runs),
        *("--run_name", "r", "--img_size", 64, "--device", "cpu"),
    )
    # The run remembers what its masks mean.
    folders = ["--checkpoint_dir", runs, "--results_dir", tmp_path / "results"]
    run(evaluate, *folders, "--device", "cpu")
    result = json.loads((tmp_path / "results" / "r.json").read_text())
    assert result["args"]["mask_values"] == ["255=blob"] and result["aggregate"]["miou"] > 0.9


def test_masks_of_0_and_255_among_those_of_0_and_1_are_said(tmp_path):
    root = blobs(tmp_path / "mine", value=1)
    paths = sorted((root / "masks").iterdir())
    for path in paths[::2]:
        Image.fromarray(np.asarray(Image.open(path)) * IGNORE).save(path)
    options = DataOptions(data_dir=str(root), cache_dir=str(tmp_path / "cache"))
    (line,) = open_dataset(options).notes()
    assert line.startswith(
        f"{root}: {len(paths[::2])} of {len(paths)} masks, the first {paths[0].name}, hold only 0"
    )
    (flag,) = re.findall(r"--mask_values (\S+)", line)
    assert open_dataset(replace(options, mask_values=(flag,))).notes() == []
    # 255 beside objects is what it says: pixels that are ignored. No flag mends the others then.
    mask = np.asarray(Image.open(paths[1])).copy()
    mask[0] = IGNORE
    Image.fromarray(mask).save(paths[1])
    (line,) = open_dataset(options).notes()
    assert "--mask_values" not in line and "write the number of blob in place of it" in line


def test_what_masks_mean_is_part_of_what_the_data_are(tmp_path):
    data = blobs(tmp_path / "data", 1)

    def opened(**flags):
        return open_dataset(DataOptions(str(data), cache_dir=str(tmp_path / "cache"), **flags))

    plain, turned = opened(), opened(mask_values=("0=blob", "1=background"))
    name = plain.ids("test")[0]
    assert np.array_equal(plain.mask(name), 1 - turned.mask(name))
    assert plain.fingerprint() != turned.fingerprint()
    assert plain.test_fingerprint() != turned.test_fingerprint()
    assert plain.mask_identity(name) != turned.mask_identity(name)
    assert turned.flags == ["--mask_values", "0=blob", "1=background"]
    cache = ResizedCache(tmp_path / "cache", 32)
    assert np.array_equal(plain.resized_mask(name, cache), 1 - turned.resized_mask(name, cache))
    ignoring = opened(mask_ignore="0")
    assert {*np.unique(ignoring.mask(name))} == {1, IGNORE}


def test_data_sets_whose_masks_are_known_refuse_the_flags(pets_dir):
    for flags in ({"mask_values": ("1=pet",)}, {"mask_ignore": "0"}):
        with pytest.raises(UserError, match="is pets, whose masks are known; leave them out"):
            open_dataset(DataOptions(str(pets_dir), **flags))
