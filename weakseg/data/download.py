"""Data sets from elsewhere: downloaded, taken over from a copy, or drawn."""

import contextlib
import errno
import http.client
import shutil
import socket
from collections import namedtuple
from pathlib import Path

import joblib
from PIL import Image
from tqdm import tqdm

from weakseg.common import UserError, atomic_path
from weakseg.data.base import read_list
from weakseg.data.image_io import DAMAGE, orientation, turn_upright, upright_size
from weakseg.data.synthetic import draw_shapes, is_drawn

# Where the files of a data set are. home: below --data_dir; nests: where else a copy may lie below
# --from_dir; lists: files whose lines start with an image's name; more_lists, extras: copied where
# they exist; archives: (URL, MD5), as in torchvision.datasets.OxfordIIITPet and VOCSegmentation;
# following: what to run next.
Layout = namedtuple("Layout", "home nests image mask lists more_lists extras archives following")
PETS = "https://www.robots.ox.ac.uk/~vgg/data/pets/data/"
VOC = "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/"
LAYOUTS = {
    "pets": Layout(
        "",
        ("oxford-iiit-pet", "pets"),
        "images/{}.jpg",
        "annotations/trimaps/{}.png",
        ("annotations/trainval.txt", "annotations/test.txt", "annotations/list.txt"),
        (),
        (),
        (
            (PETS + "images.tar.gz", "5c4f3ee8e5d25df40f4fd59a7f44e54c"),
            (PETS + "annotations.tar.gz", "95a8c909bbe2e81eed6a22bccdf3f68f"),
        ),
        "python weak_label_generator.py --data_dir {} --output_file ./weak_labels/weak_labels_train.pkl",
    ),
    "voc": Layout(
        "VOCdevkit/VOC2012",
        ("VOCdevkit/VOC2012", "VOC2012"),
        "JPEGImages/{}.jpg",
        "SegmentationClass/{}.png",
        ("ImageSets/Segmentation/train.txt", "ImageSets/Segmentation/val.txt"),
        ("ImageSets/Segmentation/trainval.txt", "ImageSets/Segmentation/train_aug.txt"),
        ("human_points.json",),
        ((VOC + "VOCtrainval_11-May-2012.tar", "6cd6e144f989b92b3379bac3b3de84fd"),),
        "python weak_label_generator.py --dataset voc --data_dir {} --output_file ./weak_labels/weak_labels_train.pkl",
    ),
}
NETWORK_TIMEOUT = 60  # seconds without a byte until a download counts as failed
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)


def names_in(path):
    """Return the image names of one list; a missing or empty one is a UserError."""
    if not path.is_file():
        raise UserError(f"{path}: this list is missing; the data set is not whole without it")
    return [line.split()[0] for line in read_list(path)]


def read_names(root, layout):
    """Return the sorted names in all lists below `root`."""
    present = [relative for relative in layout.more_lists if (root / relative).is_file()]
    return sorted(
        {name for relative in (*layout.lists, *present) for name in names_in(root / relative)}
    )


def fault(root, layout, name):
    """Return what is wrong with image and mask `name` as one line, or None. Both are decoded to
    their last byte.
    """
    frames = []
    for path in (root / layout.image.format(name), root / layout.mask.format(name)):
        try:
            with Image.open(path) as picture:
                picture.load()
                frames.append({picture.size, upright_size(picture)})
        except FileNotFoundError:
            return f"{path}: missing"
        except (*DAMAGE, Image.DecompressionBombError) as error:
            return f"{path}: not a readable image ({error})"
    return (
        None
        if frames[0] & frames[1]
        else f"{path}: another size than its image ({frames[1]}, not {frames[0]})"
    )


def faults(root, layout, names):
    """Return the `fault` of every name that has one."""
    return [
        found
        for found in _in_parallel(fault, "verifying", [(root, layout, name) for name in names])
        if found
    ]


def _in_parallel(function, title, calls):
    # Threads: Pillow releases the interpreter lock while it decodes, resizes and encodes.
    results = joblib.Parallel(n_jobs=-1, prefer="threads", return_as="generator")(
        joblib.delayed(function)(*call) for call in calls
    )
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
    raise UserError(
        f"{folder}: no {dataset} data set here (looked for {layout.lists[0]} in "
        f"{', '.join(map(str, places))}); check --from_dir and --dataset"
    )


@contextlib.contextmanager
def writing(path):
    """Turn a full disk or a forbidden folder into one line that names `path`."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{error.filename or path}: cannot be written ({error.strerror or error}); what is whole is "
            "kept: run the same command again"
        ) from error


def copy_file(source, target):
    """Copy bytes as they are; a target with the same bytes stays untouched."""
    content = source.read_bytes()
    if not (
        target.is_file()
        and target.stat().st_size == len(content)
        and target.read_bytes() == content
    ):
        with writing(target), atomic_path(target) as temporary:
            temporary.write_bytes(content)


def move_file(source, target):
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)


def adopt(source, target, layout, max_side, place=copy_file):
    """Take what the lists below `source` name over to `target`, no side above `max_side` pixels
    (None: as it is).

    The lists come last, so a folder that has them is whole. An image that needs no change goes
    through `place`.
    """
    names = read_names(source, layout)
    _in_parallel(
        copy_pair, "copying", [(source, target, layout, name, max_side, place) for name in names]
    )
    for relative in (*layout.extras, *layout.more_lists, *layout.lists):
        if (source / relative).is_file():
            copy_file(source / relative, target / relative)


def copy_pair(source, target, layout, name, max_side, place):
    """Put one image and its mask below `target`, unless what would be written is there already."""
    wrong = fault(source, layout, name)
    if wrong:
        raise UserError(f"{wrong}; mend the source or take the name out of its lists")
    image, mask = layout.image.format(name), layout.mask.format(name)
    with Image.open(source / image) as picture, Image.open(source / mask) as labels:
        turn, size = orientation(picture), shrunk(upright_size(picture), max_side)
        if not max_side or (turn == 1 and size == picture.size):
            place(source / image, target / image)
            place(source / mask, target / mask)
        elif fault(target, layout, name) or _size(target / image) != size:
            # A mask drawn in the frame of the raw pixels turns with them; one that lies upright
            # already stays.
            if labels.size == picture.size:
                turn_upright(labels, turn)
            turn_upright(picture, turn)
            _save(labels.resize(size, Image.Resampling.NEAREST), target / mask)
            _save(
                picture.convert("RGB").resize(size, Image.Resampling.LANCZOS),
                target / image,
                quality=95,
            )


def shrunk(size, max_side):
    """Return (width, height) with the longer side at most `max_side` pixels and the same aspect;
    never enlarged.
    """
    scale = min(1.0, (max_side or max(size)) / max(size))
    return tuple(max(1, round(side * scale)) for side in size)


def _size(path):
    with Image.open(path) as picture:
        return picture.size


def _save(picture, path, **options):
    with writing(path), atomic_path(path) as temporary:
        picture.save(temporary, **options)


def fetch(dataset, target, data_dir, max_side):
    """Download, unpack and take over; archives that arrived whole outlive an interruption and are
    not fetched again.
    """
    from torchvision.datasets.utils import (
        extract_archive,
    )  # slow to import, and not needed for anything else

    layout, work, fresh = LAYOUTS[dataset], data_dir / f".download-{dataset}", not data_dir.exists()
    unpacked = work / "unpacked"
    try:
        archives = [download(url, md5, work) for url, md5 in layout.archives]
        shutil.rmtree(unpacked, ignore_errors=True)  # what an interrupted run unpacked
        for archive in archives:
            with writing(unpacked):
                extract_archive(str(archive), str(unpacked))
        adopt(find(unpacked, layout, dataset), target, layout, max_side, move_file)
        shutil.rmtree(work)
    finally:
        for folder in (work, data_dir) if fresh else (work,):
            with contextlib.suppress(OSError):  # not empty: it holds an archive to go on with
                folder.rmdir()


def download(url, md5, folder):
    """Return the path of the downloaded archive; a missing network or a wrong checksum is a
    UserError.
    """
    from torchvision.datasets.utils import download_url

    path, timeout = folder / url.rsplit("/", 1)[1], socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_TIMEOUT)
    try:
        download_url(url, str(folder), md5=md5)
        return path
    except (OSError, http.client.HTTPException) as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise UserError(f"{path}: cannot be written ({error.strerror})") from error
        raise UserError(
            f"cannot download {url} ({getattr(error, 'reason', error)}); without a network use "
            "--dataset shapes, or --from_dir with a copy you have"
        ) from error
    except RuntimeError as error:
        path.unlink(missing_ok=True)
        raise UserError(
            f"{url}: what arrived has not the expected MD5 {md5}; run the same command again"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)


def obtain(args):
    """Bring Pet or VOC to --data_dir; return where its lists are."""
    layout, data_dir = LAYOUTS[args.dataset], Path(args.data_dir)
    target = data_dir / layout.home
    source = find(Path(args.from_dir), layout, args.dataset) if args.from_dir else None
    if is_drawn(target) and not (source and is_drawn(source)):
        raise UserError(
            f"{target}: the drawn shapes are here; name another --data_dir or remove this one"
        )
    if source and source.resolve() != target.resolve():
        adopt(source, target, layout, args.max_side)
    elif source and args.max_side:
        raise UserError(
            f"--from_dir {source} and --data_dir {data_dir} are one place; the smaller copy needs another"
        )
    elif not whole(target, layout, args.max_side):
        if source:
            raise UserError(
                f"{source}: already in its place, but not whole; run without --from_dir to complete it"
            )
        fetch(args.dataset, target, data_dir, args.max_side)
    return target


def whole(target, layout, max_side):
    """Tell whether every image and mask of the lists is there; print what is wrong where it is
    not.
    """
    if not has_lists(target, layout):
        return False
    names = read_names(target, layout)
    found = faults(target, layout, names)
    if found:
        print(
            f"{len(found)} of {len(names)} images or masks have to be completed, the first: {found[0]}"
        )
    elif max_side and any(
        max(_size(target / layout.image.format(name))) > max_side for name in names
    ):
        raise UserError(
            f"{target}: larger images are here; write the smaller copy elsewhere: "
            f"--from_dir {target} --max_side {max_side} and another --data_dir"
        )
    return not found


def obtain_shapes(args):
    """Draw the built-in set; return where its lists are."""
    if args.from_dir or args.max_side:
        raise UserError(
            "--from_dir and --max_side do not go with --dataset shapes: it is drawn at --size pixels"
        )
    with writing(args.data_dir):
        draw_shapes(args.data_dir, args.count_trainval, args.count_test, args.size, args.seed)
    return Path(args.data_dir)
