"""A network folded for CPUs gives what it gave before."""

import pytest
import torch

from model import build_model
from weakseg.inference.fast_cpu import folded


@pytest.fixture
def images():
    return torch.randint(
        0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@pytest.mark.parametrize(
    "encoder", ["efficientnet-lite0", "resnet18", "densenet121", "tu-mobilenetv3_small_100"]
)
def test_a_network_without_its_batch_norms_says_the_same(encoder, images):
    torch.manual_seed(0)
    network = build_model(encoder, 3, 2, weights="none").double()
    for _ in range(3):  # so that means and variances are no longer 0 and 1
        network(images)
    faster = folded(network, 64)
    wanted, found = network(images), faster(images)
    assert all(torch.allclose(found[name], wanted[name], rtol=1e-8, atol=1e-10) for name in wanted)
    norms = [
        sum(isinstance(m, torch.nn.BatchNorm2d) for m in each.modules())
        for each in (network, faster)
    ]
    assert norms[1] < norms[0] / 2 and network is not faster
    if encoder == "efficientnet-lite0":
        assert norms[1] == 0
        assert not any(type(m).__name__ == "Conv2dSame" for m in faster.modules())


def test_a_batch_norm_that_does_not_follow_its_neighbour_stays():
    class Before(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.norm = torch.nn.Conv2d(3, 3, 3), torch.nn.BatchNorm2d(3)
            self.register_buffer("mean", torch.zeros(()))

        def forward(self, image):
            return {"seg": self.convolution(self.norm(image.float()))}

    network = Before()
    network.norm.running_mean.fill_(100)
    assert folded(network, 64) is network
