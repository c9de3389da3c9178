"""Results as evaluate.py writes them, of made-up predictions on drawn cats and dogs."""

import json
from types import SimpleNamespace

import numpy as np
from conftest import run

import analyze
from weakseg.common import write_json
from weakseg.data.datasets import Pets
from weakseg.evaluation.results import mask_name
from weakseg.evaluation.scoring import aggregate, score_image
from weakseg.reporting.pictures import write_mask

CLASSES = 3


def drawn_data(root):
    """Draw 12 + 12 images with cats and dogs as classes below a folder."""
    from weakseg.data.synthetic import draw_shapes

    draw_shapes(root / "data", trainval=12, test=12, size=64, seed=3)
    dataset = Pets(root / "data", ["species"], cache_dir=str(root / "cache"))
    return SimpleNamespace(root=root, dataset=dataset)


def perfect(mask, generator):
    return np.where(mask == 255, 0, mask).astype(np.uint8)


def erring(share, other=0.0):
    """Return a predictor that gives each pixel to the background with chance `share`, to the other
    class `other`.
    """

    def predict(mask, generator):
        chance, right = generator.random(mask.shape), perfect(mask, generator)
        wrong = np.where(right > 0, 3 - right, 0)
        return np.where(chance < share, 0, np.where(chance < share + other, wrong, right)).astype(
            np.uint8
        )

    return predict


def add_run(data, folder, name, predict, seed=0, modes=("points",), **changed):
    """Write a result as evaluate.py does, with the predictions of `predict`."""
    dataset, generator, images = data.dataset, np.random.default_rng([seed, len(modes)]), {}
    for image in dataset.ids("test"):
        mask = predict(dataset.mask(image), generator)
        write_mask(folder / name / mask_name(image), mask, CLASSES)
        images[image] = {
            **score_image(mask, dataset.mask(image), CLASSES),
            "tags": [*dataset.tags(image)],
            "mask": f"{name}/{mask_name(image)}",
        }
    args = {
        "data_dir": str(data.root / "data"),
        "dataset": "auto",
        "classes": ["species"],
        "tag_set": "default",
        "val_fraction": 0.1,
        "split_seed": 0,
        "cache_dir": str(data.root / "cache"),
        "run_name": name,
        "seed": seed,
        "epochs": 1,
        "modes": list(modes),
        "weak_label_path": "nowhere.pkl",
    }
    result = {
        "run": name,
        "supervision": list(modes),
        "aggregate": aggregate(images, 50),
        "images": images,
        "task": {"dataset": "pets", "classes": dataset.class_names, "tag_names": dataset.tag_names},
        "cost": {"images": 10, "seconds": {mode: 100.0 for mode in modes}, "relative": 1.0},
        "epoch": 1,
        "selection": {"by": "val_loss", "seconds": {}},
        "args": args,
        "commit": None,
        "fingerprint": dataset.fingerprint(),
        "test_fingerprint": dataset.test_fingerprint(),
    }
    write_json(folder / f"{name}.json", result | changed)


def smallest_result():
    """Return the content of a result file that has no more than it must: one image."""
    return {
        "run": "r",
        "supervision": ["points"],
        "task": {"dataset": "folder", "classes": ["background", "cat"], "tag_names": ["cat"]},
        "aggregate": {
            "miou": 0.5,
            "miou_interval": [0.4, 0.6],
            "iou": [0.5, None],
            "pixel_accuracy": 0.5,
            "boundary_f": None,
        },
        "cost": {"images": 1, "seconds": {"points": 3.0}},
        "selection": {"by": None, "seconds": {}},
        "args": {"run_name": "r", "modes": ["points"]},
        "fingerprint": "f",
        "images": {"a": {"miou": 0.5, "mask": "r/a.png"}},
    }


def analysed(results, output, a, b, *more):
    flags = [
        "--results_dir",
        results,
        "--output_dir",
        output,
        "--resamples",
        200,
        "--examples",
        0,
        *more,
    ]
    run(analyze, "--a", *a, "--b", *b, *flags)
    return json.loads((output / "analysis.json").read_text())
