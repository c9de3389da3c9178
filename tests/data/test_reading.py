"""Pictures deeper than 8 bits, stacks and many channels: one range, and nothing is silently cut."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import tifffile
import torch
from conftest import run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import evaluate
import train
import weak_label_generator
from weakseg.common import UserError
from weakseg.data.cache import ResizedCache, source_key
from weakseg.data.datasets import DataOptions, Folder, open_dataset
from weakseg.data.folder_files import is_picture
from weakseg.data.image_io import image_size, read_image, read_mask
from weakseg.data.reading import Photograph, Reading
from weakseg.data.value_range import value_range

RAMP = np.linspace(0, 4095, 600).reshape(20, 30).astype(np.uint16)
COLOURS = np.stack([RAMP, RAMP[::-1], np.full_like(RAMP, 1000)], axis=2)
TWELVE_BITS = Reading(value_range=(0, 4095))


def tiff(path, values, **options):
    tifffile.imwrite(path, values, **options)
    return path


def png(path, values):
    order = [2, 1, 0, 3][: values.shape[2]] if values.ndim == 3 else ...
    cv2.imwrite(str(path), values[..., order] if values.ndim == 3 else values)
    return path


DEEP = {
    "grey.png": lambda path: png(path, RAMP),
    "grey.tif": lambda path: tiff(path, RAMP),
    "signed.tif": lambda path: tiff(path, RAMP.astype(np.int16)),
    "float.tif": lambda path: tiff(path, RAMP.astype(np.float32)),
    "double.tif": lambda path: tiff(path, RAMP.astype(np.float64)),
    "big endian.tif": lambda path: tiff(path, RAMP, byteorder=">"),
    "colour.png": lambda path: png(path, COLOURS),
    "alpha.png": lambda path: png(path, np.dstack([COLOURS, RAMP])),
    "colour.tif": lambda path: tiff(path, COLOURS, photometric="rgb"),
    "planes.tif": lambda path: tiff(
        path, COLOURS.transpose(2, 0, 1).copy(), photometric="rgb", planarconfig="separate"
    ),
    "packed.tif": lambda path: path if cv2.imwrite(str(path), COLOURS[..., ::-1]) else None,
}


def raw(path, tags=(), **page):
    """Write what a camera does: a small copy, and the sensor's values where most readers miss them.

    page: options of the first page, which shows the copy
    """
    small, sensor = np.zeros((10, 15, 3), np.uint8), np.zeros((80, 120), np.uint16)
    usual = {"photometric": "rgb", "subfiletype": 1, "subifds": 1, "extratags": tags}
    usual |= page
    with tifffile.TiffWriter(path) as file:
        file.write(small if usual["photometric"] == "rgb" else sensor, metadata=None, **usual)
        if usual["subifds"]:
            file.write(sensor, photometric="minisblack", subfiletype=0, metadata=None)
    return path


DNG = [(50706, 1, 4, bytes([1, 4, 0, 0]), True)]
MOSAIC = [(33421, 3, 2, (2, 2), True), (33422, 1, 4, bytes([0, 1, 1, 2]), True)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tags": DNG, "subfiletype": 0, "subifds": 0},
        {"tags": MOSAIC, "photometric": "cfa", "subfiletype": 0, "subifds": 0},
    ],
)
def test_the_small_copy_in_a_cameras_raw_file_is_no_photograph(options, tmp_path):
    path = raw(tmp_path / "a.tif", **options)
    for read in (image_size, read_image):
        with pytest.raises(
            UserError, match=r"a\.tif: is a camera's raw file, .*; develop it to JPE"
        ):
            read(path)
    path.rename(tmp_path / "a.dng")
    assert not is_picture(tmp_path / "a.dng"), "so that the JPEG beside it is the photograph"


def test_a_small_copy_behind_the_photograph_is_no_raw_file(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(np.zeros((80, 120, 3), np.uint8), photometric="rgb", subifds=1, metadata=None)
        file.write(np.zeros((10, 15, 3), np.uint8), photometric="rgb", subfiletype=1)
    assert image_size(tmp_path / "a.tif") == (120, 80)


@pytest.mark.parametrize("name", DEEP)
def test_deep_pictures_show_their_values_in_the_range(tmp_path, name):
    path = DEEP[name](tmp_path / name)
    image = np.asarray(read_image(Photograph(path, TWELVE_BITS)), int)
    is_colour = name.split(".")[0] in ("colour", "alpha", "planes", "packed")
    expected = COLOURS if is_colour else np.repeat(RAMP[..., None], 3, axis=2)
    assert np.abs(image - expected * (255 / 4095)).max() <= 1
    narrow = read_image(Photograph(path, Reading(value_range=(1000, 2000))))
    clipped = (255 * (expected.astype(float) - 1000) / 1000).clip(0, 255)
    assert np.abs(np.asarray(narrow, int) - clipped).max() <= 1
    assert image_size(path) == (30, 20)
    with pytest.raises(UserError, match=r"deeper than 8 bits.*--value_range"):
        read_image(path)


@pytest.mark.parametrize("turn", range(1, 9))
def test_deep_pictures_come_upright(tmp_path, turn):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, RAMP, extratags=[("Orientation", 3, 1, turn, True)])
    block = Image.Exif()
    block[0x0112] = turn
    shallow = tmp_path / "image.png"
    Image.fromarray((RAMP >> 4).astype(np.uint8)).save(shallow, exif=block)
    expected = np.asarray(read_image(shallow), int)
    image = np.asarray(read_image(Photograph(path, TWELVE_BITS)), int)
    assert image.shape == expected.shape and image_size(path) == image_size(shallow)
    assert np.abs(image - expected).max() <= 1


def test_values_that_are_no_numbers_are_black(tmp_path):
    values = np.array([[np.nan, 0.0, 1.0], [-np.inf, 0.5, np.inf]], np.float32)
    path = tiff(tmp_path / "a.tif", values)
    shown = np.asarray(read_image(Photograph(path, Reading(value_range=(0, 1)))))[..., 0]
    assert shown.tolist() == [[0, 0, 255], [0, 128, 255]]
    assert value_range([Photograph(path)], tmp_path) == pytest.approx((0, 1), abs=0.01)


# ---- one range for all


def test_the_range_is_that_of_all_pictures_together(tmp_path):
    dim = tiff(tmp_path / "dim.tif", (RAMP // 8).astype(np.uint16))
    bright = tiff(tmp_path / "bright.tif", RAMP)
    Image.fromarray((RAMP >> 4).astype(np.uint8)).save(tmp_path / "photo.png")
    photographs = [Photograph(p) for p in (dim, bright, tmp_path / "photo.png", tmp_path / "none")]
    low, high = value_range(photographs, tmp_path / "cache")
    assert 0 <= low < 5 and 4000 < high <= 4095
    assert value_range(photographs, tmp_path / "cache") == (low, high)  # as it was remembered
    shown = [
        np.asarray(read_image(Photograph(p, Reading(value_range=(low, high))))).mean()
        for p in (dim, bright)
    ]
    assert shown[0] < shown[1] / 6  # a dim picture stays dim
    assert value_range(photographs[2:], tmp_path / "cache") is None


def test_one_hot_pixel_does_not_blacken_the_rest(tmp_path):
    values = np.full((100, 100), 300, np.uint16)
    values[::2], values[0, 0] = 200, 65535
    low, high = value_range([Photograph(tiff(tmp_path / "a.tif", values))], tmp_path)
    assert (low, high) == (200, 300)


def test_whole_numbers_and_fractions_share_no_range(tmp_path):
    paths = [tiff(tmp_path / "a.tif", RAMP), tiff(tmp_path / "b.tif", RAMP / np.float32(4095))]
    with pytest.raises(UserError, match=r"b\.tif: holds fractions, .*a\.tif whole numbers"):
        value_range([Photograph(path) for path in paths], tmp_path)


@given(st.floats(-1e6, 1e6), st.floats(0.01, 1e6), st.integers(0, 2**32))
def test_values_keep_their_order_and_the_range_its_ends(low, width, seed):
    high = low + width
    values = np.random.default_rng(seed).uniform(low - width, high + width, (4, 4, 1))
    values[0, 0], values[0, 1] = low, high
    shown = Reading(value_range=(low, high)).in_8_bits(values, "a")
    assert shown.dtype == np.uint8 and shown[0, 0] == 0 and shown[0, 1] == 255
    order = np.argsort(values.ravel(), kind="stable")
    assert (np.diff(shown.ravel()[order].astype(int)) >= 0).all()


@pytest.mark.parametrize("bits", [8, 12, 16, "int16", "float32"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_negatives_are_shown_as_positives_at_any_depth(bits, compression, tmp_path):
    """As Pillow shows those of 8 bits."""
    kind = {8: "uint8", 12: "uint16", 16: "uint16"}.get(bits, bits)
    values = np.linspace(0, 255, 600).reshape(20, 30).round()
    stored = {12: values * 16, 16: values * 257, "float32": values / 256}.get(bits, values)
    path = tmp_path / "a.tif"
    tiff(path, stored.astype(kind), photometric="miniswhite", compression=compression)
    ends = {"int16": (-255, 0), "float32": (-255 / 256, 0), 12: (65535 - 4080, 65535)}
    shown = read_image(Photograph(path, Reading(value_range=ends.get(bits, (0, 65535)))))
    assert np.abs(np.asarray(shown, int)[..., 0] - (255 - values)).max() <= 1
    if bits == 8:
        chosen = read_image(Photograph(path, Reading(channels=(1,))))
        assert np.array_equal(np.asarray(chosen), np.asarray(shown))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("float32", -9999),
        ("float32", -3.4028234663852886e38),
        ("float32", float("nan")),
        ("float64", -1e30),
        ("int16", -9999),
        ("uint16", 65535),
        ("uint16", 0),
    ],
)
@pytest.mark.parametrize("turn", [1, 6])
def test_what_stands_for_no_data_is_black_and_in_no_range(kind, value, turn, tmp_path):
    tags = [(42113, "s", 0, str(value), True), (274, "H", 1, turn, True)]
    values = np.linspace(300, 900, 600).reshape(20, 30).astype(kind)
    values[:, :7] = value
    path = tiff(tmp_path / "a.tif", values, photometric="minisblack", extratags=tags)
    empty = tiff(tmp_path / "b.tif", np.full((20, 30), value, kind), extratags=tags)
    other = tiff(tmp_path / "c.tif", np.full((20, 30), 400, kind))
    photographs = [Photograph(one) for one in (path, empty, other)][:: 1 if value == value else 2]
    low, high = value_range(photographs, tmp_path)
    assert 300 <= low < 500 and 890 < high <= 900
    shown = np.asarray(read_image(Photograph(path, Reading(value_range=(low, high)))))[..., 0]
    shown = np.rot90(shown) if turn == 6 else shown
    assert (shown[:, :7] == 0).all() and (shown[15:, 7:] > 150).all()
    if value == value:
        assert not np.asarray(read_image(Photograph(empty, Reading(value_range=(9, 10))))).any()


def test_a_colour_is_no_data_where_all_its_channels_are(tmp_path):
    values = COLOURS.copy()
    values[0, 0], values[1, 1] = 65535, (65535, 9, 9)
    tags = [(42113, "s", 0, "65535", True)]
    path = tiff(tmp_path / "a.tif", values, photometric="rgb", extratags=tags)
    shown = np.asarray(read_image(Photograph(path, TWELVE_BITS)))
    assert shown[0, 0].tolist() == [0, 0, 0] and shown[1, 1].tolist() == [255, 1, 1]


# ---- pages and channels


def test_pages_are_refused_or_chosen(tmp_path):
    pages = np.stack([np.full((20, 30), level, np.uint8) for level in (10, 20, 30)])
    stack = tiff(tmp_path / "stack.tif", pages, photometric="minisblack")
    frames = [Image.fromarray(page) for page in pages]
    paths = [stack]
    for kind in ("gif", "png", "webp"):
        options = {"lossless": True} if kind == "webp" else {}
        path = tmp_path / f"animation.{kind}"
        frames[0].save(path, save_all=True, append_images=frames[1:], **options)
        paths.append(path)
    for path in paths:
        with pytest.raises(UserError, match=r"has 3 pages; choose one with --page"):
            read_image(path)
        for number in (1, 2, 3):
            shown = np.asarray(read_image(Photograph(path, Reading(page=number))), int)
            assert np.abs(shown - 10 * number).max() <= 2
        with pytest.raises(UserError, match=r"has 3 pages, none is number 4; mend --page"):
            read_image(Photograph(path, Reading(page=4)))
        with pytest.raises(UserError, match=r"has 3 pages, a mask has one"):
            read_mask(path)


def test_thumbnails_and_a_phones_second_picture_are_no_pages(tmp_path):
    rng = np.random.default_rng(0)
    big = Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8))
    small = big.resize((12, 8))
    big.save(tmp_path / "phone.mpo", save_all=True, append_images=[small])
    Image.fromarray(np.asarray(small)).save(
        tmp_path / "first.tif", save_all=True, append_images=[Image.fromarray(np.asarray(big))]
    )
    Image.fromarray(np.asarray(big)).save(
        tmp_path / "last.tif", save_all=True, append_images=[Image.fromarray(np.asarray(small))]
    )
    for name in ("phone.mpo", "first.tif", "last.tif"):
        shown = read_image(tmp_path / name)
        assert shown.size == image_size(tmp_path / name) == (60, 40)
        if name != "phone.mpo":
            assert np.array_equal(np.asarray(shown), np.asarray(big))


MANY = np.stack([np.full((20, 30), 20 * number, np.uint8) for number in range(1, 6)], axis=2)


def test_other_than_one_or_three_channels_are_refused_or_chosen(tmp_path):
    paths = {
        2: tiff(tmp_path / "2.tif", MANY[..., :2], photometric="minisblack", planarconfig="contig"),
        4: tiff(tmp_path / "4.tif", MANY[..., :4], photometric="rgb", extrasamples=["unspecified"]),
        5: tiff(tmp_path / "5.tif", MANY, photometric="minisblack", planarconfig="contig"),
    }
    for count, path in paths.items():
        with pytest.raises(UserError, match=f"has {count} channels; choose one or three with"):
            read_image(path)
        shown = np.asarray(read_image(Photograph(path, Reading(channels=(2,)))))
        assert (shown == 40).all()
        with pytest.raises(UserError, match=f"has {count} channels, none is number 6"):
            read_image(Photograph(path, Reading(channels=(6,))))
    shown = np.asarray(read_image(Photograph(paths[5], Reading(channels=(5, 1, 3)))))
    assert (shown == (100, 20, 60)).all()


def test_pages_of_one_channel_can_be_the_channels(tmp_path):
    pages = np.moveaxis(MANY, 2, 0).copy()
    path = tiff(tmp_path / "a.tif", pages, photometric="minisblack")
    shown = np.asarray(read_image(Photograph(path, Reading(channels=(3, 1, 2)))))
    assert (shown == (60, 20, 40)).all()


def test_channels_of_a_photograph_can_be_chosen(tmp_path):
    picture = Image.fromarray(MANY[..., :3].copy())
    picture.save(tmp_path / "a.png")
    shown = np.asarray(read_image(Photograph(tmp_path / "a.png", Reading(channels=(3, 3, 1)))))
    assert (shown == (60, 60, 20)).all()
    alpha = picture.convert("RGBA")
    alpha.save(tmp_path / "b.png")
    assert (np.asarray(read_image(tmp_path / "b.png")) == (20, 40, 60)).all()


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        ({"page": 0}, "--page 0"),
        ({"page": True}, "--page True"),
        ({"channels": (1, 2)}, "--channels 1 2: name one channel or three"),
        ({"channels": (0,)}, "--channels 0"),
        ({"channels": ("1",)}, "--channels 1"),
        ({"value_range": (2, 1)}, "--value_range 2 1"),
        ({"value_range": (0, float("inf"))}, "--value_range 0 inf"),
        ({"value_range": (0, float("nan"))}, "--value_range 0 nan"),
        ({"value_range": (1,)}, "--value_range 1"),
    ],
)
def test_flags_that_mean_nothing_are_refused(words, flag):
    with pytest.raises(UserError, match=flag):
        Reading(**words)


def test_a_damaged_stack_is_one_line(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "a.tif"
    for values in (COLOURS, np.stack([RAMP, RAMP])):
        whole = tiff(path, values, photometric="rgb" if values is COLOURS else None).read_bytes()
        for _ in range(150):
            damaged = bytearray(whole[: rng.integers(len(whole))] if rng.random() < 0.3 else whole)
            where = (
                rng.integers(0, len(damaged), 3) if rng.random() < 0.5 else rng.integers(4, 12, 2)
            )
            tail = rng.integers(max(0, len(damaged) - 300), len(damaged), 2)
            for place in (*where, *tail):
                damaged[place % len(damaged)] = rng.integers(256)
            path.write_bytes(damaged)
            for read in (read_image, image_size, read_mask):
                source = path if read is read_mask else Photograph(path, TWELVE_BITS)
                try:
                    read(source)
                except UserError as error:
                    assert str(path) in str(error) and "\n" not in str(error)


# ---- the data set and its runs


def test_the_usual_reading_leaves_every_key_as_it_was(tmp_path):
    path = png(tmp_path / "a.png", (RAMP >> 4).astype(np.uint8))
    assert source_key(path) == source_key(Photograph(path))
    assert source_key(path) != source_key(Photograph(path, TWELVE_BITS))


@pytest.fixture(scope="module")
def microscope(tmp_path_factory):
    """A folder of 12-bit stacks of two pages with bright discs, and their masks."""
    root, rng = tmp_path_factory.mktemp("microscope"), np.random.default_rng(0)
    (root / "images").mkdir()
    (root / "masks").mkdir()
    (root / "classes.txt").write_text("background\ncell\n")
    y, x = np.mgrid[:64, :80]
    for number in range(14):
        cx, cy = rng.uniform(20, 60), rng.uniform(20, 44)
        mask = ((x - cx) ** 2 + (y - cy) ** 2 < 150).astype(np.uint8)
        light = rng.uniform(300, 800)
        picture = (rng.normal(light, 20, mask.shape) + light * 2 * mask).clip(0, 4095)
        pages = np.stack([np.zeros_like(mask, np.uint16), picture.astype(np.uint16)])
        tiff(root / "images" / f"{number:02}.tif", pages, photometric="minisblack")
        Image.fromarray(mask).save(root / "masks" / f"{number:02}.png")
    return root


def test_a_data_set_has_one_range_and_remembers_it(microscope, tmp_path):
    options = DataOptions(data_dir=str(microscope), cache_dir=str(tmp_path), page=2)
    dataset = open_dataset(options)
    low, high = dataset.reading.value_range
    assert 150 < low < 800 and 1500 < high < 2600
    assert options.of_data(dataset).value_range == (low, high)
    name = dataset.ids("test")[0]
    assert dataset.part([name]).photograph(name) == dataset.photograph(name)
    cached = ResizedCache(tmp_path, 32).image(dataset.photograph(name))
    assert cached.std() > 10
    given = open_dataset(replace(options, value_range=(0, 9)))
    assert given.reading.value_range == (0, 9)
    assert given.fingerprint() == dataset.fingerprint()
    with pytest.raises(UserError, match="has 2 pages; choose one with --page"):
        Folder(microscope, cache_dir=tmp_path).load(name)


def test_a_run_remembers_page_and_range(microscope, tmp_path):
    data = ["--data_dir", microscope, "--cache_dir", tmp_path / "cache", "--page", 2]
    labels = tmp_path / "labels.pkl"
    run(weak_label_generator, *data, "--output_file", labels, "--jobs", 1, "--preview", 1)
    where = ["--weak_label_path", labels, "--checkpoint_dir", tmp_path / "runs"]
    words = [*data, *where, "--learner", "probe", "--supervision_mode", "points", "--run_name", "r"]
    words += ["--device", "cpu", "--encoder_weights", "none", "--img_size", 96]
    run(train, *words)
    args = torch.load(tmp_path / "runs" / "r" / "best.pt", weights_only=True)["args"]
    assert args["page"] == 2 and 150 < args["value_range"][0] < args["value_range"][1] < 2600
    # It is shown the same range whatever the range of the pictures is later.
    results = ["--checkpoint_dir", tmp_path / "runs", "--results_dir", tmp_path / "results"]
    run(evaluate, *results, "--device", "cpu")
    result = json.loads((tmp_path / "results" / "r.json").read_text())
    assert result["args"]["value_range"] == args["value_range"]
    with pytest.raises(UserError, match="was trained with value_range = "):
        run(train, *words, "--resume", "--value_range", 0, 100)
