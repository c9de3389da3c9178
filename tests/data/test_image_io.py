"""Images that lie, are odd or damaged, and the cache of resized arrays."""

import io
import os
import struct
import subprocess
import tempfile
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from weakseg.common import UserError
from weakseg.data import cache as cache_module
from weakseg.data import image_io
from weakseg.data.cache import ResizedCache, cached_classes, file_size
from weakseg.data.image_io import (
    image_size,
    opened_mask,
    read_image,
    read_instances,
    read_mask,
    to_square,
)
from weakseg.data.mask_values import MaskValues, read_class_numbers


def photograph(width=30, height=20, seed=0):
    """A smooth colour picture, so that lossy formats keep it nearly as it is."""
    x, y = np.meshgrid(np.linspace(0, 200, width), np.linspace(0, 200, height))
    return Image.fromarray(np.stack([x, y, np.full_like(x, 40 + seed)], -1).astype(np.uint8))


def store(path, image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    path.write_bytes(buffer.getvalue())
    return path


def exif(orientation):
    block = Image.Exif()
    block[0x0112] = orientation
    return block


WRITES = {
    "PNG": "RGB RGBA P L LA 1",
    "GIF": "RGB RGBA P L LA 1",
    "BMP": "RGB RGBA P L 1",
    "TIFF": "RGB RGBA P L LA 1 CMYK YCbCr",
    "WEBP": "RGB RGBA P L",
    "JPEG": "RGB L CMYK YCbCr",
}


@pytest.mark.parametrize(
    ("kind", "mode"), [(kind, mode) for kind, modes in WRITES.items() for mode in modes.split()]
)
def test_any_format_and_mode_inside_jpg_is_read_as_rgb(tmp_path, kind, mode):
    picture = photograph().convert(mode)
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}.get(kind, {})
    path = store(tmp_path / "image.jpg", picture, kind, **options)
    image = read_image(path)
    assert (image.mode, image.size) == ("RGB", (30, 20))
    assert image_size(path) == (30, 20)
    expected = picture.convert("RGB")
    assert np.abs(np.asarray(image, int) - np.asarray(expected, int)).mean() < (
        12 if mode in ("1", "P") else 4
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_rotated_pictures_come_upright_with_their_size(tmp_path, orientation, kind):
    # The stored pixels are what the camera saw: turning the upright picture back gives them.
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # PIL's transposes, by number
    upright = photograph()
    stored = upright.transpose(Image.Transpose(back[orientation])) if orientation > 1 else upright
    block = exif(orientation)
    block[0x010F], block[0x011A] = "a maker", 72.0
    path = store(tmp_path / "image.jpg", stored, kind, exif=block, quality=95)
    assert image_size(path) == upright.size
    image = read_image(path)
    assert image.size == upright.size
    assert np.abs(np.asarray(image, int) - np.asarray(upright, int)).mean() < 4
    # A JPEG is no mask, WEBP has no grey pictures, and Pillow maps plain grey TIFFs wrongly.
    if kind != "PNG":
        return
    mask = store(tmp_path / "mask.png", stored.getchannel(0), kind, exif=block, quality=95)
    shown = read_mask(mask)
    assert shown.shape == upright.size[::-1]
    assert np.abs(shown.astype(int) - np.asarray(upright.getchannel(0), int)).mean() < 4


def test_an_exif_block_behind_the_pixels_counts_for_neither_size_nor_pixels(tmp_path):
    whole = store(tmp_path / "image.png", photograph(), "PNG", exif=exif(6)).read_bytes()
    start = whole.index(b"eXIf") - 4
    end = start + 12 + struct.unpack(">I", whole[start : start + 4])[0]
    last = whole.index(b"IEND") - 4
    late = whole[:start] + whole[end:last] + whole[start:end] + whole[last:]
    (tmp_path / "image.png").write_bytes(late)
    assert read_image(tmp_path / "image.png").size == image_size(tmp_path / "image.png") == (30, 20)


def test_sizes_are_read_from_the_header_alone(tmp_path, monkeypatch):
    paths = [
        store(tmp_path / f"{kind}.jpg", photograph(), kind, exif=exif(6))
        for kind in ("PNG", "JPEG")
    ]
    paths.append(store(tmp_path / "plain.png", photograph(), "PNG"))
    monkeypatch.setattr(
        "PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("the pixels were read")
    )
    assert [image_size(path) for path in paths] == [(20, 30), (20, 30), (30, 20)]


def test_a_broken_exif_block_leaves_the_picture_as_it_is(tmp_path):
    path = store(tmp_path / "image.jpg", photograph(), "WEBP", exif=exif(6))
    path.write_bytes(path.read_bytes().replace(b"MM\x00*", b"MM\xa6*"))
    assert read_image(path).size == image_size(path) == (30, 20)


@pytest.mark.parametrize("size", [(1, 1), (50, 1), (1, 50)])
def test_pictures_one_pixel_high_or_wide_are_resized(tmp_path, size):
    path = store(tmp_path / "image.jpg", photograph(*size), "PNG")
    mask = store(tmp_path / "mask.png", Image.new("L", size, 3), "PNG")
    cache = ResizedCache(tmp_path / "cache", 8)
    assert cache.image(path).shape == (3, 8, 8)
    assert (cache.mask(mask) == 3).all()


def lying_png(width, height):
    """A PNG that promises width x height pixels and holds a hundred."""
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0),
        b"IDAT": zlib.compress(bytes(100)),
    }
    parts = [
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d))
        for k, d in chunks.items()
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a readable image"),
        (b"hello", "not a readable image"),
        (lying_png(10_000, 10_000), "over the limit of 64 megapixels \\(10000x10000"),
        (lying_png(60_000, 60_000), "over the limit of 64 megapixels"),
        (lying_png(30, 20), "not a readable image"),
    ],
    ids=["empty", "text", "100 megapixels", "3600 megapixels", "header only"],
)
@pytest.mark.parametrize("read", [read_image, read_mask])
def test_unreadable_files_are_refused_by_name(tmp_path, content, reason, read):
    path = tmp_path / "image.jpg"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"image.jpg: {reason}"):
        read(path)


POSTSCRIPT = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 10 10
(/tmp/weakseg-was-here) (w) file closefile
showpage
"""
PROGRAMS = {
    "PostScript": POSTSCRIPT,
    "DOS PostScript": b"\xc5\xd0\xd3\xc6" + struct.pack("<II", 30, len(POSTSCRIPT)) + bytes(18),
    "PDF": b"%PDF-1.4\n1 0 obj<</Type/Catalog/OpenAction<</S/JavaScript>>>>endobj",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)' width='9' height='9'/>",
    "WMF": b"\xd7\xcd\xc6\x9a" + bytes(60),
    "XPM": b'/* XPM */ static char *a[] = {"1 1 1 1", "a c #000000", "a"};',
    "PSD": b"8BPS\x00\x01" + bytes(60),
}


@pytest.mark.parametrize("kind", PROGRAMS)
@pytest.mark.parametrize("read", [read_image, read_mask, image_size])
def test_what_no_camera_writes_is_refused_without_another_program(
    tmp_path, monkeypatch, kind, read
):
    path = tmp_path / "image.jpg"
    path.write_bytes(PROGRAMS[kind])
    for module, name in ((subprocess, "Popen"), (os, "system"), (os, "execv")):
        monkeypatch.setattr(module, name, lambda *a, **k: pytest.fail("a program was started"))
    with pytest.raises(
        UserError, match=r"image\.jpg: not a readable image, or none of the formats"
    ):
        read(path)


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "image.jpg")
    with pytest.raises(UserError, match=r"image\.jpg: not a readable image \(it is no file\)"):
        read_image(tmp_path / "image.jpg")


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.jpg: no such file; run python download_data"):
        read_image(tmp_path / "nowhere.jpg")
    for read in (read_image, read_mask, image_size):
        with pytest.raises(UserError, match=f"{tmp_path.name}: not a readable image"):
            read(tmp_path)
    with pytest.raises(UserError, match=r"nowhere\.jpg: cannot be read"):
        ResizedCache(tmp_path, 8).image(tmp_path / "nowhere.jpg")


def test_damage_is_refused_in_one_line_without_warnings(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "image.jpg"
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"):
        whole = store(
            path, photograph(), kind, **({"exif": exif(6)} if kind != "BMP" else {})
        ).read_bytes()
        for _ in range(40):
            damaged = bytearray(whole[: rng.integers(len(whole))] if rng.random() < 0.3 else whole)
            for place in rng.integers(0, max(1, min(len(damaged), 200)), rng.integers(1, 6)):
                damaged[place : place + 1] = bytes([rng.integers(256)])
            path.write_bytes(damaged)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                for read in (read_image, read_mask, image_size):
                    try:
                        read(path)
                    except UserError as error:
                        assert str(path) in str(error)
                        assert "\n" not in str(error)


def test_masks_keep_their_numbers(tmp_path):
    numbers = np.arange(256, dtype=np.uint8).reshape(8, 32)
    grey = store(tmp_path / "grey.png", Image.fromarray(numbers), "PNG")
    palette = Image.fromarray(numbers).convert("P")
    palette.putdata(numbers.ravel().tolist())
    palette.putpalette([v for i in range(256) for v in (255 - i, i // 2, 7)])
    coloured = store(tmp_path / "palette.png", palette, "PNG")
    deep = store(tmp_path / "deep.png", Image.fromarray(numbers.astype(np.uint16)), "PNG")
    for path in (grey, coloured, deep):
        assert np.array_equal(read_mask(path), numbers)
        assert read_mask(path).dtype == np.uint8
    binary = store(tmp_path / "binary.png", Image.fromarray(numbers > 128), "PNG")
    assert np.array_equal(read_mask(binary), numbers > 128)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("colours", [0, 2, 6])  # grey; red, green and blue; these and opacity
def test_masks_of_few_bits_and_of_equal_channels_keep_their_numbers(bits, colours, tmp_path):
    numbers = np.random.default_rng(bits).integers(0, min(2**bits, 200), (5, 7))
    channels = {0: 1, 2: 3, 6: 4}[colours]
    values = np.repeat(numbers[..., None], channels, 2).reshape(5, -1)
    if colours == 6:
        values[:, 3::4] = 2**bits - 1
    depth = bits if colours == 0 else max(bits, 8)
    if colours == 6 and bits < 8:
        values[:, 3::4] = 255
    rows = [np.unpackbits(row.astype(">u2").view(np.uint8)).reshape(-1, 16) for row in values]
    lines = [b"\0" + np.packbits(row[:, 16 - depth :]).tobytes() for row in rows]
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", 7, 5, depth, colours, 0, 0, 0),
        b"IDAT": zlib.compress(b"".join(lines)),
        b"IEND": b"",
    }
    path = tmp_path / "m.png"
    chunks = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts.items()
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    if colours and bits == 16:  # of which Pillow would drop the half that holds the numbers
        with pytest.raises(UserError, match="8-bit grey or palette image"):
            read_mask(path)
        return
    assert np.array_equal(read_mask(path), numbers)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "CMYK", "F", "I;16"])
def test_pictures_that_are_no_masks_are_refused(tmp_path, mode):
    if mode == "I;16":
        picture = Image.fromarray(np.full((4, 4), 300, np.uint16))
    else:
        picture = photograph().convert("L" if mode == "F" else mode).convert(mode)
    path = store(tmp_path / "mask.png", picture, "TIFF" if mode in ("F", "CMYK") else "PNG")
    with pytest.raises(
        UserError, match=r"mask\.png: a mask must be an 8-bit grey or palette image"
    ):
        read_mask(path)


def test_the_cache_resizes_like_pil_and_keeps_the_result(tmp_path, monkeypatch):
    path = store(tmp_path / "image.png", photograph(), "PNG")
    mask = store(
        tmp_path / "mask.png", Image.fromarray(np.arange(15, dtype=np.uint8).reshape(3, 5)), "PNG"
    )
    cache = ResizedCache(tmp_path / "cache", 16)
    first = cache.image(path), cache.mask(mask)
    smooth = np.asarray(photograph().resize((16, 16), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert np.array_equal(first[0], smooth)
    rows, columns = (
        ((np.arange(16) + 0.5) * 3 / 16).astype(int),
        ((np.arange(16) + 0.5) * 5 / 16).astype(int),
    )
    assert np.array_equal(first[1], np.arange(15).reshape(3, 5)[np.ix_(rows, columns)])
    monkeypatch.setattr(image_io, "opened", lambda path: pytest.fail("the source was read again"))
    again = ResizedCache(tmp_path / "cache", 16)
    assert np.array_equal(again.image(path), first[0])
    assert np.array_equal(again.mask(mask), first[1])


def test_the_cache_sees_a_changed_source_and_keeps_sizes_apart(tmp_path):
    path = store(tmp_path / "image.png", photograph(), "PNG")
    cache = ResizedCache(tmp_path / "cache", 8)
    before = cache.image(path)
    assert ResizedCache(tmp_path / "cache", 4).image(path).shape == (3, 4, 4)
    store(path, photograph(seed=100), "PNG")
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
    assert cache.image(path)[2].mean() == before[2].mean() + 100


@pytest.mark.parametrize(
    "damage", [b"", b"PK\x03\x04", b"\x80\x04]q\x00.", "cut", "other shape", "other type"]
)
def test_a_damaged_cache_file_is_made_anew(tmp_path, damage):
    path = store(tmp_path / "image.png", photograph(), "PNG")
    cache = ResizedCache(tmp_path / "cache", 8)
    good = cache.image(path)
    (stored,) = (tmp_path / "cache" / "8").iterdir()
    if damage == "cut":
        stored.write_bytes(stored.read_bytes()[:-20])
    elif damage in ("other shape", "other type"):
        np.save(
            stored,
            np.zeros((3, 9, 9), np.uint8) if damage == "other shape" else good.astype(np.float32),
        )
    else:
        stored.write_bytes(damage)
    assert np.array_equal(cache.image(path), good)
    assert np.array_equal(np.load(stored), good)


def test_concurrent_writers_agree_and_leave_no_litter(tmp_path):
    paths = [store(tmp_path / f"{i}.png", photograph(seed=i), "PNG") for i in range(4)]
    cache = ResizedCache(tmp_path / "cache", 32)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(cache.image, paths * 8))
    for i, array in enumerate(found):
        assert np.array_equal(array, found[i % 4])
    assert len(list((tmp_path / "cache" / "32").iterdir())) == 4


@settings(max_examples=20)
@given(limit=st.integers(0, 5000), processes=st.integers(1, 4))
def test_a_limited_cache_stays_below_its_limit_and_serves_every_image(limit, processes):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        paths = [store(folder / f"{i}.png", photograph(seed=i), "PNG") for i in range(12)]
        caches = [ResizedCache(folder / "cache", 8, limit / 1e9) for _ in range(processes)]
        for _ in range(2):
            for i, path in enumerate(paths):
                array = caches[i % processes].image(path)
                assert np.array_equal(array, to_square(photograph(seed=i), 8))
        held = [path.stat().st_size for path in (folder / "cache").rglob("*.npy")]
        assert sum(held) <= limit and len(held) == min(12, limit // (192 + 128))


def test_a_limit_counts_what_is_there_and_leaves_it(tmp_path, capsys):
    paths = [store(tmp_path / f"{i}.png", photograph(seed=i), "PNG") for i in range(3)]
    first = ResizedCache(tmp_path / "cache", 16).image(paths[0])
    small = ResizedCache(tmp_path / "cache", 8, 0.0)
    assert np.array_equal(small.image(paths[1]), to_square(photograph(seed=1), 8))
    small.image(paths[2])
    assert capsys.readouterr().err.count("--cache_limit") == 1
    assert [
        np.array_equal(np.load(path), first) for path in (tmp_path / "cache").rglob("*.npy")
    ] == [True]


def test_what_vanishes_while_the_cache_is_counted_takes_no_room(tmp_path):
    (tmp_path / "file").write_bytes(b"1234")
    assert [file_size(tmp_path / name) for name in ("file", "gone", "")] == [4, 0, 0]


def test_a_cache_that_cannot_be_written_names_the_flag(tmp_path):
    (tmp_path / "file").write_text("in the way")
    path = store(tmp_path / "image.png", photograph(), "PNG")
    with pytest.raises(UserError, match="--cache_dir"):
        ResizedCache(tmp_path / "file", 8).image(path)


def test_classes_of_masks_are_remembered_until_a_mask_changes(tmp_path, monkeypatch):
    def mask(name, *numbers):
        return store(tmp_path / name, Image.fromarray(np.array([numbers], np.uint8)), "PNG")

    paths = {"a": mask("a.png", 0, 3, 255), "b": mask("b.png", 7, 7)}
    cache = tmp_path / "cache"
    assert cached_classes(paths, cache) == {"a": [0, 3, 255], "b": [7]}
    real, read = cache_module.read_class_numbers, []
    monkeypatch.setattr(
        cache_module,
        "read_class_numbers",
        lambda path, values: read.append(path.name) or real(path, values),
    )
    assert cached_classes(paths, cache) == {"a": [0, 3, 255], "b": [7]}
    assert read == []
    mask("b.png", 1, 2, 3)
    os.utime(paths["b"], ns=(1, paths["b"].stat().st_mtime_ns + 1))
    assert cached_classes(paths, cache)["b"] == [1, 2, 3]
    assert read == ["b.png"]
    for damage in ("{", "[1]", "null", ""):
        next(cache.iterdir()).write_text(damage)
        assert cached_classes(paths, cache) == {"a": [0, 3, 255], "b": [1, 2, 3]}


# ---- masks


@pytest.mark.parametrize("name", ["mask.png", "mask.jpg"])
def test_a_mask_that_is_a_jpeg_is_refused_whatever_its_name_says(tmp_path, name):
    values = np.random.default_rng(0).integers(0, 3, (16, 16)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / name, "JPEG")
    with pytest.raises(UserError, match=f"{name}: is a JPEG, .* write masks as PNG"):
        read_mask(tmp_path / name)
    for meaning in ("1=blob", "#ff0000=blob"):
        with pytest.raises(UserError, match="is a JPEG"):
            read_class_numbers(tmp_path / name, MaskValues.of_flags([meaning], None, ["blob"]))


def test_transparent_pixels_of_a_mask_are_nobodys(tmp_path):
    colours = np.zeros((8, 8, 4), np.uint8)
    colours[..., 0], colours[:, :4, 3] = 255, 255
    Image.fromarray(colours).save(tmp_path / "mask.png")
    with pytest.raises(UserError, match="some of its pixels are transparent"):
        read_class_numbers(
            tmp_path / "mask.png", MaskValues.of_flags(["#ff0000=blob"], None, ["blob"])
        )
    colours[..., 3] = 255
    Image.fromarray(colours).save(tmp_path / "mask.png")
    values = MaskValues.of_flags(["#ff0000=blob"], None, ["blob"])
    assert len({*read_class_numbers(tmp_path / "mask.png", values).flat}) == 1


@pytest.mark.parametrize("mode", ["1", "L", "I;16"])
def test_numbers_of_objects_may_have_few_bits(mode, tmp_path):
    numbers = np.eye(5, dtype=np.uint16)
    Image.fromarray(numbers.astype({"1": bool, "L": np.uint8}.get(mode, np.uint16))).save(
        tmp_path / "a.png"
    )
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == mode
    read = read_instances(tmp_path / "a.png")
    assert read.dtype == np.uint16 and (read == numbers).all()


@pytest.mark.parametrize(
    ("kind", "options", "is_exact"),
    [
        ("WEBP", {}, False),
        ("WEBP", {"lossless": True}, True),
        ("WEBP", {"lossless": True, "exif": b"Exif\0\0II*\0\x08" + bytes(5)}, True),
        ("JPEG2000", {"irreversible": True}, False),
        ("JPEG2000", {}, True),
        ("TIFF", {"compression": "jpeg"}, False),
        ("TIFF", {"compression": "tiff_lzw"}, True),
    ],
)
def test_a_mask_is_of_a_format_that_keeps_its_numbers(tmp_path, kind, options, is_exact):
    mask = np.zeros((40, 40, 3), np.uint8)
    mask[9:30, 5:20] = 9
    Image.fromarray(mask).save(tmp_path / "m.png", kind, **options)
    if is_exact:
        with opened_mask(tmp_path / "m.png") as image:
            assert (np.asarray(image) == mask).all()
    else:
        with pytest.raises(UserError, match=f"is a {kind}, .* write masks as PNG"):
            read_mask(tmp_path / "m.png")
