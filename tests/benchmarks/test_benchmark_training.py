"""The reference of benchmarks/training.py is a fair one: the same batches, losses and gradients as
train.py's.
"""

from types import SimpleNamespace

import torch

from benchmarks.training import TutorialImages, prepare, tutorial_epoch, tutorial_model
from weakseg.common import IGNORE


def test_the_tutorials_loop_learns_what_ours_does(pets_dir, tmp_path):
    args = SimpleNamespace(batch_size=4, images=4)
    training, dataset, names = prepare(args, pets_dir, 64, tmp_path)
    training.loader.dataset.augment = False
    training.batches.epoch = 1
    (batch,) = training.loader
    items = TutorialImages(dataset, names, 64, augment=False)
    images, masks = (
        torch.stack(parts)
        for parts in zip(*(items[i] for i in batch["index"].tolist()), strict=True)
    )
    torch.testing.assert_close(training.model.normalised(batch["image"]).contiguous(), images)
    assert torch.equal(batch["targets"]["full"].long(), masks) and (masks == IGNORE).any()

    reference = tutorial_model(training.model)
    assert all(
        torch.equal(a, b)
        for a, b in zip(reference.parameters(), training.model.unet.parameters(), strict=True)
    )
    # In float64, where only a wrong formula could make a difference: rounding grows through so many
    # layers.
    network, reference = training.model.double().train(), reference.double()
    still = SimpleNamespace(zero_grad=reference.zero_grad, step=lambda: None)
    batches = [(network.normalised(batch["image"]), masks)]
    (theirs,) = tutorial_epoch(
        reference, batches, torch.nn.CrossEntropyLoss(ignore_index=IGNORE), still
    )
    ours = training.criterion(network(batch["image"]), batch["targets"], batch["image"])[
        "full"
    ].value
    ours.backward()
    assert abs(ours.item() - theirs) < 1e-9
    for (name, parameter), other in zip(
        network.unet.named_parameters(), reference.named_parameters(), strict=True
    ):
        assert name == other[0]
        torch.testing.assert_close(parameter.grad, other[1].grad, rtol=1e-6, atol=1e-9)
