"""The files of a folder of one's own: which are pictures, and how names on disk are compared.

Names are compared in Unicode's composed form (NFC): a Mac may store an accent as a letter of its
own, and what a list names need not be stored alike. Suffixes may be in capitals.
"""

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from weakseg.common import UserError
from weakseg.data.ids import check_id
from weakseg.data.image_io import image_size

# What a file of these suffixes is need not be looked up; it is said when it is read.
PICTURES = set(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .tif .tiff .webp .bmp .dib .gif .ppm .pgm .pbm .pnm "
    ".jp2 .j2k .avif".split()
)


def files_below(folder: Path) -> list[Path]:
    """Return the sorted files in a folder and in those below it.

    Hidden ones are left out, and what is no file. A link that leads nowhere counts as one.
    """
    files = []
    for at, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(at, name) for name in names if not name.startswith(".")]
    return sorted(path for path in files if path.is_file() or not path.exists())


def is_picture(path: Path) -> bool:
    """Return whether a file is a picture, by its suffix or else by its content."""
    if path.suffix.casefold() in PICTURES:
        return True
    try:
        image_size(path)
    except UserError:
        return False
    return True


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
