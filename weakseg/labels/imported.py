"""What to do with the label files of an import, and what came of each."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from weakseg.common import UserError
from weakseg.labels.box_order import BoxOrder
from weakseg.labels.doubts.slips import Slips
from weakseg.labels.formats.masks import Meaning
from weakseg.labels.formats.records import (
    Classes,
    Dropped,
)
from weakseg.labels.formats.table import FORMATS
from weakseg.labels.seen_photographs import Held
from weakseg.labels.store import Given


@dataclass(frozen=True)
class Wishes:
    """What to do with what a label file says.

    format      a name of `FORMATS`; None: by content
    areas_as    of `converting.WISHES`; None: masks, and strokes for brushes
    is_empty    whether a picture without shapes shows nothing; else it is unlabelled
    complete    kinds of label whose list holds all objects, where a picture has any of the kind;
        None: those that an export of ours noted, or else "full"
    names       {class in the file: class here, `NOTHING` or `UNTOLD`}, see `renamed_to`
    meaning     of the numbers in masks; its classes, where there are some, are all that are known
    source      what the labels come from; a later import of the same replaces it; None: by the file
    """

    format: str | None = None
    areas_as: str | None = None
    is_empty: bool = False
    complete: Sequence[str] | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    meaning: Meaning = field(default_factory=Meaning)
    source: str | None = None


@dataclass
class Imported:
    """What came of one file.

    sources  {source: {id: what it says}}
    held     {source: {id: what the photograph held when it was labelled}}, where the file says it
    shown    {kind of label: number of shapes}
    empty    number of pictures of which the file has no shape
    is_empty  whether they are known to show nothing
    absent   names of pictures that the folder doesn't have
    others   (name, format) of files in another format, which are left out
    classes  that the shapes are of, in the order of the file
    listed   the classes that the file lists, none where its format has no such list
    named    the classes that the file lists, of which its shapes need not be
    called   what the file calls the classes of its shapes
    order    of the numbers in its boxes, where they may be taken for corners
    slips    what of it looks like one
    has_sizes  whether its boxes state width and height
    hidden   ids of pictures that lost what may have been an object
    stated   ids of pictures of which the file itself says which lists are complete
    marks, far  number of shapes, and of those that reach far beyond their picture
    crossed  number of shapes that don't if their x and y are swapped
    clicks, outside  number of clicks, which nobody can set beside a picture, and of those far away
    unsized, beyond  number of labelled pictures whose size the file doesn't say, and of those that
        a shape reaches far beyond
    """

    path: Path
    title: str
    sources: dict[str, dict[str, Given]] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    shown: Counter[str] = field(default_factory=Counter)
    empty: int = 0
    absent: list[str] = field(default_factory=list)
    others: list[tuple[str, str]] = field(default_factory=list)
    dropped: Dropped = field(default_factory=Dropped)
    is_empty: bool = False
    classes: list[str] = field(default_factory=list)
    listed: Classes = field(default_factory=Classes)
    named: Sequence[str] = ()
    called: set[str] = field(default_factory=set)
    order: BoxOrder = field(default_factory=BoxOrder)
    slips: Slips = field(default_factory=Slips)
    has_sizes: bool = False
    hidden: set[str] = field(default_factory=set)
    stated: set[str] = field(default_factory=set)
    marks: int = 0
    far: int = 0
    crossed: int = 0
    clicks: int = 0
    outside: int = 0
    unsized: int = 0
    beyond: int = 0

    @property
    def pictures(self) -> int:
        """The number of pictures that it says something of."""
        return len({key for pictures in self.sources.values() for key in pictures})

    @property
    def complete(self) -> set[str]:
        """The kinds of label of which a list that holds some is complete."""
        told = (given for pictures in self.sources.values() for given in pictures.values())
        return {kind for one in told for kind in one.complete if one.shapes} & {*self.shown}


def refuse_same_source(files: Sequence[Imported]) -> None:
    """Refuse files of one source with labels of the same picture: the later would replace."""
    told: dict[tuple[str, str], Path] = {}
    for found in files:
        for source, pictures in found.sources.items():
            for key in pictures:
                other = told.setdefault((source, key), found.path)
                if other is not found.path:
                    raise UserError(
                        f"{found.path}: is of the source {source}, as {other} is, and both have "
                        f"labels of {key}; import them one after the other, with --source if both "
                        "are to hold"
                    )


def distrust_empty(files: Sequence[Imported]) -> None:
    """Let no file call a picture empty of which another one of the same import lost a shape."""
    hidden = {key for found in files for key in found.hidden}
    for found in files:
        denied = set[str]()
        for of_source in found.sources.values():
            for key in hidden & of_source.keys():
                if of_source[key].complete and not of_source[key].shapes:
                    of_source[key] = replace(of_source[key], complete=())
                    denied.add(key)
        found.empty -= len(denied) if found.is_empty else 0
        for key in sorted(denied):
            found.dropped.change("empty here, where another file lost a shape: unlabelled", key)


def in_several(found: Imported) -> Iterator[str]:
    """Yield a line where several tasks of one file label the same pictures, if any.

    That several people answer in one store is what it is for.
    """
    if found.title == FORMATS["store"].title:
        return
    told: dict[str, list[str]] = {}
    for source, pictures in found.sources.items():
        for key, given in pictures.items():
            if given.shapes or given.complete:
                told.setdefault(key, []).append(source)
    several = {key: sources for key, sources in told.items() if len(sources) > 1}
    if several:
        key, sources = next(iter(several.items()))
        yield (
            f"{len(several)} pictures have labels of several tasks, the first is {key} of "
            f"{' and '.join(sources)}, which hold together; unless the tasks are of the same "
            "photographs, import each with --images of its own"
        )
