"""The inner loops: one training epoch, validation, prediction; shared by train.py and evaluate.py."""

import torch
from torch import nn

from common import UserError
from losses import Mean, UncertaintyWeighting, partial_cross_entropy
from metrics import confusion_matrix, scores
from supervision import SIGNALS


class Criterion(nn.Module):
    """The terms of all chosen signals, and the one line that weighs and sums them.

    weights: {term: float}; a term of weight 0 is left out. weighting: 'fixed' or 'uncertainty' (then it has parameters).
    """

    def __init__(self, signals, weights, options, weighting="fixed"):
        super().__init__()
        self.signals, self.options = signals, options
        self.weights = {term: weight for term, weight in weights.items() if weight > 0}
        self.learned = UncertaintyWeighting(self.weights) if weighting == "uncertainty" else None

    def forward(self, outputs, targets, image, cam=True):
        """Return {term: Mean}; the term `cam` only while `cam` is true."""
        terms = {}
        for signal in self.signals:
            terms |= SIGNALS[signal].loss(outputs, targets[signal], image, self.options)
        return {name: mean for name, mean in terms.items() if name in self.weights and (cam or name != "cam")}

    def combine(self, values, outputs):
        """Return the loss to minimise, a scalar with a gradient even where nothing is labelled."""
        weigh = self.learned or (lambda name, value: value)
        return sum((w * weigh(n, values[n]) for n, w in self.weights.items() if n in values), 0 * outputs["seg"].sum())

    def weighted(self, values):
        """Return the weighted sum of plain numbers, without learned weights: comparable between epochs."""
        return sum(self.weights[name] * value for name, value in values.items())


def to_device(batch, device):
    """Move a batch (nested dict of tensors) to the device."""
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    return batch.to(device, non_blocking=True)


def train_one_epoch(model, loader, criterion, optimizer, scheduler, accelerator, cam, step, bar):
    """Train over the loader once -> {"loss": float, "terms": {term: float}}, means over the epoch and all processes.

    A loss that is not finite stops the run before it reaches the weights.
    """
    model.train()
    sums = {}
    for batch in loader:
        with accelerator.autocast():
            outputs = model(batch["image"])
        terms = criterion(outputs, batch["targets"], batch["image"], cam)
        values = global_means(terms, accelerator)
        loss = criterion.combine(values, outputs)
        logged = torch.stack([loss.detach(), *(v.detach() for v in values.values())]).tolist()
        stop_if_not_finite(step, dict(zip(["total", *values], logged, strict=True)))
        optimizer.zero_grad(set_to_none=True)
        accelerator.backward(loss)
        optimizer.step()
        scheduler.step()
        step += 1
        bar.update(1)
        for name, number in zip(["loss", *values], logged, strict=True):
            sums[name] = sums.get(name, 0.0) + number / len(loader)
    names = list(sums)
    means = accelerator.reduce(torch.tensor([sums[n] for n in names], device=accelerator.device), "mean").tolist()
    averages = dict(zip(names, means, strict=True))
    return {"loss": averages.pop("loss"), "terms": averages}


def global_means(terms, accelerator):
    """Return {term: value} whose gradients, averaged over processes, are those of the mean over the global batch."""
    if accelerator.num_processes == 1:
        return {name: mean.value for name, mean in terms.items()}
    counts = accelerator.reduce(torch.stack([mean.count.float() for mean in terms.values()]), "mean")
    return {name: mean.total / counts[i].clamp(min=1e-6) for i, (name, mean) in enumerate(terms.items())}


def stop_if_not_finite(step, values):
    """Raise `UserError` naming the step and the term that broke."""
    broken = [name for name, value in values.items() if value - value != 0]
    if broken:
        name = broken[-1]
        raise UserError(
            f"step {step}: the loss term '{name}' is {values[name]}; the last checkpoint is intact: "
            "lower --lr, or look at the labels of this signal"
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


def validate(model, loader, criterion, num_classes, accelerator, cam):
    """Return {"val_loss", "val_miou", "weak_val_loss"}, exact means over the whole split and all processes.

    val_loss (cross-entropy) and val_miou use masks at the network's size and are None when the loader has none;
    weak_val_loss is the weighted sum of the run's own terms.
    """
    sums, confusion = {}, torch.zeros(num_classes, num_classes, device=accelerator.device)
    for batch, outputs in predict(model, loader, accelerator.device, accelerator.autocast):
        terms = criterion(outputs, batch["targets"], batch["image"], cam)
        if "mask" in batch:
            terms["mask"] = partial_cross_entropy(outputs["seg"], batch["mask"])
            confusion += confusion_matrix(outputs["seg"].argmax(1), batch["mask"], num_classes)
        for name, mean in terms.items():
            old = sums.get(name, Mean(0.0, 0.0))
            sums[name] = Mean(old.total + mean.total.double(), old.count + mean.count.double())
    names = [*criterion.weights, "mask"]
    zero = torch.zeros((), dtype=torch.double, device=accelerator.device)
    pairs = torch.stack([torch.stack(list(sums.get(name, Mean(zero, zero)))) for name in names])
    pairs, confusion = accelerator.reduce(pairs), accelerator.reduce(confusion)
    values = {name: Mean(*pair).value.item() for name, pair in zip(names, pairs, strict=True) if pair[1] > 0}
    val_loss = values.pop("mask", None)
    val_miou = float(scores(confusion)["miou"]) if loader.dataset.masks else None
    return {"val_loss": val_loss, "val_miou": val_miou, "weak_val_loss": criterion.weighted(values)}
