"""Features of image cells, from an encoder that is never trained."""

import numpy as np

GRID = 16  # an image is read as GRID x GRID cells


class FrozenEncoder:
    """Multi-scale features of a pretrained network whose weights stay as they are."""

    def __init__(self, name: str, weights: str, size: int) -> None:
        """Build the encoder.

        name: any encoder of `model.build_model`; weights: 'imagenet', 'none', or a file
        size: side in pixels of the square that the encoder sees, a multiple of 32
        """
        import torch

        from model import build_model

        # Building draws random numbers. A fork keeps those of the run where they are.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = build_model(name, 2, 1, weights).eval()
        self.encoder = network.unet.encoder
        self.mean, self.std, self.size = network.mean, network.std, size

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the features [GRID * GRID, F] float32 of an image [S, S, 3] uint8.

        A row is a cell: the encoder's stages from the second on, averaged or interpolated to the
        grid, and five numbers that tell where the cell lies.
        """
        import torch
        import torch.nn.functional as F

        side = (self.size, self.size)
        with torch.inference_mode():
            pixels = torch.tensor(image).permute(2, 0, 1)[None].float()
            pixels = F.interpolate(pixels, size=side, mode="bilinear", align_corners=False)
            stages = self.encoder(((pixels - self.mean) / self.std).contiguous())[2:]
            parts = []
            for stage in stages:
                if stage.shape[-1] >= GRID:
                    cells = F.adaptive_avg_pool2d(stage, GRID)
                else:
                    cells = F.interpolate(
                        stage, size=(GRID, GRID), mode="bilinear", align_corners=False
                    )
                parts.append(cells[0])
            ticks = torch.linspace(-1, 1, GRID)
            y, x = torch.meshgrid(ticks, ticks, indexing="ij")
            parts.append(torch.stack([x, y, x * y, x * x, y * y]))
            return torch.cat(parts).flatten(1).T.contiguous().numpy()


def class_shares(truth: np.ndarray, classes: int) -> np.ndarray:
    """Return the share of each class in each cell, [GRID * GRID, C] float32, of a mask [S, S].

    Ignored pixels belong to no class, so a row may sum to less than 1.
    """
    import torch
    import torch.nn.functional as F

    layers = torch.tensor(np.stack([truth == label for label in range(classes)])).float()
    return F.adaptive_avg_pool2d(layers, GRID).flatten(1).T.contiguous().numpy()
