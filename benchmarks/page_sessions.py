r"""A simulated person works through the page's own requests: what do 15 minutes of it reach?

    python benchmarks/page_sessions.py --data ../shared/data --folder results/page
    python benchmarks/page_sessions.py --data ../shared/data --folder results/page-slow --seconds 2
    python benchmarks/page_sessions.py --data . --only examples --seeds 0 --minutes 3 --ask

The person clicks an example of each class, then answers what `/questions` brings, with a person's
faults; answers and looks at new pictures take the usual seconds, or --seconds times as many. Truth
comes in through answers alone. The run that `train.py` fits to the store is scored on the test
images; the page's own interval stands beside what is true of the masks that it is about. With --ask
the same person gives as many answers to `study.py ask`, which fits as often as the page must: the
page, which chooses while the person answers, should lose nothing by it. Finished sessions are kept.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from werkzeug.test import Client

from benchmarks.commands import ROOT, flags, publish, run
from benchmarks.probe_table import SHARE, TABLE, data_flags
from model import feature_store
from weakseg.common import IGNORE, read_json, write_json
from weakseg.data.base import SegmentationDataset
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.costs import DEFAULT
from weakseg.labels.formats.records import Classes
from weakseg.labels.person import Person
from weakseg.labels.store import opened_store
from weakseg.labels.training_labels import training_ids
from weakseg.page.access import Access
from weakseg.page.answer_log import AnswerLog
from weakseg.page.asker import Asker
from weakseg.page.finish import Finish
from weakseg.page.server import Routes
from weakseg.page.session import Session
from weakseg.planning.ask import question_seconds
from weakseg.planning.ask_estimate import Truth
from weakseg.planning.out_of_fold import out_of_fold
from weakseg.planning.questions import Question
from weakseg.planning.simulated_asking import Annotator, Simulation
from weakseg.reporting.tables import markdown, mean_std
from weakseg.training import options

DATA = ("voc-pets", "pets", "nuclei", "examples")
WANTED = {"voc-pets": 84, "pets": 89, "nuclei": 81}  # mIoU in % after 15 minutes
SIZE = 384
HOST = "127.0.0.1:1"


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "page")
    parser.add_argument("--only", nargs="+", choices=DATA, default=list(WANTED))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--minutes", type=float, default=15, help="of the person (default: 15)")
    parser.add_argument(
        "--seconds", type=float, default=1, help="so many times the usual ones (default: 1)"
    )
    parser.add_argument(
        "--ask", action="store_true", help="compare with study.py ask at as many answers"
    )
    parser.add_argument("--img_size", type=int, default=SIZE, help=f"(default: {SIZE})")
    parser.add_argument(
        "--encoder_weights", default="imagenet", help="of the encoder (default: %(default)s)"
    )
    return parser.parse_args()


class Visitor:
    """A person in front of the page, who knows what its replies say.

    seconds: of an answer, and of a look at a new picture
    """

    def __init__(
        self, session: Session, annotator: Annotator, seconds: tuple[float, float]
    ) -> None:
        links: list[str] = []
        routes = Routes(session, Access({HOST}, 1, links.append))
        routes.access.new_link()
        self.client = Client(routes)
        self.client.get("/", query_string={"token": links[0]}, base_url=f"http://{HOST}")
        self.annotator, self.seconds, self.names = annotator, seconds, ["", ""]
        self.spent, self.last, self.seen = 0.0, 0, set[int]()

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        reply = self.client.get(path, query_string=query, base_url=f"http://{HOST}")
        assert reply.status_code == 200, reply.get_json()
        return dict(reply.get_json())

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        reply = self.client.post(path, json=body, base_url=f"http://{HOST}")
        assert reply.status_code == 200, reply.get_json()
        return dict(reply.get_json())

    def pays(self, picture: int) -> dict[str, Any]:
        """Let an answer take its time, and return what the page would say of it."""
        answer, look = self.seconds
        took = answer + look * (picture not in self.seen)
        self.seen.add(picture)
        self.spent += took
        return {"wall": took, "active": dict.fromkeys(("20", "60", "100"), took)}

    def begin(self) -> None:
        """Click an example of each class."""
        state = self.get("/state")
        self.names = [one["name"] for one in state["classes"]]
        for question in self.annotator.examples(len(self.names)):
            (label,) = self.annotator.answers([question])
            if label != IGNORE:
                (x, y), picture = question.place, question.picture
                body = {"picture": picture, "x": x, "y": y, "class": self.names[label]}
                self.post("/example", {**body, "times": self.pays(picture)})
        self.post("/begin", {})

    def work(self, seconds: float) -> None:
        """Answer questions, as they come, for so many seconds."""
        waiting: list[dict[str, Any]] = []
        while self.spent < seconds:
            while not waiting:
                waiting = self.get("/questions", after=self.last)["questions"]
            one = waiting.pop(0)
            self.last, picture = one["id"], one["picture"]
            (label,) = self.annotator.answers([Question(picture, (one["x"], one["y"]), "", 0)])
            name = None if label == IGNORE else self.names[label]
            body = {"id": one["id"], "class": name, "prediction": True}
            self.post("/answer", {**body, "times": self.pays(picture)})


def where_of(args: argparse.Namespace, data: str) -> dict[str, Any]:
    """Return the flags that open a data set."""
    if data == "examples":
        return {"data_dir": (args.data / "examples" / "pets").resolve()}
    return dict(data_flags(args.data, args.folder, data))


def session_of(
    args: argparse.Namespace, dataset: SegmentationDataset, names: list[str], folder: Path
) -> Session:
    """Return a session of the page on pictures of a data set."""
    words = ["--supervision_mode", "any", "--learner", "probe", "--img_size", str(args.img_size)]
    words += ["--encoder_weights", args.encoder_weights]
    settings = vars(options.parse_args(words))
    cache = getattr(args, "cache_dir", args.folder / "cache")
    log = AnswerLog.read(folder / "labels")
    log.classes = Classes(tuple(dataset.class_names), dataset.has_background)
    with opened_store(folder / "labels") as store:
        store.say_classes(log.classes)
    asker = Asker(dataset, feature_store(settings, cache), log, cache, names=names)
    finish = Finish((), (), folder / "run", folder / "masks", folder / "finish.log", ())
    return Session(folder.name, asker, finish, may_rename=False)


def lived(args: argparse.Namespace, data: str, seed: int) -> dict[str, Any]:
    """Return what one session reached; a finished one is read."""
    folder = args.folder / "sessions" / f"{data}-{seed}"
    own = where_of(args, data)
    dataset = open_dataset(DataOptions.of({**own, "cache_dir": args.folder / "cache"}))
    limit = len(dataset.ids("train"))
    if data in TABLE:
        limit = TABLE[data][-1] or round(SHARE * limit)
    if (folder / "result.json").exists():
        row = dict(read_json(folder / "result.json"))
    else:
        row = worked(args, own, dataset, limit, seed, folder)
        write_json(folder / "result.json", row)
    if args.ask and "ask" not in row:
        row["ask"] = asked(args, own, limit, seed, folder, row["answers"])
    write_json(folder / "result.json", row)
    print(folder.name, row, flush=True)
    return row


def worked(
    args: argparse.Namespace,
    own: dict[str, Any],
    dataset: SegmentationDataset,
    limit: int,
    seed: int,
    folder: Path,
) -> dict[str, Any]:
    """Let a person work through the page, and return what that reached."""
    names = training_ids(dataset, seed, limit)
    session = session_of(args, dataset, names, folder)
    person = Person(seed, num_classes=len(dataset.class_names))
    annotator = Annotator(dataset, session.photographs.names, person)
    usual = question_seconds(DEFAULT, len(dataset.class_names))
    visitor = Visitor(session, annotator, (args.seconds * usual[0], args.seconds * usual[1]))
    session.start()
    while session.asker.joined < len(session.photographs):
        time.sleep(0.1)
    visitor.begin()
    visitor.work(60 * args.minutes)
    session.close()
    row = {"minutes": visitor.spent / 60, "answers": session.log.answers}
    row |= {"lag": largest_lag(session.log), **estimated(session, annotator)}
    return row | {"miou": tested(args, own, limit, seed, folder)}


def asked(
    args: argparse.Namespace,
    own: dict[str, Any],
    limit: int,
    seed: int,
    folder: Path,
    answers: int,
) -> float:
    """Return the test mIoU in % that `study.py ask` reaches with as many answers."""
    study = (folder / "ask").resolve()
    shared = flags(**own, cache_dir=(args.folder / "cache").resolve(), seed=seed, study_dir=study)
    questions = flags(answers=answers, at=answers, start="examples", train_limit=limit)
    model = flags(img_size=args.img_size, encoder_weights=args.encoder_weights, device="cpu")
    run("study.py", "ask", "--simulate", *questions, *shared, "--", *model, threads=1)
    return float(read_json(study / "ask.json")["rows"][-1]["miou"])


def estimated(session: Session, annotator: Annotator) -> dict[str, Any]:
    """Return the interval that the page shows at the end, and what is true."""
    asking = session.asker.snapshot()
    assert asking is not None
    asking.model.fit(asking.answers)
    session.panel.estimate(asking)
    shown, found = session.panel.state()["estimate"], out_of_fold(asking)
    if not shown or found is None:
        return {"estimate": None, "truth": None}
    scored = [
        n for n, name in enumerate(session.log.classes.names) if name not in shown["unscored"]
    ]
    where = Path(session.log.folder) / "session.npz"
    truth = Truth(Simulation(asking, annotator, where, "", 1)).miou(found, scored)
    return {"estimate": shown["miou"], "random": shown["random"], "truth": truth}


def largest_lag(log: AnswerLog) -> int:
    """Return how many answers, at most, were given between the choice of a question and its own."""
    with opened_store(log.folder) as store:
        told = [event.geometry for _, _, event in store.events("answered")]
    chosen = (one for one in told if one["way"] == "first" and one["fit"])
    return max((int(one["lag"]) for one in chosen), default=0)


def tested(
    args: argparse.Namespace, own: dict[str, Any], limit: int, seed: int, folder: Path
) -> float:
    """Return the test mIoU in % of the run that the answers give."""
    shared = flags(**own, cache_dir=(args.folder / "cache").resolve())
    where = flags(run_name=folder.name, checkpoint_dir=(folder / "runs").resolve())
    words = flags(
        supervision_mode="any",
        learner="probe",
        labels=(folder / "labels").resolve(),
        train_limit=limit,
        seed=seed,
        img_size=args.img_size,
        encoder_weights=args.encoder_weights,
        device="cpu",
    )
    run("train.py", *words, *shared, *where, threads=1)
    results = (folder / "results").resolve()
    run("evaluate.py", *where, *flags(results_dir=results, device="cpu"), threads=1)
    return 100 * float(read_json(results / f"{folder.name}.json")["aggregate"]["miou"])


def row_of(data: str, rows: list[dict[str, Any]]) -> list[str]:
    """Return the row of a data set in the table."""
    known = [row for row in rows if row["estimate"]]
    inside = [row["estimate"][1] <= row["truth"] <= row["estimate"][2] for row in known]
    return [
        TABLE[data][0] if data in TABLE else data,
        f"{statistics.mean(row['answers'] for row in rows):.0f}",
        f"{statistics.mean(row['minutes'] for row in rows):.1f}",
        mean_std([row["miou"] for row in rows]),
        *against_ask(rows),
        str(WANTED.get(data, "-")),
        mean_std([row["estimate"][0] for row in known]) if known else "-",
        mean_std([row["truth"] for row in known]) if known else "-",
        f"{sum(inside)} of {len(inside)}",
        str(max(row["lag"] for row in rows)),
    ]


def against_ask(rows: list[dict[str, Any]]) -> list[str]:
    """Return the cells of what `study.py ask` reaches, and of what the page is above it, paired."""
    pairs = [(row["miou"], row["ask"]) for row in rows if "ask" in row]
    if not pairs:
        return ["-", "-"]
    return [mean_std([ask for _, ask in pairs]), mean_std([page - ask for page, ask in pairs])]


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    head = ["data", "answers", "minutes", "test mIoU", "study.py ask", "above it", "wanted"]
    head += ["estimate", "truth", "held", "largest lag"]
    rows = [row_of(data, [lived(args, data, seed) for seed in args.seeds]) for data in args.only]
    publish(args.folder / "table.md", markdown(head, rows, (0,)))


if __name__ == "__main__":
    main(parse_args())
