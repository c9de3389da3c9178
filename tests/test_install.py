"""pip install . : a wheel that is built here holds all that weakseg and vlm_itl need."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest
import yaml
from conftest import ROOT

PARTS = ["weakseg", "vlm_itl", "data_utils.py", "losses.py", "model.py"]
FILES = ["pyproject.toml", "README.md", "LICENSE", "requirements.txt"]
USE = """
import sys, weakseg, vlm_itl, vlm_itl.loop
from weakseg import load
from weakseg.evaluation.report import TEMPLATE
from weakseg.labels.costs import FILE
assert all(sys.argv[1] in module.__file__ for module in (weakseg, vlm_itl)), weakseg.__file__
assert TEMPLATE.exists() and FILE.exists()
try:
    load("nowhere")
except weakseg.common.UserError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of the sources, built without the network."""
    pytest.importorskip("setuptools", minversion="77")
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "wheel"))
    for part in (*PARTS, *FILES):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, source / part)
    words = ["-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--no-index"]
    command = [sys.executable, *words, "--quiet", "--wheel-dir", target]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=120)
    return next(target.glob("*.whl"))


def test_the_wheel_has_every_module_and_no_command(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        path.relative_to(ROOT).as_posix()
        for part in PARTS
        for path in [ROOT / part, *(ROOT / part).rglob("*")]
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {name for name in names if ".dist-info/" not in name} == sources


def test_its_version_is_the_one_to_cite(wheel):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert wheel.name.startswith(f"weakseg-{citation['version']}-")


def test_what_is_installed_can_be_imported_elsewhere(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    ended = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path / "site")],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site"), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert "nowhere: no such checkpoint" in ended.stdout
