"""What lies beside an import and knows more of it: whose masks these are, and of what pictures."""

import contextlib
from collections.abc import Collection
from pathlib import Path

from weakseg.common import UserError
from weakseg.data.contents import content_of
from weakseg.data.predictions import folder_of_predictions, journal_of
from weakseg.data.reading import counted
from weakseg.labels.matching import Pictures
from weakseg.labels.seen_photographs import changed_in_store
from weakseg.labels.store import opened_store


def notes_of_predictions(path: Path, pictures: Pictures, given: Collection[str]) -> list[str]:
    """Return lines on masks that are a model's own, and on photographs that it didn't see.

    path: of an import, of which only what predict.py wrote, or what lies there, is told; given:
    ids of the pictures that it has labels of
    """
    folder = folder_of_predictions(path)
    if folder is None:
        return []
    own, seen, changed = list[str](), 0, list[str]()
    for name, line in journal_of(folder).items():
        match = None
        with contextlib.suppress(UserError):  # of two pictures that it may be
            match = pictures.find(name)
        if match is None or match.key not in given:
            continue
        mask = folder / "masks" / f"{name}.png"
        if mask.is_relative_to(path.resolve()) and "mask" in line:
            own += [match.key] * (content_of(mask, is_whole=True) == line["mask"])
        if "held" in line:  # lines of an earlier version don't say it
            seen += 1
            held = content_of(pictures.files[match.key], is_whole=False)
            changed += [match.key] * (held != line["held"])
    lines = []
    if own:
        lines.append(
            f"{len(own)} masks are as predict.py wrote them, the first of {own[0]}, and are taken "
            "as if a person had drawn them; where nobody checked them, leave them out"
        )
    if changed:
        lines.append(
            f"{len(changed)} of {counted(seen, 'photograph')} changed since predict.py saw them, "
            f"the first of {changed[0]}; predict them again if they show something else"
        )
    return lines


def notes_of_store(folder: Path, pictures: Pictures) -> list[str]:
    """Return a line a source of a store whose photographs are others than it labelled."""

    def contents_of(names: Collection[str]) -> dict[str, str]:
        return {key: content_of(pictures.files[key], is_whole=False) for key in sorted(names)}

    with opened_store(folder) as store:
        return changed_in_store(folder, store, contents_of, {*pictures.files})
