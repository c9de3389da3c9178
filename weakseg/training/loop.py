"""The training loop: one epoch, validation, and the epochs of a run with their checkpoints."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from weakseg.common import UserError, reason, remove, seed_everything, stable_seed
from weakseg.inference.predict import predict
from weakseg.learners.checkpoint_file import damaged, incomplete
from weakseg.learners.probe_unet import ProbeUnet
from weakseg.learners.unet import SegmentationModel
from weakseg.losses.base import BaseCriterion, Mean
from weakseg.metrics import confusion_matrix, largest, scores
from weakseg.pseudo_masks.rounds import Rounds
from weakseg.reporting.charts import loss_curves
from weakseg.training import checkpoints
from weakseg.training.checkpoints import Log
from weakseg.training.distributed import average_buffers, global_means
from weakseg.training.label_look import LabelLook
from weakseg.training.mean_teacher import Teacher
from weakseg.training.run import SCORES, TrainingRun
from weakseg.training.tracking import start_tracking, track_epoch

Line = dict[str, Any]  # of log.jsonl: one epoch
# What a state that is not of a part raises when it is loaded into it.
MISFITS = (RuntimeError, ValueError, LookupError, TypeError, AttributeError)


class Batches(Protocol):
    """What the loop asks of the training loader's sampler; `data_utils.EpochBatches` is one."""

    epoch: int
    batch_size: int

    def __len__(self) -> int: ...


@dataclass
class Training:
    """Everything that changes while a run trains.

    batches    the sampler of the training loader
    steps      of the whole run
    warm       epochs before the pseudo-masks of the network's own activation maps are used
    frozen     epochs before the encoder of a `ProbeUnet` learns
    own_norms  whether each process has a batch norm of its own
    began      when the run did, before a probe was fitted; `time.perf_counter`
    """

    model: nn.Module
    criterion: BaseCriterion
    optimizer: Any
    schedule: Any
    loader: DataLoader
    batches: Batches
    val_loader: DataLoader
    accelerator: Accelerator
    steps: int
    warm: int = 0
    frozen: int = 0
    teacher: Teacher | None = None
    own_norms: bool = False
    began: float = field(default_factory=time.perf_counter)

    @property
    def network(self) -> SegmentationModel:
        """The model itself, without what spreads it over processes."""
        return self.accelerator.unwrap_model(self.model)

    @property
    def best_network(self) -> SegmentationModel:
        """The network whose predictions are trusted most: the mean teacher's, if there is one."""
        return self.teacher.network if self.teacher else self.network

    def stateful(self) -> dict[str, Any]:
        """Return the parts whose state goes into last.pt, by name."""
        parts = {
            "model": self.network,
            "criterion": self.criterion,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "scaler": self.accelerator.scaler,
            "teacher": self.teacher,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def state(self) -> dict[str, Any]:
        """Return the state of all parts: tensors and plain values."""
        return {name: part.state_dict() for name, part in self.stateful().items()}

    def load(self, checkpoint: Mapping[str, Any], path: Path) -> None:
        """Go back to where a checkpoint was written; path: where it lies, for the message."""
        for name, part in self.stateful().items():
            if name not in checkpoint:
                if name == "scaler":  # the run began in another precision
                    continue
                raise incomplete(path, f"the state of the {name}")
            try:
                part.load_state_dict(checkpoint[name])
            except MISFITS as error:
                fault = f"its {name} does not fit the run ({reason(error)})"
                raise damaged(path, fault) from error

    def run_epoch(self, epoch: int, seed: int, num_classes: int, bar: tqdm) -> Line:
        """Train one epoch (from 1) and validate -> its line for the log.

        All that is random follows from (seed, epoch).
        """
        began, self.batches.epoch = time.perf_counter(), epoch
        seed_everything(stable_seed(seed, "epoch", epoch))
        cam = epoch > self.warm
        network = self.network
        scale = self.criterion.cam_scale if cam and "cam" in self.criterion.weights else 1.0
        network.cam_scale = scale
        if isinstance(network, ProbeUnet):
            network.frozen = epoch <= self.frozen
        line: Line = {"epoch": epoch, "lr": self.schedule.get_last_lr()[0]}
        try:
            line |= self.train_epoch(cam, (epoch - 1) * len(self.batches), bar)
        except torch.cuda.OutOfMemoryError as error:
            raise UserError(
                "--batch_size: more than the GPU's memory holds; lower it, or --img_size"
            ) from error
        if self.own_norms:
            average_buffers([network, *([self.teacher.average] if self.teacher else [])])
        images = len(self.batches) * self.batches.batch_size
        line["images_per_second"] = images / (time.perf_counter() - began)
        scored = self.scored(epoch, num_classes, cam)
        return line | scored | {"seconds": time.perf_counter() - began}

    def first_line(self, num_classes: int) -> Line:
        """Validate before the first step -> the line of epoch 0 for the log."""
        rate = self.schedule.get_last_lr()[0]
        line: Line = {"epoch": 0, "lr": rate, "loss": None, "terms": {}, "images_per_second": None}
        scored = self.scored(0, num_classes, cam=self.warm == 0)
        return line | scored | {"seconds": time.perf_counter() - self.began}

    def counts(self, epoch: int, select_by: str) -> bool:
        """Return whether an epoch may be the best one: not while a term is missing from its loss.

        What a probe gave, epoch 0, may be; but a weak loss without the term cannot be compared. By
        `last` every epoch is the best one so far.
        """
        if select_by == "last":
            return True
        return epoch > self.warm or (epoch == 0 and (not self.warm or select_by != "weak_val_loss"))

    def scored(self, epoch: int, num_classes: int, cam: bool) -> dict[str, float | None]:
        """Return what `validate` says of the network after an epoch, which must be finite."""
        scored = validate(
            self.network, self.val_loader, self.criterion, num_classes, self.accelerator, cam
        )
        known = {name: value for name, value in scored.items() if value is not None}
        stop_if_not_finite(epoch * len(self.batches), known)
        return scored

    def train_epoch(self, cam: bool, step: int, bar: tqdm) -> Line:
        """Train over the loader once -> {"loss": float, "terms": {term: float}}.

        They are means over all steps and processes. cam: whether the term `cam` counts yet
        step: number of the first step in the run. A loss that is not finite stops the run before it
        reaches the weights.
        """
        self.model.train()
        self.criterion.train()
        sums: dict[str, float] = {}
        for batch in self.loader:
            # Forward pass, and the terms of the labels and of the recipe.
            with self.accelerator.autocast():
                outputs = self.model(batch["image"])
            terms = self.criterion(outputs, batch["targets"], cam)
            if cam or not self.criterion.blind:
                teacher = None
                if self.teacher:
                    teacher = self.teacher(batch["image"], self.accelerator.autocast)
                terms |= self.criterion.extras(outputs, batch, teacher, step / self.steps)

            # Their weighted sum over all processes.
            values, labelled = global_means(terms, self.accelerator)
            loss = self.criterion.combine(values, outputs, labelled)
            names = ["loss", *values]
            numbers = torch.stack([loss.detach(), *(v.detach() for v in values.values())]).tolist()
            stop_if_not_finite(step, dict(zip(names, numbers, strict=True)))

            # Backward pass and step.
            self.optimizer.zero_grad(set_to_none=True)
            self.accelerator.backward(loss)
            for parameter in self.criterion.parameters():  # these few are not in the wrapped model
                if parameter.grad is not None:
                    parameter.grad = self.accelerator.reduce(parameter.grad, "mean")
            self.optimizer.step()
            self.schedule.step()
            if self.teacher:
                self.teacher.update(self.network)

            # The log's sums.
            step += 1
            bar.update(1)
            for name, number in zip(names, numbers, strict=True):
                sums[name] = sums.get(name, 0.0) + number / len(self.loader)
        totals = torch.tensor(list(sums.values()), device=self.accelerator.device)
        means = self.accelerator.reduce(totals, "mean").tolist()
        averages = dict(zip(sums, means, strict=True))
        return {"loss": averages.pop("loss"), "terms": averages}


def stop_if_not_finite(step: int, values: Mapping[str, float]) -> None:
    """Raise `UserError` naming the step and the term that broke."""
    broken = [name for name, value in values.items() if value - value != 0]
    if broken:
        name = broken[-1]
        raise UserError(
            f"step {step}: the loss term '{name}' is {values[name]}; the last checkpoint is "
            "intact: lower the learning rate, or look at the labels of this signal"
        )


def validate(
    model: SegmentationModel,
    loader: DataLoader,
    criterion: BaseCriterion,
    num_classes: int,
    accelerator: Accelerator,
    cam: bool,
) -> dict[str, float | None]:
    """Return {"val_loss", "val_miou", "weak_val_loss"}, exact over the split and all processes.

    val_loss (cross-entropy) and val_miou use masks at the network's size and are None when the
    loader has none; weak_val_loss is the weighted sum of the run's own terms. It is
    None where nothing is labelled.
    """
    criterion.eval()
    sums: dict[str, torch.Tensor] = {}
    confusion = torch.zeros(num_classes, num_classes, dtype=torch.long, device=accelerator.device)
    for batch, outputs in predict(model, loader, accelerator.device, accelerator.autocast):
        terms = criterion(outputs, batch["targets"], cam)
        if "mask" in batch:
            terms["mask"] = criterion.of_masks(outputs, batch["mask"])
            confusion += confusion_matrix(largest(outputs["seg"], 1), batch["mask"], num_classes)
        for name, mean in terms.items():
            # Sums in double precision, on the CPU: not every accelerator has it.
            pair = torch.stack([mean.total.cpu().double(), mean.count.cpu().double()])
            sums[name] = sums.get(name, 0) + pair
    names = [*criterion.weights, "mask"]
    nothing = torch.zeros(2, dtype=torch.double)
    pairs = torch.stack([sums.get(name, nothing) for name in names])
    if accelerator.num_processes > 1:
        pairs = accelerator.reduce(pairs.to(accelerator.device))
        confusion = accelerator.reduce(confusion)
    values = {
        name: Mean(pair[0], pair[1]).value.item()
        for name, pair in zip(names, pairs, strict=True)
        if pair[1] > 0
    }
    has_masks = getattr(loader.dataset, "masks", False)
    return {
        "val_loss": values.pop("mask", None),
        "val_miou": float(scores(confusion)["miou"]) if has_masks else None,
        "weak_val_loss": criterion.weighted(values) if values else None,
    }


def warm_epochs(run: TrainingRun, weights: Mapping[str, float]) -> int:
    """Return the epochs before the pseudo-masks of the network's own activation maps are used."""
    if not weights.get("cam"):
        return 0
    return min(round(run.cam_warmup * run.epochs), run.epochs - 1)


def fit(
    run: TrainingRun,
    checkpoint: Mapping[str, Any] | None,
    training: Training,
    rounds: Rounds,
    description: Mapping[str, Any],
    look: LabelLook | None = None,
) -> None:
    """Train from the checkpoint's epoch to the last; log and save after each.

    checkpoint: the content of last.pt to go on from; None starts anew
    description: what checkpoints say of the run besides its weights
    look: at the labels, for the folder of a run that starts
    """
    # Take up the folder: an old run's files go, a resumed run's state is loaded.
    folder, accelerator = run.folder, training.accelerator
    is_main = accelerator.is_main_process
    folder.mkdir(parents=True, exist_ok=True)
    replaced = checkpoints.leftovers(folder) if checkpoint else checkpoints.run_files(folder)
    accelerator.wait_for_everyone()
    log, best, first = Log(folder / "log.jsonl"), None, 0
    if checkpoint:
        training.load(checkpoint, folder / "last.pt")
        best, first = checkpoint["best"], checkpoint["epoch"]
    if is_main:
        if checkpoint:
            rounds.settle(first)
        for path in replaced:
            remove(path)
        if checkpoint and checkpoint["selected"]:
            checkpoints.mend_best(folder, checkpoint)
        log.keep_until(first)
        if look:
            look.keep(folder)
    start_tracking(run, accelerator, log.read() if checkpoint else [])
    accelerator.wait_for_everyone()

    steps, num_classes = len(training.batches), len(description["task"]["classes"])
    by = run.select_by or "val_loss"
    bar = tqdm(
        total=run.epochs * steps, initial=first * steps, desc=run.run_name, disable=not is_main
    )
    epochs = range(first + 1, run.epochs + 1)
    if checkpoint is None and run.start:
        epochs = range(run.epochs + 1)
    elif checkpoint is None:
        for term, number in rounds.due(0):
            rounds.make(term, number, training.best_network, accelerator)
    for epoch in epochs:
        if epoch == 0:  # what a probe gave is a result as well
            line = training.first_line(num_classes)
        else:
            line = training.run_epoch(epoch, run.seed, num_classes, bar)
        line["selected"] = training.counts(epoch, by) and is_better(by, line, best)
        best = line.get(by) if line["selected"] else best
        # Before last.pt is written: a run that is killed meanwhile makes the masks anew.
        for term, number in rounds.due(epoch):
            rounds.make(term, number, training.best_network, accelerator)
        if is_main:
            log.append(line)
            state = {**training.state(), "epoch": epoch, "best": best}
            content = {**state, "selected": line["selected"], **description}
            checkpoints.save_checkpoint(folder / "last.pt", content)
            if line["selected"]:
                checkpoints.save_best(folder, content)
            bar.write(epoch_line(line, run.epochs))
        track_epoch(accelerator, line)
    bar.close()


def is_better(by: str, line: Line, best: float | None) -> bool:
    """Return whether an epoch's score beats the best one so far; by: what --select_by says."""
    score = line.get(by)
    return best is None or SCORES[by](score, best) == score != best


def report(run: TrainingRun, lines: list[Line], next_command: str) -> None:
    """Draw the curves of a finished run and say what to do next."""
    if not lines:
        print(f"{run.folder}: all epochs are done, but its log.jsonl is gone")
        return
    loss_curves(run.folder / "curves.png", lines)
    selected = [line["epoch"] for line in lines if line["selected"]]
    print(
        f"{run.folder}: best.pt is epoch {selected[-1] if selected else None} of {run.epochs}; "
        f"next: {next_command}"
    )


def epoch_line(line: Line, epochs: int) -> str:
    """Return what is printed of an epoch."""
    terms = " ".join(f"{name} {value:.3f}" for name, value in line["terms"].items())
    scored = " ".join(f"{name} {line[name]:.4f}" for name in SCORES if line[name] is not None)
    epoch, star = f"epoch {line['epoch']}/{epochs}", "  *" * line["selected"]
    if line["loss"] is None:
        return f"{epoch}  the probe  {scored}{star}"
    rate = f"{line['images_per_second']:.1f} img/s"
    return f"{epoch}  loss {line['loss']:.4f} ({terms})  {scored}  {rate}{star}"
