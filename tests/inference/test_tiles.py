"""Laws of windows over large images, and evaluate.py --tile on a tiny run."""

import contextlib
import json
import tracemalloc

import numpy as np
import pytest
import torch
from conftest import run
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import evaluate
from weakseg.common import UserError
from weakseg.data.cache import ResizedCache
from weakseg.data.image_io import to_square
from weakseg.evaluation.groups import group_name
from weakseg.evaluation.results import refuse_other_windows
from weakseg.inference import tiles
from weakseg.inference.tile_flags import MOST_OVERLAP

SIDES = st.integers(1, 90)
OVERLAPS = st.floats(0, MOST_OVERLAP)
FEW = st.floats(0, 0.6)


class Pointwise(torch.nn.Module):
    """Whole-numbered logits [B, 3, H, W] of each pixel alone; counts the images of each step."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def forward(self, image):
        self.steps.append(len(image))
        x = image.float()
        return {"seg": torch.stack([x[:, 0], x[:, 1], 255 - x[:, 2]], 1)}


class Local(Pointwise):
    """Logits that look at neighbours, as a real network's do."""

    def forward(self, image):
        logits = super().forward(image)["seg"]
        return {"seg": torch.nn.functional.avg_pool2d(logits, 5, stride=1, padding=2)}


def photograph(width, height, seed=0):
    return Image.fromarray(
        np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    )


def tiled(model, image, size, tile, overlap, batch_size=4):
    return tiles.tiled_mask(
        model, image, size, tile, overlap, batch_size, "cpu", contextlib.nullcontext
    )


@given(length=st.integers(1, 3000), window=st.integers(1, 700), overlap=OVERLAPS)
def test_windows_cover_a_side_from_end_to_end_and_overlap_enough(length, window, overlap):
    starts = tiles.window_starts(length, window, overlap)
    assert starts[0] == 0 and starts[-1] + min(window, length) == length
    steps = np.diff(starts)
    if length <= window:
        assert starts == [0]
    else:
        assert 0 < steps.min() and steps.max() <= max(1, window * (1 - overlap) + 1e-6)
        assert steps.max() - steps.min() <= 1


@given(length=SIDES, window=SIDES, overlap=OVERLAPS)
def test_the_shares_of_every_pixel_are_positive_and_add_up_to_one(length, window, overlap):
    total = np.zeros(length)
    for span in tiles.spans(length, window, overlap):
        assert (span.shares > 0).all() and span.stop - span.start == min(window, length)
        total[span.start : span.stop] += span.shares.double().numpy()
    assert total == pytest.approx(np.ones(length), abs=1e-6)


@given(
    width=SIDES, height=SIDES, tile=st.integers(8, 40), overlap=FEW, batch_size=st.integers(1, 9)
)
@settings(max_examples=40)
def test_at_scale_one_a_pointwise_network_gives_the_whole_images_answer(
    width, height, tile, overlap, batch_size
):
    """Of images that are longer than a window on both sides: a shorter side is stretched to the
    network's size.
    """
    image, model = photograph(width + tile, height + tile), Pointwise()
    whole = model(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None])["seg"][0].argmax(0)
    model.steps.clear()
    assert np.array_equal(tiled(model, image, tile, tile, overlap, batch_size), whole)
    count = np.prod([len(tiles.window_starts(side, tile, overlap)) for side in image.size])
    assert (
        sum(model.steps) == count
        and set(model.steps[:-1]) <= {batch_size}
        and model.steps[-1] <= batch_size
    )


@given(
    width=SIDES,
    height=SIDES,
    tile=st.integers(8, 90),
    size=st.integers(1, 20),
    overlap=FEW,
    seed=st.integers(0, 9),
)
@settings(max_examples=40)
def test_blended_logits_stay_within_those_of_the_windows_and_constants_stay(
    width, height, tile, size, overlap, seed
):
    image, pieces = photograph(width, height, seed), np.zeros((3, height, width))
    rows, columns = tiles.spans(height, tile, overlap), tiles.spans(width, tile, overlap)
    boxes = iter([(row, column) for row in rows for column in columns])
    constant = torch.tensor([-3.0, 0.5, 100.0])

    def model(x):
        return {"seg": constant[:, None, None].expand(len(x), 3, size, size)}

    for top, left, part in tiles.weighted_logits(
        model, image, size, boxes, 3, "cpu", contextlib.nullcontext
    ):
        pieces[:, top : top + part.shape[1], left : left + part.shape[2]] += part.numpy()
    assert pieces == pytest.approx(np.broadcast_to(constant[:, None, None], pieces.shape), rel=1e-5)
    assert (tiled(model, image, size, tile, overlap) == 2).all()


@given(
    width=SIDES,
    height=SIDES,
    more=st.integers(0, 30),
    size=st.integers(1, 40),
    seed=st.integers(0, 9),
)
@settings(max_examples=40)
def test_an_image_that_fits_is_predicted_as_the_whole_image_is(width, height, more, size, seed):
    image, tile = photograph(width, height, seed), max(width, height) + more
    logits = Local()(torch.tensor(to_square(image, size))[None])["seg"]
    whole = torch.nn.functional.interpolate(
        logits, size=(height, width), mode="bilinear", align_corners=False
    )
    assert np.array_equal(tiled(Local(), image, size, tile, 0.25), whole[0].argmax(0))


@given(
    width=SIDES,
    height=SIDES,
    tile=st.integers(8, 40),
    overlap=FEW,
    sizes=st.tuples(*[st.integers(1, 9)] * 2),
)
@settings(max_examples=40)
def test_batches_make_no_difference_and_a_turned_image_gives_the_turned_mask(
    width, height, tile, overlap, sizes
):
    image = photograph(width, height)
    first, second = (tiled(Pointwise(), image, 16, tile, overlap, size) for size in sizes)
    assert np.array_equal(first, second)
    turned = tiled(Pointwise(), image.transpose(Image.Transpose.TRANSPOSE), 16, tile, overlap)
    assert (turned.T == first).mean() > 0.95  # resizing goes by rows first, and rounds


def test_a_window_sees_past_its_edges_as_the_resized_image_does(tmp_path):
    image = photograph(64, 48)
    image.save(tmp_path / "image.png")
    assert np.array_equal(
        ResizedCache(tmp_path, 24).image(tmp_path / "image.png"), to_square(image, 24)
    )
    whole = to_square(image.crop((0, 0, 48, 48)), 24)[:, :, 2:-2]
    assert np.array_equal(to_square(image, 24, (0, 0, 48, 48))[:, :, 2:-2], whole)
    assert np.array_equal(
        to_square(image, 16, (5, 7, 21, 23)), np.asarray(image)[7:23, 5:21].transpose(2, 0, 1)
    )


@pytest.mark.parametrize("turned", [False, True])
def test_memory_grows_with_the_shorter_side_alone(turned, monkeypatch):
    """For a ten times longer image the band of logits is the same, and NumPy holds no more than the
    mask.
    """
    bands, class_mask = [], tiles.class_mask

    def watched(logits):
        bands.append(logits.untyped_storage().nbytes())
        return class_mask(logits)

    monkeypatch.setattr(tiles, "class_mask", watched)
    for length in (300, 3000):
        mask = np.zeros((60, length) if turned else (length, 60), np.uint8)
        lines = [
            (row.start, column.start)
            for row in tiles.spans(length, 40, 0.25)
            for column in tiles.spans(60, 40, 0.25)
        ]
        tracemalloc.start()
        pieces = ((top, left, torch.ones(3, 40, 40)) for top, left in lines)
        for top, band in tiles.bands(pieces, 60):
            (mask.T if turned else mask)[top : top + band.shape[1]] = tiles.class_mask(band)
        assert tracemalloc.get_traced_memory()[1] < 30_000  # of a mask of 180,000 bytes
        tracemalloc.stop()
    assert max(bands) == 4 * 3 * 40 * 60


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny run on drawn images, with two larger ones in the test split: {name: path} of what lies
    where.
    """
    import train
    import weak_label_generator
    from weakseg.data.synthetic import draw_shapes

    root = tmp_path_factory.mktemp("tiles")
    draw_shapes(root / "data", trainval=12, test=6, size=80, seed=0)
    names = sorted((root / "data/annotations/test.txt").read_text().split()[::4])
    for name, (across, down) in zip(names, ((3, 1), (1, 4)), strict=False):
        for path in (
            root / f"data/images/{name}.jpg",
            root / f"data/annotations/trimaps/{name}.png",
        ):
            picture = np.asarray(Image.open(path))
            Image.fromarray(np.tile(picture, (down, across) + (1,) * (picture.ndim - 2))).save(path)
    data = ("--data_dir", root / "data")
    run(weak_label_generator, *data, "--output_file", root / "labels.pkl", "--jobs", 1)
    run(
        train,
        "--supervision_mode",
        "full",
        "--run_name",
        "full",
        "--epochs",
        1,
        "--img_size",
        64,
        *data,
        "--weak_label_path",
        root / "labels.pkl",
        "--cache_dir",
        root / "cache",
        "--checkpoint_dir",
        root / "checkpoints",
        "--lr",
        1e-3,
        "--device",
        "cpu",
    )
    return root, names[:2]


def evaluated(root, name, *flags):
    """Evaluate with the flags -> (result, {image: mask})."""
    folder = root / name
    run(
        evaluate,
        "--checkpoint_dir",
        root / "checkpoints",
        "--results_dir",
        folder,
        "--device",
        "cpu",
        *flags,
    )
    result = json.loads((folder / "full.json").read_text())
    return result, {
        image: np.asarray(Image.open(folder / found["mask"]))
        for image, found in result["images"].items()
    }


def test_only_larger_images_change_and_the_result_says_what_they_were_predicted_in(trained, capsys):
    root, large = trained
    plain, masks = evaluated(root, "whole")
    assert plain["tile"] is None and "windows" not in capsys.readouterr().out
    same, untouched = evaluated(root, "fits", "--tile", 4000)
    assert same["images"] == plain["images"] and same["aggregate"] == plain["aggregate"]
    assert all(np.array_equal(masks[name], untouched[name]) for name in masks)
    assert same["tile"] == {"pixels": 4000, "overlap": 0.25}
    cut, parts = evaluated(root, "cut", "--tile", "--tile_overlap", 0.5, "--batch_size", 2)
    assert (
        cut["tile"] == {"pixels": 80, "overlap": 0.5}
        and "windows of 80 px" in capsys.readouterr().out
    )
    assert list(cut["images"]) == list(plain["images"])
    for name, mask in masks.items():
        assert parts[name].shape == mask.shape
        assert np.array_equal(parts[name], mask) == (name not in large)
        confusion = np.array(cut["images"][name]["confusion"])
        assert confusion.sum() == np.array(plain["images"][name]["confusion"]).sum()
    _, repeated = evaluated(root, "again", "--tile", 80, "--tile_overlap", 0.5, "--batch_size", 5)
    assert all(
        (parts[name] == repeated[name]).mean() > 0.999 for name in parts
    )  # rounding of the network's own sums


def test_results_in_other_windows_are_not_taken_for_those_of_another_run(trained, tmp_path):
    import analyze
    from weakseg.planning.cell import identity_of

    root, _ = trained
    plain, cut = evaluated(root, "whole")[0], evaluated(root, "cut", "--tile", 80)[0]
    with pytest.raises(UserError, match=r"windows of 80 px.*--tile"):
        refuse_other_windows(plain, cut)
    old = {key: value for key, value in plain.items() if key != "tile"}
    refuse_other_windows(old, plain)
    assert identity_of(old) == identity_of(plain) != identity_of(cut)
    assert group_name([plain]) == "full" != group_name([cut])
    (root / "cut" / "other.json").write_text(json.dumps(plain | {"run": "other"}))
    with pytest.raises(UserError, match="same --tile"):
        run(evaluate, "--results_dir", root / "cut", "--reprice")
    with pytest.raises(UserError, match="same --tile"):
        run(analyze, "--a", root / "cut" / "full.json", "--b", root / "cut" / "other.json")
    (root / "cut" / "other.json").unlink()
    run(
        analyze,
        "--a",
        root / "whole" / "full.json",
        "--b",
        root / "cut" / "full.json",
        "--resamples",
        100,
        "--output_dir",
        tmp_path,
    )
    assert "full_tile80_overlap0.25" in (tmp_path / "analysis.md").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tile", "10"], "--tile 10"),
        (["--tile", "-3"], "--tile -3"),
        (["--tile", "--tile_overlap", "1"], r"--tile_overlap 1\.0"),
        (["--tile", "--tile_overlap", "nan"], "--tile_overlap nan"),
        (["--tile_overlap", "0.5"], "add --tile"),
        (["--tile", "--reprice"], "leave out --tile"),
    ],
)
def test_a_mistake_gets_one_line(flags, message, tmp_path):
    with pytest.raises(UserError, match=message):
        run(evaluate, "--checkpoint_dir", tmp_path, *flags)
