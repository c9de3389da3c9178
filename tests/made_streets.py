"""A folder without a background class, and with instances."""

import numpy as np
from PIL import Image


def streets(root, count=16, side=64, line="# No background"):
    """Lay out drawn streets: sky above, road below, and cars that touch, told apart by instances.

    Line 1 of classes.txt is sky: there is no background, as the line `line` says; "" leaves it out.
    """
    for folder in ("images", "masks", "instances"):
        (root / folder).mkdir(parents=True)
    names = [*([line] if line else []), "sky", "road", "car"]
    (root / "classes.txt").write_text("\n".join(names) + "\n")
    for number in range(count):
        rng = np.random.default_rng(number)
        mask, instances = np.zeros((side, side), np.uint8), np.zeros((side, side), np.uint16)
        horizon = int(rng.integers(20, 36))
        mask[horizon:] = 1
        left = int(rng.integers(4, 30))
        for car in range(2):
            place = np.s_[horizon + 4 : horizon + 14, left + 12 * car : left + 12 * (car + 1)]
            mask[place], instances[place] = 2, 300 + car
        mask[0, :3] = 255
        colours = np.array([(120, 180, 250), (90, 90, 90), (220, 40, 40)])[mask.clip(0, 2)]
        picture = (colours + rng.normal(0, 12, colours.shape)).clip(0, 255).astype(np.uint8)
        name = f"street {number}.png"
        for folder, values in (("images", picture), ("masks", mask), ("instances", instances)):
            Image.fromarray(values).save(root / folder / name)
    return root


def skies(root, count=12):
    """Lay out drawn skies without a background: sky everywhere, and a thing in front of it."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("# No background\nsky\nthing\n")
    y, x = np.mgrid[:60, :80]
    for number in range(count):
        rng = np.random.default_rng(number)
        mask = np.hypot(x - rng.integers(20, 60), y - rng.integers(20, 40)) < rng.integers(12, 18)
        colours = np.array([(110, 100, 120), (220, 60, 40)])[mask.astype(int)]
        picture = (colours + rng.normal(0, 8, colours.shape)).clip(0, 255).astype(np.uint8)
        for folder, values in (("images", picture), ("masks", mask.astype(np.uint8))):
            Image.fromarray(values).save(root / folder / f"sky {number}.png")
    return root
