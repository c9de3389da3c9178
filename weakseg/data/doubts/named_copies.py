"""Pictures whose names say that they were made of one photograph: turned, cut out or recoloured."""

import re
from collections.abc import Collection, Iterable

from weakseg.data.split_folders import SPLITS

ROBOFLOW = re.compile(r"(?<=.)\.rf\.\w{16,}$")  # a hash for each version of a source
AUGMENTOR = re.compile(  # the folder, the source and a number for each version of it
    r"(.*/)?[^/]*_original_([^/]+?)(?:\.\w+)?_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)
WORDS = (  # what tools and people add to the name of the source
    r"(?:aug(?:mented|mentation)?|[hv]?flip(?:ped)?|flip[hv]|flip_?(?:lr|ud)|mirror(?:ed)?|"
    r"rot(?:ate|ated|ation)?|crop(?:ped)?|blur(?:red)?|noise|bright(?:er|ness)?|copy|resized?|"
    r"rescaled?|scaled?|jpe?g|png)[ ._-]*\d*"
)
CHANGED = re.compile(rf"(.+?)[ ._-]+{WORDS}", re.IGNORECASE)
IN_FRONT = re.compile(rf"(.*/)?{WORDS}[ ._-]+([^/]+)", re.IGNORECASE)


def source_of(name: str, names: Collection[str]) -> str:
    """Return what a picture was made of, by its name: an id, or itself.

    A word such as `aug` says so only beside the picture without it: `_aug1` may be a day in August.

    names: ids without the folders of splits, as of `plain`
    """
    own = ROBOFLOW.sub("", plain(name))
    if match := AUGMENTOR.fullmatch(own):
        return "".join(filter(None, match.groups()))
    shorter = [own]
    for longer in shorter:  # which grows
        for pattern in (CHANGED, IN_FRONT):
            if match := pattern.fullmatch(longer):
                shorter.append("".join(filter(None, match.groups())))
                if shorter[-1] in names:
                    return source_of(shorter[-1], names)
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
