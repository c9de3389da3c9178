"""Labels of photographs that EXIF turns, of which no size tells how who drew them saw these.

Half a turn, a mirror image and any turn of a square keep a picture's size, and some files state no
size at all. Labels are taken as drawn on the upright picture. Where outlines show by the edges in
several pictures that they were not, that is told, and so is what nothing shows. A tool that shows
photographs upright leaves only the former, since others write its format too.
"""

from collections.abc import Iterator, Sequence

from weakseg.labels.doubts.edge_fit import upright_evidence
from weakseg.labels.fitting import Seen, places_of, similar
from weakseg.labels.formats.records import AREAS, SHARES, PictureRecord
from weakseg.labels.matched import Matched
from weakseg.labels.matching import Pictures

SURE = 3.5  # Student's t from which on it is no chance that outlines fit one way


def turned_lines(
    there: Sequence[Matched], pictures: Pictures, is_upright: bool = False
) -> Iterator[str]:
    """Yield a line on turned photographs that labels may have been drawn on as they are stored.

    There is none where outlines fit the edges upright, or the size of another one shows that who
    drew saw it so, nor of labels that an export of ours holds. there: the records of a file
    is_upright: whether the tool whose format it is shows photographs so
    """
    turned = [one for one in there if one.seen.turn != 1 and is_drawn(one.record)]
    sized = [one for one in turned if is_told(one.record, one.seen)]
    if any(similar(one.record.size or SHARES, one.seen.size) for one in sized):
        return
    doubtful = [one for one in turned if not is_told(one.record, one.seen)]
    evidence = upright_evidence(doubtful, pictures.files) if doubtful else SURE
    if evidence >= SURE:
        return
    turns = f"EXIF turns {len(doubtful)} photographs, the first {pictures.paths[doubtful[0].key]}"
    way_out = "take the orientation out of these photographs"
    if sized or evidence <= -SURE:
        shown = f"the sizes of {len(sized)} others show" if sized else "edges in them show"
        yield f"{turns}; {shown} that labels were drawn on the pixels as stored: {way_out}"
        return
    if is_upright:
        return
    yield (
        f"{turns}; their labels are taken as drawn on them upright, and no size tells; if on the "
        f"pixels as stored, {way_out} (labels.py show draws them)"
    )


def is_drawn(record: PictureRecord) -> bool:
    """Return whether a record has places in its picture that somebody else than we wrote down."""
    is_ours = record.noted is not None or any(shape.origin for shape in record.shapes)
    return not is_ours and any(shape.kind in AREAS or places_of(shape) for shape in record.shapes)


def is_told(record: PictureRecord, seen: Seen) -> bool:
    """Return whether the size that a record states tells on which side its picture stood."""
    is_sideways = seen.turn > 4 and not similar(seen.size, seen.stored)
    return is_sideways and record.size not in (None, SHARES)
