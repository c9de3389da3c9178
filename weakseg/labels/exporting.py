"""What a store carries, written for other tools."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from weakseg.common import UserError
from weakseg.labels.carried import Carried
from weakseg.labels.formats.records import Classes, Dropped, PictureRecord
from weakseg.labels.formats.table import FORMATS
from weakseg.labels.matching import Pictures


def records_of(
    carried: Iterable[tuple[str, Carried]], pictures: Pictures | None
) -> list[PictureRecord]:
    """Return records of what pictures carry; pictures: whose names they get, None: ids alone."""
    return [
        PictureRecord(
            name=pictures.paths[key] if pictures and key in pictures.files else key,
            size=one.size,
            shapes=one.shapes,
            complete=one.complete,
            seconds=one.seconds,
        )
        for key, one in carried
    ]


def write_labels(
    name: str, records: Sequence[PictureRecord], path: Path, classes: Classes
) -> Dropped:
    """Write records in a format of `WRITABLE`, and return what it could not say.

    path: of the file, or of the folder that formats of many files fill
    """
    row, dropped = FORMATS[name], Dropped()
    if row.write is None:
        raise UserError(f"--format {name}: can be read, but not written")
    if not records:
        raise UserError("the store carries no label; import some first")
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"--output {path}: is neither a file nor a folder; name one")
    if row.suffix and path.is_dir():
        path = path / f"labels{row.suffix}"
    if not row.suffix and path.is_file():
        raise UserError(f"--output {path}: is a file; {row.title} fills a folder, name one")
    row.write(records, path, classes, dropped)
    return dropped
