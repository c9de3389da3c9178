"""Labels of other tools in, and out again: one store for all that people give.

    python labels.py import export.zip --images my_data/images --output labels/mine
    python labels.py import boxes.xml clicks.json --images my_data/images --output labels/mine \\
        --complete boxes --map "Dog=dog,phone=-"
    python labels.py check --labels labels/mine
    python labels.py check --labels labels/mine --images my_data/images --wrong 24
    python labels.py show --labels labels/mine --images my_data/images
    python labels.py export --labels labels/mine --format coco --output coco.json
    python labels.py prices --labels labels/mine --output my.yaml

`import` takes CVAT for images, Label Studio, LabelMe, COCO, Pascal VOC, YOLO, Supervisely, folders
of masks, and a simple CSV or JSON of our own, as files, folders or zip archives, and tells them
apart by their content; of stores of other people, it says how far they agree. `train.py --labels
labels/mine` learns from the store. `prices` says what each kind of label takes you, by the clock of
annotate.py; `study.py --cost_schedule my.yaml` plans with that. `labels.py COMMAND --help` lists
the flags of a command.
"""

from __future__ import annotations

import argparse
import shlex
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from weakseg.common import UserError, printable, run_cli
from weakseg.labels import options
from weakseg.labels.formats.table import FORMATS

if TYPE_CHECKING:
    from weakseg.labels.carried import Carried
    from weakseg.labels.formats.records import Classes
    from weakseg.labels.imported import Imported, Wishes
    from weakseg.labels.matching import Pictures
    from weakseg.learners.features import FeatureMaps

ACROSS = 6  # tiles of a contact sheet in a row
WRONG = ("wrong.csv", "wrong.png")  # what `check --wrong` writes in a store's folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    return options.parse_args(argv, description=__doc__)


def main(args: argparse.Namespace) -> None:
    commands = {"import": import_labels, "export": export, "check": check, "show": show}
    commands["prices"] = prices
    commands[args.command](args)


def import_labels(args: argparse.Namespace) -> None:
    """Read the files into the store, and say what came of them."""
    from weakseg.data.class_list import is_background
    from weakseg.data.doubts.masks_among import masks_among
    from weakseg.labels.doubts.sent_back import sent_back_lines
    from weakseg.labels.doubts.slips import withdrawn_lines
    from weakseg.labels.formats.records import Classes
    from weakseg.labels.imported import distrust_empty, refuse_same_source
    from weakseg.labels.importing import keep, read_labels
    from weakseg.labels.matching import Pictures
    from weakseg.labels.naming import renamed_lines, unused
    from weakseg.labels.seen_photographs import note_photographs
    from weakseg.labels.stale import without_stale
    from weakseg.labels.store import opened_store

    pictures, wishes = Pictures(args.images), wishes_of(args)
    say_all(masks_among(pictures.files, pictures.folder, "move them out of that folder"))
    files = [read_labels(path, pictures, wishes) for path in args.files]
    refuse_same_source(files)
    distrust_empty(files)
    all_classes(Classes(), wishes, files)  # what is refused makes no store
    with opened_store(args.output, create=True) as store:
        classes = all_classes(store.classes(), wishes, files)
        for found in files:
            report(found, pictures, wishes.meaning.classes.names)
            say_all(f"  {line}" for line in without_stale(store, found, args.source))
            before = store.given()
            change = keep(store, found)
            for source, given in found.sources.items():
                paths = {key: pictures.files[key] for key in given}
                note_photographs(store, source, paths, found.held.get(source, {}))
            say(
                f"  {change.added} shapes added, {change.removed} removed, {change.kept} as "
                f"before; {change.pictures} of {found.pictures} pictures changed"
            )
            lines = [*renamed_lines(change.renamed, wishes.names)]
            if wishes.complete != ():  # of --complete none
                accounted = found.hidden | found.stated
                lines += withdrawn_lines(change.withdrawn, accounted, found.complete)
            for line in lines:
                say(f"  {line}")
            say_all(f"  {line}" for line in sent_back_lines(found.sources, before))
            if change.removed:
                say(f"  removed: of {', '.join(found.sources)} before; another --source keeps both")
        store.say_classes(classes)
    for line in unused(wishes.names, {name for one in files for name in one.called}):
        say(line)
    if args.classes and not is_background(classes.names[0]):
        say(f"{args.output}: {classes.names[0]} is the background, since --classes names it first")
    print_state(args.output, wishes.meaning.classes.names, files)
    images = Path(args.images)
    data_dir = images.parent if images.name == "images" else images
    words = ["train.py", "--supervision_mode", "any", "--learner", "probe"]
    words += ["--labels", args.output, "--data_dir", str(data_dir)]
    look = ["labels.py", "check", "--labels", args.output, "--images", args.images, "--wrong", "24"]
    say(f"a look at what is probably wrong: {shlex.join(['python', *look])}")
    say(f"next: {shlex.join(['python', *words, '--run_name', Path(args.output).name])}")


def wishes_of(args: argparse.Namespace) -> Wishes:
    """Return what the flags of `import` say, with the classes that are known."""
    from weakseg.data.class_list import is_background
    from weakseg.data.mask_values import MaskValues
    from weakseg.labels.formats.masks import Meaning
    from weakseg.labels.formats.records import Classes
    from weakseg.labels.imported import Wishes
    from weakseg.labels.naming import classes_beside, renames

    named = tuple(unicodedata.normalize("NFC", name) for name in args.classes)
    classes = Classes(named) if named else classes_beside(args.images)
    late = next((name for name in args.classes[1:] if is_background(name)), None)
    if late:
        raise UserError(f"--classes {' '.join(args.classes)}: {late} must stand first")
    if (args.mask_values or args.mask_ignore is not None) and not classes.names:
        raise UserError("--mask_values, --mask_ignore: name the classes too, with --classes")
    values = MaskValues.of_flags(args.mask_values, args.mask_ignore, classes.names)
    return Wishes(
        format=args.format,
        areas_as=args.areas_as,
        is_empty=args.empty == "background",
        complete=() if "none" in (args.complete or ()) else args.complete,
        names=renames(args.map),
        meaning=Meaning(classes, values),
        source=args.source,
    )


def all_classes(before: Classes, wishes: Wishes, files: list[Imported]) -> Classes:
    """Return the classes of a store: those that are known, or else all that its labels show."""
    from weakseg.labels.formats.records import Classes
    from weakseg.labels.naming import listed_together, refuse_alike

    if wishes.meaning.classes.names:
        return wishes.meaning.classes
    known = listed_together(before, {str(one.path): one.listed for one in files})
    names = [*(known.names or ["background"])]
    for one in files:  # in the order of its own list, by which masks beside it may be numbered
        names += sorted(one.classes, key=[*one.named, *one.classes].index)
    refuse_alike(names)
    return Classes(tuple(dict.fromkeys(names)), known.has_background)


def report(found: Imported, pictures: Pictures, known: Sequence[str]) -> None:
    """Say what came of one file: a line for each thing that a person must know.

    known: the classes that somebody listed
    """
    from weakseg.labels.doubts.store_check import placing_lines
    from weakseg.labels.doubts.unfinished import unfinished_lines
    from weakseg.labels.imported import in_several

    say(f"{found.path}: {found.title}, {found.pictures} pictures of {pictures.folder}")
    if found.shown:
        say(f"  {', '.join(f'{number} {kind}' for kind, number in found.shown.items())}")
    if found.absent:
        say(f"  {len(found.absent)} pictures are not there, the first is {found.absent[0]}")
    if found.others:
        (name, title), number = found.others[0], len(found.others)
        say(
            f"  {number} files of another format are left out, the first is {name} ({title}); "
            "import them by their names"
        )
    if found.empty:
        say(f"  {found.empty} pictures have no shape: {EMPTY[found.is_empty]}")
        say_all(f"  {line}" for line in unfinished_lines(found.sources) if found.is_empty)
    for line in found.dropped.lines():
        say(f"  {line}")
    if found.dropped.hidden:
        number = len(found.dropped.hidden)
        say(f"  {number} pictures lost shapes, so that none of their lists is complete")
    slips = found.slips.lines(found.classes, known)
    for line in (*slips, *found.order.lines(), *in_several(found)):
        say(f"  {line}")
    for told in found.sources.values():
        for line in placing_lines(told, pictures.files):
            say(f"  {line}")


EMPTY = {
    True: "background, as --empty says",
    False: "unlabelled (--empty background: somebody looked, and nothing is there)",
}


def print_state(folder: str, known: Sequence[str], files: Sequence[Imported]) -> None:
    """Say what a store holds, by kind of label, and what its sources have in common.

    known: the classes that somebody listed; files: that were imported just now
    """
    from weakseg.labels.common_questions import agreement_lines
    from weakseg.labels.doubts.store_check import counted_classes, summary
    from weakseg.labels.doubts.store_contrary import Doubts
    from weakseg.labels.doubts.unshown import Times
    from weakseg.labels.importing import carried_in
    from weakseg.labels.store import opened_store

    with opened_store(folder) as store:
        given, classes, times = store.given(), store.classes(), Times(store)
    carried = dict(carried_in(given))
    doubts = Doubts(carried, classes)
    lines = [*summary(carried, doubts.lacking), *counted_classes(carried), *agreement_lines(given)]
    listed = {str(found.path): found.named for found in files} | {folder: classes.objects}
    lines += doubts.all_lines(given, times, listed, known)
    say_all(f"{folder}: {line}" for line in lines)


def export(args: argparse.Namespace) -> None:
    """Write what the store carries in a format, and count what that can't say."""
    from weakseg.labels.behind import seen_shapes, with_help
    from weakseg.labels.doubts import store_check
    from weakseg.labels.exporting import records_of, write_labels
    from weakseg.labels.importing import carried_in
    from weakseg.labels.matching import Pictures
    from weakseg.labels.store import opened_store

    pictures = Pictures(args.images) if args.images else None
    with opened_store(args.labels) as store:
        given, classes = with_help(store.given(), seen_shapes(store)), store.classes()
        carried = dict(carried_in(given))
        if pictures:
            say_all(store_check.resized_lines(carried, pictures))
            say_all(store_check.changed_lines(args.labels, store, given, pictures))
    records = records_of(carried.items(), pictures)
    dropped = write_labels(args.format, records, Path(args.output), classes, args.overwrite)
    say(f"{args.output}: {FORMATS[args.format].title}, {len(records)} pictures")
    for line in dropped.lines():
        say(f"  {line}")


def check(args: argparse.Namespace) -> None:
    """Count labels by kind and class, and name what looks like a mistake."""
    from weakseg.labels.common_questions import agreement_lines
    from weakseg.labels.doubts import store_check
    from weakseg.labels.doubts.store_contrary import Doubts
    from weakseg.labels.doubts.unshown import Times
    from weakseg.labels.formats.records import Classes
    from weakseg.labels.importing import carried_in
    from weakseg.labels.matching import Pictures
    from weakseg.labels.naming import classes_beside
    from weakseg.labels.store import opened_store

    if args.wrong is not None and (args.wrong < 1 or not args.images):
        raise UserError(f"--wrong {args.wrong}: takes a number from 1, and --images")
    with opened_store(args.labels) as store:
        given, classes = store.given(), store.classes()
        carried = dict(carried_in(given))
        doubts = Doubts(carried, classes)
        lines = [*store_check.summary(carried, doubts.lacking)]
        pictures = Pictures(args.images) if args.images else None
        if pictures:
            lines += store_check.beside(carried, pictures)
            lines += store_check.beside_by_source(args.labels, store, given, carried, pictures)
        lines += store_check.class_lines(carried, classes)
        lines += store_check.suspicious(carried, classes, pictures.files if pictures else {})
        beside = classes_beside(args.images) if args.images else Classes()
        listed = {args.labels: classes.objects, f"the list at {args.images}": beside.objects}
        doubtful = doubts.all_lines(given, Times(store), listed, beside.names)
        lines += [f"suspicious: {line}" for line in doubtful]
        lines += [*store_check.two_sizes(given), *agreement_lines(given)]
    say_all(lines)
    if args.wrong is not None:
        show_wrong(args, carried, classes)


def show_wrong(args: argparse.Namespace, carried: dict[str, Carried], classes: Classes) -> None:
    """Rank labels by what speaks against them; write the table, and draw the first."""
    from tqdm import tqdm

    from weakseg.data.groups import groups_beside
    from weakseg.labels.doubts.store_check import resized
    from weakseg.labels.matching import Pictures
    from weakseg.learners.encoders import feature_store
    from weakseg.own_files import take
    from weakseg.reporting.label_sheet import label_tile
    from weakseg.reporting.pictures import label_preview
    from weakseg.reporting.tables import write_csv
    from weakseg.training import options
    from weakseg.training.label_doubts import label_doubts

    pictures = Pictures(args.images)
    words = ["--supervision_mode", "points", "--learner", "probe"]
    words += ["--img_size", str(args.img_size)]
    store = feature_store(vars(options.parse_args(words)), args.cache_dir)
    changed = {*resized(carried, pictures)}  # whose labels lie elsewhere
    there = {
        key: one
        for key, one in carried.items()
        if key in pictures.files and one.shapes and key not in changed
    }
    with tqdm(total=len(there), desc="pictures", unit="img") as bar:

        def features_of(key: str) -> FeatureMaps:
            bar.update()
            return store(pictures.files[key])

        groups = groups_beside(args.images, pictures.files)
        doubts = label_doubts(
            there, classes, features_of, group_of=lambda key: groups.get(key, key)
        )
    folder = Path(args.labels)
    rows = [
        [pictures.paths[one.picture], one.shape.kind, one.shape.label, one.likelier, one.chance]
        for one in doubts
    ]
    take(folder, WRONG, "labels.py check", "move it")
    write_csv(folder / WRONG[0], ["picture", "kind", "class", "likelier", "chance"], rows)
    first = doubts[: args.wrong]
    for one, row in zip(first, rows, strict=False):
        other = "" if one.likelier == one.shape.label else f", likelier {one.likelier}"
        say(f"{row[0]}: {one.shape.kind} of {one.shape.label}, {100 * one.chance:.0f} %{other}")
    tiles = [
        label_tile(
            pictures.files[one.picture],
            f"{one.picture}: {one.shape.label}, {100 * one.chance:.0f} %",
            replace(there[one.picture], shapes=(one.shape,)),
            classes,
        )
        for one in first
    ]
    label_preview(folder / WRONG[1], tiles, classes.names, ACROSS)
    say(f"{folder / WRONG[0]}: {len(doubts)} labels, the least likely first; {folder / WRONG[1]}")


def show(args: argparse.Namespace) -> None:
    """Draw a contact sheet of labels over their photographs."""
    from weakseg.labels.doubts.store_check import resized
    from weakseg.labels.importing import carried_in
    from weakseg.labels.matching import Pictures
    from weakseg.labels.store import opened_store
    from weakseg.reporting.label_sheet import label_tile
    from weakseg.reporting.pictures import label_preview

    if args.count < 1:
        raise UserError(f"--count {args.count}: must be at least 1")
    pictures = Pictures(args.images)
    with opened_store(args.labels) as store:
        found = carried_in(store.given())
        carried = {key: one for key, one in found if key in pictures.files and one.signals}
        classes = store.classes()
    changed = resized(carried, pictures)
    carried = {key: one for key, one in carried.items() if key not in changed}
    if changed:
        say(
            f"{len(changed)} pictures have another size than they were labelled at and are left "
            f"out, the first is {changed[0]}"
        )
    if not carried:
        raise UserError(
            f"--images {args.images}: no picture of {args.labels} is there, at the size that it "
            "was labelled at"
        )
    step = max(1, len(carried) // args.count)
    chosen = [*carried][::step][: args.count]
    path = Path(args.output or Path(args.labels) / "sheet.png")
    if args.output and path.exists():
        raise UserError(f"--output {path}: is there already; move it, or name another file")
    tiles = [label_tile(pictures.files[key], key, carried[key], classes) for key in chosen]
    label_preview(path, tiles, classes.names, ACROSS)
    say(f"{path}: {len(chosen)} of {len(carried)} pictures")


def prices(args: argparse.Namespace) -> None:
    """Print what each kind of label takes people, and write it as a price schedule."""
    from weakseg.labels.costs import schedule_in_seconds
    from weakseg.labels.own_prices import measured_prices, odd_times
    from weakseg.labels.own_schedule import write_schedule
    from weakseg.labels.store import opened_store
    from weakseg.labels.timings import stretches
    from weakseg.reporting.price_table import price_table

    published = schedule_in_seconds(args.cost_schedule)
    if args.output and Path(args.output).exists() and not args.overwrite:
        raise UserError(f"--output {args.output}: is there already; --overwrite replaces it")
    with opened_store(args.labels) as store:
        timed = stretches(store, args.annotator)
    if not timed:
        whose = f" of {args.annotator}" if args.annotator else ""
        raise UserError(
            f"--labels {args.labels}: holds no times{whose}; label in annotate.py, or measure "
            "with annotate.py --pilot"
        )
    found = measured_prices(timed, published, args.clock, args.with_predictions)
    print(price_table(found.own.values(), found.seen.values()))
    say_all(odd_times(found.own))
    if found.apart:
        say(
            f"{found.apart} times with a prediction in view are kept apart: --with_predictions "
            "counts them, annotate.py --pilot measures without any"
        )
    if args.output and not found.own:
        raise UserError(
            f"--output {args.output}: nothing was timed without a prediction in view; add "
            "--with_predictions, or measure with annotate.py --pilot"
        )
    if args.output:
        write_schedule(Path(args.output), found.own, published)
        say(f"{args.output}: a schedule for --cost_schedule; what nobody timed is as published")


def say_all(lines: Iterable[str]) -> None:
    """Print lines as `say` does."""
    for line in lines:
        say(line)


def say(line: str) -> None:
    """Print a line in which nothing of a stranger's file steers the terminal."""
    print(printable(line))


if __name__ == "__main__":
    run_cli(main, parse_args)
