"""benchmarks/startup.py finds every script and stops train.py after its first step; no `--help` imports PyTorch."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks.startup import BATCH, PHASES, ROOT, STEP, scripts


@pytest.mark.parametrize("script", scripts())
def test_help_needs_no_heavy_import(script):
    """No stop-watch, which a busy machine would upset: what costs seconds is PyTorch and what stands on it."""
    code = (
        "import runpy, sys\n"
        f"sys.argv = [{script!r}, '--help']\n"
        f"try: runpy.run_path({script!r}, run_name='__main__')\n"
        "except SystemExit as done: assert not done.code\n"
        "heavy = {'torch', 'torchvision', 'transformers', 'segmentation_models_pytorch', 'skimage', 'sklearn'}\n"
        "print('heavy:', *sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    assert "usage:" in done.stdout and done.stderr.splitlines()[-1] == "heavy:"


def test_the_phases_follow_each_other_to_the_first_step(pets_dir, pets_labels, tmp_path):
    flags = ["--supervision_mode", "points", "--data_dir", pets_dir, "--weak_label_path", pets_labels, "--img_size", 64,
             "--cache_dir", tmp_path / "cache", "--checkpoint_dir", tmp_path, "--encoder_weights", "none"]  # fmt: skip
    command = [sys.executable, "benchmarks/startup.py", "--traced", *map(str, flags)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    ends = json.loads(done.stdout.splitlines()[-1])
    assert [*ends] == [*PHASES, BATCH, STEP]
    assert [*ends.values()] == sorted(ends.values())
    assert not list((tmp_path / "points").glob("*.pt"))
