"""Test photographs that are photographs to train on, saved anew, are told; like ones are not."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from weakseg.data.doubts import saved_anew as module
from weakseg.data.doubts.saved_anew import saved_anew
from weakseg.data.folder import Folder


def photograph(number: int, size: tuple[int, int] = (131, 75)) -> Image.Image:
    """A picture of smooth spots in noise, other ones for each number."""
    rng = np.random.default_rng(number)
    spots = rng.integers(0, 256, (5, 7, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(spots).resize(size, Image.Resampling.BICUBIC), float)
    return Image.fromarray((smooth + rng.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8))


WAYS = {
    "png": {},
    "jpg": {"quality": 60},
    "webp": {"quality": 80},
    "bmp": {},
}


@pytest.mark.parametrize("kind", WAYS)
def test_a_photograph_is_found_in_whichever_format_and_no_other_one(kind, tmp_path):
    for number in range(4):
        photograph(number).save(tmp_path / f"{number}.jpg", quality=92)
    with Image.open(tmp_path / "2.jpg") as image:
        image.save(tmp_path / f"again.{kind}", **WAYS[kind])
        image.filter(ImageFilter.GaussianBlur(9)).save(tmp_path / "blurred.png")
        image.resize((131, 131)).save(tmp_path / "stretched.png")
        image.crop((9, 5, 131, 75)).save(tmp_path / "part.png")
    Image.new("RGB", (131, 75), (9, 9, 9)).save(tmp_path / "black.png")
    Image.new("RGB", (131, 75), (9, 9, 8)).save(tmp_path / "dark.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    trained = [*sorted(tmp_path.glob("?.jpg")), tmp_path / "black.png", tmp_path / "broken.png"]
    again = tmp_path / f"again.{kind}"
    tested = [again, *(tmp_path / f"{name}.png" for name in ("blurred", "stretched", "part"))]
    tested += [tmp_path / "dark.png", tmp_path / "absent.png"]
    assert saved_anew(tested, trained) == ([(again, tmp_path / "2.jpg")], [])


@pytest.mark.parametrize("turn", [None, *Image.Transpose])
def test_a_photograph_is_found_at_any_size_in_any_position(turn, tmp_path):
    for number in range(4):
        photograph(number, (401, 301)).save(tmp_path / f"{number}.jpg", quality=92)
    image = photograph(2, (401, 301))
    tested = []
    for share in (0.3, 0.5, 0.75, 1, 1.6):
        copy = image if turn is None else image.transpose(turn)
        tested.append(tmp_path / f"again{share}.jpg")
        copy.resize((int(copy.width * share), int(copy.height * share))).save(tested[-1])
    trained = [tmp_path / f"{number}.jpg" for number in range(4)]
    expected = [(path, trained[2]) for path in tested]
    assert saved_anew(tested, trained) == (expected, [])
    assert saved_anew([], [*trained, *tested], {*tested}) == ([], expected)
    assert saved_anew([], [*trained, *tested]) == ([], [])


def test_few_are_read_of_many(tmp_path, monkeypatch):
    read: list[Path] = []
    monkeypatch.setattr(module, "image_size", lambda path: (3000, 2000))
    monkeypatch.setattr(module, "smooth_look_of", lambda path, side: read.append(path))
    paths = [tmp_path / f"{number:04d}" for number in range(9000)]
    assert saved_anew(paths[:4000], paths[4000:]) == ([], [])
    assert 0 < len(read) <= sum(module.PIXELS) / 6e6 and read[-1] > paths[8000]


def test_a_folder_says_so_in_one_line(tmp_path: Path):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for number in range(6):
        photograph(number % 4).save(tmp_path / f"images/p{number}.{'png' if number > 3 else 'jpg'}")
        mask = np.eye(75, 131, k=number, dtype=np.uint8)
        Image.fromarray(mask).save(tmp_path / f"masks/p{number}.png")
    (tmp_path / "classes.txt").write_text("background\nblob\n")
    (tmp_path / "trainval.txt").write_text("p0\np1\np2\n")
    (tmp_path / "test.txt").write_text("p3\np4\np5\n")
    (line,) = Folder(tmp_path, cache_dir=tmp_path / ".cache").notes()
    assert "at least 2 test images" in line and "images/p4.png as images/p0.jpg" in line
