"""Batch norm of several processes: PyTorch's own on GPUs, each process's on CPUs."""

from types import SimpleNamespace

import pytest
import torch

from model import build_model
from weakseg.training.distributed import has_own_batch_norm, synchronised_batch_norm


@pytest.mark.parametrize("encoder", ["efficientnet-lite0", "resnet18"])
def test_synchronised_batch_norm_changes_no_name_and_no_prediction(encoder):
    torch.manual_seed(0)
    model = build_model(encoder, 2, 2, "none")
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    image = torch.randint(256, (1, 3, 64, 64), dtype=torch.uint8)
    names, before = list(model.state_dict()), model.eval()(image)["seg"]
    together = synchronised_batch_norm(model).eval()
    assert list(together.state_dict()) == names
    assert torch.equal(together(image)["seg"], before)
    kinds = {type(module) for module in together.modules()}
    assert not {torch.nn.BatchNorm2d} & kinds
    assert any(issubclass(kind, torch.nn.SyncBatchNorm) for kind in kinds)


@pytest.mark.parametrize(
    ("choice", "processes", "device", "own"),
    [
        ("global", 1, "cpu", False),
        ("local", 1, "cuda", False),
        ("global", 2, "cpu", True),
        ("local", 2, "cpu", True),
        ("global", 2, "cuda", False),
        ("local", 2, "cuda", True),
    ],
)
def test_each_process_has_its_own_on_cpus_or_on_demand(choice, processes, device, own):
    accelerator = SimpleNamespace(num_processes=processes, device=torch.device(device))
    assert has_own_batch_norm(choice, accelerator) == own
