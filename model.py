"""Which network: encoders by name, where their ImageNet weights come from, trained networks.

    build_model     a new U-Net around any encoder, as ImageNet trained it or random
    model_from      the trained U-Net of a checkpoint, which `refuse_unfit` has looked at
    NewEncoder      a frozen encoder, whose features the probe learns from
    feature_store   those features, kept on disk

The parts stand in `weakseg/learners/`: the U-Net, with a head for tags, in `unet.py`, the probe in
`probe.py`, encoders in `encoders.py`, and what makes networks of them in `networks.py`. A trained
model of either kind is `weakseg.load("checkpoints/RUN")`.
"""

from weakseg.learners.encoders import NewEncoder, feature_store, load_imagenet, normalisation
from weakseg.learners.networks import (
    DECODER,
    NARROW,
    build_model,
    model_from,
    new_unet,
    refuse_unfit,
)
from weakseg.learners.wheels import WHEELS, Wheel

__all__ = [
    "DECODER",
    "NARROW",
    "WHEELS",
    "NewEncoder",
    "Wheel",
    "build_model",
    "feature_store",
    "load_imagenet",
    "model_from",
    "new_unet",
    "normalisation",
    "refuse_unfit",
]
