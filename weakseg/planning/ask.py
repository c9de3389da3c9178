"""`study.py ask`: a simulated person answers questions; after some of them the model is scored.

At each of these points the answers so far are written as weak labels, train.py fits a run to them,
and evaluate.py scores it: ordinary runs, which are kept. Beside the score stands what the random
answers alone say of the model, and what is true of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from weakseg.common import UserError, commit, stable_seed
from weakseg.data.base import SegmentationDataset
from weakseg.data.cache import ResizedCache
from weakseg.data.datasets import DataOptions
from weakseg.data.groups import group_numbers
from weakseg.labels.costs import LOOK, hours, price_labels, schedule_in_seconds
from weakseg.labels.label_file import save_labels
from weakseg.labels.label_header import header
from weakseg.labels.person import Faults, Person
from weakseg.labels.signals import SIGNALS, parse_modes
from weakseg.labels.training_labels import (
    TrainingLabels,
    all_masked,
    annotation_cost,
    labels_digest,
    masks_used,
    read_training_labels,
    training_ids,
)
from weakseg.learners.feature_store import FeatureStore
from weakseg.parallel import Workers
from weakseg.planning.ask_estimate import Truth, estimated
from weakseg.planning.asking import Asking, AskingOptions
from weakseg.planning.candidates import make_pool, pool_key
from weakseg.planning.cell import (
    Cell,
    data_words,
    images_of,
    labels_of,
    named_words,
    tested_on,
)
from weakseg.planning.runner import run_grid
from weakseg.planning.simulated_asking import REFIT_EVERY, Annotator, Simulation
from weakseg.pseudo_masks.from_features import SIDE, FeatureMasks
from weakseg.training.pixel_sample import LabelledPixels
from weakseg.training.probe_evidence import feature_masks, gather
from weakseg.training.probe_fit import rows_of
from weakseg.training.probe_options import ProbeOptions

MOST_LABELS = 3000  # pixels of labels that are there, which every fit of a session learns from


@dataclass(frozen=True)
class AskStudy:
    """What `study.py ask` was asked for.

    answers       how many the person gives in all
    at            after how many of them the model is scored
    start         "nothing", or "examples": the person first clicks an example of each class
    labels        kinds of labels that are there already, of all pictures, in weak_label_path
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
    labels: tuple[str, ...]
    weak_label_path: str
    refit_every: int | None
    train_limit: int | None
    schedule: str
    training: tuple[str, ...]
    folder: Path

    @property
    def signals(self) -> tuple[str, ...]:
        """What the runs learn from: the labels that were there, and the answers."""
        return parse_modes([*self.labels, "pixels"])


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


def session_path(folder: Path) -> Path:
    """Return where the session of a study is kept."""
    return folder / "session.npz"


def simulation(study: AskStudy, dataset: SegmentationDataset, store: FeatureStore) -> Simulation:
    """Return the session of a study, where its file ends."""
    classes = len(dataset.class_names)
    options = replace(study.options, seconds=question_seconds(study.schedule, classes))
    names = training_ids(dataset, options.seed, study.train_limit)
    sizes = [dataset.image_size(name) for name in names]
    shown = [dataset.reading.key] if dataset.reading.key else []
    key = pool_key([dataset.fingerprint(masks=True), store.folder.name, *shown])
    photographs = dataset.image_contents(names)
    pool = make_pool(
        names,
        sizes,
        lambda name: store(dataset.photograph(name)),
        store.folder.parent / "pools",
        pool_key([key, photographs]),
        options.seed,
    )
    given = other_labels(study, dataset, names) if study.labels else None
    asking = Asking(
        pool,
        lambda picture, places: store(dataset.photograph(names[picture])).at(places),
        classes,
        options,
        label_pixels(study, dataset, store, given) if given else None,
        groups=group_numbers(names, dataset.group) if dataset.groups else None,
    )
    person = Person(options.seed, study.faults, num_classes=classes)
    every = study.refit_every or REFIT_EVERY[classes > 2]
    flags = asdict(options), asdict(study.faults), study.start, study.labels
    words = key, names, *flags, given.digest if given else None, every
    path = session_path(study.folder)
    annotator = Annotator(dataset, names, person)
    contents = pool_key([photographs, dataset.mask_contents(names)])
    session = Simulation(asking, annotator, path, pool_key(words), every, contents)
    session.begin(with_examples=study.start == "examples")
    return session


@dataclass(frozen=True)
class LabelSettings:
    """What `gather` needs to know of labels that are there: see `FitSettings`."""

    seed: int
    signals: tuple[str, ...]
    weak_label_path: str
    probe: ProbeOptions = field(default_factory=ProbeOptions)
    last_epoch: int = 1


def other_labels(
    study: AskStudy, dataset: SegmentationDataset, names: Sequence[str]
) -> TrainingLabels:
    """Return the labels that are there already of pictures, checked."""
    where = study.weak_label_path, dataset, names, study.labels, None, study.data.data_dir
    return read_training_labels(*where)


def label_pixels(
    study: AskStudy, dataset: SegmentationDataset, store: FeatureStore, labels: TrainingLabels
) -> LabelledPixels:
    """Return the pixels of the labels that are there, a part of them if they are many."""
    settings = LabelSettings(study.options.seed, study.labels, study.weak_label_path)
    masks = FeatureMasks(dataset, study.labels, ResizedCache(study.data.cache_dir, SIDE, None))
    masks = feature_masks(settings, dataset, labels, store, masks)
    evidence = gather(settings, dataset, labels, store, masks)
    boxed = "boxes" in study.labels and dataset.has_background
    rows, _ = rows_of(evidence, evidence.first, len(dataset.class_names), doubt_is_object=boxed)
    if len(rows) > MOST_LABELS:
        rng = np.random.default_rng(stable_seed(study.options.seed, "labels"))
        rows = rows.part(np.sort(rng.choice(len(rows), MOST_LABELS, replace=False)))
    return rows


def run_study(
    study: AskStudy,
    session: Simulation,
    dataset: SegmentationDataset,
    store: FeatureStore,
    workers: Workers,
    done: Sequence[Mapping[str, Any]] = (),
) -> Iterator[dict[str, Any]]:
    """Yield a row of the table after each point: what was answered, reached, and estimated.

    session: of `simulation`; done: rows of the same study that are finished, which are not made
    again
    """
    from tqdm import tqdm

    truth, finished = Truth(session), {row["point"] for row in done}
    for point in checkpoints(study):
        have = len(session.asking.answers)
        if point in finished:
            continue
        if point < have:
            print(f"--at {point}: the session has {have} answers already; it is not scored there")
            continue
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
    truth: Truth,
    point: int,
) -> dict[str, Any]:
    """Return the row of the answers so far: what a run on them reaches, and what it costs."""
    names, answers = session.asking.pool.names, session.asking.answers
    images = label_images(session.asking)
    if study.labels:
        given = other_labels(study, dataset, names)
        images = {name: {**given[name], **own} for name, own in images.items()}
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
        images, names, study.signals, len(dataset.object_names), dataset.has_background
    )
    priced = price_labels(cost["counts"], cost["images"], schedule_in_seconds(study.schedule))
    low, high = result["aggregate"]["miou_interval"]
    row = {
        "point": point,
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


def label_images(asking: Asking) -> dict[str, dict[str, Any]]:
    """Return {id: {"size", "pixels"}} of all pictures of a session; of most, few or no pixels."""
    images: dict[str, dict[str, Any]] = {
        name: {"size": [int(side) for side in size], "pixels": []}
        for name, size in zip(asking.pool.names, asking.pool.sizes, strict=True)
    }
    for row in asking.answers.rows:
        images[asking.pool.names[row.question.picture]]["pixels"].append(row.record)
    return images


def run_of_answers(
    study: AskStudy, dataset: SegmentationDataset, images: Mapping[str, Any], labels: Path
) -> Cell:
    """Return the run of train.py that learns from the answers in a file."""
    words = [
        *["--supervision_modes", *study.signals, *data_words(study.data, str(labels))],
        *["--checkpoint_dir", str(study.folder / "runs"), "--seed", str(study.options.seed)],
        *["--train_limit", str(len(images))],
        *["--resume", "auto", *study.training],
    ]
    masks = masks_used(dataset, images, images, study.signals)
    digest = labels_digest(images, images, study.signals, masks)
    data = {**images_of(dataset), **labels_of(dataset, digest, masks)}
    all_masks = all_masked(images, images, study.signals)
    named, run, identity = named_words(
        words, len(images), data, study.folder, study.signals, all_masks
    )
    mode, seed = " + ".join(study.signals), study.options.seed
    tested = tested_on(dataset)
    return Cell(mode, 0.0, seed, len(images), False, named, run, identity, tested)
