"""Clicks of real people (Bearman et al., What's the Point, ECCV 2016), and simulated ones of the
same number.

The file is JSON: {id: {"size": [w, h], "points": [{"x", "y", "cls", "rank"}, ...], "background":
[{"x", "y"}, ...]}}; x and y are pixels of an image of that size, cls is the number in the data
set's mask files, rank counts the clicks of a class from 1. Clicks on classes that the data set
leaves out are left out: nobody would have asked for them.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from weakseg.common import IGNORE, UserError
from weakseg.labels.annotators import central_pixel, click, random_pixels


class HumanClicks:
    """The clicks of one file; `outside` counts those that missed their image, which are left
    out.
    """

    def __init__(self, path):
        try:
            text = Path(path).read_bytes()
            self.images = json.loads(text)
        except (OSError, ValueError) as error:
            raise UserError(f"--clicks {path}: is no readable JSON file ({error})") from error
        if not isinstance(self.images, dict):
            raise UserError(f"--clicks {path}: must hold an object of image ids")
        self.path, self.digest = path, hashlib.sha256(text).hexdigest()[:16]
        self.outside = 0

    def points(self, dataset, name):
        """Return the clicks [[x, y, class], ...] on an image, in its own pixels: objects first,
        then the background.
        """
        width, height = dataset.image_size(name)
        try:
            entry = self.images[name]
            scale = np.array([width, height]) / entry["size"]
            table = dataset.lookup(name)
            places = [(p["x"], p["y"], int(table[p["cls"]])) for p in entry["points"]]
            places = [p for p in places if 0 < p[2] < IGNORE] + [
                (p["x"], p["y"], 0) for p in entry["background"]
            ]
            xy = np.array([p[:2] for p in places], float).reshape(-1, 2) * scale
        except KeyError as error:
            raise UserError(f"--clicks {self.path}: has no {error} for the image {name}") from error
        except (TypeError, ValueError, IndexError) as error:
            raise UserError(
                f"--clicks {self.path}: the entry of {name} is not of the documented form"
            ) from error
        inside = ((xy >= 0) & (xy < [width, height])).all(1)
        self.outside += int((~inside).sum())
        pairs = zip(
            xy[inside].tolist(), np.array([p[2] for p in places], int)[inside].tolist(), strict=True
        )
        return [[x, y, label] for (x, y), label in pairs]


def simulate_like(points, scene, rng):
    """Return simulated clicks, as many on each class as there are in `points`, by
    `annotators.click`.

    The objects of a class take turns, the largest first, and get their first click near the
    centroid. A class that the mask does not show, which only a wrong click claims, gets none.
    """
    found = []
    for label in dict.fromkeys(p[2] for p in points):
        count = sum(p[2] == label for p in points)
        regions = (
            scene.background
            if label == 0
            else [region for region in scene.objects if region.label == label]
        )
        if label == 0:
            aims = random_pixels(regions, count, rng)
        else:
            aims = [(region, central_pixel(region)) for region in regions[:count]]
            aims += random_pixels(regions, count - len(aims), rng)
        found += [click(region, point, scene, rng) for region, point in aims]
    return found
