"""`study.py ask`: a simulated person answers questions; after some of them the model is scored.

At each of these points the answers so far are written as weak labels, train.py fits a run to them,
and evaluate.py scores it: ordinary runs, which are kept. Beside the score stands what the random
answers alone say of the model, and what is true of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from weakseg.common import UserError, atomic_path, commit, read_json, write_json
from weakseg.data.base import SegmentationDataset
from weakseg.data.datasets import DataOptions
from weakseg.labels.costs import LOOK, hours, price_labels, schedule_in_seconds
from weakseg.labels.label_file import save_labels
from weakseg.labels.label_header import header
from weakseg.labels.person import Faults, Person
from weakseg.labels.signals import SIGNALS
from weakseg.labels.training_labels import annotation_cost, labels_digest, training_ids
from weakseg.learners.feature_store import FeatureStore
from weakseg.learners.probe import Probe
from weakseg.parallel import Workers
from weakseg.planning.asking import Asking, AskingOptions
from weakseg.planning.candidates import make_pool, pool_key
from weakseg.planning.cell import Cell, data_words, named_words
from weakseg.planning.estimate import Estimate
from weakseg.planning.out_of_fold import OutOfFold, gain, looked_at, out_of_fold, quality
from weakseg.planning.runner import run_grid
from weakseg.planning.simulated_asking import REFIT_EVERY, Annotator, Simulation, mask_of
from weakseg.reporting.tables import markdown
from weakseg.training.probe import smaller_radius

LARGEST_RADIUS = 1 / 20  # of edges that out-of-fold masks follow, in longer sides


@dataclass(frozen=True)
class AskStudy:
    """What `study.py ask` was asked for.

    answers       how many the person gives in all
    at            after how many of them the model is scored
    start         "nothing", or "examples": the person first clicks an example of each class
    refit_every   answers between two fits; None: as a person in front of the page would see it
    train_limit   pictures; None: all that there are to train on
    training      flags of train.py that all runs share
    """

    data: DataOptions
    options: AskingOptions
    faults: Faults
    answers: int
    at: tuple[int, ...]
    start: str
    refit_every: int | None
    train_limit: int | None
    schedule: str
    training: tuple[str, ...]
    folder: Path


def checkpoints(study: AskStudy) -> tuple[int, ...]:
    """Return after how many answers the model is scored, the last one included."""
    return tuple(sorted({n for n in study.at if n < study.answers} | {study.answers}))


def usual_points(answers: int) -> tuple[int, ...]:
    """Return 50, 100, 200, ... up to a number of answers."""
    points, at = [], 50
    while at < answers:
        points.append(at)
        at *= 2
    return (*points, answers)


def question_seconds(schedule: str, num_classes: int) -> tuple[float, float]:
    """Return the seconds of an answer, and of a look at a new picture, by a price schedule."""
    prices = schedule_in_seconds(schedule)
    place = {"x": 0.5, "y": 0.5, "class": 0, "drawn": "random", "fit": 0}
    counts = {"pixels": SIGNALS["pixels"].actions([place], num_classes)}
    cost = price_labels(counts, 1, prices)["seconds"]
    return cost["pixels"], cost.get(LOOK, 0.0)


def simulation(study: AskStudy, dataset: SegmentationDataset, store: FeatureStore) -> Simulation:
    """Return the session of a study, where its file ends."""
    classes = len(dataset.class_names)
    options = replace(study.options, seconds=question_seconds(study.schedule, classes))
    names = training_ids(dataset, options.seed, study.train_limit)
    sizes = [dataset.image_size(name) for name in names]
    key = pool_key([dataset.fingerprint(), store.folder.name])
    pool = make_pool(
        names,
        sizes,
        lambda name: store(dataset.image_path(name)),
        store.folder.parent / "pools",
        key,
        options.seed,
    )
    asking = Asking(
        pool,
        lambda picture, places: store(dataset.image_path(names[picture])).at(places),
        classes,
        options,
    )
    person = Person(options.seed, study.faults, num_classes=classes)
    every = study.refit_every or REFIT_EVERY[classes > 2]
    words = key, names, asdict(options), asdict(study.faults), study.start, every
    path = study.folder / "session.npz"
    session = Simulation(asking, Annotator(dataset, names, person), path, pool_key(words), every)
    session.begin(with_examples=study.start == "examples")
    return session


def run_study(
    study: AskStudy,
    dataset: SegmentationDataset,
    store: FeatureStore,
    workers: Workers,
    done: Sequence[Mapping[str, Any]] = (),
) -> Iterator[dict[str, Any]]:
    """Yield a row of the table after each point: what was answered, reached, and estimated.

    done: rows of the same study that are finished, which are not made again
    """
    from tqdm import tqdm

    session = simulation(study, dataset, store)
    truth, finished = Truth(session), {row["answers"] for row in done}
    for point in checkpoints(study):
        if point in finished:
            continue
        have = len(session.asking.answers)
        with tqdm(total=point, initial=have, desc="answers", disable=have >= point) as bar:
            for number in session.until(point):
                bar.update(number - bar.n)
        yield scored(study, session, dataset, store, workers, truth, point)


def scored(
    study: AskStudy,
    session: Simulation,
    dataset: SegmentationDataset,
    store: FeatureStore,
    workers: Workers,
    truth: "Truth",
    point: int,
) -> dict[str, Any]:
    """Return the row of the answers so far: what a run on them reaches, and what it costs."""
    names, answers = session.asking.pool.names, session.asking.answers
    images = label_images(session.asking, dataset)
    path = study.folder / "labels" / f"answers_{point}.pkl"
    save_labels(
        path,
        header(dataset, study.options.seed, {"faults": asdict(study.faults)}),
        len(images),
        images.items(),
    )
    cell = run_of_answers(study, dataset, images, path)
    failed = run_grid([cell], study.folder, replace(workers, jobs=1))
    result = cell.result(study.folder)
    if failed or result is None:
        raise UserError(
            f"{cell.name}: {failed.get(cell.name)}; its log is in {study.folder / 'logs'}"
        )
    cost = annotation_cost(
        images, names, ("pixels",), len(dataset.object_names), dataset.has_background
    )
    priced = price_labels(cost["counts"], cost["images"], schedule_in_seconds(study.schedule))
    low, high = result["aggregate"]["miou_interval"]
    row = {
        "answers": len(answers),
        "pictures": int(session.asking.seen.sum()),
        "minutes": 60 * hours(priced),
        "miou": 100 * result["aggregate"]["miou"],
        "low": 100 * low,
        "high": 100 * high,
        "run": cell.name,
        "commit": commit(),
    }
    return row | estimated(session, dataset, store, truth)


def label_images(asking: Asking, dataset: SegmentationDataset) -> dict[str, dict[str, Any]]:
    """Return {id: {"size", "pixels"}} of all pictures of a session; of most, few or no pixels."""
    images: dict[str, dict[str, Any]] = {
        name: {"size": [int(side) for side in size], "pixels": []}
        for name, size in zip(asking.pool.names, asking.pool.sizes, strict=True)
    }
    for row in asking.answers.rows:
        question = row.question
        images[asking.pool.names[question.picture]]["pixels"].append(
            {
                "x": question.place[0],
                "y": question.place[1],
                "class": row.label,
                "drawn": question.drawn,
                "fit": question.fit,
            }
        )
    return images


def run_of_answers(
    study: AskStudy, dataset: SegmentationDataset, images: Mapping[str, Any], labels: Path
) -> Cell:
    """Return the run of train.py that learns from the answers in a file."""
    words = [
        *["--supervision_mode", "pixels", *data_words(study.data, str(labels))],
        *["--checkpoint_dir", str(study.folder / "runs"), "--seed", str(study.options.seed)],
        *["--train_limit", str(len(images)), *study.training],
    ]
    digest = labels_digest(images, images, ("pixels",))
    named, run, identity = named_words(words, len(images), dataset.fingerprint(), digest)
    return Cell("pixels", 0.0, study.options.seed, len(images), False, named, run, identity)


# ---- how good it is, by random answers alone, and in truth


def estimated(
    session: Simulation, dataset: SegmentationDataset, store: FeatureStore, truth: "Truth"
) -> dict[str, Any]:
    """Return what the random answers say of the out-of-fold masks, and what is true of them."""
    asking = session.asking
    if asking.head is None:
        return {}
    start = Probe(asking.standard, asking.head, LARGEST_RADIUS)
    edges = smaller_radius(dataset, asking.pool.names, store, start)
    found = out_of_fold(asking, mask_of=mask_of(asking, store, dataset, edges))
    if found is None:
        return {}
    best = quality(found, dataset.has_background, asking.options.seed)
    doubling = gain(asking)
    return {
        "estimate": as_dict(best),
        "truth": 100 * truth.miou(found, best.scored),
        "gain": None if doubling is None else doubling.sentence,
    }


def as_dict(found: Estimate) -> dict[str, Any]:
    """Return an estimate in plain values, scores in percent."""
    scores = ("miou", "pixel_accuracy", "foreground_iou", "frequency_weighted_iou", "cannot_tell")
    return {
        "answers": found.answers,
        **{name: [100 * value for value in getattr(found, name)] for name in scores},
        "scored": found.scored,
        "unscored": found.unscored,
    }


class Truth:
    """What the person would answer at all candidates, on average: what an estimate is about."""

    def __init__(self, session: Simulation) -> None:
        self.session = session
        self.answers: np.ndarray | None = None

    def confusion(self, found: OutOfFold) -> np.ndarray:
        """Return the confusion matrix [C, C] of masks (rows) and the person's expected answers."""
        from tqdm import tqdm

        asking, annotator = self.session.asking, self.session.annotator
        if self.answers is None:
            looked = tqdm(looked_at(len(asking.pool), asking.options.seed), "truth", unit="img")
            answers = [annotator.expected(asking.pool, int(picture))[0] for picture in looked]
            self.answers = np.concatenate(answers)
        classes = asking.num_classes
        rows = [
            found.areas[found.pool == label] @ self.answers[found.pool == label]
            for label in range(classes)
        ]
        return np.array(rows)

    def miou(self, found: OutOfFold, scored: Sequence[int]) -> float:
        """Return the mIoU over some classes."""
        matrix = self.confusion(found)
        union = matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
        return float(np.mean([matrix[c, c] / union[c] for c in scored if union[c] > 0]))


# ---- what a study writes


HEAD = (
    "answers",
    "minutes",
    "pictures",
    "test mIoU",
    "interval",
    "estimate",
    "interval of the estimate",
    "truth of the estimate",
)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of a study: one line for each number of answers."""
    lines = []
    for row in rows:
        guess = row.get("estimate")
        point, low, high = guess["miou"] if guess else (None, None, None)
        lines.append(
            [
                str(row["answers"]),
                f"{row['minutes']:.0f}",
                str(row["pictures"]),
                f"{row['miou']:.1f}",
                f"{row['low']:.1f} to {row['high']:.1f}",
                "-" if guess is None else f"{point:.1f}",
                "-" if guess is None else f"{low:.1f} to {high:.1f}",
                f"{row['truth']:.1f}" if "truth" in row else "-",
            ]
        )
    return markdown(HEAD, lines, ())


def write_ask(study: AskStudy, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ask.json, table.md and ask.png: the flags of a study, and its rows so far."""
    from weakseg.reporting.asking_chart import asking_plot

    write_json(study.folder / "ask.json", {"flags": recorded(study), "rows": rows})
    with atomic_path(study.folder / "table.md") as temporary:
        temporary.write_text(table(rows) + "\n", encoding="utf-8")
    asking_plot(study.folder / "ask.png", rows)


def finished_rows(study: AskStudy) -> list[dict[str, Any]]:
    """Return the rows that an earlier call of the same study has written.

    Rows of other flags are a `UserError`; only how many answers there are, and where they are
    scored, may change.
    """
    path = study.folder / "ask.json"
    if not path.exists():
        return []
    content = read_json(path)
    if not isinstance(content, dict) or content.get("flags") != recorded(study):
        raise UserError(f"{path}: is of a session with other flags; take another --study_dir")
    rows: list[dict[str, Any]] = content["rows"]
    return rows


def recorded(study: AskStudy) -> dict[str, Any]:
    """Return what makes a session what it is: plain values."""
    return {
        "data": asdict(study.data),
        "options": asdict(study.options),
        "faults": asdict(study.faults),
        "start": study.start,
        "refit_every": study.refit_every,
        "train_limit": study.train_limit,
        "schedule": study.schedule,
        "training": list(study.training),
    }


def row_words(row: Mapping[str, Any]) -> str:
    """Return one row of the table in words."""
    words = (
        f"{row['answers']} answers, {row['minutes']:.0f} minutes: test mIoU {row['miou']:.1f} "
        f"({row['low']:.1f} to {row['high']:.1f})"
    )
    if "estimate" not in row:
        return words
    point, low, high = row["estimate"]["miou"]
    words += f"; by random answers {point:.1f} ({low:.1f} to {high:.1f})"
    return f"{words}; another doubling: {row['gain']}" if row["gain"] else words
