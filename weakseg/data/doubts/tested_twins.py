"""Images that test, or validate, what was trained on them: as equal files, by looks, by names."""

from collections.abc import Callable, Collection
from pathlib import Path

from weakseg.common import evenly
from weakseg.data.doubts.named_copies import parted_copies
from weakseg.data.doubts.saved_anew import saved_anew
from weakseg.data.groups import FILE as GROUPS
from weakseg.data.twins import equal_files

COMPARED = 5000  # test images at most whose files are compared with others


def twin_notes(
    root: Path,
    ids_of: Callable[[str], list[str]],
    grouped: Collection[str],
    path_of: Callable[[str], Path],
) -> list[str]:
    """Return lines on images to test on that are trained on too, else on those to validate on.

    Two that `groups.txt` names in two groups are known not to be called alike.

    root: of the data set; ids_of: returns the ids of a split; grouped: those that have a group
    """
    names, others = ids_of("test"), ids_of("trainval")
    tested, trained = [*map(path_of, evenly(names, COMPARED))], [*map(path_of, others)]
    twins = equal_files(tested, trained)
    lines = []
    if twins:
        one, other = (path.relative_to(root) for path in twins[0])
        lines.append(
            f"{root}: {len(twins)} of {len(tested)} test images are also trained on, the first "
            f"{one} as {other}, so scores are too good; remove one of the two"
        )
    called = [
        pair for pair in parted_copies(names, others) if not all(name in grouped for name in pair)
    ]
    told = {path for path, _ in twins} | {path_of(name) for name, _ in called}
    left = [path for path in tested if path not in told]
    alike = saved_anew(left, trained, {*map(path_of, ids_of("val"))})
    for kind, pairs in zip(("test", "validation"), alike, strict=True):
        pairs = [pair for pair in pairs if not equal_files(pair[:1], pair[1:])]
        if pairs and not (lines or (called and kind == "validation")):
            one, other = (path.relative_to(root) for path in pairs[0])
            lines.append(
                f"{root}: at least {len(pairs)} {kind} images look the same as images to train "
                f"on, perhaps turned or smaller, the first {one} as {other}, so scores are too "
                f"good; remove one of the two, or give both one group in {GROUPS}"
            )
    if called:
        first, source = called[0]
        lines.append(
            f"{root}: {len(called)} of {len(names)} test images are called as copies of images to "
            f"train on, the first {first} of {source}; if they show one photograph, scores are "
            f"too good; give both one group in {GROUPS}"
        )
    return lines
