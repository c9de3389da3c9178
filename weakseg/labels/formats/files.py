"""The files of an export: one file, a folder, or the zip archive that a tool gives.

An archive is read where it is: nothing is unpacked, so nothing can land outside of a folder. What a
file may be is limited in size, JSON also in depth, and XML declares no entities.
"""

import contextlib
import io
import json
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn
from xml.etree import ElementTree
from xml.parsers import expat

from weakseg.common import UserError, reason
from weakseg.data.folder_files import files_below
from weakseg.data.ids import fault_of_id
from weakseg.data.lists import text_of
from weakseg.labels.formats.records import Dropped, PictureRecord

MOST_FILES = 1_000_000
MOST_BYTES = 2**30  # of one file, unpacked
DEEPEST = 100  # elements of XML within one another; JSON has Python's own limit
BROKEN_ARCHIVE = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
)


class Files:
    """What `--import` was given: the names of its files, below it, and their contents.

    names  sorted, with '/' between folders; a single file is its own name
    latest  name of the file that was read last, which a format's next record is of
    """

    latest = ""

    def __init__(self, path: str | Path, most_bytes: int = MOST_BYTES) -> None:
        self.path, self.most_bytes = Path(path), most_bytes
        self.archive: zipfile.ZipFile | None = None
        if self.path.is_dir():
            self.names = [p.relative_to(self.path).as_posix() for p in files_below(self.path)]
        elif not self.path.is_file():
            raise UserError(f"{self.path}: no such file or folder; mend the name")
        elif zipfile.is_zipfile(self.path):
            self.names = self._open_archive()
        else:
            self.names = [self.path.name + missing_suffix(self.path)]
        if len(self.names) > MOST_FILES:
            raise UserError(f"{self.path}: holds over {MOST_FILES} files; take a folder of labels")
        self._parsed = lru_cache(maxsize=2)(self._read_json)

    def _open_archive(self) -> list[str]:
        try:
            self.archive = zipfile.ZipFile(self.path)
        except BROKEN_ARCHIVE as error:
            self._refuse("", f"not a readable zip archive ({reason(error)})")
        self.members = {}
        for info in self.archive.infolist():
            name = info.filename.replace("\\", "/")
            if info.is_dir() or any(part.startswith(("__MACOSX", ".")) for part in name.split("/")):
                if ".." not in name.split("/"):
                    continue
            fault = fault_of_id(name)
            if fault:
                self._refuse(name, f"the name of this file in the archive {fault}")
            self.members[name] = info
        return sorted(self.members)

    @property
    def title(self) -> str:
        """The name of the file or folder, without its suffix."""
        return self.path.resolve().name if self.path.is_dir() else self.path.stem

    def where(self, name: str) -> str:
        """Return how a line for people names a file."""
        is_single = not self.archive and not self.path.is_dir()
        return str(self.path) if is_single else f"{self.path}/{name}"

    def with_suffix(self, *suffixes: str) -> list[str]:
        """Return the names that end so, in capitals or not."""
        return [name for name in self.names if name.casefold().endswith(suffixes)]

    def read(self, name: str) -> bytes:
        """Return the content of a file; one that is too large or damaged is a `UserError`."""
        self.latest = name
        try:
            with self._open(name) as file:
                content = file.read(self.most_bytes + 1)
        except BROKEN_ARCHIVE as error:
            self._refuse(name, f"can't be read ({reason(error)})")
        if len(content) > self.most_bytes:
            self._refuse(name, f"is larger than {self.most_bytes // 2**20} MB; split the export")
        return content

    def _open(self, name: str) -> Any:
        if self.archive:
            return self.archive.open(self.members[name])
        return (self.path / name if self.path.is_dir() else self.path).open("rb")

    @contextlib.contextmanager
    def on_disk(self, name: str) -> Iterator[Path]:
        """Yield the path of a file; one of an archive lies there for the while of the `with`."""
        self.latest = name
        if not self.archive:
            yield self.path / name if self.path.is_dir() else self.path
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"file{Path(name).suffix}")
            path.write_bytes(self.read(name))
            yield path

    def text(self, name: str) -> str:
        """Return a text in UTF-8 or UTF-16, without the mark of its order of bytes."""
        try:
            return text_of(self.read(name))
        except UnicodeDecodeError as error:
            self._refuse(name, f"is no text in UTF-8 ({reason(error)}); save it as UTF-8")

    def json(self, name: str) -> Any:
        """Return the value in a JSON file; NaN, which JSON doesn't have, is refused too."""
        self.latest = name
        return self._parsed(name)

    def _read_json(self, name: str) -> Any:
        try:
            return json.loads(self.text(name), parse_constant=no_constant)
        except (ValueError, RecursionError) as error:
            self._refuse(name, f"is no readable JSON file ({reason(error)})")

    def xml(self, name: str) -> ElementTree.Element:
        """Return the root of an XML file that declares no document type, and so no entities."""
        builder, parser, depth = ElementTree.TreeBuilder(), expat.ParserCreate(), 0

        def start(tag: str, attributes: dict[str, str]) -> None:
            nonlocal depth
            depth += 1
            if depth > DEEPEST:
                self._refuse(name, f"has elements {DEEPEST} deep, which no tool writes")
            builder.start(tag, attributes)

        def end(tag: str) -> None:
            nonlocal depth
            depth -= 1
            builder.end(tag)

        def doctype(*_: object) -> None:
            self._refuse(name, "declares a document type, which no tool writes; remove it")

        parser.StartElementHandler, parser.EndElementHandler = start, end
        parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = builder.data, doctype
        try:
            parser.Parse(self.read(name), True)
        except (expat.ExpatError, ValueError, LookupError) as error:
            self._refuse(name, f"is no readable XML file ({reason(error)})")
        return builder.close()

    def _refuse(self, name: str, fault: str) -> NoReturn:
        raise UserError(f"{self.where(name) if name else self.path}: {fault}")


def one_a_picture(
    files: Files,
    recognise: Callable[[Files, str], bool],
    picture_of: Callable[[Any, str, Dropped], PictureRecord],
    dropped: Dropped,
) -> Iterator[PictureRecord]:
    """Yield what each JSON file of a format says of its picture; what can't be read is counted.

    picture_of: (content of a file, its name, dropped) -> what it says
    """
    for name in files.with_suffix(".json"):
        if recognise(files, name):
            with dropped.unless_read(files.where(name)):
                yield picture_of(files.json(name), name, dropped)


def xml_of_pictures(
    files: Files,
    picture_of: Callable[[ElementTree.Element, str, Dropped], PictureRecord],
    dropped: Dropped,
) -> Iterator[PictureRecord]:
    """Yield what each XML file with an `<annotation>` says of its picture.

    picture_of: (root of a file, its name, dropped) -> what it says
    """
    for name in files.with_suffix(".xml"):
        root = files.xml(name)
        if root.tag == "annotation":
            yield picture_of(root, name, dropped)


def missing_suffix(path: Path) -> str:
    """Return the suffix of a file by its first letter, "" where it has one of labels already."""
    if path.suffix.casefold() in (".json", ".xml", ".csv", ".tsv", ".txt", ".png"):
        return ""
    with path.open("rb") as file:
        first = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    return {b"{": ".json", b"[": ".json", b"<": ".xml"}.get(first, "")


def no_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity."""
    raise ValueError(f"{name} is no number")


def lines_of(content: str) -> list[str]:
    """Return the lines of a text, whatever ends them, that are not blank."""
    return [line.strip() for line in io.StringIO(content, newline=None) if line.strip()]
