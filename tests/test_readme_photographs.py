"""The README's own photographs: from two tools' files to masks, with its commands, and no mask."""

import json
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
from conftest import ROOT, run

PLACES = ("data/bare", "labels/mine", "predictions/mine")


@pytest.fixture(scope="module")
def steps():
    """The command lines of the section, each as words."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("## Your own photographs")[1].split("\n## ")[0]
    lines = re.findall(r"`(python\sbenchmarks[^`]+)`", section.split("```")[0])
    lines += section.split("```bash")[1].split("```")[0].strip().splitlines()
    lines += re.findall(r"`(python\s[^`]+)`", section.split("```")[2])
    return [shlex.split(" ".join(line.split()))[1:] for line in lines]


def test_photographs_without_masks_become_masks_in_five_commands(steps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    scripts = [script for script, *_ in steps]
    assert scripts[0] == "benchmarks/bare_photographs.py" and scripts[-1] == "evaluate.py"
    assert scripts[1:-1] == ["labels.py", "labels.py", "train.py", "predict.py", "labels.py"]
    for script, *words in steps:
        if script == "evaluate.py":  # until here nobody has seen a mask
            seen = [path for place in PLACES[:2] for path in Path(place).rglob("*.png")]
            assert not seen and len([*Path("predictions/mine/masks").glob("*.png")]) == 40
        own = ["--device", "cpu"] if script in ("train.py", "predict.py", "evaluate.py") else []
        run(import_module(script.removesuffix(".py").replace("/", ".")), *words, *own)
    result = json.loads(Path("results/mine.json").read_text())
    assert len(result["images"]) == 40 and result["aggregate"]["miou"] >= 0.72
    assert "<points" in Path("labels/mine.xml").read_text()
