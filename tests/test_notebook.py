"""colab.ipynb: executed from its first cell to its last on the built-in data, in a copy of the project."""

import base64
import os
import shutil
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
MODES = ["points", "hybrid_tags_points"]
# In place of the notebook's own values: the same cells, in seconds instead of hours.
TINY = {
    "DATASET": "shapes", "DATA_DIR": "./data/shapes", "MODES": MODES, "EPOCHS": 1, "IMG_SIZE": 64, "BATCH_SIZE": 8,
    "DATA_OPTIONS": "--count_trainval 20 --count_test 4 --size 64",
}  # fmt: skip


def read():
    return nbformat.read(ROOT / "colab.ipynb", as_version=4)


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def test_the_notebook_is_valid_clean_and_starts_with_its_parameters():
    notebook = read()
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert tagged(notebook, "parameters") == code[:1]
    names = {}
    exec(code[0].source, names)
    assert set(TINY) <= set(names), "the test overrides a parameter that the notebook doesn't have"
    assert [cell.source for cell in tagged(notebook, "setup")] == ["!pip install -q -r requirements.txt"]


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The executed notebook and the folder it ran in: a copy of the project, without network, cached or user files."""
    folder = tmp_path_factory.mktemp("notebook")
    project, home = folder / "project", folder / "home"
    project.mkdir()
    for path in [*ROOT.glob("*.py"), ROOT / "requirements.txt"]:
        shutil.copy(path, project)
    notebook = read()
    notebook.cells = [cell for cell in notebook.cells if cell not in tagged(notebook, "setup")]
    tagged(notebook, "parameters")[0].source += "".join(f"\n{name} = {value!r}" for name, value in TINY.items())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        for variable in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
            patch.setenv(variable, str(home / variable.lower()))
        for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            patch.setenv(variable, "http://127.0.0.1:9")  # nobody answers there: a download would fail
        resources = {"metadata": {"path": str(project)}}
        nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    return notebook, project


def shown(cells, kind):
    """Return all outputs of the cells in one MIME type."""
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return [output.data[kind] for output in outputs if kind in output.get("data", {})]


def test_the_table_of_all_runs_is_shown(executed):
    notebook, project = executed
    assert shown(notebook.cells, "text/markdown") == [(project / "results/shapes/table.md").read_text()]
    rows = shown(notebook.cells, "text/markdown")[0].splitlines()
    assert "mIoU" in rows[0]
    assert [row.split()[1] for row in rows[2:]] == [*MODES, "all"]


def test_preview_and_both_figures_are_shown(executed):
    notebook, project = executed
    expected = ["weak_labels/shapes_preview.png", "results/shapes/comparison.png", "results/shapes/cost.png"]
    found = [base64.b64decode(image) for image in shown(notebook.cells, "image/png")]
    assert found == [(project / name).read_bytes() for name in expected]


def test_running_it_again_keeps_the_finished_runs(executed):
    notebook, project = executed
    train_cell = next(cell for cell in notebook.cells if cell.get("id") == "train")
    text = "".join(output.text for output in train_cell.outputs if output.output_type == "stream")
    assert text.count("epoch 1/1") == len(MODES) and "--resume auto" in train_cell.source
    assert {path.parent.name for path in project.glob("checkpoints/shapes/*/best.pt")} == set(MODES)
