"""What a run of the probe needs besides images and labels."""

from dataclasses import dataclass

from weakseg.training.flags import option

HEADS = ("auto", "linear", "small")


@dataclass(frozen=True)
class ProbeOptions:
    """How the probe sees photographs and learns from their pixels."""

    scale: float | None = option(
        None,
        "see photographs at this fraction of their original size, in tiles, instead of --img_size",
        type=float,
    )
    finest_stride: int = option(
        4, "finest features, frame pixels a cell; 2 for thin things", type=int, choices=(2, 4)
    )
    head: str = option(
        "auto",
        "linear, or one small hidden layer; auto: small where images have masks, with two classes "
        "2,000 pixels of them or more, and in the last fit with more than two classes",
        choices=HEADS,
    )
    penalty: float | None = option(
        None, "of the linear head's weights (default: by cross-validation over images)", type=float
    )
    rounds: int = option(2, "of self-training, where images have no mask", type=int)
    confidence: float = option(
        0.8, "a pixel is labelled by self-training from this probability on", type=float
    )
    pixels: int = option(60, "pixels of each image that masks and self-training label", type=int)
    edges: float | None = option(
        None,
        "radius, in longer sides of the photograph, within which predictions follow its edges; "
        "0: they do not (default: by the labels, the larger the things they show)",
        type=float,
    )
    views: int = option(
        2,
        "of a photograph that a prediction averages; 2: also the mirror image",
        type=int,
        choices=(1, 2),
    )

    def fits(self, all_masks: bool) -> int:
        """Return how many fits a run takes: one if all images have masks, else the rounds too."""
        return 1 if all_masks else 1 + self.rounds
