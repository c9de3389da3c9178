"""Oxford-IIIT Pet and PASCAL VOC 2012 from the network, or from a copy that lies elsewhere."""

import contextlib
import filecmp
import http.client
import shutil
import socket
import ssl
import urllib.error
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import joblib
from PIL import Image
from tqdm import tqdm

from weakseg.common import UserError, atomic_path
from weakseg.data.image_io import MOST_PIXELS, opened, orientation, turn_upright, upright_size
from weakseg.data.layouts import LAYOUTS, Layout
from weakseg.data.synthetic import is_drawn

NETWORK_TIMEOUT = 60  # seconds without a byte until a download counts as failed
NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)


def obtain(
    dataset: str, data_dir: Path, from_dir: Path | None = None, max_side: int | None = None
) -> Path:
    """Bring a data set below `data_dir` and return the folder of its lists.

    What is there and whole is kept, what is missing or damaged is replaced. Raises `UserError`
    rather than replace anything else, or add to another data set.

    dataset: a name in `LAYOUTS`
    from_dir: a copy to take it from; None: the network
    max_side: shrink what has a longer side than this many pixels
    """
    layout = LAYOUTS[dataset]
    target = data_dir / layout.home
    source = layout.find(from_dir) if from_dir else None
    refuse_own_folder(data_dir)
    if source:
        refuse_inside(source, target)
    if is_drawn(target) and not (source and is_drawn(source)):
        raise UserError(
            f"{target}: the drawn shapes are here; name another --data_dir or remove this one"
        )
    if source is None:
        if not is_complete(layout, target, max_side):
            fetch(layout, data_dir, max_side)
    elif source.resolve() != target.resolve():
        take_over(layout, source, target, max_side, copy_file)
    elif max_side:
        raise UserError(
            f"--from_dir {source} and --data_dir {data_dir} are one place; "
            "the smaller copy needs another"
        )
    elif not is_complete(layout, target, max_side):
        raise UserError(
            f"{source}: already in its place, but not whole; run without --from_dir to complete it"
        )
    return target


def refuse_own_folder(data_dir: Path) -> None:
    """Refuse to add a data set to a folder of a person's own pictures."""
    if (data_dir / "classes.txt").exists():
        raise UserError(
            f"--data_dir {data_dir}: a data set of your own is here (classes.txt); take another"
        )


def refuse_inside(source: Path, target: Path) -> None:
    """Refuse a target inside the source, which would grow by its own copy."""
    if source.resolve() in target.resolve().parents:
        raise UserError(
            f"--data_dir {target}: lies inside what is copied, {source}; take a folder beside it"
        )


def is_complete(layout: Layout, target: Path, max_side: int | None) -> bool:
    """Tell whether every image and mask of the lists is there and whole; print the first fault."""
    if not layout.has_lists(target):
        return False
    names = layout.names(target)
    calls = [(target, name) for name in names]
    faults = [fault for fault in in_parallel(layout.find_fault, "verifying", calls) if fault]
    if faults:
        print(
            f"{len(faults)} of {len(names)} images or masks have to be completed, "
            f"the first: {faults[0]}"
        )
        return False
    if max_side and any(max(stored_size(layout.image_path(target, n))) > max_side for n in names):
        raise UserError(
            f"{target}: larger images are here; write the smaller copy elsewhere: "
            f"--from_dir {target} --max_side {max_side} and another --data_dir"
        )
    return True


def fetch(layout: Layout, data_dir: Path, max_side: int | None) -> None:
    """Download, unpack and take over what the archives hold.

    Archives that arrived whole outlive an interruption and are not downloaded again.
    """
    work, was_there = data_dir / f".download-{layout.name}", data_dir.exists()
    unpacked = work / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)  # of a run that was killed
    try:
        for url, md5 in layout.archives:
            download(url, md5, work, unpacked)
        take_over(layout, layout.find(unpacked), data_dir / layout.home, max_side, move_file)
        shutil.rmtree(work)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
        for folder in (work,) if was_there else (work, data_dir):
            with contextlib.suppress(OSError):  # not empty: it holds an archive to go on with
                folder.rmdir()


def download(url: str, md5: str, folder: Path, unpacked: Path) -> None:
    """Download an archive to `folder`, unless it is there, and unpack it to `unpacked`.

    Raises `UserError` without a network, for a wrong checksum and for a disk that can't be
    written; an archive that didn't arrive whole is removed.
    """
    # Slow to import, and not needed for anything else.
    from torchvision.datasets.utils import check_integrity, download_and_extract_archive

    archive = folder / url.rsplit("/", 1)[1]
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_TIMEOUT)
    try:
        download_and_extract_archive(url, str(folder), str(unpacked), md5=md5)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        if not check_integrity(str(archive), md5):
            archive.unlink(missing_ok=True)
        raise UserError(why_not_downloaded(error, url, md5, archive)) from error
    finally:
        socket.setdefaulttimeout(timeout)


def why_not_downloaded(error: Exception, url: str, md5: str, archive: Path) -> str:
    """Return the line for a download that failed: what happened, and the way out."""
    if isinstance(error, NETWORK_ERRORS):
        return (
            f"cannot download {url} ({getattr(error, 'reason', error)}); without a network use "
            "--dataset shapes, or --from_dir with a copy you have"
        )
    if isinstance(error, OSError):
        return cannot_be_written(error, archive)
    return f"{url}: what arrived has not the expected MD5 {md5}; run the same command again"


def take_over(
    layout: Layout,
    source: Path,
    target: Path,
    max_side: int | None,
    place: Callable[[Path, Path], None],
) -> None:
    """Bring what the lists below `source` name to `target`, no side above `max_side` pixels.

    The lists come last, so a folder that has them is whole. Other lists that are there are refused
    before anything is written.

    place: `copy_file` or `move_file`, for what needs no change
    """
    last = [*layout.extras, *layout.more_lists, *layout.lists]
    last = [relative for relative in last if (source / relative).is_file()]
    for relative in last:
        refuse_other(source / relative, target / relative)
    calls = [(layout, source, target, name, max_side, place) for name in layout.names(source)]
    in_parallel(take_over_pair, "copying", calls)
    for relative in last:
        copy_file(source / relative, target / relative)


def take_over_pair(
    layout: Layout,
    source: Path,
    target: Path,
    name: str,
    max_side: int | None,
    place: Callable[[Path, Path], None],
) -> None:
    """Put an image and its mask below `target`, unless they are there already.

    Others that are whole are refused; only what is downloaded gives way to them.
    """
    fault = layout.find_fault(source, name)
    if fault:
        raise UserError(f"{fault}; mend the source or take the name out of its lists")
    image_path, mask_path = layout.image_path(source, name), layout.mask_path(source, name)
    new_image, new_mask = layout.image_path(target, name), layout.mask_path(target, name)
    with (
        opened(image_path, most=MOST_PIXELS) as image,
        opened(mask_path, most=MOST_PIXELS) as mask,
    ):
        turn, size = orientation(image), shrunk(upright_size(image), max_side)
        is_whole = layout.find_fault(target, name) is None
        if not max_side or (turn == 1 and size == image.size):
            if is_whole and place is move_file:
                return
            for path, new in ((image_path, new_image), (mask_path, new_mask)):
                if is_readable(new):
                    refuse_other(path, new)
                place(path, new)
        elif is_whole and stored_size(new_image) != size:
            raise UserError(
                f"{new_image}: is there in another size than --max_side {max_side} makes; take "
                "another --data_dir"
            )
        elif not is_whole:
            # A mask drawn over the raw pixels turns with them; one that lies upright stays.
            if mask.size == image.size:
                turn_upright(mask, turn)
            turn_upright(image, turn)
            save(mask.resize(size, Image.Resampling.NEAREST), new_mask)
            smaller = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
            save(smaller, new_image, quality=95)


def shrunk(size: tuple[int, int], max_side: int | None) -> tuple[int, int]:
    """Return (width, height) with no side above `max_side` pixels and the aspect kept."""
    scale = min(1.0, (max_side or max(size)) / max(size))
    width, height = (max(1, round(side * scale)) for side in size)
    return width, height


def stored_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of the pixels as the file holds them."""
    with opened(path, most=MOST_PIXELS) as picture:
        return picture.size


def in_parallel(
    function: Callable[..., Any], title: str, calls: list[tuple[Any, ...]]
) -> list[Any]:
    """Call a function with each tuple of arguments, under a progress bar, in threads."""
    # Threads: Pillow releases the interpreter lock while it decodes, resizes and encodes.
    results: Iterable[Any] = joblib.Parallel(n_jobs=-1, prefer="threads", return_as="generator")(
        joblib.delayed(function)(*call) for call in calls
    )
    return list(tqdm(results, title, total=len(calls), unit="image", leave=False))


def is_readable(path: Path) -> bool:
    """Return whether a picture is there and whole."""
    try:
        with opened(path, most=MOST_PIXELS) as picture:
            picture.load()
    except UserError:
        return False
    return True


def is_same(one: Path, other: Path) -> bool:
    """Return whether two files are there and have the same bytes."""
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)


def refuse_other(source: Path, target: Path) -> None:
    """Refuse to write a file in place of one that has other content.

    source: a file of the content that is to be written
    """
    if target.is_file() and not is_same(source, target):
        raise UserError(
            f"{target}: is there with other content; move it away, or take another --data_dir"
        )


def copy_file(source: Path, target: Path) -> None:
    """Copy bytes as they are; a target with the same bytes stays untouched."""
    if not is_same(source, target):
        with writing(target), atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)


def move_file(source: Path, target: Path) -> None:
    """Move a file, within one disk."""
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)


def save(picture: Image.Image, path: Path, **options: Any) -> None:
    """Write a picture atomically, unless another whole one is there.

    options: as of `PIL.Image.Image.save`
    """
    with writing(path), atomic_path(path) as temporary:
        picture.save(temporary, **options)
        if is_readable(path):
            refuse_other(temporary, path)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path for a file that takes the place of no other content, atomically."""
    with writing(path), atomic_path(path) as temporary:
        yield temporary
        refuse_other(temporary, path)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a full disk or a forbidden folder into one line that names `path`."""
    try:
        yield
    except OSError as error:
        raise UserError(cannot_be_written(error, path)) from error


def cannot_be_written(error: OSError, path: Path) -> str:
    """Return the line for a file that can't be written, and the way out."""
    return (
        f"{error.filename or path}: cannot be written ({error.strerror or error}); what is whole "
        "is kept: run the same command again"
    )
