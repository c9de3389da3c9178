"""Pictures that are too large to be read whole: a smaller copy of one's own folder."""

import numpy as np
import pytest
import tifffile
from conftest import run
from PIL import Image

import download_data
from weakseg.common import UserError
from weakseg.data.datasets import DataOptions, Folder, open_dataset
from weakseg.data.image_io import image_size, read_image
from weakseg.data.reading import Photograph, Reading
from weakseg.data.smaller_copy import copy_folder


def blob(width, height):
    """A picture of a bright ellipse, and its mask."""
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    mask = ((x - 0.3) ** 2 + (y + 0.2) ** 2 < 0.2).astype(np.uint8)
    return np.stack([40 + 150 * mask] * 3, axis=2).astype(np.uint8), mask


@pytest.fixture
def mine(tmp_path):
    """Own pictures of many kinds, all but one larger than 64 pixels a side."""
    root = tmp_path / "mine"
    for part in ("images/cam", "masks/cam", "instances"):
        (root / part).mkdir(parents=True)
    (root / "classes.txt").write_text("background\nblob\n")
    image, mask = blob(200, 120)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(image).save(root / "images" / "photo.JPG", "JPEG", quality=95)
    Image.fromarray(np.rot90(image)).save(root / "images" / "turned.jpg", exif=turned, quality=95)
    Image.fromarray(image).save(root / "images" / "cam" / "drawn.png")
    deep = (image[..., 0].astype(np.uint16) * 16)[..., None]
    tifffile.imwrite(root / "images" / "deep.tif", deep[..., 0])
    pages = np.stack([deep[..., 0], deep[..., 0] // 2])
    tifffile.imwrite(root / "images" / "stack.tif", pages, photometric="minisblack")
    many = np.repeat(image[..., :1], 5, axis=2)
    tifffile.imwrite(
        root / "images" / "many.tif", many, photometric="minisblack", planarconfig="contig"
    )
    small, small_mask = blob(50, 30)
    Image.fromarray(small).save(root / "images" / "small.png")
    Image.fromarray(small_mask).save(root / "masks" / "small.png")
    for name in ("photo", "cam/drawn", "deep", "stack", "many"):
        Image.fromarray(mask).save(root / "masks" / f"{name}.png")
    Image.fromarray(np.ascontiguousarray(np.rot90(mask))).save(root / "masks" / "turned.png")
    Image.fromarray(mask.astype(np.uint16) * 300).save(root / "instances" / "photo.png")
    (root / "trainval.txt").write_text("photo.JPG\nturned\ncam/drawn.png\nsmall\n")
    (root / "test.txt").write_text("small.png\n".replace("small", "deep").replace("png", "tif"))
    return root


def test_every_picture_and_mask_is_shrunk_alike_and_keeps_its_kind(mine, tmp_path):
    small = tmp_path / "small"
    for _ in range(2):  # the second time finds all as it is
        run(
            download_data, "--dataset", "folder", "--from_dir", mine, "--data_dir", small,
            "--max_side", 64,
        )  # fmt: skip
    whole = (small / "images" / "small.png").read_bytes()
    assert whole == (mine / "images" / "small.png").read_bytes()
    dataset = open_dataset(DataOptions(str(small), cache_dir=str(tmp_path / "cache")))
    assert dataset.ids("trainval") == ["cam/drawn", "photo", "small", "turned"]
    assert dataset.ids("test") == ["deep"]
    for name in ("photo", "turned", "cam/drawn", "small"):
        image, mask = dataset.load(name)
        assert max(mask.shape) == (50 if name == "small" else 64)
        assert image.shape[:2] == mask.shape
        assert ((image[..., 0] > 115) == (mask == 1)).mean() > 0.98
    assert np.unique(dataset.instances("photo")).tolist() == [0, 300]
    shown = Reading(value_range=(0, 4080))
    assert image_size(small / "images" / "deep.tif") == (64, 38)
    deep = np.asarray(read_image(Photograph(small / "images" / "deep.tif", shown)), int)
    assert set(np.unique(deep)) >= {40, 190}
    second = Reading(page=2, value_range=(0, 4080))
    page = np.asarray(read_image(Photograph(small / "images" / "stack.tif", second)), int)
    assert np.abs(page - deep / 2).max() <= 1
    fifth = np.asarray(
        read_image(Photograph(small / "images" / "many.tif", Reading(channels=(5,))))
    )
    assert fifth.shape == (38, 64, 3)


@pytest.mark.parametrize("name", ["photo.JPG", "cam/drawn.png", "deep.tif", "many.tif"])
def test_a_picture_over_the_limit_names_the_way_out(mine, name):
    with pytest.raises(UserError, match="--dataset folder --from_dir HERE --data_dir SMALLER"):
        read_image(mine / "images" / name, most=64 * 64)


def test_a_copy_needs_its_flags_and_another_place(mine, tmp_path):
    with pytest.raises(UserError, match="give --from_dir and --max_side"):
        run(download_data, "--dataset", "folder", "--from_dir", mine)
    words = ["--dataset", "folder", "--from_dir", mine, "--max_side", 64]
    with pytest.raises(UserError, match="are one place"):
        run(download_data, *words, "--data_dir", mine)
    (mine / "classes.txt").unlink()
    with pytest.raises(UserError, match=r"classes\.txt: is missing"):
        run(download_data, *words, "--data_dir", tmp_path / "small")
    with pytest.raises(UserError, match="no image is there; check --from_dir"):
        run(download_data, "--dataset", "folder", "--from_dir", tmp_path, "--max_side", 64,
            "--data_dir", tmp_path / "other")  # fmt: skip


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ("classes.txt", "other content"),
        ("masks/photo.png", "other content"),
        ("images/small.png", "other content"),
        ("test.txt", "other content"),
        ("images/theirs.png", "of no picture that is copied"),
        ("masks/theirs.png", "of no picture that is copied"),
    ],
)
def test_a_copy_replaces_nothing_and_joins_no_other_pictures(mine, tmp_path, there, message):
    small = tmp_path / "small"
    (small / there).parent.mkdir(parents=True)
    if there.endswith("png"):
        Image.fromarray(blob(20, 20)[0]).save(small / there)
    else:
        (small / there).write_text("background\nmine\n")
    before, source = contents(small), contents(mine)
    words = ["--dataset", "folder", "--from_dir", mine, "--max_side", 64, "--data_dir", small]
    with pytest.raises(UserError, match=message):
        run(download_data, *words)
    assert before.items() <= contents(small).items() and contents(mine) == source
    assert message == "other content" or contents(small) == before


@pytest.mark.parametrize(
    ("size", "kind", "message"),
    [((120, 200), "PNG", "the mask is 120x200 but"), ((200, 120), "JPEG", "is a JPEG, whatever")],
)
def test_a_mask_that_could_not_be_trained_on_is_not_copied(mine, tmp_path, size, kind, message):
    Image.new("L", size).save(mine / "masks" / "photo.png", kind)
    words = ["--dataset", "folder", "--from_dir", mine, "--max_side", 64]
    with pytest.raises(UserError, match=rf"photo\.png: {message}"):
        run(download_data, *words, "--data_dir", tmp_path / "small")


def test_groups_are_copied_by_the_names_of_the_copies(mine, tmp_path):
    (mine / "groups.txt").write_text("photo.JPG, one\ncam/drawn.png\ttwo\ngone.jpg, two\n")
    words = ["--dataset", "folder", "--from_dir", mine, "--max_side", 64]
    run(download_data, *words, "--data_dir", tmp_path / "small")
    said = (tmp_path / "small" / "groups.txt").read_text()
    assert said == "photo, one\ncam/drawn, two\n"


@pytest.mark.parametrize("place", ["small", "images/small", "images"])
def test_a_copy_inside_what_is_copied_is_refused(mine, place):
    source = contents(mine)
    words = ["--dataset", "folder", "--from_dir", mine, "--max_side", 64]
    with pytest.raises(UserError, match="lies inside what is copied"):
        run(download_data, *words, "--data_dir", mine / place)
    assert contents(mine) == source


def test_a_folder_without_images_is_copied_with_what_explains_its_masks(mine, tmp_path):
    for path in (mine / "images").iterdir():
        path.rename(mine / path.name)
    (mine / "images").rmdir()
    (mine / "masks/cam/classes.txt").write_text("background\nblob\n")
    (mine / "data.yaml").write_text("names: [blob]\n")
    for _ in range(2):
        assert copy_folder(mine, tmp_path / "small", 64) == 7
    small = Folder(tmp_path / "small", cache_dir=tmp_path / "cache")
    assert {"cam/drawn", "photo"} <= small.files.keys() and "cam/drawn" in small.masks
    for name in ("masks/cam/classes.txt", "data.yaml"):
        assert (tmp_path / "small" / name).read_bytes() == (mine / name).read_bytes()
