"""What to label with the hours at hand: learning curves of the modes of a study, how sure they are,
what to try next.

A curve is mIoU = a - b * hours^-c, the power law of learning curves (Hestness et al., 2017; Hoiem
et al., ICML 2021). It is fitted as a distribution, not a line: with four budgets the curvature is
hardly known, and a least-squares covariance would hide that. Answers are averages over that
distribution (as Domhan et al., IJCAI 2015, extrapolate).
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from weakseg.common import UserError, read_json

# What is believed before the first run, in points of mIoU: most data sets and networks lie well
# inside.
LEVEL = 50.0, 30.0  # mIoU in the middle of the budgets: mean and deviation
GAIN = 25.0  # deviation of what is still to gain from there with endless hours
RATE = (
    0.5,
    0.6,
)  # median and log-deviation of the exponent c; Hoiem et al. find 0.5 to fit most curves
NOISE = 1.5, 0.8  # median and log-deviation of the deviation between seeds
POINTS, ENOUGH, DRAWS = 2**13, 400, 2000
SURE = 0.975  # probability from which the best counts as such: two equal modes reach it once in twenty times


@dataclass(frozen=True)
class Curve:
    """Draws [K] from the posterior of one curve: level + gain * (1 - (hours / middle)^-rate) +
    noise * N(0, 1).

    The asymptote a is level + gain; b is gain * middle^rate; c is rate.
    """

    middle: float
    level: np.ndarray
    gain: np.ndarray
    rate: np.ndarray
    noise: np.ndarray

    def at(self, hours):
        """Return draws [K] of the expected mIoU (%) after `hours`."""
        return self.level + self.gain * (1 - (hours / self.middle) ** -self.rate)

    def runs_at(self, hours, rng):
        """Return draws [K] of the mIoU (%) of one run after `hours`."""
        return self.at(hours) + self.noise * rng.standard_normal(len(self.noise))


def fit(hours, mious, seed=0):
    """Fit a learning curve to runs: hours [N] > 0, mIoU [N] in percent, one entry a run -> `Curve`.

    Gain, rate and noise are weighed on a Sobol sequence through their priors, then on one through
    the part that counts, until enough of it does. Runs are taken as independent given the curve,
    also those of one seed.
    """
    hours, mious = np.asarray(hours, float), np.asarray(mious, float)
    middle = float(np.exp(np.log(hours).mean()))
    sobol, low, high = stats.qmc.Sobol(3, seed=0).random(POINTS), np.zeros(3), np.ones(3)
    for _ in range(6):
        cube = low + (high - low) * sobol
        log_weight, mean, spread, *shape = weigh(cube, hours / middle, mious)
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        if 1 / (weight**2).sum() > ENOUGH:
            break
        near = cube[log_weight > log_weight.max() - 10]
        margin = np.ptp(near, axis=0) / 2 + 0.05 * (high - low)
        low, high = np.maximum(near.min(0) - margin, 0), np.minimum(near.max(0) + margin, 1)
    rng = np.random.default_rng(seed)
    chosen = rng.choice(POINTS, DRAWS, p=weight)
    gain, rate, noise = (values[chosen] for values in shape)
    mean, spread = mean[chosen], spread[chosen]
    # A normal level cut where the asymptote would pass 100; the quantile of a tiny number stays
    # finite.
    below = rng.random(DRAWS) * stats.norm.cdf((100 - gain - mean) / spread)
    return Curve(
        middle, mean + spread * stats.norm.ppf(np.maximum(below, 1e-300)), gain, rate, noise
    )


def weigh(cube, hours, mious):
    """Weigh quantiles [K, 3] of (gain, rate, noise) by what they make of runs, the level being
    integrated out.

    hours [N] relative to their middle. Returns the log-weight, mean and deviation of the level,
    gain, rate, noise: [K].
    """
    gain = stats.halfnorm.ppf(cube[:, 0], scale=GAIN)
    rate = stats.lognorm.ppf(cube[:, 1], RATE[1], scale=RATE[0])
    noise = stats.lognorm.ppf(cube[:, 2], NOISE[1], scale=NOISE[0])
    rest = mious - gain[:, None] * (1 - hours ** -rate[:, None])  # [K, N]: level + noise
    precision = len(hours) / noise**2 + 1 / LEVEL[1] ** 2
    mean = (rest.sum(1) / noise**2 + LEVEL[0] / LEVEL[1] ** 2) / precision
    spread = precision**-0.5
    misfit = ((rest - mean[:, None]) ** 2).sum(1) / noise**2 + ((mean - LEVEL[0]) / LEVEL[1]) ** 2
    fits = np.log(spread) - len(hours) * np.log(noise) - misfit / 2
    return fits + stats.norm.logcdf((100 - gain - mean) / spread), mean, spread, gain, rate, noise


def fit_all(rows):
    """Return {mode: Curve} of rows {"mode", "run", "hours", "miou"}, each mode with its own random
    stream.

    Where two budgets bought every image, one run stands for both: it counts once.
    """
    rows = list({row["run"]: row for row in rows}.values())
    modes = list(dict.fromkeys(row["mode"] for row in rows))
    return {
        mode: fit(
            *zip(*[(r["hours"], r["miou"]) for r in rows if r["mode"] == mode], strict=True),
            seed=index,
        )
        for index, mode in enumerate(modes)
    }


def forecasts(curves, hours, all_hours):
    """Return {mode: draws [K]} of the expected mIoU after `hours`, or after `all_hours[mode]`,
    which label all.
    """
    return {
        mode: curve.at(min(hours, all_hours.get(mode, hours))) for mode, curve in curves.items()
    }


def decide(draws):
    """Say which mode is expected best, from draws {mode: [K]}.

    {"best", "miou", "interval", "sure": probability that it is the best, "second", "gain",
    "gain_interval"}; the last three are None where there is one mode only. Intervals hold 95 %.
    """
    ranked = sorted(draws, key=lambda mode: -draws[mode].mean())
    best, second = ranked[0], ranked[1] if len(ranked) > 1 else None
    lead = None if second is None else draws[best] - draws[second]
    return {
        "best": best,
        "miou": float(draws[best].mean()),
        "interval": middle95(draws[best]),
        "sure": float(np.mean(np.max(list(draws.values()), axis=0) == draws[best])),
        "second": second,
        "gain": None if lead is None else float(lead.mean()),
        "gain_interval": None if lead is None else middle95(lead),
    }


def middle95(values):
    """Return the middle 95 % of draws."""
    return [float(v) for v in np.quantile(values, (0.025, 0.975))]


def next_run(curves, hours, all_hours, candidates, seed=0, imagined=256):
    """Return the run that tells most for the choice at `hours`: {"mode", "hours", "worth"}, None
    without candidates.

    Worth is the knowledge gradient (Frazier, Powell & Dayanik, SIAM J. Control Optim. 2008): by how
    many points of mIoU the mode chosen after that run is expected to beat the one chosen now. Each
    imagined outcome weighs the draws anew. candidates: (mode, hours) of runs that could be made,
    with a new seed where there is one already
    """
    goal, rng = forecasts(curves, hours, all_hours), np.random.default_rng(seed)
    found = []
    for mode, at in candidates:
        curve, others = curves[mode], [goal[other].mean() for other in goal if other != mode]
        outcomes = rng.permutation(curve.runs_at(at, rng))[:imagined]
        weights = stats.norm.pdf(outcomes[:, None], curve.at(at), curve.noise)  # [imagined, K]
        after = weights @ goal[mode] / weights.sum(1)
        best_other = max(others, default=-np.inf)
        worth = float(np.maximum(after, best_other).mean() - max(after.mean(), best_other))
        found.append(
            {"mode": mode, "hours": at, "worth": max(0.0, worth)}
        )  # below zero by rounding only
    return max(found, key=lambda run: run["worth"], default=None)


def hold_out(rows):
    """Forecast the runs at the largest budget from the others.

    rows: dicts "mode", "run", "budget", "hours", "miou" -> {"runs", "error": mean |forecast - run|
    in points, "bias", "covered": share of runs within 95 % intervals, "best", "forecast_best"};
    None where no mode has two other budgets. A mode whose largest budget bought no more images than
    the one before has nothing to forecast.
    """
    largest = max(row["budget"] for row in rows)
    errors, covered, seen, expected = [], [], {}, {}
    for mode in dict.fromkeys(row["mode"] for row in rows):
        known = [row for row in rows if row["mode"] == mode and row["budget"] < largest]
        runs = {row["run"] for row in known}
        held = [
            row
            for row in rows
            if row["mode"] == mode and row["run"] not in runs and row["budget"] == largest
        ]
        if len({row["budget"] for row in known}) < 2 or not held:
            continue
        curve = fit_all(known)[mode]
        for row in held:
            draws = curve.runs_at(row["hours"], np.random.default_rng(0))
            low, high = middle95(draws)
            errors.append(float(draws.mean()) - row["miou"])
            covered.append(low <= row["miou"] <= high)
        seen[mode] = np.mean([row["miou"] for row in held])
        expected[mode] = np.mean([curve.at(row["hours"]).mean() for row in held])
    if not errors:
        return None
    return {
        "runs": len(errors),
        "error": float(np.abs(errors).mean()),
        "bias": float(np.mean(errors)),
        "covered": float(np.mean(covered)),
        "best": max(seen, key=seen.get),
        "forecast_best": max(expected, key=expected.get),
    }


def plan(study, hours):
    """Return the advice of a study's file for each of `hours`: [{"hours", "next", **decide(...)},
    ...].

    A mode is left out where the hours don't label one image of it; hours that label none of any
    mode get no advice.
    """
    curves = fit_all(study["rows"])
    runs = {(row["mode"], row["budget"]): row["hours"] for row in study["rows"]}
    found = []
    for at in hours:
        open_to = {
            mode: curve for mode, curve in curves.items() if study["image_hours"][mode] <= at
        }
        if open_to:
            candidates = [
                (mode, spent) for (mode, _), spent in sorted(runs.items()) if mode in open_to
            ]
            decision = decide(forecasts(open_to, at, study["all_hours"]))
            following = next_run(open_to, at, study["all_hours"], candidates)
            found.append({"hours": at, **decision, "next": following})
    return found


def time_words(hours):
    """Return hours as a person says them: '2 h', '45 min', '30 s'."""
    unit, factor = next(
        (u, f) for u, f in (("h", 1), ("min", 60), ("s", 3600)) if hours * f >= 0.999 or u == "s"
    )
    return f"{hours * factor:.3g} {unit}"


def sentences(advice):
    """Return one piece of advice in words: what, by how much, how sure, and what to run next."""
    low, high = advice["interval"]
    text = f"{time_words(advice['hours'])}: {advice['best']}, expected mIoU {advice['miou']:.1f} ({low:.1f} to {high:.1f})"
    if advice["second"] is None:
        return f"{text}; there is no other mode"
    low, high = advice["gain_interval"]
    lead = f"{advice['gain']:+.1f} ({low:+.1f} to {high:+.1f}) over {advice['second']}, best with probability"
    verdict = "" if advice["sure"] >= SURE else "no evidence yet: "
    following = advice["next"]
    tell = "no single further run is expected to change that"
    if following and following["worth"] >= 0.01:
        tell = (
            f"a further run of {following['mode']} at {time_words(following['hours'])} would tell most "
            f"(worth {following['worth']:.2f} points)"
        )
    return f"{text}; {verdict}{lead} {advice['sure']:.2f}; {tell}"


def check_sentence(found):
    """Return the forecast's check in words."""
    if found is None:
        return "forecast unchecked: no mode has two budgets below a larger one"
    right = (
        "as it was" if found["best"] == found["forecast_best"] else f"but it was {found['best']}"
    )
    return (
        f"forecast of the {found['runs']} runs at the largest budget from the smaller ones: mean error "
        f"{found['error']:.1f} points of mIoU (bias {found['bias']:+.1f}), {100 * found['covered']:.0f} % of them in "
        f"95 % intervals; expected best {found['forecast_best']}, {right}"
    )


def advise(path, hours=None):
    """Return the lines that advise on budgets: one for each of `hours`, and how well the curves
    forecast.

    path: of study.json; hours: of annotation, None: those of the study
    """
    study, needed = read_json(path), {"rows", "all_hours", "image_hours", "budgets"}
    if not (isinstance(study, dict) and needed <= study.keys() and study["rows"]):
        raise UserError(f"{path}: holds no finished runs of study.py; run that first")
    if hours and not all(0 < at < float("inf") for at in hours):
        raise UserError("--hours: must be positive")
    advice = plan(study, hours or study["budgets"])
    if not advice:
        raise UserError("--hours: too few to label one image of any mode")
    return [*map(sentences, advice), check_sentence(hold_out(study["rows"]))]
