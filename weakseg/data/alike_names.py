"""Names of classes that may be one class, written in two ways."""

import re
from collections.abc import Iterator, Mapping, Sequence

# Letters that look like Latin ones in most fonts: small and capital Cyrillic, capital Greek.
LETTERS = str.maketrans(
    "\u0430\u0441\u0435\u043e\u0440\u0445\u0443\u0456\u0458\u0455"
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0406\u0408\u0405"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7",
    "aceopxyijsABEKMHOPCTXIJSABEZHIKMNOPTYX",
)
CAPITALS = "differ in capitals alone"
ALPHABET = "look alike, but have letters of different alphabets"
PLURAL = "differ by a plural s alone"
LONG = 4  # letters of words of which two that differ by one are seldom two words
RARE = {True: 2, False: 10}  # (a letter is doubled or swapped): how many times rarer a slip is
VOWELS = set("aeiouy")


def alike_names(names: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield (name, one that it may be meant for, how the two differ).

    Of letters that look alike the second name has more Latin ones; of a plural it is the singular.
    """
    told: dict[str, str] = {}
    for name in sorted(names, key=lambda name: not name.isascii()):
        other = told.setdefault(as_latin(name), name)
        if other != name:
            yield name, other, CAPITALS if name.casefold() == other.casefold() else ALPHABET
    for plain, name in told.items():
        if plain.endswith("s") and not plain.endswith("ss") and plain[:-1] in told:
            yield name, told[plain[:-1]], PLURAL


def as_latin(name: str) -> str:
    """Return a name in small letters, those of other alphabets as the Latin ones they look like."""
    return name.translate(LETTERS).casefold()


def misspelt(shapes: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yield (rare name, a frequent one of which it looks like a misspelling).

    shapes: {class: number of its shapes}
    """
    plain = {name: as_latin(name) for name in sorted(shapes, key=lambda name: -shapes[name])}
    for name, letters in plain.items():
        for other, frequent in plain.items():
            if 2 * shapes[name] > shapes[other]:
                break
            slip = slip_of(letters, frequent)
            if slip is not None and RARE[slip] * shapes[name] <= shapes[other]:
                yield name, other
                break


def slip_of(name: str, right: str) -> bool | None:
    """Return whether a name is another one with a letter doubled or two swapped, as hands do.

    False: one letter is another, too many or missing, as in some pairs of words. None: anything
    else, and what seldom is a slip: numbers (stage II), single letters (zone a), another first
    letter (ball and wall) and endings (niño and niña).
    """
    if abs(len(name) - len(right)) > 1 or name == right:
        return None
    words, meant = (re.findall(r"[^\W\d_]+|[\W\d_]+", one) for one in (name, right))
    pairs = [pair for pair in zip(words, meant, strict=False) if pair[0] != pair[1]]
    if len(words) != len(meant) or len(pairs) != 1:
        return None
    short, long = sorted(pairs[0], key=len)
    is_counted = {*short + long} <= {*"ivx"}
    if is_counted or not (short + long).isalpha():
        return None
    same = 0  # letters at the beginning
    while same < len(short) and short[same] == long[same]:
        same += 1
    return one_letter(short, long, same)


def one_letter(short: str, long: str, same: int) -> bool | None:
    """Return how two words differ from a place on, see `slip_of`."""
    rest, other = short[same:], long[same:]
    if len(short) == len(long) and rest[:2] == other[1::-1] and rest[2:] == other[2:]:
        return True if same or len(long) >= LONG else None
    if len(long) < LONG or not same:
        return None
    is_ending = len(other) == 1 and {*rest, *other} <= VOWELS
    if len(short) == len(long):
        return False if rest[1:] == other[1:] and not is_ending else None
    if rest != other[1:] or other == "s":
        return None
    is_double = long[same] == long[same - 1]
    return None if is_ending and not is_double else is_double
