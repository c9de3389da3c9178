"""Fetch Oxford-IIIT Pet or PASCAL VOC 2012, take over a copy from elsewhere, or draw the built-in `shapes` set.

    python download_data.py                                            # Oxford-IIIT Pet into ./data
    python download_data.py --dataset voc --data_dir ./data
    python download_data.py --from_dir /mnt/oxford-iiit-pet --max_side 256
    python download_data.py --dataset shapes --count_trainval 240 --count_test 60 --size 160

Running it again is safe: what is there and whole is kept, what is missing is added.
"""

import argparse
import contextlib
import errno
import http.client
import shutil
import socket
import urllib.error
from collections import namedtuple
from pathlib import Path

import joblib
from PIL import Image, ImageOps
from tqdm import tqdm

from common import UserError, atomic_path, run_cli
from shapes import draw_shapes, is_drawn

# Where the files of a data set are. home: below --data_dir; nests: where else a copy may lie below --from_dir;
# lists: files whose lines start with an image's name; more_lists, extras: copied where they exist;
# archives: (URL, MD5), as in torchvision.datasets.OxfordIIITPet and VOCSegmentation; following: what to run next.
Layout = namedtuple("Layout", "home nests image mask lists more_lists extras archives following")
PETS = "https://www.robots.ox.ac.uk/~vgg/data/pets/data/"
VOC = "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/"
LAYOUTS = {
    "pets": Layout(
        "", ("oxford-iiit-pet", "pets"), "images/{}.jpg", "annotations/trimaps/{}.png",
        ("annotations/trainval.txt", "annotations/test.txt", "annotations/list.txt"), (), (),
        ((PETS + "images.tar.gz", "5c4f3ee8e5d25df40f4fd59a7f44e54c"),
         (PETS + "annotations.tar.gz", "95a8c909bbe2e81eed6a22bccdf3f68f")),
        "python weak_label_generator.py --data_dir {} --output_file ./weak_labels/weak_labels_train.pkl"),
    "voc": Layout(
        "VOCdevkit/VOC2012", ("VOCdevkit/VOC2012", "VOC2012"), "JPEGImages/{}.jpg", "SegmentationClass/{}.png",
        ("ImageSets/Segmentation/train.txt", "ImageSets/Segmentation/val.txt"),
        ("ImageSets/Segmentation/trainval.txt", "ImageSets/Segmentation/train_aug.txt"), ("human_points.json",),
        ((VOC + "VOCtrainval_11-May-2012.tar", "6cd6e144f989b92b3379bac3b3de84fd"),),
        "python weak_label_generator.py --dataset voc --data_dir {} --output_file ./weak_labels/weak_labels_train.pkl"),
}
NETWORK_TIMEOUT = 60  # seconds without a byte until a download counts as failed
ORIENTATION = 274  # the EXIF tag


def read_names(root, layout):
    """Return the sorted image names in the lists below `root`; a missing or empty required list is a UserError."""
    names = set()
    for relative in layout.lists + layout.more_lists:
        path = root / relative
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            found = {line.split()[0] for line in lines if line.strip() and not line.startswith("#")}
        elif relative in layout.more_lists:
            continue
        else:
            raise UserError(f"{path}: this list is missing; the data set is not whole without it")
        if not found:
            raise UserError(f"{path}: this list names no image")
        names |= found
    return sorted(names)


def fault(root, layout, name):
    """Return what is wrong with image and mask `name` as one line, or None. Both are decoded to their last byte."""
    sizes = []
    for path in (root / layout.image.format(name), root / layout.mask.format(name)):
        try:
            with Image.open(path) as picture:
                picture.load()
                sizes.append(picture.size)
        except FileNotFoundError:
            return f"{path}: missing"
        except (OSError, SyntaxError) as error:  # PIL raises SyntaxError for a broken PNG
            return f"{path}: not a readable image ({error})"
    if sizes[1] not in (sizes[0], sizes[0][::-1]):  # the mask of a photograph with an EXIF turn may lie upright
        return f"{path}: the mask is {sizes[1][0]}x{sizes[1][1]}, its image {sizes[0][0]}x{sizes[0][1]}"
    return None


def faults(root, layout, names):
    """Return the `fault` of every name that has one."""
    return [found for found in _in_parallel(fault, "verifying", [(root, layout, name) for name in names]) if found]


def _in_parallel(function, title, calls):
    # Threads: Pillow releases the interpreter lock while it decodes, resizes and encodes.
    results = joblib.Parallel(n_jobs=-1, prefer="threads", return_as="generator")(
        joblib.delayed(function)(*call) for call in calls)
    return list(tqdm(results, title, total=len(calls), unit="image", leave=False))


def has_lists(root, layout):
    return all((root / relative).is_file() for relative in layout.lists)


def find(folder, layout, dataset):
    """Return where in `folder` the data set lies: there or in one of the usual sub-folders."""
    places = [folder, *(folder / nest for nest in layout.nests)]
    for known in (has_lists, lambda root, layout: (root / layout.image).parent.is_dir()):
        for place in places:
            if known(place, layout):
                return place
    raise UserError(f"{folder}: no {dataset} data set here (looked for {layout.lists[0]} in "
                    f"{', '.join(map(str, places))}); check --from_dir and --dataset")


@contextlib.contextmanager
def writing(path):
    """Turn a full disk or a forbidden folder into one line that names `path`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename or path}: cannot be written ({error.strerror or error}); what is whole is "
                        "kept: run the same command again") from error


# Copying ----------------------------------------------------------------------------------------------------------


def adopt(source, target, layout, max_side):
    """Copy what the lists below `source` name to `target`, shrunk to `max_side` pixels (0: byte by byte); lists last."""
    names = read_names(source, layout)
    _in_parallel(copy_pair, "copying", [(source, target, layout, name, max_side) for name in names])
    for relative in (*layout.extras, *layout.more_lists, *layout.lists):
        if (source / relative).is_file():
            copy_file(source / relative, target / relative)


def copy_pair(source, target, layout, name, max_side):
    """Copy one image and its mask, unless the target already holds what would be written."""
    wrong = fault(source, layout, name)
    if wrong:
        raise UserError(f"{wrong}; mend --from_dir or take the name out of its lists")
    image, mask = layout.image.format(name), layout.mask.format(name)
    with Image.open(source / image) as picture, Image.open(source / mask) as labels:
        turned = ImageOps.exif_transpose(picture) if picture.getexif().get(ORIENTATION, 1) != 1 else picture
        if not max_side or (turned is picture and max(picture.size) <= max_side):
            copy_file(source / image, target / image)
            copy_file(source / mask, target / mask)
            return
        size = shrunk(turned.size, max_side)
        if fault(target, layout, name) is None and _size(target / image) == size:
            return
        # A mask drawn in the frame of the raw pixels turns with them; one that lies upright already stays.
        labels = _turned_like(labels, picture) if labels.size == picture.size else labels
        _save(labels.resize(size, Image.Resampling.NEAREST), target / mask)
        _save(turned.convert("RGB").resize(size, Image.Resampling.LANCZOS), target / image, quality=95, format="JPEG")


def shrunk(size, max_side):
    """Return (width, height) with the longer side at most `max_side` pixels and the same aspect; never enlarged."""
    scale = min(1.0, max_side / max(size))
    return tuple(max(1, round(side * scale)) for side in size)


def _turned_like(labels, picture):
    labels = labels.copy()
    labels.getexif()[ORIENTATION] = picture.getexif().get(ORIENTATION, 1)
    return ImageOps.exif_transpose(labels)


def _size(path):
    with Image.open(path) as picture:
        return picture.size


def _save(picture, path, **options):
    with writing(path), atomic_path(path) as temporary:
        picture.save(temporary, **options)


def copy_file(source, target):
    """Copy bytes as they are; a target with the same bytes stays untouched."""
    content = source.read_bytes()
    if target.is_file() and target.stat().st_size == len(content) and target.read_bytes() == content:
        return
    with writing(target), atomic_path(target) as temporary:
        temporary.write_bytes(content)
