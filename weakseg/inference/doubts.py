"""What of the pictures that were predicted a model may not have been made for: it is told."""

from collections.abc import Iterable, Iterator

from weakseg.data.predictions import Line
from weakseg.data.reading import Reading, counted


def doubts(folder: str, reading: Reading, is_of_run: bool, lines: Iterable[Line]) -> Iterator[str]:
    """Yield a line for each kind of doubtful picture.

    folder: as --images names it; reading: of its pictures; is_of_run: whether the range of values
    is what the run learnt with; lines: of the journal
    """
    grey, shallow, masks = list[str](), list[str](), list[str]()
    for line in lines:  # which may be many: only names are kept
        grey += [line["id"]] * bool(line.get("one_grey"))
        shallow += [line["id"]] * bool(line.get("shallow"))
        masks += [line["file"]] * bool(line.get("like_mask"))
    if grey and reading.value_range:
        low, high = reading.value_range
        yield (
            f"{counted(len(grey), 'picture')}, the first {grey[0]}, show next to nothing "
            f"between {low:g} (black) and {high:g} (white), which the run knows; if their "
            "values mean something else, give --value_range"
        )
    if shallow and is_of_run:
        yield (
            f"{counted(len(shallow), 'picture')}, the first {shallow[0]}, are shown as they are, "
            "in 8 bits, and the run learnt from deeper ones; if these are copies of such, predict "
            "the originals"
        )
    if masks:
        yield (
            f"{folder}: {counted(len(masks), 'picture')}, the first {masks[0]}, look like masks: "
            "they show numbers of classes alone; give --images the folder of photographs"
        )
