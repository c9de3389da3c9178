"""What a command names wrongly is said before anything large is loaded."""

import subprocess
import sys

from conftest import ROOT

CODE = """
import sys
from vlm_itl import pipelines
from weakseg.common import UserError

for words in {names}:
    try:
        pipelines.load("configs/active_learning_config.yaml", words)
    except UserError as error:
        print(error)
print("torch" in sys.modules)
"""
NAMES = {
    "active_learning.strategy=margn": "active_learning.strategy 'margn': ",
    "vlm_itl.vlm_handler=confidant": "vlm_itl.vlm_handler 'confidant': ",
    "model.name=nvidia/no-such-model": "model.name nvidia/no-such-model: is on this machine in no ",
    "model.weights=weights.pt": "model.weights weights.pt: no such file",
}


def test_wrong_names_are_told_before_torch_is_loaded():
    code = CODE.format(names=[[name] for name in NAMES])
    environment = {"HF_HUB_OFFLINE": "1", "HOME": "/nowhere"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *lines, is_loaded = done.stdout.splitlines()
    assert is_loaded == "False" and len(lines) == len(NAMES)
    for line, begins in zip(lines, NAMES.values(), strict=True):
        assert line.startswith(begins)
