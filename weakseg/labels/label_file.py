"""The weak-label file: a pickle of plain values with a header, checked when it is read.

A folder of Parquet files (label_folder.py) stands for a file wherever one is read.
"""

import contextlib
import pickle
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from weakseg.common import UserError, atomic_path, evenly
from weakseg.data.base import SegmentationDataset
from weakseg.data.ids import check_ids
from weakseg.labels.agreement import gainsaid, struck
from weakseg.labels.annotators import Options
from weakseg.labels.box_order import BoxOrder
from weakseg.labels.checks import Picture
from weakseg.labels.costs import Counts
from weakseg.labels.doubts.contrary import Contrary
from weakseg.labels.doubts.copied_photographs import copy_notes
from weakseg.labels.doubts.partial_frames import PartialFrames
from weakseg.labels.label_folder import open_folder, shards_in
from weakseg.labels.label_header import LabelHeader, header
from weakseg.labels.label_record import by_image, complete_lists, read_record
from weakseg.labels.plain_pickle import NotPlain, read_plain, write_plain_dict
from weakseg.labels.seen_files import KEY as FILES
from weakseg.labels.seen_files import changed_since, checked_files
from weakseg.labels.simulate import annotate
from weakseg.labels.store_file import is_store, refuse_inner_file
from weakseg.labels.store_labels import store_content
from weakseg.labels.store_masks import COMPARED, give_masks
from weakseg.validation import first_fault, shorten

ANEW = "generate it anew with python weak_label_generator.py"
FIT = ("dataset", "classes", "tag_names")  # what labels and data must have in common
FEW = 50  # pictures whose masks are compared with simulated labels, which anybody may draw again
MEND = "mend the file"  # which people wrote
# What `store_content` says besides, and no file does.
OF_STORES = ("drawn", "strays", "notes", "helped", "behind", "sources")


def save_labels(
    path: str | Path, head: dict[str, Any], count: int, images: Iterable[tuple[str, Any]]
) -> None:
    """Write {**head, "count", "images": {id: {"size": [w, h], signal: annotation, ...}}}.

    head: of `label_header.header`
    images: (id, labels) of `count` images, written as they come; the file appears when it is whole
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        write_plain_dict(file, {**head, "count": count}, "images", images)


def load_labels(path: str | Path, remedy: str = ANEW) -> dict[str, Any]:
    """Return what `save_labels` wrote; of a folder, `images` reads each image when it is asked for.

    Raises `UserError` with the remedy for anything but plain values behind a header that is right.
    """
    refuse_inner_file(path)
    try:
        if Path(path).is_dir():
            content = open_folder(path, remedy)
        else:
            with Path(path).open("rb") as file:
                content = read_plain(file)
        if not isinstance(content, dict):
            raise NotPlain("it holds no table")
        content |= {key: [*one] for key, one in content.items() if isinstance(one, tuple)}
        LabelHeader.model_validate(content)
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: no such weak-label file; {remedy}, or bring labels of people to a store of "
            "that name with python labels.py import"
        ) from error
    except NotPlain as error:
        raise UserError(f"{path}: not a weak-label file ({error}); {remedy}") from error
    except ValidationError as error:
        fault = first_fault(error, LabelHeader)
        raise UserError(f"{path}: not a weak-label file ({fault}); {remedy}") from error
    images = content.get("images")
    number = len(images) if isinstance(images, Mapping) else 0
    if not number or content["count"] != number:
        raise UserError(f"{path}: says {content['count']} images but holds {number}; {remedy}")
    if isinstance(images, dict):  # a folder checks the ids of what is read of it
        check_ids(images, path, remedy)
    return content


def labels_for(
    path: str | Path,
    dataset: SegmentationDataset,
    ids: Sequence[str],
    signals: Collection[str],
    data_dir: str | Path,
    may_lack: bool = False,
    with_masks: bool = True,
    may_miss: bool = False,
) -> "PackedLabels":
    """Return the labels of `ids`, checked: they were made for this data set and these images.

    path: of a weak-label file, or of a folder, of which nothing but these images is read
    signals: that each image must have; labels that people drew may lack some, or whole images
    may_lack: whether simulated labels may lack some of the signals too
    with_masks: whether masks of the data set count that people's labels don't mention
    may_miss: whether all of the images may be without labels
    data_dir: as the user gave it, for the command that a mistake's message proposes
    """
    if is_store(path):
        content = store_content(path, dataset)
    else:
        content = load_labels(path, f"run {command(path, dataset, data_dir)}")
        content = {key: one for key, one in content.items() if key not in OF_STORES}
    is_simulated = bool(content["options"])  # people's labels have none
    remedy = f"run {command(path, dataset, data_dir, content)}" if is_simulated else MEND
    ours = header(dataset, 0, {})
    for key in FIT:
        if content[key] != ours[key]:
            theirs, data = shorten(content[key]), shorten(ours[key])
            raise UserError(f"{path}: made for {key} {theirs}, the data has {data}; {remedy}")
    if is_simulated:
        refuse_other_masks(path, content.get("mask_values") or {}, dataset.mask_meaning, remedy)
    images: Mapping[str, Any] = content["images"]
    packed = PackedLabels(content.get("strays", ()), content.get("notes", ()))
    packed.is_simulated = is_simulated
    packed.helped, packed.behind = content.get("helped", {}), content.get("behind", {})
    packed.sources = content.get("sources", {})
    if not is_simulated and isinstance(images, dict) and "strays" not in content:
        try:
            images, packed.strays = by_image(
                images, {*dataset.ids("trainval"), *dataset.ids("test")}
            )
        except ValueError as error:
            raise UserError(f"{path}: {error}") from error
    missing = {name for name in ids if name not in images}
    all_miss = bool(missing) and len(missing) == len(ids)
    is_free = may_miss and all_miss
    may_lack = may_lack or is_free
    takes_masks = with_masks and "full" in signals and (is_free or not is_simulated)
    own_masks = {*dataset.masked(ids)} if takes_masks else set()
    if missing and not is_free and (is_simulated or (all_miss and not own_masks)):
        raise UserError(
            f"{path}: {len(missing)} of {len(ids)} images have no labels, the first is "
            f"{min(missing)}; {remedy}"
        )
    try:
        complete = complete_lists(content.get("complete", is_simulated))
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    if "full" in signals and "drawn" in content:
        packed.notes += give_masks(path, dataset, content["drawn"], ids)
    order = BoxOrder()
    seen: dict[str, list[str]] = {}
    for name in ids:
        picture = picture_of(dataset, name, is_simulated, in_pixels="drawn" in content)
        try:
            record = {} if name in missing else images[name]
            if name in own_masks:
                record = with_mask(record, dataset, name)
            lacks = may_lack or not is_simulated
            labels = read_record(record, picture, signals, complete, lacks)
            told = labels.pop(FILES, None)
            if is_simulated and told is not None:
                seen[name] = checked_files(told)
        except ValueError as error:
            end = f"; {remedy}" if is_simulated else ""
            raise UserError(f"{path}: {name}: {error}{end}") from error
        if "full" in signals and "full" in labels:
            if not is_simulated and not dataset.mask_path(name).exists():
                raise UserError(
                    f"{path}: {name}: has 'full', the price of a mask, but no mask is in "
                    f"{dataset.mask_path(name)}; add it, or take 'full' out"
                )
            dataset.check_mask_size(name)
        packed.add(name, labels)
        for box in record.get("boxes", ()) if "boxes" in signals else ():
            order.add(box, picture.size)
    if not is_simulated and order.fault:
        raise UserError(f"{path}: {order.fault}")
    packed.notes += changed_since(path, dataset, seen, remedy)
    if not is_simulated:
        paths = {name: dataset.image_path(name) for name in packed}
        names = dataset.class_names, dataset.tag_names, dataset.has_background
        packed.notes += copy_notes(path, paths, packed.__getitem__, names)
        packed.notes += contradictions(path, dataset, packed, signals)
    elif are_exact(content["options"]):
        packed.notes += denied_by_masks(path, dataset, packed, {*signals} - {"pixels"}, FEW)
    return packed


def are_exact(options: Mapping[str, Any]) -> bool:
    """Return whether simulated labels lie where their masks show their classes."""
    return not options.get("noise") and not options.get("clicks")


def contradictions(
    path: str | Path,
    dataset: SegmentationDataset,
    labels: Mapping[str, Any],
    signals: Collection[str],
) -> Iterator[str]:
    """Yield lines on labels that others of the same pictures deny: by strokes, frames, tags, masks.

    signals: that were checked
    """

    has_strokes = "scribbles" in signals
    on_strokes = [
        (name, place)
        for name in labels
        if has_strokes
        for place in struck(of_kinds(labels[name], signals))
    ]
    if on_strokes:
        name, place = on_strokes[0]
        yield (
            f"{path}: {len(on_strokes)} clicks or answers lie on a stroke of another class, the "
            f"first is {place} of {name}; mend one of the two"
        )
    contrary = Contrary(dataset.class_names, dataset.has_background)
    for name in labels:
        contrary.add(name, of_kinds(labels[name], signals))
    yield from (f"{path}: {line}" for line in contrary.lines())
    yield from denied_by_masks(path, dataset, labels, signals, COMPARED)


def of_kinds(labels: Mapping[str, Any], signals: Collection[str]) -> dict[str, Any]:
    """Return an image's labels of some kinds, with its size."""
    return {key: value for key, value in labels.items() if key == "size" or key in signals}


def denied_by_masks(
    path: str | Path,
    dataset: SegmentationDataset,
    labels: Mapping[str, Any],
    signals: Collection[str],
    most: int,
) -> Iterator[str]:
    """Yield lines on labels where masks show another class or more, which may only be tested on.

    Answers may well err; those beside masks that are learned from are told nonetheless.
    signals: kinds that were checked; most: pictures that are looked at
    """
    shown = {*signals} - {"full"}
    beside = [name for name in labels if len(of_kinds(labels[name], shown)) > 1]
    masked = evenly(dataset.masked(beside), most)
    denied, partial = [], PartialFrames()
    for name in masked:
        kinds = shown if "full" in labels[name] else shown - {"pixels"}
        with contextlib.suppress(UserError):  # whoever needs the mask says what is wrong
            told, mask = of_kinds(labels[name], kinds), dataset.mask(name)
            denied += [(name, one) for one in gainsaid(told, mask)]
            partial.add(name, told | {"complete": labels[name].get("complete", ())}, mask)
    yield from (f"{path}: {line}" for line in partial.lines())
    if denied:
        name, place = denied[0]
        yield (
            f"{path}: {len(denied)} labels lie where a mask shows another class, the first is "
            f"{place} of {name}; mend one of the two"
        )


def with_mask(record: Any, dataset: SegmentationDataset, name: str) -> Any:
    """Return the labels of an image, with the price of its mask unless they state it."""
    if not isinstance(record, Mapping) or "full" in record:
        return record
    return {**record, **annotate(dataset, name, Options(), 0, ("full",)), **record}


def refuse_other_masks(
    path: str | Path, drawn: Mapping[str, str], ours: Mapping[str, str], remedy: str
) -> None:
    """Refuse labels that were drawn from masks whose values meant something else.

    drawn, ours: {value in mask files: what it means}; {} where it is not told. A value that one of
    them lacks was in no mask.
    """
    shared = [value for value in drawn if value in ours]
    other = [value for value in shared if drawn[value] != ours[value]]
    if other or (drawn and ours and not shared):
        value = (other or [*drawn])[0]
        raise UserError(
            f"{path}: was drawn from masks in which {value} means {drawn[value]}, but here it "
            f"means {ours.get(value, 'nothing')}; give --mask_values and --mask_ignore as then, or "
            f"{remedy}"
        )


def picture_of(
    dataset: SegmentationDataset, name: str, is_simulated: bool, in_pixels: bool = False
) -> Picture:
    """Return what the labels of an image must fit."""
    return Picture(
        dataset.image_size(name),
        dataset.class_names,
        dataset.tag_names,
        dataset.has_background,
        is_simulated,
        in_pixels,
    )


class PackedLabels(Mapping[str, Any]):
    """{id: labels} in memory, each image's labels pickled: an eighth of Python's own numbers.

    strays: names in the file that are of no image of the data set
    notes: lines for people
    is_simulated: whether the program drew them, and no person
    helped, behind, sources: of a store, see `store_content`
    """

    def __init__(self, strays: Sequence[str] = (), notes: Sequence[str] = ()) -> None:
        self.packed: dict[str, bytes] = {}
        self.strays, self.notes = strays, [*notes]
        self.is_simulated = False
        self.helped: Mapping[str, Collection[str]] = {}
        self.behind: Mapping[str, Counts] = {}
        self.sources: Mapping[str, Sequence[str]] = {}

    def add(self, name: str, labels: Any) -> None:
        """Take in the labels of an image."""
        self.packed[name] = pickle.dumps(labels, protocol=4)

    def __getitem__(self, name: str) -> Any:
        return pickle.loads(self.packed[name])  # bytes that this process wrote

    def __iter__(self) -> Iterator[str]:
        return iter(self.packed)

    def __len__(self) -> int:
        return len(self.packed)

    def __or__(self, other: "PackedLabels") -> "PackedLabels":
        both = PackedLabels(self.strays, [*self.notes, *other.notes])
        both.is_simulated = self.is_simulated
        both.helped, both.behind, both.sources = self.helped, self.behind, self.sources
        both.packed = self.packed | other.packed
        return both


def command(
    path: str | Path,
    dataset: SegmentationDataset,
    data_dir: str | Path,
    content: Mapping[str, Any] | None = None,
) -> str:
    """Return the generator's command line that makes labels for `dataset`.

    content: of a weak-label file, whose annotator's options are taken over
    """
    words: list[object] = ["python", "weak_label_generator.py", "--data_dir", data_dir]
    words += [*dataset.flags, "--output_file", path]
    shards = shards_in(path)
    if shards:
        words += ["--shards", shards]
    content = content or {}
    options = content.get("options")
    drawn_with = {**options, "seed": content.get("seed")} if isinstance(options, dict) else {}
    usual = asdict(Options()) | {"seed": 0}
    for name, default in usual.items():
        value = drawn_with.get(name, default)
        several = list(value.values()) if isinstance(value, dict) else [value]
        # The file is not to be trusted with more than numbers on somebody's command line.
        if value != default and all(isinstance(one, (int, float)) for one in several):
            words += [f"--{name}"] if isinstance(default, bool) else [f"--{name}", *several]
    return shlex.join(map(str, words))
