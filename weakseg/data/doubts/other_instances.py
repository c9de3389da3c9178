"""Numbers of objects that may belong to other pictures than the masks of classes beside them."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from weakseg.common import IGNORE, UserError, evenly
from weakseg.data.doubts.mask_tally import MOST, PIXELS

# Share of the pixels of numbers on background, and of objects without a number: more than in two
# drawings of one object, and the least mean over all pictures.
APART, MEAN = 0.1, 0.2
MANY, FEWEST = 0.5, 5  # of the pictures, those that are so

Reader = Callable[[str], np.ndarray | None]


def shares_apart(mask: np.ndarray, numbers: np.ndarray) -> tuple[float, float] | None:
    """Return the shares of numbers that lie on background, and of objects that have none.

    mask: [H, W] uint8, class numbers; numbers: [H, W] of objects. None where either shows nothing.
    """
    known = mask != IGNORE
    shown, numbered = known & (mask > 0), known & (numbers > 0)
    if not shown.any() or not numbered.any():
        return None
    both = np.count_nonzero(shown & numbered)
    return 1 - both / np.count_nonzero(numbered), 1 - both / np.count_nonzero(shown)


def looked_at(
    names: Iterable[str], *readers: Reader
) -> Iterator[tuple[str, tuple[np.ndarray, ...]]]:
    """Yield (id, what each reader returns) of some pictures, where these have one shape.

    What can't be read, or is None, is left out.
    """
    room = PIXELS
    for name in evenly([*names], MOST):
        try:
            read = [reader(name) for reader in readers]
        except UserError:  # whoever needs it says why
            continue
        found = tuple(one for one in read if one is not None)
        if len(found) < len(read) or len({one.shape for one in found}) > 1:
            continue
        yield name, found
        room -= found[0].size
        if room < 0:
            return


def instance_notes(
    where: object, names: Iterable[str], mask_of: Reader, numbers_of: Reader
) -> list[str]:
    """Return a line where numbers of objects and masks show other places in most pictures, if so.

    Some objects may well lack a number, and a number may reach beyond its object; but not both.
    where: the folder of the numbers; mask_of, numbers_of: return those of an id, of class numbers
    and of objects, [H, W]
    """
    least, apart = list[float](), dict[str, float]()
    for name, (mask, numbers) in looked_at(names, mask_of, numbers_of):
        if shares := shares_apart(mask, numbers):
            least.append(min(shares))
            if min(shares) > APART:
                apart[name] = shares[0]
    if len(apart) < max(FEWEST, MANY * len(least)) or np.mean(least) < MEAN:
        return []
    first, share = next(iter(apart.items()))
    return [
        f"{where}: in {len(apart)} of {len(least)} pictures that were looked at numbers of objects "
        f"lie beside the objects of the masks, in the first, {first}, {share:.0%} of their pixels "
        "on background; if they are of other pictures, mend their names, or remove the folder"
    ]
