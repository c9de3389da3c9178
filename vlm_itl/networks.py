"""The networks of a run: built as the config says, and kept as a file for each round and member."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from vlm_itl.sections import Data, Model
from vlm_itl.training.checkpoints import load_strictly, packed
from vlm_itl.training.probe import build_probe
from vlm_itl.training.segformer import build_network
from weakseg.common import UserError, atomic_path
from weakseg.data.base import SegmentationDataset
from weakseg.planning.ledger import digest


def round_folder(folder: Path, number: int) -> Path:
    """Return the folder of a round, below that of its run."""
    return folder / f"round_{number:02d}"


class NetworkStore:
    """Builds, writes and reads the networks of one run, on a device.

    The ledger knows each file by its digest, so weights that changed since are refused.
    """

    def __init__(
        self,
        model: Model,
        data: Data,
        dataset: SegmentationDataset,
        folder: Path,
        device: torch.device,
    ) -> None:
        self.model, self.data, self.dataset = model, data, dataset
        self.folder, self.device = folder, device

    def build(self) -> nn.Module:
        """Return a network as the config describes it, before any training."""
        names, tags = self.dataset.class_names, self.dataset.tag_names
        if self.model.network == "probe":
            return build_probe(self.model, self.data, len(names), self.device).to(self.device)
        return build_network(self.model, names, len(tags)).to(self.device)

    def path(self, number: int, member: int) -> Path:
        """Return the file of one network of a round."""
        return round_folder(self.folder, number) / f"model_{member}.safetensors"

    def save(self, network: nn.Module, number: int, member: int) -> str:
        """Write a trained network -> the digest of its file."""
        path = self.path(number, member)
        with atomic_path(path) as temporary:
            save_file(packed(network.state_dict()), temporary)
        return digest(path)

    def load(self, number: int, digests: Sequence[str]) -> list[nn.Module]:
        """Return the trained networks of a round, in evaluation mode."""
        networks = []
        for member, expected in enumerate(digests):
            path = self.path(number, member)
            if not path.exists() or digest(path) != expected:
                raise UserError(
                    f"{path}: is missing or not what this run wrote; "
                    f"restore it, or delete {self.folder}"
                )
            network = self.build()
            load_strictly(network, path)
            networks.append(network.eval())
        return networks
