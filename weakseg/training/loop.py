"""The loops: training, validation, prediction; shared by train.py and evaluate.py."""

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from weakseg.common import UserError, seed_everything, stable_seed
from weakseg.inference.predict import predict
from weakseg.losses.base import Mean
from weakseg.metrics import confusion_matrix, largest, scores
from weakseg.training.distributed import average_buffers, global_means
from weakseg.training.options import SELECTION


@dataclass
class Training:
    """Everything that changes while a run trains."""

    model: nn.Module
    criterion: Any
    optimizer: Any
    schedule: Any
    loader: Any
    batches: Any
    val_loader: Any
    accelerator: Any
    steps: int  # of the whole run
    warm: int = 0  # epochs before pseudo-masks from activation maps
    teacher: Any = None
    own_norms: bool = False  # each process has batch norm of its own

    def stateful(self):
        """Return the parts whose state goes into last.pt, by name."""
        parts = {
            "model": self.accelerator.unwrap_model(self.model),
            "criterion": self.criterion,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "scaler": self.accelerator.scaler,
            "teacher": self.teacher,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def state(self):
        """Return the state of all parts: tensors and plain values."""
        return {name: part.state_dict() for name, part in self.stateful().items()}

    def load(self, checkpoint):
        """Go back to where `checkpoint` was written."""
        for name, part in self.stateful().items():
            if name in checkpoint:  # no loss scaler, where the run began in another precision
                part.load_state_dict(checkpoint[name])

    def run_epoch(self, epoch, seed, cam, num_classes, bar):
        """Run one epoch (from 1) -> its line for the log; all that is random follows from (seed,
        epoch).
        """
        began, self.batches.epoch = time.perf_counter(), epoch
        seed_everything(stable_seed(seed, "epoch", epoch))
        bare = self.accelerator.unwrap_model(self.model)
        bare.cam_scale = self.criterion.cam_scale if cam and "cam" in self.criterion.weights else 1
        line = {"epoch": epoch, "lr": self.schedule.get_last_lr()[0]}
        try:
            line |= self.train(cam, (epoch - 1) * len(self.batches), bar)
        except torch.cuda.OutOfMemoryError as error:
            raise UserError(
                "--batch_size: more than the GPU's memory holds; lower it, or --img_size"
            ) from error
        if self.own_norms:
            average_buffers([bare, *([self.teacher.average] if self.teacher else [])])
        line["images_per_second"] = (
            len(self.batches) * self.batches.batch_size / (time.perf_counter() - began)
        )
        found = validate(bare, self.val_loader, self.criterion, num_classes, self.accelerator, cam)
        stop_if_not_finite(
            epoch * len(self.batches), {k: v for k, v in found.items() if v is not None}
        )
        line |= found
        return line | {"seconds": time.perf_counter() - began}

    def train(self, cam, step, bar):
        """Train over the loader once -> {"loss": float, "terms": {term: float}}, means over all
        steps and processes.

        A loss that is not finite stops the run before it reaches the weights.
        """
        self.model.train()
        self.criterion.train()
        sums = {}
        for batch in self.loader:
            with self.accelerator.autocast():
                outputs = self.model(batch["image"])
            terms = self.criterion(outputs, batch["targets"], batch["image"], cam)
            if cam or not self.criterion.blind:
                teacher = (
                    self.teacher(batch["image"], self.accelerator.autocast)
                    if self.teacher
                    else None
                )
                terms |= self.criterion.extras(outputs, batch, teacher, step / self.steps)
            values, labelled = global_means(terms, self.accelerator)
            loss = self.criterion.combine(values, outputs, labelled)
            names = ["loss", *values]
            numbers = torch.stack([loss.detach(), *(v.detach() for v in values.values())]).tolist()
            stop_if_not_finite(step, dict(zip(names, numbers, strict=True)))
            self.optimizer.zero_grad(set_to_none=True)
            self.accelerator.backward(loss)
            for parameter in self.criterion.parameters():  # these few are not in the wrapped model
                if parameter.grad is not None:
                    parameter.grad = self.accelerator.reduce(parameter.grad, "mean")
            self.optimizer.step()
            self.schedule.step()
            if self.teacher:
                self.teacher.update(self.accelerator.unwrap_model(self.model))
            step += 1
            bar.update(1)
            for name, number in zip(names, numbers, strict=True):
                sums[name] = sums.get(name, 0.0) + number / len(self.loader)
        averages = self.accelerator.reduce(
            torch.tensor(list(sums.values()), device=self.accelerator.device), "mean"
        )
        averages = dict(zip(sums, averages.tolist(), strict=True))
        return {"loss": averages.pop("loss"), "terms": averages}


def stop_if_not_finite(step, values):
    """Raise `UserError` naming the step and the term that broke."""
    broken = [name for name, value in values.items() if value - value != 0]
    if broken:
        name = broken[-1]
        raise UserError(
            f"step {step}: the loss term '{name}' is {values[name]}; the last checkpoint is intact: "
            "lower the learning rate, or look at the labels of this signal"
        )


def validate(model, loader, criterion, num_classes, accelerator, cam):
    """Return {"val_loss", "val_miou", "weak_val_loss"}, exact means over the whole split and all
    processes.

    val_loss (cross-entropy) and val_miou use masks at the network's size and are None when the
    loader has none; weak_val_loss is the weighted sum of the run's own terms.
    """
    criterion.eval()
    sums, confusion = (
        {},
        torch.zeros(num_classes, num_classes, dtype=torch.long, device=accelerator.device),
    )
    for batch, outputs in predict(model, loader, accelerator.device, accelerator.autocast):
        terms = criterion(outputs, batch["targets"], batch["image"], cam)
        if "mask" in batch:
            terms["mask"] = criterion.of_masks(outputs, batch["mask"])
            confusion += confusion_matrix(largest(outputs["seg"], 1), batch["mask"], num_classes)
        for name, mean in terms.items():
            # Sums in double precision, on the CPU: not every accelerator has it.
            pair = torch.stack([mean.total.cpu().double(), mean.count.cpu().double()])
            sums[name] = sums.get(name, 0) + pair
    names = [*criterion.weights, "mask"]
    pairs = torch.stack([sums.get(name, torch.zeros(2, dtype=torch.double)) for name in names])
    if accelerator.num_processes > 1:
        pairs, confusion = (
            accelerator.reduce(pairs.to(accelerator.device)),
            accelerator.reduce(confusion),
        )
    values = {
        name: Mean(*pair).value.item()
        for name, pair in zip(names, pairs, strict=True)
        if pair[1] > 0
    }
    val_loss = values.pop("mask", None)
    val_miou = float(scores(confusion)["miou"]) if loader.dataset.masks else None
    return {"val_loss": val_loss, "val_miou": val_miou, "weak_val_loss": criterion.weighted(values)}


def warm_epochs(args, weights):
    """Return the number of epochs before the pseudo-masks of the network's own activation maps are
    used.
    """
    return min(round(args.cam_warmup * args.epochs), args.epochs - 1) if weights.get("cam") else 0


def fit(args, folder, checkpoint, training, describe, grow):
    """Train from the checkpoint's epoch to the last; log and save after each.

    grow: a function (training, term, number) that makes the pseudo-masks of a round
    """
    from tqdm import tqdm

    from weakseg.common import remove
    from weakseg.pseudo_masks.rounds import plan_rounds, settle_rounds
    from weakseg.training.checkpoints import (
        Log,
        leftovers,
        refuse_other_data,
        run_files,
        save_best,
        save_checkpoint,
    )
    from weakseg.training.tracking import start_tracking

    if checkpoint:
        refuse_other_data(checkpoint, describe, folder)
    folder.mkdir(parents=True, exist_ok=True)
    replaced = leftovers(folder) if checkpoint else run_files(folder)
    training.accelerator.wait_for_everyone()
    start_tracking(args, training.accelerator)
    log, best, first = Log(folder / "log.jsonl"), None, 0
    if checkpoint:
        training.load(checkpoint)
        best, first = checkpoint["best"], checkpoint["epoch"]
    main_process = training.accelerator.is_main_process
    plan = plan_rounds(args, training.criterion.weights)
    if main_process:
        if checkpoint:
            settle_rounds(args, plan, first)
        for path in replaced:
            remove(path)
        if checkpoint and checkpoint["selected"]:
            save_best(folder, checkpoint)
        log.keep_until(first)
    training.accelerator.wait_for_everyone()
    steps = len(training.batches)
    bar = tqdm(
        total=args.epochs * steps,
        initial=first * steps,
        desc=args.run_name,
        disable=not main_process,
    )
    for round_ in plan.get(0, ()) if first == 0 else ():
        grow(training, *round_)
    for epoch in range(first + 1, args.epochs + 1):
        cam = epoch > training.warm
        line = training.run_epoch(epoch, args.seed, cam, len(describe["task"]["classes"]), bar)
        score = line[args.select_by]
        # Before CAM masks exist the decoder is untrained, whatever its validation loss.
        line["selected"] = cam and (
            best is None or SELECTION[args.select_by](score, best) == score != best
        )
        best = score if line["selected"] else best
        for round_ in plan.get(epoch, ()):
            grow(
                training, *round_
            )  # before last.pt: a run that is killed meanwhile makes them anew
        if main_process:
            log.append(line)
            content = {
                **training.state(),
                "epoch": epoch,
                "best": best,
                "selected": line["selected"],
                **describe,
            }
            save_checkpoint(folder / "last.pt", content)
            if line["selected"]:
                save_best(folder, content)
            bar.write(summary(line, args.epochs))
        numbers = {k: v for k, v in line.items() if isinstance(v, float)}
        training.accelerator.log(
            numbers | {f"terms/{k}": v for k, v in line["terms"].items()}, step=epoch
        )
    bar.close()


def report(args, folder, lines):
    """Draw the curves of a finished run and say what to do next."""
    from weakseg.reporting.charts import loss_curves

    if not lines:
        print(f"{folder}: all epochs are done, but its log.jsonl is gone")
        return
    loss_curves(folder / "curves.png", lines)
    best = [line["epoch"] for line in lines if line["selected"]]
    print(
        f"{folder}: best.pt is epoch {best[-1] if best else None} of {args.epochs}; next: python evaluate.py "
        f"--checkpoint_dir {args.checkpoint_dir} --run_name {args.run_name}"
    )


def summary(line, epochs):
    """Return one line about an epoch."""
    terms = " ".join(f"{name} {value:.3f}" for name, value in line["terms"].items())
    val = " ".join(f"{k} {line[k]:.4f}" for k in SELECTION if line[k] is not None)
    return (
        f"epoch {line['epoch']}/{epochs}  loss {line['loss']:.4f} ({terms})  {val}  "
        f"{line['images_per_second']:.1f} img/s{'  *' * line['selected']}"
    )
