"""Files that would run code when they are read carelessly: none of it runs."""

import builtins
import io
import os
import pickle
import shutil
import subprocess
import zipfile

import numpy as np
import pytest
import torch
from outcomes import outcome

import evaluate
import train
import weak_label_generator
from scripts import train_baseline


def calls(marker):
    """Return {name: (function, arguments)} of calls that leave a file behind."""
    code = f"open({str(marker)!r}, 'w').close()"
    return {
        "os.system": (os.system, (f"touch {marker}",)),
        "exec": (builtins.exec, (code,)),
        "eval": (builtins.eval, (f"__import__('os').system('touch {marker}')",)),
        "Popen": (subprocess.Popen, (["touch", str(marker)],)),
        "os.mkdir": (os.mkdir, (str(marker),)),
        "open": (io.open, (str(marker), "w")),
    }


class Hostile:
    """An object whose pickle makes a call when it is read."""

    def __init__(self, call):
        self.call = call

    def __reduce__(self):
        return self.call


def as_pickle(call, path):
    path.write_bytes(pickle.dumps({"header": Hostile(call), "images": {}}))


def as_checkpoint(call, path):
    torch.save({"model": {}, "args": Hostile(call), "task": {}}, path)


def as_old_checkpoint(call, path):
    torch.save({"model": Hostile(call)}, path, _use_new_zipfile_serialization=False)


def as_array(call, path):
    with path.open("wb") as file:
        np.save(file, np.array([Hostile(call)], dtype=object), allow_pickle=True)


def as_archive(call, path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Hostile(call)))
        file.writestr("archive/version", "3\n")


def as_yaml(call, path):
    function, arguments = call
    name = f"{function.__module__}.{function.__name__}"
    path.write_text(f"!!python/object/apply:{name} {[*arguments]!r}\n")


QUICK = ("labels", "prices")
SLOW = ("shards", "last.pt", "best.pt", "weights", "clicks", "config")


@pytest.mark.parametrize("call", calls(""))
@pytest.mark.parametrize(
    "kind", [*QUICK, *(pytest.param(kind, marks=pytest.mark.slow) for kind in SLOW)]
)
def test_no_code_of_a_file_runs(call, kind, pets_dir, pets_labels, tmp_path, capsys, tried):
    marker = tmp_path / "ran"
    harm = calls(marker)[call]
    runs = tmp_path / "runs" / "r"
    runs.mkdir(parents=True)
    data = ["--data_dir", pets_dir, "--cache_dir", tmp_path / "cache", "--device", "cpu"]
    words = ["--supervision_mode", "points", "--run_name", "r", *data]
    words += ["--checkpoint_dir", tmp_path / "runs"]
    labels = ["--weak_label_path", pets_labels]
    scored = ["--checkpoint_dir", tmp_path / "runs", "--results_dir", tmp_path / "results"]
    number = 0
    for form in forms_of(kind):
        path = tmp_path / f"hostile{number}"
        form(harm, path)
        if kind == "labels":
            module, argv = train, [*words, "--weak_label_path", path]
        elif kind == "shards":
            folder = tmp_path / f"shards{number}"
            folder.mkdir()
            shutil.copy(path, folder / "index.json")
            shutil.copy(path, folder / "00000.parquet")
            module, argv = train, [*words, "--weak_label_path", folder]
        elif kind == "last.pt":
            shutil.copy(path, runs / "last.pt")
            module, argv = train, [*words, *labels, "--resume"]
        elif kind == "best.pt":
            shutil.copy(path, runs / "best.pt")
            module, argv = evaluate, scored
        elif kind == "weights":
            module, argv = train, [*words, *labels, "--encoder_weights", path]
        elif kind == "clicks":
            module, argv = (
                weak_label_generator,
                [
                    *["--data_dir", pets_dir, "--cache_dir", tmp_path / "cache", "--jobs", 1],
                    *["--clicks", path, "--output_file", tmp_path / "out.pkl"],
                ],
            )
        elif kind == "prices":
            module, argv = evaluate, [*scored, "--cost_schedule", path]
        else:
            module, argv = train_baseline, ["--config", path]
        ended = outcome(module, argv, capsys)
        assert ended.code == 2 and len(ended.errors) == 1, (form.__name__, ended)
        assert not marker.exists(), (kind, form.__name__)
        number += 1
    tried("hostile files, no code ran", number)


def forms_of(kind):
    """Return the formats in which a file of a kind may be hostile."""
    if kind in ("prices", "config"):
        return [as_yaml, as_pickle]
    return [as_pickle, as_checkpoint, as_old_checkpoint, as_array, as_archive]
