"""How good predicted masks are: the metrics of one image, and those of a whole test split."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from weakseg.evaluation.statistics import bootstrap_miou
from weakseg.metrics import boundary_f, confusion_matrix, plain, scores


def score_image(prediction: np.ndarray, truth: np.ndarray, num_classes: int) -> dict[str, Any]:
    """Return the metrics of one predicted mask as plain values, None where a class is absent.

    prediction, truth: uint8 [H, W]; 255 in the truth is ignored
    """
    confusion = confusion_matrix(torch.from_numpy(prediction), torch.from_numpy(truth), num_classes)
    values = scores(confusion)
    return {
        "miou": plain(values["miou"]),
        "pixel_accuracy": plain(values["pixel_accuracy"]),
        "iou": plain(values["iou"]),
        "boundary_f": plain(boundary_f(prediction, truth, num_classes)),
        "confusion": confusion.tolist(),
    }


def aggregate(
    images: Mapping[str, Mapping[str, Any]], resamples: int, has_background: bool = True
) -> dict[str, Any]:
    """Return the metrics of a split from those of its images, which `score_image` returns.

    IoU and accuracy are over all pixels of the split, boundary F is averaged over images and the
    classes of objects. resamples: of the bootstrap interval over images; has_background: whether
    class 0 is one
    """
    confusions = np.array([image["confusion"] for image in images.values()])
    values = scores(confusions.sum(0))
    edges = np.array([image["boundary_f"] for image in images.values()], float)
    edges = edges[:, int(has_background) :]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a class that no image shows has no mean
        boundary = np.nanmean(edges, axis=0)
        overall = np.nanmean(boundary)
    return {
        "miou": plain(values["miou"]),
        "miou_interval": list(bootstrap_miou(confusions, resamples=resamples)),
        "iou": plain(values["iou"]),
        "pixel_accuracy": plain(values["pixel_accuracy"]),
        "boundary_f": plain(overall),
        "boundary_f_classes": plain(boundary),
    }
