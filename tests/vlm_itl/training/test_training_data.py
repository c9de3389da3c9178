"""Images of an experiment: exports, colours, splits, and tables that hold no pixel."""

import io
import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import without_network
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_utils import SegmentationItems
from vlm_itl.sections import Data
from vlm_itl.training.data import (
    added_rows,
    fingerprint,
    image_table,
    open_images,
    splits_of,
    training_table,
)
from weakseg.common import UserError
from weakseg.data import hub
from weakseg.data.cache import ResizedCache
from weakseg.data.datasets import Folder, Voc
from weakseg.data.hub import HubSource, export_hub
from weakseg.data.hub_classes import class_numbers, voc_colours

LAWS = settings(max_examples=25)
KNOWN = np.array([*range(21), 255])


class Items:
    """Items that show which row was asked for."""

    def __init__(self, count):
        self.ids = [f"image{number}" for number in range(count)]

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, key):
        draw, index = key
        return {"draw": draw, "index": index}


@pytest.fixture(scope="module")
def data(pets_dir, tmp_path_factory):
    return Data(
        source=str(pets_dir), image_size=64, cache_dir=str(tmp_path_factory.mktemp("cache"))
    )


@pytest.fixture(scope="module")
def pets(data):
    return open_images(data)


# ---- tables


def test_only_images_with_a_mask_are_in_the_simulation(tmp_path):
    """Nobody can buy a label that no file holds; a split without any mask is refused."""
    for name in [f"image_{i:02}" for i in range(30)]:
        for folder, shape in (("images", (40, 50, 3)), ("masks", (40, 50))):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(np.full(shape, 1, np.uint8)).save(tmp_path / folder / f"{name}.png")
    (tmp_path / "classes.txt").write_text("background\nthing\n")
    data = Data(source=str(tmp_path), cache_dir=str(tmp_path / "cache"), image_size=64)
    whole = splits_of(open_images(data), data)
    gone = whole["pool"][::2]
    for name in gone:
        (tmp_path / "masks" / f"{name}.png").unlink()
    dataset = open_images(data)
    left = splits_of(dataset, data)
    assert not set(gone) & {*left["pool"], *left["val"], *left["test"]} and left["test"]
    assert set(gone) <= {*dataset.ids("train"), *dataset.ids("val")}


@LAWS
@given(
    labelled=st.integers(1, 12),
    pseudo=st.integers(0, 12),
    steps=st.integers(1, 12),
    batch=st.integers(1, 9),
    share=st.floats(0.05, 3),
    seed=st.integers(0, 99),
)
def test_a_training_shows_every_image_its_share(labelled, pseudo, steps, batch, share, seed):
    items = Items(labelled + pseudo)
    added = added_rows(batch, labelled, pseudo, share)
    assert (added == 0) == (pseudo == 0)
    assert added <= max(1, round(share * batch)) and added <= max(
        1, batch * pseudo / labelled + 0.5
    )
    table = training_table(items, steps, batch, seed, pseudo, added)
    rows = table[:]
    index, draw = (np.array(rows[key]).reshape(steps, batch + added) for key in ("index", "draw"))
    assert ((index >= labelled).sum(1) == added).all()
    assert len(set(rows["draw"])) == steps * (batch + added)  # each row is a draw of its own
    for group, size in ((index[index < labelled], labelled), (index[index >= labelled], pseudo)):
        counts = Counter(group.tolist())
        if group.size:
            assert max(counts.values()) - min(counts.values()) <= 1
            assert len(counts) == min(size, group.size)
    again = training_table(items, steps, batch, seed, pseudo, added)
    assert again[:] == rows
    alone = training_table(Items(labelled), steps, batch, seed)[:]
    assert [index[:, :batch].ravel().tolist(), draw[:, :batch].ravel().tolist()] == [
        alone["index"],
        alone["draw"],
    ]


def test_another_seed_gives_another_order():
    first, second = (training_table(Items(20), 10, 4, seed)[:]["index"] for seed in (0, 1))
    assert first != second and Counter(first) == Counter(second)


def test_tables_hold_names_and_numbers_alone(pets, data):
    items = SegmentationItems(
        pets, pets.ids("train"), ResizedCache(data.cache_dir, 64), signals=("full",)
    )
    for table in (
        training_table(items, 3, 2, 0),
        image_table(pets, pets.ids("val"), data, masks=True),
    ):
        assert {name: kind.dtype for name, kind in table.features.items()} == {
            "id": "string",
            "index": "int64",
            "draw": "int64",
        }
        assert table.data.nbytes < 100 * len(table)


def test_rows_are_the_items_wherever_one_starts(pets, data):
    cache = ResizedCache(data.cache_dir, 64)
    items = SegmentationItems(
        pets, pets.ids("train"), cache, signals=("full",), augment=True, seed=3
    )
    table = training_table(items, 15, 2, seed=1)
    raw = table.with_format(None)
    rows = list(table)
    for number in (7, 0, 9):
        place = raw[number]
        assert pets.ids("train")[place["index"]] == place["id"]
        wanted = items[place["draw"], place["index"]]
        for row in (rows[number], table[number], table.__getitems__([3, number])[1]):
            assert row["index"] == wanted["index"]
            assert torch.equal(row["image"], wanted["image"])
            assert torch.equal(row["targets"]["full"], wanted["targets"]["full"])
    again = [(a, b) for a, b in itertools.combinations(rows, 2) if a["index"] == b["index"]]
    assert len(again) == 30 - len(items)
    assert not any(torch.equal(a["image"], b["image"]) for a, b in again)  # augmented anew


def test_an_image_table_is_in_order_and_has_masks_on_demand(pets, data):
    names = pets.ids("val")
    table = image_table(pets, names, data, masks=True)
    assert [row["index"] for row in table] == list(range(len(names)))
    assert set(table[0]) == {"index", "image", "targets", "mask"}
    assert set(image_table(pets, names, data)[0]) == {"index", "image", "targets"}
    wanted = pets.to_classes(
        names[0], ResizedCache(data.cache_dir, 64).mask(pets.mask_path(names[0]))
    )
    assert np.array_equal(table[0]["mask"].numpy(), wanted)


def test_a_table_does_not_copy_what_its_items_hold():
    """🤗 datasets pickles a transform to hash it; the pseudo-labels must not be in there."""

    pickled = []

    class Heavy(Items):
        def __getstate__(self):
            pickled.append(self)
            return {}

    assert training_table(Heavy(4), 2, 2, 0)[0]["draw"] == 0
    assert not pickled


# ---- splits


@LAWS
@given(small=st.integers(1, 30), more=st.integers(0, 30))
def test_limits_are_nested_and_splits_disjoint(pets, pets_dir, small, more):
    few = splits_of(pets, Data(source=str(pets_dir), pool_limit=small, val_limit=small))
    many = splits_of(pets, Data(source=str(pets_dir), pool_limit=small + more))
    everything = splits_of(pets, Data(source=str(pets_dir)))
    assert (
        set(few["pool"]) <= set(many["pool"]) <= set(everything["pool"]) == set(pets.ids("train"))
    )
    assert len(few["pool"]) == min(small, len(everything["pool"]))
    assert len(few["val"]) == min(small, len(everything["val"]))
    assert few["test"] == pets.ids("test")
    assert not set(few["pool"]) & set(few["val"]) and not set(few["pool"]) & set(few["test"])
    assert all(names == sorted(names) for names in few.values())
    assert (fingerprint(pets, few) == fingerprint(pets, everything)) == (few == everything)


# ---- colours


def test_the_colours_are_those_of_voc():
    colours = {
        name: tuple(map(int, colour))
        for name, colour in zip(Voc.all_classes, voc_colours(), strict=False)
    }
    assert colours["background"] == (0, 0, 0)
    assert colours["aeroplane"] == (128, 0, 0)
    assert colours["bicycle"] == (0, 128, 0)
    assert colours["cat"] == (64, 0, 0)
    assert colours["dog"] == (64, 0, 128)
    assert colours["person"] == (192, 128, 128)
    assert colours["train"] == (128, 192, 0)
    assert colours["tvmonitor"] == (0, 64, 128)
    assert tuple(map(int, voc_colours()[255])) == (224, 224, 192)
    assert len(np.unique(voc_colours(), axis=0)) == 256


@LAWS
@given(seed=st.integers(0, 10**6), height=st.integers(1, 9), width=st.integers(1, 9))
def test_masks_mean_the_same_in_every_mode(seed, height, width):
    numbers = np.random.default_rng(seed).choice(KNOWN, (height, width)).astype(np.uint8)
    palette = Image.fromarray(numbers)
    palette.putpalette(voc_colours().tobytes())
    assert palette.mode == "P"
    for mask in (
        Image.fromarray(numbers),
        palette,
        palette.convert("RGB"),
        palette.convert("RGBA"),
    ):
        found = class_numbers(mask, "a")
        assert found.dtype == np.uint8 and np.array_equal(found, numbers)


def test_a_colour_of_no_class_is_refused():
    mask = Image.fromarray(np.full((2, 2, 3), (1, 2, 3), np.uint8))
    with pytest.raises(UserError, match="img7: its mask holds the colour #010203"):
        class_numbers(mask, "img7")


# ---- sources


@pytest.fixture
def hub_tables(monkeypatch):
    """A data set as 🤗 datasets gives it: 10 images and 3, with coloured and numbered masks."""
    from datasets import Dataset, DatasetDict, Features, Value
    from datasets import Image as ImageColumn

    rng = np.random.default_rng(0)

    def table(count):
        photos = [
            Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)) for _ in range(count)
        ]
        masks = [
            Image.fromarray(rng.choice([0, 8, 12, 255], (12, 16)).astype(np.uint8))
            for _ in range(count)
        ]
        for mask in masks[::2]:
            mask.putpalette(voc_colours().tobytes())
        masks = [mask.convert("RGB") if mask.mode == "P" else mask for mask in masks]
        features = Features(image=ImageColumn(), mask=ImageColumn(), number=Value("int64"))
        return Dataset.from_dict(
            {"image": photos, "mask": masks, "number": list(range(count))}, features=features
        )

    found = DatasetDict(train=table(10), validation=table(3))
    calls = []
    monkeypatch.setattr(hub, "load_hub", lambda name: calls.append(name) or found)
    return found, calls


def test_a_hub_becomes_a_folder_once(hub_tables, tmp_path):
    tables, calls = hub_tables
    data = Data(
        source="some-one/voc",
        data_dir=str(tmp_path / "data"),
        cache_dir=str(tmp_path / "cache"),
        image_size=64,
    )
    for _ in range(2):
        dataset = open_images(data)
    assert calls == ["some-one/voc"]
    assert isinstance(dataset, Folder) and dataset.class_names == Voc.all_classes
    assert len(dataset.ids("trainval")) == 10 and len(dataset.ids("test")) == 3
    for split in tables:
        for number, row in enumerate(tables[split]):
            image, mask = dataset.load(f"{split}_{number:06d}")
            assert np.array_equal(image, np.asarray(row["image"]))
            assert np.array_equal(mask, class_numbers(row["mask"], "a"))
    row = image_table(dataset, dataset.ids("test"), data, masks=True)[0]
    assert row["image"].shape == (3, 64, 64) and set(row["mask"].unique().tolist()) <= {
        0,
        8,
        12,
        255,
    }


def test_a_table_that_holds_no_pictures_is_refused(hub_tables, tmp_path):
    """Neither a program in place of a picture, nor a file of this machine that the table names."""
    from datasets import Image as ImageColumn

    tables, _ = hub_tables
    Image.new("RGB", (4, 4)).save(tmp_path / "private.png")
    raw = tables["train"].cast_column("image", ImageColumn(decode=False))
    for cell in (
        {"bytes": b"%!PS-Adobe-3.0 EPSF-3.0\n", "path": None},
        {"bytes": None, "path": str(tmp_path / "private.png")},
    ):
        row = raw[0] | {"image": cell}
        tables["train"] = raw.from_list([row], features=raw.features)
        source = HubSource("some-one/voc", "image", "mask", "validation")
        with pytest.raises(UserError, match=r"voc, train_000000, image: not a readable image"):
            export_hub(source, tmp_path)


def test_an_export_that_was_cut_off_or_of_other_columns_is_made_anew(
    hub_tables, tmp_path, monkeypatch
):
    source = HubSource("some-one/voc", "image", "mask", "validation")
    folder = export_hub(source, tmp_path)

    def cut_off(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(hub, "write_folder", cut_off)
        export_hub(replace(source, test="train", train=("validation",)), tmp_path)
    assert export_hub(source, tmp_path) == folder
    assert len(hub_tables[1]) == 3


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"hub_mask": "label"}, "no column 'label' of images but image, mask"),
        ({"hub_image": "number"}, "no column 'number' of images but image, mask"),
        ({"hub_test": "test"}, "data.hub_test test: .* has the splits train, validation"),
        ({"hub_train": ["train", "val"]}, "data.hub_train val: .* the splits train, validation"),
        ({"hub_train": []}, "data.hub_train : .* the splits train, validation"),
        ({"hub_test": "train"}, "is in data.hub_train too"),
        ({"hub_classes": ["a", "b"]}, "the number 12, but there are 2 names"),
    ],
)
def test_wrong_columns_and_splits_are_refused(hub_tables, tmp_path, keys, words):
    with pytest.raises(UserError, match=words):
        open_images(Data(source="some-one/voc", data_dir=str(tmp_path), **keys))


def hub_set(monkeypatch, masks, features=None, columns=None, photos=None, **splits):
    """Give a hub's data set of one mask, an array or an image, for each image of a split.

    columns: {name: value for each mask}; photos: {(split, number): image}
    """
    from datasets import Dataset, DatasetDict, Features
    from datasets import Image as ImageColumn

    def table(split, numbers):
        rng = np.random.default_rng(sum(map(ord, split)))
        size = (*np.shape(masks[0])[:2], 3)
        drawn = [Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)) for _ in numbers]
        images = [(photos or {}).get((split, n), image) for n, image in enumerate(drawn)]
        chosen = [masks[n % len(masks)] for n in numbers]
        chosen = [m if isinstance(m, Image.Image) else Image.fromarray(m) for m in chosen]
        more = {
            name: [values[n % len(values)] for n in numbers]
            for name, values in (columns or {}).items()
        }
        kinds = Features(image=ImageColumn(), mask=ImageColumn(), **(features or {}))
        return Dataset.from_dict({"image": images, "mask": chosen} | more, features=kinds)

    sizes = splits or {"train": 8, "validation": 3}
    found = DatasetDict({split: table(split, range(count)) for split, count in sizes.items()})
    monkeypatch.setattr(hub, "load_hub", lambda name: found)
    return found


def mask_of(*labels):
    """A mask of 8 x 12 pixels in vertical stripes of these numbers."""
    return np.repeat(np.array(labels, np.uint8), 12 // len(labels))[None].repeat(8, 0)


def open_hub(tmp_path, **keys):
    folders = {"data_dir": str(tmp_path / "data"), "cache_dir": str(tmp_path / "cache")}
    return open_images(Data(source="some-one/set", image_size=64, **folders, **keys))


NAMED = {"hub_classes": ("nothing", "cat", "dog")}


def test_only_the_splits_that_are_named_are_trained_on(monkeypatch, tmp_path, capsys):
    masks = [mask_of(0, 1, 2)]
    hub_set(monkeypatch, masks, train=6, validation=4, test=3, extra=5)
    dataset = open_hub(tmp_path, hub_test="test", **NAMED)
    assert {name.rpartition("_")[0] for name in dataset.ids("trainval")} == {"train"}
    assert len(dataset.ids("test")) == 3
    assert "not used: validation, extra" in capsys.readouterr().out
    both = open_hub(tmp_path, hub_train=("train", "extra"), hub_test="test", **NAMED)
    assert {name.rpartition("_")[0] for name in both.ids("trainval")} == {"train", "extra"}
    assert len(both.ids("trainval")) == 11


def test_an_image_to_be_trained_and_tested_on_is_refused(monkeypatch, tmp_path):
    """By its pixels, whatever file they stand in."""
    photo = Image.fromarray(np.random.default_rng(5).integers(0, 256, (8, 12, 3), dtype=np.uint8))
    photos = {("train", 4): photo, ("validation", 1): photo.convert("RGBA")}
    hub_set(monkeypatch, [mask_of(0, 1, 2)], photos=photos)
    with pytest.raises(UserError, match="train_000004 and validation_000001 are the same image"):
        open_hub(tmp_path, **NAMED)


def test_an_image_that_is_there_twice_is_trained_on_once(monkeypatch, tmp_path, capsys):
    photo = Image.fromarray(np.random.default_rng(5).integers(0, 256, (8, 12, 3), dtype=np.uint8))
    photos = {("train", 1): photo, ("train", 4): photo}
    hub_set(monkeypatch, [mask_of(0, 1, 2)], photos=photos)
    ids = open_hub(tmp_path, **NAMED).ids("trainval")
    assert len(ids) == 7 and "train_000001" in ids and "train_000004" not in ids
    assert "1 images of train are there twice" in capsys.readouterr().out


def class_list(names):
    from datasets import ClassLabel, List

    return List(ClassLabel(names=names))


def test_names_come_from_the_feature_that_lists_an_images_classes(monkeypatch, tmp_path):
    from datasets import ClassLabel

    masks, classes = [mask_of(0, 1), mask_of(0, 2), mask_of(0, 1, 2)], [[0, 1], [0, 2], [1, 2]]
    features = {
        "objects": {"category": class_list(["nothing", "cat", "dog"])},
        "scene": ClassLabel(names=["street", "field"]),
    }
    columns = {"objects": [{"category": c} for c in classes], "scene": [0, 1, 1]}
    hub_set(monkeypatch, masks, features, columns)
    assert open_hub(tmp_path).class_names == ["nothing", "cat", "dog"]


def test_splits_whose_features_list_other_classes_are_refused(monkeypatch, tmp_path):
    columns = {"classes": [[1, 2]]}
    found = hub_set(
        monkeypatch, [mask_of(0, 1, 2)], {"classes": class_list(["no", "cat", "dog"])}, columns
    )
    assert open_hub(tmp_path / "alike").class_names == ["no", "cat", "dog"]
    other = {"classes": class_list(["no", "dog", "cat"])}
    validation = hub_set(monkeypatch, [mask_of(0, 1, 2)], other, columns)["validation"]
    found["validation"] = validation
    monkeypatch.setattr(hub, "load_hub", lambda name: found)
    with pytest.raises(UserError, match=r"feature classes of validation lists other classes than"):
        open_hub(tmp_path)
    assert open_hub(tmp_path, **NAMED).class_names == [*NAMED["hub_classes"]]


def test_masks_that_number_their_colours_anew_and_blurred_ones_are_refused(monkeypatch, tmp_path):
    red, green, black = (255, 0, 0), (0, 255, 0), (0, 0, 0)
    masks = []
    for order in ((black, red, green), (black, green, red)):
        masks.append(Image.fromarray(mask_of(0, 1, 2)).convert("P"))
        masks[-1].putpalette([value for colour in order for value in colour])
    hub_set(monkeypatch, masks[:1])
    open_hub(tmp_path / "alike", **NAMED)
    hub_set(monkeypatch, masks)
    with pytest.raises(UserError, match=r"train_000001: shows 1 as #00ff00, train_000000 as #ff"):
        open_hub(tmp_path, **NAMED)
    buffer = io.BytesIO()
    Image.fromarray(mask_of(0, 0, 0)).save(buffer, "JPEG")
    hub_set(monkeypatch, [Image.open(buffer)])
    with pytest.raises(UserError, match="train_000000: its mask is a JPEG, which blurs"):
        open_hub(tmp_path, **NAMED)


def test_a_list_of_classes_that_are_not_the_masks_numbers_is_refused(monkeypatch, tmp_path):
    """Without a background its numbers are lower by one."""
    features = {"classes": class_list(["cat", "dog"])}
    hub_set(monkeypatch, [mask_of(0, 1)], features, {"classes": [[0]]})
    with pytest.raises(UserError, match=r"feature classes lists .*train_000000.*hub_classes"):
        open_hub(tmp_path)
    assert open_hub(tmp_path, **NAMED).class_names == [*NAMED["hub_classes"]]


@pytest.mark.parametrize("kind", ["nothing", "scene", "two lists"])
def test_classes_that_nothing_names_are_refused(monkeypatch, tmp_path, kind):
    from datasets import ClassLabel

    features = {
        "nothing": {},
        "scene": {"scene": ClassLabel(names=["street", "field", "sea"])},
        "two lists": {"a": class_list(["x", "y"]), "b": class_list(["z", "w"])},
    }[kind]
    columns = {name: [1 if kind == "scene" else [1]] for name in features}
    hub_set(monkeypatch, [mask_of(0, 1)], features, columns)
    with pytest.raises(UserError, match=r"no feature names the classes.*data\.hub_classes"):
        open_hub(tmp_path)


def test_masks_in_vocs_colours_have_vocs_names(monkeypatch, tmp_path):
    mask = Image.fromarray(mask_of(0, 8, 12))
    mask.putpalette(voc_colours().tobytes())
    for number, one in enumerate((mask, mask.convert("RGB"))):
        hub_set(monkeypatch, [one])
        dataset = open_hub(tmp_path / str(number))
        assert dataset.class_names == Voc.all_classes
        assert set(np.unique(dataset.mask(dataset.ids("test")[0]))) == {0, 8, 12}


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "I", "I;16"])
def test_numbers_are_read_from_masks_of_any_mode(mode):
    numbers = mask_of(0, 1)
    if mode == "I;16":
        mask = Image.fromarray(numbers.astype(np.uint16))
    elif mode == "1":
        mask = Image.fromarray(numbers.astype(bool))
    elif mode == "P":
        mask = Image.fromarray(numbers)
        mask.putpalette([0, 0, 0, 9, 8, 7] + [0] * 762)
    else:
        mask = Image.fromarray(numbers).convert(mode)
    assert mask.mode == mode and np.array_equal(class_numbers(mask, "a"), numbers)


def test_numbers_that_no_class_has_are_refused():
    with pytest.raises(UserError, match="a: its mask holds numbers outside"):
        class_numbers(Image.fromarray(np.full((2, 2), 300, np.uint16)), "a")


def test_photographs_of_16_bits_keep_their_depth(monkeypatch, tmp_path):
    values = np.random.default_rng(3).integers(0, 4096, (8, 12)).astype(np.uint16)
    hub_set(monkeypatch, [mask_of(0, 1, 2)], photos={("train", 0): Image.fromarray(values)})
    dataset = open_hub(tmp_path, **NAMED)
    with Image.open(dataset.image_path("train_000000")) as stored:
        assert np.array_equal(np.asarray(stored), values)


def test_a_hub_that_cannot_be_reached_is_one_line(tmp_path):
    code = (
        "from weakseg.common import UserError\nfrom weakseg.data.hub import load_hub\n"
        "try:\n    load_hub('some-one/voc')\nexcept UserError as error:\n    print(error)"
    )
    done = without_network(code, tmp_path)
    assert done.stdout.startswith(
        "data.source some-one/voc: the hub's data set could not be loaded"
    )
    assert done.stdout.count("\n") == 1 and "Traceback" not in done.stderr


@pytest.mark.parametrize("source", ["nowhere", "a/b/c", "./missing/folder", "with space/x"])
def test_an_unknown_source_is_refused(source):
    with pytest.raises(UserError, match=f"data.source {source}: no such folder"):
        open_images(Data(source=source))


def test_a_folder_without_a_data_set_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"data\.source .*no data set is there"):
        open_images(Data(source=str(tmp_path)))


def blobs(folder, mask, photo):
    """A folder of one's own of 12 images, each with this mask and photograph."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for number in range(12):
        Image.fromarray(photo).save(folder / "images" / f"p{number:02}.png")
        Image.fromarray(mask).save(folder / "masks" / f"p{number:02}.png")
    (folder / "classes.txt").write_text("background\nblob\n")
    return {"source": str(folder), "cache_dir": str(folder / "cache"), "image_size": 64}


def test_masks_of_other_tools_are_read_by_their_values(tmp_path):
    mask, photo = np.zeros((20, 30), np.uint8), np.zeros((20, 30, 3), np.uint8)
    mask[5:9], photo[5:9] = 255, 200
    data = blobs(tmp_path, mask, photo)
    with pytest.raises(UserError, match=r"data\.source .*data\.mask_values") as caught:
        open_images(Data(**data))
    assert "--mask_values" not in str(caught.value)
    dataset = open_images(Data(**data, mask_values=("255=blob",)))
    assert np.array_equal(dataset.mask("p03"), mask // 255)


def test_pictures_of_many_channels_are_chosen_from(tmp_path):
    mask = np.uint8(np.arange(20) > 9)[:, None].repeat(30, 1)
    photo = np.arange(600, dtype=np.uint16).reshape(20, 30) * 7
    data = blobs(tmp_path, mask, photo)
    dataset = open_images(Data(**data, value_range=(0, 4193)))
    assert np.asarray(dataset.image("p00"))[-1, -1].tolist() == [255, 255, 255]
    with pytest.raises(UserError, match=r"data\.channels 1 2: name one channel or three"):
        open_images(Data(**data, channels=(1, 2)))


def test_the_built_in_set_is_drawn_once(tmp_path):
    data = Data(
        shapes_train=8, shapes_test=4, data_dir=str(tmp_path), cache_dir=str(tmp_path / "cache")
    )
    first = open_images(data)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}
    assert len(times) == 12
    second = open_images(data)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")} == times
    assert first.fingerprint() == second.fingerprint()
    assert len(second.ids("trainval")) == 8 and len(second.ids("test")) == 4
