"""The sections of a configuration that say what is trained on what: their keys and meanings."""

from typing import Literal

from pydantic import Field

from vlm_itl.settings import Section


class Data(Section):
    """Section `data`: which images, and how they are split."""

    source: str = Field(
        default="shapes",
        description=(
            "'shapes' (drawn), a folder (VOC, Oxford-IIIT Pet, your own), or a hub id (owner/name)"
        ),
    )
    hub_image: str = Field(default="image", description="hub: the column of photographs")
    hub_mask: str = Field(
        default="mask", description="hub: the column of masks (class numbers, or VOC's colours)"
    )
    hub_train: tuple[str, ...] = Field(
        default=("train",), description="hub: the splits to train on, and to hold some out of"
    )
    hub_test: str = Field(default="validation", description="hub: the split to test on")
    hub_classes: tuple[str, ...] = Field(
        default=(),
        description=(
            "hub: names of the mask's numbers, from 0; empty: those that its features or VOC's "
            "colours tell"
        ),
    )
    classes: tuple[str, ...] = Field(
        default=(), description="a subset of the classes, 'cat' or merged 'pet=cat+dog'; empty: all"
    )
    no_background: bool = Field(
        default=False,
        description="your own folder: line 1 of classes.txt is a class like any other",
    )
    mask_values: tuple[str, ...] = Field(
        default=(), description="masks of other tools: what their values mean, '255=blob'"
    )
    mask_ignore: str | None = Field(
        default=None, description="the value of masks that says nothing; null: 255"
    )
    page: int | None = Field(
        default=None, ge=1, description="of photographs with several pages: the one to read"
    )
    channels: tuple[int, ...] = Field(
        default=(), description="of photographs with many channels: the one or three to read"
    )
    value_range: tuple[float, ...] = Field(
        default=(),
        description="values that are shown black and white, deeper than 8 bits; empty: measured",
    )
    image_size: int = Field(
        default=128,
        ge=64,
        le=8192,
        multiple_of=32,
        description="side of the square that the network sees, pixels",
    )
    shapes_train: int = Field(
        default=240,
        ge=4,
        le=100_000,
        description="shapes: images to draw for training and validation",
    )
    shapes_test: int = Field(
        default=60, ge=2, le=100_000, description="shapes: images to draw for the test"
    )
    pool_limit: int | None = Field(
        default=None,
        ge=1,
        description="use only so many training images (chosen by a hash); null: all",
    )
    val_limit: int | None = Field(
        default=None, ge=1, description="use only so many validation images; null: all"
    )
    val_fraction: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="share of the training list that is held for validation",
    )
    split_seed: int = Field(default=0, description="seed of that split")
    data_dir: str = Field(default="./data", description="where drawn and downloaded data is kept")
    cache_dir: str = Field(
        default="./data/.cache", description="where decoded, resized images are kept"
    )
    cache_limit: float | None = Field(
        default=None, ge=0, description="most gigabytes that cache_dir may hold; null: no limit"
    )


class Model(Section):
    """Section `model`: the network."""

    network: Literal["auto", "probe"] = Field(
        default="auto",
        description=(
            "'auto': U-Net or SegFormer, as `name` says; 'probe': a pixel classifier on the frozen "
            "features of the encoder `name`, fitted in seconds"
        ),
    )
    name: str = Field(
        default="efficientnet-lite0",
        description="an encoder, 'segformer-tiny', a SegFormer's hub id, or its folder",
    )
    weights: str = Field(
        default="imagenet",
        description=(
            "'imagenet' (SegFormer: the hub's), 'none', or a file with an encoder's weights"
        ),
    )
    dropout: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="before the last layer, in training and for MC dropout; the probe has its own",
    )
    head: Literal["auto", "linear", "small"] = Field(
        default="auto",
        description=(
            "the probe's: 'linear', or 'small' for one hidden layer; 'auto': small where all "
            "labels are masks"
        ),
    )


class Training(Section):
    """Section `training`: one schedule for every round and every arm."""

    steps: int = Field(
        default=60,
        ge=1,
        le=10**7,
        description="optimiser steps a round, whatever the number of labels",
    )
    batch_size: int = Field(default=16, ge=1, le=65536, description="images a step")
    learning_rate: float = Field(default=3e-4, gt=0, le=10, description="peak rate of the encoder")
    decoder_lr_scale: float = Field(
        default=3.0, gt=0, le=1000, description="decoder and heads: learning_rate times this"
    )
    weight_decay: float = Field(default=0.01, ge=0, le=10, description="AdamW's")
    warmup: float = Field(
        default=0.05, ge=0, lt=1, description="share of the steps with a rising rate"
    )
    augment: bool = Field(default=True, description="crop, flip and recolour")
    select: Literal["last", "best"] = Field(
        default="last", description="weights to keep: 'last', or 'best' by val mIoU"
    )
    eval_steps: int | None = Field(
        default=None,
        ge=1,
        description="steps between validations and checkpoints; null: only at the end",
    )
    num_workers: int = Field(default=0, ge=0, le=256, description="loader processes")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="where to compute"
    )
    mixed_precision: bool | None = Field(
        default=None, description="half precision; null: on CUDA only"
    )
