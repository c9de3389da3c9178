"""benchmarks/startup.py finds every script, none of which imports PyTorch for its `--help`."""

import os
import subprocess
import sys

import pytest

from benchmarks.startup import ROOT, scripts


@pytest.mark.parametrize("script", scripts())
def test_help_needs_no_heavy_import(script):
    """No stop-watch, which a busy machine would upset: what costs seconds is PyTorch and what
    stands on it.
    """
    code = (
        "import runpy, sys\n"
        f"sys.argv = [{script!r}, '--help']\n"
        f"try: runpy.run_path({script!r}, run_name='__main__')\n"
        "except SystemExit as done: assert not done.code\n"
        "heavy = {'torch', 'torchvision', 'transformers', 'segmentation_models_pytorch',"
        " 'skimage', 'sklearn'}\n"
        "print('heavy:', *sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert "usage:" in done.stdout and done.stderr.splitlines()[-1] == "heavy:"
