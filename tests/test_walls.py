"""The walls of the house: who may import whom. Reads the imports of every module, lazy ones too."""

import ast
from pathlib import Path

import pytest
from conftest import ROOT

COMMANDS = {
    "download_data",
    "weak_label_generator",
    "train",
    "evaluate",
    "analyze",
    "study",
    "annotate",
    "labels",
    "predict",
}
FLAT = {"data_utils", "model", "losses"}
MODULES = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.py", "weakseg/**/*.py", "vlm_itl/**/*.py", "scripts/*.py", "benchmarks/*.py")
    for path in ROOT.glob(pattern)
)


def imports(path: Path) -> set[str]:
    """Return the dotted names that a module imports, anywhere in it; `from a import b` names both a
    and a.b.
    """
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rooms(path: Path) -> set[str]:
    """Return the first part of each imported name."""
    return {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_nobody_imports_a_command(path):
    assert not rooms(path) & COMMANDS


@pytest.mark.parametrize("path", [p for p in MODULES if p.parts[0] == "weakseg"], ids=str)
def test_the_workshop_knows_nothing_of_the_root(path):
    assert not rooms(path) & (FLAT | COMMANDS | {"vlm_itl", "scripts", "benchmarks", "tests"})


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.stem in FLAT and len(p.parts) == 1], ids=str
)
def test_the_flat_modules_stand_on_the_workshop_alone(path):
    assert not rooms(path) & (COMMANDS | {"vlm_itl", "scripts", "benchmarks", "tests"})


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.parts[:2] == ("weakseg", "labels")], ids=str
)
def test_labels_know_no_torch(path):
    assert not rooms(path) & {"torch", "torchvision"}


# Whoever stands further down may be imported by all above it.
FLOORS = [
    {"page"},
    {"planning"},
    {"evaluation"},
    {"training"},
    {"pseudo_masks"},
    {"inference"},
    {"learners", "losses"},
    {"reporting"},
    {"labels"},
    {"data"},
    {"metrics", "parallel", "validation", "command_line", "own_files", "plain_yaml"},
    {"common"},
    {"threads", "shortage", "parent", "hub_access"},
]


@pytest.mark.parametrize(
    "path", [p for p in MODULES if len(p.parts) > 1 and p.parts[0] == "weakseg"], ids=str
)
def test_the_workshop_imports_only_downward(path):
    floor = {room: number for number, rooms_of in enumerate(FLOORS) for room in rooms_of}
    own = path.parts[1].removesuffix(".py")
    if own == "__init__":
        return
    for name in imports(path):
        other = name.split(".")[1] if name.startswith("weakseg.") else own
        assert other == own or floor[other] > floor[own], f"{path} imports {name}"


def calls(path: Path) -> set[str]:
    """Return what a module calls, as it is written: "Image.open"."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_one_file_opens_pictures(path):
    """A stranger's picture may be a program: what is opened is decided in one place."""
    openers = {"Image.open", "PIL.Image.open", "cv2.imread", "plt.imread", "imageio.imread"}
    assert path == Path("weakseg/data/image_io.py") or not calls(path) & openers


def test_no_circle_of_imports():
    names = {str(p.with_suffix("")).replace("/", ".").removesuffix(".__init__"): p for p in MODULES}
    above = {name: imports(path) & names.keys() for name, path in names.items()}
    while leaves := [name for name, of in above.items() if not of & above.keys()]:
        for name in leaves:
            del above[name]
    assert not above, f"these import each other: {sorted(above)}"


def test_the_root_fits_on_a_screen():
    import subprocess

    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    entries = {line.split("/")[0] for line in listed.splitlines() if not line.startswith(".")}
    assert len(entries) <= 27, sorted(entries)


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.parts[0] in ("weakseg", "vlm_itl")], ids=str
)
def test_args_end_in_the_command(path):
    """Below it nobody takes a namespace; only what parses a command line returns one."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        taken = [*function.args.args, *function.args.kwonlyargs]
        kinds = [ast.unparse(a.annotation) for a in taken if a.annotation]
        assert not any(kind.endswith("Namespace") for kind in kinds), function.name
    assert not {"types.SimpleNamespace"} & imports(path)
