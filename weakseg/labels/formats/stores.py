"""The store of another folder, of somebody who answered or drew on a copy of the photographs."""

from collections.abc import Iterator
from pathlib import Path

from weakseg.common import UserError
from weakseg.labels.behind import seen_shapes, with_help
from weakseg.labels.formats.files import Files
from weakseg.labels.formats.records import Classes, Dropped, PictureRecord
from weakseg.labels.seen_photographs import held_by_source, noted_photographs
from weakseg.labels.store import opened_store
from weakseg.labels.store_file import FILE


def recognise(files: Files, name: str) -> bool:
    """Return whether a file is the store of the folder, or in the archive, that was named."""
    return name == FILE or (files.archive is not None and Path(name).name == FILE)


def read(files: Files, dropped: Dropped) -> Iterator[PictureRecord]:
    """Yield what each source of the store says of each picture."""
    with opened_store(folder_of(files)) as store:
        given = with_help(store.given(), seen_shapes(store))
        held = held_by_source(noted_photographs(store), given)
    files.latest = FILE
    for picture, sources in given.items():
        for source, one in sources.items():
            yield PictureRecord(
                name=picture,
                size=one.size,
                shapes=tuple(one.shapes.values()),
                complete=one.complete,
                seconds=one.seconds,
                annotator=one.annotator,
                project=source,
                held=held.get(source, {}).get(picture, ""),
            )


def classes_in(files: Files) -> Classes:
    """Return the classes of a store."""
    with opened_store(folder_of(files)) as store:
        return store.classes()


def folder_of(files: Files) -> Path:
    """Return the folder of a store; an archive of one is a `UserError`."""
    if files.archive:  # what SQLite keeps beside the file may be missing
        raise UserError(f"{files.path}: holds a store; unpack it, and name its folder")
    return files.path if files.path.is_dir() else files.path.parent
