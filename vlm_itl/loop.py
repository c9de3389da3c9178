"""The loop: buy labels, train, evaluate, and, with a judge, accept some predictions as
pseudo-labels.

A round is a row of stages, each written to the ledger once it is complete:

    buy       labels up to the round's budget, in the order of the strategy
    train     the network (or the ensemble), from the bought labels and the pseudo-labels of the round before
    evaluate  on the validation and the test images
    audit     with a judge: labels of images drawn at random, part of the next purchase, to calibrate it
    judge     with a judge: a verdict on every predicted mask; accepted masks become pseudo-labels

The baseline is one round that buys everything. Whoever labels is the only difference between the
pipelines.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from vlm_itl import config, judging
from vlm_itl.donor import take_first_round
from vlm_itl.judges.registry import make_judge
from vlm_itl.results import report
from vlm_itl.tracking import Tracker
from vlm_itl.training import trainer
from vlm_itl.training.data import (
    LabelledItems,
    added_rows,
    fingerprint,
    image_table,
    open_images,
    splits_of,
    training_table,
)
from vlm_itl.training.segformer import build_network
from weakseg.common import (
    UserError,
    atomic_path,
    commit,
    read_json,
    seed_everything,
    stable_seed,
    write_json,
)
from weakseg.data.cache import ResizedCache
from weakseg.inference.predict import full_size_masks
from weakseg.metrics import confusion_matrix, scores
from weakseg.planning import budgets
from weakseg.planning.acquisition import Context, check_needs, choose_strategy
from weakseg.planning.ledger import FREE, Ledger, digest, settings_hash, without
from weakseg.planning.oracle import Examiner, Label, Oracle, predicted_price, signals_of
from weakseg.planning.uncertainty import Scores, score
from weakseg.training.distributed import make_accelerator
from weakseg.training.recipes import LossOptions


class Run:
    """One experiment in one folder: its images, oracle, ledger and tracker."""

    def __init__(self, settings, folder, arm, targets, judged):
        self.settings, self.folder, self.arm, self.targets = settings, Path(folder), arm, targets
        self.strategy = choose_strategy(settings.active_learning.strategy)
        check_needs(self.strategy, settings)
        self.signals = signals_of(settings.active_learning.label)
        self.dataset = open_images(settings.data)
        self.ids = splits_of(self.dataset, settings.data)
        self.cache = ResizedCache(
            settings.data.cache_dir, settings.data.image_size, settings.data.cache_limit
        )
        self.examiner = Examiner(self.dataset, settings.data)
        self.judge = make_judge(settings.vlm_itl, settings.seed, self.examiner) if judged else None
        self.oracle = Oracle(
            self.dataset, self.ids["pool"], settings.data, settings.seed, config.annotator(settings)
        )
        training = settings.training
        self.accelerator = make_accelerator(
            training.device, training.mixed_precision, flag="training.device"
        )
        self.ledger = Ledger(self.folder / "ledger.jsonl")
        self.tracker = Tracker(settings, self.folder)

    def start(self):
        """Write or check the ledger's first line, and take up what was bought before."""
        plain = without(
            config.as_plain(self.settings), FREE | (set() if self.judge else {"vlm_itl"})
        )
        known = {
            "settings": settings_hash([plain, self.arm]),
            "images": fingerprint(self.dataset, self.ids),
        }
        rest = {
            "targets": self.targets,
            "seed": self.settings.seed,
            "commit": commit(),
            "config": plain,
        }
        if not self.ledger.lines:
            if any(self.folder.glob("round_*")):
                raise UserError(
                    f"{self.folder}: holds rounds but no ledger; delete the folder, or take another run_name"
                )
            self.network()  # what is wrong with `model` shows before the settings are written down
        first = self.ledger.once(-1, "start", lambda: known | rest)
        for what, flag in (("settings", "--config, --set"), ("images", "data.source")):
            if first[what] != known[what]:
                raise UserError(
                    f"{self.folder}: this run began with other {what} ({flag}); restore them, or take another run_name"
                )
        unmasked = [n for n in self.dataset.ids("train") if not self.dataset.mask_path(n).exists()]
        if unmasked:
            print(
                f"{len(unmasked)} training images have no mask and are left out, the first is {unmasked[0]}"
            )
        if self.settings.active_learning.first_round_from:
            take_first_round(self)
        for line in self.ledger.lines:
            for name, bought in line.get("bought", {}).items():
                self.oracle.restore(
                    name, Label(bought["annotations"], tuple(bought["signals"]), bought["seconds"])
                )

    def run(self):
        """Run or finish all rounds -> the content of results.json."""
        try:
            return self.rounds()
        finally:
            self.tracker.stop()
            self.ledger.close()

    def rounds(self):
        """Run the stages that are not in the ledger yet."""
        self.start()
        last = len(self.targets) - 1
        for number in range(last + 1):
            self.ledger.once(number, "buy", lambda number=number: self.buy(number))
            self.ledger.once(number, "train", lambda number=number: self.train(number))
            line = self.ledger.once(number, "evaluate", lambda number=number: self.evaluate(number))
            print(report.summary(self, number, line), flush=True)
            if self.judge and number < last:
                self.ledger.once(number, "audit", lambda number=number: self.audit(number))
                line = self.ledger.once(
                    number, "judge", lambda number=number: judging.judge_pool(self, number)
                )
                print(judging.summary(line), flush=True)
        results, path = report.results(self), self.folder / "results.json"
        if not path.exists() or read_json(path) != results:
            self.tracker.summarise(results)
            network = self.networks(last)[0]
            if hasattr(network, "save_pretrained"):
                network.save_pretrained(self.folder / "final")
            write_json(path, results)
        return results

    # ---- buying

    def free(self):
        """Return the pool's images that nobody bought."""
        return [name for name in self.ids["pool"] if name not in self.oracle.labels]

    def buy(self, number):
        """Buy up to the budget of a round, in the order of the strategy."""
        bought = {name: self.purchase(name, self.signals) for name in self.order(number)}
        return {"seed": self.seed(number, "buy"), "bought": bought}

    def audit(self, number):
        """Buy a part of the next purchase at random, as masks: a fair sample of what the judge will
        see.
        """
        share, bought = self.settings.vlm_itl.audit_share, {}
        target = budgets.between(self.targets[number], self.targets[number + 1], share)
        # Drawn as the strategy `random` would draw the next purchase: at a share of 1 the labels
        # are the same.
        names, seed = self.free(), self.seed(number + 1, "buy", len(self.oracle.labels))
        order = choose_strategy("random").rank(
            Scores(names), len(names), np.random.default_rng(seed)
        )
        for index in order if share else ():
            if self.reached(target):
                break
            bought[names[index]] = self.purchase(names[index], ("full",))
        return {"seed": seed, "bought": bought}

    def purchase(self, name, signals):
        """Buy one label -> its line in the ledger."""
        label = self.oracle.buy(name, signals)
        return {
            "annotations": label.annotations,
            "signals": label.signals,
            "seconds": label.seconds,
        }

    def reached(self, target):
        """Whether a budget is used up."""
        return budgets.reached(target, self.oracle, len(self.ids["pool"]))

    def order(self, number):
        """Yield free images until the budget is used up: what the judge rejected, what it did not
        see, then the rest.

        Whoever takes an image has bought it before the next is asked for.
        """
        verdicts = (self.ledger.find(number - 1, "judge") or {}).get("verdicts", {})
        routes = {name: verdict["route"] for name, verdict in verdicts.items()}
        groups = {route: [] for route in ("reject", None, "abstain", "accept")}
        for name in self.free():
            groups[routes.get(name)].append(name)
        for names in groups.values():
            while names and not self.reached(self.targets[number]):
                for name in self.ranked(names, number):
                    if self.reached(self.targets[number]):
                        return
                    yield name
                    names.remove(name)

    def ranked(self, names, number):
        """Return some of `names`, as many as the budget may need, in the order of the strategy."""
        settings = self.settings.active_learning
        count = budgets.images_left(self.targets[number], self.oracle, len(self.ids["pool"]))
        rng = np.random.default_rng(self.seed(number, "buy", len(self.oracle.labels)))
        strategy = self.strategy if number else choose_strategy(settings.initial_strategy)
        labelled, pool = None, Scores(names)
        if strategy.needs:
            # The first round's network is only pretrained: its features serve, its predictions mean
            # nothing.
            seed_everything(self.seed(number, "features"))
            networks = self.networks(number - 1) if number else [self.network()]
            if strategy.needs & {"features", "class_share"}:
                labelled = self.scored(
                    networks, sorted(self.oracle.labels), strategy.needs & {"features"}
                )
            pool = self.scored(networks, names, strategy.needs)
        order = strategy.rank(pool, count, rng, Context(labelled, number, len(self.targets)))
        return [names[index] for index in order]

    def scored(self, networks, names, wanted):
        """Return the `Scores` of images."""
        settings = self.settings.active_learning
        price = predicted_price(
            self.signals, self.dataset.tag_names, config.annotator(self.settings)
        )
        return score(
            networks[0],
            self.batches(names),
            wanted,
            passes=settings.dropout_passes,
            seed=self.settings.seed,
            members=networks,
            price=price,
        )

    def batches(self, names):
        """Yield (ids, images [B, 3, S, S] uint8 on the device), a few at a time."""
        size = self.settings.training.batch_size
        for first in range(0, len(names), size):
            part = names[first : first + size]
            images = np.stack([self.cache.image(self.dataset.image_path(name)) for name in part])
            yield part, torch.from_numpy(images).to(self.accelerator.device)

    # ---- training

    def train(self, number):
        """Train the round's network, or networks -> the digests of their weights."""
        judged = self.ledger.find(number - 1, "judge")
        pseudo = judging.pseudo_labels(self, number - 1, judged) if judged else {}
        settings, judging_settings, digests = self.settings.training, self.settings.vlm_itl, []
        added = added_rows(
            settings.batch_size, len(self.oracle.labels), len(pseudo), judging_settings.pseudo_share
        )
        strong = judging_settings.pseudo_augment == "strong"
        for member in range(self.settings.active_learning.ensemble_size):
            seed = self.seed(number, "train", member)
            items = LabelledItems(
                self.dataset, self.oracle, pseudo, self.cache, settings.augment, seed, strong
            )
            table = training_table(
                items, settings.steps, settings.batch_size, seed, len(pseudo), added
            )
            digests.append(
                self.train_member(
                    number, member, seed, table, settings.batch_size + added, items.signals
                )
            )
        return {
            "seed": self.seed(number, "train"),
            "weights": digests,
            "pseudo_labels": len(pseudo),
        }

    def train_member(self, number, member, seed, table, batch_size, signals):
        """Train one network and write its weights -> their digest. A training that was killed goes
        on.
        """
        folder = self.round_folder(number)
        network = self.new_network(number, member, seed)
        validation = image_table(self.dataset, self.ids["val"], self.settings.data, masks=True)
        criterion = trainer.make_criterion(signals, LossOptions(tuple(self.dataset.tag_class)))
        settings = replace(self.settings.training, batch_size=batch_size)
        log = self.tracker.start(number, member)
        fitting = trainer.make_trainer(
            network,
            criterion,
            settings,
            folder / f"trainer_{member}",
            seed,
            len(self.dataset.class_names),
            table,
            validation,
            trainer.Progress(f"round {number}", log),
        )
        checkpoint = trainer.last_checkpoint(folder / f"trainer_{member}")
        fitting.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        from safetensors.torch import save_file

        path = folder / f"model_{member}.safetensors"
        with atomic_path(path) as temporary:
            save_file(trainer.packed(network.state_dict()), temporary)
        shutil.rmtree(folder / f"trainer_{member}", ignore_errors=True)
        return digest(path)

    def new_network(self, number, member, seed):
        """Return the network that a round starts from: pretrained, or with `restart: warm` the
        round before's.
        """
        seed_everything(seed)
        warm = number and self.settings.active_learning.restart == "warm"
        return self.networks(number - 1)[member] if warm else self.network()

    def network(self):
        """Return a network as the config describes it, before any training, on the device."""
        dataset = self.dataset
        network = build_network(self.settings.model, dataset.class_names, len(dataset.tag_names))
        return network.to(self.accelerator.device)

    def networks(self, number):
        """Return the trained networks of a round, in evaluation mode; weights that changed since
        are refused.
        """
        line, found = self.ledger.find(number, "train"), []
        for member, known in enumerate(line["weights"]):
            path = self.round_folder(number) / f"model_{member}.safetensors"
            if not path.exists() or digest(path) != known:
                raise UserError(
                    f"{path}: is missing or not what this run wrote; restore it, or delete {self.folder}"
                )
            network = self.network()
            trainer.load_strictly(network, path)
            found.append(network.eval())
        return found

    # ---- evaluation

    def evaluate(self, number):
        """Score the round's (first) network: on the validation images by the Trainer, on the test
        at full size.
        """
        network = self.networks(number)[0]
        data, classes = self.settings.data, len(self.dataset.class_names)
        table = image_table(self.dataset, self.ids["val"], data, masks=True)
        criterion = trainer.make_criterion(("full",), LossOptions(tuple(self.dataset.tag_class)))
        scratch = self.round_folder(number) / "evaluation"
        fitting = trainer.make_trainer(
            network,
            criterion,
            self.settings.training,
            scratch,
            self.settings.seed,
            classes,
            validation=table,
        )
        val_miou = fitting.evaluate()["eval_miou"]
        shutil.rmtree(scratch, ignore_errors=True)
        confusions = self.test_confusions(network, classes)
        path = self.round_folder(number) / "test.npz"
        with atomic_path(path) as temporary:
            np.savez_compressed(temporary, ids=np.array(self.ids["test"]), confusions=confusions)
        return {
            "val_miou": val_miou,
            "test_miou": float(scores(confusions.sum(0))["miou"]),
            "test": digest(path),
        }

    def test_confusions(self, network, classes):
        """Return the test images' confusion matrices [N, C, C] int64 at the masks' own
        resolution.
        """
        from torch.utils.data import DataLoader

        table = image_table(self.dataset, self.ids["test"], self.settings.data)
        loader = DataLoader(table, batch_size=self.settings.training.batch_size)
        masks = full_size_masks(
            network,
            loader,
            self.dataset,
            self.ids["test"],
            self.accelerator.device,
            self.accelerator.autocast,
        )
        found = [
            confusion_matrix(torch.from_numpy(mask), torch.from_numpy(truth), classes)
            for _, mask, truth in masks
        ]
        return torch.stack(found).numpy()

    def seed(self, number, *what):
        """Return the seed of a stage."""
        return stable_seed(self.settings.seed, number, *what)

    def round_folder(self, number):
        """Return the folder of a round."""
        return self.folder / f"round_{number:02d}"
