"""benchmarks/training.py compares like with like: the tutorial has our batches, loss, gradients."""

from types import SimpleNamespace

import torch

from benchmarks.training import ENCODER, TutorialImages, tutorial_epoch, tutorial_model
from data_utils import InOrder, SegmentationItems, make_loader
from losses import SIGNAL_LOSSES
from model import build_model
from weakseg.common import IGNORE
from weakseg.data.cache import ResizedCache
from weakseg.data.datasets import Pets
from weakseg.training.recipes import LossOptions


def test_the_tutorials_loop_learns_what_ours_does(pets_dir, tmp_path):
    dataset = Pets(pets_dir, cache_dir=tmp_path)
    names = dataset.ids("train")[:4]
    labels = {name: {"size": dataset.image_size(name), "full": {}} for name in names}
    items = SegmentationItems(dataset, names, ResizedCache(tmp_path, 64), labels, ("full",))
    (batch,) = make_loader(items, InOrder(4, 4))
    theirs = TutorialImages(dataset, names, 64, augment=False)
    images, masks = (torch.stack(parts) for parts in zip(*theirs, strict=True))
    model = build_model(ENCODER, len(dataset.class_names), len(dataset.tag_names))
    torch.testing.assert_close(model.normalised(batch["image"]).contiguous(), images)
    assert torch.equal(batch["targets"]["full"].long(), masks) and (masks == IGNORE).any()

    reference = tutorial_model(model)
    assert all(
        torch.equal(a, b)
        for a, b in zip(reference.parameters(), model.unet.parameters(), strict=True)
    )
    # In float64, where only a wrong formula could make a difference: rounding grows through so many
    # layers.
    network, reference = model.double().train(), reference.double()
    still = SimpleNamespace(zero_grad=reference.zero_grad, step=lambda: None)
    batches = [(network.normalised(batch["image"]), masks)]
    criterion = torch.nn.CrossEntropyLoss(ignore_index=IGNORE)
    (their_loss,) = tutorial_epoch(reference, batches, criterion, still)
    options = LossOptions(tuple(dataset.tag_class))
    our_loss = SIGNAL_LOSSES["full"](network(batch["image"]), batch["targets"]["full"], options)[
        "full"
    ].value
    our_loss.backward()
    assert abs(our_loss.item() - their_loss) < 1e-9
    for (name, parameter), other in zip(
        network.unet.named_parameters(), reference.named_parameters(), strict=True
    ):
        assert name == other[0]
        torch.testing.assert_close(parameter.grad, other[1].grad, rtol=1e-6, atol=1e-9)
