"""Predict masks for any pictures with a trained run: files, how sure it is of each, objects.

    python predict.py --run_name points --images photographs/ --output_dir predictions/
    python predict.py --run_name points --images photographs/ --overlay --probabilities
    python predict.py --run_name nuclei --images slides/ --instances --table objects.csv
    python predict.py --run_name points --images photographs/ --backend loky --jobs 4
    python predict.py --run_name points --export points.onnx

masks/ in the output has a palette PNG of class numbers for each picture, at its own size and below
the same folders; overlays/ and probabilities/ are there where they are asked for. predictions.csv
has a line a picture, those that the run is least sure of first. A second call predicts what is
missing. A picture that can't be read is named, and the others go on.
"""

import argparse
import contextlib
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weakseg.command_line import Parser
from weakseg.common import UserError, keep_freed_memory, printable, run_cli
from weakseg.data.ids import is_folder_name
from weakseg.data.reading import add_reading_arguments, counted
from weakseg.inference.journal import FORMATS_OUT
from weakseg.inference.tile_flags import OVERLAP, SMALLEST_TILE, check_tile
from weakseg.parallel import BACKENDS, Workers, add_backend_arguments
from weakseg.threads import add_threads_argument

if TYPE_CHECKING:
    from weakseg.inference.journal import Journal
    from weakseg.inference.pictures import Job
    from weakseg.inference.tiles import Windows

LEAST_SURE = 10  # pictures that are printed


def parse_args() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument("--images", metavar="DIR", help="folder of pictures, or one picture")
    add_model_arguments(parser)
    add_output_arguments(parser)
    add_object_arguments(parser)
    add_work_arguments(parser)
    return parser.parse_args()


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which model predicts, and how it is shown a picture."""
    group = parser.add_argument_group("model")
    group.add_argument("--run_name", required=True, help="of the trained run")
    group.add_argument(
        "--checkpoint_dir",
        default="./checkpoints",
        help="folder of the runs (default: %(default)s)",
    )
    group.add_argument(
        "--encoder",
        nargs="+",
        default=[],
        metavar="NAME",
        help="encoders that may be downloaded; of others, only what is on this machine is used",
    )
    group.add_argument(
        "--tile",
        type=int,
        nargs="?",
        const=0,
        metavar="PIXELS",
        help="predict pictures longer than so many pixels in overlapping windows of that side; "
        "without a number: as long as training pictures usually are (default: whole pictures)",
    )
    group.add_argument(
        "--tile_overlap",
        type=float,
        metavar="F",
        help=f"least share of a window that the next covers too (default: {OVERLAP})",
    )
    add_reading_arguments(group, "as in training")


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of what is written, and where."""
    group = parser.add_argument_group("output")
    group.add_argument("--output_dir", default="./predictions", help="(default: %(default)s)")
    group.add_argument(
        "--overlay", action="store_true", help="also the pictures with their masks on them"
    )
    group.add_argument(
        "--probabilities",
        action="store_true",
        help="also those of all classes at each pixel: NumPy files, float16 [classes, height, "
        "width]",
    )
    group.add_argument(
        "--export",
        metavar="FILE",
        help="write the network itself as ONNX, and predict nothing",
    )
    group.add_argument(
        "--overwrite",
        action="store_true",
        help="replace what another run, or the same with other flags, predicted there",
    )


def add_object_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of single objects."""
    group = parser.add_argument_group("objects")
    group.add_argument(
        "--instances",
        action="store_true",
        help="also 16-bit PNGs with the number of the object at each pixel; objects of one class "
        "that touch are told apart by their shape (without: what is connected is one object)",
    )
    group.add_argument(
        "--clicks",
        metavar="FILE",
        help="weak-label file, or store of labels.py, whose clicks are one on each object: these "
        "part it, not its shape",
    )
    group.add_argument(
        "--table",
        nargs="?",
        const="",
        metavar="FILE",
        help="CSV of all objects: class, area, box, centre, mean intensity (default name: "
        "objects.csv in --output_dir)",
    )
    group.add_argument(
        "--format",
        choices=FORMATS_OUT,
        help="also the objects as labels that this tool loads, to be corrected there: "
        "annotations.* in --output_dir",
    )
    group.add_argument(
        "--tolerance",
        type=float,
        default=1.0,
        metavar="PIXELS",
        help="with --format: how far an outline may lie off the edge of its mask (default: 1)",
    )
    group.add_argument(
        "--min_area",
        type=int,
        default=1,
        metavar="PIXELS",
        help="smaller objects are none (default: %(default)s)",
    )


def add_work_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say where and how fast the work is done."""
    group = parser.add_argument_group("work")
    group.add_argument(
        "--device", choices=["auto", "cpu", "cuda", "mps"], default="auto", help="(default: auto)"
    )
    add_threads_argument(group)
    add_backend_arguments(group, BACKENDS, "threading")
    group.add_argument(
        "--jobs", type=int, default=1, help="pictures at a time, -1: one a core (default: 1)"
    )


def check(args: argparse.Namespace) -> None:
    """Refuse flags that mean nothing, or nothing together."""
    if not is_folder_name(args.run_name):
        raise UserError(f"--run_name {args.run_name}: is the name of one folder, without '/'")
    if args.jobs < 1 and args.jobs != -1:
        raise UserError(f"--jobs {args.jobs}: must be at least 1, or -1 for all cores")
    if args.min_area < 1:
        raise UserError(f"--min_area {args.min_area}: must be at least 1")
    check_tile(args.tile, args.tile_overlap)
    if args.export:
        if args.images:
            raise UserError("--export: predicts nothing; leave out --images")
        return
    if not args.images:
        raise UserError("--images: name the folder of the pictures")
    if args.clicks and not args.instances:
        raise UserError("--clicks: part objects, but none are asked for; add --instances")
    if args.min_area > 1 and not has_objects(args):
        raise UserError("--min_area: is of objects; add --instances, --table or --format")
    if not 0 <= args.tolerance <= 100:
        raise UserError(f"--tolerance {args.tolerance}: must lie between 0 and 100 pixels")
    if args.table:
        from weakseg.inference.tables import refuse_other_table

        refuse_other_table(Path(args.table), "--table")
    source, folder = Path(args.images).resolve(), Path(args.output_dir).resolve()
    if source.is_relative_to(folder):
        raise UserError(
            f"--output_dir {args.output_dir}: holds the pictures themselves; take another folder"
        )


def has_objects(args: argparse.Namespace) -> bool:
    """Return whether single objects are asked for."""
    return bool(args.instances or args.table is not None or args.format)


def windows(args: argparse.Namespace, checkpoint: dict[str, Any]) -> "Windows | None":
    """Return the windows that --tile asks for, None for whole pictures."""
    if args.tile is None:
        return None

    from weakseg.data.datasets import DataOptions, open_dataset
    from weakseg.inference.tiles import Windows, usual_side

    if checkpoint["args"].get("learner") == "probe":
        raise UserError(
            f"--tile: the probe {args.run_name} sees pictures at the size or scale of its "
            "training; leave --tile out, or train it with --scale"
        )
    side = args.tile
    if not side:
        try:
            side = usual_side(open_dataset(DataOptions.of(checkpoint["args"])))
        except UserError as error:
            raise UserError(
                f"--tile: the pictures of the training are not there ({error}); say how many "
                "pixels, as in --tile 512"
            ) from error
    overlap = OVERLAP if args.tile_overlap is None else args.tile_overlap
    return Windows(max(SMALLEST_TILE, side), overlap)


def plan(args: argparse.Namespace) -> "tuple[Job, dict[str, Any]]":
    """Return what is to be done with each picture, and what the output folder says of it."""
    import hashlib
    from dataclasses import asdict, replace

    from weakseg.data.datasets import DataOptions
    from weakseg.inference.objects import Separation
    from weakseg.inference.pictures import Job
    from weakseg.learners.checkpoint_file import load_checkpoint

    path = Path(args.checkpoint_dir) / args.run_name / "best.pt"
    checkpoint = load_checkpoint(path)
    given = {"page": args.page, "channels": args.channels and tuple(args.channels)}
    given["value_range"] = args.value_range and tuple(args.value_range)
    reading = DataOptions.of(checkpoint["args"]).reading
    reading = replace(reading, **{key: value for key, value in given.items() if value})
    asked = {"overlays": args.overlay, "probabilities": args.probabilities}
    asked |= {"instances": args.instances}
    own = windows(args, checkpoint)
    job = Job(
        folder=Path(args.output_dir),
        checkpoint=path,
        device=args.device,
        trusted=tuple(args.encoder),
        reading=reading,
        windows=own,
        parts=("masks", *(part for part, is_asked in asked.items() if is_asked)),
        separation=Separation(args.instances, args.min_area) if has_objects(args) else None,
        scored=args.format is not None,
    )
    record = {
        "run_name": args.run_name,
        "model": hashlib.sha256(path.read_bytes()).hexdigest()[:16],
        "images": str(Path(args.images).resolve()),
        "clicks": args.clicks and str(Path(args.clicks).resolve()),
        "tile": own and asdict(own),
        "reading": reading.key,
        "classes": list(checkpoint["task"]["classes"]),
        "has_background": checkpoint["task"].get("has_background", True),
    }
    return job, record


def listed(args: argparse.Namespace, folder: Path) -> dict[str, Path]:
    """Return {id: path} of the pictures to predict; say how many other files there are."""
    from weakseg.inference.pictures import find_pictures

    pictures, others, predicted = find_pictures(Path(args.images), folder)
    if predicted:
        print(f"{args.images}: {predicted} files that predict.py wrote are left out")
    if others:
        first = printable(others[0].name)
        print(f"{args.images}: {len(others)} files are no pictures, the first is {first}")
    return pictures


def predict_all(
    job: "Job",
    args: argparse.Namespace,
    pictures: dict[str, Path],
    clicks: dict[str, Any],
    journal: "Journal",
) -> list[str]:
    """Predict what is left, and print how it goes -> the faults of pictures that can't be read."""
    from tqdm import tqdm

    from weakseg.inference.doubts import doubts
    from weakseg.inference.journal import OBJECTS, TABLE, changed_masks
    from weakseg.inference.pictures import left_over, predict_pictures
    from weakseg.inference.tables import write_objects, write_pictures

    left = left_over(job, pictures, journal)
    mended = changed_masks(job.folder, journal, left)
    if mended:
        raise UserError(
            f"{job.folder}: {counted(len(mended), 'mask')} that somebody changed would be "
            f"predicted anew, the first {mended[0]}: the photographs changed, or more is asked; "
            "take another --output_dir, or move these masks away; --overwrite would lose them"
        )
    if len(left) < len(pictures):
        print(f"{job.folder}: {len(pictures) - len(left)} of {len(pictures)} pictures are done")
    faults = []
    lines = predict_pictures(job, left, journal, Workers.of(vars(args)), clicks)
    bar = tqdm(lines, args.run_name, len(left), unit="img", disable=not left)
    for line in bar:
        if "fault" in line:
            faults.append(line["fault"])
            bar.write(printable(f"no mask: {line['fault']}"), file=sys.stderr)
    for note in doubts(args.images, job.reading, not args.value_range, journal.lines(pictures)):
        print(printable(note))
    least_sure = write_pictures(job, journal, pictures, LEAST_SURE)
    if least_sure:
        print(f"least sure (confidence, picture), all in {job.folder / TABLE}:")
        print(least_sure)
    if args.table is not None:
        table = Path(args.table or job.folder / OBJECTS)
        count = write_objects(table, job, journal, pictures)
        print(f"{table}: {count} objects")
    if args.format:
        write_format(job, args, pictures, clicks, journal)
    print(f"{job.folder}: {len(pictures) - len(faults)} masks of {len(pictures)} pictures")
    return faults


def write_format(
    job: "Job",
    args: argparse.Namespace,
    pictures: dict[str, Path],
    clicks: dict[str, Any],
    journal: "Journal",
) -> None:
    """Write the objects in the format of a tool, and say what it has no word for."""
    from weakseg.inference.pictures import model_of
    from weakseg.inference.preannotations import records_of, write_preannotations
    from weakseg.labels.formats.records import Classes

    model = model_of(job.checkpoint, job.device, job.trusted)
    classes = Classes(tuple(model.classes), model.has_background)
    records = [*records_of(job, journal, pictures, clicks, classes, args.tolerance)]
    path, count, dropped = write_preannotations(args.format, job.folder, records, classes)
    print(f"{path}: {count} objects for {args.format}")
    for line in dropped.lines():
        print(f"  {line}")


def read_clicks(
    args: argparse.Namespace, pictures: dict[str, Path], record: dict[str, Any]
) -> dict[str, Any]:
    """Return {id: [[x, y, class], ...]} of --clicks, checked as clicks to learn from are.

    record: what the journal says of the model, with its "classes" and "has_background"
    """
    if not args.clicks:
        return {}

    from weakseg.data.contents import content_of
    from weakseg.data.image_io import image_size
    from weakseg.labels.checks import Picture
    from weakseg.labels.label_file import load_labels
    from weakseg.labels.label_record import by_image, read_record
    from weakseg.labels.seen_files import other_photographs
    from weakseg.labels.seen_photographs import changed_in_store
    from weakseg.labels.store import opened_store
    from weakseg.labels.store_file import is_store
    from weakseg.labels.store_labels import clicks_in_store

    def contents_of(names: Collection[str]) -> dict[str, str]:
        return {name: content_of(pictures[name], is_whole=False) for name in sorted(names)}

    classes, lines = record["classes"], list[str]()
    if is_store(args.clicks):
        images = clicks_in_store(args.clicks, classes)
        with opened_store(args.clicks) as store:
            lines = changed_in_store(args.clicks, store, contents_of, {*pictures})
    else:
        content = load_labels(args.clicks, "take another file")
        images = content["images"]
        if list(content["classes"]) != classes:
            raise UserError(
                f"--clicks {args.clicks}: is of the classes {', '.join(content['classes'])}, but "
                f"the model knows {', '.join(classes)}"
            )
    checked: dict[str, Any] = {}
    try:
        records, strays = by_image(images, pictures)
        lines = lines or other_photographs(args.clicks, records, pictures)
    except ValueError as error:
        raise UserError(f"--clicks {args.clicks}: {error}") from error
    for line in lines:
        print(printable(line))
    for name, own in records.items():
        try:
            size = image_size(pictures[name])
        except UserError:  # whoever predicts it says why
            continue
        picture = Picture(size, classes, classes, record["has_background"])
        try:
            checked[name] = read_record(own, picture, ["points"]).get("points", ())
        except ValueError as error:
            raise UserError(f"--clicks {args.clicks}, {name}: {error}") from error
    if strays:
        print(
            printable(
                f"{args.clicks}: {len(strays)} names are of no picture in {args.images}, the first "
                f"is {strays[0]}"
            )
        )
    return checked


def export_network(args: argparse.Namespace) -> None:
    """Write the network of the run as ONNX, and say which pictures it takes."""
    from weakseg.inference.onnx_export import export
    from weakseg.inference.trained import load

    path = Path(args.checkpoint_dir) / args.run_name / "best.pt"
    height, width = export(load(path, "cpu", args.encoder), Path(args.export))
    print(
        f"{args.export}: image, uint8 [1, 3, {height}, {width}] -> probabilities, float32 "
        f"[1, classes, {height}, {width}]"
    )


def main(args: argparse.Namespace) -> None:
    """Predict all pictures, exit with 2 where some can't be read; or export the network."""
    check(args)
    if args.export:
        export_network(args)
        return

    from filelock import FileLock, Timeout

    from weakseg.data.class_list import write_classes
    from weakseg.data.contents import short_hash
    from weakseg.inference.journal import open_folder
    from weakseg.inference.pictures import model_of

    job, record = plan(args)
    pictures = listed(args, job.folder)
    clicks = read_clicks(args, pictures, record)
    if args.clicks:  # the same file with further clicks is another one
        record["clicks"] += f" of {short_hash([clicks])}"
    keep_freed_memory()
    model_of(job.checkpoint, job.device, job.trusted)  # an unfit one is told before all else
    job.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(job.folder / ".lock", timeout=0):
            journal = open_folder(job.folder, record, args.overwrite, pictures)
            if journal.mended:
                print(
                    f"{job.folder}: --overwrite ended {counted(len(journal.mended), 'mask')} that "
                    f"somebody changed since, the first {printable(journal.mended[0])}"
                )
            # Who copies or imports the masks learns what their numbers mean.
            classes = job.folder / "masks" / "classes.txt"
            with contextlib.suppress(UserError):  # of names that no list can have
                write_classes(classes, record["classes"], record["has_background"])
            faults = predict_all(job, args, pictures, clicks, journal)
    except Timeout as error:
        raise UserError(
            f"--output_dir {job.folder}: another process predicts into it; wait, or take another"
        ) from error
    if faults:
        count = counted(len(faults), "picture")
        raise UserError(f"{count} without a mask, the first: {faults[0]}; the others are done")


if __name__ == "__main__":
    run_cli(main, parse_args)
