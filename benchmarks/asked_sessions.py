"""Sessions of questions that benchmarks simulate, and how they are scored and compared."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fitted_probes import Bench, confusions
from benchmarks.probe_table import SHARE, TABLE, data_flags
from weakseg.common import read_json, write_json
from weakseg.labels.person import USUAL
from weakseg.learners.probe import Probe
from weakseg.metrics import scores
from weakseg.planning.ask import AskStudy, simulation
from weakseg.planning.asking import Asking, AskingOptions
from weakseg.planning.simulated_asking import Simulation
from weakseg.reporting.tables import mean_std

SIZE = 256  # pixels of the longer side of photographs


def simulated(
    bench: Bench, options: AskingOptions, refit_every: int, pictures: int, folder: Path, **own: Any
) -> Simulation:
    """Return a session whose person fails as people do, by the usual prices.

    pictures: how many it asks about; folder: where its state lies; own: further fields of the study
    """
    usual: dict[str, Any] = {"start": "nothing", "labels": (), "weak_label_path": ""}
    usual |= {"faults": USUAL}
    study = AskStudy(
        data=bench.run,
        options=options,
        answers=0,
        at=(),
        refit_every=refit_every,
        train_limit=pictures,
        schedule="extreme_clicking",
        training=(),
        folder=folder,
        **usual | own,
    )
    return simulation(study, bench.dataset, bench.store)


def miou(bench: Bench, asking: Asking) -> float:
    """Return the mIoU in % of a session's model on the validation images."""
    assert asking.model.head is not None
    probe = Probe(asking.model.standard, asking.model.head)
    return 100 * float(scores(confusions([(bench, probe)], "val").sum(0))["miou"])


def points_of(args: Any, data: str, name: str, seed: int, own: dict[str, Any]) -> list[float]:
    """Return the mIoU in % after each number of answers of one session, kept in a file.

    args: the flags data, folder, points and refit_every; name: of this kind of session; own:
    further fields of the study
    """
    folder = args.folder / "sessions" / f"{data}-{name.replace(' ', '-')}-{seed}"
    result = folder / "miou.json"
    if result.exists():
        kept: list[float] = read_json(result)
        return kept
    *_, pictures = TABLE[data]
    flags = data_flags(args.data, args.folder, data)
    bench = Bench.of_flags(
        **flags, supervision_mode="pixels", cache_dir=args.folder / "cache", img_size=SIZE, views=1
    )
    pictures = pictures or round(SHARE * len(bench.dataset.ids("train")))
    options = AskingOptions(seed=seed)
    session = simulated(bench, options, args.refit_every, pictures, folder, **own)
    found = []
    for point in sorted(args.points):
        for _ in session.until(point):
            pass
        found.append(miou(bench, session.asking))
    write_json(result, found)
    print(folder.name, [round(value, 1) for value in found], flush=True)
    return found


def compared(
    title: str,
    sessions: dict[str, list[list[float]]],
    first: str,
    gain_words: Callable[[Sequence[float]], str],
) -> list[list[str]]:
    """Return a row for each kind of session: its means, and its gains on the first kind.

    sessions: {kind: values of each seed}; gains are paired over seeds, and put into words
    """
    rows = []
    for kind, values in sessions.items():
        cells = []
        for own, usual in zip(np.array(values).T, np.array(sessions[first]).T, strict=True):
            gains = "" if kind == first else f" ({gain_words((own - usual).tolist())})"
            cells.append(mean_std(own.tolist()) + gains)
        rows.append([title, kind, *cells])
    return rows
