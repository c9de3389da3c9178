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


Kept = Mapping[str, tuple[str, str]]  # {name of a class: (letter, digit)}, "" for none


def shown_classes(
    classes: Classes, colours: Mapping[str, str], kept: Kept | None = None
) -> list[dict[str, Any]]:
    """Return what the page needs of each class: its name, colour and key.

    colours: those that people chose, or that stay as they were, by name; kept: keys that stay
    """
    keys, digits = keys_of(classes, kept), digits_of(classes, kept)
    return [
        {
            "name": name,
            "shown": NONE if background and is_background(name) else name,
            "colour": colour,
            "key": key,
            "digit": digits.get(name, ""),
            "is_background": background,
        }
        for number, (name, key, colour) in enumerate(
            zip(classes.names, keys, colours_of(classes, colours), strict=True)
        )
        for background in [classes.has_background and number == 0]
    ]


def colours_of(classes: Classes, colours: Mapping[str, str]) -> list[str]:
    """Return the colour of each class: its own, or that of its place, or else one that is free."""
    names, count = classes.names, max(2, len(classes.names))
    rows = palette(min(IGNORE, count + len(colours)))
    usual = ["#" + bytes(row.tolist()).hex() for row in rows]
    usual, further = usual[:count], usual[count:]
    usual = usual if classes.has_background else usual[1:] + usual[:1]
    taken = {colours[name] for name in names if name in colours}
    found = []
    for number, name in enumerate(names):
        own = [colours[name]] if name in colours else []
        free = [one for one in [usual[number], *further, *usual] if one not in taken]
        found.append([*own, *free, usual[number]][0])
        taken.add(found[-1])
    return found


def digits_of(classes: Classes, kept: Kept | None = None) -> dict[str, str]:
    """Return {name: digit}: 0 of the background; the first nine others keep theirs."""
    found = {classes.names[0]: "0"} if classes.has_background else {}
    return found | given_keys(classes.objects, list("123456789"), kept or {}, 1)


def keys_of(classes: Classes, kept: Kept | None = None) -> list[str]:
    """Return the key of each class, "" where there are more classes than keys.

    Up to nine have digits. More have letters, each the first of its name that is free, so that a
    class that is added later changes no other's; the digits of the first nine go on to work, and
    letters stay where classes are merged to nine. With more classes than letters these nine leave
    theirs to the others, but for one that stays.
    """
    kept, digits, objects = kept or {}, digits_of(classes, kept), classes.objects
    if len(objects) <= DIGITS and not any(kept.get(name, ("", ""))[0] for name in objects):
        return [digits.get(name, "") for name in classes.names]
    first = {name: digits[name] for name in classes.names if digits.get(name) == "0"}
    if len(objects) > len(LETTERS):
        first |= {name: key for name, key in digits.items() if not kept.get(name, ("", ""))[0]}
    left = [name for name in objects if name not in first]
    keys = first | given_keys(left, list(LETTERS), kept, 0)
    return [keys.get(name, "") for name in classes.names]


def given_keys(names: Sequence[str], keys: list[str], kept: Kept, part: int) -> dict[str, str]:
    """Return {name: key}: one that stays, or else the first of its name or of all that is free.

    keys: that there are; part: which of a class's two that stay is of these, 0: the letter
    """
    found: dict[str, str] = {}
    for name in names:
        key = kept.get(name, ("", ""))[part]
        if key in keys and key not in found.values():
            found[name] = key
    for name in names:
        own = name.casefold() if part == 0 else ""
        wanted = [key for key in [*own, *keys] if key in keys]
        free = [key for key in wanted if key not in found.values()]
        if name not in found and free:
            found[name] = free[0]
    return {name: found[name] for name in names if name in found}


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
