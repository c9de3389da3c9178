"""Tables of predictions: a line for each picture, the least sure first, and one for each object."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from weakseg.common import UserError, printable
from weakseg.data.predictions import Line
from weakseg.inference.journal import TABLE, Journal
from weakseg.inference.objects import MEASURES
from weakseg.inference.pictures import Job, model_of
from weakseg.reporting.tables import write_csv

HEAD = ["picture", "object", *MEASURES]  # of the table of objects


def write_pictures(job: Job, journal: Journal, pictures: Mapping[str, Path], shown: int) -> str:
    """Write predictions.csv, and return its first lines for people, "" without any picture.

    A line has the picture, its size, the confidence, the share of each class and, where objects
    were looked for, how many there are of each class. shown: number of lines for people
    """
    model = model_of(job.checkpoint, job.device, job.trusted)
    classes, first = model.classes, int(model.has_background)
    head = ["picture", "mask", "width", "height", "confidence", *(f"share {c}" for c in classes)]
    head += [f"objects {name}" for name in classes[first:]] if job.separation else []
    rows = []
    for line in journal.lines(pictures):
        place = job.path("masks", line["id"]).relative_to(job.folder)
        row = [picture_of(line), place.as_posix(), line["width"], line["height"]]
        row += [line["confidence"], *line["shares"]]
        if job.separation:
            counts = Counter(measures[0] for measures in line["objects"])
            row += [counts[number] for number in range(first, len(classes))]
        rows.append(row)
    rows.sort(key=lambda row: (row[4], row[0]))
    write_csv(job.folder / TABLE, head, rows)
    return "\n".join(printable(f"  {row[4]:.3f}  {row[0]}") for row in rows[:shown])


def write_objects(path: Path, job: Job, journal: Journal, pictures: Mapping[str, Path]) -> int:
    """Write a CSV of all objects, by picture -> their number."""
    classes = model_of(job.checkpoint, job.device, job.trusted).classes
    count = 0

    def rows() -> Iterator[list[Any]]:
        nonlocal count
        for line in journal.lines(pictures):
            for number, (label, *measures) in enumerate(line["objects"], 1):
                count += 1
                yield [picture_of(line), number, classes[label], *measures]

    write_csv(path, HEAD, rows())
    return count


def refuse_other_table(path: Path, flag: str) -> None:
    """Raise `UserError` where a file is there that `write_objects` did not write."""
    head = ",".join(HEAD).encode()
    if path.is_dir() or (path.exists() and not path.read_bytes()[: len(head)] == head):
        raise UserError(f"{flag} {path}: is there and is no table of objects; name another file")


def picture_of(line: Line) -> str:
    """Return the path of a line's picture below the folder of pictures."""
    folder, parting, _ = line["id"].rpartition("/")
    return f"{folder}{parting}{line['file']}"
