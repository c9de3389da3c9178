"""Clicks of real people, and simulated ones of the same number.

The clicks are those of Bearman et al., What's the Point: Semantic Segmentation with Point
Supervision, ECCV 2016. The file is JSON:

    {id: {"size": [w, h],
          "points": [{"x", "y", "cls", "rank"}, ...],
          "background": [{"x", "y"}, ...]}}

x and y are pixels of an image of that size, cls is the number in the data set's mask files, rank
counts the clicks of a class from 1. Clicks on classes that the data set leaves out are left out:
nobody would have asked for them. So are those on the background where the data set has none.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from weakseg.common import IGNORE, UserError, evenly
from weakseg.data.base import SegmentationDataset
from weakseg.data.ids import check_ids
from weakseg.labels.agreement import gainsaid
from weakseg.labels.annotators import Point, Scene, central_pixel, click, random_pixels
from weakseg.labels.checks import whole

FEW = 50  # images whose clicks are compared with their masks


class HumanClicks:
    """The clicks in one file, checked when an image's clicks are asked for.

    digest    a short hash of the file
    outside   number of clicks so far that missed their image, which are left out
    unknown   number of those whose class is none that masks can show, left out too
    """

    def __init__(self, path: str | Path) -> None:
        try:
            text = Path(path).read_bytes()
            self.images = json.loads(text)
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"--clicks {path}: is no readable JSON file ({error})") from error
        if not isinstance(self.images, dict):
            raise UserError(f"--clicks {path}: must hold an object of image ids")
        check_ids(self.images, f"--clicks {path}")
        self.path, self.digest = path, hashlib.sha256(text).hexdigest()[:16]
        self.outside, self.unknown = 0, 0

    def points(self, dataset: SegmentationDataset, name: str) -> list[Point]:
        """Return the clicks [[x, y, class], ...] on an image, in its own pixels.

        Clicks on objects come first, then those on the background. Raises `UserError` where the
        file has no clicks for the image, or not in the documented form.
        """
        width, height = dataset.image_size(name)
        try:
            entry, table = self.images[name], dataset.lookup(name)
            numbers = [whole(p["cls"], "'cls'") for p in entry["points"]]
            across, down = entry["size"]
            if not all(0 <= number < len(table) for number in numbers) or min(across, down) <= 0:
                raise ValueError("a number of a class, or a size, that masks can't have")
            scale = width / across, height / down
            classes = table[numbers].tolist()
            clicks = [(p["x"], p["y"], c) for p, c in zip(entry["points"], classes, strict=True)]
            clicks = [p for p in clicks if int(dataset.has_background) <= p[2] < IGNORE]
            behind = entry["background"] if dataset.has_background else []
            clicks += [(p["x"], p["y"], 0) for p in behind]
            xy = np.array([p[:2] for p in clicks], float).reshape(-1, 2) * scale
        except KeyError as error:
            raise UserError(f"--clicks {self.path}: has no {error} for the image {name}") from error
        except (TypeError, ValueError, IndexError) as error:
            raise UserError(
                f"--clicks {self.path}: the entry of {name} is not of the documented form"
            ) from error
        inside = ((xy >= 0) & (xy < [width, height])).all(1)
        self.outside += int((~inside).sum())
        self.unknown += sum(label < 0 for label in classes)
        return [
            [x, y, label]
            for (x, y), (*_, label), there in zip(xy.tolist(), clicks, inside, strict=True)
            if there
        ]

    def lines(
        self, dataset: SegmentationDataset, people: Mapping[str, Sequence[Point]]
    ) -> Iterator[str]:
        """Yield a line for each thing that doesn't fit the data set.

        people: {id: clicks} of images that have masks
        """
        if self.outside:
            yield f"{self.path}: {self.outside} clicks beside their image are left out"
        if self.unknown:
            yield (
                f"{self.path}: {self.unknown} clicks of classes that masks can't show are left "
                "out; 'cls' is the number in masks"
            )
        bare = [name for name in people if not people[name]]
        if bare:
            yield (
                f"{self.path}: {len(bare)} of {len(people)} images have no click, the first is "
                f"{bare[0]}"
            )
        looked_at = evenly([name for name in people if people[name]], FEW)
        denied = [
            (name, click)
            for name in looked_at
            for click in gainsaid(
                {"size": dataset.image_size(name), "points": people[name]}, dataset.mask(name)
            )
        ]
        if denied:
            name, first = denied[0]
            count = sum(len(people[key]) for key in looked_at)
            yield (
                f"{self.path}: {len(denied)} of {count} clicks "
                f"that were looked at lie where the mask shows another class, the first is {first} "
                f"of {name}; people miss some in twenty"
            )


def simulate_like(
    points: Sequence[Sequence[float]], scene: Scene, rng: np.random.Generator
) -> list[Point]:
    """Return simulated clicks, as many on each class as `points` [[x, y, class], ...] have.

    The objects of a class take turns, the largest first, and get their first click near the
    centroid. A class that the mask does not show, which only a wrong click claims, gets none.
    """
    simulated = []
    for label in dict.fromkeys(point[2] for point in points):
        count = sum(point[2] == label for point in points)
        if label == 0 and scene.has_background:
            aims = random_pixels(scene.background, count, rng)
        else:
            regions = [region for region in scene.objects if region.label == label]
            aims = [(region, central_pixel(region)) for region in regions[:count]]
            aims += random_pixels(regions, count - len(aims), rng)
        simulated += [click(region, aim, scene, rng) for region, aim in aims]
    return simulated
