"""Learning curves: test mIoU over annotation hours for each kind of label, and what they forecast.

A curve is mIoU = a - b * hours^-c, the power law of learning curves (Hestness et al., 2017; Hoiem
et al., ICML 2021). It is fitted as a distribution, not a line: with four budgets the curvature is
hardly known, and a least-squares covariance would hide that. Answers are averages over that
distribution (as Domhan et al., IJCAI 2015, extrapolate).

Runs are dicts as in study.json: "mode", "run" (its name), "budget" and "hours", "miou" in percent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

Run = Mapping[str, Any]
Interval = tuple[float, float]

# What is believed before the first run, in points of mIoU; most data sets and networks lie well
# inside.
LEVEL = 50.0, 30.0  # mIoU in the middle of the budgets: mean and deviation
GAIN = 25.0  # deviation of what is still to gain from there with endless hours
RATE = 0.5, 0.6  # the exponent c: median and log-deviation; Hoiem et al. find 0.5 to fit most
NOISE = 1.5, 0.8  # the deviation between seeds: median and log-deviation
POINTS, ENOUGH, DRAWS = 2**13, 400, 2000


@dataclass(frozen=True)
class Curve:
    """K draws from the posterior of one curve, level + gain * (1 - (hours / middle)^-rate).

    A run lies noise * N(0, 1) beside it. The asymptote a is level + gain, b is gain * middle^rate,
    c is rate. All but `middle`, in hours, are [K].
    """

    middle: float
    level: np.ndarray
    gain: np.ndarray
    rate: np.ndarray
    noise: np.ndarray

    def at(self, hours: float) -> np.ndarray:
        """Return draws [K] of the expected mIoU (%) after `hours`."""
        return self.level + self.gain * (1 - (hours / self.middle) ** -self.rate)

    def runs_at(self, hours: float, rng: np.random.Generator) -> np.ndarray:
        """Return draws [K] of the mIoU (%) of one run after `hours`."""
        return self.at(hours) + self.noise * rng.standard_normal(len(self.noise))


def fit(hours: Sequence[float], mious: Sequence[float], seed: int = 0) -> Curve:
    """Fit a learning curve to N runs.

    hours, mious: [N] > 0 and in percent, one entry a run; seed: of the draws

    Gain, rate and noise are weighed on a Sobol sequence through their priors, then on one through
    the part that counts, until enough of it does. Runs are taken as independent given the curve,
    also those of one seed.
    """
    at, values = np.asarray(hours, float), np.asarray(mious, float)
    middle = float(np.exp(np.log(at).mean()))
    sobol, low, high = stats.qmc.Sobol(3, seed=0).random(POINTS), np.zeros(3), np.ones(3)
    for _ in range(6):
        cube = low + (high - low) * sobol
        log_weight, mean, spread, *shape = weigh(cube, at / middle, values)
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        if 1 / (weight**2).sum() > ENOUGH:
            break
        near = cube[log_weight > log_weight.max() - 10]
        margin = np.ptp(near, axis=0) / 2 + 0.05 * (high - low)
        low, high = np.maximum(near.min(0) - margin, 0), np.minimum(near.max(0) + margin, 1)
    rng = np.random.default_rng(seed)
    chosen = rng.choice(POINTS, DRAWS, p=weight)
    gain, rate, noise = (column[chosen] for column in shape)
    mean, spread = mean[chosen], spread[chosen]
    # A normal level cut where the asymptote would pass 100; the quantile of a tiny number stays
    # finite.
    below = rng.random(DRAWS) * stats.norm.cdf((100 - gain - mean) / spread)
    level = mean + spread * stats.norm.ppf(np.maximum(below, 1e-300))
    return Curve(middle, level, gain, rate, noise)


def weigh(cube: np.ndarray, hours: np.ndarray, mious: np.ndarray) -> tuple[np.ndarray, ...]:
    """Weigh quantiles [K, 3] of (gain, rate, noise) by the likelihood of N runs.

    hours [N] are relative to their middle. The level is integrated out. Returns the log-weight, the
    level's mean and deviation, and gain, rate, noise: [K] each.
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


def fit_all(runs: Iterable[Run]) -> dict[str, Curve]:
    """Return {mode: Curve} of the runs, each mode with its own random stream.

    Where two budgets bought every image, one run stands for both: it counts once.
    """
    single = list({run["run"]: run for run in runs}.values())
    modes = list(dict.fromkeys(run["mode"] for run in single))
    curves = {}
    for index, mode in enumerate(modes):
        own = [run for run in single if run["mode"] == mode]
        curves[mode] = fit([run["hours"] for run in own], [run["miou"] for run in own], seed=index)
    return curves


def middle95(values: np.ndarray) -> Interval:
    """Return the middle 95 % of draws."""
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def forecasts(
    curves: Mapping[str, Curve], hours: float, all_hours: Mapping[str, float]
) -> dict[str, np.ndarray]:
    """Return {mode: draws [K]} of the expected mIoU (%) after `hours`.

    all_hours: {mode: hours that label all images}; more than these buy nothing
    """
    return {
        mode: curve.at(min(hours, all_hours.get(mode, hours))) for mode, curve in curves.items()
    }


# ---- what to do


@dataclass(frozen=True)
class Lead:
    """By how much the best mode is expected to beat the second, in points of mIoU."""

    second: str
    miou: float
    interval: Interval  # 95 %


@dataclass(frozen=True)
class Choice:
    """The mode with the best forecast: its mIoU in percent, and how sure that is."""

    mode: str
    miou: float
    interval: Interval  # 95 %
    probability: float  # that it is the best
    lead: Lead | None  # None where there is no other mode


def choose_mode(draws: Mapping[str, np.ndarray]) -> Choice:
    """Return the mode that is expected to be best, from draws {mode: [K]} of their mIoU (%)."""
    ranked = sorted(draws, key=lambda mode: -draws[mode].mean())
    best, lead = ranked[0], None
    if len(ranked) > 1:
        ahead = draws[best] - draws[ranked[1]]
        lead = Lead(ranked[1], float(ahead.mean()), middle95(ahead))
    is_best = np.max(list(draws.values()), axis=0) == draws[best]
    miou, probability = float(draws[best].mean()), float(np.mean(is_best))
    return Choice(best, miou, middle95(draws[best]), probability, lead)


@dataclass(frozen=True)
class NextRun:
    """A run that could be made: its mode, its hours, and its worth in points of mIoU."""

    mode: str
    hours: float
    worth: float


def next_run(
    curves: Mapping[str, Curve],
    hours: float,
    all_hours: Mapping[str, float],
    candidates: Iterable[tuple[str, float]],
    seed: int = 0,
    imagined: int = 256,
) -> NextRun | None:
    """Return the run that tells most for the choice at `hours`; None without candidates.

    Worth is the knowledge gradient (Frazier, Powell & Dayanik, SIAM J. Control Optim. 2008): by how
    many points of mIoU the mode chosen after that run is expected to beat the one chosen now. Each
    imagined outcome weighs the draws anew.

    candidates: (mode, hours) of runs that could be made, with a new seed where there is one already
    """
    goal, rng = forecasts(curves, hours, all_hours), np.random.default_rng(seed)
    runs = []
    for mode, at in candidates:
        curve, others = curves[mode], [goal[other].mean() for other in goal if other != mode]
        outcomes = rng.permutation(curve.runs_at(at, rng))[:imagined]
        weights = stats.norm.pdf(outcomes[:, None], curve.at(at), curve.noise)  # [imagined, K]
        after = weights @ goal[mode] / weights.sum(1)
        best_other = max(others, default=-np.inf)
        worth = float(np.maximum(after, best_other).mean() - max(after.mean(), best_other))
        runs.append(NextRun(mode, at, max(0.0, worth)))  # below zero by rounding only
    return max(runs, key=lambda run: run.worth, default=None)


# ---- how good forecasts are


@dataclass(frozen=True)
class ForecastCheck:
    """Forecasts of runs that the curves have not seen, in points of mIoU.

    error, bias  mean of |forecast - run|, and of forecast - run
    covered      share of the runs that lie within their 95 % intervals
    best         the mode that was best, and the one that was forecast to be
    """

    runs: int
    error: float
    bias: float
    covered: float
    best: str
    forecast_best: str


def hold_out(runs: Sequence[Run]) -> ForecastCheck | None:
    """Forecast the runs at the largest budget from the others.

    None where no mode has two other budgets. A mode whose largest budget bought no more images than
    the one before has nothing to forecast.
    """
    largest = max(run["budget"] for run in runs)
    errors: list[float] = []
    covered: list[bool] = []
    seen: dict[str, float] = {}
    expected: dict[str, float] = {}
    for mode in dict.fromkeys(run["mode"] for run in runs):
        own = [run for run in runs if run["mode"] == mode]
        smaller = [run for run in own if run["budget"] < largest]
        names = {run["run"] for run in smaller}
        held = [run for run in own if run["run"] not in names and run["budget"] == largest]
        if len({run["budget"] for run in smaller}) < 2 or not held:
            continue
        curve = fit_all(smaller)[mode]
        for run in held:
            draws = curve.runs_at(run["hours"], np.random.default_rng(0))
            low, high = middle95(draws)
            errors.append(float(draws.mean()) - run["miou"])
            covered.append(low <= run["miou"] <= high)
        seen[mode] = float(np.mean([run["miou"] for run in held]))
        expected[mode] = float(np.mean([curve.at(run["hours"]).mean() for run in held]))
    if not errors:
        return None
    return ForecastCheck(
        runs=len(errors),
        error=float(np.abs(errors).mean()),
        bias=float(np.mean(errors)),
        covered=float(np.mean(covered)),
        best=max(seen, key=lambda mode: seen[mode]),
        forecast_best=max(expected, key=lambda mode: expected[mode]),
    )
