"""Label photographs in a page: the machine asks about single pixels, you press one key.

    python annotate.py --images my_photos --classes cat dog
    python annotate.py --images my_photos
    python annotate.py --demo
    python annotate.py --images streets --classes road sky car --no_background --annotator ann
    python annotate.py --images my_photos --pilot questions clicks outlines

Starts a server on this machine and opens the page in your browser. What you answer is stored at
once in labels/NAME, where NAME is the folder's name; the same command goes on where you stopped.
Your answers train a model while you look: masks of some pictures change as you answer, and answers
about random pixels say how good they are. *Finish* writes the run checkpoints/NAME and masks of all
pictures. `train.py --labels` and `labels.py export` take labels/NAME as it is. --pilot measures
what kinds of label take you, in ten minutes; `labels.py prices` makes a price schedule of it.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from weakseg.command_line import Parser
from weakseg.common import UserError, printable, run_cli
from weakseg.data.ids import is_folder_name
from weakseg.data.reading import add_reading_arguments
from weakseg.threads import add_threads_argument

if TYPE_CHECKING:
    from weakseg.data.base import SegmentationDataset
    from weakseg.data.datasets import DataOptions
    from weakseg.page.finish import Finish
    from weakseg.page.session import Session

ROOT = Path(__file__).resolve().parent
DEMO = ROOT / "examples" / "pets"
BACKGROUND = "background"
PILOT = ("questions", "clicks", "strokes", "boxes", "outlines", "masks", "tags")
PORT = 8765  # the same again and again: a browser keeps what was not stored yet by the address


def parse_args() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = Parser(description=__doc__)
    group = parser.add_argument_group("photographs")
    one = group.add_mutually_exclusive_group(required=True)
    one.add_argument("--images", metavar="DIR", help="folder of the photographs")
    one.add_argument("--demo", action="store_true", help="the photographs of pets that ship")
    group.add_argument(
        "--classes",
        nargs="+",
        default=[],
        metavar="NAME",
        help="what to look for; all else is 'none of these' (default: those of labels that are "
        "there, or of classes.txt)",
    )
    group.add_argument(
        "--no_background", action="store_true", help="each pixel is of one of the classes"
    )
    add_reading_arguments(group)
    group = parser.add_argument_group("labels")
    group.add_argument(
        "--labels", metavar="DIR", help="the store (default: labels/ and the folder's name)"
    )
    group.add_argument(
        "--annotator", default="", metavar="NAME", help="who labels, where several people do"
    )
    group.add_argument(
        "--pilot",
        nargs="+",
        choices=PILOT,
        metavar="KIND",
        help=f"measure what labels of up to three kinds take you: {', '.join(PILOT)}",
    )
    group = parser.add_argument_group("model")
    group.add_argument(
        "--img_size",
        type=int,
        default=384,
        help="pixels of a photograph's longer side that the model sees (default: %(default)s)",
    )
    group.add_argument(
        "--encoder",
        default="efficientnet-lite0",
        metavar="NAME",
        help="(default: %(default)s, whose weights come with pip)",
    )
    group.add_argument(
        "--encoder_weights",
        default="imagenet",
        help="imagenet, none or a file (default: %(default)s)",
    )
    group.add_argument("--cache_dir", default="./data/.cache", help="(default: %(default)s)")
    group.add_argument(
        "--checkpoint_dir", default="./checkpoints", help="of the run (default: %(default)s)"
    )
    group.add_argument(
        "--output_dir", metavar="DIR", help="of the masks (default: predictions/ and the name)"
    )
    add_threads_argument(group)
    group = parser.add_argument_group("server")
    group.add_argument(
        "--port",
        type=int,
        help=f"to listen at (default: {PORT}, or any that is free)",
    )
    group.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen at; another one lets other machines in (default: %(default)s)",
    )
    group.add_argument(
        "--no_browser", action="store_true", help="print the link, and open no browser"
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C."""
    check(args)
    share_cores(args)
    with opened_once(labels_of(args)):
        session = session_of(args)
        if args.pilot:
            pilot = session.measure(args.pilot)
            print(f"a pilot of about {pilot.minutes:.0f} minutes", flush=True)
        server = serve(args, session)
        try:
            if session.pilot:
                session.pilot.finished.wait()
                print_prices(session)
            while True:
                time.sleep(3600)
        finally:
            server.close()
            session.close()


def check(args: argparse.Namespace) -> None:
    """Refuse flags that mean nothing."""
    from weakseg.data.class_list import is_background
    from weakseg.page.pilot import MOST_KINDS

    if args.port is not None and not 0 <= args.port < 65536:
        raise UserError(f"--port {args.port}: must lie between 0 and 65535")
    if args.annotator and not is_folder_name(args.annotator):
        raise UserError("--annotator: takes a name without '/'")
    if args.images and not Path(args.images).is_dir():
        raise UserError(f"--images {args.images}: no such folder; name that of the photographs")
    named = next((name for name in args.classes if is_background(name)), None)
    if named:
        raise UserError(f"--classes {named}: is added by itself; leave it out")
    if args.pilot and not len({*args.pilot}) == len(args.pilot) <= MOST_KINDS:
        raise UserError(f"--pilot: takes up to {MOST_KINDS} kinds, each once")
    if args.no_background and len(args.classes) == 1:
        raise UserError("--no_background: there must be two classes; name another")


def share_cores(args: argparse.Namespace) -> None:
    """Leave half of the cores to what runs beside a fit, unless the user says how many to take."""
    import os

    import torch

    if args.threads is None and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))


@contextlib.contextmanager
def opened_once(labels: Path) -> Iterator[None]:
    """Keep other processes from serving the labels in a folder meanwhile."""
    from filelock import FileLock, Timeout

    labels.mkdir(parents=True, exist_ok=True)
    lock = FileLock(labels / ".page.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise UserError(
            f"{labels}: is open in another annotate.py; end that one, or take a copy of the folder"
        ) from error
    except OSError:  # a folder that can't be written: the page says so
        yield
        return
    try:
        yield
    finally:
        lock.release()


def folder_of(args: argparse.Namespace) -> Path:
    """Return the folder of the data set that the photographs are."""
    images = Path(args.images or DEMO)
    return images.parent if images.name == "images" else images


def name_of(args: argparse.Namespace) -> str:
    """Return the name of the session."""
    return "demo" if args.demo else folder_of(args).resolve().name


def labels_of(args: argparse.Namespace) -> Path:
    """Return the folder of the labels."""
    return Path(args.labels or Path("labels") / name_of(args))


def session_of(args: argparse.Namespace) -> "Session":
    """Return the session of the photographs, where it stopped."""
    from weakseg.data.datasets import say
    from weakseg.learners.encoders import feature_store
    from weakseg.page.answer_log import AnswerLog
    from weakseg.page.asker import Asker
    from weakseg.page.session import Session
    from weakseg.training import options

    data_dir, name, labels = folder_of(args), name_of(args), labels_of(args)
    dataset, data, may_rename = photographs_of(args, data_dir, labels)
    say(dataset.notes())
    log = AnswerLog.read(labels, args.annotator)
    with_names(log, dataset, labels)
    words = ["--supervision_mode", "any", "--learner", "probe", *model_words(args)]
    settings = vars(options.parse_args(words))
    features = feature_store(settings, args.cache_dir)
    finish = finish_of(args, name, data, dataset, labels, may_rename)
    asker = Asker(dataset, features, log, Path(args.cache_dir))
    return Session(name, asker, finish, may_rename)


def photographs_of(
    args: argparse.Namespace, data_dir: Path, labels: Path
) -> "tuple[SegmentationDataset, DataOptions, bool]":
    """Return the data set, its options, and whether its classes may be changed on the page.

    They may where nothing beside the photographs says them.
    """
    from weakseg.data.datasets import DataOptions, open_dataset
    from weakseg.labels.class_names import names_classes, with_classes
    from weakseg.labels.store_file import is_store

    given = {"data_dir": str(data_dir), "cache_dir": args.cache_dir, "page": args.page}
    given["channels"], given["value_range"] = args.channels, args.value_range
    data = DataOptions.of({**given, "no_background": args.no_background})
    if is_store(labels) and not names_classes(data_dir):
        data = with_classes(data, labels)
    wanted = tuple(args.classes if args.no_background else [BACKGROUND, *args.classes])
    if args.classes:
        if data.class_names and set(data.class_names) != set(wanted):
            raise UserError(
                f"--classes: {labels} has {', '.join(data.class_names)}; leave it out, and change "
                "classes on the page"
            )
        data = replace(data, dataset="folder", class_names=data.class_names or wanted)
    elif not data.class_names and not names_classes(data_dir):
        raise UserError("--classes: name what to look for, as in --classes cat dog")
    dataset = open_dataset(data)
    return dataset, data.of_data(dataset), not names_classes(data_dir)


def with_names(log: object, dataset: "SegmentationDataset", labels: Path) -> None:
    """Store the names of the classes where none are; others are a `UserError`.

    Photographs that are others than were labelled are told.
    """
    from weakseg.data.datasets import say
    from weakseg.labels.formats.records import Classes
    from weakseg.labels.seen_photographs import changed_in_store
    from weakseg.labels.store import opened_store
    from weakseg.page.answer_log import AnswerLog

    assert isinstance(log, AnswerLog)
    classes = Classes(tuple(dataset.class_names), dataset.has_background)
    if log.classes.names and [*log.classes.names] != dataset.class_names:
        raise UserError(
            f"{labels}: has the classes {', '.join(log.classes.names)}, the photographs "
            f"{', '.join(dataset.class_names)}; take another folder with --labels"
        )
    with opened_store(labels) as store:
        store.say_classes(classes)
        there = {*dataset.ids("trainval"), *dataset.ids("test")}
        say(changed_in_store(labels, store, dataset.image_contents, there))
    log.classes = classes


def print_prices(session: "Session") -> None:
    """Print what labels take the person of a pilot."""
    import shlex

    from weakseg.page.pilot_routes import own_rows
    from weakseg.reporting.tables import markdown

    head, *rows = own_rows(session)
    print(markdown(head, rows))
    words = ["labels.py", "prices", "--labels", str(session.log.folder), "--output", "my.yaml"]
    print(f"next: {shlex.join(['python', *words])}; Ctrl-C ends", flush=True)


def model_words(args: argparse.Namespace) -> list[str]:
    """Return the flags of train.py that say how the model sees photographs."""
    words = ["--img_size", str(args.img_size), "--encoder", args.encoder]
    return [*words, "--encoder_weights", args.encoder_weights]


def unet_words(args: argparse.Namespace) -> list[str]:
    """Return the flags of train.py for a U-Net that starts from such a probe."""
    side = max(64, 32 * round(args.img_size / 32))  # as U-Nets take it
    words = ["--recipe", "strong", "--start", "probe", "--img_size", str(side)]
    # It can start from few others.
    if not args.encoder.startswith("efficientnet-lite"):
        return words
    return [*words, "--encoder", args.encoder, "--encoder_weights", args.encoder_weights]


def finish_of(
    args: argparse.Namespace,
    name: str,
    data: "DataOptions",
    dataset: "SegmentationDataset",
    labels: Path,
    may_rename: bool,
) -> "Finish":
    """Return what *Finish* does: commands as a person would give them."""
    import os.path
    import shlex

    from weakseg.page.finish import Finish

    run = ["--checkpoint_dir", args.checkpoint_dir, "--run_name", name]
    learn = ["--supervision_mode", "any", "--labels", str(labels), "--data_dir", data.data_dir]
    learn += [*data.reading.flags, "--cache_dir", args.cache_dir]
    if args.classes and not may_rename:  # other classes than those that lie beside the photographs
        learn += ["--dataset", "folder", "--class_names", *dataset.class_names]
        learn += ["--no_background"] * args.no_background
    train = ["train.py", "--learner", "probe", *learn, *run, *model_words(args), "--resume", "auto"]
    folder = os.path.commonpath([path.parent for path in dataset.pictures().values()])
    output = args.output_dir or f"predictions/{name}"
    predict = ["predict.py", *run, "--images", folder, "--output_dir", output]
    unet = ["train.py", *learn, "--checkpoint_dir", args.checkpoint_dir, *unet_words(args)]
    export = ["labels.py", "export", "--labels", str(labels), "--format", "weakseg"]
    go_on = [
        ["predict.py", *run, "--images", "OTHER_PHOTOGRAPHS"],
        [*unet, "--run_name", f"{name}_unet"],
        [*export, "--output", f"{name}.json"],
    ]
    return Finish(
        train=[sys.executable, str(ROOT / train[0]), *train[1:]],
        predict=[sys.executable, str(ROOT / predict[0]), *predict[1:], "--overwrite", "--overlay"],
        run=Path(args.checkpoint_dir) / name,
        masks=Path(output),
        log=labels / "finish.log",
        next=[shlex.join(["python", *words]) for words in go_on],
    )


def serve(args: argparse.Namespace, session: "Session") -> "object":
    """Serve the session in threads, print the link, and open it."""
    import webbrowser

    from weakseg.page.server import Server

    first = not args.no_browser

    def announce(link: str) -> None:
        nonlocal first
        print(f"open {link}", flush=True)
        if first:
            webbrowser.open(link)
        first = False

    port = free_port(args.host, args.port)
    server = Server(session, args.host, port, announce)
    dataset = session.photographs.dataset
    others = len({*dataset.ids("val"), *dataset.ids("test")} - {*session.photographs.names})
    kept = f", beside {others} that are kept to validate and test" if others else ""
    print(printable(f"{session.name}: {len(session.photographs)} photographs{kept}; Ctrl-C ends"))
    session.start()
    server.start()
    return server


def free_port(host: str, wanted: int | None) -> int:
    """Return the port to listen at, 0 for any; one that a user names and can't have is refused."""
    import socket

    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, PORT if wanted is None else wanted))
        except OSError as error:
            if wanted is None:
                return 0
            raise UserError(
                f"--host {host} --port {wanted}: can't be listened at ({error.strerror}); take "
                "another, or leave it out"
            ) from error
    return PORT if wanted is None else wanted


if __name__ == "__main__":
    run_cli(main, parse_args)
