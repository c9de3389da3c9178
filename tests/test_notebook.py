"""docs/colab.ipynb runs from its first cell to its last on drawn data, in a copy of the project."""

import base64
import os
import re
import shutil
import sys

import nbclient
import nbformat
import pytest
from conftest import ROOT

MODES = ["points", "hybrid_tags_points"]
# In place of the notebook's own values: the same cells, in seconds instead of hours.
TINY = {
    "DATASET": "shapes",
    "DATA_DIR": "./data/shapes",
    "MODES": MODES,
    "EPOCHS": 1,
    "IMG_SIZE": 64,
    "BATCH_SIZE": 8,
    "DATA_OPTIONS": "--count_trainval 20 --count_test 4 --size 64",
}


def read():
    return nbformat.read(ROOT / "docs" / "colab.ipynb", as_version=4)


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def test_the_notebook_is_valid_clean_and_starts_with_setup_and_parameters():
    notebook = read()
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    clone, install = tagged(notebook, "setup")
    assert code[:3] == [clone, install, *tagged(notebook, "parameters")]
    names = {}
    exec(code[2].source, names)
    assert set(TINY) <= set(names), "the test overrides a parameter that the notebook doesn't have"
    assert install.source == "!pip install -q -r requirements.txt"


def run_first_cell(source):
    """Run the cell in the current folder -> its lines for the shell, which are not run."""
    source = re.sub(r"^( *)([!%].*)$", r'\1shell.append("\2")', source, flags=re.MULTILINE)
    names = {"shell": []}
    exec(source, names)
    return names["shell"]


@pytest.mark.parametrize(("place", "shell"), [("train.py", []), ("../train.py", ["%cd .."])])
def test_the_first_cell_goes_to_the_project_where_the_notebook_lies_in_it(
    place, shell, tmp_path, monkeypatch
):
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "docs")
    (tmp_path / "docs" / place).touch()
    assert run_first_cell(tagged(read(), "setup")[0].source) == shell


def test_the_first_cell_clones_from_an_address_or_asks_for_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = tagged(read(), "setup")[0].source
    with pytest.raises(ValueError, match="REPOSITORY"):
        run_first_cell(source)
    assert run_first_cell(source.replace("/YOUR-NAME/", "/somebody/")) == [
        "!git clone --quiet --depth 1 {REPOSITORY} project",
        "%cd project",
    ]


@pytest.mark.parametrize("page", ["README.md", "docs/getting-started.md"])
def test_the_pages_clone_as_the_notebook_does(page):
    address = re.search(r'REPOSITORY = ".+?"', tagged(read(), "setup")[0].source)[0]
    fenced = (ROOT / page).read_text(encoding="utf-8").split("```")[1::2]
    (block,) = [block for block in fenced if "!git clone" in block]
    assert block.splitlines()[1:5] == [
        address,
        "!git clone --depth 1 {REPOSITORY} project",
        "%cd project",
        "!pip install -q -r requirements.txt",
    ]


def execute(notebook, project, home):
    """Run the notebook in `project`, without network and without the user's Jupyter files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        for variable in (
            "JUPYTER_DATA_DIR",
            "JUPYTER_RUNTIME_DIR",
            "JUPYTER_CONFIG_DIR",
            "IPYTHONDIR",
        ):
            folder = home / variable.lower()
            folder.mkdir(parents=True)
            patch.setenv(variable, str(folder))
        for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            patch.setenv(variable, "http://127.0.0.1:9")  # nobody answers: a download would fail
        resources = {"metadata": {"path": str(project)}}
        nbclient.NotebookClient(
            notebook, timeout=120, kernel_name="python3", resources=resources
        ).execute()


def shown(notebook, kind):
    """Return all outputs of the notebook in one MIME type."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.data[kind] for output in outputs if kind in output.get("data", {})]


def test_run_all_shows_the_table_and_the_figures(tmp_path):
    """One test, for it takes long: the setup is left out, everything else is as on Colab."""
    project = tmp_path / "project"
    project.mkdir()
    for path in ROOT.glob("*.*"):
        if path.is_file():
            shutil.copy(path, project)
    shutil.copytree(
        ROOT / "weakseg", project / "weakseg", ignore=shutil.ignore_patterns("__pycache__")
    )
    notebook = read()
    notebook.cells = [cell for cell in notebook.cells if cell not in tagged(notebook, "setup")]
    tagged(notebook, "parameters")[0].source += "".join(
        f"\n{name} = {value!r}" for name, value in TINY.items()
    )
    execute(notebook, project, tmp_path / "home")

    assert {path.parent.name for path in project.glob("checkpoints/shapes/*/best.pt")} == set(MODES)
    table = (project / "results/shapes/table.md").read_text()
    assert shown(notebook, "text/markdown") == [table]
    head, _, *rows = table.splitlines()
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert "mIoU" in head and [run for _, run, *_ in cells] == [*MODES, ""]
    assert cells[-1][0] == "All background"
    figures = [
        "weak_labels/shapes_preview.png",
        "results/shapes/comparison.png",
        "results/shapes/cost.png",
    ]
    found = [base64.b64decode(image) for image in shown(notebook, "image/png")]
    assert found == [(project / name).read_bytes() for name in figures]
