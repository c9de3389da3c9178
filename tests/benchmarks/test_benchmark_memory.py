"""benchmarks/memory.py multiplies a data set truthfully and sees memory that a process takes."""

import re
import sys

import pytest

from benchmarks import memory
from benchmarks.memory import multiply, peak
from weakseg.data.datasets import Pets


def test_the_larger_data_set_holds_the_same_pictures(pets_dir, tmp_path):
    multiply(pets_dir, tmp_path / "large", 3)
    small = Pets(pets_dir, cache_dir=tmp_path / "cache")
    large = Pets(tmp_path / "large", cache_dir=tmp_path / "cache")
    for split in ("trainval", "test"):
        assert len(large.ids(split)) == 3 * len(small.ids(split)) == 3 * len(set(small.ids(split)))
    sizes = [
        sorted(d.image_path(name).stat().st_size for name in d.ids("test")) for d in (small, large)
    ]
    assert sizes[1] == sorted(3 * sizes[0])


def test_a_peak_is_seen_and_a_failure_is_told(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("x = bytearray(200 * 2**20)\n")
    empty = tmp_path / "empty.py"
    empty.write_text("")
    assert peak([script], 1) - peak([empty], 1) == pytest.approx(200, abs=10)
    script.write_text("raise SystemExit('no such thing')\n")
    with pytest.raises(RuntimeError, match="no such thing"):
        peak([script], 1)


@pytest.mark.parametrize(
    ("words", "sizes", "commands"),
    [
        ("--images 20 --times 3", "20 60", ("label generation", "training", "evaluation")),
        (
            "--probe 20 40 60",
            "20 40 60",
            ("label generation", "training on clicks", "training on masks", "evaluation"),
        ),
    ],
)
def test_every_command_is_measured_on_every_size(words, sizes, commands, monkeypatch, capsys):
    peaks, scripts = iter(range(100, 900)), []
    monkeypatch.setattr(memory, "multiply", lambda *_: None)
    monkeypatch.setattr(memory, "peak", lambda words, _: (scripts.append(words[0]), next(peaks))[1])
    monkeypatch.setattr(sys, "argv", ["memory.py", *words.split()])
    memory.main(memory.parse_args())
    head, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("|")
    )
    counts = [re.match(r"\d+", cell)[0] for cell in head if "images, MiB" in cell]
    assert counts == sizes.split() and tuple(row[0] for row in rows) == commands
    for number, row in enumerate(rows):
        found = [100 + number + len(commands) * place for place in range(len(counts))]
        assert [*map(float, row[1:-2])] == found
        assert float(row[-2]) == pytest.approx(100 * (found[-1] / found[-2] - 1), abs=0.05)
    assert len(scripts) == len(counts) * len(commands)


def test_sizes_are_multiples_of_the_first(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["memory.py", "--probe", "20", "50"])
    with pytest.raises(SystemExit):
        memory.parse_args()
    assert "--probe: must be multiples of the first, 20" in capsys.readouterr().err
