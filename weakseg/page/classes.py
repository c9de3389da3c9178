"""The classes as the page shows them: a colour and a key each, which stay as they are."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from weakseg.common import IGNORE, UserError
from weakseg.data.class_list import is_background
from weakseg.data.ids import is_shown
from weakseg.labels.formats.records import Classes
from weakseg.labels.naming import refuse_alike
from weakseg.page.access import Refused
from weakseg.reporting.style import palette

DIGITS = 9  # classes besides the background that have a digit; more have letters
LETTERS = "abcdefghijklmnopqrstuvwxyz"
NONE = "none of these"  # what the page calls a background
COLOUR = re.compile(r"#[0-9a-f]{6}")
LONGEST = 60  # characters of a name


def shown_classes(classes: Classes, colours: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what the page needs of each class: its name, colour and key.

    colours: those that people chose, by name
    """
    keys = keys_of(classes)
    usual = ["#" + bytes(row.tolist()).hex() for row in palette(max(2, len(classes.names)))]
    own = usual if classes.has_background else usual[1:] + usual[:1]
    return [
        {
            "name": name,
            "shown": NONE if background and is_background(name) else name,
            "colour": colours.get(name, own[number]),
            "key": keys[number],
            "digit": str(place) if 0 <= place <= DIGITS else "",
            "is_background": background,
        }
        for number, name in enumerate(classes.names)
        for background in [classes.has_background and number == 0]
        for place in [number + (not classes.has_background)]
    ]


def keys_of(classes: Classes) -> list[str]:
    """Return the key of each class, "" where there are more classes than keys.

    The background has 0. Up to nine others have digits. More have letters, each the first of its
    name that is free, so that a class that is added later changes no other's; the digits of the
    first nine go on to work. With more classes than letters these nine leave theirs to the others.
    """
    objects = classes.objects
    first = ["0"] if classes.has_background else []
    digits = [str(number) for number in range(1, 1 + min(DIGITS, len(objects)))]
    if len(objects) <= DIGITS:
        return [*first, *digits]
    keys = digits if len(objects) > len(LETTERS) else []
    free = [*LETTERS]
    for name in objects[len(keys) :]:
        wanted = [letter for letter in name.casefold() if letter in free] + free
        keys.append(wanted[0] if wanted else "")
        free = [letter for letter in free if letter != keys[-1]]
    return [*first, *keys]


def checked_name(name: str, known: Sequence[str]) -> str:
    """Return the name of a new class; what can't be one raises `Refused`."""
    name = " ".join(name.split())
    if not name or not is_shown(name) or len(name) > LONGEST or name.startswith("#"):
        raise Refused(400, f"a name has 1 to {LONGEST} letters, and no # in front")
    if name in known:
        raise Refused(400, f"{name} is a class already")
    if is_background(name):
        raise Refused(400, f"{name} is what no class covers; choose another name")
    try:
        refuse_alike([*known, name])
    except UserError as error:
        raise Refused(400, str(error).partition(";")[0]) from error
    if len(known) >= IGNORE:
        raise Refused(400, f"there are {IGNORE} classes at most")
    return name
