"""The files of a folder of one's own: which are pictures, and how names on disk are compared.

Names are compared in Unicode's composed form (NFC): a Mac may store an accent as a letter of its
own, and what a list names need not be stored alike. Suffixes may be in capitals.
"""

import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from weakseg.common import UserError
from weakseg.data.ids import check_id
from weakseg.data.image_io import image_size

# What a file of these suffixes is need not be looked up; it is said when it is read.
PICTURES = set(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .tif .tiff .webp .bmp .dib .gif .ppm .pgm .pbm .pnm "
    ".jp2 .j2k .avif".split()
)

# What programs lay beside pictures: nobody needs to hear of it.
COMPANIONS = {"thumbs.db", "ehthumbs.db", "desktop.ini"}  # files, in any case
ATTACHED = tuple(  # ends of names: places on a map, smaller copies, settings
    ".aux.xml .ovr .tfw .tifw .tiffw .jgw .jpgw .pgw .pngw .wld .prj .xmp .aae".split()
)
CLASSES, IMAGES, MASKS, INSTANCES = "classes.txt", "images", "masks", "instances"  # of a data set

PREDICTIONS = "predictions.json"  # lies where predict.py wrote its masks, in these folders beside:
PREDICTED = ("masks", "overlays", "instances")


def files_below(folder: Path) -> list[Path]:
    """Return the sorted files in a folder and in those below it, linked ones too.

    Hidden ones are left out, what is no file, and links to a folder that they lie in. A link that
    leads nowhere counts as a file.
    """
    return sorted(walk(folder, {*folder.resolve().parents}))


def walk(folder: Path, above: set[Path]) -> Iterator[Path]:
    """Yield the files in a folder and in those below it; above: folders not to be entered."""
    real = folder.resolve()
    if real in above:
        return
    try:
        with os.scandir(folder) as listed:
            entries = [entry for entry in listed if not entry.name.startswith(".")]
    except OSError:  # it is not there, or closed to us
        return
    for entry in entries:
        if entry.is_dir():
            yield from walk(folder / entry.name, {*above, real})
        elif entry.is_file() or not os.path.exists(entry):
            yield folder / entry.name


def is_picture(path: Path) -> bool:
    """Return whether a file is a picture, by its suffix or else by its content."""
    if path.suffix.casefold() in PICTURES:
        return True
    try:
        image_size(path)
    except UserError:
        return False
    return True


def parted(files: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Return the pictures among some files, and the others, without what programs lay beside."""
    pictures, others = list[Path](), list[Path]()
    for path in files:
        if is_picture(path):
            pictures.append(path)
        elif not is_companion(path):
            others.append(path)
    return pictures, others


def is_companion(path: Path) -> bool:
    """Return whether a file is one that programs lay beside pictures."""
    name = path.name.casefold()
    return name in COMPANIONS or name.endswith(ATTACHED)


def folder_of_pictures(root: Path) -> Path:
    """Return `images/`, or a data set's folder itself where it lacks and its pictures lie there.

    Beside `masks/` they lie there if one does; in folders below they might be anything.
    """
    inner = root / IMAGES
    if inner.is_dir():
        return inner
    if not (root / CLASSES).exists():
        return root
    is_flat = (root / MASKS).is_dir()
    files = [path for path in beside_masks(root) if not is_flat or path.parent == root]
    return root if any(map(is_picture, files)) else inner


def beside_masks(root: Path) -> list[Path]:
    """Return the files in a data set's folder and below it, but for masks and instances."""
    left_out = {root / MASKS, root / INSTANCES}
    return [path for path in files_below(root) if not {*path.parents} & left_out]


def without_predictions(files: Iterable[Path]) -> list[Path]:
    """Return the files that are not in a folder of what predict.py wrote."""
    known: dict[Path, bool] = {}

    def is_predicted(folder: Path) -> bool:
        if folder not in known:
            written = folder.name in PREDICTED and (folder.parent / PREDICTIONS).exists()
            known[folder] = written or (folder != folder.parent and is_predicted(folder.parent))
        return known[folder]

    return [path for path in files if not is_predicted(path.parent)]


def compared(name: str) -> str:
    """Return a name in the form in which names are compared, its suffix in small letters."""
    path = PurePosixPath(unicodedata.normalize("NFC", name))
    return path.with_suffix(path.suffix.casefold()).as_posix()


def by_id(paths: Iterable[Path], folder: Path) -> dict[str, Path]:
    """Return {id: path} of files below a folder; an id is a path below it without its suffix.

    Two files of one id are a `UserError`.
    """
    found: dict[str, Path] = {}
    for path in paths:
        stem = path.relative_to(folder).with_suffix("").as_posix()
        name = check_id(unicodedata.normalize("NFC", stem), folder, "rename the file")
        if name in found:
            other = found[name].name
            raise UserError(
                f"{path}: two images share the name {name}, this and {other}; rename one"
            )
        found[name] = path
    return found
