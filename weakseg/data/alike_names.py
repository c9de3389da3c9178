"""Names of classes that may be one class, written in two ways."""

from collections.abc import Iterator, Sequence

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
