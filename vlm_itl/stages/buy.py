"""The stages that buy labels: `buy`, in the order of a strategy, and `audit`, at random."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import nn

from vlm_itl.run import Run
from weakseg.common import seed_everything
from weakseg.planning import budgets
from weakseg.planning.acquisition import Context, choose_strategy
from weakseg.planning.budgets import Budget
from weakseg.planning.oracle import predicted_price
from weakseg.planning.scores import Scores
from weakseg.planning.uncertainty import score

# A person labels first what the judge rejected, then what it did not see (None); what it accepted
# comes last, as that serves already.
ROUTES_IN_ORDER = ("reject", None, "abstain", "accept")


def buy(run: Run, number: int) -> dict[str, Any]:
    """Buy labels up to the round's budget, in the order of the strategy -> the ledger's line."""
    routes = {name: verdict["route"] for name, verdict in run.verdicts(number - 1).items()}
    groups: dict[str | None, list[str]] = {route: [] for route in ROUTES_IN_ORDER}
    for name in run.free():
        groups[routes.get(name)].append(name)
    bought: dict[str, dict[str, Any]] = {}
    for group in groups.values():
        left = group
        while left and not reached(run, run.targets[number]):  # again where too few were ranked
            bought |= buy_in_order(run, run.targets[number], rank(run, number, left), run.signals)
            left = [name for name in left if name not in bought]
    return {"seed": run.seed(number, "buy"), "bought": bought}


def audit(run: Run, number: int) -> dict[str, Any]:
    """Buy a part of the next purchase at random, as masks -> the ledger's line.

    It is a fair sample of what the judge will see, drawn as the strategy `random` would draw the
    next purchase: at a share of 1 the labels are the same.
    """
    share, names = run.settings.vlm_itl.audit_share, run.free()
    budget = budgets.between(run.targets[number], run.targets[number + 1], share)
    seed = run.seed(number + 1, "buy", len(run.oracle.labels))
    rng = np.random.default_rng(seed)
    order = choose_strategy("random").rank(Scores(names), len(names), rng) if share else []
    bought = buy_in_order(run, budget, (names[index] for index in order), ("full",))
    return {"seed": seed, "bought": bought}


def buy_in_order(
    run: Run, budget: Budget, names: Iterable[str], signals: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Buy images in their order until the budget is used up -> {id: annotations, price}."""
    bought: dict[str, dict[str, Any]] = {}
    for name in names:
        if reached(run, budget):
            break
        label = run.oracle.buy(name, signals)
        bought[name] = {
            "annotations": label.annotations,
            "signals": label.signals,
            "seconds": label.seconds,
        }
        if "full" in signals:  # the file is read again when it is learned from
            bought[name]["mask"] = run.dataset.mask_contents([name])[name]
    return bought


def reached(run: Run, budget: Budget) -> bool:
    """Whether a budget is used up."""
    return budgets.reached(budget, run.oracle, len(run.pool))


def rank(run: Run, number: int, names: list[str]) -> list[str]:
    """Return some of `names`, as many as the budget may need, the strategy's first choice first.

    The first round's network is only pretrained: its features serve, its predictions mean nothing.
    """
    initial = run.settings.active_learning.initial_strategy
    strategy = run.strategy if number else choose_strategy(initial)
    count = budgets.images_left(run.targets[number], run.oracle, len(run.pool))
    rng = np.random.default_rng(run.seed(number, "buy", len(run.oracle.labels)))
    labelled, pool = None, Scores(names)
    if strategy.needs:
        seed_everything(run.seed(number, "features"))
        networks = run.networks(number - 1) if number else [run.store.build()]
        if strategy.needs & {"features", "class_share"}:
            bought = sorted(run.oracle.labels)
            labelled = scores(run, networks, bought, strategy.needs & {"features"})
        pool = scores(run, networks, names, strategy.needs)
    context = Context(labelled, number, len(run.targets), run.dataset.has_background)
    order = strategy.rank(pool, count, rng, context)
    return [names[index] for index in order]


def scores(
    run: Run, networks: Sequence[nn.Module], names: Sequence[str], wanted: frozenset[str]
) -> Scores:
    """Return the `Scores` of images that a strategy wants; see `weakseg.planning.uncertainty`."""
    return score(
        networks[0],
        run.inputs.batches(names),
        wanted,
        passes=run.settings.active_learning.dropout_passes,
        seed=run.settings.seed,
        members=networks,
        price=predicted_price(
            run.signals,
            run.dataset.tag_names,
            len(run.dataset.class_names),
            run.annotator,
            run.dataset.has_background,
        ),
    )
