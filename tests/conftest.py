"""Shared by the tests: a tiny drawn Pet data set, its weak labels, a caller for the CLIs, and
checks of figures.
"""

import itertools
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = (
    "1"  # before anything of Hugging Face is imported: no test may download
)

import cv2
import pytest
from fault_table import pytest_terminal_summary, tried  # noqa: F401 (pytest finds them here)
from hypothesis import settings

ROOT = Path(__file__).parent.parent

settings.register_profile("laws", deadline=None)  # a busy machine is no counterexample
settings.load_profile("laws")


def run(module, *argv):
    """Call a script's main as the shell would: `run(train, "--epochs", 1)`. Returns what main
    returns.
    """
    with patch.object(sys, "argv", [module.__name__, *map(str, argv)]):
        return module.main(module.parse_args())


def without_network(code, cache):
    """Run Python code from the project's root in its own process, with `cache` as an empty hub
    cache.
    """
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(cache)},
    )


@pytest.fixture(scope="session")
def pets_dir(tmp_path_factory):
    """A drawn Pet-layout data set: 24 trainval and 6 test images of cats and dogs, 80 px long.
    Don't write here.
    """
    from weakseg.data.synthetic import draw_shapes

    folder = tmp_path_factory.mktemp("pets")
    draw_shapes(folder, trainval=24, test=6, size=80, seed=0)
    return folder


@pytest.fixture(scope="session")
def pets_labels(pets_dir, tmp_path_factory):
    """The weak-label file of `pets_dir`."""
    import weak_label_generator

    path = tmp_path_factory.mktemp("weak_labels") / "train.pkl"
    run(weak_label_generator, "--data_dir", pets_dir, "--output_file", path, "--jobs", 1)
    return path


@pytest.fixture
def sheets(monkeypatch):
    """Collect each sheet that is saved, to measure what stands on it."""
    from weakseg.reporting import style

    saved, save = [], style.Sheet.save
    monkeypatch.setattr(
        style.Sheet, "save", lambda sheet, path: (saved.append(sheet), save(sheet, path))
    )
    return saved


def picture(path):
    """Return the PNG at `path` as RGB, uint8 [H, W, 3]."""
    image = cv2.imread(str(path))
    assert image is not None and image.shape[2] == 3
    return image[..., ::-1]


def assert_tidy(figure, texts):
    """No two `texts` overlap and none leaves the page."""
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in texts if text.get_text()]
    assert boxes
    for box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
    assert not any(first.overlaps(second) for first, second in itertools.combinations(boxes, 2))
