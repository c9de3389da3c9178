"""The ids in a file of COCO: of two things, counted from elsewhere, or of files put together."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from weakseg.common import UserError

OF_IMAGE = ("file_name", "width", "height")  # what entries of one image have in common


def known_as(identity: Any) -> str:
    """Return an id as a text: some tools write numbers as texts, others 1 as 1.0."""
    is_whole = isinstance(identity, float) and identity.is_integer()
    return str(int(identity) if is_whole else identity)


def refuse_shared(where: str, kind: str, entries: Sequence[Any], *keys: str) -> None:
    """Refuse entries of a table that have one id but differ in one of these keys."""
    told: dict[str, Any] = {}
    for one in entries:
        other = told.setdefault(known_as(one["id"]), one)
        for key in keys:
            if other.get(key) != one.get(key):
                first, second = (
                    f"{it[keys[0]]}" + f" of {key} {it.get(key)}" * (key != keys[0])
                    for it in (other, one)
                )
                raise UserError(
                    f"{where}: its {kind} {first} and {second} have one id, {one['id']}; give each "
                    "its own"
                )


def refuse_shifted(where: str, classes: Mapping[str, str], annotations: Sequence[Any]) -> None:
    """Refuse annotations that count categories from another number on than their table.

    One of them is in the table nowhere, and the class at its other end is never used. classes: {id:
    name}
    """
    used = Counter(known_as(one.get("category_id")) for one in annotations)
    if not all(key.isascii() and key.isdigit() for key in (*used, *classes)):
        return
    counts, listed = {int(key): number for key, number in used.items()}, {*map(int, classes)}
    strays = sum(number for key, number in counts.items() if key not in listed)
    is_much = strays * len(counts) * 2 >= sum(counts.values())  # as much as of half a class
    if strays and is_much and any({key + by for key in counts} <= listed for by in (1, -1)):
        raise UserError(
            f"{where}: its annotations have the category ids {min(counts)} to {max(counts)}, its "
            f"categories {min(listed)} to {max(listed)}, so that each class may be taken for the "
            "next; count both from one number on, or list the missing category"
        )


def merged_lines(where: str, content: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line where files may have been put together without new numbers, if they were.

    content: of the file
    """
    names = {known_as(one["id"]): str(one["file_name"]) for one in content["images"]}
    listed = Counter(names.values())
    twice = [name for name, number in listed.items() if number > 1]
    if twice:
        yield (
            f"{where}: {len(twice)} images are listed under several ids, the first {twice[0]}; "
            "what is said under each holds together"
        )
    several = in_several_runs(content.get("annotations") or [])
    if several:
        yield (
            f"{where}: annotations of {len(several)} images have ids that others of the file have, "
            f"the first of {names.get(several[0], several[0])}; where files were put together "
            "without new numbers, those of one lie on images of another: import each by itself"
        )


def in_several_runs(annotations: Sequence[Any]) -> list[str]:
    """Return the ids of images that have annotations in several runs in which no id is twice.

    Ids that start anew with each image leave each in one run. Ids that are all equal, or are those
    of categories or images, number no annotation, and tell nothing.
    """
    told = [
        (known_as(one["id"]), known_as(one.get("image_id")), known_as(one.get("category_id")))
        for one in annotations
        if one.get("id") is not None
    ]
    ids, images, categories = zip(*told, strict=True) if told else ((), (), ())
    if len({*ids}) == 1 or ids in (images, categories):
        return []
    run, runs = set[str](), [set[str]()]
    for place, image in zip(ids, images, strict=True):
        if place in run:
            run = set()
            runs.append(set())
        run.add(place)
        runs[-1].add(image)
    number = Counter(image for one in runs for image in one)
    return [image for image in dict.fromkeys(images) if number[image] > 1]
