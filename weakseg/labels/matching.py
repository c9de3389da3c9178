"""Which picture a label file means: names of other machines, matched with those in a folder."""

import contextlib
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from weakseg.common import UserError
from weakseg.data.folder_files import by_id, files_below, is_picture

# What tools put before or behind the names of pictures that were uploaded: Label Studio, Roboflow.
UPLOADED = re.compile(
    r"^[0-9a-f]{8}-(?=.)|(?:_(?:jpe?g|png|tiff?|webp|bmp|gif|jp2|avif))?\.rf\.[0-9a-f]{20,}",
    re.IGNORECASE,
)
SUFFIX = re.compile(r"\.[A-Za-z0-9]{2,5}$")


@dataclass(frozen=True)
class Match:
    """The picture that a label file means by a name.

    is_elsewhere  whether it lies in another folder than the one that the name has
    is_in_folder  whether it lies in the very folder that the name has
    """

    key: str
    is_elsewhere: bool = False
    is_in_folder: bool = False


class Pictures:
    """The pictures of a folder, found by the names that label files give them.

    files  {id: path}; an id is a path below the folder without its suffix
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise UserError(f"--images {folder}: no such folder; name that of the photographs")
        pictures = [path for path in files_below(self.folder) if is_picture(path)]
        if not pictures:
            raise UserError(f"--images {folder}: no picture is there")
        self.files = by_id(pictures, self.folder)
        self.paths = {key: self.name_of(key) for key in self.files}
        self.by_name: dict[str, list[str]] = {}
        for key in self.files:
            name = self.paths[key].rsplit("/", 1)[-1]
            for form in {compared(name), compared(stem(name))}:
                self.by_name.setdefault(form, []).append(key)
        self.by_upload: dict[str, list[str]] = {}
        for key in self.files:
            for form in as_uploaded(self.paths[key].rsplit("/", 1)[-1]):
                self.by_upload.setdefault(form, []).append(key)

    def name_of(self, key: str) -> str:
        """Return the path of a picture below the folder, with its suffix."""
        return self.files[key].relative_to(self.folder).as_posix()

    def find(self, name: str, beside: str = "") -> Match | None:
        """Return the picture that a label file calls `name`; None where none is there.

        By the whole path, by as much of its end as fits, by the name, by the name without what an
        upload adds to it, or changes in it. Two that fit equally well are a `UserError`, unless
        one of them lies in a folder as the label file does.

        beside: path of the label file
        """
        paths = [plain_path(name), plain_path(name, is_address=True)]
        forms = [form for path in paths for form in (path, UPLOADED.sub("", last_of(path)))]
        for wanted in dict.fromkeys(forms):
            last = last_of(wanted)
            candidates = self.by_name.get(compared(last)) or self.by_name.get(compared(stem(last)))
            if not candidates and wanted not in paths:
                candidates = self.by_upload.get(compared(stem(last)))
            if not candidates:
                continue
            fits = {key: self._fit(key, wanted) for key in candidates}
            best = [key for key in candidates if fits[key] == max(fits.values())]
            if len(best) > 1 and beside:
                near = {key: self._fit(key, f"{folder_of(beside)}/{last}") for key in best}
                best = [key for key in best if near[key] == max(near.values())]
            if len(best) > 1:
                shown = " and ".join(self.paths[key] for key in best[:2])
                raise UserError(
                    f"{self.folder}: {name} may be {shown}; keep one of them, or name their "
                    "folders in the labels"
                )
            folders, _, _ = fits[best[0]]
            most = min(path.count("/") for path in (self.paths[best[0]], wanted))
            return Match(best[0], folders < most, folders == most > 0)
        return None

    def called(self, name: str) -> list[str]:
        """Return the ids of the pictures whose own name is that of a file, whatever its folder."""
        return self.by_name.get(compared(plain_path(name).rsplit("/", 1)[-1]), [])

    def _fit(self, key: str, wanted: str) -> tuple[int, bool, bool]:
        """Return how well a picture fits a path.

        By the folders that agree from the end on, whether they are all of its own, and its suffix.
        """
        mine, theirs = (compared(path).split("/") for path in (self.paths[key], wanted))
        agree = 0
        for one, other in zip(mine[-2::-1], theirs[-2::-1], strict=False):
            if one != other:
                break
            agree += 1
        return agree, agree == len(mine) - 1, mine[-1] == theirs[-1]


def plain_path(name: str, is_address: bool = False) -> str:
    """Return the path in a name that may be a URL, Windows' path, or Label Studio's `?d=path`.

    is_address: whether a name is an address too that doesn't begin as one, such as `a.jpg?token=1`
    """
    slashed = name.replace("\\", "/")
    if is_address or re.match(r"^[a-z]+://|^/data/", slashed):
        with contextlib.suppress(ValueError):  # of what only looks like an address
            parts = urlsplit(slashed)
            local = parse_qs(parts.query).get("d")
            name = local[0] if local else unquote(parts.path)
    path = re.sub(r"^[A-Za-z]:", "", name.replace("\\", "/"))
    return "/".join(part for part in path.strip().split("/") if part not in ("", "."))


def last_of(path: str) -> str:
    """Return the name at the end of a path whose parts are parted by slashes."""
    return path.rpartition("/")[2]


def folder_of(path: str) -> str:
    """Return the folder of a path whose parts are parted by slashes."""
    return path.rpartition("/")[0]


def as_uploaded(name: str) -> set[str]:
    """Return a picture's name as tools that take uploads write it, in the form to compare.

    Label Studio writes blanks as underscores and leaves other signs out, Roboflow writes hyphens.
    """
    plain = unicodedata.normalize("NFC", stem(name))
    django = re.sub(r"[^-\w.]", "", plain.strip().replace(" ", "_"))
    return {compared(django), compared(re.sub(r"[^-\w]+", "-", plain))}


def stem(name: str) -> str:
    """Return a name without the suffix of a picture."""
    return SUFFIX.sub("", name)


def compared(name: str) -> str:
    """Return a name in the form in which names are compared: composed, in small letters."""
    return unicodedata.normalize("NFC", name).casefold()
