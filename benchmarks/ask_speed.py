r"""How long does a person wait for the next question? A refit and a choice, after many answers.

    python benchmarks/ask_speed.py --data ../shared/data --folder results/ask-speed

A simulated person has answered `--answers` questions about `--pictures` pictures (where there are
fewer they are taken again). Then the model is refitted from its last weights as further answers
come in, and chooses the next questions among the candidates of all pictures. Medians of processor
seconds, one thread; reading features of answered pixels is part of neither, as a page does it
before.
"""

import argparse
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from benchmarks.asked_sessions import simulated
from benchmarks.commands import ROOT, publish
from benchmarks.fitted_probes import Bench
from benchmarks.probe_table import TABLE, data_flags
from weakseg.planning.asking import Asking, AskingOptions
from weakseg.planning.candidates import Pool
from weakseg.planning.questions import Answer, Question
from weakseg.reporting.tables import markdown

# Name of the data in `probe_table.TABLE` -> longer side of photographs, answers between two fits.
DATA = {"voc-pets": (384, 5), "voc-21": (256, 20)}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "ask-speed")
    parser.add_argument("--only", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--answers", type=int, default=3000, help="(default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=1000, help="(default: %(default)s)")
    parser.add_argument("--refits", type=int, default=15, help="(default: %(default)s)")
    return parser.parse_args()


def row(args: argparse.Namespace, name: str) -> list[str]:
    """Return the row of one data set."""
    size, every = DATA[name]
    flags = data_flags(args.data, args.folder, name)
    bench = Bench.of_flags(
        **flags, supervision_mode="pixels", cache_dir=args.folder / "cache", img_size=size
    )
    options = AskingOptions(looked_at=args.pictures)
    there = min(args.pictures, len(bench.dataset.ids("train")))
    session = simulated(bench, options, every, there, args.folder / "sessions" / name)
    small, numbers = session.asking.pool, np.arange(args.pictures) % len(session.asking.pool)
    pool = Pool(
        [f"{number}" for number in range(args.pictures)],
        small.sizes[numbers],
        small.places[numbers],
        np.array(small.features)[numbers],
    )
    asking = Asking(
        pool,
        lambda picture, places: session.asking.features_at(int(numbers[picture]), places),
        session.asking.num_classes,
        session.asking.options,
    )

    def answers(questions: list[Question]) -> list[int]:
        """Return what the person says of the pictures that stand behind these numbers."""
        known = [replace(q, picture=int(numbers[q.picture])) for q in questions]
        return session.annotator.answers(known)

    questions = asking.next(args.answers)  # random: there is no model yet
    asking.take(questions, answers(questions))
    fits, choices = [], []
    for _ in range(args.refits):
        questions = asking.next(every)
        for question, label in zip(questions, answers(questions), strict=True):
            features = asking.features_at(question.picture, np.array([question.place]))
            asking.keep(Answer(question, label), features[0].astype(np.float16))
        began = time.process_time()
        asking.model.fit(asking.answers)
        fitted = time.process_time()
        asking.next(every)
        fits.append(fitted - began)
        choices.append(time.process_time() - fitted)
    both = [fit + choice for fit, choice in zip(fits, choices, strict=True)]
    cells = [f"{statistics.median(values):.2f}" for values in (fits, choices, both)]
    shape = str(asking.num_classes), str(len(asking.answers)), str(args.pictures), str(every)
    return [TABLE[name][0], *shape, *cells, f"{max(both):.2f}"]


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    head = ["data", "classes", "answers", "pictures", "answers between fits"]
    head += ["refit, s", "choice, s", "both, s", "slowest, s"]
    publish(args.folder / "table.md", markdown(head, [row(args, name) for name in args.only]))


if __name__ == "__main__":
    main(parse_args())
