"""The flags of labels.py, a parser for each of its commands."""

import argparse

from weakseg.command_line import Parser
from weakseg.labels.clock import CLOCKS
from weakseg.labels.converting import WISHES
from weakseg.labels.costs import DEFAULT
from weakseg.labels.formats.table import FORMATS, WRITABLE

COMPLETE = ("full", "outlines", "boxes", "points", "scribbles", "none")


def parse_args(argv: list[str] | None, description: str | None) -> argparse.Namespace:
    """Return what the words of labels.py say; argv: None for those of the command line."""
    parser = Parser(description=description)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)
    add_import_arguments(commands.add_parser("import", help="bring labels into a store"))
    add_export_arguments(commands.add_parser("export", help="write a store in a tool's format"))
    check = commands.add_parser("check", help="count labels, and name suspicious ones")
    show = commands.add_parser("show", help="draw labels over the photographs")
    for one in (check, show):
        one.add_argument("--labels", required=True, metavar="DIR", help="a store")
    show.add_argument("--images", required=True, metavar="DIR", help="folder of the photographs")
    add_check_arguments(check)
    add_price_arguments(commands.add_parser("prices", help="measure what labels take you"))
    show.add_argument("--output", metavar="FILE", help="(default: sheet.png in the store's folder)")
    show.add_argument("--count", type=int, default=24, help="photographs (default: %(default)s)")
    return parser.parse_args(argv)


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `import`."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="files, folders or zip archives")
    parser.add_argument("--images", required=True, metavar="DIR", help="folder of the photographs")
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="the store, such as labels/mine"
    )
    parser.add_argument("--format", choices=[*FORMATS], help="(default: by the content)")
    parser.add_argument(
        "--as",
        dest="areas_as",
        choices=WISHES,
        help="what polygons, masks and brushes become (default: masks, and strokes for brushes)",
    )
    parser.add_argument(
        "--empty",
        choices=("unlabelled", "background"),
        default="unlabelled",
        help="what a picture without shapes means: nobody looked, or nothing is there (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--complete",
        nargs="+",
        choices=COMPLETE,
        metavar="KIND",
        help="kinds of label that show all objects of a picture, so that the rest is background: "
        f"{', '.join(COMPLETE)} (default: what an export of ours notes, or full, what polygons and "
        "masks become)",
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="NAME=CLASS,...",
        help="classes of the file that have other names here, in which * stands for any letters; "
        "CLASS - leaves one out, ? leaves unlabelled what it shows",
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        default=[],
        metavar="NAME",
        help="all that are known, the background first (default: classes.txt beside --images, else "
        "those of the labels)",
    )
    parser.add_argument(
        "--source",
        help="what the labels come from: a later import of the same replaces it (default: the "
        "format, and the tool's number of the project or else the file's name)",
    )
    parser.add_argument(
        "--mask_values",
        nargs="+",
        default=[],
        metavar="VALUE=CLASS",
        help="what numbers or colours in masks mean: 255=blob, '#ff0000=road'",
    )
    parser.add_argument("--mask_ignore", metavar="VALUE", help="of masks: what is not labelled")


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `export`."""
    parser.add_argument("--labels", required=True, metavar="DIR", help="a store")
    parser.add_argument("--format", required=True, choices=WRITABLE)
    parser.add_argument("--output", required=True, metavar="PATH", help="file, or folder to fill")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files that are there with other content"
    )
    parser.add_argument(
        "--images", metavar="DIR", help="folder of the photographs, whose names are written"
    )


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that `check` has besides the store."""
    parser.add_argument(
        "--images", metavar="DIR", help="folder of the photographs, to count those without a label"
    )
    parser.add_argument(
        "--wrong",
        type=int,
        metavar="N",
        help="rank labels by how far a model of the other pictures' labels gainsays them, list all "
        "in wrong.csv and draw the first N in wrong.png, both in the store's folder",
    )
    parser.add_argument(
        "--img_size", type=int, default=384, help="with --wrong: of the model (default: 384)"
    )
    parser.add_argument(
        "--cache_dir",
        default="./data/.cache",
        help="with --wrong: of features (default: %(default)s)",
    )


def add_price_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `prices`."""
    parser.add_argument("--labels", required=True, metavar="DIR", help="a store")
    parser.add_argument(
        "--output", metavar="FILE", help="price schedule to write, such as my.yaml (default: none)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    parser.add_argument(
        "--cost_schedule",
        default=DEFAULT,
        metavar="NAME",
        help="published prices, which count where few of yours are known (default: %(default)s)",
    )
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="60",
        help="wall: all seconds; else active ones, of a longer gap so many (default: %(default)s)",
    )
    parser.add_argument(
        "--with_predictions",
        action="store_true",
        help="count what was done with a prediction in view, which is kept apart otherwise",
    )
    parser.add_argument("--annotator", metavar="NAME", help="whose time (default: all people's)")
