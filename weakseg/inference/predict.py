"""A trained network's predictions over a loader, at the network's size or the photograph's."""

import torch
import torch.nn.functional as F

from weakseg.metrics import largest


def to_device(batch, device):
    """Move a batch (nested dict of tensors) to the device."""
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    return batch.to(device, non_blocking=True)


@torch.no_grad()
def predict(model, loader, device, autocast):
    """Yield (batch, outputs) over a loader, in evaluation mode, outputs in float32 on the
    device.
    """
    model.eval()
    for batch in loader:
        batch = to_device(batch, device)
        with autocast():
            outputs = model(batch["image"])
        yield batch, {key: value.float() for key, value in outputs.items()}


def full_size_masks(model, loader, dataset, names, device, autocast):
    """Yield (id, predicted mask [H, W] uint8 at the original size, truth [H, W] uint8) over a
    loader of `names`.
    """
    for batch, outputs in predict(model, loader, device, autocast):
        for index, logits in zip(batch["index"].tolist(), outputs["seg"], strict=True):
            truth = dataset.mask(names[index])
            resized = F.interpolate(
                logits[None], size=truth.shape, mode="bilinear", align_corners=False
            )
            yield names[index], largest(resized[0], 0).byte().cpu().numpy(), truth
