"""The stage `judge`: fit and calibrate the judge on bought labels, let it see the pool, route what
it saw.
"""

import itertools
import math
from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from vlm_itl.config import annotator
from vlm_itl.judges.base import Case, Example
from vlm_itl.judges.calibration import choose_threshold, fit_calibrator
from vlm_itl.judges.metrics import judge_metrics, total_usage
from weakseg.common import IGNORE, UserError, atomic_path
from weakseg.data.image_io import read_mask
from weakseg.metrics import image_iou, largest
from weakseg.planning.oracle import confident_mask

CHUNK = 64  # masks handed to the judge at once: a remote one answers them side by side
CHUNK_BYTES = 2**28


def judge_pool(run, number):
    """Judge the pool's predicted masks -> the ledger's line: verdicts with their routes, the
    calibration, metrics.

    The threshold is chosen before any route is taken, from the audit's truth and the pool's scores.
    Then accepted masks are predicted once more and written to the round's folder `pseudo`, before
    the line.
    """
    settings, networks = run.settings.vlm_itl, run.networks(number)
    audit = sorted((run.ledger.find(number, "audit") or {}).get("bought", {}))
    run.judge.fit(examples(run, number, set(audit)))
    compared, scores, good, usage = [], [], [], []
    for case, _, verdict in answers(run, number, networks, audit, compared):
        usage.append(verdict.usage)
        iou = image_iou(case.mask, run.oracle.mask(case.id))
        if verdict.score is not None and not math.isnan(iou):
            scores.append(verdict.score)
            good.append(iou >= settings.iou_bar)
    found, ious, older = {}, {}, set()
    for case, is_older, verdict in answers(
        run, number, networks, candidates(run, number), compared
    ):
        found[case.id] = verdict
        older |= {case.id} if is_older else set()
        if settings.examine:
            ious[case.id] = run.examiner.iou(case.id, case.mask)
    pool = np.array([verdict.score for verdict in found.values() if verdict.score is not None])
    rule = make_rule(settings, np.array(scores), np.array(good, bool), pool)
    verdicts = {}
    for name, verdict in found.items():
        route, probability = rule.route(verdict)
        verdicts[name] = {"route": route, "calibrated": probability, **verdict.as_dict()}
    save_accepted(
        run, number, networks, [n for n, v in verdicts.items() if v["route"] == "accept"], older
    )
    usage += [verdict.usage for verdict in found.values()] + [
        preference.usage for preference in compared
    ]
    metrics = measure(run, verdicts, ious) if settings.examine else {}
    facts = {
        "threshold": rule.threshold,
        "audit_masks": len(scores),
        "usage": total_usage(usage),
        "older_masks": len(older),
    }
    return {"seed": run.seed(number, "judge"), "verdicts": verdicts, "metrics": metrics | facts}


def answers(run, number, networks, names, compared):
    """Yield (`Case`, whether its mask is the round before's, `Verdict`) for each image, with a
    progress bar.

    A first part of which no mask is answered means that the judge doesn't work at all: a
    `UserError`, before anything is written to the ledger. Answers that are kept in a cache are not
    asked for again.
    """
    answered = False
    with tqdm(
        total=len(names), desc=f"round {number} judging", unit="mask", disable=not names
    ) as bar:
        for part in chunks(contested(run, number, networks, names, compared), chunk_size(run)):
            verdicts = run.judge.judge([case for case, _ in part])
            failures = [verdict.failure for verdict in verdicts if verdict.failure]
            answered = answered or len(failures) < len(part)
            if not answered:
                raise UserError(
                    f"vlm_itl.vlm_handler {run.settings.vlm_itl.vlm_handler}: none of the first {len(part)} masks was "
                    f"answered ({failures[0]}); mend that and give the same command again"
                )
            for (case, is_older), verdict in zip(part, verdicts, strict=True):
                yield case, is_older, verdict
            bar.update(len(part))


def save_accepted(run, number, networks, names, older):
    """Write the accepted masks; those in `older` are of the round before's network."""
    folder = run.round_folder(number) / "pseudo"
    folder.mkdir(parents=True, exist_ok=True)
    settings = run.settings.vlm_itl
    kept = predicted(run, networks, [name for name in names if name not in older])
    earlier = predicted(run, run.networks(number - 1), sorted(older & set(names))) if older else ()
    for case in itertools.chain(kept, earlier):
        doubts = run.judge.doubts(case) if settings.ignore_disputed else None
        save_pseudo(folder / f"{case.id}.png", case, settings.pseudo_confidence, doubts)


class Rule:
    """From a verdict to its route: accept, reject (to the human), or abstain (it waits).

    threshold    the score from which a mask is accepted; None accepts none
    calibrate    scores -> probabilities that the mask is good
    """

    def __init__(self, threshold, calibrate, reject_below, own_decision):
        self.threshold, self.calibrate, self.reject_below = threshold, calibrate, reject_below
        self.own_decision = own_decision

    def route(self, verdict):
        """Return (route, calibrated probability or None).

        A failure waits, whatever the rule. So does an answer without a probability, unless the
        judge decides itself.
        """
        if verdict.failure:
            return "abstain", None
        if verdict.probability is None:
            return verdict.decision if self.own_decision else "abstain", None
        probability = float(self.calibrate(np.array([verdict.probability]))[0])
        if self.own_decision:
            return verdict.decision, probability
        if self.threshold is not None and verdict.probability >= self.threshold:
            return "accept", probability
        return "reject" if probability < self.reject_below else "abstain", probability


def make_rule(settings, probabilities, good, pool=None):
    """Return the `Rule` that the config asks for, from the judge's answers on the audit.

    probabilities [N], good [N] bool: of the audited masks; pool [M]: the probabilities of the masks
    to be routed
    """
    calibrate = np.asarray
    if settings.calibration != "none":
        calibrate = fit_calibrator(probabilities, good, settings.calibration)
    threshold = None
    if settings.risk is not None:
        delta = 1 - settings.confidence
        threshold = choose_threshold(
            probabilities, good, settings.risk, delta, settings.control, pool
        )
    return Rule(threshold, calibrate, settings.reject_below, settings.risk is None)


def check_settings(settings):
    """Refuse settings of a judge that can't work together; settings: the whole `Config`."""
    section = settings.vlm_itl
    if section.audit_share == 0 and (section.risk is not None or section.calibration != "none"):
        raise UserError(
            "vlm_itl.audit_share 0: calibration and the risk bound need an audit; raise it, or set "
            "vlm_itl.calibration: none and vlm_itl.risk: null"
        )
    if (
        section.vlm_options.get("measure") == "agreement"
        and settings.active_learning.ensemble_size < 2
    ):
        raise UserError(
            "active_learning.ensemble_size 1: the measure agreement compares networks; set 2 or more"
        )


def examples(run, number, without):
    """Yield `Example`s of bought masks, each predicted before it was trained on, but for the first
    purchase.

    A later purchase is predicted by the network of the round before it, which can have seen the
    image as a pseudo-label but not its truth; the first by this round's, which knows it.
    """
    for model in range(number + 1):
        names = {
            name
            for round_, stage in ((model, "audit"), (model + 1, "buy"))
            for name in (run.ledger.find(round_, stage) or {}).get("bought", {})
        }
        names = sorted(n for n in names - without if "full" in run.oracle.labels[n].signals)
        if names:
            yield from example_pairs(run, run.networks(model), names, unseen=True)
    first = [
        n for n in run.ledger.find(0, "buy")["bought"] if "full" in run.oracle.labels[n].signals
    ]
    yield from example_pairs(run, run.networks(number), sorted(first), unseen=False)


def example_pairs(run, networks, names, unseen):
    """Yield the `Example`s of bought images."""
    for case in predicted(run, networks, names):
        yield Example(case, run.oracle.mask(case.id), unseen)


def candidates(run, number):
    """Return the free images whose masks are judged: all of them, or a random part."""
    names, most = run.free(), run.settings.vlm_itl.max_candidates
    if most is not None and most < len(names):
        rng = np.random.default_rng(run.seed(number, "candidates"))
        names = sorted(rng.choice(names, most, replace=False).tolist())
    return names


@torch.no_grad()
def predicted(run, networks, names):
    """Yield one `Case` for each image, a batch of pixels at a time."""
    class_names = tuple(run.dataset.class_names)
    for part, images in run.batches(names):
        with run.accelerator.autocast():
            found = [softmax(network, images, run.settings.vlm_itl.mirror) for network in networks]
        probabilities = found[0].cpu().numpy()
        members = [largest(other, 1).byte().cpu().numpy() for other in found[1:]]
        shown = images.permute(0, 2, 3, 1).cpu().numpy()
        for i, name in enumerate(part):
            others = np.stack([member[i] for member in members]) if members else None
            mask = probabilities[i].argmax(0).astype(np.uint8)
            yield Case(name, shown[i], mask, class_names, probabilities[i], others)


def softmax(network, images, mirror):
    """Return class probabilities [B, C, S, S]; with `mirror` the mean over the images and their
    mirror images.
    """
    network.eval()
    probabilities = network(images)["seg"].float().softmax(1)
    if mirror:
        probabilities = (
            probabilities + network(images.flip(3))["seg"].float().softmax(1).flip(3)
        ) / 2
    return probabilities


def contested(run, number, networks, names, compared):
    """Yield (`Case` to be judged, whether its mask is the round before's) of each image.

    With `pairwise` the judge has first compared this round's mask with that of the round before,
    where they differ; its `Preference`s are added to the list `compared`.
    """
    cases = predicted(run, networks, names)
    if not run.settings.vlm_itl.pairwise or number == 0:
        yield from ((case, False) for case in cases)
        return
    before = predicted(run, run.networks(number - 1), names)
    for pairs in chunks(zip(cases, before, strict=True), chunk_size(run)):
        for pair, preference in zip(pairs, run.judge.compare(pairs), strict=True):
            compared.append(preference)
            yield pair[preference.better or 0], preference.better == 1


def chunk_size(run):
    """Return how many cases are handed to the judge at once: up to `CHUNK`, in `CHUNK_BYTES` of
    softmax.
    """
    pixels = run.settings.data.image_size**2
    return max(1, min(CHUNK, CHUNK_BYTES // (4 * len(run.dataset.class_names) * pixels)))


def chunks(items, size):
    """Yield lists of at most `size` items."""
    items = iter(items)
    while part := list(itertools.islice(items, size)):
        yield part


def save_pseudo(path, case, threshold, doubts=None):
    """Write an accepted mask as a PNG of classes, 255 where the network was not sure or the judge
    disputes it.
    """
    mask = confident_mask(case.probabilities, threshold)
    if doubts is not None:
        mask[doubts] = IGNORE
    with atomic_path(path) as temporary:
        Image.fromarray(mask).save(temporary)


class StoredMasks(Mapping):
    """{id: mask [S, S] uint8} whose masks stay on the disk until they are asked for."""

    def __init__(self, folder, names):
        self.paths = {name: folder / f"{name}.png" for name in names}

    def __getitem__(self, name):
        return read_mask(self.paths[name])

    def __contains__(self, name):
        return name in self.paths

    def __iter__(self):
        return iter(self.paths)

    def __len__(self):
        return len(self.paths)


def pseudo_labels(run, number, line):
    """Return the `StoredMasks` accepted in a round, without those that were bought since."""
    accepted = [name for name, verdict in line["verdicts"].items() if verdict["route"] == "accept"]
    return StoredMasks(
        run.round_folder(number) / "pseudo", [n for n in accepted if n not in run.oracle.labels]
    )


def measure(run, verdicts, ious):
    """Return the judge's metrics against masks nobody bought: for the report of a simulation
    only.
    """
    answered = [name for name, verdict in verdicts.items() if not verdict["failure"]]
    columns = {
        key: [verdicts[name][key] for name in answered] for key in ("calibrated", "iou", "route")
    }
    accepted = [route == "accept" for route in columns["route"]]
    # What was not accepted saved nothing, so its price is not looked up.
    seconds = [
        run.examiner.seconds(name, run.signals, annotator(run.settings)) if taken else 0.0
        for name, taken in zip(answered, accepted, strict=True)
    ]
    found = judge_metrics(
        columns["calibrated"],
        columns["iou"],
        accepted,
        [ious[name] for name in answered],
        run.settings.vlm_itl.iou_bar,
        seconds,
    )
    return found | {"failures": len(verdicts) - len(answered), "masks": len(verdicts)}


def summary(line):
    """Return one line about a round's judging."""
    routes = [verdict["route"] for verdict in line["verdicts"].values()]
    counts = ", ".join(
        f"{routes.count(route)} {route}ed" for route in ("accept", "reject", "abstain")
    )
    failed = sum(1 for verdict in line["verdicts"].values() if verdict["failure"])
    purity = line["metrics"].get("purity")
    told = f"  purity {100 * purity:.1f} %" if purity is not None else ""
    if line["metrics"]["threshold"] is None and "accept" not in routes:
        told = f"  (an audit of {line['metrics']['audit_masks']} masks allows no threshold at this risk)"
    return f"  judge: {len(routes)} masks, {counts}{f' ({failed} failed)' if failed else ''}{told}"
