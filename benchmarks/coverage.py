"""Do the intervals of weakseg/planning/estimate.py cover the truth? Answers drawn anew, many times.

    python benchmarks/coverage.py
    python benchmarks/coverage.py --only voc --replays 200 --answers 800
    python benchmarks/coverage.py --sessions session.npz --replays 1000

Without sessions, the confusion matrices are known: pixels are drawn from one, answered, estimated,
and compared with the matrix. `exact` is half the width between the 2.5 and 97.5 % quantiles of what
the answers alone say (the plug-in mIoU, post-stratified as the estimate is) over 20,000 samples; no
interval of one sample knows it. A file of a session has `predicted` [N] and `answers` [N] (255 =
cannot tell) of the pixels of a pool, and, if wanted, their `areas` [N] and a `prior` [C, C].
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from weakseg.common import IGNORE, UserError, commit, run_cli
from weakseg.planning.estimate import DRAWS, LEAST_ANSWERS, Tally, estimate

SCORES = ("miou", "pixel_accuracy", "foreground_iou", "frequency_weighted_iou")
SAMPLES = 20_000

# Two classes: area of the object, its IoU, the share of missed pixels among the errors.
TWO = {
    "pets": (0.30, 0.80, 0.5),
    "nuclei": (0.20, 0.75, 0.4),
    "large pets": (0.35, 0.88, 0.5),
    "small objects": (0.08, 0.60, 0.5),
    "first answers": (0.35, 0.50, 0.7),
    # Beyond the law: too good or too small for so few answers.
    "nearly perfect": (0.40, 0.94, 0.5),
    "specks": (0.03, 0.60, 0.5),
}
# Areas of CamVid's eleven classes (the first stands for a background) and of VOC's background.
STREET = (0.27, 0.22, 0.17, 0.10, 0.07, 0.05, 0.04, 0.02, 0.01, 0.006, 0.003)
VOC_BACKGROUND = 0.73


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--replays", type=int, default=2000, help="sets of answers a row (default: %(default)s)"
    )
    parser.add_argument(
        "--answers", type=int, nargs="+", default=[50, 200, 800], help="a set (default: 50 200 800)"
    )
    parser.add_argument(
        "--draws", type=int, default=DRAWS, help="of the posterior (default: %(default)s)"
    )
    parser.add_argument("--only", nargs="+", default=[""], help="matrices whose names begin so")
    parser.add_argument("--sessions", type=Path, nargs="+", default=[], help="replay these .npz")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    return parser.parse_args()


class Matrix:
    """A known confusion matrix: `joint` [C, C] (predicted, true) of the pixels that can be told.

    tell: [C], how often a pixel of each predicted class can be told; prior: [C, C] or None
    """

    def __init__(self, joint, tell, prior=None):
        self.joint, self.tell, self.prior = joint / joint.sum(), tell, prior
        predicted = self.joint.sum(1)
        self.shares = predicted / tell / (predicted / tell).sum()
        rows = self.joint / predicted[:, None] * tell[:, None]
        self.cells = np.hstack([rows, 1 - tell[:, None]]) * self.shares[:, None]

    def sample(self, answers, count, rng):
        """Return the counts [count, C, C + 1] of as many sets of answers."""
        drawn = rng.multinomial(answers, self.cells.ravel(), size=count)
        return drawn.reshape(count, *self.cells.shape).astype(float)


def two(area, iou, missed, tell=(0.94, 0.88)):
    """Return the matrix of an object on a background."""
    error = 2 * area * (1 - iou) / (1 + iou)
    miss, extra = missed * error, (1 - missed) * error
    joint = np.array([[1 - area - extra, miss], [extra, area - miss]])
    return Matrix(joint, np.array(tell))


def many(areas, seed):
    """Return a random matrix of many classes.

    Of a large class more pixels are found than of a small one; what is missed goes to other classes
    by their area, some ten times as often as others. The prior is of a model that is too sure and
    errs in its own way.
    """
    rng = np.random.default_rng(seed)
    areas = areas * rng.lognormal(0, 0.3, len(areas))
    recall = 1 / (1 + np.exp(-2.2 - 0.35 * np.log(areas / 0.1) - rng.normal(0, 0.5, len(areas))))
    spread = areas * rng.lognormal(0, 1, (len(areas), len(areas)))  # true, predicted
    np.fill_diagonal(spread, 0)
    spread *= ((1 - recall) / spread.sum(1))[:, None]
    np.fill_diagonal(spread, recall)
    joint = (spread * areas[:, None]).T
    prior = (joint / joint.sum(1, keepdims=True)) ** 1.25 * rng.lognormal(0, 0.5, joint.shape)
    return Matrix(
        joint, 1 - rng.uniform(0.03, 0.2, len(areas)), prior / prior.sum(1, keepdims=True)
    )


def matrices():
    """Return {name: Matrix}."""
    voc = np.r_[VOC_BACKGROUND, np.random.default_rng(0).lognormal(0, 0.5, 20)]
    voc[1:] *= (1 - VOC_BACKGROUND) / voc[1:].sum()
    return (
        {name: two(*scene) for name, scene in TWO.items()}
        | {f"street {seed}": many(np.array(STREET), seed) for seed in (1, 2, 3)}
        | {f"voc {seed}": many(voc, 100 + seed) for seed in (1, 2, 3)}
    )


def truth_of(joint, scored):
    """Return the scores [4] of a matrix [..., C, C] (predicted, true), the mIoU over `scored`."""
    hits = np.diagonal(joint, axis1=-2, axis2=-1)
    predicted, true, total = joint.sum(-1), joint.sum(-2), joint.sum((-2, -1))
    with np.errstate(invalid="ignore"):
        iou = hits / (predicted + true - hits)
    both = total - predicted[..., 0] - true[..., 0] + hits[..., 0]
    return np.stack(
        [
            iou[..., scored].mean(-1) if len(scored) else np.full_like(total, np.nan),
            hits.sum(-1) / total,
            both / (total - hits[..., 0]),
            (np.nan_to_num(iou) * true).sum(-1) / total,
        ],
        -1,
    )


def replay(tallies, truth, draws):
    """Estimate from each tally -> (errors below, errors above, half-widths, biases), [R, 4] each.

    truth: of the classes in the mIoU, the scores [4]
    """
    rows = []
    for seed, tally in enumerate(tallies):
        found = estimate(tally, draws, seed)
        intervals, true = [getattr(found, name) for name in SCORES], truth(found.scored)
        rows.append(
            [
                (value < x.low, value > x.high, (x.high - x.low) / 2, x.point - value)
                for x, value in zip(intervals, true, strict=True)
            ]
        )
    return np.array(rows, float).transpose(2, 0, 1)


def usual_scored(matrix, answers):
    """Return the classes that the mIoU is over when as many pixels are told as are expected."""
    classes = np.arange(len(matrix.shares))
    if len(classes) <= 2:
        return classes
    return classes[answers * (matrix.shares @ matrix.tell) * matrix.shares >= LEAST_ANSWERS]


def exact_half_width(matrix, answers, rng):
    """Return half the width of 95 % of the mIoUs that the answers alone say."""
    counts = matrix.sample(answers, SAMPLES, rng)
    told, asked = counts[..., :-1], counts.sum(-1)
    prior = 1e-9 * Tally(counts[0], matrix.shares, matrix.prior).pseudo_answers
    tell = np.where(asked, told.sum(-1) / np.maximum(asked, 1), told.sum() / counts.sum())
    rows = (told + prior) / (told + prior).sum(-1, keepdims=True)
    joint = rows * (tell * matrix.shares)[..., None]
    mious = truth_of(joint, usual_scored(matrix, answers))[:, 0]
    low, high = np.quantile(mious, (0.025, 0.975))
    return (high - low) / 2


def coverage_of_matrix(matrix, answers, replays, draws, seed):
    """Return `replay` of a known matrix and the exact half-width of its mIoU."""
    rng = np.random.default_rng(seed)
    tallies = (
        Tally(counts, matrix.shares, matrix.prior)
        for counts in matrix.sample(answers, replays, rng)
    )
    found = replay(tallies, lambda scored: truth_of(matrix.joint, scored), draws)
    return found, exact_half_width(matrix, answers, rng)


def coverage_of_session(
    predicted, truth_sampler, n, replays, seed, areas=None, prior=None, classes=None, draws=DRAWS
):
    """Return `replay` of a session whose n random questions are drawn anew.

    predicted      [N] int, out of fold, at the pixels of a pool
    truth_sampler  indices [K] of pixels -> this person's answers [K], `IGNORE` = cannot tell
    areas          [N], how many pixels each stands for: its chance to be drawn
    """
    predicted = np.asarray(predicted, np.int64)
    chance = np.ones(len(predicted)) if areas is None else np.asarray(areas, float)
    chance = chance / chance.sum()
    answers = np.asarray(truth_sampler(np.arange(len(predicted))), np.int64)
    told = answers != IGNORE
    classes = classes or 1 + max(predicted.max(), answers[told].max())
    joint = np.zeros((classes, classes))
    np.add.at(joint, (predicted[told], answers[told]), chance[told])
    shares = np.bincount(predicted, chance, classes)
    rng = np.random.default_rng(seed)
    drawn = (rng.choice(len(predicted), n, p=chance) for _ in range(replays))
    tallies = (Tally.of(predicted[x], truth_sampler(x), shares, prior) for x in drawn)
    return replay(tallies, lambda scored: truth_of(joint, scored), draws)


def percent(*values):
    """Return cells of a table row."""
    return " | ".join(f"{100 * value:.1f}" for value in values)


def table(head, rows):
    """Print a table whose rows are made one by one."""
    print(f"\n| {' | '.join(head)} |\n|---{'|---:' * (len(head) - 1)}|")
    for row in rows:
        print(f"| {row} |", flush=True)


def covers(found):
    """Return the share of intervals that hold the truth, [4], of what `replay` returned."""
    return 1 - found[0].mean(0) - found[1].mean(0)


def rows_of_matrices(args, several):
    """Yield a row for each matrix of two classes, or of several, and number of answers."""
    for name, matrix in matrices().items():
        if (len(matrix.shares) > 2) is not several or not name.startswith(tuple(args.only)):
            continue
        for answers in args.answers:
            found, exact = coverage_of_matrix(matrix, answers, args.replays, args.draws, args.seed)
            half, bias = found[2].mean(0), found[3].mean(0)
            scored = usual_scored(matrix, answers)
            true = truth_of(matrix.joint, scored)
            if several:
                cells = percent(*covers(found), *half, *bias)
                yield f"{name}, {answers} | {len(scored)} | {percent(true[0])} | {cells}"
            else:
                ratio = half[0] / exact
                cells = percent(true[0], covers(found)[0], half[0], exact)
                yield f"{name}, {answers} | {cells} | {ratio:.2f} | {percent(bias[0])}"


def rows_of_sessions(args):
    """Yield a row for each stored session and number of answers."""
    for path in args.sessions:
        try:
            with np.load(path) as stored:
                parts = dict(stored)
            predicted, answers = parts["predicted"], parts["answers"]
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"--sessions {path}: no session of predicted and answers ({error})"
            ) from error
        for count in args.answers:
            found = coverage_of_session(
                predicted,
                answers.__getitem__,
                count,
                args.replays,
                args.seed,
                parts.get("areas"),
                parts.get("prior"),
                draws=args.draws,
            )
            cells = percent(*covers(found), *found[2].mean(0), *found[3].mean(0))
            yield f"{path.stem}, {count} | {cells}"


def main(args):
    scores = ["mIoU", "pixel accuracy", "foreground IoU", "weighted IoU"]
    each = [f"{kind} {score}" for kind in ("covers", "half", "bias") for score in scores]
    print(f"{args.replays} replays a row, {args.draws} draws, commit `{commit()}`; all in %")
    if args.sessions:
        return table(["session, answers", *each], rows_of_sessions(args))
    head = ["matrix, answers", "mIoU", "covers", "half-width", "exact", "ratio", "bias"]
    table(head, rows_of_matrices(args, several=False))
    head = ["matrix, answers", "scored", "their mIoU", *each]
    table(head, rows_of_matrices(args, several=True))


if __name__ == "__main__":
    run_cli(main, parse_args)
