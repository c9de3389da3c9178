"""The records of a label file, each with the picture that it means."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from weakseg.common import UserError
from weakseg.data.looks import are_alike, look_of
from weakseg.labels.fitting import Seen, similar
from weakseg.labels.formats.files import Files
from weakseg.labels.formats.records import SHARES, Dropped, PictureRecord
from weakseg.labels.matching import Match, Pictures

AUGMENTED = ".rf."  # in the names of Roboflow's copies, several of one picture


@dataclass(frozen=True)
class Matched:
    """A record, the picture that it means, and the file that it stands in.

    name  of the file, below the folder or archive
    """

    record: PictureRecord
    key: str
    seen: Seen
    name: str


def matched(
    files: Files, records: Iterator[PictureRecord], pictures: Pictures, dropped: Dropped
) -> tuple[list[Matched], list[str]]:
    """Return (records of pictures that are there, names of those that are not).

    A picture in another folder than the one that a name has is taken for the one that it means,
    and counted, unless the names of others show that folders are to be trusted. So is that of a
    file's own name where the one that it says isn't there: both were renamed.
    """
    told: list[tuple[PictureRecord, Match | None, str]] = []
    for record in records:
        match = pictures.find(record.name, record.file or files.latest)
        own = pictures.find(record.file) if match is None and record.file else None
        if own:
            why = "says that it is of a picture that isn't there, taken for that of its own name"
            dropped.change(why, f"{record.file}, of {record.name}")
        told.append((record, match or own, files.latest))
    trusts = any(match.is_in_folder for _, match, _ in told if match)
    found: list[Matched] = []
    absent: list[str] = []
    called: dict[str, str] = {}
    for record, match, name in told:
        if match is None or (match.is_elsewhere and trusts):
            absent.append(record.name)
            continue
        key = match.key
        if called.setdefault(key, record.name) != record.name:
            are_copies = all(AUGMENTED in one for one in (called[key], record.name))
            remedy = "export a version without augmentation" if are_copies else "keep one"
            raise UserError(
                f"{files.path}: {called[key]} and {record.name} both mean {pictures.paths[key]}; "
                f"{remedy}"
            )
        namesakes = pictures.called(record.file) if record.file else []
        if namesakes and key not in namesakes:
            stale = "says that it is of another picture than the one of its own name"
            dropped.add(stale, record.file, f"of {record.name}")
            continue
        look = None if record.look is None else look_of(pictures.files[key])
        if record.look is not None and look is not None and not are_alike(record.look, look):
            dropped.add("holds another picture than the one of its name", record.name)
            continue
        if match.is_elsewhere:
            where = f"{record.name}, taken for {pictures.paths[key]}"
            dropped.change("in another folder than the name says", where)
        found.append(Matched(record, key, Seen.of(pictures.files[key]), name))
    return found, absent


def scaled_lines(there: Sequence[Matched]) -> Iterator[str]:
    """Yield a line on pictures of another size than their records state, if any.

    A smaller copy and a part of the same aspect look alike. there: the records of a file
    """
    scaled = [
        one
        for one in there
        if one.record.size not in (None, SHARES, one.seen.size, one.seen.stored)
        and any(shape.kind != "tag" for shape in one.record.shapes)
        and any(
            similar(one.record.size or SHARES, size) for size in (one.seen.size, one.seen.stored)
        )
    ]
    if scaled:
        first = scaled[0]
        given, now = (
            "x".join(f"{side:g}" for side in size)
            for size in (first.record.size or SHARES, first.seen.size)
        )
        yield (
            f"{len(scaled)} pictures have another size than the file says, the first "
            f"{first.record.name} {now} instead of {given}: labels are scaled; where a picture was "
            "cropped they lie elsewhere (labels.py show draws them)"
        )
