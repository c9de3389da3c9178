"""Edge-aware upsampling: predicted probabilities follow the edges of the photograph."""

import cv2
import numpy as np

SMOOTHNESS = 1e-3  # variance of grey values, in [0, 1], from which on an edge is one


def follow_edges(probabilities: np.ndarray, image: np.ndarray, radius: float) -> np.ndarray:
    """Return probabilities [C, H, W] float32 that change where a photograph [H, W, 3] uint8 does.

    This is the guided filter (He, Sun & Tang, "Guided image filtering", ECCV 2010): within each
    window the result is a linear function of the grey values. Maps that sum to 1 still do.

    radius: of the windows, in longer sides of the photograph; below a pixel nothing changes
    """
    pixels = round(radius * max(image.shape))
    if not pixels:
        return probabilities
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    window = (2 * pixels + 1, 2 * pixels + 1)
    mean = cv2.blur(grey, window)
    variance = cv2.blur(grey * grey, window) - mean * mean + SMOOTHNESS
    filtered = np.empty_like(probabilities)
    for one, result in zip(probabilities, filtered, strict=True):
        usual = cv2.blur(one, window)
        slope = (cv2.blur(grey * one, window) - mean * usual) / variance
        offset = usual - slope * mean
        result[:] = cv2.blur(slope, window) * grey + cv2.blur(offset, window)
    return filtered
