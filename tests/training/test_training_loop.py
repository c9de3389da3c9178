"""Laws of the loops: which parameters train how, how terms are summed, that validation doesn't
depend on batches.
"""

import math
from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data_utils import EpochBatches, InOrder, SegmentationItems, make_loader
from losses import Criterion
from model import build_model
from weakseg.common import UserError
from weakseg.data.cache import ResizedCache
from weakseg.labels.label_file import labels_for
from weakseg.learners.probe_unet import ProbeHead
from weakseg.losses.base import Mean
from weakseg.training.distributed import make_accelerator
from weakseg.training.loop import stop_if_not_finite, validate
from weakseg.training.optim import make_optimizer
from weakseg.training.recipes import LossOptions


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model("efficientnet-lite0", 2, 2, "none")


def criterion(signals=("points", "boxes"), weighting="fixed", **weights):
    return Criterion(signals, {s: 1.0 for s in signals} | weights, LossOptions((1, 1)), weighting)


def test_every_parameter_trains_once_and_only_matrices_decay(model):
    terms = criterion(weighting="uncertainty")
    optimizer, _ = make_optimizer(
        model, terms, steps=10, lr=0.1, decoder_lr_scale=3, weight_decay=0.5, warmup=0.1
    )
    rates = {}
    for group in optimizer.param_groups:
        for p in group["params"]:
            assert id(p) not in rates
            rates[id(p)] = group["initial_lr"]
            assert group["weight_decay"] == (0.5 if p.ndim > 1 else 0)
    for name, p in [*model.named_parameters(), *terms.named_parameters()]:
        assert rates[id(p)] == pytest.approx(0.1 if name.startswith("unet.encoder") else 0.3)
    assert sum(1 for _ in terms.parameters()) == 2


def test_a_probe_learns_as_slowly_as_the_encoder():
    parts = torch.nn.ModuleDict(
        {"probe_head": ProbeHead((3, 4), 2), "other": torch.nn.Linear(1, 1)}
    )
    optimizer, _ = make_optimizer(parts, torch.nn.Module(), 10, 0.1, 3.0, 0.0, 0.1)
    rates = {
        id(p): group["initial_lr"] for group in optimizer.param_groups for p in group["params"]
    }
    for name, p in parts.named_parameters():
        assert rates[id(p)] == pytest.approx(0.1 if name.startswith("probe_head") else 0.3)


@given(steps=st.integers(2, 200), warmup=st.floats(0, 0.9))
@settings(max_examples=20)
def test_the_rate_rises_then_falls_along_a_cosine(steps, warmup):
    parameter = torch.nn.Linear(1, 1)
    optimizer, schedule = make_optimizer(parameter, torch.nn.Module(), steps, 1.0, 1.0, 0.0, warmup)
    rates = []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    rise = max(1, round(warmup * steps))
    assert rates[rise - 1] == pytest.approx(1)
    assert all(a < b for a, b in pairwise(rates[:rise]))
    expected = [
        0.5 * (1 + math.cos(math.pi * k / max(1, steps - rise))) for k in range(steps - rise)
    ]
    assert rates[rise:] == pytest.approx(expected)


def test_the_loss_is_the_weighted_sum_of_its_terms():
    outputs = {"seg": torch.zeros(1, 2, 4, 4, requires_grad=True)}
    values = {"points": torch.tensor(2.0), "boxes": torch.tensor(3.0)}
    total = criterion(points=0.5, boxes=2.0).combine(values, outputs)
    assert total.item() == pytest.approx(0.5 * 2 + 2 * 3)
    total.backward()
    assert torch.equal(outputs["seg"].grad, torch.zeros(1, 2, 4, 4))
    left_out = criterion(points=1.0, boxes=0.0)
    assert set(left_out.weights) == {"points"}
    learned = criterion(weighting="uncertainty").combine(values, outputs)
    assert learned.item() == pytest.approx(5)  # log variances start at zero


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=4))
@settings(max_examples=30)
def test_only_finite_losses_pass(numbers):
    values = {f"t{k}": number for k, number in enumerate(numbers)}
    if all(map(math.isfinite, numbers)):
        stop_if_not_finite(7, values)
    else:
        with pytest.raises(UserError, match=r"step 7: .*t\d"):
            stop_if_not_finite(7, values)


def test_validation_does_not_depend_on_the_batches(model, pets_dir, pets_labels, tmp_path):
    """Means over all labelled pixels: not the mean of batch means, whatever the batch size; masks
    agree with numpy.
    """
    from weakseg.data.datasets import Pets

    dataset = Pets(pets_dir, cache_dir=tmp_path, val_fraction=0.3)
    ids = dataset.ids("val")
    labels = labels_for(pets_labels, dataset, ids, ("points", "scribbles"), pets_dir)
    cache = ResizedCache(tmp_path, 64)
    items = SegmentationItems(dataset, ids, cache, labels, ("points", "scribbles"), masks=True)
    terms, accelerator = criterion(("points", "scribbles")), make_accelerator("cpu")
    found = [
        validate(
            model, make_loader(items, InOrder(len(items), size)), terms, 2, accelerator, cam=True
        )
        for size in (1, 3, len(items))
    ]
    for other in found[1:]:
        for (
            name,
            value,
        ) in other.items():  # rounding may turn a pixel on the edge between two classes
            assert value == pytest.approx(found[0][name], rel=1e-3 if name == "val_miou" else 1e-5)
    batch = [items[0, k] for k in range(len(items))]
    with torch.no_grad():
        logits = model.eval()(torch.stack([item["image"] for item in batch]))["seg"].double()
    masks = torch.stack([item["mask"] for item in batch]).numpy()
    chance = torch.log_softmax(logits, 1).numpy()
    known = masks != 255
    picked = np.take_along_axis(chance, np.where(known, masks, 0)[:, None].astype(int), 1)[:, 0]
    assert found[0]["val_loss"] == pytest.approx(-picked[known].mean(), rel=1e-4)


def test_batches_of_an_epoch_hold_every_image_at_most_once_and_change():
    batches, orders = EpochBatches(23, 5, seed=0), []
    for epoch in (1, 2):
        batches.epoch = epoch
        keys = [key for batch in batches for key in batch]
        assert len(keys) == len(set(keys)) == 20 and {e for e, _ in keys} == {epoch}
        orders.append([i for _, i in keys])
    assert orders[0] != orders[1]
    assert [len(batch) for batch in EpochBatches(3, 8, seed=0)] == [3]
    shares = [[i for batch in InOrder(10, 2, first, 3) for _, i in batch] for first in range(3)]
    assert sorted(chain(*shares)) == list(range(10))


def test_a_term_without_labels_has_value_zero_and_a_gradient():
    x = torch.ones((), requires_grad=True)
    value = Mean(0 * x, torch.tensor(0)).value
    value.backward()
    assert value.item() == 0 and x.grad.item() == 0


@pytest.mark.parametrize("flag", ["--device", "training.device"])
def test_a_device_that_is_not_there_is_refused(flag):
    missing = "mps" if not torch.backends.mps.is_available() else "cuda"
    with pytest.raises(UserError, match=f"{flag} {missing}: not available here; use auto"):
        make_accelerator(missing, flag=flag)
