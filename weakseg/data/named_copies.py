"""Pictures whose names say that they were made of one photograph: turned, cut out or recoloured."""

import re
from collections.abc import Collection, Iterable

from weakseg.data.split_folders import SPLITS

ROBOFLOW = re.compile(r"(?<=.)\.rf\.\w{16,}$")  # a hash for each version of a source
CHANGED = re.compile(  # what tools and people add to the name of the source
    r"(.+?)[ ._-]+"
    r"(?:aug(?:mented|mentation)?|[hv]?flip(?:ped)?|flip[hv]|flip_?(?:lr|ud)|mirror(?:ed)?|"
    r"rot(?:ate|ated|ation)?|crop(?:ped)?|blur(?:red)?|noise|bright(?:er|ness)?|copy|jpe?g|png)"
    r"[ ._-]*\d*",
    re.IGNORECASE,
)


def source_of(name: str, names: Collection[str]) -> str:
    """Return what a picture was made of, by its name: an id, or itself.

    A word such as `aug` says so only beside the picture without it: `_aug1` may be a day in August.

    names: ids without the folders of splits, as of `plain`
    """
    own = found = ROBOFLOW.sub("", plain(name))
    while match := CHANGED.fullmatch(found):
        found = match[1]
        if found in names:
            return source_of(found, names)
    return own


def plain(name: str) -> str:
    """Return an id without the folders that are called as a split."""
    *folders, last = name.split("/")
    return "/".join([*(part for part in folders if part.casefold() not in SPLITS), last])


def parted_copies(tested: Iterable[str], trained: Iterable[str]) -> list[tuple[str, str]]:
    """Return pairs (an id to test on, one to train on) that are called as made of one photograph.

    Two pictures of one name in folders of two splits are none.
    """
    tested, trained = [*tested], [*trained]
    names = {plain(name) for name in [*tested, *trained]}
    sources = {source_of(name, names): name for name in reversed(trained)}
    pairs = [(name, sources.get(source_of(name, names))) for name in tested]
    return [(one, other) for one, other in pairs if other and plain(one) != plain(other)]
