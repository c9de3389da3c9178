"""download_data.py against a server on this machine, with copies, and its error messages."""

import functools
import hashlib
import http.server
import json
import shutil
import socket
import tarfile
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from download_data import main, parse_args
from weakseg.common import UserError, run_cli
from weakseg.data import download
from weakseg.data.download import shrunk
from weakseg.data.layouts import LAYOUTS

NAMES = ("Tiny_cat_1", "Tiny_cat_2", "tiny_dog_1", "tiny_dog_2")
PALETTE = [value for k in range(256) for value in (k, 255 - k, k // 2)]


def pets(root, size=(60, 40)):
    """Write a tiny Pet data set below `root`; the images are noise, the masks hold 1, 2 and 3."""
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    (root / "annotations" / "trimaps").mkdir(parents=True)
    for name in NAMES:
        pixels = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{name}.jpg")
        labels = rng.integers(1, 4, (size[1], size[0]), np.uint8)
        Image.fromarray(labels).save(root / "annotations" / "trimaps" / f"{name}.png")
    lines = [f"{name} 1 {1 + name.islower()} 1" for name in NAMES]
    for stem, chosen in {
        "list": ["#Image", *lines],
        "trainval": lines[::2],
        "test": lines[1::2],
    }.items():
        (root / "annotations" / f"{stem}.txt").write_text("\n".join(chosen) + "\n")
    return root


def voc(root, size=(60, 40)):
    """Write a tiny VOC 2012 with all optional files, and one image that no list names."""
    rng = np.random.default_rng(0)
    base = root / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (base / folder).mkdir(parents=True)
    for name in (*NAMES, "unlisted"):
        Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(
            base / f"JPEGImages/{name}.jpg"
        )
        labels = Image.fromarray(
            rng.choice([0, 8, 12, 255], (size[1], size[0])).astype(np.uint8)
        ).convert("P")
        labels.putpalette(PALETTE)
        labels.save(base / f"SegmentationClass/{name}.png")
    for stem, chosen in {"train": NAMES[:1], "train_aug": NAMES[:3], "val": NAMES[3:]}.items():
        (base / "ImageSets" / "Segmentation" / f"{stem}.txt").write_text("\n".join(chosen) + "\n")
    (base / "human_points.json").write_text(json.dumps({NAMES[0]: {"size": size, "points": []}}))
    return root


def files(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def run(*argv):
    main(parse_args([str(word) for word in argv]))


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def online(tmp_path, monkeypatch):
    """Serve tiny archives in place of the official ones; yield the folder that is served."""
    server = tmp_path / "server"
    source = pets(server / "tree")
    (source / "images" / "unlisted.mat").write_text("as in the real archive")
    for part in ("images", "annotations"):
        with tarfile.open(server / f"{part}.tar.gz", "w:gz") as archive:
            archive.add(source / part, part)
    voc(server / "voc")
    with tarfile.open(server / "voc.tar", "w") as archive:
        archive.add(server / "voc" / "VOCdevkit", "VOCdevkit")
    web = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=server)
    )
    threading.Thread(target=web.serve_forever, args=(0.02,), daemon=True).start()
    for dataset, names in {
        "pets": ("images.tar.gz", "annotations.tar.gz"),
        "voc": ("voc.tar",),
    }.items():
        archives = tuple(
            (
                f"http://127.0.0.1:{web.server_port}/{name}",
                hashlib.md5((server / name).read_bytes()).hexdigest(),
            )
            for name in names
        )
        monkeypatch.setitem(LAYOUTS, dataset, replace(LAYOUTS[dataset], archives=archives))
    yield server
    web.shutdown()
    web.server_close()


def without_extras(tree):
    return {path: content for path, content in tree.items() if "unlisted" not in path}


@pytest.mark.parametrize(("dataset", "tree"), [("pets", "tree"), ("voc", "voc")])
def test_download_is_complete_tidy_and_done_once(online, tmp_path, capsys, dataset, tree):
    target = tmp_path / "data"
    run("--dataset", dataset, "--data_dir", target)
    assert files(target) == without_extras(
        files(online / tree)
    )  # nothing else: no archive, no working folder
    assert [path.name for path in target.iterdir() if path.name.startswith(".")] == []
    line = capsys.readouterr().out.strip()
    assert "\n" not in line and "python weak_label_generator.py" in line and str(target) in line

    for archive in online.glob("*.tar*"):
        archive.unlink()
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*")}
    run("--dataset", dataset, "--data_dir", target)  # would fail if it asked the network again
    assert before == {path: path.stat().st_mtime_ns for path in target.rglob("*")}


@pytest.mark.parametrize("damage", ["missing image", "cut image", "cut mask", "missing list"])
def test_damaged_data_are_completed(online, tmp_path, damage):
    target = tmp_path / "data"
    run("--data_dir", target)
    whole = files(target)
    kind, part = damage.split()
    path = (
        target
        / {
            "image": "images/tiny_dog_1.jpg",
            "mask": "annotations/trimaps/tiny_dog_1.png",
            "list": "annotations/test.txt",
        }[part]
    )
    path.unlink() if kind == "missing" else path.write_bytes(path.read_bytes()[:-200])
    run("--data_dir", target)
    assert files(target) == whole


def test_wrong_checksum_leaves_nothing(online, tmp_path, monkeypatch):
    archives = tuple((url, "0" * 32) for url, _ in LAYOUTS["pets"].archives)
    monkeypatch.setitem(LAYOUTS, "pets", replace(LAYOUTS["pets"], archives=archives))
    with pytest.raises(UserError, match="MD5"):
        run("--data_dir", tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("moment", ["extract_archive", "move_file"])
def test_an_interruption_is_taken_up_without_a_second_download(
    online, tmp_path, monkeypatch, moment
):
    import torchvision.datasets.utils as library

    home = {"extract_archive": library, "move_file": download}[moment]
    original, calls = getattr(home, moment), []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(home, moment, interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("--data_dir", tmp_path / "data")
    assert not (
        tmp_path / "data" / "annotations" / "trainval.txt"
    ).exists()  # readers find no half data set
    monkeypatch.setattr(home, moment, original)
    for archive in online.glob("*.tar*"):
        archive.unlink()
    run("--data_dir", tmp_path / "data")
    assert files(tmp_path / "data") == without_extras(files(online / "tree"))


def test_a_half_downloaded_archive_is_fetched_again(online, tmp_path):
    work = tmp_path / "data" / ".download-pets"
    work.mkdir(parents=True)
    (work / "images.tar.gz").write_bytes((online / "images.tar.gz").read_bytes()[:500])
    run("--data_dir", tmp_path / "data")
    assert files(tmp_path / "data") == without_extras(files(online / "tree"))


def test_download_can_shrink(online, tmp_path):
    run("--data_dir", tmp_path / "data", "--max_side", 30)
    check_shrunk(online / "tree", tmp_path / "data", LAYOUTS["pets"], 30)
    assert not (tmp_path / "data" / ".download-pets").exists()
    run("--data_dir", tmp_path / "data", "--max_side", 30)
    with pytest.raises(UserError, match="larger images"):
        run("--data_dir", tmp_path / "data", "--max_side", 20)


def test_offline_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    archives = ((f"http://127.0.0.1:{port}/images.tar.gz", "0" * 32),)
    layout = replace(LAYOUTS["pets"], archives=archives)
    monkeypatch.setitem(LAYOUTS, "pets", layout)
    with pytest.raises(SystemExit) as end:
        run_cli(main, lambda: parse_args(["--data_dir", str(tmp_path / "data")]))
    captured = capsys.readouterr()
    assert end.value.code not in (0, None) and captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert (
        "--dataset shapes" in captured.err
        and "--from_dir" in captured.err
        and str(port) in captured.err
    )
    assert not (tmp_path / "data").exists()


def check_shrunk(source, target, layout, max_side):
    """Check that each pair was shrunk to `max_side`, with no mask value but the source's own."""
    for name in NAMES:
        image_name, mask_name = layout.image.format(name), layout.mask.format(name)
        with Image.open(source / image_name) as image, Image.open(source / mask_name) as mask:
            before, values, mode, palette = (
                image.size,
                set(np.unique(mask)),
                mask.mode,
                mask.getpalette(),
            )
        with Image.open(target / image_name) as image, Image.open(target / mask_name) as mask:
            assert image.size == mask.size == shrunk(before, max_side) and image.format == "JPEG"
            assert (
                set(np.unique(mask)) <= values
                and mask.mode == mode
                and mask.getpalette() == palette
            )


@settings(max_examples=60)
@given(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), st.none() | st.integers(16, 1000))
def test_shrunk_bounds_the_longer_side_and_keeps_the_aspect(size, max_side):
    new = shrunk(size, max_side)
    if max_side is None or max(size) <= max_side:
        assert new == size
    else:
        scale = max_side / max(size)
        assert max(new) == max_side
        assert all(
            abs(side - scale * old) <= 0.5 or (side == 1 and scale * old < 1)
            for side, old in zip(new, size, strict=True)
        )


@pytest.mark.parametrize("nest", ["", "oxford-iiit-pet"])
def test_from_dir_copies_bytes_even_of_a_png_named_jpg(tmp_path, nest):
    source = pets(tmp_path / "there" / nest)
    Image.open(source / "images" / "tiny_dog_1.jpg").convert("P").save(
        source / "images" / "tiny_dog_1.jpg", "PNG"
    )
    (source / "images" / "unlisted.jpg").write_bytes(b"not wanted")
    run("--data_dir", tmp_path / "here", "--from_dir", tmp_path / "there")
    assert files(tmp_path / "here") == without_extras(files(source))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "here").rglob("*")}
    run("--data_dir", tmp_path / "here", "--from_dir", tmp_path / "there")
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "here").rglob("*")}
    run("--data_dir", tmp_path / "small", "--from_dir", tmp_path / "there", "--max_side", 24)
    check_shrunk(source, tmp_path / "small", LAYOUTS["pets"], 24)


def test_from_dir_takes_the_optional_files_of_voc(tmp_path):
    source = voc(tmp_path / "there") / "VOCdevkit" / "VOC2012"
    for place in (tmp_path / "there", tmp_path / "there" / "VOCdevkit", source):
        target = tmp_path / f"from {place.name}"
        run("--dataset", "voc", "--data_dir", target, "--from_dir", place)
        assert files(target / "VOCdevkit" / "VOC2012") == without_extras(files(source))
    run(
        "--dataset", "voc", "--data_dir", tmp_path / "small", "--from_dir", source, "--max_side", 20
    )
    small = tmp_path / "small" / "VOCdevkit" / "VOC2012"
    check_shrunk(source, small, LAYOUTS["voc"], 20)
    assert (small / "human_points.json").read_bytes() == (source / "human_points.json").read_bytes()


def test_max_side_mends_cut_files_and_keeps_whole_ones(tmp_path):
    source, target = pets(tmp_path / "there"), tmp_path / "here"
    argv = "--data_dir", target, "--from_dir", source, "--max_side", 24
    run(*argv)
    whole, path = files(target), target / "images" / "Tiny_cat_1.jpg"
    path.write_bytes(path.read_bytes()[:100])
    kept = (target / "images" / "Tiny_cat_2.jpg").stat().st_mtime_ns
    run(*argv)
    assert (
        files(target) == whole and (target / "images" / "Tiny_cat_2.jpg").stat().st_mtime_ns == kept
    )


# A mask that lies upright already can be told from a raw one only where the turn swaps width and
# height (5 to 8).
@pytest.mark.parametrize(
    ("orientation", "mask_upright"),
    [*((k, False) for k in range(2, 9)), *((k, True) for k in range(5, 9))],
)
def test_turned_photographs_stand_upright_with_their_masks(tmp_path, orientation, mask_upright):
    """Image and mask show one picture before and after, whichever frame the mask is in."""
    source = pets(tmp_path / "there", size=(96, 64))
    image_path = source / "images" / "Tiny_cat_1.jpg"
    bright = np.zeros((64, 96), np.uint8)
    bright[:32, :24] = 255
    photograph = Image.fromarray(bright).convert("RGB")
    photograph.getexif()[0x0112] = orientation
    photograph.save(image_path, exif=photograph.getexif(), quality=95)
    upright = ImageOps.exif_transpose(photograph)
    labels = Image.fromarray(
        np.where(
            np.asarray((upright if mask_upright else photograph).convert("L")) > 127, 1, 2
        ).astype(np.uint8)
    )
    labels.save(source / "annotations" / "trimaps" / "Tiny_cat_1.png")
    run("--data_dir", tmp_path / "here", "--from_dir", source, "--max_side", 48)
    with Image.open(tmp_path / "here" / "images" / "Tiny_cat_1.jpg") as image:
        assert image.getexif().get(0x0112, 1) == 1 and image.size == shrunk(upright.size, 48)
        lit = np.asarray(image.convert("L")) > 127
    with Image.open(tmp_path / "here" / "annotations" / "trimaps" / "Tiny_cat_1.png") as mask:
        assert np.mean((np.asarray(mask) == 1) == lit) > 0.97


def missing_image(root):
    path = root / "images" / "tiny_dog_2.jpg"
    path.unlink()
    return path


def missing_list(root):
    path = root / "annotations" / "test.txt"
    path.unlink()
    return path


def list_in_another_encoding(root):
    path = root / "annotations" / "test.txt"
    path.write_bytes("größe_1 1 1 1\n".encode("latin-1"))
    return path


def too_many_pixels(root):
    path = root / "images" / "tiny_dog_2.jpg"
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\xc0") + 5  # height and width in the header of a baseline JPEG
    data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    return path


def other_size(root):
    path = root / "annotations" / "trimaps" / "tiny_dog_2.png"
    Image.new("L", (7, 9), 1).save(path)
    return path


def text_for_an_image(root):
    path = root / "images" / "tiny_dog_2.jpg"
    path.write_text("<html>404</html>")
    return path


@pytest.mark.parametrize(
    "damage",
    [
        missing_image,
        missing_list,
        list_in_another_encoding,
        too_many_pixels,
        other_size,
        text_for_an_image,
    ],
)
def test_a_faulty_source_is_named_and_gives_no_lists(tmp_path, damage):
    path = damage(pets(tmp_path / "there"))
    with pytest.raises(UserError) as error:
        run("--data_dir", tmp_path / "here", "--from_dir", tmp_path / "there")
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert not list((tmp_path / "here").rglob("*.txt"))


@pytest.mark.parametrize("flags", [(), ("--max_side", 24)])
@pytest.mark.parametrize(
    "there",
    ["images/Tiny_cat_1.jpg", "annotations/trimaps/Tiny_cat_1.png", "annotations/test.txt"],
)
def test_a_data_set_of_a_person_is_not_replaced(tmp_path, there, flags):
    """Such as corrected masks and lists of one's own, whatever else is there."""
    source, target = pets(tmp_path / "there"), tmp_path / "here"
    argv = "--data_dir", target, "--from_dir", source, *flags
    for is_copied in (False, True):
        path = target / there
        path.parent.mkdir(parents=True, exist_ok=True)
        if there.endswith("txt"):
            path.write_text("Tiny_cat_1 1 1 1\n")
        else:
            Image.new("L", (9, 7), 1).save(path)
        before = path.read_bytes()
        with pytest.raises(UserError, match=r"other content|another size"):
            run(*argv)
        assert path.read_bytes() == before
        path.unlink()
        if not is_copied:
            run(*argv)


def test_a_whole_data_set_is_not_made_smaller_in_its_place(tmp_path):
    source, target = pets(tmp_path / "there"), tmp_path / "here"
    run("--data_dir", target, "--from_dir", source)
    before = files(target)
    with pytest.raises(UserError, match="in another size than --max_side 24 makes"):
        run("--data_dir", target, "--from_dir", source, "--max_side", 24)
    assert files(target) == before
    with pytest.raises(UserError, match="lies inside what is copied"):
        run("--data_dir", source / "small", "--from_dir", source, "--max_side", 24)


@pytest.mark.parametrize("words", [["--dataset", "shapes"], ["--dataset", "pets"]])
def test_ones_own_folder_gets_no_other_data_set(tmp_path, words):
    mine, source = tmp_path / "mine", pets(tmp_path / "there")
    mine.mkdir()
    (mine / "classes.txt").write_text("background\nblob\n")
    flags = [] if "shapes" in words else ["--from_dir", source]
    with pytest.raises(UserError, match="a data set of your own is here"):
        run(*words, "--data_dir", mine, *flags)
    assert [path.name for path in mine.iterdir()] == ["classes.txt"]


def test_shapes_are_not_drawn_over_a_photograph(tmp_path):
    words = ["--dataset", "shapes", "--count_trainval", 4, "--count_test", 4, "--size", 48]
    run(*words, "--data_dir", tmp_path)
    path = sorted((tmp_path / "images").iterdir())[0]
    Image.new("RGB", (48, 40)).save(path)
    before = files(tmp_path)
    with pytest.raises(UserError, match="another picture is here"):
        run(*words, "--data_dir", tmp_path)
    assert files(tmp_path) == before
    path.unlink()
    run(*words, "--data_dir", tmp_path)


def test_same_folder(tmp_path):
    source = pets(tmp_path / "data")
    before = files(source)
    run("--data_dir", source, "--from_dir", source)
    with pytest.raises(UserError, match="one place"):
        run("--data_dir", source, "--from_dir", source, "--max_side", 24)
    missing_image(source)
    with pytest.raises(UserError, match="not whole"):
        run("--data_dir", source, "--from_dir", source)
    assert set(before) - set(files(source)) == {"images/tiny_dog_2.jpg"}


def test_from_dir_inside_data_dir(tmp_path):
    source = pets(tmp_path / "data" / "oxford-iiit-pet")
    run("--data_dir", tmp_path / "data", "--from_dir", tmp_path / "data")
    assert files(source) == {
        p: c for p, c in files(tmp_path / "data").items() if not p.startswith("oxford")
    }


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match="no voc data set"):
        run(
            "--dataset",
            "voc",
            "--data_dir",
            tmp_path / "here",
            "--from_dir",
            pets(tmp_path / "there"),
        )
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("written", ["images/tiny_dog_1.jpg", "annotations/trainval.txt"])
def test_a_target_that_cannot_be_written_is_named(tmp_path, written):
    source, blocked = pets(tmp_path / "there"), tmp_path / "here" / written
    (blocked / "folder in the way").mkdir(parents=True)
    with pytest.raises(UserError, match="cannot be written") as error:
        run("--data_dir", tmp_path / "here", "--from_dir", source)
    assert str(tmp_path / "here") in str(error.value)
    shutil.rmtree(blocked)
    run("--data_dir", tmp_path / "here", "--from_dir", source)
    assert files(tmp_path / "here") == files(source)


def test_shapes_and_pets_do_not_mix(online, tmp_path, capsys):
    shapes = tmp_path / "shapes"
    argv = (
        "--dataset",
        "shapes",
        "--data_dir",
        shapes,
        "--count_trainval",
        4,
        "--count_test",
        4,
        "--size",
        48,
    )
    run(*argv)
    assert "4 trainval, 4 test" in capsys.readouterr().out
    before = files(shapes)
    with pytest.raises(UserError, match="drawn shapes"):
        run("--data_dir", shapes)
    with pytest.raises(UserError, match="do not go with"):
        run(*argv, "--max_side", 30)
    assert files(shapes) == before
    run("--data_dir", tmp_path / "copy", "--from_dir", shapes)
    assert files(tmp_path / "copy") == before


@pytest.mark.parametrize(
    "argv", [["--size", "8"], ["--count_test", "0"], ["--max_side", "two"], ["--dataset", "coco"]]
)
def test_arguments_out_of_range_end_at_the_parser(argv, capsys):
    with pytest.raises(SystemExit):
        parse_args(argv)
    assert argv[0] in capsys.readouterr().err
