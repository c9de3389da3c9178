"""Simulated annotators label the images of a data set: one of them, a chunk, or all in parallel.

Each image has its own random stream from (seed, id, signal). So its labels depend neither on the
order, nor on the number of processes, nor on the other images.
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from weakseg.common import stable_seed
from weakseg.data.base import SegmentationDataset
from weakseg.data.contents import content_of
from weakseg.labels.annotators import DRAWING, Options, Point, Scene
from weakseg.labels.human_clicks import simulate_like
from weakseg.labels.parquet_shard import Row, encode
from weakseg.labels.seen_files import KEY, seen_files
from weakseg.labels.signals import SIGNALS
from weakseg.parallel import Workers, backend, stream

CHUNK = 32  # images a task: fewer than two tasks stay in this process

# Draws the points of one image instead of the usual annotator.
PointSource = Callable[[Scene, np.random.Generator], list[list[float]]]


def annotate(
    dataset: SegmentationDataset,
    name: str,
    options: Options,
    seed: int,
    signals: Sequence[str] = tuple(SIGNALS),
    points: PointSource | None = None,
) -> dict[str, Any]:
    """Return {"size": [w, h], signal: annotation, ...} of one image, by a simulated annotator.

    points: draws the points instead of the usual annotator
    """
    mask = dataset.mask(name)
    scene = Scene(
        mask,
        dataset.tags(name),
        tuple(dataset.tag_names),
        options,
        dataset.instances(name),
        dataset.has_background,
        name,
        seed,
        len(dataset.class_names),
    )
    labels: dict[str, Any] = {"size": [mask.shape[1], mask.shape[0]]}
    for signal in signals:
        extract = points if points and signal == "points" else SIGNALS[signal].extract
        labels[signal] = extract(scene, np.random.default_rng(stable_seed(seed, name, signal)))
    return labels


def annotate_many(
    dataset: SegmentationDataset,
    points: Mapping[str, PointSource | None],
    options: Options,
    seed: int,
) -> list[tuple[str, dict[str, Any]]]:
    """Annotate a chunk of images in one process -> [(id, labels), ...].

    Labels say which files they were drawn from, see `seen_files`.

    points: {id: what draws its points, None for the usual annotator}
    """
    import cv2

    cv2.setNumThreads(1)  # the processes share the cores already
    return [
        (
            name,
            annotate(dataset, name, options, seed, points=source)
            | {KEY: seen_files(dataset, name)},
        )
        for name, source in points.items()
    ]


def encode_many(
    dataset: SegmentationDataset,
    points: Mapping[str, PointSource | None],
    options: Options,
    seed: int,
) -> list[Row]:
    """Annotate a chunk of images in one process -> their rows in a label folder.

    The process that writes the folder has the least to do: a cluster waits for it alone.
    """
    return [encode(name, labels) for name, labels in annotate_many(dataset, points, options, seed)]


def annotate_all(
    function: Callable[..., list[Any]],
    dataset: SegmentationDataset,
    points: Mapping[str, PointSource],
    options: Options,
    seed: int,
    workers: Workers,
    names: Iterable[str],
    count: int,
) -> Generator[Any, None, None]:
    """Annotate images in parallel, with a progress bar -> what `function` gives of each, in order.

    function: `annotate_many` or `encode_many`
    points: {id: what draws its points}; images that are not in it get the usual annotator
    workers: where the work runs
    names: `count` ids, taken as they are needed
    """
    from joblib import delayed
    from tqdm import tqdm

    names = iter(names)
    chunks = iter(lambda: list(islice(names, CHUNK)), [])
    tasks = (
        delayed(function)(
            dataset.part(chunk), {name: points.get(name) for name in chunk}, options, seed
        )
        for chunk in chunks
    )
    bar = tqdm(total=count, desc="annotating", unit="img", disable=not count)
    with backend(workers), bar:
        for done in stream(tasks, workers, n_jobs=1 if count <= CHUNK else None):
            yield from done
            bar.update(len(done))


def point_sources(people: Mapping[str, list[Point]], simulated: bool) -> dict[str, PointSource]:
    """Return {id: what draws its points}: the people's own clicks, or a simulation of as many."""
    if simulated:
        return {name: partial(simulate_like, points) for name, points in people.items()}
    return {name: partial(given_points, points) for name, points in people.items()}


def given_points(
    points: list[list[float]], scene: Scene, rng: np.random.Generator
) -> list[list[float]]:
    """Return the points as they are: the `PointSource` of clicks that people gave."""
    return points


def drawn_from(dataset: SegmentationDataset, name: str) -> tuple[Any, ...]:
    """Return what an image's labels depend on, besides the header of their file.

    Where it changes, the labels are drawn again.
    """
    path = dataset.instances_path(name)
    source: tuple[Any, ...] = DRAWING, dataset.tags(name), *seen_files(dataset, name)
    source += (dataset.mask_values.key,) if dataset.mask_values else ()
    return (*source, content_of(path, is_whole=True)) if path and path.exists() else source
