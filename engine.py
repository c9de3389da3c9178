"""The loops: training, validation, prediction; shared by train.py and evaluate.py."""

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

import recipes
from batch_norm import average_buffers
from common import UserError, keep_freed_memory, seed_everything, stable_seed
from losses import Mean, UncertaintyWeighting, partial_cross_entropy
from metrics import confusion_matrix, largest, scores
from supervision import SIGNALS

CAM_SCALE = 1.5  # pseudo-masks come from images enlarged this much: at 128 px the maps have 12 x 12 cells, not 8 x 8


class Criterion(nn.Module):
    """The terms of all chosen signals and of the recipe, and the one line that weighs and sums them.

    weights: {term: float}; a term of weight 0 is left out. weighting: 'fixed', or 'uncertainty': the weights of the
    signals' terms are learned, then.
    """

    def __init__(self, signals, weights, options, weighting="fixed", recipe=recipes.DEFAULT):
        super().__init__()
        self.signals, self.options, self.recipe = signals, options, recipe
        self.weights = {term: weight for term, weight in weights.items() if weight > 0}
        self.added = [term for term in self.weights if term in recipes.TERMS]
        self.blind = tuple(signals) == ("tags",)  # nothing says where objects are until there are activation maps
        own = [term for term in self.weights if term not in recipes.TERMS]
        self.learned = UncertaintyWeighting(own) if weighting == "uncertainty" else None

    def forward(self, outputs, targets, image, cam=True):
        """Return {term: Mean} of the signals; the term `cam` only while `cam` is true.

        In evaluation mode boxes are never open: outside of them alone, a network that sees no object is the best.
        """
        options = self.options if self.training else replace(self.options, open_boxes=False)
        terms = {}
        for signal in self.signals:
            terms |= SIGNALS[signal].loss(outputs, targets[signal], image, options)
        return {name: mean for name, mean in terms.items() if name in self.weights and (cam or name != "cam")}

    def extras(self, outputs, batch, teacher, progress):
        """Return {term: Mean} of the recipe; teacher: softmax [B, C, H, W]; progress: share of the training, in [0, 1].

        All of them grow with the progress but those that are labels.
        """
        step, found = (
            recipes.Step(outputs, batch, teacher, self.options, self.recipe),
            {},
        )
        for name in self.added:
            mean = recipes.TERMS[name].loss(step)
            found[name] = Mean(mean.total * self.recipe.growth(name, progress), mean.count)
        return found

    def combine(self, values, outputs, labelled=None):
        """Return the loss to minimise, a scalar with a gradient even where nothing is labelled.

        labelled: {term: whether the batch has labels for it}; by default a term whose value is 0 has none.
        """
        if self.learned:
            own = [name for name in values if name in self.learned.log_variance]
            known = dict.fromkeys(own) if labelled is None else labelled
            values = values | {name: self.learned(name, values[name], known[name]) for name in own}
        return sum((w * values[n] for n, w in self.weights.items() if n in values), 0 * outputs["seg"].sum())

    def weighted(self, values):
        """Return the weighted sum of plain numbers, without learned weights: comparable between epochs."""
        return sum(self.weights[name] * value for name, value in values.items())


@dataclass
class Training:
    """Everything that changes while a run trains."""

    model: nn.Module
    criterion: Criterion
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
        """Run one epoch (from 1) -> its line for the log; all that is random follows from (seed, epoch)."""
        began, self.batches.epoch = time.perf_counter(), epoch
        seed_everything(stable_seed(seed, "epoch", epoch))
        bare = self.accelerator.unwrap_model(self.model)
        bare.cam_scale = CAM_SCALE if cam and "cam" in self.criterion.weights else 1
        line = {"epoch": epoch, "lr": self.schedule.get_last_lr()[0]}
        try:
            line |= self.train(cam, (epoch - 1) * len(self.batches), bar)
        except torch.cuda.OutOfMemoryError as error:
            raise UserError("--batch_size: more than the GPU's memory holds; lower it, or --img_size") from error
        if self.own_norms:
            average_buffers([bare, *([self.teacher.average] if self.teacher else [])])
        line["images_per_second"] = len(self.batches) * self.batches.batch_size / (time.perf_counter() - began)
        found = validate(bare, self.val_loader, self.criterion, num_classes, self.accelerator, cam)
        stop_if_not_finite(epoch * len(self.batches), {k: v for k, v in found.items() if v is not None})
        line |= found
        return line | {"seconds": time.perf_counter() - began}

    def train(self, cam, step, bar):
        """Train over the loader once -> {"loss": float, "terms": {term: float}}, means over all steps and processes.

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
                teacher = self.teacher(batch["image"], self.accelerator.autocast) if self.teacher else None
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
        averages = self.accelerator.reduce(torch.tensor(list(sums.values()), device=self.accelerator.device), "mean")
        averages = dict(zip(sums, averages.tolist(), strict=True))
        return {"loss": averages.pop("loss"), "terms": averages}


def make_accelerator(device="auto", amp=None, flag="--device", **options):
    """Return the 🤗 Accelerator for a device and precision; amp=None: half precision on CUDA, float32 elsewhere.

    flag: where the user gave the device, for the error message
    """
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.utils import DataLoaderConfiguration

    cuda = torch.cuda.is_available()
    there = {"auto": True, "cpu": True, "cuda": cuda, "mps": torch.backends.mps.is_available()}
    if not there[device]:
        raise UserError(f"{flag} {device}: not available here; use auto")
    on_cpu = device == "cpu" or not (cuda or there["mps"])
    if on_cpu:
        keep_freed_memory()
    half = "fp16" if cuda and torch.cuda.get_device_capability()[0] < 8 else "bf16"  # older GPUs emulate bf16, slowly
    try:
        return Accelerator(
            cpu=on_cpu,  # unless it is told so, Accelerate takes two processes without a GPU for two runs
            mixed_precision=half if amp or (amp is None and cuda and device in ("auto", "cuda")) else "no",
            dataloader_config=DataLoaderConfiguration(split_batches=True),
            # A run without tags never touches the tag head; batch norm sees to its buffers itself.
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)],
            **options,
        )
    except (ImportError, ValueError) as error:
        raise UserError(f"{flag} {device}, {options}: {error}") from error


def make_optimizer(model, criterion, steps, lr, decoder_lr_scale, weight_decay, warmup, encoder="unet.encoder"):
    """Return AdamW (encoder at `lr`, the rest faster, no decay on vectors) and its warm-up + cosine schedule.

    encoder: what the names of the encoder's parameters start with
    """
    groups = {}
    for name, p in [*model.named_parameters(), *criterion.named_parameters()]:
        scale = 1.0 if name.startswith(encoder) else decoder_lr_scale
        groups.setdefault((scale, weight_decay if p.ndim > 1 else 0.0), []).append(p)
    optimizer = torch.optim.AdamW(
        [{"params": ps, "lr": lr * scale, "weight_decay": decay} for (scale, decay), ps in groups.items()],
        fused=not torch.backends.mps.is_available(),
    )
    rise = max(1, round(warmup * steps))
    fall = max(1, steps - rise)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: (k + 1) / rise if k < rise else 0.5 * (1 + math.cos(math.pi * min(1, (k - rise) / fall)))
    )
    return optimizer, schedule


def to_device(batch, device):
    """Move a batch (nested dict of tensors) to the device."""
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    return batch.to(device, non_blocking=True)


def global_means(terms, accelerator):
    """Return ({term: value}, {term: whether any process has labels}).

    The values' gradients, averaged over processes, are those of the mean over the global batch.
    """
    counts = torch.cat([mean.count.float().flatten() for mean in terms.values()])
    counts = accelerator.reduce(counts, "mean") if accelerator.num_processes > 1 else counts
    counts = counts.split([mean.count.numel() for mean in terms.values()])
    found = {n: Mean(mean.total, c.view_as(mean.count)) for (n, mean), c in zip(terms.items(), counts, strict=True)}
    return {name: mean.value for name, mean in found.items()}, {name: mean.count > 0 for name, mean in found.items()}


def stop_if_not_finite(step, values):
    """Raise `UserError` naming the step and the term that broke."""
    broken = [name for name, value in values.items() if value - value != 0]
    if broken:
        name = broken[-1]
        raise UserError(
            f"step {step}: the loss term '{name}' is {values[name]}; the last checkpoint is intact: "
            "lower the learning rate, or look at the labels of this signal"
        )


@torch.no_grad()
def predict(model, loader, device, autocast):
    """Yield (batch, outputs) over a loader, in evaluation mode, outputs in float32 on the device."""
    model.eval()
    for batch in loader:
        batch = to_device(batch, device)
        with autocast():
            outputs = model(batch["image"])
        yield batch, {key: value.float() for key, value in outputs.items()}


def full_size_masks(model, loader, dataset, names, device, autocast):
    """Yield (id, predicted mask [H, W] uint8 at the original size, truth [H, W] uint8) over a loader of `names`."""
    for batch, outputs in predict(model, loader, device, autocast):
        for index, logits in zip(batch["index"].tolist(), outputs["seg"], strict=True):
            truth = dataset.mask(names[index])
            resized = F.interpolate(logits[None], size=truth.shape, mode="bilinear", align_corners=False)
            yield names[index], largest(resized[0], 0).byte().cpu().numpy(), truth


def validate(model, loader, criterion, num_classes, accelerator, cam):
    """Return {"val_loss", "val_miou", "weak_val_loss"}, exact means over the whole split and all processes.

    val_loss (cross-entropy) and val_miou use masks at the network's size and are None when the loader has none;
    weak_val_loss is the weighted sum of the run's own terms.
    """
    criterion.eval()
    sums, confusion = {}, torch.zeros(num_classes, num_classes, dtype=torch.long, device=accelerator.device)
    for batch, outputs in predict(model, loader, accelerator.device, accelerator.autocast):
        terms = criterion(outputs, batch["targets"], batch["image"], cam)
        if "mask" in batch:
            terms["mask"] = partial_cross_entropy(outputs["seg"], batch["mask"])
            confusion += confusion_matrix(largest(outputs["seg"], 1), batch["mask"], num_classes)
        for name, mean in terms.items():
            # Sums in double precision, on the CPU: not every accelerator has it.
            pair = torch.stack([mean.total.cpu().double(), mean.count.cpu().double()])
            sums[name] = sums.get(name, 0) + pair
    names = [*criterion.weights, "mask"]
    pairs = torch.stack([sums.get(name, torch.zeros(2, dtype=torch.double)) for name in names])
    if accelerator.num_processes > 1:
        pairs, confusion = accelerator.reduce(pairs.to(accelerator.device)), accelerator.reduce(confusion)
    values = {name: Mean(*pair).value.item() for name, pair in zip(names, pairs, strict=True) if pair[1] > 0}
    val_loss = values.pop("mask", None)
    val_miou = float(scores(confusion)["miou"]) if loader.dataset.masks else None
    return {"val_loss": val_loss, "val_miou": val_miou, "weak_val_loss": criterion.weighted(values)}
