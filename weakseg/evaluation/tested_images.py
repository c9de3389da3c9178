"""The images that runs are tested on: those that have masks, and the same for all of them."""

from collections.abc import Sequence

from weakseg.common import UserError, evenly
from weakseg.data.base import SegmentationDataset
from weakseg.data.datasets import say
from weakseg.data.doubts.rims import rim_notes
from weakseg.data.image_io import read_mask
from weakseg.data.twins import equal_files
from weakseg.evaluation.other_masks import OtherMasks

COMPARED = 1000  # masks at most whose files are compared with the truth


def restrict(datasets: Sequence[SegmentationDataset], others: Sequence[OtherMasks]) -> None:
    """Test on the images whose masks are there, true and predicted; say how many are not."""
    lines: list[str] = []
    for dataset in datasets:
        names = dataset.ids("test")
        masked = dataset.masked(names)
        if not names:
            dataset.test_on(names)  # says what is missing
        if not masked:
            raise UserError(
                f"{dataset.mask_path(names[0])}: no such mask, nor those of {len(names) - 1} "
                "other test images; draw some, or choose other images for the test"
            )
        if len(masked) < len(names):
            lines.append(
                f"{dataset.root}: {len(names) - len(masked)} of {len(names)} test images have no "
                "mask yet; they are left out"
            )
        for masks in others:
            there = masks.of(masked)
            lines += masks.passed_over(masked, len(dataset.class_names))
            if len(there) < len(masked):
                lines.append(
                    f"{masks.folder}: {len(masked) - len(there)} of {len(masked)} test images have "
                    "no predicted mask; they are left out"
                )
            masked = there
            paths = [masks.path(name) for name in masked]
            lines += rim_notes(masks.folder, paths, read_mask, tells_specks=False)
            lines += truth_notes(dataset, masks, masked)
        dataset.test_on(masked)
    say(lines)


def truth_notes(dataset: SegmentationDataset, masks: OtherMasks, names: Sequence[str]) -> list[str]:
    """Return a line where many predicted masks are the files of the truth itself, if they are.

    names: of images that have both
    """
    looked = evenly([*names], COMPARED)
    pairs = [(masks.path(name), dataset.mask_path(name)) for name in looked]
    equal = [one for one, truth in pairs if equal_files([one], [truth])]
    if len(equal) <= len(looked) / 2:
        return []
    return [
        f"{masks.folder}: {len(equal)} of {len(looked)} predicted masks are copies of the true "
        f"ones, the first {equal[0].name}; scores say nothing unless a model predicted them"
    ]


def check_test(data: dict[str, SegmentationDataset]) -> None:
    """Refuse test splits that differ or have unfit masks, before anything is predicted.

    data: {name of a run: its data set}. What else is missing there is said once.
    """
    first = next(iter(data))
    lines: list[str] = []
    for name, dataset in data.items():
        one, other = ((d.test_fingerprint(), d.test_contents()) for d in (data[first], dataset))
        if one != other:
            raise UserError(
                f"runs {first} and {name} have different test images or classes; "
                "choose with --run_name"
            )
        lines += [*dataset.notes(), *dataset.check_test_masks()]
    say(lines)
