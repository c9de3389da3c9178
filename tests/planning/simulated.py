"""Studies whose modes follow known power laws."""

import numpy as np

BUDGETS = (0.5, 1, 2, 4)


def power(a, b, c):
    return lambda hours: a - b * np.asarray(hours, float) ** -c


def simulate(laws, seeds=3, noise=1.5, budgets=BUDGETS, seed=0):
    """Return the rows of a study whose modes follow `laws` {mode: (a, b, c)}."""
    rng = np.random.default_rng(seed)
    return [
        {
            "mode": mode,
            "run": f"{mode} {hours} {n}",
            "budget": hours,
            "hours": hours,
            "miou": float(power(*law)(hours) + noise * rng.standard_normal()),
        }
        for mode, law in laws.items()
        for hours in budgets
        for n in range(seeds)
    ]


def study_of(rows, **more):
    modes = {row["mode"] for row in rows}
    return {
        "rows": rows,
        "budgets": list(BUDGETS),
        "all_hours": dict.fromkeys(modes, 100.0),
        "image_hours": dict.fromkeys(modes, 0.01),
    } | more
