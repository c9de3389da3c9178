"""Do the intervals of weakseg/planning/estimate.py cover the truth? Answers drawn anew, many times.

    python benchmarks/coverage.py
    python benchmarks/coverage.py --only voc gain --replays 200 --answers 800
    python benchmarks/coverage.py --replays 1000 \
        --sessions results/ask-table/sessions/nuclei-*/out_of_fold.npz

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
from weakseg.planning.estimate import DRAWS, LEAST_ANSWERS, estimate, estimate_by_visits
from weakseg.planning.gain import SMALL, gain_of_doubling
from weakseg.planning.tally import Tally

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
# Shares of wrong pixels of the models of a quarter, half, all and twice the answers.
GAINS = {
    "gain, steep": (0.120, 0.080, 0.055, 0.040),
    "gain, slow": (0.075, 0.068, 0.063, 0.059),
    "gain, none": (0.060, 0.060, 0.060, 0.060),
}
KEPT = 0.97  # how many pixels are as hard for the next model as for the one before
STORED = "out_of_fold"  # how `study.py ask` calls this file of each session
OBJECT = 0.3  # the share of the object where pictures are simulated


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
    parser.add_argument("--only", nargs="+", default=[""], help="rows whose names begin so")
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
    error = area * (1 - iou) / (missed + iou * (1 - missed))
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


def all_scores(found):
    """Return three cells of what `replay` returned: coverage, half-widths, biases of all scores."""
    parts = covers(found), found[2].mean(0), found[3].mean(0)
    return " | ".join(percent(*part).replace(" | ", ", ") for part in parts)


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
                cells = f"{len(scored)} | {percent(true[0])} | {all_scores(found)}"
                yield f"{name}, {answers} | {cells}"
            else:
                ratio = half[0] / exact
                cells = percent(true[0], covers(found)[0], half[0], exact)
                yield f"{name}, {answers} | {cells} | {ratio:.2f} | {percent(bias[0])}"


def miou_of(predicted, true, weights=None):
    """Return the mIoU of two classes over pixels."""
    joint = np.bincount(2 * predicted + true, weights, 4).reshape(2, 2)
    return float(truth_of(joint, [0, 1])[0])


def rows_of_pictures(args):
    """Yield rows of pictures that differ: four answers a visit, and pictures that joined later."""
    rng = np.random.default_rng(args.seed)
    areas, errors = rng.beta(1, 1 / OBJECT - 1, 5000), rng.beta(0.5, 4.5, 5000)
    joint = [(1 - areas) * (1 - errors), (1 - areas) * errors, areas * errors, areas * (1 - errors)]
    shares = np.array([1 - areas.mean(), areas.mean()])
    late = errors > np.median(errors)  # worse, and only in the second half of the draws
    true = float(truth_of(np.array(joint).mean(1).reshape(2, 2), [0, 1])[0])

    def answer(pictures):
        predicted = (rng.random(len(pictures)) < areas[pictures]).astype(int)
        return predicted, predicted ^ (rng.random(len(pictures)) < errors[pictures])

    def by_visits(count, seed):
        pictures = np.repeat(rng.integers(0, 5000, count // 4), 4)
        predicted, answers = answer(pictures)
        visits = np.repeat(np.arange(count // 4), 4)
        found = estimate_by_visits(predicted, answers, visits, shares, draws=args.draws, seed=seed)
        return found, estimate(Tally.of(predicted, answers, shares), args.draws, seed)

    def joined_later(count, seed):
        early = rng.choice(np.flatnonzero(~late), count // 2)
        pictures = np.r_[early, rng.integers(0, 5000, count - count // 2)]
        predicted, answers = answer(pictures)
        # A picture that was there from the start had two draws of its area, and half of one more.
        weights = np.where(late[pictures], 3.0, 1.0)
        weighed = estimate_by_visits(
            predicted, answers, np.arange(count), shares, None, weights, args.draws, seed
        )
        return weighed, estimate(Tally.of(predicted, answers, shares), args.draws, seed)

    for name, draw in (("visits of four", by_visits), ("joined later", joined_later)):
        if not name.startswith(tuple(args.only)):
            continue
        for count in args.answers:
            pairs = [[one.miou for one in draw(count, seed)] for seed in range(args.replays)]
            point, low, high = np.array(pairs).transpose(2, 1, 0)
            inside = ((low <= true) & (true <= high)).mean(1)
            cells = percent(true, inside[0], ((high - low) / 2).mean(1)[0], point[0].mean() - true)
            yield f"{name}, {count} | {cells} | {percent(inside[1])}"


def rows_of_gains(args):
    """Yield rows of what the last doubling gained, and how often the next is called small."""
    for name, errors in GAINS.items():
        if not name.startswith(tuple(args.only)):
            continue
        rng = np.random.default_rng(args.seed)
        truth = (rng.random(200_000) < OBJECT).astype(int)
        luck, models = rng.random(len(truth)), []
        for error in errors:
            models.append(truth ^ (luck < error))
            luck = np.where(rng.random(len(truth)) < KEPT, luck, rng.random(len(truth)))
        pool = np.array(models[:3])
        true = np.diff([miou_of(one, truth) for one in models])
        for count in args.answers:
            found = []
            for seed in range(args.replays):
                asked = rng.integers(0, len(truth), count)
                gain = gain_of_doubling(
                    pool[:, asked], truth[asked], pool, 2, draws=args.draws, seed=seed
                )
                point, low, high = gain.last
                inside = low <= true[1] <= high
                found.append((inside, (high - low) / 2, point - true[1], gain.sentence == SMALL))
            inside, half, bias, small = np.mean(found, 0)
            yield f"{name}, {count} | {percent(true[1], inside, half, bias, small, true[2])}"


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
            name = path.parent.name if path.stem == STORED else path.stem
            yield f"{name}, {count} | {all_scores(found)}"


def main(args):
    each = ["cover", "half-widths", "biases"]
    print(f"{args.replays} replays a row, {args.draws} draws, commit `{commit()}`; all in %")
    print(f"Several values in a cell are of {', '.join(SCORES)}.")
    if args.sessions:
        return table(["session, answers", *each], rows_of_sessions(args))
    head = ["matrix, answers", "mIoU", "covers", "half-width", "exact", "ratio", "bias"]
    table(head, rows_of_matrices(args, several=False))
    head = ["pictures, answers", "mIoU", "covers", "half-width", "bias", "covers if ignored"]
    table(head, rows_of_pictures(args))
    head = ["models, answers", "gain", "covers", "half-width", "bias", "called small", "next gain"]
    table(head, rows_of_gains(args))
    head = ["matrix, answers", "scored", "their mIoU", *each]
    table(head, rows_of_matrices(args, several=True))


if __name__ == "__main__":
    run_cli(main, parse_args)
