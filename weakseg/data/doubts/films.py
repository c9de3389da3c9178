"""Frames of one film, which a split parts: their names run on, and neighbours look nearly alike.

Numbers alone count photographs as well. So some neighbours are looked at: in a film they are far
more alike than frames that lie apart.
"""

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from weakseg.common import UserError, evenly
from weakseg.data.doubts.named_copies import plain
from weakseg.data.groups import FILE as GROUPS
from weakseg.data.image_io import image_size
from weakseg.data.looks import look_of

FRAME = re.compile(r"(.*?)[/ ._-]*(\d+)(\D*)")  # a film, its frame, and what follows in all
FILMS, FRAMES, PAIRS = 8, 8, 10  # films that are looked at; frames that one has; neighbours of each
PIXELS = 60_000_000  # of the frames that are looked at
ALIKE = 0.7  # correlation that half of the neighbours have at least
CLOSER = 0.85  # share of comparisons in which neighbours are more alike than frames apart
SHARE = 0.5  # of the films that are looked at, those that are so; of their frames, those parted
FEWEST, FEWEST_PARTED = 6, 2  # neighbours that tell; frames to test on

Film = dict[int, str]  # {number of a frame: id}


def films_of(names: Iterable[str]) -> dict[str, Film]:
    """Return {what stands around the number: frames in order} of ids that are called as frames."""
    films: dict[str, Film] = {}
    for name in names:
        if match := FRAME.fullmatch(plain(name)):
            film, number, rest = match.groups()
            films.setdefault(f"{film}{rest}", {})[int(number)] = name
    return {
        film: dict(sorted(frames.items()))
        for film, frames in films.items()
        if len(frames) >= FRAMES
    }


def is_film(looks: Mapping[int, np.ndarray], neighbours: Collection[tuple[int, int]]) -> bool:
    """Return whether neighbours are nearly alike, and far more so than other pairs.

    looks: {place of a frame: its greys}; neighbours: their places
    """
    places = sorted(looks)
    likeness = likeness_of([looks[place] for place in places])
    row = {place: number for number, place in enumerate(places)}
    near = np.array([likeness[row[one], row[other]] for one, other in neighbours])
    apart = np.abs(np.subtract.outer(places, places)) > 2
    if not apart.any() or np.median(near) < ALIKE:
        return False
    return bool(np.mean(near[:, None] > likeness[apart][None]) >= CLOSER)


def likeness_of(looks: Sequence[np.ndarray]) -> np.ndarray:
    """Return the correlations [N, N] of the greys of some photographs, [S, S] each."""
    greys = np.stack([look.ravel() for look in looks])
    greys = greys - greys.mean(1, keepdims=True)
    greys /= np.maximum(np.linalg.norm(greys, axis=1, keepdims=True), 1e-6)
    return greys @ greys.T


def parted_frames(film: Film, tested: Collection[str], trained: Collection[str]) -> dict[str, str]:
    """Return {frame to test on: the one before or after it, which is trained on}.

    {} where most frames to test on have none, as those of a stretch of the film.
    """
    names = [None, *film.values(), None]
    frames, parted = 0, dict[str, str]()
    for before, name, after in zip(names, names[1:], names[2:], strict=False):
        if name is not None and name in tested:
            frames += 1
            near = next((one for one in (before, after) if one in trained), None)
            parted |= {name: near} if near else {}
    return parted if len(parted) >= SHARE * frames else {}


def are_films(films: Collection[Film], path_of: Callable[[str], Path]) -> bool:
    """Return whether most of some films are, by their looks; what can't be read proves nothing."""
    room, seen, proven = PIXELS, 0, 0
    for film in evenly([*films], FILMS):
        names = [*film.values()]
        pairs = [(place, place + 1) for place in evenly(range(len(names) - 1), PAIRS)]
        looks = dict[int, np.ndarray]()
        for place in sorted({place for pair in pairs for place in pair}):
            path = path_of(names[place])
            try:
                room -= math.prod(image_size(path))
            except UserError:  # whoever needs it says why
                continue
            look = look_of(path) if room >= 0 else None
            if look is not None:
                looks[place] = look
        pairs = [pair for pair in pairs if {*pair} <= looks.keys()]
        if len(pairs) >= FEWEST:
            seen += 1
            proven += is_film(looks, pairs)
    return proven > 0 and proven >= SHARE * seen


def film_notes(
    root: Path,
    ids_of: Callable[[str], list[str]],
    grouped: Collection[str],
    path_of: Callable[[str], Path],
) -> list[str]:
    """Return a line where a split parts films at random, so that it tests beside trained frames.

    root: of the data set; ids_of: returns the ids of a split; grouped: those that have a group
    """
    free = {split: {*ids_of(split)} - {*grouped} for split in ("train", "val", "test")}
    films = films_of(sorted(set.union(*free.values())))
    for kind, tested, trained in (
        ("test", free["test"], free["train"] | free["val"]),
        ("validation", free["val"], free["train"]),
    ):
        frames = {title: parted_frames(film, tested, trained) for title, film in films.items()}
        parted = {title: pairs for title, pairs in frames.items() if pairs}
        if sum(map(len, parted.values())) < FEWEST_PARTED:
            continue
        if are_films([films[title] for title in parted], path_of):
            is_one = [len(film) for film in films.values()] == [sum(map(len, free.values()))]
            return [f"{root}: {line_on(kind, len(tested), parted, is_one)}"]
    return []


def line_on(kind: str, total: int, parted: Mapping[str, dict[str, str]], is_one: bool) -> str:
    """Return what to say of parted films {film: {frame to test on: one to train on}}.

    kind, total: of the images to test on; is_one: whether all images are of one film
    """
    title, pairs = next(iter(parted.items()))
    frame, other = next(iter(pairs.items()))
    group = title.strip(" /._-").replace(",", " ") or "film"
    which = ("stretch of the film", f"{group} 1") if is_one else ("film", group)
    return (
        f"{sum(map(len, parted.values()))} of {total} {kind} images are, by names and looks, "
        f"frames of a film beside others that are trained on, the first {frame} beside {other}, so "
        f"scores are too good; give those of one {which[0]} one group in {GROUPS}, a line "
        f"'{frame}, {which[1]}' for each"
    )
