"""Shared fixtures: a tiny drawn Pet data set with its weak labels, and a caller for the command-line tools."""

import os
import sys
from unittest.mock import patch

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest


def run(module, *argv):
    """Call a script's main as the shell would: `run(train, "--epochs", 1)`. Returns what main returns."""
    with patch.object(sys, "argv", [module.__name__, *map(str, argv)]):
        return module.main(module.parse_args())


@pytest.fixture(scope="session")
def pets_dir(tmp_path_factory):
    """A drawn Pet-layout data set: 24 trainval and 6 test images of cats and dogs, longer side 80 px. Don't write here."""
    from shapes import draw_shapes

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
