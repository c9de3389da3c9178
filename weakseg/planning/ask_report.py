"""What `study.py ask` writes: its rows, their table and figure."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from weakseg.common import UserError, atomic_path, read_json, write_json
from weakseg.data.base import SegmentationDataset
from weakseg.data.contents import short_hash
from weakseg.inference.predict import probe_mask
from weakseg.learners.checkpoint_file import load_checkpoint
from weakseg.learners.feature_store import FeatureStore
from weakseg.learners.probe import Probe
from weakseg.planning.ask import AskStudy, session_path
from weakseg.planning.simulated_asking import Simulation
from weakseg.reporting.tables import markdown

STRIPS = 3  # pictures of the strip

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


def guessed(row: Mapping[str, Any]) -> list[float] | None:
    """Return the estimated mIoU of a row, and its interval, in percent; None without one."""
    miou: list[float] | None = row["estimate"]["miou"] if "estimate" in row else None
    return miou


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of a study: one line for each number of answers."""
    lines = []
    for row in rows:
        guess = guessed(row)
        lines.append(
            [
                str(row["answers"]),
                f"{row['minutes']:.0f}",
                str(row["pictures"]),
                f"{row['miou']:.1f}",
                f"{row['low']:.1f} to {row['high']:.1f}",
                "-" if guess is None else f"{guess[0]:.1f}",
                "-" if guess is None else f"{guess[1]:.1f} to {guess[2]:.1f}",
                "-" if guess is None else f"{row['truth']:.1f}",
            ]
        )
    return markdown(HEAD, lines, ())


def contents_of(dataset: SegmentationDataset) -> str:
    """Return a short hash of what the files hold that a session asks about and is tested on."""
    names = [*dataset.ids("trainval"), *dataset.ids("test")]
    return short_hash([dataset.contents(), dataset.mask_contents(names)])


def write_ask(study: AskStudy, rows: Sequence[Mapping[str, Any]], contents: str) -> None:
    """Write ask.json, table.md and ask.png: the flags of a study, and its rows so far.

    contents: of `contents_of`
    """
    from weakseg.reporting.asking_chart import asking_plot

    content = {"flags": recorded(study), "contents": contents, "rows": rows}
    write_json(study.folder / "ask.json", content)
    with atomic_path(study.folder / "table.md") as temporary:
        temporary.write_text(table(rows) + "\n", encoding="utf-8")
    asking_plot(study.folder / "ask.png", rows)


def finished_rows(study: AskStudy, contents: str) -> list[dict[str, Any]]:
    """Return the rows that an earlier call of the same study has written.

    Rows of other flags or files are a `UserError`; only how many answers there are, and where they
    are scored, may change.
    contents: of `contents_of`
    """
    path = study.folder / "ask.json"
    if not path.exists() or not session_path(study.folder).exists():  # it begins anew
        return []
    content = read_json(path)
    if not isinstance(content, dict) or content.get("flags") != recorded(study):
        raise UserError(f"{path}: is of a session with other flags; take another --study_dir")
    if content.get("contents", contents) != contents:
        raise UserError(
            f"{path}: is of a session on files that have changed since; restore them, or take "
            "another --study_dir"
        )
    rows: list[dict[str, Any]] = content["rows"]
    return rows


def recorded(study: AskStudy) -> dict[str, Any]:
    """Return what makes a session what it is: values as JSON has them."""
    flags = {
        "data": asdict(study.data),
        "options": asdict(study.options),
        "faults": asdict(study.faults),
        "start": study.start,
        "labels": list(study.labels),
        "weak_label_path": study.weak_label_path,
        "refit_every": study.refit_every,
        "train_limit": study.train_limit,
        "schedule": study.schedule,
        "training": list(study.training),
    }
    values: dict[str, Any] = json.loads(json.dumps(flags, default=str))
    return values


def row_words(row: Mapping[str, Any]) -> str:
    """Return one row of the table in words."""
    words = (
        f"{row['answers']} answers, {row['minutes']:.0f} minutes: test mIoU {row['miou']:.1f} "
        f"({row['low']:.1f} to {row['high']:.1f})"
    )
    guess = guessed(row)
    if guess is None:
        return words
    point, low, high = guess
    words += f"; by random answers {point:.1f} ({low:.1f} to {high:.1f})"
    return f"{words}. {row['gain']}" if row["gain"] else words


# ---- the strip of pictures


def draw_strip(
    study: AskStudy,
    session: Simulation,
    dataset: SegmentationDataset,
    store: FeatureStore,
    rows: Sequence[Mapping[str, Any]],
) -> None:
    """Draw strip.png: what was asked about some pictures, and their masks as answers came in.

    The pictures are those with the most answers; of the rows the first, one between and the last.
    """
    from weakseg.reporting.pictures import label_preview, overlay

    chosen = [rows[number] for number in sorted({0, len(rows) // 2, len(rows) - 1})]
    paths = [study.folder / "runs" / row["run"] / "best.pt" for row in chosen]
    probes = [Probe.of_state(load_checkpoint(path)["model"]) for path in paths]
    answers = session.asking.answers.rows
    counts = Counter(row.question.picture for row in answers)
    tiles = []
    for picture, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:STRIPS]:
        name = session.asking.pool.names[picture]
        image, maps = np.asarray(dataset.image(name)), store(dataset.photograph(name))
        pixels = [
            (number, row.record)
            for number, row in enumerate(answers)
            if row.question.picture == picture
        ]
        asked = {"pixels": [pixel for _, pixel in pixels]}
        tiles.append({"title": f"{name}: asked", "image": image, "annotation": asked})
        for row, probe in zip(chosen, probes, strict=True):
            mask = probe_mask(probe, maps, image)
            known = [pixel for number, pixel in pixels if number < row["answers"]]
            tiles.append(
                {
                    "title": f"after {row['answers']:,} answers",
                    "image": overlay(image, mask),
                    "annotation": {"pixels": known},
                }
            )
    label_preview(study.folder / "strip.png", tiles, dataset.class_names, len(chosen) + 1)
