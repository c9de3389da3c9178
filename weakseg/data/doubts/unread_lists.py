"""Lists that lie in a folder of one's own under names, or in places, where nobody reads them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from weakseg.common import UserError
from weakseg.data.lists import read_list
from weakseg.data.split_lists import TESTED, TRAIN, TRAINED, VALIDATION, Lists

LISTS = (TRAINED, TESTED, "groups.txt", "classes.txt")  # in a folder of one's own
PARTS = (TRAIN, *VALIDATION)  # lists that others have
TABLES = (".csv", ".tsv", ".xlsx", ".json", ".yaml")  # that may hold lists, which nobody reads
SPLIT = ("split", "splits", "train_test_split")  # names of tables of both lists of pictures
GROUPED = ("patient", "patients", "patient_ids", "subjects")  # of tables of groups
FOLDERS = ("lists", "list", "splits", "split", "imagesets", "annotations")  # where others have them
NESTED = "imagesets"  # with a folder for each kind of list
HEADINGS = set(  # what stands above a column of pictures
    "name names id ids image images image_id image_name imagename file files filename filenames "
    "file_name file_names path picture pictures photo photograph".split()
)


def unread_lists(root: Path, given: Lists) -> list[str]:
    """Return a line on lists in a folder of one's own that nobody reads, if any.

    given: the lists of each split that are read
    """
    beside = () if given else elsewhere(root)
    names = [*dict.fromkeys([*other_parts(root, given), *others(root), *beside])]
    if not names:
        return []
    return [
        f"{root}: {', '.join(names)} {'is' if len(names) == 1 else 'are'} not read; lists are "
        f"called {', '.join(LISTS)}"
    ]


def other_parts(root: Path, given: Lists) -> list[str]:
    """Return the lists that are called, in any case, as those of other splits.

    Those are passed over whose names all stand in the lists that are read, as in Pascal VOC's.
    """
    whole = {line for paths in given.values() for path in paths for line in lines_of(path)}
    parts = (path for path in texts(root) if path.name.casefold() in PARTS)
    return [path.name for path in parts if not whole or lines_of(path) - whole]


def lines_of(path: Path) -> set[str]:
    """Return the lines of a list; none of one that isn't there or can't be read."""
    try:
        return {*read_list(path)}
    except UserError:
        return set()


def others(root: Path) -> Iterator[str]:
    """Yield lists of which the one that is read is missing, with what to call them."""
    stems = {name.removesuffix(".txt") for name in LISTS}
    parts = {name.removesuffix(".txt") for name in PARTS}
    for path in sorted(root.glob("*")):
        stem, suffix = path.stem.casefold(), path.suffix.casefold()
        if suffix not in (*TABLES, ".txt"):
            continue
        while stem.endswith(".txt"):  # where Windows hides one of the two
            stem, suffix = stem.removesuffix(".txt"), ".txt.txt"
        if stem in parts and suffix != ".txt":
            yield path.name
        elif stem in stems and lacks(root, f"{stem}.txt"):  # a disk may not know capitals
            yield f"{path.name} (call it {stem}.txt)" if suffix == ".txt.txt" else path.name
        elif stem in SPLIT and lacks(root, *LISTS[:2]):
            yield f"{path.name} (write {LISTS[0]} and {LISTS[1]})"
        elif stem in GROUPED and lacks(root, LISTS[2]):
            yield f"{path.name} (write {LISTS[2]}, of lines 'picture, group')"


def elsewhere(root: Path) -> Iterator[str]:
    """Yield lists of pictures in the folders below where others have them."""
    below = [path for path in sorted(root.glob("*/")) if path.name.casefold() in FOLDERS]
    nests = [path for path in below if path.name.casefold() == NESTED]
    for folder in [*below, *(inner for nest in nests for inner in sorted(nest.glob("*/")))]:
        found = [path for path in texts(folder) if path.name.casefold() in (*LISTS, *PARTS)]
        place = folder.relative_to(root).as_posix()
        yield from (f"{place}/{path.name} (move it here)" for path in found)


def lacks(root: Path, *names: str) -> bool:
    """Return whether none of some files is there."""
    return not any((root / name).exists() for name in names)


def texts(folder: Path) -> list[Path]:
    """Return the sorted text files in a folder."""
    return sorted(folder.glob("*.[tT][xX][tT]"))


def heading_notes(path: Path, names: Iterable[str]) -> list[str]:
    """Return a line where a list begins with the heading of a column, if it does.

    names: that it lists, of which the first is no picture's
    """
    first = next(iter(names), "")
    if first.casefold() not in HEADINGS:
        return []
    return [f"{path}: {first!r}, which stands first, is a heading and no picture; remove that line"]
